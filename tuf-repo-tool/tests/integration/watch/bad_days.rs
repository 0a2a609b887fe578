//! What a daemon survives, in simulated time.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use tuf_repo_tool::Config;
use tuf_repo_tool::watch::Round;

use super::{Simulation, errors, published};
use crate::support::postgres::Postgres;
use crate::support::{Sandbox, write};

/// A published repository with few roles.
fn plain() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox
}

/// Puts something aside that is brought back when this is dropped.
struct Aside(PathBuf, PathBuf);

impl Aside {
    fn new(sandbox: &Sandbox, there: &Path) -> Self {
        let aside = Self(there.to_owned(), sandbox.path("aside"));
        rename(&aside.0, &aside.1);
        aside
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        rename(&self.1, &self.0);
    }
}

fn rename(from: &Path, to: &Path) {
    assert!(!to.exists(), "{} was made meanwhile", to.display());
    assert!(std::process::Command::new("mv").args([from, to]).status().unwrap().success());
}

fn publishes(rounds: &[Round]) -> usize {
    rounds.iter().filter(|round| published(round)).count()
}

#[test]
fn what_is_away_for_hours_is_told_and_all_is_well_once_it_is_back() {
    // Whoever is busy is waited for in real time.
    for (what, said, busy, minutes) in [
        ("public", "1.root.json", false, 8 * 60),
        ("tuf-repo.toml", "is no repository", false, 8 * 60),
        ("state/lock", "in use by", true, 61),
    ] {
        let sandbox = plain();
        let mut simulation = Simulation::new(&sandbox.repo(), TimeDelta::hours(1));
        let report = simulation.daemon.report();
        let rounds = simulation.pass(TimeDelta::hours(14));
        assert_eq!((errors(&rounds).len(), publishes(&rounds)), (0, 1), "{what}");

        let there = sandbox.repo().join(what);
        let held = busy.then(|| {
            let lock = std::fs::File::options().write(true).open(&there).unwrap();
            lock.lock().unwrap();
            lock
        });
        let aside = (!busy).then(|| Aside::new(&sandbox, &there));
        let rounds = simulation.pass(TimeDelta::minutes(minutes));
        let failed = errors(&rounds);
        assert!(failed.len() > 2 && failed.iter().any(|failed| failed.contains(said)), "{what}: {failed:?}");
        let away = report.get();
        let count = u64::try_from(rounds.len()).unwrap();
        assert_eq!((away.failures, away.busy), (count, if busy { count } else { 0 }), "{what}");
        let health = away.health();
        // A command that takes long is no alarm.
        assert_eq!(health.healthy, busy, "{what}: {health:?}");
        assert!(health.notes.iter().any(|note| note.contains(said)), "{what}: {health:?}");
        assert_eq!(health.roles.len(), 4, "{what}: what was known is still shown");
        drop((held, aside));

        let rounds = simulation.pass(TimeDelta::hours(24));
        assert_eq!(
            (errors(&rounds).len(), publishes(&rounds) > 0),
            (0, true),
            "{what}: {:?}",
            errors(&rounds)
        );
        let health = report.get().health();
        assert!(health.healthy && health.notes.is_empty(), "{what}: {health:?}");
    }
}

#[test]
fn settings_are_read_in_each_round_and_a_mistake_in_them_stops_nothing() {
    let sandbox = plain();
    let mut simulation = Simulation::new(&sandbox.repo(), TimeDelta::hours(1));
    let report = simulation.daemon.report();
    simulation.pass(TimeDelta::hours(2));
    let path = Config::path(&sandbox.repo());
    let good = std::fs::read_to_string(&path).unwrap();
    write(&path, good.replace("threshold = 1", "threshold = many"));
    // What is due is signed all the same.
    let rounds = simulation.pass(TimeDelta::hours(15));
    assert_eq!(publishes(&rounds), 1);
    assert!(errors(&rounds).iter().all(|error| error.contains("tuf-repo.toml: ")), "{:?}", errors(&rounds));
    let health = report.get().health();
    assert!(!health.healthy && health.notes.iter().any(|note| note.contains("many")), "{health:?}");
    // Timestamps that live for an hour, from the next round on.
    write(&path, good);
    sandbox.set_periods(&["timestamp"], "2h", "1h");
    let rounds = simulation.pass(TimeDelta::hours(12));
    assert_eq!(errors(&rounds), [""; 0]);
    assert!((11..=13).contains(&publishes(&rounds)), "{}", publishes(&rounds));
    assert!(report.get().health().healthy);
}

#[test]
fn a_clock_that_is_set_is_noticed() {
    let sandbox = plain();
    let mut simulation = Simulation::new(&sandbox.repo(), TimeDelta::hours(1));
    simulation.pass(TimeDelta::hours(1));
    // Suspended for a weekend, or set forward: what expired meanwhile is signed in the first round.
    simulation.clock.advance(TimeDelta::days(3));
    let rounds = simulation.pass(TimeDelta::minutes(1));
    assert_eq!((errors(&rounds).len(), publishes(&rounds), rounds.len()), (0, 1, 1));
    // Set back by less than what would be refused: a round at once, and nothing to sign.
    simulation.clock.advance(TimeDelta::minutes(-4));
    assert_eq!(simulation.pass(TimeDelta::minutes(1)).len(), 1);
    let rounds = simulation.pass(TimeDelta::days(1));
    assert_eq!((errors(&rounds).len(), publishes(&rounds)), (0, 2));
}

#[test]
fn a_key_that_fails_is_told_and_keeps_nothing_else_from_being_renewed() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "4"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    let mut simulation = Simulation::new(&sandbox.repo(), TimeDelta::hours(1));
    let report = simulation.daemon.report();
    simulation.pass(TimeDelta::hours(1));
    write(&sandbox.repo().join("keys/bin-n.pem"), "not a key");
    sandbox.set_periods(&["bin-n"], "30d", "1d");
    let rounds = simulation.pass(TimeDelta::days(8));
    assert_eq!(errors(&rounds), [""; 0]);
    // Two timestamps a day, which no bin stops.
    assert!((15..=17).contains(&publishes(&rounds)), "{}", publishes(&rounds));
    let postponed = report.get().postponed;
    assert!(postponed.len() == 1 && postponed[0].contains("bin-n.pem"), "{postponed:?}");
    assert!(report.get().health().healthy, "not yet");
    simulation.pass(TimeDelta::days(10));
    let health = report.get().health();
    let late = |reason: &String| reason.contains("bin-n expires") && reason.contains("late");
    assert!(!health.healthy && health.reasons.iter().any(late), "{health:?}");
}

#[test]
fn a_database_that_stops_for_hours_stops_no_renewal() {
    let mut server = Postgres::start();
    let sandbox = plain();
    let mut config = Config::load(&sandbox.repo()).unwrap();
    config.state = Some(server.url("?repository=watched").parse().unwrap());
    config.save(&sandbox.repo()).unwrap();
    let mut simulation = Simulation::new(&sandbox.repo(), TimeDelta::hours(6));
    let rounds = simulation.pass(TimeDelta::hours(7));
    assert_eq!(errors(&rounds), [""; 0]);
    server.stop();
    // A directory excludes other publishers by itself.
    let rounds = simulation.pass(TimeDelta::hours(13));
    assert_eq!((errors(&rounds), publishes(&rounds)), (vec![], 1));
    server.restart();
    let rounds = simulation.pass(TimeDelta::hours(13));
    assert_eq!((errors(&rounds), publishes(&rounds)), (vec![], 1));
    simulation.runtime.block_on(simulation.daemon.end());
}
