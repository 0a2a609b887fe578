//! Fast-forward: a version so high that the owners' next one is below it. Spec 5.3.11: new keys recover.

use serde_json::json;

use super::{Cell, ROLLBACK, Trial, Verdict, warm};
use crate::support::{Client, Pair, Repo, Want};

/// A client that has accepted the version, made with the role's stolen keys.
fn deceived(role: &'static str, version: u64) -> (Client, Repo, Repo) {
    let repo = Repo::new();
    let mut client = warm(&repo);
    let mut attacked = repo.clone();
    attacked.get(role)["version"] = json!(version);
    attacked.release(if role == "timestamp" || role == "snapshot" { "timestamp" } else { "snapshot" });
    attacked.get(role)["version"] = json!(version);
    attacked.publish();
    assert!(client.get(&attacked.files, "d/x.txt").0.unwrap().is_some(), "{role} at {version}");
    (client, repo, attacked)
}

fn refused(role: &'static str, version: u64) -> Vec<Trial> {
    let (client, mut repo, attacked) = deceived(role, version);
    repo.release("dele");
    repo.release("dele");
    // A timestamp that names an older snapshot is refused itself.
    let stored: &[&str] =
        if role == "timestamp" || role == "snapshot" { &[] } else { &["+floor/timestamp.json"] };
    let mut trials = Trial::refused(client, repo, Want("Rollback", role, ROLLBACK), stored);
    // Without new keys the owners can only go above the attacker's version.
    let mut honest = attacked;
    for name in ["timestamp", "snapshot", "targets", "dele"] {
        honest.get(name)["version"] = json!(honest.version(name) + 10);
    }
    trials[0].honest = honest;
    trials
}

fn recovered(role: &'static str, version: u64, rotated: &[&str]) -> Vec<Trial> {
    let (client, mut repo, attacked) = deceived(role, version);
    repo.release("dele");
    repo.release("dele");
    for (seed, name) in (500..).step_by(10).zip(rotated) {
        repo.set_keys(name, &[Pair::ed(seed), Pair::ed(seed + 1)], 2);
    }
    repo.release("root");
    repo.release("dele");
    let mut well = client.clone();
    let verdict = Verdict::Believed("dele", "x");
    let believed =
        Trial { client, files: repo.files.clone(), target: "d/x.txt", verdict, honest: repo.clone() };
    // And the attacker's files are refused from then on.
    assert!(well.get(&repo.files, "d/x.txt").0.is_ok(), "{role}: recovered");
    let error = well.get(&attacked.files, "d/x.txt").0.expect_err(role);
    assert!(["rollback", "arbitrary-software"].contains(&error.attack().unwrap().name()), "{role}: {error}");
    vec![believed]
}

/// The roles whose new keys undo the harm.
fn rotations(role: &str) -> &'static [&'static [&'static str]] {
    match role {
        "timestamp" => &[&["timestamp"]],
        "snapshot" => &[&["snapshot"], &["timestamp", "snapshot"]],
        _ => &[&["snapshot"]],
    }
}

fn all_recovered(role: &'static str, version: u64) -> Vec<Trial> {
    rotations(role).iter().flat_map(|rotated| recovered(role, version, rotated)).collect()
}

/// The last version has no successor, so nothing but new keys goes on from it.
fn extreme(role: &'static str) -> Vec<Trial> {
    let mut trials = refused(role, 1 << 63);
    for version in [1 << 63, u64::MAX] {
        trials.extend(all_recovered(role, version));
    }
    let (mut client, mut repo, _) = deceived(role, u64::MAX);
    repo.release("dele");
    repo.release("dele");
    let error = client.get(&repo.files, "d/x.txt").0.expect_err(role);
    super::assert_refused(&error, Want("Rollback", role, ROLLBACK), role);
    trials
}

pub(super) fn cells() -> Vec<Cell> {
    ["timestamp", "snapshot", "targets", "dele"]
        .into_iter()
        .flat_map(|role| {
            [
                Cell::new(role, "new keys recover", move || all_recovered(role, 1_000)),
                Cell::new(role, "without new keys nothing older follows", move || refused(role, 1_000)),
                Cell::new(role, "versions 2^63 and 2^64-1", move || extreme(role)),
            ]
        })
        .collect()
}
