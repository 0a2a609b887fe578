//! Published files in memory, for tests of whoever publishes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tuf_client::clock;

use super::{Listed, NewFile, Storage, StorageError, Swap, check_path};

/// Bytes, and since when, by path.
type Files = BTreeMap<String, (Vec<u8>, DateTime<Utc>)>;

/// Files that end with the process.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    files: Mutex<Files>,
}

impl MemoryStorage {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // Every change is one insertion: a thread that panicked left nothing half done.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(
        &self,
        path: &str,
        bytes: Vec<u8>,
        is_same: impl Fn(&[u8]) -> bool,
    ) -> Result<(), StorageError> {
        check_path(path)?;
        match self.files().entry(path.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert((bytes, clock::now()));
                Ok(())
            }
            Entry::Occupied(entry) if is_same(&entry.get().0) => Ok(()),
            Entry::Occupied(_) => Err(StorageError::Exists { storage: self.url(), path: path.to_owned() }),
        }
    }
}

impl Storage for MemoryStorage {
    fn url(&self) -> String {
        "memory:".to_owned()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        match self.length(path)? {
            Some(length) if length > limit => {
                Err(StorageError::TooLong { storage: self.url(), path: path.to_owned(), limit })
            }
            _ => Ok(self.files().get(path).map(|(bytes, _)| bytes.clone())),
        }
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        check_path(path)?;
        Ok(self.files().get(path).map(|(bytes, _)| length(bytes)))
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        files
            .iter()
            .try_for_each(|file| self.insert(&file.path, file.bytes.clone(), |found| found == file.bytes))
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        let bytes = std::fs::read(local).map_err(|error| StorageError::io("read", local, error))?;
        let expected = bytes.len();
        self.insert(path, bytes, |found| found.len() == expected)
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        check_path(path)?;
        let mut files = self.files();
        if files.get(path).map(|(bytes, _)| &**bytes) != expected {
            return Err(StorageError::Conflict { storage: self.url(), path: path.to_owned() });
        }
        files.insert(path.to_owned(), (bytes.to_owned(), clock::now()));
        Ok(())
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        Ok(Swap::Atomic)
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if !directory.is_empty() {
            check_path(directory)?;
        }
        let is_below = |path: &str| {
            directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
        };
        let below: Vec<_> = {
            let files = self.files();
            let below = files.iter().filter(|(path, _)| is_below(path));
            below
                .map(|(path, (bytes, modified))| Listed {
                    path: path.clone(),
                    length: length(bytes),
                    modified: *modified,
                })
                .collect()
        };
        let _: ControlFlow<()> = below.into_iter().try_for_each(visit);
        Ok(())
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        paths.iter().try_for_each(|path| check_path(path))?;
        let mut files = self.files();
        for path in paths {
            files.remove(path);
        }
        Ok(())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
