//! The client workflow: what is asked for, in which order, and what an interrupted refresh leaves.

use std::sync::Arc;

use serde_json::json;
use tuf_core::refresh::{Refresh, Step};

use crate::support::{
    COMPLETE, Client, Files, Pair, Repo, Want, assert_refused, change_names, expiry, kind_name, now, warm,
};

#[test]
fn files_are_asked_for_in_the_order_of_trust_and_only_if_needed() {
    let mut repo = Repo::new();
    let mut client = repo.client();
    let first = client.refresh(&repo.files);
    assert_eq!(first.fetched, ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(change_names(&first.batch), COMPLETE);
    let second = client.refresh(&repo.files);
    assert_eq!(second.fetched, ["2.root.json", "timestamp.json"]);
    assert!(second.batch.is_empty(), "nothing changed, nothing is written");
    repo.release("dele");
    repo.bump("targets");
    repo.release("snapshot");
    let third = client.refresh(&repo.files);
    assert_eq!(third.fetched, ["2.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"]);
}

#[test]
fn without_consistent_snapshots_only_roots_have_their_version_in_the_name() {
    let mut repo = Repo::new();
    repo.get("root")["consistent_snapshot"] = json!(false);
    repo.publish();
    repo.files.retain(|name, _| name.starts_with("1.root") || name.chars().all(|c| !c.is_ascii_digit()));
    let mut client = repo.client();
    assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
}

/// Mirrors: bad answers to every step change nothing, and a good one may follow.
#[test]
fn after_a_refused_answer_another_may_follow() {
    let old = Repo::new();
    let mut repo = old.clone();
    for role in ["root", "targets", "snapshot", "timestamp"] {
        repo.release(role);
    }
    let limits = Arc::new(tuf_core::Limits::default());
    let mut refresh = Refresh::new(&old.client().pinned, now(), limits).unwrap();
    let mut fetched = Vec::new();
    loop {
        match refresh.step() {
            Step::Load { .. } => refresh.give(None).unwrap(),
            Step::Fetch { name, role, .. } => {
                let step = refresh.step();
                let garbage = Some(b"{}".to_vec());
                let absent = None;
                // What the old repository has under this name, or some file of another role.
                let stale =
                    old.files.get(&name).or_else(|| old.files.get("1.root.json")).map(|bytes| bytes.to_vec());
                for (index, bad) in [garbage, absent, stale].into_iter().enumerate() {
                    let allowed = (role.as_str() == "root" && index == 1)
                        || (role.as_str() == "timestamp" && index == 2)
                        || !old.files.contains_key(&name) && !repo.files.contains_key(&name);
                    if !allowed {
                        refresh.give(bad).unwrap_err();
                        assert_eq!(refresh.step(), step, "{name}");
                    }
                }
                let good = repo.files.get(&name).map(|bytes| bytes.to_vec());
                fetched.push(name);
                let mut clone = refresh.clone();
                clone.give(good.clone()).unwrap();
                assert_eq!(refresh.step(), step, "a clone is of its own");
                refresh.give(good).unwrap();
            }
            _ => break,
        }
    }
    assert_eq!(refresh.timestamp_version(), Some(repo.version("timestamp")));
    let (set, batch) = refresh.finish();
    let mut client = old.client();
    assert_eq!(client.refresh(&repo.files).batch, batch);
    assert_eq!(
        client.refresh(&repo.files).result.unwrap().root().header.version,
        set.unwrap().root().header.version
    );
    assert_eq!(fetched.len(), 5, "{fetched:?}");
}

/// The same version with other content: what came first holds (spec 5.4.3).
#[test]
fn a_timestamp_of_a_known_version_is_not_read_again() {
    let mut repo = Repo::new();
    let mut client = warm(&repo);
    let before = client.store["timestamp.json"].clone();
    repo.bump("targets");
    repo.bump("snapshot");
    repo.get("timestamp")["expires"] = expiry(700);
    repo.publish();
    let outcome = client.refresh(&repo.files);
    assert_eq!(outcome.result.unwrap().snapshot().header.version, 1);
    assert!(outcome.batch.is_empty());
    assert_eq!(client.store["timestamp.json"], before);
}

/// Two contents of one version, and a newer timestamp that vouches for the second one: somebody with the keys of both roles
/// shows different clients different repositories.
#[test]
fn two_snapshots_of_one_version_are_reported_as_equivocation() {
    let mut repo = Repo::new();
    let mut client = warm(&repo);
    let first = repo.files.clone();
    repo.get("snapshot")["expires"] = expiry(700);
    repo.bump("timestamp");
    repo.publish();
    let mut refresh = Refresh::new(&client.pinned, client.now, Arc::new(client.limits.clone())).unwrap();
    client.drive(&mut refresh, &repo.files, &mut Vec::new()).unwrap();
    let error = refresh.equivocation().unwrap();
    assert_refused(error, Want("Equivocation", "snapshot", Some("equivocation")), "another expiry");
    client.trusts(&repo.files);
    // A client that saw neither has nothing to report.
    let mut refresh = Refresh::new(&client.pinned, client.now, Arc::new(client.limits.clone())).unwrap();
    repo.client().drive(&mut refresh, &first, &mut Vec::new()).unwrap();
    assert!(refresh.equivocation().is_none());
}

/// What was seen counts as a floor, even where the view could not be completed.
#[test]
fn an_interrupted_refresh_raises_the_floor() {
    for missing in ["snapshot", "targets"] {
        let mut repo = Repo::new();
        let mut client = warm(&repo);
        repo.release("dele");
        let second = repo.files.clone();
        repo.release("dele");
        let mut partial = repo.files.clone();
        partial.remove(&repo.file_name(missing));
        let view = client.view();
        for _ in 0..2 {
            let outcome = client.refresh(&partial);
            assert_refused(&outcome.result.unwrap_err(), Want("Missing", missing, None), missing);
            assert_eq!(client.view(), view, "the old view stays");
        }
        // Version 2 is newer than the view and older than what was seen.
        let mut client = Client { store: client.store.clone(), ..Client::new(Arc::clone(&client.pinned)) };
        let outcome = client.refresh(&second);
        let want = Want("Rollback", "timestamp", Some("rollback"));
        assert_refused(&outcome.result.unwrap_err(), want, missing);
        let complete = client.refresh(&repo.files);
        assert_eq!(complete.result.unwrap().timestamp().header.version, 3);
        for name in ["timestamp.json", "snapshot.json"] {
            assert_eq!(client.store[name], client.store[&format!("floor/{name}")], "{missing}");
        }
    }
}

/// A failing refresh that learns nothing writes nothing.
#[test]
fn a_floor_is_written_once() {
    let mut repo = Repo::new();
    let mut client = warm(&repo);
    repo.release("dele");
    repo.files.remove(&repo.file_name("targets"));
    assert_eq!(
        change_names(&client.refresh(&repo.files).batch),
        ["+floor/timestamp.json", "+floor/snapshot.json"]
    );
    assert!(client.refresh(&repo.files).batch.is_empty(), "the floor is stored already");
}

/// Local damage never stops a refresh, and is repaired by it.
#[test]
fn damaged_stored_files_are_as_good_as_absent() {
    let repo = Repo::new();
    let stored: Vec<String> = warm(&repo).store.into_keys().collect();
    for name in stored.iter().map(String::as_str).chain(["floor/timestamp.json", "floor/snapshot.json"]) {
        for damage in [&b""[..], b"{", &[0; 64], b"{\"signatures\":[],\"signed\":{}}"] {
            let mut client = warm(&repo);
            client.store.insert(name.to_owned(), damage.into());
            assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some(), "{name}");
            let healed = client.store.get(name).is_none_or(|bytes| **bytes != *damage);
            assert!(healed, "{name}");
        }
    }
}

/// The stored files that a client says are damaged, when it refreshes from `files`.
fn rejected(client: &Client, files: &Files) -> Vec<String> {
    let mut refresh = Refresh::new(&client.pinned, client.now, Arc::new(client.limits.clone())).unwrap();
    client.drive(&mut refresh, files, &mut Vec::new()).ok();
    refresh.rejected().iter().map(|(file, _)| file.file_name()).collect()
}

/// There are two copies of each, and the newer one counts.
#[test]
fn damage_to_one_stored_file_lowers_no_floor_and_is_reported() {
    let mut repo = Repo::new();
    let mut client = warm(&repo);
    let (first, old) = (repo.files.clone(), client.store.clone());
    for _ in 0..2 {
        repo.release("dele");
        client.trusts(&repo.files);
    }
    for name in ["timestamp.json", "snapshot.json", "floor/timestamp.json", "floor/snapshot.json"] {
        let mut flipped = client.store[name].to_vec();
        flipped[100] ^= 1;
        let older = old[name].clone();
        for (damage, said) in
            [(Some(flipped.into()), true), (Some((*b"").into()), true), (Some(older), false), (None, false)]
        {
            let mut client =
                Client { store: client.store.clone(), ..Client::new(Arc::clone(&client.pinned)) };
            match damage {
                Some(bytes) => drop(client.store.insert(name.to_owned(), bytes)),
                None => drop(client.store.remove(name)),
            }
            let expected: &[&str] = if said { &[name] } else { &[] };
            assert_eq!(rejected(&client, &first), expected);
            let error = client.refresh(&first).result.unwrap_err();
            assert_refused(&error, Want("Rollback", "timestamp", Some("rollback")), name);
            assert_eq!(client.trusts(&repo.files).timestamp().header.version, 3);
            assert!(rejected(&client, &repo.files).is_empty(), "{name} is healed");
        }
    }
}

/// Also where a longer length was signed.
#[test]
fn without_a_signed_length_the_limit_of_the_role_holds() {
    for (hashes, name) in [(false, "snapshot"), (false, "targets"), (true, "snapshot"), (true, "targets")] {
        let mut repo = Repo::new();
        repo.hashes = hashes;
        repo.publish();
        let mut client = repo.client();
        let length = u64::try_from(repo.files[&repo.file_name(name)].len()).unwrap();
        for (limit, accepted) in [(length, true), (length - 1, false)] {
            match name {
                "snapshot" => client.limits.snapshot_bytes = limit,
                _ => client.limits.targets_bytes = limit,
            }
            client.store.clear();
            let found = client.refresh(&repo.files).result.map_err(|error| kind_name(error.kind()));
            assert_eq!(found.map(drop), if accepted { Ok(()) } else { Err("Limit".to_owned()) }, "{name}");
        }
    }
}

/// Stricter than spec 5.3.11, which deletes the stored snapshot too: see specs/store.md.
#[test]
fn new_timestamp_keys_alone_lift_no_floor_of_a_targets_role() {
    for (rotated, lifted) in [(&["timestamp"][..], false), (&["timestamp", "snapshot"], true)] {
        let mut repo = Repo::new();
        let honest = repo.clone();
        repo.get("dele")["version"] = json!(90);
        repo.release("snapshot");
        let mut client = Client::new(Arc::clone(&honest.files["1.root.json"]));
        client.trusts(&repo.files);
        let mut repo = honest;
        for (seed, name) in (60_000..).step_by(10).zip(rotated) {
            repo.set_keys(name, &[Pair::ed(seed), Pair::ed(seed + 1)], 2);
        }
        repo.release("root");
        assert!(rejected(&client, &repo.files).is_empty(), "replaced keys are no damage");
        match client.refresh(&repo.files).result {
            Ok(set) => assert!(lifted && set.timestamp().header.version == 1, "{rotated:?}"),
            Err(error) => {
                assert!(!lifted, "{rotated:?}: {error}");
                assert_refused(&error, Want("Rollback", "dele", Some("rollback")), "dele 1 after dele 90");
            }
        }
    }
}
