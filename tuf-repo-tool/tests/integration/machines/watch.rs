//! Daemons and buckets. Of two machines with a daemon each, the lease of the shared database says which one works.

use std::time::Duration;

use axum::http::Method;
use rustix::process::Signal;

use super::{Database, Machine, OFFLINE};
use crate::support::postgres::Postgres;
use crate::support::s3::S3;
use crate::support::s3_front::{Front, Spoilt};
use crate::support::wait_until;
use crate::watch::daemon::Daemon;

#[test]
fn a_daemon_on_another_machine_stands_by_and_takes_over() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let state = postgres.url_without_password("?repository=watched");
    let first = Machine::plain(server.variables(), "watched", &state);
    first.run(&["publish"]).ok();
    let second = first.join(server.variables(), &OFFLINE[..1]);
    let mut database = Database::new(&postgres);
    for signal in [Signal::KILL, Signal::TERM] {
        let leader = Daemon::start(&mut first.command(&[]));
        wait_until("the first works", || leader.is(false));
        let standby = Daemon::start(&mut second.command(&[]));
        wait_until("the second stands by", || standby.is(true));
        let ended = leader.end(signal);
        match signal {
            // Nobody gave the lease back: it runs out.
            Signal::KILL => database.let_leases_run_out(),
            _ => drop(ended.ok()),
        }
        wait_until("the second takes over", || standby.is(false));
        // The first comes back, and stands by now.
        let back = Daemon::start(&mut first.command(&[]));
        wait_until("the first stands by", || back.is(true));
        let note = back.health().1["notes"][0].as_str().unwrap().to_owned();
        assert!(note.contains("standing by: process "), "{note}");
        back.end(Signal::TERM).ok().says("standing by");
        standby.end(Signal::TERM).ok().says("this daemon renews now");
    }
    first.audit(&server.public("watched/"));
}

#[test]
fn a_round_that_is_under_way_is_finished() {
    let server = S3::moto();
    let front = Front::start(&server.endpoint, Spoilt::Not);
    let machine = Machine::new(server.variables_at(&front.endpoint));
    machine.init("ending", &["--preset", "plain"]).ok();
    machine.run(&["publish"]).ok();
    let daemon = Daemon::start(&mut machine.command(&[]));
    wait_until("it works", || daemon.is(false));
    let requests = front.watch("/timestamp.json");
    machine.sandbox.set_periods(&["timestamp"], "60s", "1s");
    let put = loop {
        let request = requests.recv_timeout(Duration::from_secs(60)).unwrap();
        if request.method == Method::PUT {
            break request;
        }
    };
    daemon.send(Signal::TERM);
    front.unwatch();
    assert!(daemon.is(false), "it is there until its round has ended");
    drop(put);
    daemon.wait().ok().says("renewed: published snapshot 1, timestamp 2").says("stopped");
    machine.audit(&server.public("ending/"));
}
