//! Several publishers of one repository, each with a directory of its own, on storage that decides who was first, and on
//! storage that does not.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tuf_core::{Metadata, TargetPath, TopLevel};

use super::faults::{Fault, Faulty};
use super::sweep::{World, all_files, memory, set};
use crate::config::RoleKind;
use crate::error::Error;
use crate::keys::Passphrases;
use crate::log::{self, Line};
use crate::publish::commit::version;
use crate::publish::lease::{LEASE, PublishLease};
use crate::publish::{Changes, Listed, Options, Outcome, Renewal, TIMESTAMP, publish};
use crate::recover::{self, Request};
use crate::repository::Repository;
use crate::signing::Signers;
use crate::storage::Storage;

/// Another machine: the settings, the keys, no journal.
struct Machine {
    repository: Repository,
    _directory: TempDir,
}

impl Machine {
    fn new(world: &World, storage: Arc<dyn Storage>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let copy = |name: &str| {
            let bytes = std::fs::read(world.directory.path().join(name)).unwrap();
            tuf_client::durable::write_private(&directory.path().join(name), &bytes).unwrap();
        };
        copy("tuf-repo.toml");
        for key in std::fs::read_dir(world.directory.path().join("keys")).unwrap() {
            copy(Path::new("keys").join(key.unwrap().file_name()).to_str().unwrap());
        }
        let repository = Repository::open(directory.path()).unwrap().with_storage(storage);
        Self { repository, _directory: directory }
    }

    /// Publishes one target.
    fn publish(&self, name: &str, options: &Options) -> Result<Outcome, Error> {
        let mut changes = Changes::default();
        set(&mut changes, &**self.repository.storage(), name, name.as_bytes());
        self.run(&changes, options)
    }

    fn run(&self, changes: &Changes, options: &Options) -> Result<Outcome, Error> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lock = self.repository.lock()?;
        let mut passphrases = Passphrases::from_environment();
        let renewal = Renewal::None;
        let publishing = publish(&self.repository, &lock, &mut passphrases, changes, renewal, options);
        runtime.block_on(publishing)
    }

    fn has(&self, name: &str) -> bool {
        let published = self.repository.published().unwrap().unwrap();
        published.find(&TargetPath::new(name).unwrap()).unwrap().is_some()
    }

    /// Its log.
    fn lines(&self) -> Vec<Line> {
        let bytes = std::fs::read(log::path(self.repository.directory())).unwrap();
        let mut lines = Vec::new();
        let end = log::read(&bytes[..], |found| {
            lines.push(found.line);
            Ok::<_, std::io::Error>(())
        });
        assert_eq!(end.unwrap().torn, None);
        lines
    }

    fn version(&self) -> u64 {
        self.repository.published().unwrap().unwrap().set().timestamp().header.version
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_that_race_on_one_storage_each_publishes_all_of_its_targets_in_the_end() {
    const MACHINES: u64 = 4;
    const EACH: u64 = 4;
    let world = World::new().await;
    let storage = memory(&all_files(&**world.repository.storage()));
    let watching = Machine::new(&world, storage.clone());
    let before = watching.version();
    let conflicts = Mutex::new(0);
    std::thread::scope(|scope| {
        for machine in 0..MACHINES {
            let (world, storage, conflicts) = (&world, storage.clone(), &conflicts);
            scope.spawn(move || {
                let this = Machine::new(world, storage);
                let options = Options { retry: 0, ..Options::default() };
                for number in 0..EACH {
                    loop {
                        match this.publish(&format!("{machine}-{number}"), &options) {
                            Ok(outcome) => {
                                assert!(matches!(outcome, Outcome::Published(_)));
                                break;
                            }
                            Err(Error::Conflict { .. } | Error::Unsettled { .. }) => {
                                *conflicts.lock().unwrap() += 1;
                            }
                            Err(error) => panic!("{}", tuf_client::chain(&error)),
                        }
                    }
                }
            });
        }
    });
    for machine in 0..MACHINES {
        for number in 0..EACH {
            assert!(watching.has(&format!("{machine}-{number}")), "{machine}-{number}");
        }
    }
    assert_eq!(watching.version(), before + MACHINES * EACH, "every version once");
    println!("{} conflicts", conflicts.lock().unwrap());
}

/// A shared database.
#[derive(Debug, Default)]
struct Database {
    fence: u64,
    held: bool,
    announced: Option<(u64, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct TestLease {
    database: Arc<Mutex<Database>>,
    /// The fence of the lease that this publisher believes to have.
    fence: Mutex<u64>,
}

impl TestLease {
    fn of(database: &Arc<Mutex<Database>>) -> Arc<Self> {
        Arc::new(Self { database: Arc::clone(database), fence: Mutex::default() })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Database, &mut u64) -> T) -> T {
        work(&mut self.database.lock().unwrap(), &mut self.fence.lock().unwrap())
    }
}

impl PublishLease for TestLease {
    fn hold(&self) -> BoxFuture<'_, Result<Duration, Error>> {
        let held = self.with(|database, fence| {
            if database.held && database.fence != *fence {
                return Err(Error::LeaseHeld { holder: "another machine".to_owned() });
            }
            if !database.held {
                database.fence += 1;
                (database.held, *fence) = (true, database.fence);
            }
            Ok(LEASE)
        });
        Box::pin(std::future::ready(held))
    }

    fn announced(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        let announced = self.with(|database, _| database.announced.clone().map(|(_, bytes)| bytes));
        Box::pin(std::future::ready(Ok(announced)))
    }

    fn announce<'a>(&'a self, version: u64, timestamp: &'a [u8]) -> BoxFuture<'a, Result<(), Error>> {
        let result = self.with(|database, fence| {
            let is_next = database.announced.as_ref().is_none_or(|(last, _)| *last < version);
            if !database.held || database.fence != *fence || !is_next {
                return Err(crate::publish::commit::conflict(None, Some(timestamp)));
            }
            database.announced = Some((version, timestamp.to_vec()));
            Ok(())
        });
        Box::pin(std::future::ready(result))
    }

    fn release(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.with(|database, fence| database.held &= database.fence != *fence);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn unguarded(inner: &Arc<impl Storage + 'static>, between: super::faults::Watch) -> Arc<Faulty> {
    Arc::new(Faulty::new(inner.clone(), None, Box::new(|| ())).unguarded(between))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_swap_and_without_a_lease_nothing_is_written() {
    let world = World::new().await;
    let inner = memory(&all_files(&**world.repository.storage()));
    let machine = Machine::new(&world, unguarded(&inner, Box::new(|| ())));
    let mut changes = Changes::default();
    set(&mut changes, &*inner, "x", b"x");
    let before = all_files(&*inner);
    let refused = std::thread::scope(|scope| {
        scope.spawn(|| machine.run(&changes, &Options::default())).join().unwrap()
    });
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Unguarded { .. }) && error.is_refusal(), "{error:?}");
    assert!(error.hint().unwrap().contains("postgres://"));
    assert_eq!(all_files(&*inner), before);
}

/// A publisher is stopped after it made sure of its lease and before it sends its timestamp; the lease runs out, another one
/// publishes; the first one goes on and sends an older timestamp over the newer one. It sees that itself, or dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_stopped_and_sends_too_late_is_repaired_and_nothing_is_lost() {
    for dies in [false, true] {
        let world = World::new().await;
        let inner = memory(&all_files(&**world.repository.storage()));
        let database = Arc::new(Mutex::new(Database::default()));
        let second = Arc::new(Machine::new(&world, unguarded(&inner, Box::new(|| ()))));
        let options = |database: &Arc<Mutex<Database>>| Options {
            lease: Some(TestLease::of(database)),
            ..Options::default()
        };
        let before = second.version();

        let stopped = AtomicBool::new(false);
        let (other, shared, others) = (Arc::clone(&second), Arc::clone(&database), options(&database));
        let between = move || {
            if !stopped.swap(true, Ordering::SeqCst) {
                // Meanwhile: the lease runs out, and the other one publishes.
                shared.lock().unwrap().held = false;
                std::thread::scope(|scope| {
                    scope.spawn(|| other.publish("y", &others)).join().unwrap().unwrap();
                });
                assert!(other.has("x") && other.has("y"), "it went on from what was announced");
                assert_eq!(other.version(), before + 2);
            }
        };
        let overwritten = Arc::new(AtomicBool::new(false));
        let (seen, look, newest) = (Arc::clone(&overwritten), inner.clone(), Arc::clone(&database));
        let watch = move || {
            let found = look.read(TIMESTAMP, 1 << 20).unwrap();
            let announced = newest.lock().unwrap().announced.clone();
            if announced.is_some_and(|(version, bytes)| version == before + 2 && Some(bytes) != found) {
                seen.store(true, Ordering::SeqCst);
            }
        };
        // The target, a bin and the snapshot come first.
        let fault = dies.then_some(Fault::Dies { write: 3, after: true });
        let faulty = Faulty::new(inner.clone(), fault, Box::new(watch)).unguarded(Box::new(between));
        let first = Machine::new(&world, Arc::new(faulty));
        let result = std::thread::scope(|scope| {
            scope.spawn(|| first.publish("x", &options(&database))).join().unwrap()
        });
        assert!(overwritten.load(Ordering::SeqCst), "the older one was sent over the newer one");
        assert_eq!(result.is_err(), dies, "{result:?}");
        if dies {
            assert_eq!(second.version(), before + 1);
            database.lock().unwrap().held = false;
            // Whoever comes next repairs it, with nothing to publish of its own.
            let repairing = std::thread::scope(|scope| {
                scope.spawn(|| second.run(&Changes::default(), &options(&database))).join().unwrap()
            });
            assert_eq!(repairing.unwrap(), Outcome::Nothing);
        }
        assert!(second.has("x") && second.has("y"));
        assert_eq!(second.version(), before + 2);
    }
}

/// Somebody with the stolen keys has sent a timestamp that no database ever heard of.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_under_the_lease_goes_below_what_an_attacker_sent() {
    let world = World::new().await;
    let inner = memory(&all_files(&**world.repository.storage()));
    let database = Arc::new(Mutex::new(Database::default()));
    let machine = Machine::new(&world, unguarded(&inner, Box::new(|| ())));
    let lease = || Options { lease: Some(TestLease::of(&database)), ..Options::default() };
    std::thread::scope(|scope| scope.spawn(|| machine.publish("x", &lease())).join().unwrap().unwrap());
    let (repository, mut passphrases) = (&machine.repository, Passphrases::from_environment());
    let published = repository.published().unwrap().unwrap();
    let good = published.set().snapshot().header.version;
    let mut timestamp = published.set().timestamp().value().clone();
    timestamp.header_mut().version = 1 << 40;
    let kind = RoleKind::Timestamp;
    let listed = [Listed::of_root(published.set().root(), TopLevel::Timestamp)];
    let keys = &repository.config.role(kind).unwrap().keys;
    let sent = Signers::new(repository, &mut passphrases).sign(
        timestamp,
        &TopLevel::Timestamp.role(),
        keys,
        &listed,
    );
    let before = inner.read(TIMESTAMP, 1 << 20).unwrap();
    inner.swap(TIMESTAMP, before.as_deref(), &sent.unwrap()).unwrap();

    let request = Request::new(vec!["timestamp".parse().unwrap()], good, "stolen".to_owned());
    let lock = repository.lock().unwrap();
    let applied =
        recover::apply(repository, &lock, &mut passphrases, Some(&request), None, &lease()).await.unwrap();
    assert!(matches!(applied, recover::Applied::Published(_)), "{applied:?}");
    let now = repository.published().unwrap().unwrap();
    assert_eq!(now.set().root().header.version, 2);
    assert!(now.set().timestamp().header.version < 1 << 40);
    assert!(machine.has("x"));
    let database = database.lock().unwrap();
    assert_eq!(
        database.announced.as_ref().map(|(_, bytes)| &**bytes),
        Some(&**now.set().timestamp().bytes())
    );
    assert!(!database.held, "the lease is given back");
}

/// It died after clients saw its timestamp, and another machine has published since: nobody can tell any more that they did, but for
/// the log of the other one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_publisher_did_is_logged_although_another_machine_has_published_since() {
    for seen in [true, false] {
        let world = World::new().await;
        let inner = memory(&all_files(&**world.repository.storage()));
        let before = version(&inner.read(TIMESTAMP, 1 << 20).unwrap().unwrap()).unwrap();
        // The target, a bin and the snapshot come first.
        let fault = Fault::Dies { write: 3, after: seen };
        let dying = Machine::new(&world, Arc::new(Faulty::new(inner.clone(), Some(fault), Box::new(|| ()))));
        let other = Machine::new(&world, inner.clone());
        let options = Options::default();
        let (first, again) = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    dying.publish("x", &options).unwrap_err();
                    other.publish("y", &options).unwrap();
                    let revived =
                        Machine { repository: dying.repository.clone().with_storage(inner.clone()), ..dying };
                    revived.publish("z", &options).unwrap();
                    (revived.lines(), other.lines())
                })
                .join()
                .unwrap()
        });
        let versions = |lines: &[Line]| -> Vec<(u64, bool, bool)> {
            let of = |line: &Line| (line.after.as_ref().unwrap().version, line.late.is_some(), line.unsure);
            lines.iter().map(of).collect()
        };
        let after = before + if seen { 3 } else { 2 };
        assert_eq!(versions(&again), [(after - 1, false, false)]);
        // Only one that another one has built on, or might have: of what never was, its own log says that it is not sure.
        let expected = match seen {
            true => vec![(before + 1, true, true), (after, false, false)],
            false => vec![(after, false, false)],
        };
        assert_eq!(versions(&first), expected, "{seen}");
        assert_eq!(again[0].before == first[0].after, seen);
    }
}
