//! Indefinite freeze: what has expired, new or old, is not believed. The time of the refresh is the one at its start.

use chrono::TimeDelta;
use serde_json::Value;

use super::{Cell, FREEZE, Trial, Verdict, stored_before, warm};
use crate::support::{Client, ROLES, Repo, Want, expiry, now};

/// The owners' repository again: what expired is good for long.
fn renewed(mut repo: Repo, role: &str) -> Repo {
    repo.get(role)["expires"] = expiry(3_650);
    repo
}

fn trial(client: Client, repo: Repo, role: &'static str, stored: &[&'static str]) -> Vec<Trial> {
    let honest = renewed(repo.clone(), role);
    let mut trials = Trial::refused(client, repo, Want("Expired", role, FREEZE), stored);
    trials[0].honest = honest;
    trials
}

fn new_and_expired(role: &'static str, expires: Value) -> Vec<Trial> {
    let mut repo = Repo::new();
    let client = warm(&repo);
    repo.get(role)["expires"] = expires;
    repo.release(role);
    // A root that has expired is a link of the chain all the same.
    let stored = if role == "root" { &["+root_history/2.root.json"] } else { stored_before(role) };
    trial(client, repo, role, stored)
}

/// A repository of which one file expires in thirty days.
fn short_lived(role: &str) -> Repo {
    let mut repo = Repo::new();
    for other in ROLES {
        repo.get(other)["expires"] = expiry(3_000);
    }
    repo.get(role)["expires"] = expiry(30);
    repo.publish();
    repo
}

/// All that points at the file is new, and the file is still the one that the client has.
fn cached_and_expired(role: &'static str) -> Vec<Trial> {
    let mut repo = short_lived(role);
    let mut client = warm(&repo);
    client.now += TimeDelta::days(30);
    let stored = stored_before(role);
    match role {
        "root" => repo.release("dele"),
        // The same version, good for longer: the one that came first holds (spec 5.4.3).
        "timestamp" => {
            repo.get("timestamp")["expires"] = expiry(3_000);
            repo.publish();
        }
        "snapshot" => repo.release("timestamp"),
        "targets" => repo.release("snapshot"),
        _ => repo.release("targets"),
    }
    trial(client, repo, role, stored)
}

/// Valid when the refresh starts is valid for this refresh, however long it takes; not for the next one.
fn expires_meanwhile(role: &'static str) -> Vec<Trial> {
    let repo = short_lived(role);
    let mut client = repo.client();
    client.now = now() + TimeDelta::days(30) - TimeDelta::seconds(1);
    let verdict = Verdict::Believed("dele", "x");
    let started = Trial {
        client: client.clone(),
        files: repo.files.clone(),
        target: "d/x.txt",
        verdict,
        honest: repo.clone(),
    };
    assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
    client.now += TimeDelta::seconds(1);
    let mut trials = trial(client, repo, role, &[]);
    trials.push(started);
    trials
}

fn replayed(role: &'static str) -> Vec<Trial> {
    let repo = short_lived(role);
    let mut client = warm(&repo);
    for days in [1, 29] {
        client.now = now() + TimeDelta::days(days);
        let outcome = client.refresh(&repo.files);
        assert!(outcome.result.is_ok() && outcome.batch.is_empty(), "{role} after {days} days");
    }
    [30, 31, 1_000]
        .into_iter()
        .flat_map(|days| {
            let mut client = client.clone();
            client.now = now() + TimeDelta::days(days);
            trial(client, repo.clone(), role, &[])
        })
        .collect()
}

pub(super) fn cells() -> Vec<Cell> {
    ROLES
        .into_iter()
        .flat_map(|role| {
            [
                Cell::new(role, "a new file that expired yesterday", move || {
                    new_and_expired(role, expiry(-1))
                }),
                Cell::new(role, "a new file that expires now", move || new_and_expired(role, expiry(0)))
                    .more(),
                Cell::new(role, "a stored file that expired, named again", move || cached_and_expired(role)),
                Cell::new(role, "expires during the refresh", move || expires_meanwhile(role)),
                Cell::new(role, "the same files for ever", move || replayed(role)),
            ]
        })
        .collect()
}
