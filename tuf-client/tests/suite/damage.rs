//! Every file of a store, damaged in every way: the program goes on, says so, and keeps what was there.

use std::fs::{self, Permissions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tuf_client::Url;
use tuf_client::store::FsStore;
use tuf_client::{Client, Error, TargetPath, View, chain};

use crate::common::{Files, MapTransport, Repo, now};

const FLIPS: usize = 64;

/// In memory if there is a file system for that, so that syncing costs nothing.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The repository at version 1, and at 3 with two more roots.
fn repositories() -> [Files; 2] {
    let mut repo = Repo::new();
    let mut files = repo.build();
    let first = files.clone();
    for _ in 0..2 {
        repo.version += 1;
        repo.root.header.version += 1;
        files.extend(repo.build());
    }
    [first, files]
}

fn client(store: FsStore, files: &Files) -> Client {
    let builder = Client::builder(store.root(), store.url().clone()).clock(now).store(store);
    builder.transport(MapTransport(Arc::new(files.clone()))).build().unwrap()
}

/// A refresh and a search through a delegated role.
async fn run(store: FsStore, files: &Files) -> Result<View, Error> {
    let view = client(store, files).refresh().await?;
    view.require(&TargetPath::new("packages/six.whl").unwrap()).await?;
    view.save().await?;
    Ok(view)
}

fn init(directory: &Path, files: &Files) -> FsStore {
    let url: Url = "https://index.example/".parse().unwrap();
    FsStore::init(directory, &files["metadata/1.root.json"], &url).unwrap()
}

fn plain_files(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { plain_files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for path in plain_files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

/// What is put in a file's place.
enum Damage {
    Bytes(&'static str, Vec<u8>),
    Directory,
    Link(PathBuf),
    /// For its owner; where that is root, it can be read all the same.
    Unreadable,
}

impl Damage {
    fn of(good: &[u8], older: Option<&Vec<u8>>, outside: &Path) -> Vec<Self> {
        let mut all = vec![
            Self::Bytes("empty", Vec::new()),
            Self::Bytes("half", good[..good.len() / 2].to_vec()),
            Self::Bytes("NULs", vec![0; good.len()]),
            Self::Directory,
            Self::Link(outside.to_owned()),
            Self::Unreadable,
        ];
        all.extend(older.map(|older| Self::Bytes("older", older.clone())));
        all.extend((0..FLIPS).map(|n| {
            let mut flipped = good.to_vec();
            flipped[n * good.len() / FLIPS] ^= 1 << (n % 8);
            Self::Bytes("flipped", flipped)
        }));
        all
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Bytes(name, _) => name,
            Self::Directory => "directory",
            Self::Link(_) => "link",
            Self::Unreadable => "unreadable",
        }
    }

    fn apply(&self, path: &Path) {
        use std::os::unix::fs::{PermissionsExt, symlink};
        if let Self::Unreadable = self {
            return fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        }
        fs::remove_file(path).unwrap();
        match self {
            Self::Bytes(_, bytes) => tuf_client::durable::write_private(path, bytes).unwrap(),
            Self::Directory => {
                fs::create_dir(path).unwrap();
                tuf_client::durable::write_private(&path.join("something"), b"x").unwrap();
            }
            Self::Link(outside) => symlink(outside, path).unwrap(),
            Self::Unreadable => {}
        }
    }
}

#[tokio::test]
async fn whatever_happens_to_a_stored_file_is_reported_and_repaired() {
    let [first, newest] = repositories();
    let base = scratch();
    let (older, good) = (base.path().join("older"), base.path().join("good"));
    run(init(&older, &first), &first).await.unwrap();
    copy(&older, &good);
    run(init(&good, &newest), &newest).await.unwrap();
    let outside = base.path().join("outside");
    let (mut cases, mut reported, mut harmless) = (0, 0, Vec::new());
    for path in plain_files(&good) {
        let name = path.strip_prefix(&good).unwrap().to_str().unwrap().to_owned();
        if name == "lock" {
            continue; // its content means nothing, and the next test is about it
        }
        let content = fs::read(&path).unwrap();
        tuf_client::durable::write_private(&outside, &content).unwrap();
        let before = match name.as_str() {
            "metadata/root_history/3.root.json" => {
                fs::read(good.join("metadata/root_history/2.root.json")).ok()
            }
            _ => fs::read(older.join(&name)).ok().filter(|bytes| *bytes != content),
        };
        for damage in Damage::of(&content, before.as_ref(), &outside) {
            let what = format!("{name}, {}", damage.name());
            let scratch = scratch();
            let store = scratch.path().join("store");
            copy(&good, &store);
            damage.apply(&store.join(&name));
            cases += 1;

            // The floor holds, with one file damaged, whether it is repaired meanwhile or not.
            if !name.starts_with("metadata/root_history") {
                let error = run(FsStore::existing(&store).unwrap(), &first).await.unwrap_err();
                assert_eq!(error.attack(), Some("rollback"), "{what}: {}", chain(&error));
            }
            let view = run(FsStore::existing(&store).unwrap(), &newest).await;
            let view = view.unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
            assert_eq!(view.trusted().timestamp().header.version, 3, "{what}");
            assert_eq!(view.trusted().root().header.version, 3, "{what}");
            assert_eq!(fs::read(&outside).unwrap(), content, "{what}: nothing is written through a link");

            let kept = store.join("damaged");
            let kept: Vec<_> = fs::read_dir(kept).map_or_else(|_| Vec::new(), |all| all.collect());
            if kept.is_empty() {
                harmless.push(what.clone());
            } else {
                assert_eq!(kept.len(), 1, "{what}");
                let kept = kept[0].as_ref().unwrap().file_name().into_string().unwrap();
                assert!(kept.ends_with(&name.replace('/', "_")), "{what}: {kept}");
                assert_eq!(fs::read(store.join(&name)).unwrap(), content, "{what} is as it was");
                reported += 1;
            }
            let again = run(FsStore::existing(&store).unwrap(), &newest).await.unwrap();
            assert!(again.warnings().is_empty(), "{what}");
        }
    }
    println!("{cases} cases, {reported} set aside");
    // What is not set aside has lost nothing: an older file beside a newer copy of it, a permission that was given back, a
    // bit that no reader minds.
    // The time of the last refresh only makes a warning.
    harmless.retain(|what| !what.starts_with("metadata/last_time"));
    for what in &harmless {
        assert!(["older", "unreadable", "flipped"].iter().any(|kind| what.ends_with(kind)), "{what}");
        assert!(!(what.ends_with("older") && what.contains("root_history")), "{what}");
    }
    let flipped = harmless.iter().filter(|what| what.ends_with("flipped")).count();
    assert!(flipped * 20 < cases, "{flipped} of {cases}: {harmless:?}");
}

#[tokio::test]
async fn whatever_happens_to_the_lock_file_it_still_locks() {
    let [_, files] = repositories();
    let scratch = scratch();
    let store = scratch.path().join("store");
    init(&store, &files);
    let (lock, outside) = (store.join("lock"), scratch.path().join("outside"));
    tuf_client::durable::write_private(&outside, b"theirs").unwrap();
    for damage in Damage::of(b"process 1 (x)", None, &outside) {
        if lock.is_dir() {
            fs::remove_dir_all(&lock).unwrap();
        }
        tuf_client::durable::write_private(&lock, b"").unwrap();
        damage.apply(&lock);
        if let Damage::Directory = damage {
            fs::remove_file(lock.join("something")).unwrap();
        }
        run(FsStore::existing(&store).unwrap(), &files).await.unwrap();
        assert!(fs::symlink_metadata(&lock).unwrap().is_file(), "{}", damage.name());
        assert_eq!(fs::read(&outside).unwrap(), b"theirs");
    }
}

/// Whoever removes a lock file lets others in, so nothing more is written.
#[test]
fn a_session_whose_lock_file_was_removed_writes_nothing() {
    use tuf_client::store::Store;
    use tuf_client::tuf_core::{Batch, Change, StoredFile};
    let [_, files] = repositories();
    let scratch = scratch();
    let store = init(&scratch.path().join("store"), &files);
    let mut session = store.open().unwrap();
    fs::remove_file(store.directory().join("lock")).unwrap();
    let mut other = store.open().unwrap();
    let batch = Batch::new(vec![Change::Write(StoredFile::Timestamp, Arc::from(&b"x"[..]))]);
    let error = session.commit(&batch).unwrap_err();
    assert!(chain(&error).contains("lock file"), "{}", chain(&error));
    other.commit(&batch).unwrap();
}
