//! SQLite, the default: a file that is old, new, damaged, locked, or unwritable.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
use tuf_repo_tool::Error;
use tuf_repo_tool::state::{SeenPage, State, StateError};

use super::{changes, file, path, run, staged};
use crate::support::{Sandbox, write};

async fn open(directory: &Path) -> Result<State, Error> {
    State::open(None, directory).await
}

/// Does something to the file that the program would not.
async fn edit(directory: &Path, sql: &str) {
    sqlx::any::install_default_drivers();
    std::fs::create_dir_all(directory).unwrap();
    let file = url::Url::from_file_path(directory.join("state.db")).unwrap();
    let url = format!("sqlite://{}?mode=rwc", file.path());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// The error that opening a state and reading it comes to.
async fn refused(directory: &Path) -> StateError {
    let read = async {
        let state = open(directory).await?;
        state.staged().await?;
        Ok(())
    };
    match read.await {
        Err(Error::State(error)) => error,
        other => panic!("expected an error of the state: {other:?}"),
    }
}

#[test]
fn sqlite_keeps_every_promise() {
    let sandbox = Sandbox::new();
    run(tuf_repo_tool::state::suite::state_suite(async |name| open(&sandbox.path(name)).await.unwrap()));
}

#[test]
fn a_file_of_the_first_schema_is_upgraded_with_all_that_is_in_it() {
    let directory = Sandbox::new().path("state with spaces, ünd a %20");
    run(async {
        let sum = "0123456789abcdef".repeat(4);
        edit(
            &directory,
            &format!(
                "create table staged (path text primary key, length bigint, sha256 text);
                 create table page (project text primary key, upstream text not null, selection text not null, etag text not null);
                 insert into staged values ('a', 1, '{sum}'), ('b', null, null);
                 insert into page values ('six', 'https://index.example/simple/', 'all', 'tag');"
            ),
        )
        .await;
        for _ in 0..2 {
            let state = open(&directory).await.unwrap();
            let changes = state.staged().await.unwrap();
            let rows: Vec<_> =
                changes.iter().map(|(path, file)| (path.as_str(), file.map(|file| file.length))).collect();
            assert_eq!(rows, [("a", Some(1)), ("b", None)]);
            let page: SeenPage = state.seen_page("six").await.unwrap().unwrap();
            assert_eq!(
                (page.upstream.as_str(), page.selection.as_str(), page.etag.as_str()),
                ("https://index.example/simple/", "all", "tag")
            );
        }
        let state = open(&directory).await.unwrap();
        state.clear_staged(state.mark().await.unwrap()).await.unwrap();
        assert_eq!(staged(&state).await, [""; 0], "what the first schema staged is cleared as all else");
    });
}

#[test]
fn many_that_open_a_new_file_at_once_make_one_schema() {
    let sandbox = Sandbox::new();
    let directory = sandbox.path("state");
    run(async {
        let opened = futures_util::future::join_all((0..16).map(|_| open(&directory))).await;
        for (number, state) in opened.into_iter().enumerate() {
            state.unwrap().stage(&changes(&[&number.to_string()])).await.unwrap();
        }
        assert_eq!(staged(&open(&directory).await.unwrap()).await.len(), 16);
    });
}

#[test]
fn damage_is_told_with_what_is_lost_and_how_to_go_on() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    let (directory, database) = (sandbox.repo().join("state"), sandbox.repo().join("state/state.db"));
    run(async {
        let state = open(&directory).await.unwrap();
        let paths: Vec<String> = (0..2000).map(|number| format!("a/{number}")).collect();
        state.stage(&changes(&paths.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap();
        assert!(!refused_row(&directory, "length = -1").await.is_empty());
        assert!(!refused_row(&directory, "sha256 = 'xyz'").await.is_empty());
        assert!(!refused_row(&directory, "sha256 = null").await.is_empty(), "half a row is no removal");
    });
    edit_away(&database, "whole", |bytes| bytes.fill(b'x'));
    edit_away(&database, "pages in the middle", |bytes| bytes[8192..40_960].fill(0xa5));
    edit_away(&database, "cut off", |bytes| bytes.truncate(bytes.len() / 2));

    /// Damages the file, sees to it that the program says so, and repairs it.
    fn edit_away(database: &Path, what: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let good = std::fs::read(database).unwrap();
        let mut bytes = good.clone();
        damage(&mut bytes);
        write(database, &bytes);
        let error = run(refused(database.parent().unwrap()));
        assert!(matches!(error, StateError::Damaged { .. }), "{what}: {error}");
        write(database, &good);
    }

    write(&database, "no database");
    let said = sandbox.tuf_repo(&["status"]).code(1);
    said.says("state/state.db is damaged")
        .says("hint: published files and keys are not in it")
        .says("mirror sync");
    std::fs::remove_file(&database).unwrap();
    sandbox.tuf_repo(&["status"]).ok();
}

/// Changes one staged row, and returns what is said of it. The row is repaired.
async fn refused_row(directory: &Path, change: &str) -> String {
    edit(directory, &format!("update tuf_staged_target set {change} where path = 'a/7'")).await;
    let error = refused(directory).await;
    assert!(matches!(error, StateError::Row { .. }) && error.hint().is_some(), "{change}: {error}");
    assert!(error.to_string().contains("\"a/7\""), "{change}: {error}");
    open(directory).await.unwrap().stage(&changes(&["a/7"])).await.unwrap();
    error.to_string()
}

#[test]
fn a_newer_schema_and_a_state_of_another_repository_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    sandbox.tuf_repo(&["status"]).ok();
    let directory = sandbox.repo().join("state");
    run(edit(&directory, "update tuf_repository set root = 'another'"));
    sandbox.tuf_repo(&["status"]).code(1).says("the state of another repository").says("found another");
    run(edit(&directory, "update tuf_schema set version = 99"));
    sandbox
        .tuf_repo(&["status"])
        .code(1)
        .says("has schema 99: expected at most 3")
        .says("hint: a newer tuf-repo wrote it");
}

#[test]
fn a_writer_elsewhere_is_waited_for_and_readers_are_not_held_up() {
    let sandbox = Sandbox::new();
    run(async {
        let (state, other) =
            (open(&sandbox.path("s")).await.unwrap(), open(&sandbox.path("s")).await.unwrap());
        let mut staging = state.staging().await.unwrap();
        staging.push(&path("a"), &file("a").into()).await.unwrap();
        assert_eq!(staged(&other).await, [""; 0], "a reader does not wait");
        let changes = changes(&["b"]);
        let (waited, committed) = tokio::join!(other.stage(&changes), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            staging.commit().await
        });
        committed.unwrap();
        waited.unwrap();
        assert_eq!(staged(&other).await, ["a", "b"]);
    });
}

#[test]
fn many_rows_are_staged_and_read_and_cleared() {
    let sandbox = Sandbox::new();
    measure(run(open(&sandbox.path("state"))).unwrap());
}

/// Stages many rows (`TUF_ROWS`), in order and then in none, reads them, and prints the figures.
#[expect(clippy::print_stdout, reason = "a measurement")]
pub(super) fn measure(state: State) {
    let rows: u32 = tuf_client::env::var("TUF_ROWS").map_or(10_000, |rows| rows.parse().unwrap());
    let name = |number: u32| {
        path(&format!("packages/{:02x}/{number:07}/demo_package-1.0-py3-none-any.whl", number % 251))
    };
    let second = |rows: u32, start: Instant| f64::from(rows) / start.elapsed().as_secs_f64();
    run(async {
        for (what, step) in [("in order", 1), ("again, in no order", 7919)] {
            let start = Instant::now();
            let mut staging = state.staging().await.unwrap();
            for number in 0..rows {
                let number = u32::try_from(u64::from(number) * step % u64::from(rows)).unwrap();
                staging.push(&name(number), &file("content").into()).await.unwrap();
            }
            staging.commit().await.unwrap();
            println!("staged {rows} rows {what}: {:.0} rows/s, {}", second(rows, start), peak());
        }
        let start = Instant::now();
        let read = state.staged_rows().fold(0, async |count, row| count + u32::from(row.is_ok())).await;
        println!("read {read} rows: {:.0} rows/s, {}", second(read, start), peak());
        assert_eq!(read, rows);
        let start = Instant::now();
        state.clear_staged(state.mark().await.unwrap()).await.unwrap();
        assert!(staged(&state).await.is_empty());
        println!("cleared {rows} rows: {:.0} rows/s, {}", second(rows, start), peak());
    });
}

/// The most memory that this process had.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
