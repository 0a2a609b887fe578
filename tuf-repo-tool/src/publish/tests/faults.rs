//! A storage that breaks off or dies at a chosen operation, and tells whoever watches of every write.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::storage::{Listed, NewFile, Storage, StorageError, Swap};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// At this write, before or after its effect, the process dies: nothing that it does later has an effect.
    Dies { write: usize, after: bool },
    /// This operation, a read perhaps, ends in an error, before or after its effect; the process lives on.
    Breaks { operation: usize, after: bool },
}

pub(crate) type Watch = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Faulty {
    inner: Arc<dyn Storage>,
    fault: Option<Fault>,
    watch: Watch,
    /// What happens between comparing and replacing, where the two are not one.
    between: Option<Watch>,
    pub(crate) writes: AtomicUsize,
    pub(crate) operations: AtomicUsize,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Storage>, fault: Option<Fault>, watch: Watch) -> Self {
        let (writes, operations) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { inner, fault, watch, between: None, writes, operations }
    }

    /// One whose swap is not atomic.
    pub(crate) fn unguarded(mut self, between: Watch) -> Self {
        self.between = Some(between);
        self
    }

    fn broken() -> StorageError {
        let source = std::io::Error::other("the connection broke off");
        StorageError::Io { action: "reach", path: "storage".into(), source }
    }

    fn read_with<T>(&self, effect: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        let operation = self.operations.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Some(Fault::Breaks { operation: at, .. }) if at == operation => Err(Self::broken()),
            Some(Fault::Dies { write, after }) if self.is_over(write, after) => Err(Self::broken()),
            _ => effect(),
        }
    }

    fn is_over(&self, write: usize, after: bool) -> bool {
        let done = self.writes.load(Ordering::SeqCst);
        done > write || (after && done == write + 1)
    }

    fn write_with(&self, effect: impl FnOnce() -> Result<(), StorageError>) -> Result<(), StorageError> {
        let operation = self.operations.fetch_add(1, Ordering::SeqCst);
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        let (fails, takes_effect) = match self.fault {
            Some(Fault::Dies { write: at, after }) => (write >= at, write < at || (write == at && after)),
            Some(Fault::Breaks { operation: at, after }) => (operation == at, operation != at || after),
            None => (false, true),
        };
        let result = if takes_effect { effect() } else { Ok(()) };
        (self.watch)();
        if fails { Err(Self::broken()) } else { result }
    }
}

impl Storage for Faulty {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.read_with(|| self.inner.read(path, limit))
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.read_with(|| self.inner.length(path))
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        files.iter().try_for_each(|file| self.write_with(|| self.inner.create(std::slice::from_ref(file))))
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        self.write_with(|| self.inner.place(path, local))
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        let Some(between) = &self.between else {
            return self.write_with(|| self.inner.swap(path, expected, bytes));
        };
        let found = self.read(path, u64::MAX)?;
        if found.as_deref() != expected {
            return Err(StorageError::Conflict { storage: self.url(), path: path.to_owned() });
        }
        between();
        // What is there by now is overwritten, whatever it is.
        self.write_with(|| {
            let now = self.inner.read(path, u64::MAX)?;
            self.inner.swap(path, now.as_deref(), bytes)
        })
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        Ok(if self.between.is_some() { Swap::Unguarded } else { Swap::Atomic })
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.read_with(|| self.inner.walk(directory, visit))
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.write_with(|| self.inner.remove(paths))
    }
}
