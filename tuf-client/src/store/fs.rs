//! The trusted store in a directory.
//!
//! ```text
//! DIR/store.json      which root and which repository this store is for
//! DIR/root.json       the pinned root, byte for byte
//! DIR/lock            held while a session is open; says by whom; empty otherwise
//! DIR/metadata/…      what was verified, by StoredFile::file_name()
//! ```
//!
//! The lock is the operating system's (`flock`, `LockFileEx`): it goes with its process, however that ends, so there are no stale
//! locks and the file is never removed. It is the only lock a client takes, and it is taken before anything is read.
//! Directories and files are the owner's alone: whoever can write here decides what is trusted.
//!
//! `store.json` is written after `root.json`, in one batch, so that an interrupted initialisation is none.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use data_encoding::HEXLOWER;
use ring::digest;
use serde::{Deserialize, Serialize};
use tuf_core::{Batch, Change, StoredFile};
use url::Url;

use super::{DEFAULT_LOCK_WAIT, Store, StoreError, StoreErrorKind, StoreSession};
use crate::durable::{self, Access, FileLock, LockError, WriteBatch};
use crate::transport::redact;

const RECORD: &str = "store.json";
const ROOT: &str = "root.json";
const LOCK: &str = "lock";
const METADATA: &str = "metadata";
/// Everywhere a temporary file of ours can be.
const DIRECTORIES: [&str; 5] =
    ["", METADATA, "metadata/delegated", "metadata/floor", "metadata/root_history"];
/// Far above any root or record; what is larger is damaged.
const MAX_OWN_FILE: u64 = 8 * 1024 * 1024;

/// A store in a directory, pinned to one root and one repository.
#[derive(Clone)]
pub struct FsStore {
    directory: PathBuf,
    root: Vec<u8>,
    url: Url,
    lock_wait: Duration,
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

/// `store.json`. The URL is kept whole, with credentials: the file is its owner's alone.
#[derive(Deserialize, Serialize)]
struct Record {
    /// In lower-case hex.
    root_sha256: String,
    url: String,
}

impl FsStore {
    /// Opens the store in `directory`, creating it if there is none. `root` is the trust anchor: bytes that came to the user in
    /// a way the user trusts. A store for another root or another URL is refused; one whose own copy of the root was damaged is repaired.
    pub fn init(directory: &Path, root: &[u8], url: &Url) -> Result<Self, StoreError> {
        // The usual case needs no lock: both files change only here.
        if !is_pinned(directory, root, url)? {
            durable::create_dirs(directory, Access::Private)?;
            let _lock = acquire(directory, DEFAULT_LOCK_WAIT)?;
            if !is_pinned(directory, root, url)? {
                pin(directory, root, url)?;
            }
        }
        Ok(Self {
            directory: directory.to_owned(),
            root: root.to_vec(),
            url: url.clone(),
            lock_wait: DEFAULT_LOCK_WAIT,
        })
    }

    /// Opens the store in `directory`, which must have been initialised.
    pub fn existing(directory: &Path) -> Result<Self, StoreError> {
        let Some((root_sha256, url)) = read_record(directory)? else {
            return Err(StoreError::new(directory, StoreErrorKind::NotInitialised));
        };
        let root = read_plain(&directory.join(ROOT), MAX_OWN_FILE)?;
        match root.filter(|root| sha256(root) == root_sha256) {
            Some(root) => {
                Ok(Self { directory: directory.to_owned(), root, url, lock_wait: DEFAULT_LOCK_WAIT })
            }
            None => {
                let kind = StoreErrorKind::Damaged("root.json is not the root that store.json names");
                Err(StoreError::new(directory, kind))
            }
        }
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
        Ok(Box::new(FsSession { metadata: self.directory.join(METADATA), _lock: lock }))
    }

    fn peek(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        read_plain(&durable::checked_join(&self.directory.join(METADATA), &file.file_name())?, max)
    }
}

struct FsSession {
    metadata: PathBuf,
    _lock: FileLock,
}

impl FsSession {
    fn path(&self, file: &StoredFile) -> Result<PathBuf, StoreError> {
        Ok(durable::checked_join(&self.metadata, &file.file_name())?)
    }
}

impl StoreSession for FsSession {
    fn load(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        read_plain(&self.path(file)?, max)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
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
}

impl FsSession {
    /// The file's path, where no directory is in the way: a rename cannot replace one.
    fn vacant(&self, file: &StoredFile) -> Result<PathBuf, StoreError> {
        let path = self.path(file)?;
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir(&path).map_err(|error| StoreError::from_io(&path, error))?;
        }
        Ok(path)
    }
}

/// Whether the store is complete. An error if it is pinned to something else.
fn is_pinned(directory: &Path, root: &[u8], url: &Url) -> Result<bool, StoreError> {
    let record = match read_record(directory) {
        Err(error) if matches!(error.kind(), StoreErrorKind::Damaged(_)) => None,
        record => record?,
    };
    let stored_root = read_plain(&directory.join(ROOT), MAX_OWN_FILE)?;
    // Without a record, the root itself is the witness.
    let stored = match (&record, &stored_root) {
        (Some((root_sha256, _)), _) => Some(root_sha256.clone()),
        (None, Some(bytes)) => Some(sha256(bytes)),
        (None, None) => None,
    };
    let given = sha256(root);
    if let Some(stored) = stored.filter(|stored| *stored != given) {
        return Err(StoreError::new(directory, StoreErrorKind::OtherRoot { given, stored }));
    }
    if let Some((_, stored)) = &record {
        let (given, stored) = (redact(url), redact(stored));
        if given != stored {
            return Err(StoreError::new(directory, StoreErrorKind::OtherUrl { given, stored }));
        }
    }
    Ok(record.is_some() && stored_root.as_deref() == Some(root))
}

fn pin(directory: &Path, root: &[u8], url: &Url) -> Result<(), StoreError> {
    let path = directory.join(RECORD);
    let record = Record { root_sha256: sha256(root), url: url.to_string() };
    let record =
        serde_json::to_vec_pretty(&record).map_err(|error| StoreError::from_io(&path, error.into()))?;
    let mut batch = WriteBatch::new(Access::Private);
    batch.write(&directory.join(ROOT), root)?;
    batch.write(&path, &record)?;
    Ok(batch.commit()?)
}

/// The file's bytes; `None` if it is missing or cannot be one that this store wrote.
fn read_plain(path: &Path, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let unusable = |reason: &str| {
        tracing::warn!(path = %path.display(), reason, "ignoring a damaged file in the store");
        Ok(None)
    };
    let failed = |error| StoreError::from_io(path, error);
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !found.is_file() {
        return unusable("it is not a plain file");
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(0) => unusable("it is empty"),
        Ok(length) if length <= max => Ok(Some(bytes)),
        _ => unusable("it is too long"),
    }
}

/// The sha256 of the pinned root, and the repository's URL.
fn read_record(directory: &Path) -> Result<Option<(String, Url)>, StoreError> {
    let path = directory.join(RECORD);
    let Some(bytes) = read_plain(&path, MAX_OWN_FILE)? else {
        return Ok(None);
    };
    let record = serde_json::from_slice::<Record>(&bytes).ok();
    match record.and_then(|record| Some((record.root_sha256, Url::parse(&record.url).ok()?))) {
        None => Err(StoreError::new(&path, StoreErrorKind::Damaged("store.json cannot be read"))),
        record => Ok(record),
    }
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
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
