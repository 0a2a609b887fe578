//! Two machines publish at once, one of them is killed in the middle, and a client polls all the time.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use super::{Database, Machine, OFFLINE, published, send};
use crate::publish_crash::poll_at;
use crate::publish_races::how_many;
use crate::support::postgres::Postgres;
use crate::support::s3::S3;
use crate::support::s3_front::{Front, Spoilt};
use crate::support::{Run, write};

/// Each stages for itself, so that each has something else to publish.
#[test]
fn two_machines_and_a_bucket_of_moto() {
    let server = S3::moto();
    race(&server, &server.endpoint, None, how_many((2, 10)));
}

#[test]
fn two_machines_and_a_bucket_of_ceph() {
    let (server, postgres) = (S3::ceph(), Postgres::start());
    race(&server, &server.endpoint, Some(&postgres), how_many((2, 3)));
}

/// The lease of the database does what the server does not.
#[test]
fn two_machines_and_a_bucket_whose_server_ignores_conditions() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let front = Front::start(&server.endpoint, Spoilt::Ignores);
    race(&server, &front.endpoint, Some(&postgres), how_many((2, 4)));
}

/// What is staged is read after what is published: else the first machine would publish what it read before, over the newer one.
#[test]
fn what_another_machine_has_staged_and_published_meanwhile_is_not_undone() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let front = Front::start(&server.endpoint, Spoilt::Not);
    let state = postgres.url_without_password("?repository=race");
    let first = Machine::plain(server.variables_at(&front.endpoint), "race", &state);
    let second = first.join(server.variables(), &OFFLINE[..1]);
    let stage = |machine: &Machine, text: &str| {
        let file = machine.sandbox.path("file");
        write(&file, text);
        machine.run(&["add", &file.display().to_string(), "--as", "page"]).ok();
    };
    first.add("first").ok();
    first.run(&["publish"]).ok();
    stage(&first, "old");
    let requests = front.watch("/timestamp.json");
    let publisher = first.start(&["publish", "--json"]);
    let look = requests.recv_timeout(Duration::from_secs(60)).unwrap();
    stage(&second, "newer");
    assert_eq!(published(&second.run(&["publish", "--json"]).ok()), Some(2));
    front.unwatch();
    drop(look);
    let run = Run::from_output("publish", &publisher.wait_with_output().unwrap()).ok();
    assert_eq!(published(&run), None, "there is nothing left to publish: {run:?}");
    let (url, out) = (server.public("race/"), first.sandbox.path("out"));
    first.sandbox.tuf_client(&["--url", &url, "download", "page", "-o", &out.display().to_string()]).ok();
    assert_eq!(std::fs::read_to_string(out.join("page")).unwrap(), "newer");
}

/// Whoever lost was told so, and that nothing was lost.
fn told(stderr: &str) -> bool {
    ["was faster", "is publishing", "nothing was lost"].iter().any(|words| stderr.contains(words))
        && stderr.contains("hint: ")
}

/// Dropped, also by a panic, it ends the client's polling.
struct StopsPolling<'a>(&'a AtomicBool);

impl Drop for StopsPolling<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[expect(clippy::print_stdout, reason = "figures of the race")]
fn race(server: &S3, endpoint: &str, postgres: Option<&Postgres>, (machines, times): (usize, usize)) {
    let first = match postgres {
        Some(postgres) => {
            let state = postgres.url_without_password("?repository=race");
            Machine::plain(server.variables_at(endpoint), "race", &state)
        }
        None => {
            let first = Machine::new(server.variables_at(endpoint));
            first.init("race", &["--preset", "plain"]).ok();
            first
        }
    };
    first.add("first").ok();
    first.run(&["publish"]).ok();
    let url = server.public("race/");
    let mut all = vec![first];
    for _ in 1..machines {
        // Of the offline keys, only root has a life of its own here.
        all.push(all[0].join(server.variables_at(endpoint), &OFFLINE[..1]));
    }
    let (versions, lost) = (Mutex::new(Vec::new()), Mutex::new(0));
    let stop = AtomicBool::new(false);
    let (polled, seen) = std::thread::scope(|scope| {
        let polling = poll_at(scope, all[0].root(), url.clone(), &stop);
        let watching = scope.spawn(|| watch(server, &stop));
        let stops = StopsPolling(&stop);
        std::thread::scope(|racing| {
            for (number, machine) in all.iter().enumerate() {
                let (versions, lost) = (&versions, &lost);
                racing.spawn(move || {
                    for time in 0..times {
                        machine.add(&format!("{number}/{time}")).ok();
                        if number == 1 && time == times / 2 {
                            kill_in_the_middle(machine, server);
                            // Two minutes later.
                            if let Some(postgres) = postgres {
                                Database::new(postgres).let_leases_run_out();
                            }
                        }
                        loop {
                            let run = machine.run(&["publish", "--json", "--retry", "0"]);
                            if run.code == Some(0) {
                                versions.lock().unwrap().extend(published(&run));
                                break;
                            }
                            let run = run.code(1);
                            assert!(told(&run.stderr), "{run:?}");
                            *lost.lock().unwrap() += 1;
                        }
                    }
                });
            }
        });
        drop(stops);
        let seen = watching.join().unwrap();
        (polling.join().unwrap(), seen)
    });
    // Two that sign the same in the same second make the same bytes, and both report them.
    let reported: BTreeSet<u64> = versions.into_inner().unwrap().into_iter().collect();
    let last = reported.last().copied().unwrap();
    let unreported: Vec<u64> = (2..=last).filter(|version| !reported.contains(version)).collect();
    assert!(unreported.len() <= 1, "only of the one that was killed: {unreported:?}");
    let expected: BTreeSet<String> = (0..machines)
        .flat_map(|machine| (0..times).map(move |time| format!("{machine}/{time}")))
        .chain(["first".to_owned()])
        .collect();
    for machine in &all {
        assert_eq!(machine.targets(&url), expected, "nothing is lost");
        let nothing = machine.run(&["publish", "--json"]).ok();
        assert_eq!(published(&nothing), None, "nothing is left to do: {nothing:?}");
    }
    all[0].audit(&url);
    let (lost, server) = (lost.into_inner().unwrap(), &server.name);
    println!(
        "{server}: {machines} x {times}: {} publishes, {seen} of them seen, {lost} lost the race, polled {polled} times",
        reported.len()
    );
}

/// Looks at the timestamp all the time: a version has one content for ever, and none comes back. How many there were.
fn watch(server: &S3, stop: &AtomicBool) -> usize {
    let storage = server.storage("race");
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let bytes = storage.read("metadata/timestamp.json", 1 << 20).unwrap().unwrap();
        let file: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let next = (file["signed"]["version"].as_u64().unwrap(), bytes);
        if seen.last() != Some(&next) {
            assert!(seen.last().is_none_or(|(version, _)| *version < next.0), "{} after {seen:?}", next.0);
            seen.push(next);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    seen.len()
}

/// Kills a publisher as soon as there is a new snapshot.
fn kill_in_the_middle(machine: &Machine, server: &S3) {
    let storage = server.storage("race");
    let snapshots = || {
        let listed = storage.list("metadata").unwrap();
        listed.iter().filter(|file| file.path.ends_with(".snapshot.json")).count()
    };
    let before = snapshots();
    let mut publisher = machine.start(&["publish"]);
    while snapshots() == before && publisher.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if publisher.try_wait().unwrap().is_none() {
        send(&publisher, Signal::KILL);
        assert_eq!(publisher.wait().unwrap().signal(), Some(9));
    }
}
