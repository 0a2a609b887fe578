//! A store on a disk that fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tuf_core::{Batch, StoredFile};

use super::super::{Recovered, Store, StoreError, StoreErrorKind, StoreSession};

/// Wraps a store and fails in one way from the n-th operation on, as a full disk does. Opening, loading, peeking, setting aside and each
/// change of a batch are one operation each: a commit that fails has written the changes before the one that failed. Clones share
/// the count.
#[derive(Clone, Debug)]
pub struct FaultStore<S> {
    inner: S,
    faults: Faults,
}

#[derive(Clone, Debug)]
struct Faults {
    done: Arc<AtomicUsize>,
    after: usize,
    kind: StoreErrorKind,
}

impl Faults {
    fn check(&self) -> Result<(), StoreError> {
        if self.done.fetch_add(1, Ordering::Relaxed) < self.after {
            return Ok(());
        }
        Err(StoreError::new(Path::new("a disk that fails"), self.kind.clone()))
    }
}

impl<S> FaultStore<S> {
    /// Lets `after` operations go well; all that follow fail.
    pub fn new(inner: S, after: usize, kind: StoreErrorKind) -> Self {
        Self { inner, faults: Faults { done: Arc::default(), after, kind } }
    }

    /// Whether an operation was made to fail.
    pub fn has_failed(&self) -> bool {
        self.faults.done.load(Ordering::Relaxed) > self.faults.after
    }
}

impl<S: Store> Store for FaultStore<S> {
    fn open(&self) -> Result<Box<dyn StoreSession>, StoreError> {
        self.faults.check()?;
        Ok(Box::new(FaultSession { inner: self.inner.open()?, faults: self.faults.clone() }))
    }

    fn peek(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.faults.check()?;
        self.inner.peek(file, max)
    }
}

struct FaultSession {
    inner: Box<dyn StoreSession>,
    faults: Faults,
}

impl StoreSession for FaultSession {
    fn load(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.faults.check()?;
        self.inner.load(file, max)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut good = Batch::default();
        for change in batch.changes() {
            if let Err(error) = self.faults.check() {
                self.inner.commit(&good)?;
                return Err(error);
            }
            good.push(change.clone());
        }
        self.inner.commit(&good)
    }

    fn set_aside(&mut self, file: &StoredFile, reason: &str) -> Result<(), StoreError> {
        self.faults.check()?;
        self.inner.set_aside(file, reason)
    }

    fn take_recovered(&mut self) -> Vec<Recovered> {
        self.inner.take_recovered()
    }
}
