//! Whether a stored file is what was signed of it.

use std::io::Read;

use tuf_core::{Checker, TargetFile};

use super::{Storage, StorageError};

const BUFFER: usize = 256 * 1024;

/// Reads every byte of a stored file, and says how it differs from what is to be signed of it. A file of a directory is
/// read piece by piece, one of a bucket as a whole.
pub(crate) fn verify_file(
    storage: &dyn Storage,
    path: &str,
    file: &TargetFile,
) -> Result<Result<(), tuf_core::Error>, StorageError> {
    let mut checker = match Checker::new(&file.hashes, Some(file.length)) {
        Ok(checker) => checker,
        Err(error) => return Ok(Err(error)),
    };
    let Some(directory) = storage.local() else {
        let bytes = storage.read(path, file.length)?.unwrap_or_default();
        return Ok(checker.update(&bytes).and_then(|()| checker.finish()));
    };
    let path = directory.join(path);
    let failed = |source| StorageError::io("read", &path, source);
    let mut opened = std::fs::File::open(&path).map_err(failed)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = opened.read(&mut buffer).map_err(failed)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if let Err(error) = checker.update(bytes) {
            return Ok(Err(error));
        }
    }
    Ok(checker.finish())
}
