//! Reading a file that somebody may have damaged.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use crate::store::StoreError;

/// What is at a path.
pub(super) enum Plain {
    Bytes(Vec<u8>),
    Missing,
    /// Nothing that a store wrote, and why.
    Unusable(&'static str),
}

impl Plain {
    /// Why this cannot have been written by a store, as far as its looks tell.
    fn flaw(found: &fs::Metadata) -> Option<&'static str> {
        match () {
            () if found.is_symlink() => Some("it is a symbolic link"),
            () if found.is_dir() => Some("it is a directory"),
            () if !found.is_file() => Some("it is not a plain file"),
            () if found.len() == 0 => Some("it is empty"),
            () => None,
        }
    }
}

/// What would be wrong with a file, without reading it.
pub(super) fn flaw(path: &Path) -> Option<&'static str> {
    fs::symlink_metadata(path).ok().as_ref().and_then(Plain::flaw)
}

/// At most `max` bytes. What cannot be read although it is there is an error, unless its owner can make it readable: to go on
/// without it would lower a floor.
pub(super) fn read(path: &Path, max: u64) -> Result<Plain, StoreError> {
    let failed = |error| StoreError::from_io(path, error);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Plain::Missing);
        }
        Err(error) => return Err(failed(error)),
    };
    if let Some(flaw) = Plain::flaw(&found) {
        return Ok(Plain::Unusable(flaw));
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_readable(path).map_err(failed)?;
            tracing::warn!(path = %path.display(), "could not be read; its permissions were repaired");
            File::open(path)
        }
        opened => opened,
    };
    // One more than there should be, so that the end shows in the same read.
    let expected = usize::try_from(found.len().min(max)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    file.map_err(failed)?.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(0) => Ok(Plain::Unusable("it is empty")),
        Ok(length) if length <= max => Ok(Plain::Bytes(bytes)),
        _ => Ok(Plain::Unusable("it is too long")),
    }
}

#[cfg(unix)]
fn make_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::PermissionDenied.into())
}
