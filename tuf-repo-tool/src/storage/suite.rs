//! What every [`Storage`] promises, as a test that any implementation can run.

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Arc, Barrier};
use std::thread;

use tempfile::NamedTempFile;

use super::{Listed, NewFile, Storage, StorageError, Swap};

const MAX: u64 = 64 << 20;
const RACERS: u8 = 16;

/// Checks the promises of [`Storage`]. `make` returns a new, empty storage each time.
///
/// # Panics
///
/// When a promise is broken, with its name.
pub fn storage_suite(make: impl Fn() -> Arc<dyn Storage>) {
    an_empty_storage_has_nothing(&*make());
    what_was_created_is_read_and_never_rewritten(&*make());
    files_placed_are_read(&*make());
    a_swap_needs_what_is_there(&*make());
    odd_names_are_other_names(&*make());
    paths_that_leave_the_root_are_refused(&*make());
    what_is_too_long_is_not_read(&*make());
    a_listing_is_complete_and_sorted(&*make());
    what_was_removed_is_gone(&*make());
    racing_writers_of_new_files(&*make());
    racing_swaps(&*make());
    readers_see_whole_files(&*make());
}

fn file(path: &str, bytes: &[u8]) -> NewFile {
    NewFile { path: path.to_owned(), bytes: bytes.to_owned() }
}

fn create(storage: &dyn Storage, files: &[(&str, &[u8])]) {
    let files: Vec<_> = files.iter().map(|(path, bytes)| file(path, bytes)).collect();
    storage.create(&files).expect("files are created");
}

fn read(storage: &dyn Storage, path: &str) -> Option<Vec<u8>> {
    storage.read(path, MAX).expect("a file is read")
}

fn paths(storage: &dyn Storage, directory: &str) -> Vec<String> {
    let listed = storage.list(directory).expect("a directory is listed");
    listed.into_iter().map(|listed| listed.path).collect()
}

fn local(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file is written");
    file
}

fn an_empty_storage_has_nothing(storage: &dyn Storage) {
    for path in ["metadata/timestamp.json", "a", "a/b/c"] {
        assert_eq!(read(storage, path), None, "an empty storage has {path}");
        assert_eq!(storage.length(path).expect("a file is looked at"), None);
    }
    assert!(paths(storage, "").is_empty());
    assert!(paths(storage, "metadata").is_empty());
    create(storage, &[]);
    storage.remove(&[]).expect("nothing is removed");
    storage.remove(&["a/b".to_owned()]).expect("what is not there is removed");
    assert!(!storage.url().is_empty());
}

fn what_was_created_is_read_and_never_rewritten(storage: &dyn Storage) {
    create(storage, &[("a/1.json", b"one"), ("a/2.json", b"two"), ("b/empty", b"")]);
    for (path, bytes) in [("a/1.json", &b"one"[..]), ("a/2.json", b"two"), ("b/empty", b"")] {
        assert_eq!(read(storage, path).as_deref(), Some(bytes), "{path} is read");
        let length = storage.length(path).expect("a file is looked at");
        assert_eq!(length, u64::try_from(bytes.len()).ok(), "{path} has its length");
    }
    create(storage, &[("a/1.json", b"one"), ("b/empty", b"")]); // the same bytes are no conflict
    for other in [&b"One"[..], b"", b"one and more"] {
        let error = storage.create(&[file("a/1.json", other)]).expect_err("other bytes are refused");
        assert!(matches!(&error, StorageError::Exists { path, .. } if path == "a/1.json"), "{error:?}");
        assert!(error.hint().is_some());
    }
    assert_eq!(read(storage, "a/1.json").as_deref(), Some(&b"one"[..]), "what was there stays");
    let many: Vec<_> = (0..40).map(|n| file(&format!("many/{n}"), format!("file {n}").as_bytes())).collect();
    storage.create(&many).expect("many files are created");
    for file in &many {
        assert_eq!(read(storage, &file.path).as_ref(), Some(&file.bytes), "each with its own bytes");
    }
}

/// Of no bytes, of few, and of more than goes into one request.
fn files_placed_are_read(storage: &dyn Storage) {
    let large: Vec<u8> = (0..20_000_003_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    for (path, bytes) in [("t/none", &b""[..]), ("t/few", b"some bytes"), ("t/large.whl", &large)] {
        let source = local(bytes);
        storage.place(path, source.path()).expect("a file is placed");
        assert!(read(storage, path).as_deref() == Some(bytes), "{path} is read");
        assert!(source.path().exists(), "the local file stays");
        storage.place(path, source.path()).expect("once more is no conflict");
        let error = storage.place(path, local(b"another").path()).expect_err("another length is refused");
        assert!(matches!(error, StorageError::Exists { .. }), "{error:?}");
        assert_eq!(storage.length(path).expect("a file is looked at"), u64::try_from(bytes.len()).ok());
    }
    let gone = local(b"").path().to_owned();
    let error = storage.place("t/gone", &gone).expect_err("there is no local file");
    assert!(error.to_string().contains(&*gone.to_string_lossy()), "{error}");
    assert_eq!(paths(storage, "t").len(), 3);
}

fn is_conflict(result: Result<(), StorageError>) -> bool {
    match result {
        Err(error @ StorageError::Conflict { .. }) => error.hint().is_some(),
        _ => false,
    }
}

fn a_swap_needs_what_is_there(storage: &dyn Storage) {
    let path = "metadata/timestamp.json";
    assert!(is_conflict(storage.swap(path, Some(b"0"), b"1")), "there is nothing to replace");
    assert!(is_conflict(storage.swap(path, Some(b""), b"1")), "no file is not an empty file");
    assert_eq!(read(storage, path), None);
    storage.swap(path, None, b"1").expect("the first one");
    assert!(is_conflict(storage.swap(path, None, b"1")), "there is one, even if it is the same");
    for stale in [&b"0"[..], b"", b"12"] {
        assert!(is_conflict(storage.swap(path, Some(stale), b"2")), "another is there");
    }
    assert_eq!(read(storage, path).as_deref(), Some(&b"1"[..]), "a conflict changes nothing");
    storage.swap(path, Some(b"1"), b"two, longer").expect("what is expected is there");
    storage.swap(path, Some(b"two, longer"), b"3").expect("and again");
    storage.swap(path, Some(b"3"), b"3").expect("also by the same");
    assert_eq!(read(storage, path).as_deref(), Some(&b"3"[..]));
    assert_eq!(paths(storage, ""), [path], "nothing else is left behind");
}

/// Names that a careless storage or a server would mix up.
const ODD: [&str; 18] = [
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "a%2520b",
    "%",
    "%2F",
    "ü",
    "u\u{308}",
    "日本語.whl",
    "a&b=c?d#e",
    "'\"<>",
    "A B",
    "..a",
    "~",
    "a:b",
    "x.tar.gz",
    "$(x);*[]!@^`{}|,",
];

fn odd_names_are_other_names(storage: &dyn Storage) {
    let path = |name: &str| format!("odd/{name}/{name}");
    let files: Vec<_> = ODD.iter().map(|name| file(&path(name), name.as_bytes())).collect();
    storage.create(&files).expect("odd names are created");
    for name in ODD {
        assert_eq!(read(storage, &path(name)).as_deref(), Some(name.as_bytes()), "{name} is its own file");
    }
    let listed: BTreeSet<_> = paths(storage, "odd").into_iter().collect();
    let expected: BTreeSet<_> = ODD.iter().map(|name| path(name)).collect();
    assert_eq!(listed, expected, "they are listed as they were written");
    for name in ODD {
        assert_eq!(paths(storage, &format!("odd/{name}")), [path(name)], "and are directories of their own");
    }
    storage.remove(&[path("a b"), path("a%2Bb")]).expect("odd names are removed");
    assert_eq!(paths(storage, "odd").len(), ODD.len() - 2, "these two alone");
    assert!(read(storage, &path("a+b")).is_some());
}

fn paths_that_leave_the_root_are_refused(storage: &dyn Storage) {
    let bad = [
        "", "/", "/etc/x", "..", "a/../b", "a//b", "./a", "a/.", "a/", "a\0b", "a\nb", ".tmp-x/y", ".probe-x",
    ];
    for path in bad {
        let refused = |error| matches!(error, StorageError::Path { .. });
        assert!(storage.create(&[file(path, b"x")]).is_err_and(refused), "{path:?} is created");
        assert!(storage.place(path, local(b"x").path()).is_err_and(refused), "{path:?} is placed");
        assert!(storage.swap(path, None, b"x").is_err_and(refused), "{path:?} is swapped");
        assert!(storage.read(path, MAX).is_err_and(refused), "{path:?} is read");
        assert!(storage.length(path).is_err_and(refused), "{path:?} is looked at");
        assert!(storage.remove(&[path.to_owned()]).is_err_and(refused), "{path:?} is removed");
        assert!(path.is_empty() || storage.list(path).is_err_and(refused), "{path:?} is listed");
    }
    assert!(paths(storage, "").is_empty());
}

fn what_is_too_long_is_not_read(storage: &dyn Storage) {
    create(storage, &[("five", b"12345")]);
    for (limit, fits) in [(0, false), (4, false), (5, true), (u64::MAX, true)] {
        match storage.read("five", limit) {
            Ok(Some(bytes)) => assert!(fits && bytes == b"12345", "5 bytes with a limit of {limit}"),
            Err(StorageError::TooLong { limit: said, .. }) => assert!(!fits && said == limit),
            other => panic!("5 bytes with a limit of {limit}: {other:?}"),
        }
    }
}

/// More than the thousand names that a server gives at a time.
fn a_listing_is_complete_and_sorted(storage: &dyn Storage) {
    let files: Vec<_> = (0..1100).map(|n| file(&format!("many/{n}"), &[b'x'; 3])).collect();
    storage.create(&files).expect("many files are created");
    create(storage, &[("many-more/1", b"1"), ("man", b""), ("many.json", b"22")]);
    let listed = storage.list("many").expect("a directory is listed");
    assert!(listed.iter().all(|listed| listed.length == 3), "with the lengths");
    let modified: Vec<_> = listed.iter().map(|listed| listed.modified.timestamp()).collect();
    assert!(modified.iter().all(|time| (1_600_000_000..8_000_000_000).contains(time)), "and with times");
    let listed: Vec<_> = listed.into_iter().map(|listed| listed.path).collect();
    assert!(listed.is_sorted(), "sorted");
    let expected: BTreeSet<_> = files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected, "complete, and nothing of neighbours");
    assert_eq!(paths(storage, "").len(), 1103);
    assert!(paths(storage, "man").is_empty(), "a file is no directory");
    assert!(paths(storage, "ma").is_empty(), "half a name is none");
    a_walk_shows_each_file_once(storage);
    let all: Vec<_> = files.into_iter().map(|file| file.path).collect();
    storage.remove(&all).expect("many files are removed");
    assert_eq!(paths(storage, ""), ["man", "many-more/1", "many.json"]);
}

/// Also where it is broken off, and what it shows is used at once.
fn a_walk_shows_each_file_once(storage: &dyn Storage) {
    let mut shown = Vec::new();
    let mut visit = |listed: Listed| {
        let length = storage.length(&listed.path).expect("a file is looked at while others are shown");
        assert_eq!(length, Some(listed.length), "{}", listed.path);
        shown.push(listed);
        ControlFlow::Continue(())
    };
    storage.walk("", &mut visit).expect("a storage is walked");
    shown.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    assert_eq!(shown, storage.list("").expect("a directory is listed"), "each once, and as it is listed");
    for wanted in [1, 1050] {
        let mut seen = 0;
        let walked = storage.walk("many", &mut |_| {
            seen += 1;
            if seen == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        walked.expect("a walk that is broken off is no failure");
        assert_eq!(seen, wanted, "nothing is shown any more");
    }
}

fn what_was_removed_is_gone(storage: &dyn Storage) {
    create(storage, &[("a/1", b"1"), ("a/2", b"2")]);
    storage.remove(&["a/1".to_owned(), "a/none".to_owned()]).expect("a file is removed");
    assert_eq!(read(storage, "a/1"), None, "it is gone");
    assert_eq!(storage.length("a/1").expect("a file is looked at"), None);
    assert_eq!(paths(storage, "a"), ["a/2"], "and only that");
    create(storage, &[("a/1", b"another")]);
    assert_eq!(read(storage, "a/1").as_deref(), Some(&b"another"[..]), "the name is free again");
}

/// Runs `work` in many threads at once and returns the numbers of those that succeeded.
fn race(work: impl Fn(u8) -> Result<(), StorageError> + Sync) -> Vec<u8> {
    let barrier = Barrier::new(usize::from(RACERS));
    let run = |n| {
        barrier.wait();
        match work(n) {
            Ok(()) => Some(n),
            Err(StorageError::Exists { .. } | StorageError::Conflict { .. }) => None,
            Err(error) => panic!("a racer fails: {error:?}"),
        }
    };
    thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS).map(|n| scope.spawn(move || run(n))).collect();
        racers.into_iter().filter_map(|racer| racer.join().expect("a racer ends")).collect()
    })
}

fn racing_writers_of_new_files(storage: &dyn Storage) {
    let atomic = storage.swaps().expect("the storage says how it swaps") == Swap::Atomic;
    for round in 0..4 {
        let path = format!("race/{round}");
        let winners = race(|n| storage.create(&[file(&path, &[n])]));
        let kept = read(storage, &path).expect("one of them is there");
        if atomic {
            assert_eq!(winners, kept, "of racing writers exactly one wins, and its bytes stay");
        }
        let same = race(|_| storage.create(&[file(&format!("same/{round}"), b"same")]));
        assert_eq!(same.len(), usize::from(RACERS), "of writers of the same bytes all win");
    }
}

fn racing_swaps(storage: &dyn Storage) {
    let path = "metadata/timestamp.json";
    let atomic = storage.swaps().expect("the storage says how it swaps") == Swap::Atomic;
    let mut before: Option<Vec<u8>> = None;
    for round in 0..4 {
        let winners = race(|n| storage.swap(path, before.as_deref(), &[round, n]));
        let kept = read(storage, path).expect("one of them is there");
        assert_eq!(kept.first(), Some(&round), "one of this round");
        if atomic {
            assert_eq!(winners, kept.get(1..).unwrap_or_default(), "exactly one wins, and its bytes stay");
        }
        before = Some(kept);
    }
}

/// Whoever reads meanwhile gets the old file or the new.
fn readers_see_whole_files(storage: &dyn Storage) {
    const ROUNDS: u8 = 20;
    let path = "metadata/timestamp.json";
    let content = |round: u8| vec![round; 1000 + usize::from(round) * 500];
    storage.swap(path, None, &content(0)).expect("the first one");
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=ROUNDS {
                storage.swap(path, Some(&content(round - 1)), &content(round)).expect("a file is swapped");
            }
        });
        let mut newest = 0;
        while !writer.is_finished() {
            let bytes = read(storage, path).expect("a reader always finds one");
            let round = bytes.first().copied().unwrap_or_default();
            assert_eq!(bytes, content(round), "a reader sees a whole file");
            assert!(round >= newest, "and never an older one after a newer one");
            newest = round;
        }
    });
}
