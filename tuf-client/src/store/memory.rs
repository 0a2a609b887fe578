//! A store that ends with the process: for tests, and for commands that must leave no trace.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tuf_core::{Batch, Change, StoredFile};

use super::{DEFAULT_LOCK_WAIT, Store, StoreError, StoreErrorKind, StoreSession};

/// Where an error says that the store is.
const PLACE: &str = "in memory";

/// Keeps the files in memory. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    lock_wait: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, Arc<[u8]>>,
    in_use: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { shared: Arc::default(), lock_wait: DEFAULT_LOCK_WAIT }
    }

    /// With another limit on how long [`Store::open`] waits.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn open(&self) -> Result<Box<dyn StoreSession>, StoreError> {
        let state = self.shared.state();
        let waited = self.shared.freed.wait_timeout_while(state, self.lock_wait, |state| state.in_use);
        let (mut state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            let kind = StoreErrorKind::Busy { holder: "this process".to_owned(), waited: self.lock_wait };
            return Err(StoreError::new(Path::new(PLACE), kind));
        }
        state.in_use = true;
        drop(state);
        Ok(Box::new(MemorySession(Arc::clone(&self.shared))))
    }

    fn peek(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.shared.load(file, max))
    }
}

impl Shared {
    /// A panic elsewhere leaves whole files behind, so a poisoned lock is as good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, file: &StoredFile, max: u64) -> Option<Vec<u8>> {
        let usable = |bytes: &&Arc<[u8]>| {
            !bytes.is_empty() && u64::try_from(bytes.len()).is_ok_and(|length| length <= max)
        };
        self.state().files.get(&file.file_name()).filter(usable).map(|bytes| bytes.to_vec())
    }
}

struct MemorySession(Arc<Shared>);

impl StoreSession for MemorySession {
    fn load(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.load(file, max))
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.0.state();
        let mut files = state.files.clone();
        for change in batch.changes() {
            match change {
                Change::Write(file, bytes) => files.insert(file.file_name(), Arc::clone(bytes)),
                Change::Remove(file) => files.remove(&file.file_name()),
                _ => {
                    return Err(StoreError::new(Path::new(PLACE), StoreErrorKind::UnknownChange));
                }
            };
        }
        state.files = files;
        Ok(())
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.0.state().in_use = false;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn keeps_the_promises_of_a_store() {
        testing::store_suite(|| Box::new(MemoryStore::new()));
    }

    #[test]
    fn waiting_for_a_session_is_bounded() {
        let store = MemoryStore::new().with_lock_wait(Duration::from_millis(20));
        let _session = store.open().unwrap();
        let error = store.clone().open().err().unwrap();
        assert!(matches!(error.kind(), StoreErrorKind::Busy { .. }), "{error}");
    }
}
