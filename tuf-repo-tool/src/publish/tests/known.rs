//! What is kept of each role, and signing many bins at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tuf_core::{Hashes, RoleName, TargetFile, TargetPath};

use super::super::expiry::Expiries;
use super::super::many::{self, Desk, Wish};
use super::super::{Changes, Listed, Options, Outcome, Renewal, publish};
use super::new_repository;
use crate::config::RoleKind;
use crate::edit::Visit;
use crate::init::{InitOptions, Preset, init};
use crate::keys::Passphrases;
use crate::repository::Repository;
use crate::signing::Signers;
use crate::status::status;
use crate::storage::{self, NewFile, Storage, StorageError, Swap};

/// Counts how many metadata files are read, by the role's name.
#[derive(Debug)]
struct Counted {
    files: Arc<dyn Storage>,
    bins: AtomicUsize,
    delegators: AtomicUsize,
}

impl Counted {
    fn take(&self) -> (usize, usize) {
        (self.bins.swap(0, Ordering::Relaxed), self.delegators.swap(0, Ordering::Relaxed))
    }
}

impl Storage for Counted {
    fn url(&self) -> String {
        self.files.url()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let is = |what: &str| usize::from(path.contains(what));
        self.bins.fetch_add(is(".bin-"), Ordering::Relaxed);
        self.delegators.fetch_add(is(".bins."), Ordering::Relaxed);
        self.files.read(path, limit)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.files.length(path)
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        self.files.create(files)
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        self.files.place(path, local)
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        self.files.swap(path, expected, bytes)
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        self.files.swaps()
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(storage::Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.files.walk(directory, visit)
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        self.files.remove(paths)
    }

    fn local(&self) -> Option<&Path> {
        self.files.local()
    }
}

fn target(path: &str, content: &[u8]) -> (TargetPath, TargetFile) {
    let length = u64::try_from(content.len()).unwrap();
    (TargetPath::new(path).unwrap(), TargetFile::new(length, Hashes::of(content)))
}

/// Publishes targets; their files are put in place first.
async fn set(repository: &Repository, passphrases: &mut Passphrases, paths: &[String], content: &[u8]) {
    let mut changes = Changes::default();
    for path in paths {
        let (path, file) = target(path, content);
        let place = Repository::target(&path.remote(Some(&file.hashes)));
        repository.storage().create(&[NewFile { path: place, bytes: content.to_vec() }]).unwrap();
        changes.set(path, file);
    }
    let (lock, options) = (repository.lock().unwrap(), Options::default());
    let outcome = publish(repository, &lock, passphrases, &changes, Renewal::Online, &options).await.unwrap();
    assert!(matches!(outcome, Outcome::Published(_)));
}

/// What is published, read role by role: version and number of targets.
fn read(repository: &Repository) -> BTreeMap<RoleName, (u64, u64)> {
    let mut roles = BTreeMap::new();
    let published = repository.published().unwrap().unwrap();
    published
        .each_role(|role| {
            let count = u64::try_from(role.targets.len()).unwrap();
            roles.insert(role.role_name().clone(), (role.header.version, count));
            Ok(())
        })
        .unwrap();
    roles
}

#[track_caller]
fn assert_known(repository: &Repository) {
    let known = Expiries::load(repository);
    assert!(known.is_of(&repository.published().unwrap().unwrap()));
    let rows: BTreeMap<_, _> =
        known.iter().map(|(visit, row)| (visit.role, (row.version, row.targets))).collect();
    assert_eq!(rows, read(repository));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_change_reads_one_bin_and_what_is_kept_stays_right() {
    let directory = tempfile::tempdir().unwrap();
    let mut passphrases = Passphrases::from_environment();
    let options = InitOptions { bins: Some(64), encrypted: false, ..InitOptions::default() };
    let repository = init(directory.path(), &options, &mut passphrases).await.unwrap();
    let files = Arc::clone(repository.storage());
    let counted =
        Arc::new(Counted { files, bins: AtomicUsize::default(), delegators: AtomicUsize::default() });
    let repository = repository.with_storage(Arc::<Counted>::clone(&counted));
    let paths: Vec<String> = (0..200).map(|number| format!("file/{number}")).collect();
    set(&repository, &mut passphrases, &paths, b"one").await;
    assert_known(&repository);
    // Notes who signs.
    set(&repository, &mut passphrases, &paths[..1], b"two").await;
    counted.take();
    set(&repository, &mut passphrases, &paths[..1], b"three").await;
    // The bin by the publisher and by the client that checks; bins by clients alone, of which one has it already.
    let (bins, delegators) = counted.take();
    assert!(bins <= 2 && delegators <= 1, "{bins} bins, {delegators} times bins.json");
    assert_known(&repository);

    counted.take();
    let counts = status(&repository, &Changes::default()).unwrap();
    assert_eq!((counts.targets, counted.take().0), (200, 0));

    let file = repository.state().join("roles");
    let whole = std::fs::read(&file).unwrap();
    let damages: [fn(&mut Vec<u8>); 6] = [
        |_| (),
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[0] ^= 1,
        |bytes| {
            let middle = bytes.len() - 100;
            bytes[middle] ^= 1;
        },
    ];
    for (index, damage) in damages.into_iter().enumerate() {
        // The first is whole, but of an older state: only what changed since is read.
        let mut bytes = whole.clone();
        damage(&mut bytes);
        tuf_client::durable::write_atomic(&file, &bytes).unwrap();
        counted.take();
        set(&repository, &mut passphrases, &paths[..1], format!("four {index}").as_bytes()).await;
        let bins = counted.take().0;
        assert!(if index == 0 { bins <= 4 } else { bins >= 64 }, "{index}: {bins}");
        assert_known(&repository);
        assert_eq!(status(&repository, &Changes::default()).unwrap().targets, 200);
    }
}

/// Ed25519 signs the same bytes alike, so that files can be compared.
#[tokio::test(flavor = "multi_thread")]
async fn bins_that_are_signed_together_are_those_that_are_signed_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let (repository, mut passphrases) = new_repository(directory.path(), Preset::Mirror).await;
    let mut config = repository.config.clone();
    config.bins = Some(256);
    let repository = Repository::new(directory.path(), config).unwrap();
    let paths: Vec<_> = (0..600).map(|number| target(&format!("file/{number}"), b"x")).collect();
    let mut tree = super::super::first_tree(&repository, 0).unwrap();
    let bins = super::super::bins_role();
    let mut wishes: BTreeMap<RoleName, Wish<'_>> = BTreeMap::new();
    for (path, file) in &paths {
        let visit = tree.owner(path).unwrap();
        let empty = |visit: &Visit| Wish { visit: visit.clone(), changes: Vec::new(), is_due: false };
        wishes.entry(visit.role.clone()).or_insert_with(|| empty(&visit)).changes.push((path, Some(file)));
    }
    let snapshot = tuf_core::Snapshot::new(repository.now());
    let taken = std::collections::BTreeSet::new();
    let desk = Desk { repository: &repository, snapshot, taken: &taken, now: repository.now() };
    let keys = &repository.config.role(RoleKind::BinN).unwrap().keys;
    let listed: Vec<Listed> = tree.authority(&bins, wishes.keys().next().unwrap()).into_iter().collect();
    let mut signers = Signers::new(&repository, &mut passphrases);

    let mut one_by_one = Vec::new();
    for (role, wish) in &wishes {
        let node = tree.clone().take(role, Some(&bins)).unwrap();
        let value = desk.next(node, wish).unwrap().value;
        one_by_one.push((role.clone(), signers.sign(value, role, keys, &listed).unwrap()));
    }
    let team = signers.team(keys, &listed).unwrap();
    let together = many::sign(&desk, &mut tree, &team, wishes.into_values().collect()).unwrap();
    let together: Vec<_> = together.into_iter().map(|(visit, _, bytes)| (visit.role, bytes)).collect();
    assert!(together.len() > 200 && together == one_by_one);
    // Not listed, not a member; and alone it is not enough.
    let top = vec![Listed::configured(&repository, RoleKind::Snapshot).unwrap()];
    assert!(signers.team(keys, &top).is_none());
}
