//! Thirty simulated days of a daemon, with a ceremony beside it that takes almost as long.

use chrono::TimeDelta;
use tuf_client::store::MemoryStore;
use tuf_client::{Client, Url};
use tuf_repo_tool::event;
use tuf_repo_tool::health::Freshness;
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::Options;

use super::{Simulation, errors, published};
use crate::event::Ceremony;

const DAYS: i64 = 30;
/// When root, targets and bins are due, whose keys are elsewhere.
const DUE: i64 = 10;
/// When the holders of root have signed.
const SIGNED: i64 = 25;

#[test]
fn no_client_is_refused_in_thirty_days_with_a_ceremony_that_takes_almost_as_long() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    sandbox.set_periods(&["root", "targets", "bins"], "365d", &format!("{DUE}d"));
    let id = ceremony.open(&["root"]);
    let mut simulation = Simulation::new(&sandbox.repo(), TimeDelta::hours(1));
    let report = simulation.daemon.report();
    let root: std::sync::Arc<[u8]> = std::fs::read(sandbox.anchor()).unwrap().into();
    let url = Url::parse(&sandbox.url()).unwrap();
    let clock = simulation.clock.clone();
    let client = || {
        let builder = Client::builder(root.clone(), url.clone()).store(MemoryStore::new());
        builder.clock(clock.clock()).build().unwrap()
    };
    let lasting = client();
    let (mut refreshes, mut publishes) = (0, 0);
    for hour in 0..DAYS * 24 {
        let fresh = client();
        let rounds = simulation.pass(TimeDelta::hours(1));
        assert!(!rounds.is_empty(), "hour {hour}: no round");
        assert_eq!(errors(&rounds), [""; 0], "hour {hour}");
        publishes += rounds.iter().filter(|round| published(round)).count();
        // One that knows the state of an hour ago, and one that knows nothing.
        for client in [&lasting, &fresh] {
            let refreshed = simulation.runtime.block_on(client.refresh());
            refreshed.unwrap_or_else(|error| panic!("hour {hour}: {}", tuf_client::chain(&error)));
            refreshes += 1;
        }
        let health = report.get().health();
        assert_eq!(health.reasons, [""; 0], "hour {hour}");
        assert!(health.healthy && !health.standby, "hour {hour}: {health:?}");
        for role in &health.roles {
            let online = matches!(role.role.as_str(), "timestamp" | "snapshot" | "bin-n");
            assert!(!online || role.state == Freshness::Fresh, "hour {hour}: {role:?}");
        }
        // What is due and cannot be signed here is reported in each round, from the day on that it is due.
        let due = |role: &str| {
            health.notes.iter().any(|note| note.contains(&format!("due and not signed: role {role} ")))
        };
        let day = hour / 24;
        for role in ["root", "targets", "bins"] {
            // The round is at the moment at which they fall due.
            let is_due = hour + 1 >= DUE * 24 && (role != "root" || day < SIGNED);
            assert_eq!(due(role), is_due, "hour {hour}: {role} {:?}", health.notes);
        }
        assert_eq!(health.events.len(), usize::from(day < SIGNED), "hour {hour}");
        if let [event] = health.events.as_slice() {
            assert_eq!(event.id, id);
            assert!(event.age_seconds >= hour * 3600 && event.missing[0].contains("root-1"), "{event:?}");
        }
        if hour + 1 == SIGNED * 24 {
            ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-2"]).ok().says("complete");
            let repository = simulation.clock.repository(&sandbox.repo());
            let (lock, options) = (repository.lock().unwrap(), Options::default());
            let mut passphrases = Passphrases::from_environment();
            let finish = event::finish(&repository, &lock, &mut passphrases, &id, &options);
            simulation.runtime.block_on(finish).unwrap();
            // What was signed is as old as the ceremony.
            sandbox.set_periods(&["root"], "365d", "100d");
        }
    }
    let roles = report.get().health().roles;
    let version = |name: &str| roles.iter().find(|role| role.role == name).unwrap().version;
    let (timestamp, snapshot) = (version("timestamp"), version("snapshot"));
    println!(
        "{DAYS} days: {refreshes} refreshes, 0 failed; {publishes} publishes, timestamp {timestamp}, snapshot {snapshot}, root {}",
        version("root")
    );
    assert_eq!(version("root"), 2);
    // Twice a day a timestamp; a snapshot twice a week, and for the bins.
    assert!((60..80).contains(&timestamp), "timestamp {timestamp}");
    assert!((8..20).contains(&snapshot), "snapshot {snapshot}");
}
