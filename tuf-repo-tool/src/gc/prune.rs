//! Directories that a sweep has emptied.

use std::fs;
use std::io;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::task::block_in_place;

use crate::error::Error;
use crate::repository::Repository;

/// Removes empty directories below `targets/` that nobody has touched for `grace`, where published files are on this machine: those
/// that an earlier sweep has emptied, and none that somebody is about to put a file into.
pub(super) fn empty_directories(repository: &Repository, grace: TimeDelta) -> Result<(), Error> {
    let Some(root) = repository.storage().local() else { return Ok(()) };
    let before = repository.now() - grace;
    block_in_place(|| below(&root.join("targets"), before)).map(drop)
}

/// Whether a directory is empty now.
fn below(directory: &Path, before: DateTime<Utc>) -> Result<bool, Error> {
    let failed = |error| Error::io("read", directory, error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
    };
    let mut is_empty = true;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // A link is not followed, and what is gone meanwhile is gone.
        let Ok(found) = entry.metadata() else { continue };
        let old = found.modified().is_ok_and(|modified| DateTime::<Utc>::from(modified) < before);
        let is_gone = found.is_dir() && below(&entry.path(), before)? && old && {
            // One that got a file just now is not removed.
            fs::remove_dir(entry.path()).is_ok()
        };
        is_empty &= is_gone;
    }
    Ok(is_empty)
}
