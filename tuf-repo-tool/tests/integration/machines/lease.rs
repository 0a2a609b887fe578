//! A server that ignores conditions: what the lease guards, and what it can only repair.

use std::process::Child;
use std::time::Duration;

use axum::http::Method;
use rustix::process::Signal;
use tuf_client::store::MemoryStore;
use tuf_client::{Client, Url};

use super::{Database, Machine, OFFLINE, published, send};
use crate::support::postgres::Postgres;
use crate::support::s3::S3;
use crate::support::s3_front::{Front, Held, Spoilt};
use crate::support::{Run, wait_until};

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn storage_without_conditional_puts_and_without_a_shared_database_is_refused() {
    let server = S3::moto();
    let front = Front::start(&server.endpoint, Spoilt::Ignores);
    let alone = Machine::new(server.variables_at(&front.endpoint));
    alone.init("alone", &["--preset", "plain"]).code(4).says("not safe to publish to").says("postgres://");
    assert!(!alone.sandbox.repo().exists(), "{:?}", alone.sandbox.tree(&alone.sandbox.repo()));
    assert_eq!(server.keys(), [""; 0], "nothing was written");

    // It was made when the server was a better one.
    let machine = Machine::new(server.variables());
    machine.init("alone", &["--preset", "plain"]).ok();
    machine.add("a").ok();
    machine.run(&["publish"]).ok();
    let before = server.storage("alone").list("").unwrap();
    let machine = machine.join(server.variables_at(&front.endpoint), &[]);
    for command in ["publish", "renew"] {
        machine.run(&[command]).code(4).says("not safe to publish to").says("hint: ");
    }
    assert_eq!(server.storage("alone").list("").unwrap(), before);
}

/// Between the last look at the timestamp and its replacement, the machine stands still. Another one publishes, and then the
/// first goes on: its older timestamp is put over the newer one. The first sees that itself, or, if it dies, the next publisher does.
#[test]
fn a_publisher_that_is_stopped_between_lease_and_put_is_found_out_and_repaired() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let state = postgres.url_without_password("?repository=lease");
    let fronts = [Spoilt::Ignores, Spoilt::Ignores].map(|spoilt| Front::start(&server.endpoint, spoilt));
    let first = Machine::plain(server.variables_at(&fronts[0].endpoint), "lease", &state);
    let second = first.join(server.variables_at(&fronts[1].endpoint), &OFFLINE[..1]);
    first.add("a").ok();
    first.run(&["publish"]).ok();
    let (mut database, url) = (Database::new(&postgres), server.public("lease/"));
    let client = Client::builder(first.root(), Url::parse(&url).unwrap()).store(MemoryStore::new());
    let client = client.build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let version = || runtime.block_on(client.refresh()).map(|view| view.trusted().timestamp().header.version);
    version().unwrap();
    for dies in [false, true] {
        first.add(&format!("first {dies}")).ok();
        let before = database.announced();
        let requests = fronts[0].watch("/timestamp.json");
        let mut publisher = first.start(&["publish", "--json"]);
        let next = || -> Held { requests.recv_timeout(WITHIN).unwrap() };
        // Once it is announced, the first look is for what to repair, the second belongs to the put.
        loop {
            let _look = next();
            if database.announced() > before {
                break;
            }
        }
        let look = next();
        assert_eq!(look.method, Method::GET);
        stop(&publisher);
        drop(look);

        database.let_leases_run_out();
        second.add(&format!("second {dies}")).ok();
        let run = second.run(&["publish", "--json"]).ok();
        let newest = published(&run).unwrap();
        assert_eq!(i64::try_from(newest).unwrap(), before + 2, "it built on what was announced: {run:?}");
        assert_eq!(version().unwrap(), newest);

        send(&publisher, Signal::CONT);
        let put = next();
        assert_eq!(put.method, Method::PUT, "too late, and carried out");
        let refused = version().unwrap_err();
        assert!(refused.is_refusal(), "an older timestamp is refused: {refused}");
        fronts[0].unwatch();
        if dies {
            send(&publisher, Signal::KILL);
            publisher.wait().unwrap();
            drop(put);
            second.run(&["renew"]).ok();
        } else {
            drop(put);
            let run = Run::from_output("publish", &publisher.wait_with_output().unwrap()).ok();
            assert_eq!(published(&run), Some(newest - 1), "its own, on which the other one was built");
        }
        assert_eq!(version().unwrap(), newest, "repaired");
    }
    let expected = ["a", "first false", "first true", "second false", "second true"];
    assert_eq!(Vec::from_iter(first.targets(&url)), expected);
    for machine in [&first, &second] {
        assert_eq!(published(&machine.run(&["publish", "--json"]).ok()), None);
    }
    first.audit(&url);
}

/// Returns when every thread of the process stands still.
fn stop(process: &Child) {
    send(process, Signal::STOP);
    let tasks = format!("/proc/{}/task", process.id());
    wait_until("the publisher stands still", || {
        let mut tasks = std::fs::read_dir(&tasks).unwrap();
        tasks.all(|task| {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            status.contains("\nState:\tT")
        })
    });
}
