//! A cache of targets by content: what was downloaded once is not fetched again, for another directory, another
//! repository, or offline.
//!
//! ```text
//! DIR/sha256/ab/ab12…   the bytes with this sha256
//! ```
//!
//! It is asked by length and hash, never by name, so it can only give what the current metadata names. What is read is
//! verified as if it came from a mirror; what does not match is removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tuf_core::Checker;

use crate::clock;
use crate::download::{Wanted, each_chunk};
use crate::durable::{Access, DurableError, Placed, sweep};
use crate::url::Url;

/// In bytes.
const DEFAULT_LIMIT: u64 = 4 << 30;
/// Part of the limit that may be added before it is looked at again.
const SLACK: u64 = 8;

/// A directory of targets, by content. Clones share it; so can processes.
#[derive(Clone, Debug)]
pub struct TargetCache {
    directory: PathBuf,
    limit: u64,
    /// Bytes that may still be added before the directory is looked through.
    left: Arc<AtomicU64>,
}

impl TargetCache {
    /// A cache in this directory, which is created when something is put there, readable by its owner alone.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), limit: DEFAULT_LIMIT, left: Arc::default() }
    }

    /// With another limit on its size in bytes, which it may exceed by an eighth and by one file for a while. What was not used
    /// longest goes first. Default 4 GiB.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Removes what was not used longest until at most `limit` bytes are left. Gives how many bytes are left.
    ///
    /// # Errors
    /// A directory that cannot be listed.
    pub fn prune(&self, limit: u64) -> Result<u64, DurableError> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for directory in list(&self.directory.join("sha256")) {
            sweep(&directory)?;
            for path in list(&directory) {
                if let Ok(found) = fs::symlink_metadata(&path)
                    && let Ok(used) = found.modified()
                    && found.is_file()
                {
                    files.push((used, found.len(), path));
                }
            }
        }
        files.sort_unstable();
        let mut total = files.iter().fold(0_u64, |sum, (_, length, _)| sum.saturating_add(*length));
        for (_, length, path) in files {
            if total <= limit {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total = total.saturating_sub(length);
            }
        }
        Ok(total)
    }

    fn path(&self, wanted: &Wanted) -> Option<PathBuf> {
        let name = HEXLOWER.encode(wanted.hashes.sha256()?);
        Some(self.directory.join("sha256").join(name.get(..2)?).join(name))
    }

    /// A file as long as the wanted one, to be verified.
    fn open(&self, wanted: &Wanted) -> Option<File> {
        let path = self.path(wanted)?;
        let found = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
        wanted.length.is_none_or(|length| length == found.len()).then(|| File::open(&path).ok()).flatten()
    }

    /// Gives the wanted bytes to `take`, chunk by chunk; whether those were the wanted ones.
    pub(crate) fn copy(
        &self,
        wanted: &Wanted,
        mut take: impl FnMut(&[u8]) -> Result<(), DurableError>,
    ) -> bool {
        let (Some(mut file), Ok(mut checker)) =
            (self.open(wanted), Checker::new(&wanted.hashes, wanted.length))
        else {
            return false;
        };
        let copied = each_chunk(&mut file, |chunk| {
            checker.update(chunk).map_err(io::Error::other)?;
            take(chunk).map_err(DurableError::into_io)
        });
        if copied.is_err() {
            return false;
        }
        let verified = checker.finish().is_ok();
        if verified {
            // For the order of `prune` alone: a cache that cannot be written still serves.
            drop(file.set_modified(clock::now().into()));
        } else if let Some(path) = self.path(wanted) {
            tracing::warn!(path = %path.display(), "a file in the cache is damaged and is removed");
            drop(fs::remove_file(path));
        }
        verified
    }

    /// The wanted bytes, unless there are more than `max`.
    pub(crate) fn read(&self, wanted: &Wanted, max: u64) -> Option<Bytes> {
        let length = self.open(wanted)?.metadata().ok()?.len();
        let mut bytes = Vec::new();
        let mut take = |chunk: &[u8]| {
            bytes.extend_from_slice(chunk);
            Ok(())
        };
        (length <= max && self.copy(wanted, &mut take)).then(|| bytes.into())
    }

    /// The file, as a URL, which had the wanted bytes a moment ago.
    pub(crate) fn find(&self, wanted: &Wanted) -> Option<Url> {
        let verified = self.copy(wanted, |_| Ok(()));
        Url::from_file_path(std::path::absolute(self.path(wanted)?).ok()?).ok().filter(|_| verified)
    }

    /// Keeps verified bytes that `write` writes. A cache that cannot be written is no reason to fail.
    pub(crate) fn put(&self, wanted: &Wanted, write: impl FnOnce(&mut Placed) -> Result<(), DurableError>) {
        let Some(mut filling) = self.begin(wanted) else { return };
        match write(&mut filling.file) {
            Ok(()) => filling.keep(),
            Err(error) => not_written(&error),
        }
    }

    /// Begins to keep bytes that are still to be verified. `None` if they cannot be kept.
    pub(crate) fn begin(&self, wanted: &Wanted) -> Option<Filling> {
        match Placed::create(&self.path(wanted)?, Access::Private) {
            Ok(file) => Some(Filling { cache: self.clone(), file }),
            Err(error) => {
                not_written(&error);
                None
            }
        }
    }

    fn added(&self, length: u64) {
        let enough = |left: u64| left.checked_sub(length);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_err() {
            match self.prune(self.limit) {
                Ok(_) => self.left.store(self.limit / SLACK, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "the cache could not be pruned"),
            }
        }
    }
}

/// A file on its way into the cache. Dropped, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Filling {
    cache: TargetCache,
    file: Placed,
}

impl Filling {
    /// Adds bytes; `None` if they cannot be written.
    pub(crate) fn append(mut self, bytes: &[u8]) -> Option<Self> {
        match self.file.append(bytes) {
            Ok(()) => Some(self),
            Err(error) => {
                not_written(&error);
                None
            }
        }
    }

    /// What was added is verified: it stays.
    pub(crate) fn keep(self) {
        let length = self.file.written();
        // Not synced: it is verified whenever it is read.
        match self.file.finish_unsynced() {
            Ok(()) => self.cache.added(length),
            Err(error) => not_written(&error),
        }
    }
}

fn not_written(error: &DurableError) {
    tracing::warn!(%error, "the cache could not be written");
}

/// What is in a directory, if it can be listed.
fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
