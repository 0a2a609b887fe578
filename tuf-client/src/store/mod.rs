//! The trusted store: the metadata that was verified, as the exact bytes that were verified.
//!
//! One [`StoreSession`] is open at a time, across processes: a refresh loads, fetches, verifies and commits under one lock.
//! Without it, two clients on one store can undo each other's rollback floor.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tuf_core::{Batch, StoredFile};

use crate::durable::DurableError;

mod fs;
mod memory;
pub mod testing;

pub use fs::FsStore;
pub use memory::MemoryStore;

/// How long [`Store::open`] waits for another session, unless told otherwise.
pub const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(60);

/// Keeps verified metadata. Blocking: call it from a thread that may wait.
pub trait Store: Send + Sync + fmt::Debug {
    /// Waits, for a bounded time, until no other session is open in any process, and opens one.
    fn open(&self) -> Result<Box<dyn StoreSession>, StoreError>;

    /// As [`StoreSession::load`], without waiting for a session that is open. Files change as a whole, and whoever
    /// reads one verifies it anyway.
    fn peek(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Exclusive access to a [`Store`], until dropped.
pub trait StoreSession: Send + Sync {
    /// The bytes of one file. `None` if there is none, or none that can be used: empty, longer than `max` bytes, or
    /// not a plain file. The next commit that writes it sets such a file aside.
    fn load(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a batch in its order. When this returns, it survives a crash. A crash meanwhile leaves some of the files as
    /// they were (a prefix of the batch is new, unless the power went), each of them whole.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Takes a damaged file out of the way, so that it is read by nobody any more and can be looked at. Default: it stays
    /// until a commit replaces it.
    fn set_aside(&mut self, file: &StoredFile, reason: &str) -> Result<(), StoreError> {
        let _ = (file, reason);
        Ok(())
    }

    /// The damaged files that were set aside since this was asked last. Default: none.
    fn take_recovered(&mut self) -> Vec<Recovered> {
        Vec::new()
    }
}

/// A file of the store that was damaged, and is not used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Its name, relative to the store.
    pub file: String,
    /// What was wrong with it.
    pub reason: String,
    /// Where it can be looked at; `None` if it was too large to keep.
    pub kept: Option<PathBuf>,
}

impl Recovered {
    /// For a [`Store`] that sets damaged files aside.
    pub fn new(file: String, reason: String, kept: Option<PathBuf>) -> Self {
        Self { file, reason, kept }
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was damaged ({})", self.file, self.reason)?;
        match &self.kept {
            Some(kept) => write!(f, "; kept as {}", kept.display()),
            None => f.write_str("; not kept"),
        }
    }
}

/// The store could not be used. Not an attack: trouble of this machine.
#[derive(Debug, thiserror::Error)]
#[error("store {}: {kind}", path.display())]
pub struct StoreError {
    path: PathBuf,
    kind: StoreErrorKind,
    source: Option<io::Error>,
}

/// Why a store could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another session did not end in time.
    #[error("still in use by {holder} after {} s", waited.as_secs_f32())]
    Busy {
        /// The process that holds the lock, as far as it is known.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The root that everything rests on, or the record of it, is damaged.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// No space left.
    #[error("no space left")]
    Full,
    /// Any other failure to read or write.
    #[error("cannot be read or written")]
    Io,
    /// There is no store.
    #[error("not initialised")]
    NotInitialised,
    /// The store belongs to another pinned root.
    #[error("it was initialised with the root {stored} (sha256), not {given}")]
    OtherRoot {
        /// The sha256 of the root given now, in hex.
        given: String,
        /// The sha256 of the root that the store is pinned to, in hex.
        stored: String,
    },
    /// The store belongs to another repository.
    #[error("it was initialised for {stored}, not {given}")]
    OtherUrl {
        /// The URL given now.
        given: String,
        /// The URL that the store is for.
        stored: String,
    },
    /// No permission.
    #[error("permission denied")]
    Permission,
    /// The file system is read-only.
    #[error("the file system is read-only")]
    ReadOnly,
    /// The batch holds a kind of change that this store does not know; nothing was written.
    #[error("a change of an unknown kind")]
    UnknownChange,
}

impl StoreError {
    /// The store, or a path in it, failed in this way.
    pub fn new(path: &Path, kind: StoreErrorKind) -> Self {
        Self { path: path.to_owned(), kind, source: None }
    }

    /// The operating system refused; the kind follows from its reason.
    pub fn from_io(path: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
            io::ErrorKind::PermissionDenied => StoreErrorKind::Permission,
            io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
            _ => StoreErrorKind::Io,
        };
        Self { path: path.to_owned(), kind, source: Some(error) }
    }

    /// The path concerned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why the store could not be used.
    pub fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }

    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            StoreErrorKind::Busy { .. } => "wait for that process or end it; the lock goes with it",
            StoreErrorKind::Damaged(_) => "initialise it again with the same root; what was verified is kept",
            StoreErrorKind::Full => "free some space; the store is as it was",
            StoreErrorKind::Io | StoreErrorKind::UnknownChange => return None,
            StoreErrorKind::NotInitialised => "initialise it with the repository's root file and URL",
            StoreErrorKind::OtherRoot { .. } => {
                "a store follows newer roots of its repository by itself: give none, or the one it began with; another \
                 repository needs another store directory"
            }
            StoreErrorKind::OtherUrl { .. } => "use another store directory for another repository",
            StoreErrorKind::Permission => "check who owns the store; it is its owner's alone",
            StoreErrorKind::ReadOnly => "use a store directory on a writable file system",
        })
    }
}

impl From<DurableError> for StoreError {
    fn from(error: DurableError) -> Self {
        let path = error.path().to_owned();
        Self::from_io(&path, error.into_io())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_the_disk_has_its_own_kind_its_path_and_its_reason() {
        let cases = [
            (io::ErrorKind::StorageFull, StoreErrorKind::Full),
            (io::ErrorKind::QuotaExceeded, StoreErrorKind::Full),
            (io::ErrorKind::PermissionDenied, StoreErrorKind::Permission),
            (io::ErrorKind::ReadOnlyFilesystem, StoreErrorKind::ReadOnly),
            (io::ErrorKind::Other, StoreErrorKind::Io),
        ];
        for (reason, kind) in cases {
            let error = StoreError::from_io(Path::new("/store/file"), reason.into());
            assert_eq!(error.kind(), &kind);
            assert!(error.to_string().contains("/store/file"), "{error}");
            assert!(std::error::Error::source(&error).is_some());
            assert_eq!(error.hint().is_none(), kind == StoreErrorKind::Io);
        }
    }
}
