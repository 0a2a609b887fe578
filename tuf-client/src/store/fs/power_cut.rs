//! Power cuts, simulated: the operations of real runs are recorded; then, for every instant, every way is tried in which a file
//! system may have kept or lost what was not synced, and the next run must cope with it.
//!
//! The model: a name (created, renamed, removed) lasts once its directory was synced, bytes last once their file was synced. Before
//! that, any subset of the changed names may be there after the cut, and a file may have its bytes, half of them, NULs, or none.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use tuf_core::TargetPath;

use super::tests::scratch;
use super::*;
use crate::durable::watch::{Done, Watch};
use crate::{Client, Error, ErrorKind};

#[expect(dead_code, reason = "shared with the tests outside, which use all of it")]
#[path = "../../../tests/suite/common.rs"]
mod common;

use common::{Files, MapTransport, Repo, now};

/// `all`: every state. Otherwise one of so many is gone on with.
const EVERY: &str = "TUF_POWER_CUT";
const SAMPLE: usize = 60;
/// States looked at for one instant, if it has more.
const PER_INSTANT: usize = 1024;

const STORE: &str = "store";

/// The repository after each stage, with all it ever published.
fn stages() -> Vec<Files> {
    let mut repo = Repo::new();
    let mut all = repo.build();
    let mut stages = vec![all.clone()];
    let mut publish = |repo: &mut Repo, all: &mut Files| {
        all.extend(repo.build());
        stages.push(all.clone());
    };
    repo.version += 1;
    for _ in 0..2 {
        repo.root.header.version += 1;
        all.extend(repo.build());
    }
    repo.root.header.version += 1;
    publish(&mut repo, &mut all);
    repo.version += 1;
    repo.root.header.version += 1;
    publish(&mut repo, &mut all);
    stages
}

fn client(directory: &Path, files: &Files) -> Result<Client, Error> {
    let url: Url = "https://index.example/".parse().unwrap();
    let root = &files["metadata/1.root.json"];
    let store = FsStore::init(&directory.join(STORE), root, &url)?;
    let builder = Client::builder(root.clone(), url).clock(now).store(store);
    builder.transport(MapTransport(Arc::new(files.clone()))).build()
}

#[tokio::main(flavor = "current_thread")]
async fn refresh(directory: &Path, files: &Files) -> Result<(u64, u64), Error> {
    let view = client(directory, files)?.refresh().await?;
    let set = view.trusted();
    Ok((set.root().header.version, set.timestamp().header.version))
}

#[tokio::main(flavor = "current_thread")]
async fn download(directory: &Path, files: &Files) -> Result<(), Error> {
    let view = client(directory, files)?.refresh().await?;
    let target = view.require(&TargetPath::new("packages/six.whl").unwrap()).await?;
    view.save().await?;
    view.download(&target, &directory.join("out")).await.map(drop)
}

/// What runs one after the other; the last one is the download.
fn run_stage(directory: &Path, stages: &[Files], stage: usize) {
    match stages.get(stage) {
        Some(files) => drop(refresh(directory, files).unwrap()),
        None => download(directory, stages.last().unwrap()).unwrap(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Node {
    Directory,
    /// By number.
    File(usize),
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, Node),
    Move(String, String, Node),
    Remove(String),
}

impl NameChange {
    fn directory(&self) -> &str {
        let (Self::Set(name, _) | Self::Move(_, name, _) | Self::Remove(name)) = self;
        name.rsplit_once('/').map_or("", |(directory, _)| directory)
    }

    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Set(name, node) => drop(names.insert(name.clone(), node.clone())),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Move(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }
}

/// A disk below a directory: what lasts, and what does not yet.
#[derive(Default)]
struct Disk {
    names: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<NameChange>,
    inodes: Vec<Inode>,
}

impl Disk {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    /// The file of this name, made if it is not there: lock files are opened, not created.
    fn file(&mut self, name: &str) -> &mut Inode {
        let number = match self.names.get(name) {
            Some(Node::File(number)) => *number,
            _ => {
                self.inodes.push(Inode::default());
                let number = self.inodes.len() - 1;
                self.change(NameChange::Set(name.to_owned(), Node::File(number)));
                number
            }
        };
        &mut self.inodes[number]
    }

    fn apply(&mut self, done: &Done) {
        match done {
            Done::Create(name) => drop(self.file(name)),
            Done::MakeDir(name) => self.change(NameChange::Set(name.clone(), Node::Directory)),
            Done::Remove(name) => self.change(NameChange::Remove(name.clone())),
            Done::Rename(from, to) => {
                let node = self.names[from].clone();
                self.change(NameChange::Move(from.clone(), to.clone(), node));
            }
            Done::Truncate(name) => self.file(name).current.clear(),
            Done::Write(name, bytes) => self.file(name).current.extend_from_slice(bytes),
            Done::SyncFile(name) => {
                let file = self.file(name);
                file.durable.clone_from(&file.current);
            }
            #[cfg(target_os = "linux")]
            Done::SyncFileSystem(_) => {
                self.inodes.iter_mut().for_each(|file| file.durable.clone_from(&file.current));
                let synced = std::mem::take(&mut self.pending);
                synced.iter().for_each(|change| change.apply(&mut self.durable));
            }
            Done::SyncDir(directory) => {
                let (synced, pending) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|change| change.directory() == directory);
                let synced: Vec<NameChange> = synced;
                synced.iter().for_each(|change| change.apply(&mut self.durable));
                self.pending = pending;
            }
        }
    }

    /// What may be there if the power goes now: files by name, `None` for a directory. Calls `look` for each.
    fn cuts(&self, mut look: impl FnMut(BTreeMap<String, Option<Vec<u8>>>)) -> usize {
        let dirty: Vec<usize> =
            (0..self.inodes.len()).filter(|n| self.inodes[*n].durable != self.inodes[*n].current).collect();
        let ways = |base: usize, count: usize| base.checked_pow(u32::try_from(count).unwrap());
        let total = ways(2, self.pending.len()).zip(ways(5, dirty.len()));
        let total = total.and_then(|(names, bytes)| names.checked_mul(bytes)).unwrap_or(usize::MAX);
        let count = total.min(PER_INSTANT);
        for n in 0..count {
            // All of them, or so many that are spread evenly.
            let mut choice = if total == count { n } else { (total / count) * n + n * n % (total / count) };
            let mut digit = |base: usize| {
                let digit = choice % base;
                choice /= base;
                digit
            };
            let mut names = self.durable.clone();
            for change in &self.pending {
                if digit(2) == 1 {
                    change.apply(&mut names);
                }
            }
            let mut bytes: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
            for number in &dirty {
                let Inode { durable, current } = &self.inodes[*number];
                bytes.insert(
                    *number,
                    match digit(5) {
                        0 => current.clone(),
                        1 => Vec::new(),
                        2 => current[..current.len() / 2].to_vec(),
                        3 => vec![0; current.len()],
                        _ => durable.clone(),
                    },
                );
            }
            let reachable = |name: &String| {
                name.match_indices('/').all(|(at, _)| names.get(&name[..at]) == Some(&Node::Directory))
            };
            let tree = names.iter().filter(|(name, _)| reachable(name)).map(|(name, node)| {
                let content = match node {
                    Node::Directory => None,
                    Node::File(n) => Some(bytes.get(n).unwrap_or(&self.inodes[*n].current).clone()),
                };
                (name.clone(), content)
            });
            look(tree.collect());
        }
        count
    }
}

fn is_temporary(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap();
    name.starts_with(".tmp-") || name.starts_with(".part-")
}

fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            let ours = is_temporary(path.to_str().unwrap());
            if path.is_dir() {
                leftovers(&path)
            } else if ours {
                vec![path]
            } else {
                Vec::new()
            }
        })
        .collect()
}

/// What the runs before the cut reported as done.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Promised {
    root: u64,
    timestamp: u64,
}

fn assert_recovers(tree: &BTreeMap<String, Option<Vec<u8>>>, promised: Promised, stages: &[Files]) {
    let scratch = scratch();
    for (name, content) in tree {
        let path = scratch.path().join(name);
        match content {
            None => std::fs::create_dir(&path).unwrap(),
            Some(bytes) => {
                let mut file = std::fs::File::create_new(&path).unwrap();
                io::Write::write_all(&mut file, bytes).unwrap();
            }
        }
    }
    // An older repository is refused if a newer one was reported as taken.
    for (older, version) in stages.iter().zip(1..) {
        if version < promised.timestamp {
            let error =
                refresh(scratch.path(), older).map(|found| panic!("{found:?} after {}", promised.timestamp));
            let error = error.unwrap_err();
            assert_eq!(error.attack(), Some("rollback"), "{error}");
        }
    }
    let newest = stages.last().unwrap();
    let (root, timestamp) = refresh(scratch.path(), newest).unwrap();
    assert!((root, timestamp) == (5, 3) && root >= promised.root);
    assert_eq!(leftovers(&scratch.path().join(STORE)), Vec::<PathBuf>::new());
}

#[test]
fn a_power_cut_at_any_instant_loses_nothing_that_was_reported_as_done() {
    let stages = stages();
    let all = crate::env::var(EVERY).is_some_and(|value| value == "all");
    let directory = tempfile::tempdir().unwrap();
    let watch = Watch::new(directory.path());
    let mut ends = Vec::new();
    for stage in 0..=stages.len() {
        run_stage(directory.path(), &stages, stage);
        ends.push(watch.done().len());
    }
    let trace = watch.done();
    drop(watch);

    let mut disk = Disk::default();
    // Each file is only ever one of these, under its own name.
    let mut whole: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut replay = Disk::default();
    for done in &trace {
        replay.apply(done);
        if let Done::Rename(_, to) = done
            && let Some(Node::File(n)) = replay.names.get(to)
        {
            whole.entry(to.clone()).or_default().insert(replay.inodes[*n].current.clone());
        }
    }
    let (mut states, mut gone_on, mut seen) = (0, 0, HashSet::new());
    for (at, done) in trace.iter().enumerate() {
        disk.apply(done);
        let promised = match ends.iter().filter(|end| **end <= at + 1).count() {
            0 => Promised { root: 0, timestamp: 0 },
            1 => Promised { root: 1, timestamp: 1 },
            2 => Promised { root: 4, timestamp: 2 },
            _ => Promised { root: 5, timestamp: 3 },
        };
        states += disk.cuts(|tree| {
            for (name, content) in &tree {
                let Some(bytes) = content else { continue };
                let known = is_temporary(name) || name.ends_with("/lock") || whole[name].contains(bytes);
                assert!(known, "instant {at}, {done:?}: {name} is {:?}", String::from_utf8_lossy(bytes));
            }
            let number = seen.len();
            if seen.insert((promised, tree.clone())) && (all || number % SAMPLE == 0) {
                gone_on += 1;
                assert_recovers(&tree, promised, &stages);
            }
        });
    }
    println!(
        "{} operations, {states} states, {} of them different, {gone_on} gone on with{}",
        trace.len(),
        seen.len(),
        if all { String::new() } else { format!(" ({EVERY}=all: every one)") }
    );
    assert!(states >= 10_000, "{states}");
}

/// Disk full, read-only or broken, from the n-th operation on.
#[test]
fn a_disk_that_fails_at_any_operation_is_an_error_and_loses_nothing() {
    let stages = stages();
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::Other] {
        let mut failures = 0;
        for first in [true, false] {
            for count in 0.. {
                let scratch = scratch();
                if !first {
                    refresh(scratch.path(), &stages[0]).unwrap();
                }
                let watch = Watch::failing(scratch.path(), count, kind);
                let result = refresh(scratch.path(), &stages[1]);
                let failed = watch.failed();
                drop(watch);
                let stored = match &result {
                    Ok(found) => found.1,
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Store(_)), "{error}");
                        assert!(failed && !error.is_refusal(), "{error}");
                        u64::from(!first)
                    }
                };
                if stored == 2 {
                    let error = refresh(scratch.path(), &stages[0]).unwrap_err();
                    assert_eq!(error.attack(), Some("rollback"), "success without a saved floor: {error}");
                }
                assert_eq!(refresh(scratch.path(), &stages[2]).unwrap(), (5, 3));
                assert_eq!(leftovers(scratch.path()), Vec::<PathBuf>::new());
                if !failed {
                    break;
                }
                failures += 1;
            }
        }
        println!("{kind:?}: {failures} failing operations");
        assert!(failures > 50, "{failures}");
    }
}
