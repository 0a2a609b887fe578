//! Rollback: nothing older than what was seen, whatever became of the client in between.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;
use tuf_core::{Batch, Change};

use super::{Cell, ROLLBACK, Trial};
use crate::support::{Client, Repo, Want, expiry};

const STATES: [&str; 4] = ["warm", "expired cache", "new process", "after a crash"];

/// What is rolled back, and the culprit.
const ROLES: [(&str, &str); 6] = [
    ("root", "root"),
    ("timestamp", "timestamp"),
    ("snapshot", "snapshot"),
    ("targets", "targets"),
    ("dele", "dele"),
    ("removed", "snapshot"),
];

/// A repository at version 2, and the clients that have seen that and may be attacked.
fn clients(state: &str, repo: &mut Repo) -> Vec<Client> {
    let mut client = Client::new(Arc::clone(&repo.files["1.root.json"]));
    assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
    match state {
        "expired cache" => client.now += TimeDelta::days(2),
        "new process" => {
            let store = client.store;
            client = Client { store, ..Client::new(client.pinned) };
        }
        "after a crash" => {
            // The next update is cut off after each of its changes.
            repo.release("root");
            repo.release("dele");
            let batch = client.clone().refresh(&repo.files).batch;
            assert_eq!(batch.changes().len(), 6, "root, two floors, timestamp, snapshot, targets");
            return (0..=6).map(|count| crashed(&client, &batch, count)).collect();
        }
        _ => {}
    }
    vec![client]
}

fn crashed(client: &Client, batch: &Batch, count: usize) -> Client {
    let mut client = client.clone();
    for change in &batch.changes()[..count] {
        let Change::Write(file, bytes) = change else { panic!("{change:?}") };
        client.store.insert(file.file_name(), Arc::clone(bytes));
    }
    client
}

fn rolled_back(attack: &'static str, culprit: &'static str, state: &'static str) -> Vec<Trial> {
    let mut repo = Repo::new();
    let old = repo.clone();
    for name in ["root", "dele"] {
        repo.release(name);
    }
    for name in ["timestamp", "snapshot", "targets", "dele"] {
        repo.get(name)["expires"] = expiry(1);
    }
    repo.publish();
    let clients = clients(state, &mut repo);
    for name in ["timestamp", "snapshot", "targets", "dele"] {
        repo.get(name)["expires"] = expiry(365);
    }
    let mut honest = repo.clone();
    let mut stored: &[&str] = &["+floor/timestamp.json"];
    let mut want = Want("Rollback", culprit, ROLLBACK);
    match attack {
        // Every root's number is taken once: after the last comes the first again.
        "root" => {
            let next = format!("{}.root.json", repo.version("root") + 1);
            repo.files.insert(next, Arc::clone(&old.files["1.root.json"]));
            (want, stored) = (Want("Version", "root", ROLLBACK), &[]);
        }
        "timestamp" => {
            repo.files.insert("timestamp.json".into(), Arc::clone(&old.files["timestamp.json"]));
            stored = &[];
        }
        "snapshot" => {
            repo.get("snapshot")["version"] = json!(1);
            repo.release("timestamp");
            stored = &[];
        }
        "removed" => {
            repo.patch("snapshot", |signed| {
                signed["meta"].as_object_mut().unwrap().remove("dele.json");
            });
            repo.release("snapshot");
            want = Want("RoleRemoved", culprit, ROLLBACK);
        }
        name => {
            repo.get(name)["version"] = json!(1);
            repo.release("snapshot");
        }
    }
    for name in ["timestamp", "snapshot", "targets", "dele"] {
        let version = honest.version(name) + 10;
        honest.get(name)["version"] = json!(version);
    }
    clients
        .into_iter()
        .flat_map(|client| {
            let mut stored = stored.to_vec();
            let known = format!("root_history/{}.root.json", honest.version("root"));
            if !client.store.contains_key(&known) {
                stored.insert(0, "+root_history/3.root.json");
            }
            let mut trials = Trial::refused(client, repo.clone(), want, &stored);
            trials[0].honest = honest.clone();
            trials
        })
        .collect()
}

pub(super) fn cells() -> Vec<Cell> {
    let of = |(attack, culprit)| {
        STATES.map(|state| Cell::new(attack, state, move || rolled_back(attack, culprit, state)))
    };
    ROLES.into_iter().flat_map(of).collect()
}
