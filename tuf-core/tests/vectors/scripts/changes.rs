//! Honest changes, and what they must not open.

use serde_json::{Value, json};

use super::{ARBITRARY, FIRST, Row, but, evil, found, ok, refused, start};
use crate::support::{Pair, Repo, canonical, delegation, file};

/// A delegation by the targets to a role of its own keys, which is published and has this file.
fn delegate(repo: &mut Repo, name: &str, seed: u32, paths: &[&str], targets: &[(&str, &str)]) {
    let pairs = [Pair::ed(seed)];
    let delegations = repo.delegations();
    delegations["keys"][pairs[0].id()] = pairs[0].json();
    delegations["roles"].as_array_mut().unwrap().push(delegation(name, &pairs, 1, paths));
    let mut signed = repo.signed["dele"].clone();
    signed["version"] = json!(0);
    signed["targets"] = targets
        .iter()
        .map(|(path, content)| ((*path).to_owned(), file(content)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    repo.signed.insert(name.into(), signed);
    repo.signers.insert(name.into(), pairs.iter().map(|pair| (pair.id(), pair.clone())).collect());
}

pub(super) fn delegations() -> Vec<Row> {
    vec![
        ("delegation-added-and-removed", "5.6.7", "a target comes and goes with its delegation", |story| {
            story.content("e/z.txt", "z");
            story.refresh("nobody has it", Some("e/z.txt"), found(FIRST, None));
            delegate(&mut story.repo, "late", 300, &["e/*"], &[("e/z.txt", "z")]);
            story.repo.release("late");
            story.refresh("late has it", Some("e/z.txt"), found([1, 2, 2, 2], Some("late")));
            story.repo.delegations()["roles"].as_array_mut().unwrap().pop();
            story.repo.release("targets");
            story.refresh("late is trusted no more", Some("e/z.txt"), found([1, 3, 3, 3], None));
        }),
        (
            "delegation-keys-replaced",
            "5.6.3",
            "the targets name new keys: what the old ones signed is refused",
            |story| {
                story.refresh("by the first keys", Some("d/x.txt"), found(FIRST, Some("dele")));
                let old = story.repo.signers["dele"].clone();
                story.repo.set_keys("dele", &[Pair::ed(300), Pair::ed(301)], 2);
                let new = story.repo.signers.insert("dele".into(), old).unwrap();
                story.repo.release("targets");
                story.refresh(
                    "the role was not signed anew",
                    Some("d/x.txt"),
                    refused("dele", "Threshold", ARBITRARY),
                );
                story.repo.signers.insert("dele".into(), new);
                story.repo.release("dele");
                story.refresh("it was", Some("d/x.txt"), found([1, 3, 3, 3], Some("dele")));
            },
        ),
        (
            "delegation-threshold-raised",
            "5.6.3",
            "a delegated role needs one key more than it has signatures",
            |story| {
                story.refresh("two of two", Some("d/x.txt"), found(FIRST, Some("dele")));
                story.rotate("dele", &[50, 51, 52], 3);
                story.refresh("three of three", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
                story.served = evil(story, |repo| {
                    repo.signers.get_mut("dele").unwrap().pop();
                    repo.release("dele");
                });
                story.refresh("two of three", Some("d/x.txt"), refused("dele", "Threshold", ARBITRARY));
            },
        ),
        ("delegation-becomes-terminating", "5.6.7.2.1", "the role behind it is cut off", |story| {
            delegate(&mut story.repo, "behind", 300, &["d/*"], &[("d/y.txt", "y")]);
            story.content("d/y.txt", "y");
            story.repo.release("behind");
            story.refresh("not terminating", Some("d/y.txt"), found([1, 2, 2, 2], Some("behind")));
            story.repo.delegations()["roles"][0]["terminating"] = json!(true);
            story.repo.release("targets");
            story.refresh("terminating", Some("d/y.txt"), found([1, 3, 3, 3], None));
        }),
        ("delegation-order-changes", "4.5", "the same two roles in the other order", |story| {
            delegate(&mut story.repo, "other", 300, &["d/*"], &[("d/x.txt", "x")]);
            story.repo.release("other");
            story.refresh("dele is first", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
            story.repo.delegations()["roles"].as_array_mut().unwrap().reverse();
            story.repo.release("targets");
            story.refresh("other is first", Some("d/x.txt"), found([1, 3, 3, 3], Some("other")));
        }),
        (
            "delegation-scope-narrowed",
            "4.5",
            "a role keeps its targets, but is asked for them no more",
            |story| {
                story.refresh("d/*", Some("d/x.txt"), found(FIRST, Some("dele")));
                story.repo.delegations()["roles"][0]["paths"] = json!(["d/y*"]);
                story.repo.release("targets");
                story.refresh("d/y*", Some("d/x.txt"), found([1, 2, 2, 2], None));
            },
        ),
        (
            "delegated-target-changes",
            "5.7.3",
            "a target gets other content; the old content is refused",
            |story| {
                story.refresh("the first", Some("d/x.txt"), found(FIRST, Some("dele")));
                story.repo.get("dele")["targets"]["d/x.txt"] = file("other");
                story.repo.release("dele");
                story.refresh(
                    "the new file is not there yet",
                    Some("d/x.txt"),
                    json!({"refused": {"role": null, "kind": "Missing", "attack": null}}),
                );
                story.repo.get("dele")["targets"]["d/x.txt"] = file("x");
                story.repo.release("dele");
                story.refresh(
                    "the first again, signed anew",
                    Some("d/x.txt"),
                    found([1, 3, 3, 3], Some("dele")),
                );
            },
        ),
    ]
}

pub(super) fn changes() -> Vec<Row> {
    vec![
        ("threshold-of-timestamp-raised", "5.4.2", "one signature, twice, is one (CVE-2020-6174)", |story| {
            start(story);
            story.rotate("timestamp", &[20, 21, 22], 3);
            story.refresh("three of three", None, ok([2, 2, 1, 1]));
            story.served = evil(story, |repo| {
                repo.signers.get_mut("timestamp").unwrap().pop();
                repo.release("timestamp");
            });
            story.refresh("two of three", None, refused("timestamp", "Threshold", ARBITRARY));
            story.served = evil(story, |repo| {
                let signers = repo.signers.get_mut("timestamp").unwrap();
                signers[2] = signers[1].clone();
                repo.release("timestamp");
            });
            story.refresh(
                "two, and one of them twice",
                None,
                refused("timestamp", "DuplicateSignature", ARBITRARY),
            );
            story.repo.release("timestamp");
            story.refresh("three again", None, ok([2, 3, 1, 1]));
        }),
        (
            "key-under-two-ids-in-a-new-root",
            "5.4.2",
            "one key listed twice counts once (GHSA-3633-5h82-39pq)",
            |story| {
                start(story);
                story.new_root();
                let pair = Pair::ed(20);
                let root = story.repo.get("root");
                let alias = "0".repeat(64);
                root["keys"][&alias] = pair.json();
                root["roles"]["timestamp"]["keyids"] = json!([pair.id(), alias]);
                story.repo.signers.insert("timestamp".into(), vec![(pair.id(), pair.clone()), (alias, pair)]);
                story.repo.release("timestamp");
                story.refresh("threshold 2, one key", None, refused("timestamp", "Threshold", ARBITRARY));
            },
        ),
        (
            "unknown-key-type-in-a-new-root",
            "TAP 12",
            "a key that only newer clients know, beside enough others",
            |story| {
                start(story);
                story.new_root();
                let root = story.repo.get("root");
                root["keys"]["f".repeat(64)] =
                    json!({"keytype": "x-future", "scheme": "x-future-1", "keyval": {"public": "00"}});
                root["roles"]["timestamp"]["keyids"].as_array_mut().unwrap().push(json!("f".repeat(64)));
                story.repo.publish();
                story.refresh("it is carried", None, ok([2, 1, 1, 1]));
            },
        ),
        ("consistent-snapshots-begin", "7", "names without versions, then with them", |story| {
            story.repo.get("root")["consistent_snapshot"] = json!(false);
            story.new_root();
            story.repo.publish();
            story.refresh("without", Some("d/x.txt"), found([2, 1, 1, 1], Some("dele")));
            story.repo.get("root")["consistent_snapshot"] = json!(true);
            story.new_root();
            story.repo.release("dele");
            story.refresh("with", Some("d/x.txt"), found([3, 2, 2, 2], Some("dele")));
        }),
        ("hashes-begin", "4.4", "lengths and hashes are optional from one snapshot to the next", |story| {
            story.repo.hashes = false;
            story.repo.publish();
            story.refresh("without", Some("d/x.txt"), found(FIRST, Some("dele")));
            story.repo.hashes = true;
            story.repo.release("dele");
            story.refresh("with", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
        }),
        (
            "specification-2-in-between",
            "4.3",
            "another major version is refused, and does no harm",
            |story| {
                start(story);
                story.served = evil(story, |repo| {
                    repo.get("timestamp")["spec_version"] = json!("2.0.0");
                    repo.release("timestamp");
                });
                story.refresh(
                    "timestamp 2 by specification 2.0.0",
                    None,
                    json!({"refused": {"role": "timestamp", "kind": "SpecVersion", "attack": null}}),
                );
                story.repo.release("timestamp");
                story.refresh("by 1.0.34", None, ok([1, 2, 1, 1]));
            },
        ),
        ("unknown-fields-appear", "4.1", "fields that nobody knows are signed, and ignored", |story| {
            start(story);
            for name in ["timestamp", "snapshot", "targets", "dele"] {
                story.repo.get(name)["x-new"] = json!({"z": [1, "\u{1f600}"], "a": null});
            }
            story.repo.release("dele");
            story.refresh("in every role", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
        }),
        (
            "other-layout-same-content",
            "4.1",
            "signatures are over the canonical form: white space may change",
            |story| {
                start(story);
                story.repo.release("timestamp");
                story.served = but(story, |files| {
                    let value: Value = serde_json::from_slice(&files["timestamp.json"]).unwrap();
                    let text = serde_json::to_string_pretty(&value).unwrap();
                    assert_ne!(text, canonical(&value));
                    files.insert("timestamp.json".into(), text.into_bytes().into());
                });
                story.refresh("indented", None, ok([1, 2, 1, 1]));
                story.refresh("compact", None, ok([1, 2, 1, 1]));
            },
        ),
    ]
}
