//! A directory, as `tuf-repo` has it, with two differences: every target is there, without a file; and it counts how
//! many hash bins are read.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tuf_repo_tool::storage::{Listed, LocalStorage, NewFile, Storage, StorageError, Swap};

use crate::data::length_of;

#[derive(Debug)]
pub(crate) struct Watched {
    directory: LocalStorage,
    bins: AtomicUsize,
}

impl Watched {
    pub(crate) fn new(repository: &Path) -> Self {
        let directory = LocalStorage::new(&repository.join("public"), &repository.join("state"));
        Self { directory, bins: AtomicUsize::new(0) }
    }

    /// How many hash bins were read since the last call.
    pub(crate) fn bins_read(&self) -> usize {
        self.bins.swap(0, Ordering::Relaxed)
    }
}

impl Storage for Watched {
    fn url(&self) -> String {
        self.directory.url()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let is_bin = path.split_once('.').is_some_and(|(_, name)| name.starts_with("bin-"));
        self.bins.fetch_add(usize::from(is_bin), Ordering::Relaxed);
        self.directory.read(path, limit)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        match path.strip_prefix("targets/") {
            Some(target) => Ok(length_of(target)),
            None => self.directory.length(path),
        }
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        self.directory.create(files)
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        self.directory.place(path, local)
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        self.directory.swap(path, expected, bytes)
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        self.directory.swaps()
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.directory.walk(directory, visit)
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.directory.remove(paths)
    }

    fn local(&self) -> Option<&Path> {
        self.directory.local()
    }
}
