//! A repository in a world whose time passes as the test says, for files too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use tokio::task::block_in_place;
use tuf_core::TargetPath;

use crate::error::Error;
use crate::gc::{Options, Report, gc};
use crate::init::Preset;
use crate::keys::Passphrases;
use crate::publish::check::Tester;
use crate::publish::tests::new_repository;
use crate::publish::tests::sweep::{all_files, set};
use crate::publish::{self, Changes, Outcome, Renewal, publish_staged};
use crate::repository::Repository;
use crate::state::State;
use crate::storage::{Listed, MemoryStorage, NewFile, Storage, StorageError, Swap};

type Time = Arc<Mutex<DateTime<Utc>>>;

/// Files in memory that get their age from the test's clock.
#[derive(Debug)]
pub(crate) struct Aged {
    inner: MemoryStorage,
    written: Mutex<BTreeMap<String, DateTime<Utc>>>,
    now: Time,
}

impl Aged {
    fn new(now: Time) -> Self {
        Self { inner: MemoryStorage::new(), written: Mutex::default(), now }
    }

    fn wrote(&self, path: &str, again: bool) {
        let now = *self.now.lock().unwrap();
        let mut written = self.written.lock().unwrap();
        if again {
            written.remove(path);
        }
        written.entry(path.to_owned()).or_insert(now);
    }
}

impl Storage for Aged {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.inner.read(path, limit)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.inner.length(path)
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        self.inner.create(files)?;
        files.iter().for_each(|file| self.wrote(&file.path, false));
        Ok(())
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        self.inner.place(path, local)?;
        self.wrote(path, false);
        Ok(())
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        self.inner.swap(path, expected, bytes)?;
        self.wrote(path, true);
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
        self.inner.walk(directory, &mut |mut listed| {
            let written = self.written.lock().unwrap().get(&listed.path).copied();
            listed.modified = written.unwrap_or(listed.modified);
            visit(listed)
        })
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.inner.remove(paths)?;
        let mut written = self.written.lock().unwrap();
        for path in paths {
            written.remove(path);
        }
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) repository: Repository,
    pub(crate) storage: Arc<Aged>,
    pub(crate) state: State,
    pub(crate) now: Time,
    pub(crate) directory: TempDir,
}

impl World {
    /// With nothing published yet.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (repository, _) = new_repository(directory.path(), Preset::Mirror).await;
        let now = Arc::new(Mutex::new(repository.now()));
        let storage = Arc::new(Aged::new(Arc::clone(&now)));
        for (path, bytes) in all_files(&**repository.storage()) {
            storage.create(&[NewFile { path, bytes }]).unwrap();
        }
        let clock = Arc::clone(&now);
        let repository = repository.with_storage(storage.clone()).with_clock(move || *clock.lock().unwrap());
        let state = repository.open_state().await.unwrap();
        Self { repository, storage, state, now, directory }
    }

    pub(crate) fn pass(&self, time: TimeDelta) {
        *self.now.lock().unwrap() += time;
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.storage.create(&[NewFile { path: path.to_owned(), bytes: bytes.to_vec() }]).unwrap();
    }

    pub(crate) fn paths(&self) -> BTreeSet<String> {
        self.storage.list("").unwrap().into_iter().map(|listed| listed.path).collect()
    }

    /// Publishes targets with these contents, or without them.
    pub(crate) async fn publish(&self, targets: &[(&str, Option<&str>)]) {
        let mut changes = Changes::default();
        for (path, content) in targets {
            match content {
                Some(content) => set(&mut changes, &*self.storage, path, content.as_bytes()),
                None => changes.remove(TargetPath::new(*path).unwrap()),
            }
        }
        self.state.stage(&changes).await.unwrap();
        self.publish_staged(&self.repository).await.unwrap();
    }

    pub(crate) async fn publish_staged(&self, repository: &Repository) -> Result<Outcome, Error> {
        let lock = repository.lock().unwrap();
        let mut passphrases = Passphrases::from_environment();
        let options = publish::Options::default();
        if let Some(published) = block_in_place(|| repository.published())? {
            // Time passes fast here: what expires meanwhile is signed first.
            publish::renew_root(repository, &lock, &published, &mut passphrases, &options)?;
            let nothing = Changes::default();
            publish::publish(repository, &lock, &mut passphrases, &nothing, Renewal::All, &options).await?;
        }
        let published = publish_staged(repository, &lock, &mut passphrases, &self.state, &options).await;
        published.map(|(outcome, _)| outcome)
    }

    pub(crate) async fn gc(&self, options: &Options) -> Result<Report, Error> {
        self.gc_of(&self.repository, options).await
    }

    pub(crate) async fn gc_of(&self, repository: &Repository, options: &Options) -> Result<Report, Error> {
        gc(repository, &repository.lock().unwrap(), &self.state, options).await
    }

    /// A new client gets all that is published, to the last byte.
    pub(crate) async fn check(&self) {
        let root = self.repository.first_root().unwrap();
        let expires = block_in_place(|| self.repository.published()).unwrap().unwrap().set().expires();
        let then = self.repository.clone().with_clock(move || expires - TimeDelta::seconds(1));
        let tester = Tester::new(&then, &root, BTreeMap::new()).unwrap();
        let view = tester.client.refresh().await.unwrap();
        for role in view.roles().await.unwrap() {
            for (path, _) in role.targets.iter() {
                let target = view.require(&TargetPath::new(&*path).unwrap()).await.unwrap();
                view.read(&view.wanted(&target), 1000).await.unwrap();
            }
        }
    }

    /// Every file with its age, to come back to.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, (Vec<u8>, DateTime<Utc>)> {
        let written = self.storage.written.lock().unwrap().clone();
        all_files(&*self.storage)
            .into_iter()
            .map(|(path, bytes)| {
                let written = written[&path];
                (path, (bytes, written))
            })
            .collect()
    }

    pub(crate) fn restore(&self, files: &BTreeMap<String, (Vec<u8>, DateTime<Utc>)>) {
        self.storage.remove(&self.paths().into_iter().collect::<Vec<_>>()).unwrap();
        for (path, (bytes, written)) in files {
            self.put(path, bytes);
            self.storage.written.lock().unwrap().insert(path.clone(), *written);
        }
    }
}
