//! What every state database promises, as a test that any of them can run.
//!
//! Several handles on the same state stand for several machines that share a database.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::Executor;
use tuf_core::{Hashes, TargetFile, TargetPath};

use super::{Lease, Right, SeenPage, State, StateError};
use crate::publish::{Change, Changes};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

/// Paths that a careless database or query would change, mix up, or sort otherwise.
const HOSTILE: [&str; 14] = [
    "'; drop table tuf_staged_target; --",
    "%",
    "%41",
    "$1",
    "?1",
    "A",
    "\"quoted\"",
    "a",
    "a b/ c",
    "a_",
    "\u{e9}",
    "e\u{301}",
    "\u{1f40d}/\u{202e}txt",
    "\u{ff21}",
];

/// Checks the promises of [`State`] and [`Lease`]. `open` opens a state by its name: the same name is the same state, a new one is
/// a new and empty state.
///
/// # Panics
///
/// When a promise is broken, with its name.
pub async fn state_suite(open: impl AsyncFn(&str) -> State) {
    an_empty_state_has_nothing(&open("empty").await).await;
    what_is_staged_is_there_for_others(&open("staged").await, &open("staged").await).await;
    hostile_paths_come_back_as_they_were(&open("hostile").await).await;
    what_is_not_committed_is_not_staged(&open("dropped").await, &open("dropped").await).await;
    clearing_keeps_what_was_staged_meanwhile(&open("cleared").await, &open("cleared").await).await;
    what_cannot_be_kept_is_refused(&open("unstageable").await).await;
    nobody_stages_while_it_is_held(&open("held").await, &open("held").await).await;
    edits_keep_their_order(&open("edits").await, &open("edits").await).await;
    pages_are_remembered(&open("pages").await).await;
    states_do_not_mix(&open("one").await, &open("two").await).await;
    a_state_belongs_to_one_repository(&open("bound").await, &open("bound").await).await;
    writers_at_once_lose_nothing(&open).await;
    many_rows_are_streamed_in_order(&open("many").await).await;
    one_lease_at_a_time(&open("lease").await, &open("lease").await).await;
    a_lease_that_ran_out_is_taken_over(&open("stolen").await, &open("stolen").await).await;
    announced_versions_only_rise(&open("announced").await, &open("announced").await).await;
    of_racing_publishers_one_wins(&open).await;
    each_right_has_a_lease_of_its_own(&open("rights").await, &open("rights").await).await;
    an_older_database_is_upgraded_when_it_is_opened(&open).await;
}

fn path(text: &str) -> TargetPath {
    TargetPath::new(text).expect("a target path")
}

fn file(number: u64) -> TargetFile {
    TargetFile::new(number, Hashes::of(&number.to_be_bytes()))
}

fn changes<'a>(files: impl IntoIterator<Item = (&'a str, Option<u64>)>) -> Changes {
    let mut changes = Changes::default();
    for (text, number) in files {
        match number {
            Some(number) => changes.set(path(text), file(number)),
            None => changes.remove(path(text)),
        }
    }
    changes
}

async fn stage<'a>(state: &State, files: impl IntoIterator<Item = (&'a str, Option<u64>)>) {
    state.stage(&changes(files)).await.expect("changes are staged");
}

async fn staged(state: &State) -> Changes {
    state.staged().await.expect("what is staged is read")
}

async fn an_empty_state_has_nothing(state: &State) {
    assert!(staged(state).await.is_empty(), "nothing is staged");
    assert!(state.edits().await.expect("edits are read").is_empty(), "there are no edits");
    assert_eq!(state.seen_page("six").await.expect("a page is looked up"), None);
    assert_eq!(state.announced().await.expect("it is read"), None);
    state.unstage(&[&path("a")]).await.expect("what is not staged is unstaged");
    stage(state, []).await;
    assert!(staged(state).await.is_empty(), "no changes are staged");
}

async fn what_is_staged_is_there_for_others(state: &State, other: &State) {
    stage(state, [("a", Some(1)), ("b", Some(u64::from(u32::MAX) + 1)), ("c", None)]).await;
    stage(other, [("b", None), ("d", Some(4))]).await;
    let expected = changes([("a", Some(1)), ("b", None), ("c", None), ("d", Some(4))]);
    assert_eq!(staged(state).await, expected, "the later change to a path replaces the earlier one");
    stage(state, [("b", Some(0)), ("c", Some(3))]).await;
    state.unstage(&[&path("a"), &path("nothing")]).await.expect("a path is unstaged");
    assert_eq!(staged(other).await, changes([("b", Some(0)), ("c", Some(3)), ("d", Some(4))]));
}

async fn nobody_stages_while_it_is_held(state: &State, other: &State) {
    stage(state, [("a", Some(1))]).await;
    let before = state.mark().await.expect("a mark");
    let held = state.hold().await.expect("it is held");
    assert_eq!(held.mark(), before, "all that was staged before is seen");
    let mut staging = std::pin::pin!(stage(other, [("b", Some(2))]));
    let waited = tokio::time::timeout(4 * SHORT, &mut staging).await;
    assert!(waited.is_err(), "whoever wants to stage waits");
    assert_eq!(staged(state).await, changes([("a", Some(1))]), "and what is staged can be read");
    held.end(state).await.expect("it is let go");
    staging.await;
    assert_eq!(staged(state).await, changes([("a", Some(1)), ("b", Some(2))]));
    assert!(state.mark().await.expect("a mark") > before);
    // Dropped, it ends as well.
    drop(state.hold().await.expect("it is held again"));
    stage(other, [("c", Some(3))]).await;
}

async fn hostile_paths_come_back_as_they_were(state: &State) {
    let all = || HOSTILE.iter().zip(1..).map(|(path, number)| (*path, Some(number)));
    stage(state, all()).await;
    assert_eq!(staged(state).await, changes(all()), "each path has its own row");
    let rows: Vec<_> = state.staged_rows().try_collect().await.expect("rows are read");
    assert!(rows.iter().map(|(path, _)| path).is_sorted(), "in the order of their bytes");
    for text in HOSTILE {
        let before = staged(state).await.len();
        state.unstage(&[&path(text)]).await.expect("a path is unstaged");
        let after = staged(state).await;
        assert!(!after.contains(&path(text)) && after.len() == before - 1, "{text:?}, and only that");
        state.stage_edit(text, text).await.expect("an edit is staged");
    }
    let edits = state.edits().await.expect("edits are read");
    assert!(edits.iter().map(|edit| edit.edit.as_str()).eq(HOSTILE), "edits are not looked into");
}

async fn what_is_not_committed_is_not_staged(state: &State, other: &State) {
    stage(state, [("a", Some(1))]).await;
    let mut staging = state.staging().await.expect("staging begins");
    for number in 0..2000 {
        staging.push(&path(&format!("b/{number}")), &file(number).into()).await.expect("a row is pushed");
    }
    assert_eq!(staged(other).await, changes([("a", Some(1))]), "nobody sees half of it");
    drop(staging);
    stage(other, [("c", Some(3))]).await;
    assert_eq!(staged(state).await, changes([("a", Some(1)), ("c", Some(3))]), "nothing of it is left");
}

async fn clearing_keeps_what_was_staged_meanwhile(state: &State, other: &State) {
    stage(state, [("a", Some(1)), ("b", Some(2))]).await;
    state.stage_edit("role", "1").await.expect("an edit is staged");
    let mark = state.mark().await.expect("a mark is taken");
    stage(other, [("b", Some(20)), ("c", Some(3))]).await;
    other.stage_edit("role", "2").await.expect("an edit is staged");
    state.clear_staged(mark).await.expect("what was published is cleared");
    state.clear_edits(mark).await.expect("edits that were published are cleared");
    assert_eq!(staged(state).await, changes([("b", Some(20)), ("c", Some(3))]));
    let edits = state.edits().await.expect("edits are read");
    assert!(edits.iter().map(|edit| edit.edit.as_str()).eq(["2"]), "{edits:?}");
    let mark = state.mark().await.expect("a mark is taken");
    state.clear_staged(mark).await.expect("all is cleared");
    assert!(staged(other).await.is_empty(), "nothing is left");
}

async fn what_cannot_be_kept_is_refused(state: &State) {
    let long = TargetFile::new(u64::MAX, Hashes::of(b""));
    let mut staging = state.staging().await.expect("staging begins");
    let refused = staging.push(&path("long"), &long.into()).await.expect_err("a length over 2^63 is refused");
    assert!(matches!(refused, StateError::Unstageable { .. }), "{refused}");
    staging.commit().await.expect("an empty staging is committed");
    assert!(staged(state).await.is_empty(), "and is no removal");
}

async fn edits_keep_their_order(state: &State, other: &State) {
    for (handle, role, edit) in
        [(state, "b", "{\"n\":1}"), (other, "a", "{\"n\":2}"), (state, "b", "{\"n\":3}")]
    {
        handle.stage_edit(role, edit).await.expect("an edit is staged");
    }
    let edits = other.edits().await.expect("edits are read");
    let seen: Vec<_> = edits.iter().map(|edit| (edit.role.as_str(), edit.edit.as_str())).collect();
    assert_eq!(seen, [("b", "{\"n\":1}"), ("a", "{\"n\":2}"), ("b", "{\"n\":3}")]);
    assert!(edits.is_sorted_by(|a, b| a.position < b.position), "positions rise: {edits:?}");
}

async fn pages_are_remembered(state: &State) {
    let page = |etag: &str| {
        SeenPage::new("https://index.example/simple/".to_owned(), "all".to_owned(), etag.to_owned())
    };
    for etag in ["\"1\"", "\"2\""] {
        state.set_seen_page("six", Some(&page(etag))).await.expect("a page is remembered");
        assert_eq!(state.seen_page("six").await.expect("a page is looked up"), Some(page(etag)));
    }
    state.set_seen_page("other", None).await.expect("an unknown page is forgotten");
    state.set_seen_page("six", None).await.expect("a page is forgotten");
    assert_eq!(state.seen_page("six").await.expect("a page is looked up"), None);
}

async fn states_do_not_mix(one: &State, two: &State) {
    stage(one, [("a", Some(1))]).await;
    one.stage_edit("role", "1").await.expect("an edit is staged");
    let lease = Lease::acquire(one, Right::Publish, "one", LONG).await.expect("a lease is taken");
    an_empty_state_has_nothing(two).await;
    stage(two, [("a", Some(2)), ("b", Some(3))]).await;
    two.clear_staged(two.mark().await.expect("a mark is taken")).await.expect("all of two is cleared");
    assert_eq!(staged(one).await, changes([("a", Some(1))]), "one state is not cleared with another");
    Lease::acquire(two, Right::Publish, "two", LONG).await.expect("each state has its own lease");
    lease.release().await.expect("a lease is released");
}

async fn a_state_belongs_to_one_repository(state: &State, other: &State) {
    for handle in [state, other] {
        handle.bind(b"root").await.expect("the repository is known by its first root");
    }
    let refused = other.bind(b"another root").await.expect_err("another repository is refused");
    assert!(matches!(refused, StateError::Foreign { .. }), "{refused}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("repository=NAME")), "and told what to do");
}

/// Ten writers, each on its own connection, paths in common and of their own.
async fn writers_at_once_lose_nothing(open: &impl AsyncFn(&str) -> State) {
    const WRITERS: usize = 10;
    const ROUNDS: usize = 5;
    let states = join_all((0..WRITERS).map(|_| open("writers"))).await;
    join_all(states.iter().zip(0..).map(|(state, writer)| async move {
        for round in (0..).take(ROUNDS) {
            let own = format!("{writer}/{round}");
            stage(state, [("common", Some(writer)), (&own, Some(round)), ("also", Some(writer))]).await;
            state.stage_edit("role", &own).await.expect("an edit is staged");
        }
    }))
    .await;
    for state in &states {
        assert_eq!(staged(state).await.len(), WRITERS * ROUNDS + 2, "every row is there");
        let edits = state.edits().await.expect("edits are read");
        assert_eq!(edits.len(), WRITERS * ROUNDS, "every edit is there");
    }
}

async fn many_rows_are_streamed_in_order(state: &State) {
    const ROWS: u64 = 100_000;
    let mut staging = state.staging().await.expect("staging begins");
    for number in 0..ROWS {
        // Neither in order nor one after the other.
        let number = number * 7919 % ROWS;
        let removed = number.is_multiple_of(10);
        let change = Change { file: (!removed).then(|| file(number)), role: None };
        staging.push(&path(&format!("many/{number:06}")), &change).await.expect("a row is pushed");
    }
    staging.commit().await.expect("all are staged");
    let mut rows = std::pin::pin!(state.staged_rows().enumerate());
    let mut count = 0;
    while let Some((index, row)) = rows.next().await {
        let (found, target) = row.expect("a row is read");
        assert_eq!(found.as_str(), format!("many/{index:06}"), "rows come in order");
        assert_eq!(target.file.is_none(), index % 10 == 0, "{found:?}");
        count += 1;
    }
    assert_eq!(count, ROWS, "every row comes");
}

fn is_lost(result: Result<(), StateError>) -> bool {
    match result {
        Ok(()) => false,
        Err(StateError::Lost { .. }) => true,
        Err(error) => panic!("a lease was neither kept nor lost: {error}"),
    }
}

async fn one_lease_at_a_time(state: &State, other: &State) {
    let mut lease =
        Lease::acquire(state, Right::Publish, "first", LONG).await.expect("a free lease is taken");
    assert!(lease.remaining() > Duration::ZERO && lease.remaining() < LONG, "it lasts, and not for too long");
    match Lease::acquire(other, Right::Publish, "second", LONG).await {
        Err(StateError::Held { holder, fence, seconds }) => {
            assert_eq!((holder.as_str(), fence), ("first", lease.fence()), "who has it is named");
            assert!(seconds > 0 && seconds <= LONG.as_secs(), "and until when: {seconds} s");
        }
        other => panic!("a lease was given twice: {other:?}"),
    }
    lease.renew(LONG).await.expect("a lease is renewed");
    let before = lease.fence();
    lease.release().await.expect("a lease is released");
    let next = Lease::acquire(other, Right::Publish, "second", LONG).await.expect("a released lease is free");
    assert!(next.fence() > before, "the fence rises");
    next.release().await.expect("a lease is released");
}

async fn a_lease_that_ran_out_is_taken_over(state: &State, other: &State) {
    let mut stale = Lease::acquire(state, Right::Publish, "asleep", SHORT).await.expect("a lease is taken");
    let fence = stale.fence();
    tokio::time::sleep(2 * SHORT).await;
    assert_eq!(stale.remaining(), Duration::ZERO, "its holder knows that it ran out");
    assert!(is_lost(stale.announce(1, "{}").await), "what ran out guards nothing");
    stale.renew(SHORT).await.expect("as long as nobody took it, it can be renewed");
    tokio::time::sleep(2 * SHORT).await;
    let lease =
        Lease::acquire(other, Right::Publish, "awake", LONG).await.expect("a lease that ran out is free");
    assert!(lease.fence() > fence, "the fence rises");
    let refused = stale.renew(LONG).await.expect_err("a stale fence is refused");
    assert!(refused.to_string().contains("awake"), "who took it is named: {refused}");
    assert!(is_lost(stale.announce(7, "{}").await), "a stale fence announces nothing");
    assert_eq!(state.announced().await.expect("it is read"), None);
    stale.release().await.expect("a stale lease is given up");
    lease.announce(1, "{}").await.expect("which does not release the one who took it");
}

async fn announced_versions_only_rise(state: &State, other: &State) {
    let lease = Lease::acquire(state, Right::Publish, "first", LONG).await.expect("a lease is taken");
    lease.announce(5, "{}").await.expect("a version is announced");
    for version in [0, 4, 5] {
        assert!(is_lost(lease.announce(version, "{}").await), "version {version} after 5");
    }
    lease.release().await.expect("a lease is released");
    let lease = Lease::acquire(other, Right::Publish, "second", LONG).await.expect("a lease is taken");
    assert!(is_lost(lease.announce(5, "{}").await), "another publisher announced it");
    lease.announce(6, "{}").await.expect("the next version is announced");
    assert_eq!(state.announced().await.expect("it is read"), Some((6, "{}".to_owned())));
}

async fn of_racing_publishers_one_wins(open: &impl AsyncFn(&str) -> State) {
    const PUBLISHERS: usize = 16;
    let states = join_all((0..PUBLISHERS).map(|_| open("race"))).await;
    let mut fences = Vec::new();
    for round in 0..5 {
        let taken =
            join_all(states.iter().map(|state| Lease::acquire(state, Right::Publish, "racer", LONG))).await;
        let (won, lost): (Vec<_>, Vec<_>) = taken.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}: one of {PUBLISHERS} wins");
        for error in lost.into_iter().filter_map(Result::err) {
            assert!(matches!(error, StateError::Held { .. }), "the others are told who: {error}");
        }
        for lease in won.into_iter().flatten() {
            fences.push(lease.fence());
            lease.release().await.expect("a lease is released");
        }
    }
    assert!(fences.is_sorted_by(|a, b| a < b), "fences rise: {fences:?}");
}

async fn each_right_has_a_lease_of_its_own(state: &State, other: &State) {
    let publish = Lease::acquire(state, Right::Publish, "first", LONG).await.expect("a lease is taken");
    let watch = Lease::acquire(other, Right::Watch, "second", LONG).await.expect("another right is free");
    for (right, expected) in [(Right::Publish, "first"), (Right::Watch, "second")] {
        match Lease::acquire(state, right, "third", LONG).await {
            Err(StateError::Held { holder, .. }) => assert_eq!(holder, expected, "{right:?}"),
            other => panic!("{right:?} was given twice: {other:?}"),
        }
    }
    publish.announce(3, "{}").await.expect("a version is announced");
    watch.release().await.expect("a lease is released");
    assert_eq!(state.announced().await.expect("it is read"), Some((3, "{}".to_owned())));
    assert!(Lease::acquire(state, Right::Publish, "third", LONG).await.is_err(), "the other one is kept");
    Lease::acquire(state, Right::Watch, "third", LONG).await.expect("what was released is free");
}

/// As schema 2 had it: one lease for each repository.
const BACK_TO_2: &str = "
    create table tuf_lease_2 (
        repository bigint primary key references tuf_repository (id),
        fence bigint not null, holder text not null, expires bigint not null,
        announced bigint not null, timestamp text);
    insert into tuf_lease_2 (repository, fence, holder, expires, announced, timestamp)
        select repository, fence, holder, expires, announced, timestamp from tuf_lease where name = 'publish';
    drop table tuf_lease;
    alter table tuf_lease_2 rename to tuf_lease;
    update tuf_schema set version = 2;
";

async fn an_older_database_is_upgraded_when_it_is_opened(open: &impl AsyncFn(&str) -> State) {
    let state = open("older").await;
    stage(&state, [("a", Some(1))]).await;
    let lease = Lease::acquire(&state, Right::Publish, "before", LONG).await.expect("a lease is taken");
    lease.announce(7, "{}").await.expect("a version is announced");
    state.pool.execute(BACK_TO_2).await.expect("the database is as it was");
    let opened = join_all((0..4).map(|_| open("older"))).await;
    for state in &opened {
        assert_eq!(staged(state).await, changes([("a", Some(1))]), "what is staged is kept");
        assert_eq!(state.announced().await.expect("it is read"), Some((7, "{}".to_owned())));
        match Lease::acquire(state, Right::Publish, "after", LONG).await {
            Err(StateError::Held { holder, fence, .. }) => {
                assert_eq!((holder.as_str(), fence), ("before", lease.fence()), "who has the lease keeps it");
            }
            other => panic!("a lease was given twice: {other:?}"),
        }
    }
    let taken = join_all(opened.iter().map(|state| Lease::acquire(state, Right::Watch, "after", LONG))).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1, "the new one is free, once");
}
