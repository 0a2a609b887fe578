//! PostgreSQL: several machines and several repositories, connections that break, a server that stops.

use std::path::Path;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor};
use tuf_repo_tool::state::{Lease, Right, State, StateError};
use tuf_repo_tool::{Config, Error};

use super::{changes, file, path, run, staged};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{Options, Run, Sandbox, Upstream, wheel};

async fn try_open(url: &str) -> Result<State, Error> {
    State::open(Some(&url.parse().unwrap()), Path::new("not used")).await
}

async fn open(server: &Postgres, name: &str) -> State {
    try_open(&server.url(&format!("?repository={name}"))).await.unwrap()
}

/// Does something to the database that the program would not.
async fn execute(server: &Postgres, sql: &str) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&server.url("")).await.unwrap();
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// Ends every connection but the one that says so.
const KILL_OTHERS: &str = "select count(pg_terminate_backend(pid)) as n from pg_stat_activity \
                           where pid <> pg_backend_pid() and backend_type = 'client backend'";

fn said(error: &StateError) -> String {
    let text = format!("{} {error:?} {:?}", tuf_client::chain(error), error.hint());
    assert!(!text.contains(PASSWORD) && !text.contains("not%40secret"), "the password is told: {text}");
    text
}

#[test]
fn postgresql_keeps_every_promise() {
    let server = Postgres::start();
    run(tuf_repo_tool::state::suite::state_suite(async |name| open(&server, name).await));
}

#[test]
fn many_that_come_to_a_new_database_at_once_make_one_schema() {
    let server = Postgres::start();
    run(async {
        let names: Vec<String> = (0..16).map(|number| format!("name-{}", number / 4)).collect();
        let opened = futures_util::future::join_all(names.iter().map(|name| open(&server, name))).await;
        for (number, state) in opened.iter().enumerate() {
            state.stage(&changes(&[&number.to_string()])).await.unwrap();
        }
        for state in &opened {
            assert_eq!(staged(state).await.len(), 4, "{}", state.place());
        }
    });
}

#[test]
fn a_connection_that_is_cut_off_leaves_all_or_nothing() {
    let server = Postgres::start();
    run(async {
        let state = open(&server, "cut").await;
        state.stage(&changes(&["before"])).await.unwrap();
        let mut staging = state.staging().await.unwrap();
        for number in 0..1200 {
            staging.push(&path(&format!("a/{number}")), &file("a").into()).await.unwrap();
        }
        execute(&server, KILL_OTHERS).await;
        let error = staging.commit().await.unwrap_err();
        assert!(matches!(error, StateError::Unreachable { .. }), "{}", said(&error));
        assert_eq!(staged(&state).await, ["before"], "the next query has a new connection");
        let lease = Lease::acquire(&state, Right::Publish, "holder", Duration::from_secs(60)).await.unwrap();
        execute(&server, KILL_OTHERS).await;
        lease.announce(1, "{}").await.unwrap();
    });
}

#[test]
fn a_server_that_stopped_is_named_without_its_password() {
    let mut server = Postgres::start();
    let state = run(open(&server, "stopped"));
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lasting = rt.block_on(open(&server, "stopped"));
    rt.block_on(lasting.stage(&changes(&["a"]))).unwrap();
    drop(state);
    server.stop();
    let Err(Error::State(error)) = run(try_open(&server.url(""))) else {
        panic!("a stopped server is reached")
    };
    let text = said(&error);
    assert!(text.contains("postgres://tuf:***@127.0.0.1") && text.contains("cannot be reached"), "{text}");
    assert!(text.contains("refused") && text.contains("is the server running"), "{text}");
    let error = rt.block_on(lasting.staged()).unwrap_err();
    assert!(matches!(error, StateError::Unreachable { .. }), "{}", said(&error));
    server.restart();
    assert_eq!(rt.block_on(staged(&lasting)), ["a"], "it goes on when the server is back");
}

#[test]
fn who_may_not_come_in_is_told_why() {
    let server = Postgres::start();
    let good = server.url("");
    for (url, expected) in [
        (good.replace("not%40secret", "wrong"), "password authentication failed"),
        (good.replace("/postgres", "/nowhere").replace("/nowhere:/", "/"), "\"nowhere\" does not exist"),
        (format!("{good}?sslmode=verify-full"), "TLS"),
    ] {
        let Err(Error::State(error)) = run(try_open(&url)) else { panic!("{expected}: it came in") };
        assert!(said(&error).contains(expected), "{}", said(&error));
    }
    run(execute(&server, "create user reader password 'reader'"));
    let reader = server.url("").replace("tuf:not%40secret%3Ahere", "reader:reader");
    let Err(Error::State(error)) = run(try_open(&reader)) else { panic!("a reader makes tables") };
    assert!(said(&error).contains("the right to create tables"), "{}", said(&error));
    run(async { drop(open(&server, "default").await) });
    run(execute(&server, "update tuf_schema set version = 99"));
    let Err(Error::State(error)) = run(try_open(&good)) else { panic!("a newer schema is used") };
    assert!(matches!(error, StateError::Newer { found: 99, .. }), "{}", said(&error));
}

#[test]
fn two_repositories_share_a_database_and_never_a_name() {
    let server = Postgres::start();
    let upstream = Upstream::start(Options::default());
    upstream.publish("demo", wheel("demo", "1.0"));
    let (one, two) = (Sandbox::new(), Sandbox::new());
    let command = |sandbox: &Sandbox, arguments: &[&str]| {
        Run::of(sandbox.tuf_repo_command(arguments).env("PGPASSWORD", PASSWORD))
    };
    let configure = |sandbox: &Sandbox, parameters: &str| {
        let mut config = Config::load(&sandbox.repo()).unwrap();
        config.state = Some(server.url_without_password(parameters).parse().unwrap());
        config.save(&sandbox.repo()).unwrap();
    };
    for sandbox in [&one, &two] {
        sandbox.init(&[]).ok();
        configure(sandbox, "?repository=one");
    }
    command(&one, &["mirror", "add", "demo"]).ok();
    command(&one, &["mirror", "sync", "--upstream", &upstream.simple()]).ok();
    one.verify();
    assert!(!one.repo().join("state/state.db").exists(), "the state is in the database only");
    command(&two, &["status"]).code(1).says("under the name \"one\"").says("?repository=NAME");
    configure(&two, "?repository=two");
    command(&two, &["mirror", "add", "demo"]).ok();
    command(&two, &["mirror", "sync", "--upstream", &upstream.simple()]).ok();
    two.verify();
    assert_eq!(one.targets(), two.targets());
    one.tuf_repo(&["status"]).code(1).says("cannot be reached").says("PGPASSWORD");
}

#[test]
fn a_bad_url_in_the_settings_is_refused_without_repeating_it() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    let path = Config::path(&sandbox.repo());
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in [
        "\"mysql://u:hidden@h/db\"",
        "\"postgres://u:hidden@h/db",
        "\"postgres://u:hidden@h:x/db\"",
        "5 # ://hidden",
    ] {
        crate::support::write(&path, format!("state = {bad}\n{good}"));
        let said = sandbox.tuf_repo(&["status"]).code(1).says("tuf-repo.toml: line 1");
        assert!(!said.stderr.contains("hidden"), "{said:#?}");
    }
}

#[test]
fn many_rows_in_a_server() {
    let server = Postgres::start();
    super::sqlite::measure(run(open(&server, "many")));
}
