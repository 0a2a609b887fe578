//! A publish that breaks off, or whose publisher dies, at every single operation: the old state or the new one is
//! published, never a mix, clients that look at every moment are content, and the next publish succeeds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tuf_core::{Hashes, Metadata, TargetFile, TargetPath};

use super::faults::{Fault, Faulty};
use super::new_repository;
use crate::config::RoleKind;
use crate::error::Error;
use crate::init::Preset;
use crate::keys::Passphrases;
use crate::log;
use crate::publish::check::Tester;
use crate::publish::commit::{Commit, Visible, commit};
use crate::publish::{Changes, Check, Listed, Options, Outcome, Renewal, TIMESTAMP, publish};
use crate::repository::Repository;
use crate::signing::Signers;
use crate::storage::{MemoryStorage, NewFile, Storage};

/// One in so many of the operations that may break off; all with `TUF_CRASH=all`.
const SAMPLE: usize = 7;

type Files = BTreeMap<String, Vec<u8>>;

/// A repository whose published files are in memory, as they were before the publish that is tried.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) repository: Repository,
    base: Files,
}

pub(crate) fn all_files(storage: &dyn Storage) -> Files {
    let listed = storage.list("").unwrap().into_iter();
    listed.map(|file| (file.path.clone(), storage.read(&file.path, u64::MAX).unwrap().unwrap())).collect()
}

pub(crate) fn memory(files: &Files) -> Arc<MemoryStorage> {
    let storage = MemoryStorage::default();
    for (path, bytes) in files {
        storage.create(&[NewFile { path: path.clone(), bytes: bytes.clone() }]).unwrap();
    }
    Arc::new(storage)
}

/// Stages a target and puts its file in place.
pub(crate) fn set(changes: &mut Changes, storage: &dyn Storage, path: &str, content: &[u8]) {
    let (path, hashes) = (TargetPath::new(path).unwrap(), Hashes::of(content));
    let file = NewFile { path: format!("targets/{}", path.remote(Some(&hashes))), bytes: content.to_vec() };
    storage.create(&[file]).unwrap();
    changes.set(path, TargetFile::new(u64::try_from(content.len()).unwrap(), hashes));
}

impl World {
    /// With one published state of some targets in hash bins.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (repository, mut passphrases) = new_repository(directory.path(), Preset::Mirror).await;
        let storage = memory(&all_files(&**repository.storage()));
        let mut world =
            Self { repository: repository.with_storage(storage.clone()), directory, base: Files::new() };
        let mut changes = Changes::default();
        for name in ["a", "b", "c", "d"] {
            set(&mut changes, &*storage, name, name.as_bytes());
        }
        let lock = world.repository.lock().unwrap();
        let options = Options::default();
        let first =
            publish(&world.repository, &lock, &mut passphrases, &changes, Renewal::Online, &options).await;
        assert!(matches!(first.unwrap(), Outcome::Published(_)));
        // All of it is valid for too long now: due once.
        for (kind, expires) in
            [(RoleKind::Targets, "300d"), (RoleKind::Bins, "300d"), (RoleKind::BinN, "20d")]
        {
            world.repository.config.roles.get_mut(&kind).unwrap().expires = expires.parse().unwrap();
        }
        world.base = all_files(&*storage);
        world
    }

    fn with(&self, storage: Arc<dyn Storage>) -> Repository {
        self.repository.clone().with_storage(storage)
    }

    /// How many lines the log of this machine has of each timestamp.
    fn logged(&self) -> BTreeMap<String, usize> {
        let bytes = std::fs::read(log::path(self.directory.path())).unwrap_or_default();
        let mut lines = BTreeMap::new();
        let end = log::read(&bytes[..], |found| {
            let after = found.line.after.unwrap();
            *lines.entry(after.sha256).or_default() += 1;
            Ok::<_, std::io::Error>(())
        });
        assert_eq!(end.unwrap().torn, None);
        lines
    }

    fn forget_log(&self) {
        std::fs::remove_file(log::path(self.directory.path())).ok();
    }

    fn forget_journal(&self) {
        std::fs::remove_dir_all(self.directory.path().join("state/journal")).ok();
    }
}

/// A client that keeps its store, and looks whenever it is told to.
fn watcher(repository: &Repository) -> Box<dyn Fn() + Send + Sync> {
    let root = repository.first_root().unwrap();
    let returning = Tester::new(repository, &root, Files::new()).unwrap();
    let fresh = repository.clone();
    Box::new(move || {
        block_in_place(|| {
            Handle::current().block_on(async {
                returning.client.refresh().await.expect("a client that polls");
                let new = Tester::new(&fresh, &root, Files::new()).unwrap();
                new.client.refresh().await.expect("a new client");
            });
        });
    })
}

/// What clients get: every target, by path; read from nothing.
async fn content(repository: &Repository) -> BTreeMap<String, u64> {
    let root = repository.first_root().unwrap();
    let tester = Tester::new(repository, &root, Files::new()).unwrap();
    let view = tester.client.refresh().await.unwrap();
    let mut found = BTreeMap::new();
    for role in view.roles().await.unwrap() {
        for (path, file) in role.targets.iter() {
            let path = TargetPath::new(&*path).unwrap();
            let target = view.require(&path).await.unwrap();
            let bytes = view.read(&view.wanted(&target), 100).await.unwrap();
            assert_eq!(u64::try_from(bytes.len()).unwrap(), file.length);
            found.insert(path.to_string(), file.length);
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The same command, on the same machine.
    Same,
    /// Another one, of an operator who changed their mind.
    Other,
    /// The same from another machine, which has no journal.
    Elsewhere,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_breaks_off_or_dies_at_any_operation_leaves_the_old_state_or_the_new_one() {
    let world = World::new().await;
    let mut passphrases = Passphrases::from_environment();
    let lock = world.repository.lock().unwrap();
    let mut asked = Changes::default();
    let mut base = world.base.clone();
    let prepared = memory(&base);
    set(&mut asked, &*prepared, "a", b"another a");
    set(&mut asked, &*prepared, "e", b"e");
    asked.remove(TargetPath::new("b").unwrap());
    let mut other = asked.clone();
    set(&mut other, &*prepared, "f", b"f");
    base.extend(all_files(&*prepared));
    let options = Options { check: Check::All, verify: true, retry: 0, ..Options::default() };
    let old = content(&world.with(prepared)).await;
    assert_eq!(old.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);

    // Without a fault, to count.
    let inner = memory(&base);
    let plain = world.with(inner.clone());
    let counting = Arc::new(Faulty::new(inner.clone(), None, watcher(&plain)));
    let counted = world.with(counting.clone());
    let outcome = publish(&counted, &lock, &mut passphrases, &asked, Renewal::All, &options).await;
    let Outcome::Published(summary) = outcome.unwrap() else { panic!() };
    let new = content(&plain).await;
    assert_eq!(new.keys().collect::<Vec<_>>(), ["a", "c", "d", "e"]);
    let (writes, operations) =
        (counting.writes.load(Ordering::SeqCst), counting.operations.load(Ordering::SeqCst));
    // Two bins, the role above them, targets, snapshot, timestamp.
    assert_eq!((writes, summary.signed.len()), (6, 6));
    let complete = all_files(&*inner).len();

    let dies = (0..writes).flat_map(|write| [false, true].map(|after| Fault::Dies { write, after }));
    let breaks =
        (0..operations).flat_map(|operation| [false, true].map(|after| Fault::Breaks { operation, after }));
    let all = tuf_client::env::var("TUF_CRASH").is_some_and(|value| value == "all");
    let breaks = breaks.step_by(if all { 1 } else { SAMPLE });
    let (mut tried, mut completed) = (0, 0);
    for (number, fault) in dies.chain(breaks).enumerate() {
        let nexts = [Next::Same, Next::Other, Next::Elsewhere];
        // Each of the three is tried after some faults, or after all.
        for next in nexts.into_iter().skip(if all { 0 } else { number % 3 }).take(if all { 3 } else { 1 }) {
            let what = format!("{fault:?}, then {next:?}");
            world.forget_journal();
            world.forget_log();
            let inner = memory(&base);
            let plain = world.with(inner.clone());
            let faulty = world.with(Arc::new(Faulty::new(inner.clone(), Some(fault), watcher(&plain))));
            let result = publish(&faulty, &lock, &mut passphrases, &asked, Renewal::All, &options).await;
            let timestamp = inner.read(TIMESTAMP, 1 << 20).unwrap().unwrap();
            let is_old = timestamp == base[TIMESTAMP];
            assert!(result.is_err() || !is_old, "{what}: it said that it was published");
            let found = content(&plain).await;
            assert_eq!(found, if is_old { old.clone() } else { new.clone() }, "{what}");

            if next == Next::Elsewhere {
                world.forget_journal();
            }
            let changes = if next == Next::Other { &other } else { &asked };
            let after = world.with(Arc::new(Faulty::new(inner.clone(), None, watcher(&plain))));
            let again = publish(&after, &lock, &mut passphrases, changes, Renewal::None, &options).await;
            again.unwrap_or_else(|error| panic!("{what}: {}", tuf_client::chain(&error)));
            let found = content(&plain).await;
            assert_eq!(found.contains_key("f"), next == Next::Other, "{what}");
            assert_eq!(found.len(), new.len() + usize::from(next == Next::Other), "{what}");
            tried += 1;
            // Every timestamp that was published has one line, and nothing else has. On another machine, it has none.
            let last = inner.read(TIMESTAMP, 1 << 20).unwrap().unwrap();
            let mut published: BTreeMap<String, usize> = BTreeMap::new();
            for (timestamp, old) in [(&timestamp, &base[TIMESTAMP]), (&last, &timestamp)] {
                if timestamp != old {
                    published.insert(log::sha256(timestamp), 1);
                }
            }
            let mut logged = world.logged();
            if next == Next::Elsewhere && !is_old {
                logged.insert(log::sha256(&timestamp), 1);
            }
            assert_eq!(logged, published, "{what}");

            // The same command finishes what is there, byte for byte.
            if next == Next::Same && is_old {
                world.forget_journal();
                let inner = memory(&base);
                let faulty = world.with(Arc::new(Faulty::new(inner.clone(), Some(fault), Box::new(|| ()))));
                publish(&faulty, &lock, &mut passphrases, &asked, Renewal::All, &options).await.unwrap_err();
                let journal = std::fs::read(world.directory.path().join("state/journal/publish")).ok();
                let plain = world.with(inner.clone());
                let again = publish(&plain, &lock, &mut passphrases, &asked, Renewal::All, &options).await;
                assert!(matches!(again.unwrap(), Outcome::Published(_)), "{what}");
                if let Some(journal) = journal {
                    // All of it was in the journal; nothing was signed anew.
                    let files = all_files(&*inner);
                    let kept = files.iter().filter(|(path, _)| path.starts_with("metadata/2."));
                    for (path, bytes) in kept.filter(|(path, _)| !base.contains_key(*path)) {
                        let found = journal.windows(bytes.len()).any(|window| window == bytes);
                        assert!(found, "{what}: {path} is not that of the journal");
                    }
                    assert_eq!(files.len(), complete, "{what}");
                    completed += 1;
                }
            }
        }
    }
    println!("{tried} tried: {writes} writes and {operations} operations; {completed} were completed");
    assert!(completed >= if all { writes } else { 2 }, "{completed}");
}

fn sign<T: Metadata>(world: &World, signers: &mut Signers<'_>, value: T, kind: RoleKind) -> Vec<u8> {
    let published = world.repository.published().unwrap().unwrap();
    let listed = [Listed::of_root(published.set().root(), T::KIND)];
    let keys = &world.repository.config.role(kind).unwrap().keys;
    signers.sign(value, &T::KIND.role(), keys, &listed).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_and_a_timestamp_committed_together_are_seen_in_that_order_and_nothing_in_between_breaks() {
    let world = World::new().await;
    let mut passphrases = Passphrases::from_environment();
    let published = world.repository.published().unwrap().unwrap();
    let mut signers = Signers::new(&world.repository, &mut passphrases);
    let mut root = published.set().root().value().clone();
    root.header.version = 2;
    let root = sign(&world, &mut signers, root, RoleKind::Root);
    let mut timestamp = published.set().timestamp().value().clone();
    timestamp.header_mut().version = 2;
    let timestamp = sign(&world, &mut signers, timestamp, RoleKind::Timestamp);
    let step = Commit {
        files: Vec::new(),
        visible: Visible {
            roots: vec![NewFile { path: "metadata/2.root.json".to_owned(), bytes: root.clone() }],
            timestamp: Some(timestamp),
        },
        expected: Some(world.base[TIMESTAMP].clone()),
        summary: crate::publish::Summary::default(),
    };
    let options = Options { check: Check::All, ..Options::default() };
    for fault in (0..2).flat_map(|write| [false, true].map(|after| Fault::Dies { write, after })) {
        let inner = memory(&world.base);
        let plain = world.with(inner.clone());
        let faulty = world.with(Arc::new(Faulty::new(inner.clone(), Some(fault), watcher(&plain))));
        let nothing = Changes::default();
        let died = commit(&faulty, &options, Some(&published), &nothing, "", &step).await;
        let renewed = inner.read("metadata/2.root.json", 1 << 20).unwrap();
        let has_root = !matches!(fault, Fault::Dies { write: 0, after: false });
        assert_eq!(renewed.is_some(), has_root, "{fault:?}");
        let is_new = inner.read(TIMESTAMP, 1 << 20).unwrap().unwrap() != world.base[TIMESTAMP];
        assert_eq!(is_new, fault == Fault::Dies { write: 1, after: true }, "{fault:?}");
        assert!(died.is_err(), "{fault:?}");
        // Done a second time, it is what it was.
        commit(&plain, &options, Some(&published), &nothing, "", &step).await.unwrap();
        watcher(&plain)();
    }
    // A root that clients refuse is never seen, whatever else is in order.
    let mut refused = step;
    refused.visible.roots = vec![NewFile {
        path: "metadata/2.root.json".to_owned(),
        bytes: root.strip_suffix(b"}").unwrap().to_vec(),
    }];
    let inner = memory(&world.base);
    let nothing = Changes::default();
    let repository = world.with(inner.clone());
    let result = commit(&repository, &options, Some(&published), &nothing, "", &refused).await;
    assert!(matches!(result, Err(Error::Check { .. })), "{result:?}");
    assert_eq!(all_files(&*inner), world.base);
}
