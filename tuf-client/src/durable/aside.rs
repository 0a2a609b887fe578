//! Damaged files are kept for whoever wants to know what happened, but not many of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Access, Context, DurableError, create_dirs, ops, parent, sync_dir};

/// How many are kept in one directory.
const MAX_KEPT: usize = 16;
/// How many bytes they may have together.
const MAX_KEPT_BYTES: u64 = 32 * 1024 * 1024;

/// Moves whatever has this name into `directory` (on the same file system) as `NUMBER-label`, where the highest number
/// is the newest. The 16 newest are kept, and of those no more than 32 MiB. Returns where it is now; `None` if it was too
/// large to keep or was gone already.
///
/// # Errors
/// If it could not be moved; it then still has its name.
pub fn set_aside(path: &Path, directory: &Path, label: &str) -> Result<Option<PathBuf>, DurableError> {
    create_dirs(directory, Access::Private)?;
    let mut kept = list(directory)?;
    let number = kept.last().map_or(0, |(number, _)| *number).saturating_add(1);
    let label = label.replace(['/', '\\'], "_");
    let target = directory.join(format!("{number:05}-{label}"));
    match ops::rename(path, &target) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DurableError::new("move aside", path, error)),
    }
    kept.push((number, target.clone()));
    let mut bytes: u64 = 0;
    for (count, (_, path)) in kept.iter().rev().enumerate() {
        let Ok(found) = fs::symlink_metadata(path) else { continue };
        bytes = bytes.saturating_add(found.len());
        if count < MAX_KEPT && bytes <= MAX_KEPT_BYTES {
            continue;
        }
        let removed = if found.is_dir() { fs::remove_dir_all(path) } else { ops::remove(path) };
        removed.context("remove", path)?;
    }
    sync_dir(directory)?;
    sync_dir(parent(path))?;
    Ok(fs::symlink_metadata(&target).is_ok().then_some(target))
}

/// By number.
fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, DurableError> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(directory).context("list", directory)? {
        let path = entry.context("list", directory)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.split_once('-').and_then(|(number, _)| number.parse().ok());
        kept.extend(number.map(|number| (number, path)));
    }
    kept.sort();
    Ok(kept)
}
