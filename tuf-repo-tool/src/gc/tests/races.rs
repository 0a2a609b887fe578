//! Another machine takes up garbage again and publishes it, at each moment of a sweep.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::aged::{Aged, World};
use super::{littered, options};
use crate::error::Error;
use crate::keys::Passphrases;
use crate::publish::tests::sweep::set;
use crate::publish::{Changes, Options, publish_staged};
use crate::repository::Repository;
use crate::state::State;
use crate::storage::{Listed, NewFile, Storage, StorageError, Swap};

/// How long a sweep waits for the other machine at the chosen moment: it may wait for the sweep.
const TOGETHER: Duration = Duration::from_millis(300);

/// A storage that starts something at one operation.
struct Starting {
    inner: Arc<Aged>,
    operations: AtomicUsize,
    at: usize,
    start: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Starting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starting").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Starting {
    fn now(&self) -> &Aged {
        if self.operations.fetch_add(1, Ordering::SeqCst) == self.at
            && let Some(start) = self.start.lock().unwrap().take()
        {
            start();
        }
        &self.inner
    }
}

impl Storage for Starting {
    fn url(&self) -> String {
        self.inner.url()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.now().read(path, limit)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.now().length(path)
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        self.now().create(files)
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        self.now().place(path, local)
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        self.now().swap(path, expected, bytes)
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        Ok(Swap::Atomic)
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.now().walk(directory, visit)
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.now().remove(paths)
    }
}

/// Settings and keys of the same repository, in another directory, with the same database.
fn another_machine(world: &World) -> (tempfile::TempDir, Repository) {
    let directory = tempfile::tempdir().unwrap();
    let copy = |name: &Path| {
        let bytes = std::fs::read(world.directory.path().join(name)).unwrap();
        tuf_client::durable::write_private(&directory.path().join(name), &bytes).unwrap();
    };
    copy(Path::new("tuf-repo.toml"));
    for key in std::fs::read_dir(world.directory.path().join("keys")).unwrap() {
        copy(&Path::new("keys").join(key.unwrap().file_name()));
    }
    let now = Arc::clone(&world.now);
    let repository = Repository::open(directory.path()).unwrap();
    let repository = repository.with_storage(world.storage.clone()).with_clock(move || *now.lock().unwrap());
    (directory, repository)
}

/// Takes up what was given up, and publishes it. How often it found a file gone before it published.
async fn take_up(repository: &Repository, database: &Path) -> u32 {
    let state = State::open(None, database).await.unwrap();
    let mut missed = 0;
    loop {
        let mut changes = Changes::default();
        set(&mut changes, &**repository.storage(), "a", b"one");
        set(&mut changes, &**repository.storage(), "b", b"two");
        state.stage(&changes).await.unwrap();
        let lock = repository.lock().unwrap();
        let options = Options::default();
        match publish_staged(repository, &lock, &mut Passphrases::from_environment(), &state, &options).await
        {
            Ok(_) => return missed,
            Err(Error::StagedFile { .. }) => missed += 1,
            Err(error) => panic!("{}", tuf_client::chain(&error)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_machine_takes_up_again_during_a_sweep_is_published_with_all_its_files() {
    let world = littered().await;
    let base = world.snapshot();
    let (_directory, other) = another_machine(&world);
    let database = world.repository.state();
    let (mut at, mut missed, mut noticed) = (0, 0, 0);
    loop {
        world.restore(&base);
        let publisher: Arc<Mutex<Option<JoinHandle<u32>>>> = Arc::default();
        let (handle, repository, database) = (Arc::clone(&publisher), other.clone(), database.clone());
        let start = move || {
            let (sender, done) = mpsc::channel();
            *handle.lock().unwrap() = Some(thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                let missed = runtime.unwrap().block_on(take_up(&repository, &database));
                let _ = sender.send(());
                missed
            }));
            let _ = done.recv_timeout(TOGETHER);
        };
        let starting = Arc::new(Starting {
            inner: world.storage.clone(),
            operations: AtomicUsize::default(),
            at,
            start: Mutex::new(Some(Box::new(start))),
        });
        let sweeping = world.repository.clone().with_storage(starting.clone());
        let report = world.gc_of(&sweeping, &options(1, 1)).await.unwrap();
        noticed += report.published_meanwhile;
        let Some(publisher) = publisher.lock().unwrap().take() else { break };
        missed += publisher.join().unwrap();
        world.check().await;
        let published = tokio::task::block_in_place(|| world.repository.published()).unwrap().unwrap();
        assert_eq!(published.set().snapshot().header.version, 5, "at operation {at}");
        at += 1;
    }
    println!("{at} moments: {noticed} times seen by the sweep, {missed} files missed before publishing");
    assert!(at > 10 && noticed > 0);
}
