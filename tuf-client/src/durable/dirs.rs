//! Directories: making them, staying in them, and clearing what was left behind.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Access, Context, DurableError, TEMPORARY, ops, parent, sync_dir};
use crate::clock;

/// No write of ours takes this long; a download that does has touched its file within the hour.
const LEFTOVER_AGE: Duration = Duration::from_secs(60 * 60);

/// Creates the directory and what is missing above it, each made durable in its parent.
pub fn create_dirs(directory: &Path, access: Access) -> Result<(), DurableError> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = parent(directory);
    create_dirs(above, access)?;
    match ops::make_dir(directory, access) {
        Ok(()) => sync_dir(above),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(DurableError::new("create the directory", directory, error)),
    }
}

/// `root/relative`, if that stays below `root`: every part of `relative` (separated by `/`) is a plain name, and no directory
/// between the two is a symbolic link or something else than a directory. Missing ones are fine.
///
/// The check is about names that came from outside; it cannot guard against somebody who rewrites `root` meanwhile.
pub fn checked_join(root: &Path, relative: &str) -> Result<PathBuf, DurableError> {
    let refuse = |path: &Path, reason: &'static str| {
        DurableError::new("use the path", path, io::Error::new(io::ErrorKind::InvalidInput, reason))
    };
    let mut path = root.to_owned();
    let mut parts = relative.split('/').peekable();
    while let Some(part) = parts.next() {
        let mut components = Path::new(part).components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == part);
        if !plain || part.contains('\0') {
            return Err(refuse(&root.join(relative), "it does not stay below its directory"));
        }
        path.push(part);
        if parts.peek().is_some() {
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(found) if found.is_symlink() => {
                    return Err(refuse(&path, "it is a symbolic link"));
                }
                Ok(_) => return Err(refuse(&path, "it is not a directory")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(DurableError::new("look at", &path, error)),
            }
        }
    }
    Ok(path)
}

/// Removes temporary files older than an hour from one directory, not below it. Returns how many.
pub fn sweep(directory: &Path) -> Result<usize, DurableError> {
    sweep_older_than(directory, LEFTOVER_AGE)
}

/// As [`sweep`] with another age; zero is for who holds the lock that every writer of the directory takes.
pub fn sweep_older_than(directory: &Path, age: Duration) -> Result<usize, DurableError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(DurableError::new("list", directory, error)),
    };
    let now = SystemTime::from(clock::now());
    let mut removed = 0;
    for entry in entries {
        let entry = entry.context("list", directory)?;
        if !entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            continue;
        }
        // Another process may finish or sweep the same file meanwhile: what cannot be looked at is not ours.
        let Ok(found) = entry.metadata() else {
            continue;
        };
        let old = found.modified().is_ok_and(|modified| {
            age.is_zero() || now.duration_since(modified).is_ok_and(|passed| passed >= age)
        });
        if found.is_file() && old && ops::remove(&entry.path()).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}
