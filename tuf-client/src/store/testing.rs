//! What every [`Store`] promises, as a test that any implementation can run, and a store that fails when it is told to.

use std::{sync::Arc, thread, time::Duration};

use tuf_core::{Batch, Change, RoleName, StoredFile};

use super::{Recovered, Store, StoreSession};

mod fault;

pub use fault::FaultStore;

const MAX: u64 = 1 << 20;

/// Checks the promises of [`Store`] and [`StoreSession`]. `make` returns a new, empty store each time.
///
/// # Panics
///
/// When a promise is broken, with its name.
pub fn store_suite(make: impl Fn() -> Box<dyn Store>) {
    an_empty_store_has_nothing(&*make());
    what_was_committed_is_loaded(&*make());
    every_kind_of_file_has_its_own_place(&*make());
    the_last_change_of_a_batch_wins(&*make());
    what_was_removed_is_gone(&*make());
    what_is_too_long_or_empty_is_not_loaded(&*make());
    an_uncommitted_session_changes_nothing(&*make());
    what_was_set_aside_is_not_loaded_again_once_replaced(&*make());
    readers_see_whole_files(&*make());
    sessions_exclude_each_other(&*make());
}

/// Checks that what one [`Store`] committed is there for the next one on the same place: a process ends, another one starts.
/// `reopen` returns the same store each time, which is empty at first.
///
/// # Panics
///
/// When a promise is broken, with its name.
pub fn reopen_suite(reopen: impl Fn() -> Box<dyn Store>) {
    commit(&*reopen(), every_file().into_iter().map(|file| write(file, b"1")).collect());
    commit(
        &*reopen(),
        vec![write(StoredFile::FloorTimestamp, b"2"), Change::Remove(StoredFile::FloorSnapshot)],
    );
    for file in every_file() {
        let expected = match &file {
            StoredFile::FloorTimestamp => Some(&b"2"[..]),
            StoredFile::FloorSnapshot => None,
            _ => Some(&b"1"[..]),
        };
        assert_eq!(load(&*reopen(), &file).as_deref(), expected, "{file:?} outlasts its session");
        let peeked = reopen().peek(&file, MAX).expect("a file is peeked at");
        assert_eq!(peeked.as_deref(), expected, "{file:?} is there for who only looks");
    }
}

fn write(file: StoredFile, bytes: &[u8]) -> Change {
    Change::Write(file, Arc::from(bytes))
}

fn open(store: &dyn Store) -> Box<dyn StoreSession> {
    store.open().expect("a session opens")
}

fn commit(store: &dyn Store, changes: Vec<Change>) {
    open(store).commit(&Batch::new(changes)).expect("a batch is committed");
}

fn load(store: &dyn Store, file: &StoredFile) -> Option<Vec<u8>> {
    open(store).load(file, MAX).expect("a file is loaded")
}

/// One of every kind, and names that a careless store would mix up.
fn every_file() -> Vec<StoredFile> {
    let names = ["snapshot", "timestamp", "a/b", "a%2Fb", "..", "floor/timestamp", "A/B"];
    let delegated = names.iter().map(|name| StoredFile::Delegated(RoleName::new(name).expect("a role name")));
    [
        StoredFile::RootHistory(2),
        StoredFile::RootHistory(u64::MAX),
        StoredFile::Timestamp,
        StoredFile::Snapshot,
        StoredFile::Targets,
        StoredFile::FloorTimestamp,
        StoredFile::FloorSnapshot,
    ]
    .into_iter()
    .chain(delegated)
    .collect()
}

fn an_empty_store_has_nothing(store: &dyn Store) {
    for file in every_file() {
        assert_eq!(load(store, &file), None, "an empty store has {file:?}");
    }
    commit(store, Vec::new());
}

fn what_was_committed_is_loaded(store: &dyn Store) {
    let mut session = open(store);
    for bytes in [&b"first"[..], b"second, longer", b"3"] {
        session.commit(&Batch::new(vec![write(StoredFile::Timestamp, bytes)])).expect("a batch is committed");
        let loaded = session.load(&StoredFile::Timestamp, MAX).expect("a file is loaded");
        assert_eq!(loaded.as_deref(), Some(bytes), "the committing session sees its bytes");
    }
    drop(session);
    assert_eq!(load(store, &StoredFile::Timestamp).as_deref(), Some(&b"3"[..]), "so does the next one");
}

fn every_kind_of_file_has_its_own_place(store: &dyn Store) {
    let content = |file: &StoredFile| format!("{file:?}").into_bytes();
    commit(store, every_file().into_iter().map(|file| write(file.clone(), &content(&file))).collect());
    for file in every_file() {
        assert_eq!(load(store, &file), Some(content(&file)), "{file:?} has its own place");
    }
}

fn the_last_change_of_a_batch_wins(store: &dyn Store) {
    let file = StoredFile::Snapshot;
    commit(store, vec![write(file.clone(), b"1"), write(file.clone(), b"2")]);
    assert_eq!(load(store, &file).as_deref(), Some(&b"2"[..]), "changes are made in order");
    commit(store, vec![Change::Remove(file.clone()), write(file.clone(), b"3")]);
    assert_eq!(load(store, &file).as_deref(), Some(&b"3"[..]), "a removal does not undo a later write");
    commit(store, vec![write(file.clone(), b"4"), Change::Remove(file.clone())]);
    assert_eq!(load(store, &file), None, "a write does not undo a later removal");
}

fn what_was_removed_is_gone(store: &dyn Store) {
    commit(store, vec![write(StoredFile::Timestamp, b"t"), write(StoredFile::Snapshot, b"s")]);
    commit(store, vec![Change::Remove(StoredFile::Timestamp), Change::Remove(StoredFile::Targets)]);
    assert_eq!(load(store, &StoredFile::Timestamp), None, "a removed file is gone");
    assert_eq!(load(store, &StoredFile::Snapshot).as_deref(), Some(&b"s"[..]), "and only that");
}

fn what_is_too_long_or_empty_is_not_loaded(store: &dyn Store) {
    commit(store, vec![write(StoredFile::Targets, b"12345"), write(StoredFile::Snapshot, b"")]);
    for (max, fits) in [(4, false), (5, true), (u64::MAX, true)] {
        let loaded = open(store).load(&StoredFile::Targets, max).expect("a long file is no error");
        assert_eq!(loaded.is_some(), fits, "5 bytes with a limit of {max}");
    }
    assert_eq!(load(store, &StoredFile::Snapshot), None, "an empty file is none");
    commit(store, vec![write(StoredFile::Snapshot, b"s")]);
    assert_eq!(load(store, &StoredFile::Snapshot).as_deref(), Some(&b"s"[..]), "and is replaced");
}

fn an_uncommitted_session_changes_nothing(store: &dyn Store) {
    commit(store, vec![write(StoredFile::Timestamp, b"1")]);
    drop(open(store));
    assert_eq!(load(store, &StoredFile::Timestamp).as_deref(), Some(&b"1"[..]));
}

fn what_was_set_aside_is_not_loaded_again_once_replaced(store: &dyn Store) {
    let file = StoredFile::Targets;
    commit(store, vec![write(file.clone(), b"damaged"), write(StoredFile::Snapshot, b"s")]);
    let mut session = open(store);
    session.set_aside(&file, "a test").expect("a file is set aside");
    let said: Vec<Recovered> = session.take_recovered();
    assert!(
        said.len() <= 1 && said.iter().all(|one| one.reason == "a test"),
        "once, with its reason: {said:?}"
    );
    assert!(session.take_recovered().is_empty(), "what was told is not told again");
    session.set_aside(&file, "again").expect("what is not there is no error");
    session.commit(&Batch::new(vec![write(file.clone(), b"good")])).expect("a batch is committed");
    drop(session);
    assert_eq!(load(store, &file).as_deref(), Some(&b"good"[..]), "the replacement stays");
    assert_eq!(load(store, &StoredFile::Snapshot).as_deref(), Some(&b"s"[..]), "others are left alone");
}

/// Whoever reads without a session gets the old file or the new.
fn readers_see_whole_files(store: &dyn Store) {
    const ROUNDS: u8 = 40;
    let file = StoredFile::Delegated(RoleName::new("role").expect("a role name"));
    let content = |round: u8| vec![round; 1000 + usize::from(round) * 500];
    commit(store, vec![write(file.clone(), &content(0))]);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut session = open(store);
            for round in 1..=ROUNDS {
                let batch = Batch::new(vec![write(file.clone(), &content(round))]);
                session.commit(&batch).expect("a batch is committed");
            }
        });
        let mut newest = 0;
        while !writer.is_finished() {
            let bytes = store.peek(&file, MAX).expect("a reader never waits").expect("and always finds one");
            let round = bytes.first().copied().unwrap_or_default();
            assert_eq!(bytes, content(round), "a reader sees a whole file");
            assert!(round >= newest, "and never an older one after a newer one");
            newest = round;
        }
    });
}

fn sessions_exclude_each_other(store: &dyn Store) {
    const THREADS: usize = 4;
    const ROUNDS: usize = 8;
    let file = StoredFile::Timestamp;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut session = open(store);
                    let before = session.load(&file, MAX).expect("a file is loaded").unwrap_or_default();
                    thread::sleep(Duration::from_millis(1));
                    let after = [&before[..], b"x"].concat();
                    session
                        .commit(&Batch::new(vec![write(file.clone(), &after)]))
                        .expect("a batch is committed");
                }
            });
        }
    });
    let count = load(store, &file).map(|bytes| bytes.len());
    assert_eq!(count, Some(THREADS * ROUNDS), "no session overwrites what another one did meanwhile");
}
