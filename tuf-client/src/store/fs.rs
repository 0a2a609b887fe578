//! The trusted store in a directory.
//!
//! ```text
//! DIR/store.json      which root and which repository this store is for
//! DIR/root.json       the pinned root, byte for byte
//! DIR/backup/…        a copy of both
//! DIR/lock            held while a session is open; says by whom; empty otherwise
//! DIR/metadata/…      what was verified, by StoredFile::file_name()
//! DIR/damaged/…       files that were damaged, to look at
//! ```
//!
//! The lock is the operating system's (`flock`, `LockFileEx`): it goes with its process, however that ends, so there are no stale
//! locks and the file is never removed. It is the only lock a client takes, and it is taken before anything is read.
//! Directories and files are the owner's alone: whoever can write here decides what is trusted.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tuf_core::{Batch, Change, StoredFile};

use super::{DEFAULT_LOCK_WAIT, Recovered, Store, StoreError, StoreErrorKind, StoreSession};
use crate::durable::{self, Access, FileLock, LockError, WriteBatch};
use crate::transport::redact;

mod pin;
mod plain;
#[cfg(test)]
mod power_cut;

use plain::Plain;

use crate::url::Url;

const LOCK: &str = "lock";
const METADATA: &str = "metadata";
const DAMAGED: &str = "damaged";
/// Everywhere a temporary file of ours can be.
const DIRECTORIES: [&str; 6] =
    ["", pin::BACKUP, METADATA, "metadata/delegated", "metadata/floor", "metadata/root_history"];

/// A store in a directory, pinned to one root and one repository.
#[derive(Clone)]
pub struct FsStore {
    directory: PathBuf,
    root: Vec<u8>,
    url: Url,
    lock_wait: Duration,
    /// What was damaged when the store was opened: for the first session to tell.
    recovered: Arc<Mutex<Vec<Recovered>>>,
}

impl fmt::Debug for FsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsStore")
            .field("directory", &self.directory)
            .field("url", &redact(&self.url))
            .field("lock_wait", &self.lock_wait)
            .finish_non_exhaustive()
    }
}

impl FsStore {
    /// Opens the store in `directory`, creating it if there is none. `root` is the trust anchor: bytes that came to the user in
    /// a way the user trusts. A store for another root or another URL is refused; one whose own copy of the root was damaged is repaired.
    pub fn init(directory: &Path, root: &[u8], url: &Url) -> Result<Self, StoreError> {
        let recovered = pin::init(directory, root, url)?;
        Ok(Self::new(directory, root.to_vec(), url.clone(), recovered))
    }

    /// Opens the store in `directory`, which must have been initialised.
    pub fn existing(directory: &Path) -> Result<Self, StoreError> {
        let (root, url, recovered) = pin::existing(directory)?;
        Ok(Self::new(directory, root, url, recovered))
    }

    fn new(directory: &Path, root: Vec<u8>, url: Url, recovered: Vec<Recovered>) -> Self {
        let recovered = Arc::new(Mutex::new(recovered));
        Self { directory: directory.to_owned(), root, url, lock_wait: DEFAULT_LOCK_WAIT, recovered }
    }

    /// With another limit on how long [`Store::open`] waits.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Where the store is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The pinned root, byte for byte.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The repository that the store is for, with the credentials that were in it when the store was initialised.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl Store for FsStore {
    fn open(&self) -> Result<Box<dyn StoreSession>, StoreError> {
        let lock = acquire(&self.directory, self.lock_wait)?;
        Ok(Box::new(FsSession {
            directory: self.directory.clone(),
            metadata: self.directory.join(METADATA),
            lock,
            unusable: Mutex::default(),
            recovered: std::mem::take(&mut *guard(&self.recovered)),
        }))
    }

    fn peek(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = durable::checked_join(&self.directory.join(METADATA), &file.file_name())?;
        Ok(match plain::read(&path, max)? {
            Plain::Bytes(bytes) => Some(bytes),
            Plain::Missing | Plain::Unusable(_) => None,
        })
    }
}

struct FsSession {
    directory: PathBuf,
    metadata: PathBuf,
    lock: FileLock,
    /// What was asked for and could not be used.
    unusable: Mutex<Vec<(StoredFile, &'static str)>>,
    recovered: Vec<Recovered>,
}

impl StoreSession for FsSession {
    fn load(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match plain::read(&self.path(file)?, max)? {
            Plain::Bytes(bytes) => Ok(Some(bytes)),
            Plain::Missing => Ok(None),
            Plain::Unusable(reason) => {
                guard(&self.unusable).push((file.clone(), reason));
                Ok(None)
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.lock.prepare_to_write()?;
        let mut writes = WriteBatch::new(Access::Private);
        for change in batch.changes() {
            match change {
                Change::Write(file, bytes) => writes.write(&self.vacant(file)?, bytes)?,
                Change::Remove(file) => writes.remove(&self.vacant(file)?),
                _ => {
                    return Err(StoreError::new(&self.metadata, StoreErrorKind::UnknownChange));
                }
            }
        }
        Ok(writes.commit()?)
    }

    fn set_aside(&mut self, file: &StoredFile, reason: &str) -> Result<(), StoreError> {
        self.path(file)?;
        self.lock.prepare_to_write()?;
        let name = format!("{METADATA}/{}", file.file_name());
        self.recovered.push(set_aside(&self.directory, &name, reason)?);
        Ok(())
    }

    fn take_recovered(&mut self) -> Vec<Recovered> {
        std::mem::take(&mut self.recovered)
    }
}

impl FsSession {
    fn path(&self, file: &StoredFile) -> Result<PathBuf, StoreError> {
        Ok(durable::checked_join(&self.metadata, &file.file_name())?)
    }

    /// The file's path, where nothing is that this store did not write.
    fn vacant(&mut self, file: &StoredFile) -> Result<PathBuf, StoreError> {
        let path = self.path(file)?;
        let noted = guard(&self.unusable).extract_if(.., |(noted, _)| noted == file).last();
        if let Some(reason) = noted.map(|(_, reason)| reason).or_else(|| plain::flaw(&path)) {
            self.set_aside(file, reason)?;
        }
        Ok(path)
    }
}

/// Moves a file of the store, by its name relative to it, to where it does no harm.
fn set_aside(directory: &Path, name: &str, reason: &str) -> Result<Recovered, StoreError> {
    let path = durable::checked_join(directory, name)?;
    let kept = durable::set_aside(&path, &directory.join(DAMAGED), name)?;
    let recovered = Recovered::new(name.to_owned(), reason.to_owned(), kept);
    tracing::warn!(store = %directory.display(), "{recovered}");
    Ok(recovered)
}

/// What a panic elsewhere leaves behind is whole.
fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the store's lock, and clears away what a killed holder left.
fn acquire(directory: &Path, wait: Duration) -> Result<FileLock, StoreError> {
    let path = directory.join(LOCK);
    let lock = FileLock::acquire(&path, wait).map_err(|error| match error {
        LockError::Busy { holder, waited } => StoreError::new(&path, StoreErrorKind::Busy { holder, waited }),
        LockError::File(error) => error.into(),
    })?;
    // Every writer here holds the lock, so the temporary files left over belong to nobody.
    if lock.was_abandoned() {
        for name in DIRECTORIES {
            durable::sweep_older_than(&directory.join(name), Duration::ZERO)?;
        }
    }
    Ok(lock)
}

#[cfg(test)]
mod tests;
