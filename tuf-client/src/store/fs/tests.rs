use std::{
    fs,
    io::{self, BufRead, Write},
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use super::pin::{RECORD, ROOT, sha256};
use super::*;
use crate::store::testing;

const ROOT_BYTES: &[u8] = b"{\"signed\":{}}";
const CHILD: &str = "TUF_CLIENT_TEST_STORE";

/// In memory if there is a file system for that, so that syncing costs nothing.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn url() -> Url {
    Url::parse("https://index.example/").unwrap()
}

fn store(directory: &Path) -> FsStore {
    FsStore::init(directory, ROOT_BYTES, &url()).unwrap()
}

fn write(file: StoredFile, bytes: &[u8]) -> Batch {
    Batch::new(vec![Change::Write(file, Arc::from(bytes))])
}

#[test]
fn keeps_the_promises_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    testing::store_suite(|| {
        count.set(count.get() + 1);
        Box::new(store(&dir.path().join(count.get().to_string())))
    });
}

#[test]
fn a_store_is_pinned_to_its_root_and_url() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("a/store");
    let missing = FsStore::existing(&directory).unwrap_err();
    assert_eq!(missing.kind(), &StoreErrorKind::NotInitialised);

    store(&directory);
    store(&directory);
    let existing = FsStore::existing(&directory).unwrap();
    assert_eq!((existing.root(), existing.url()), (ROOT_BYTES, &url()));

    let other = FsStore::init(&directory, b"another root", &url()).unwrap_err();
    let stored = sha256(ROOT_BYTES);
    assert_eq!(other.kind(), &StoreErrorKind::OtherRoot { given: sha256(b"another root"), stored });
    let elsewhere = Url::parse("https://user:secret@elsewhere.example/").unwrap();
    let other = FsStore::init(&directory, ROOT_BYTES, &elsewhere).unwrap_err();
    assert!(matches!(other.kind(), StoreErrorKind::OtherUrl { .. }));
    assert!(!format!("{other} {other:?}").contains("secret"));
    let with_password = Url::parse("https://user:secret@index.example/").unwrap();
    FsStore::init(&directory, ROOT_BYTES, &with_password).unwrap();
}

#[test]
fn one_damaged_file_of_the_pin_repairs_itself_and_is_kept() {
    let dir = scratch();
    for name in [ROOT, RECORD, "backup/root.json", "backup/store.json"] {
        let path = dir.path().join(name);
        store(dir.path());
        let good = fs::read(&path).unwrap();
        let mut cases: Vec<Vec<u8>> = vec![Vec::new(), vec![0; good.len()], good[..good.len() / 2].to_vec()];
        cases.extend((0..64).map(|n| {
            let mut flipped = good.clone();
            flipped[n * good.len() / 64] ^= 1 << (n % 8);
            flipped
        }));
        for damage in cases {
            durable::write_private(&path, &damage).unwrap();
            let other = FsStore::init(dir.path(), b"{\"another\": \"root\"}", &url()).unwrap_err();
            assert!(matches!(other.kind(), StoreErrorKind::OtherRoot { .. }), "{name}: {other}");
            let existing = FsStore::existing(dir.path()).unwrap();
            assert_eq!((existing.root(), existing.url()), (ROOT_BYTES, &url()), "{name} {damage:?}");
            let recovered = existing.open().unwrap().take_recovered();
            // White space in a record has no meaning, and damage there no effect.
            if fs::read(&path).unwrap() != damage {
                assert_eq!(recovered.len(), 1, "{name} {damage:?}");
                assert_eq!(recovered[0].file, name);
                assert_eq!(fs::read(recovered[0].kept.as_ref().unwrap()).unwrap(), damage);
                assert_eq!(fs::read(&path).unwrap(), good);
            }
            fs::remove_file(&path).unwrap();
            FsStore::existing(dir.path()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), good, "{name} is made again");
        }
    }
    assert!(fs::read_dir(dir.path().join(DAMAGED)).unwrap().count() <= 16);
}

#[test]
fn a_pin_damaged_twice_is_refused_then_repaired_by_the_same_root_only() {
    let dir = tempfile::tempdir().unwrap();
    for (name, torn) in
        [(ROOT, &b""[..]), (ROOT, &[0; 90]), (ROOT, b"{"), (RECORD, b""), (RECORD, b"{\"root")]
    {
        store(dir.path()).open().unwrap().commit(&write(StoredFile::Timestamp, b"t")).unwrap();
        durable::write_atomic(&dir.path().join(name), torn).unwrap();
        durable::write_atomic(&dir.path().join("backup").join(name), torn).unwrap();
        let error = FsStore::existing(dir.path()).unwrap_err();
        assert!(matches!(error.kind(), StoreErrorKind::Damaged(_)), "{error}");
        let other = FsStore::init(dir.path(), b"another root", &url()).unwrap_err();
        assert!(matches!(other.kind(), StoreErrorKind::OtherRoot { .. }), "{name} {torn:?}: {other}");
        let repaired = store(dir.path());
        assert_eq!(FsStore::existing(dir.path()).unwrap().root(), ROOT_BYTES);
        assert!(repaired.open().unwrap().load(&StoredFile::Timestamp, 9).unwrap().is_some());
    }
}

#[test]
fn a_file_in_the_way_is_no_file_and_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = dir.path().join("metadata/timestamp.json");
    let mut session = store.open().unwrap();
    let mut check = |what: &str| {
        assert_eq!(session.load(&StoredFile::Timestamp, 9).unwrap(), None, "{what}");
        session.commit(&write(StoredFile::Timestamp, b"good")).unwrap();
        assert_eq!(session.load(&StoredFile::Timestamp, 9).unwrap().unwrap(), b"good", "{what}");
        let recovered = session.take_recovered();
        assert_eq!(recovered.len(), 1, "{what}");
        assert!(recovered[0].to_string().contains(what) && recovered[0].kept.is_some(), "{}", recovered[0]);
        durable::set_aside(&path, dir.path(), "gone").unwrap();
    };
    fs::create_dir_all(path.join("full")).unwrap();
    check("a directory");
    durable::write_atomic(&path, b"").unwrap();
    check("empty");
    durable::write_atomic(&path, &[b'x'; 10]).unwrap();
    check("too long");
    #[cfg(unix)]
    {
        let outside = dir.path().join("outside");
        durable::write_atomic(&outside, b"outside").unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        check("a symbolic link");
        assert_eq!(fs::read(&outside).unwrap(), b"outside");
    }
}

#[cfg(unix)]
#[test]
fn the_store_is_the_owners_alone_and_stays_in_its_directory() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("store");
    let store = store(&directory);
    store.open().unwrap().commit(&write(StoredFile::FloorTimestamp, b"x")).unwrap();
    for name in ["", "metadata", "metadata/floor"] {
        assert_eq!(fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777, 0o700, "{name}");
    }
    for name in [RECORD, ROOT, LOCK, "metadata/floor/timestamp.json"] {
        assert_eq!(fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }

    fs::remove_dir_all(directory.join("metadata/floor")).unwrap();
    std::os::unix::fs::symlink(dir.path(), directory.join("metadata/floor")).unwrap();
    let mut session = store.open().unwrap();
    session.commit(&write(StoredFile::FloorTimestamp, b"x")).unwrap_err();
    session.load(&StoredFile::FloorTimestamp, 9).unwrap_err();
    assert!(!dir.path().join("timestamp.json").exists());
}

#[test]
fn what_a_killed_process_left_behind_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    store.open().unwrap().commit(&write(StoredFile::FloorTimestamp, b"x")).unwrap();
    for leftover in [".tmp-a", "metadata/.tmp-b", "metadata/floor/.tmp-c"] {
        let leftover = dir.path().join(leftover);
        durable::write_atomic(&leftover, b"half").unwrap();
        drop(store.open().unwrap());
        assert!(leftover.exists(), "an orderly end leaves nothing, so nothing is looked for");
        durable::write_atomic(&dir.path().join(LOCK), b"process 1 (killed)").unwrap();
        drop(store.open().unwrap());
        assert!(!leftover.exists());
    }
}

#[test]
fn a_busy_store_names_its_holder() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).with_lock_wait(Duration::from_millis(30));
    let _session = store.open().unwrap();
    let error = store.open().err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains("lock"), "{text}");
}

/// Not a test of its own: the child process of the next one.
#[test]
fn child_that_holds_the_lock() {
    if let Some(directory) = crate::env::var(CHILD) {
        let _session = FsStore::existing(Path::new(&directory)).unwrap().open().unwrap();
        let mut out = io::stderr();
        writeln!(out, "locked").unwrap();
        thread::sleep(Duration::from_secs(60));
    }
}

#[test]
fn killing_the_holder_frees_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::fs::tests::child_that_holds_the_lock", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = io::BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "locked"));

    let error = store.clone().with_lock_wait(Duration::ZERO).open().err().unwrap();
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let leftover = dir.path().join("metadata/.tmp-x");
    durable::write_atomic(&leftover, b"half").unwrap();
    let store = store.with_lock_wait(Duration::from_secs(5));
    drop(store.open().unwrap());
    assert!(!leftover.exists());
}
