//! The attack matrix: every attack on every role, refused for the right reason, with the trusted state
//! of before intact and usable afterwards.

use std::rc::Rc;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tuf_core::Attack;

use crate::support::{
    Client, Files, Pair, ROLES, Repo, Want, assert_refused, change_names, expiry, now, sign,
};

const ARBITRARY: Option<&str> = Some(Attack::ArbitrarySoftware.name());
const FREEZE: Option<&str> = Some(Attack::IndefiniteFreeze.name());
const MIX: Option<&str> = Some(Attack::MixAndMatch.name());
const ROLLBACK: Option<&str> = Some(Attack::Rollback.name());

/// A client that has seen the whole repository, its cached metadata included.
pub(crate) fn warm(repo: &Repo) -> Client {
    let mut client = repo.client();
    assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
    client
}

/// What a refresh stores that stops at this role.
fn stored_before(role: &str) -> &'static [&'static str] {
    match role {
        "root" | "timestamp" => &[],
        "snapshot" => &["+floor/timestamp.json"],
        "targets" => &["+floor/timestamp.json", "+floor/snapshot.json"],
        _ => &["+timestamp.json", "+snapshot.json", "+targets.json"],
    }
}

/// The client refuses what the repository serves, keeps its last view, and is well again as soon as the
/// repository is.
pub(crate) fn refuses(client: &mut Client, files: &Files, want: Want<'_>, stored: &[&str], case: &str) {
    let view = client.view();
    let (result, batch) = client.get(files, "d/x.txt");
    let error = result.map(|found| panic!("{case}: accepted, {found:?}")).unwrap_err();
    assert_refused(&error, want, case);
    assert_eq!(change_names(&batch), stored, "{case}");
    if !stored.contains(&"+timestamp.json") {
        assert_eq!(client.view(), view, "{case}: the last complete view stays");
    }
    // The same again: a second run may not believe what the first one refused.
    let again = client.get(files, "d/x.txt").0.expect_err(case);
    assert_refused(&again, want, case);
}

fn recovers(client: &mut Client, repo: &mut Repo, case: &str) {
    repo.heal();
    // A root that was never accepted: another one takes its number.
    let roots = client.store.keys().filter(|name| name.starts_with("root_history/")).count();
    repo.get("root")["version"] = json!(roots + 1);
    for name in ["root", "dele"] {
        repo.release(name);
    }
    let (result, _) = client.get(&repo.files, "d/x.txt");
    assert!(result.unwrap_or_else(|error| panic!("{case}: {error}")).is_some(), "{case}");
    assert_eq!(client.view()[0], repo.files.get("timestamp.json").cloned(), "{case}");
    let floors = client.store.keys().filter(|name| name.starts_with("floor")).count();
    assert_eq!(floors, 0, "{case}: a complete view needs no floor besides");
}

type Forgery = fn(&mut Value, &[(String, Rc<Pair>)]);

#[test]
fn signatures_are_checked_for_every_role() {
    let forgeries: [(&str, Forgery, Want<'static>); 11] = [
        ("no signature", |file, _| file["signatures"] = json!([]), Want("Threshold", "", ARBITRARY)),
        (
            "a key of nobody under the right IDs",
            |file, ids| {
                let stolen: Vec<_> = ids.iter().map(|(id, _)| (id.clone(), Pair::ed(999))).collect();
                *file = sign(&file["signed"], &stolen);
            },
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "a key of nobody under its own ID",
            |file, _| *file = sign(&file["signed"], &[(Pair::ed(999).id(), Pair::ed(999))]),
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "below threshold",
            |file, ids| *file = sign(&file["signed"], &ids[..1]),
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "below threshold, and a key of nobody",
            |file, ids| {
                let pairs = [ids[0].clone(), (Pair::ed(999).id(), Pair::ed(999))];
                *file = sign(&file["signed"], &pairs);
            },
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "one key under both IDs",
            |file, ids| {
                let pairs = [ids[0].clone(), (ids[1].0.clone(), Rc::clone(&ids[0].1))];
                *file = sign(&file["signed"], &pairs);
            },
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "a key ID twice",
            |file, ids| *file = sign(&file["signed"], &[ids[0].clone(), ids[0].clone()]),
            Want("DuplicateSignature", "", ARBITRARY),
        ),
        (
            "a key ID twice beside enough signatures",
            |file, ids| *file = sign(&file["signed"], &[ids[0].clone(), ids[1].clone(), ids[0].clone()]),
            Want("DuplicateSignature", "", ARBITRARY),
        ),
        (
            "signatures over other bytes",
            |file, _| file["signed"]["expires"] = expiry(366),
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "an empty signature and one that is not hex",
            |file, _| {
                file["signatures"][0]["sig"] = json!("");
                file["signatures"][1]["sig"] = json!("zz");
            },
            Want("Threshold", "", ARBITRARY),
        ),
        (
            "another _type, signed",
            |file, ids| {
                let other = if file["signed"]["_type"] == "root" { "targets" } else { "root" };
                file["signed"]["_type"] = json!(other);
                *file = sign(&file["signed"], ids);
            },
            Want("Type", "", ARBITRARY),
        ),
    ];
    for role in ROLES {
        for (name, forge, Want(kind, _, attack)) in forgeries {
            let case = format!("{role}: {name}");
            let mut repo = Repo::new();
            let mut client = warm(&repo);
            let signers = repo.signers[role].clone();
            repo.tamper(role, move |file| forge(file, &signers));
            repo.release(role);
            let stored = stored_before(role);
            refuses(&mut client, &repo.files, Want(kind, role, attack), stored, &case);
            recovers(&mut client, &mut repo, &case);
        }
    }
}

/// Like [`signatures_are_checked_for_every_role`], where the file that names the keys is odd itself.
#[test]
fn one_key_counts_once_for_every_role() {
    for role in ROLES {
        for name in ["two IDs", "both ECDSA key types", "one ID listed twice"] {
            let case = format!("{role}: {name}");
            let mut repo = Repo::new();
            let mut client = warm(&repo);
            let old_root = repo.signers["root"].clone();
            let pair = Pair::p256();
            let honest = repo.signers[role].clone();
            let (ids, list) = match name {
                "one ID listed twice" => (vec!["one"], ["one", "one"]),
                _ => (vec!["one", "two"], ["one", "two"]),
            };
            let (keys, entry) = repo.authority(role);
            let before = entry.clone();
            for id in &ids {
                keys[*id] = pair.json();
            }
            if name == "both ECDSA key types" {
                keys["two"]["keytype"] = json!("ecdsa-sha2-nistp256");
            }
            entry["keyids"] = json!(list);
            entry["threshold"] = json!(2);
            // Every ID gets a signature of its own: ECDSA never makes the same one twice.
            let signers: Vec<_> = ids.iter().map(|id| ((*id).to_owned(), Rc::clone(&pair))).collect();
            repo.signers.insert(role.to_owned(), signers.clone());
            if role == "root" {
                repo.signers.insert(role.to_owned(), old_root.into_iter().chain(signers).collect());
            }
            repo.new_authority(role);
            repo.release(if role == "root" || role == "dele" { "timestamp" } else { role });
            if role == "dele" {
                repo.release("targets");
            }
            let stored: Vec<&str> = match role {
                "root" | "dele" => stored_before(role).to_vec(),
                "timestamp" => vec!["+root_history/2.root.json"],
                "snapshot" => vec!["+root_history/2.root.json", "+floor/timestamp.json"],
                _ => vec!["+root_history/2.root.json", "+floor/timestamp.json", "+floor/snapshot.json"],
            };
            refuses_once(&mut client, &repo.files, Want("Threshold", role, ARBITRARY), &stored, &case);
            *repo.authority(role).1 = before;
            repo.signers.insert(role.to_owned(), honest);
            recovers(&mut client, &mut repo, &case);
        }
    }
}

/// For refusals that store something the first time only.
fn refuses_once(client: &mut Client, files: &Files, want: Want<'_>, stored: &[&str], case: &str) {
    let (result, batch) = client.get(files, "d/x.txt");
    assert_refused(&result.expect_err(case), want, case);
    assert_eq!(change_names(&batch), stored, "{case}");
}

#[test]
fn a_threshold_that_nobody_must_meet_is_refused_with_its_file() {
    for role in ROLES {
        for threshold in [json!(0), json!(-1), json!(1_u64 << 63), json!(u64::MAX), json!("1"), json!(null)] {
            let case = format!("{role}: {threshold}");
            let mut repo = Repo::new();
            let mut client = warm(&repo);
            let (_, entry) = repo.authority(role);
            let before = entry.clone();
            entry["threshold"] = threshold;
            let holder = if role == "dele" { "targets" } else { "root" };
            repo.release(holder);
            refuses(&mut client, &repo.files, Want("Field", holder, ARBITRARY), stored_before(holder), &case);
            *repo.authority(role).1 = before;
            recovers(&mut client, &mut repo, &case);
        }
    }
}

#[test]
fn no_older_version_follows_a_newer_one() {
    // What is rolled back, the culprit, and what is stored on the way.
    let cases = [("root", "root"), ("timestamp", "timestamp"), ("snapshot", "snapshot")];
    let cases = cases.into_iter().chain([("targets", "targets"), ("dele", "dele"), ("removed", "snapshot")]);
    for (attack, culprit) in cases {
        for state in ["warm", "expired cache", "new process"] {
            let case = format!("{attack}, {state}");
            let mut repo = Repo::new();
            let old = repo.clone();
            for name in ["root", "dele"] {
                repo.release(name);
            }
            for name in ["timestamp", "snapshot", "targets", "dele"] {
                repo.get(name)["expires"] = expiry(1);
            }
            repo.publish();
            let mut client = Client::new(Arc::clone(&repo.files["1.root.json"]));
            assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
            match state {
                "expired cache" => client.now += TimeDelta::days(2),
                "new process" => {
                    let store = client.store;
                    client = Client { store, ..Client::new(client.pinned) };
                }
                _ => {}
            }
            for name in ["timestamp", "snapshot", "targets", "dele"] {
                repo.get(name)["expires"] = expiry(365);
            }
            let before = repo.clone();
            let mut stored = ["+floor/timestamp.json"].as_slice();
            let mut want = Want("Rollback", culprit, ROLLBACK);
            match attack {
                "root" => {
                    let root = Arc::clone(&old.files["1.root.json"]);
                    repo.files.insert("3.root.json".into(), root);
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
            refuses_once(&mut client, &repo.files, want, stored, &case);
            refuses_once_more(&mut client, &repo.files, want, &case);
            // The repository goes on from where it was, under higher versions.
            let mut honest = before;
            for name in ["timestamp", "snapshot", "targets", "dele"] {
                let version = honest.version(name) + 10;
                honest.get(name)["version"] = json!(version);
            }
            recovers(&mut client, &mut honest, &case);
        }
    }
}

fn refuses_once_more(client: &mut Client, files: &Files, want: Want<'_>, case: &str) {
    assert_refused(&client.get(files, "d/x.txt").0.expect_err(case), want, case);
}

#[test]
fn expired_metadata_is_refused_for_every_role() {
    for role in ROLES {
        for (name, expires) in [("yesterday", expiry(-1)), ("exactly now", expiry(0))] {
            let case = format!("{role}: {name}");
            let mut repo = Repo::new();
            let mut client = warm(&repo);
            let honest = repo.get(role)["expires"].take();
            repo.get(role)["expires"] = expires;
            repo.release(role);
            let stored: &[&str] =
                if role == "root" { &["+root_history/2.root.json"] } else { stored_before(role) };
            refuses_once(&mut client, &repo.files, Want("Expired", role, FREEZE), stored, &case);
            refuses_once_more(&mut client, &repo.files, Want("Expired", role, FREEZE), &case);
            repo.get(role)["expires"] = honest;
            recovers(&mut client, &mut repo, &case);
        }
    }
}

/// The same files for ever: accepted until the second in which the first of them expires.
#[test]
fn a_replay_is_accepted_until_it_expires() {
    for role in ROLES {
        let mut repo = Repo::new();
        repo.get(role)["expires"] = expiry(30);
        repo.publish();
        let mut client = warm(&repo);
        client.now = now() + TimeDelta::days(30) - TimeDelta::seconds(1);
        assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some(), "{role}");
        client.now += TimeDelta::seconds(1);
        let (result, batch) = client.get(&repo.files, "d/x.txt");
        assert_refused(&result.unwrap_err(), Want("Expired", role, FREEZE), role);
        assert!(batch.is_empty(), "{role}: nothing new");
    }
}

#[test]
fn files_of_different_snapshots_do_not_mix() {
    for role in ["snapshot", "targets", "dele"] {
        for attack in ["hash", "length", "version", "missing"] {
            let case = format!("{role}: {attack}");
            let mut repo = Repo::new();
            let mut client = warm(&repo);
            repo.hashes = attack != "version";
            repo.release(role);
            let name = repo.file_name(role);
            let bytes = repo.files[&name].to_vec();
            let want = match attack {
                "hash" => {
                    let text = String::from_utf8(bytes).unwrap();
                    repo.files.insert(name, text.replacen('2', "3", 1).into_bytes().into());
                    Want("Hash", role, MIX)
                }
                "length" => {
                    let short = bytes[..bytes.len() - 1].to_vec();
                    repo.files.insert(name, short.into());
                    Want("Length", role, MIX)
                }
                "version" => {
                    repo.patch(role, |signed| signed["version"] = json!(7));
                    repo.publish();
                    Want("Version", role, MIX)
                }
                _ => {
                    repo.files.remove(&name);
                    Want("Missing", role, None)
                }
            };
            refuses_once(&mut client, &repo.files, want, stored_before(role), &case);
            refuses_once_more(&mut client, &repo.files, want, &case);
            recovers(&mut client, &mut repo, &case);
        }
    }
}

#[test]
fn a_fast_forward_needs_new_keys_to_recover() {
    // The role that was fast-forwarded, and the roles whose keys are to be replaced: spec 5.3.11.
    let cases: [(&str, &[&str]); 5] = [
        ("timestamp", &["timestamp"]),
        ("snapshot", &["timestamp", "snapshot"]),
        ("snapshot", &["snapshot"]),
        ("targets", &["snapshot"]),
        ("dele", &["snapshot"]),
    ];
    for version in [1_u64 << 63, u64::MAX] {
        for (role, rotated) in cases {
            let case = format!("{role} at {version}, new keys for {rotated:?}");
            let mut repo = Repo::new();
            let mut client = warm(&repo);
            let mut attacked = repo.clone();
            attacked.get(role)["version"] = json!(version);
            attacked.release(if role == "timestamp" || role == "snapshot" {
                "timestamp"
            } else {
                "snapshot"
            });
            attacked.get(role)["version"] = json!(version);
            attacked.publish();
            assert!(client.get(&attacked.files, "d/x.txt").0.unwrap().is_some(), "{case}");

            repo.release("dele");
            repo.release("dele");
            let error = client.get(&repo.files, "d/x.txt").0.expect_err(&case);
            assert_eq!(error.attack(), Some(Attack::Rollback), "{case}: {error}");

            for (seed, name) in (500..).step_by(10).zip(rotated) {
                repo.set_keys(name, &[Pair::ed(seed), Pair::ed(seed + 1)], 2);
            }
            repo.release("root");
            repo.release("dele");
            let mut fresh_process = client.clone();
            for client in [&mut client, &mut fresh_process] {
                let found = client.get(&repo.files, "d/x.txt").0;
                assert!(found.unwrap_or_else(|error| panic!("{case}: {error}")).is_some(), "{case}");
            }
            let error = client.get(&attacked.files, "d/x.txt").0.expect_err(&case);
            assert!(
                matches!(error.attack(), Some(Attack::Rollback | Attack::ArbitrarySoftware)),
                "{case}: {error}"
            );
        }
    }
}

#[test]
fn a_delegated_role_must_be_listed_and_delegated() {
    let repo = Repo::new();
    let mut client = warm(&repo);
    let mut unlisted = Repo::new();
    unlisted.patch("snapshot", |signed| drop(signed["meta"].as_object_mut().unwrap().remove("dele.json")));
    unlisted.publish();
    let mut cold = unlisted.client();
    let want = Want("NotInSnapshot", "dele", MIX);
    refuses_once(&mut cold, &unlisted.files, want, stored_before("dele"), "not in the snapshot");

    let set = client.trusts(&repo.files);
    let bytes = &repo.files["1.dele.json"];
    for name in ["other", "targets", "root", "dele "] {
        let error = set.delegated(set.targets(), &crate::support::role(name), bytes).unwrap_err();
        assert_refused(&error, Want("NotDelegated", name, ARBITRARY), name);
    }
    let dele = set.delegated(set.targets(), &crate::support::role("dele"), bytes).unwrap();
    let error = set.delegated(&dele, &crate::support::role("dele"), bytes).unwrap_err();
    assert_refused(&error, Want("NotDelegated", "dele", ARBITRARY), "dele delegates to nobody");
}
