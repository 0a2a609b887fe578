//! Keys that change, and versions that run away with stolen ones.

use serde_json::json;

use super::super::story::Story;
use super::{ARBITRARY, FIRST, FREEZE, ROLLBACK, Row, but, evil, found, ok, refused, start};
use crate::support::Pair;

pub(super) fn roots() -> Vec<Row> {
    vec![
        ("root-rotates-between-refreshes", "5.3", "new root keys again and again", |story| {
            start(story);
            for (seed, version) in (100..).step_by(10).zip(2..=4) {
                story.rotate("root", &[seed, seed + 1], 2);
                story.refresh("one new root", None, ok([version, 1, 1, 1]));
            }
        }),
        ("root-rotates-while-away", "5.3.4", "five rotations since the last refresh", |story| {
            start(story);
            for seed in (100..150).step_by(10) {
                story.rotate("root", &[seed, seed + 1], 2);
            }
            story.refresh("all are followed, one by one", None, ok([6, 1, 1, 1]));
            story.repo.files.retain(|name, _| !name.ends_with(".root.json"));
            story.refresh("the stored ones need not be fetched", None, ok([6, 1, 1, 1]));
        }),
        ("root-threshold-raised", "5.3.4", "three of three from root 2 on", |story| {
            story.rotate("root", &[100, 101, 102], 3);
            story.refresh("root 2", None, ok([2, 1, 1, 1]));
            story.served = evil(story, |repo| {
                repo.signers.get_mut("root").unwrap().retain(|(id, _)| *id != Pair::ed(102).id());
                repo.release("root");
            });
            story.refresh("root 3 by two of them", None, refused("root", "Threshold", ARBITRARY));
            story.new_root();
            story.repo.publish();
            story.refresh("root 3 by all three", None, ok([3, 1, 1, 1]));
        }),
        (
            "root-threshold-lowered",
            "5.3.4",
            "root 2 asks for one key, and still needs two for itself",
            |story| {
                start(story);
                story.served = evil(story, |repo| {
                    repo.set_keys("root", &[Pair::ed(10)], 1);
                    repo.release("root");
                });
                story.refresh("root 2 by one key", None, refused("root", "Threshold", ARBITRARY));
                story.rotate("root", &[10], 1);
                story.refresh("root 2 by both keys of root 1", None, ok([2, 1, 1, 1]));
                story.new_root();
                story.repo.publish();
                story.refresh("root 3 by one key", None, ok([3, 1, 1, 1]));
            },
        ),
        ("root-by-revoked-keys", "5.3.4", "keys of root 1 sign a root 3", |story| {
            let old = story.repo.signers["root"].clone();
            start(story);
            story.rotate("root", &[100, 101], 2);
            story.refresh("root 2 has new keys", None, ok([2, 1, 1, 1]));
            story.served = evil(story, |repo| {
                repo.signers.insert("root".into(), old);
                repo.release("root");
            });
            story.refresh("root 3 by the old keys", None, refused("root", "Threshold", ARBITRARY));
            story.new_root();
            story.repo.publish();
            story.refresh("root 3 by the new keys", None, ok([3, 1, 1, 1]));
        }),
        (
            "root-refused-is-not-kept",
            "5.3.8",
            "a refused root leaves nothing behind (CVE-2020-15163)",
            |story| {
                start(story);
                story.served = evil(story, |repo| {
                    repo.set_keys("root", &[Pair::ed(666), Pair::ed(667)], 2);
                    repo.release("root");
                });
                story.refresh("root 2 by strangers", None, refused("root", "Threshold", ARBITRARY));
                story.refresh("root 2 is gone again", None, ok(FIRST));
                story.rotate("root", &[100, 101], 2);
                story.refresh("the true root 2", None, ok([2, 1, 1, 1]));
            },
        ),
        (
            "root-missing-in-between",
            "5.3.3",
            "without 2.root.json, 3.root.json is never asked for",
            |story| {
                start(story);
                story.rotate("root", &[100, 101], 2);
                story.rotate("root", &[110, 111], 2);
                story.served = but(story, |files| drop(files.remove("2.root.json")));
                story.refresh("root 2 is missing", None, ok(FIRST));
                story.refresh("it is back", None, ok([3, 1, 1, 1]));
            },
        ),
        ("root-expired-and-renewed", "5.3.10", "an expired root stops everything", |story| {
            story.new_root();
            story.expires("root", 10);
            story.repo.publish();
            story.refresh("root 2 is good for ten days", None, ok([2, 1, 1, 1]));
            story.days = 10;
            story.refresh("ten days later", None, refused("root", "Expired", FREEZE));
            story.new_root();
            story.expires("root", 100);
            story.repo.publish();
            story.refresh("root 3", None, ok([3, 1, 1, 1]));
        }),
        ("root-same-version-twice", "5.3.5", "2.root.json is root 1 once more", |story| {
            start(story);
            story.served = but(story, |files| {
                let root = files["1.root.json"].clone();
                files.insert("2.root.json".into(), root);
            });
            story.refresh("version 1 for version 2", None, refused("root", "Version", ROLLBACK));
            story.refresh("gone again", None, ok(FIRST));
        }),
    ]
}

/// Whoever has the keys publishes very high versions.
fn fast_forward(story: &mut Story, names: &[&str]) {
    let honest = story.repo.clone();
    for name in names {
        story.repo.get(name)["version"] = json!(1_u64 << 62);
    }
    story.repo.publish();
    story.served = Some(std::mem::replace(&mut story.repo, honest).files);
}

const HIGH: u64 = 1 << 62;

pub(super) fn recoveries() -> Vec<Row> {
    vec![
        (
            "fast-forward-timestamp",
            "5.3.11",
            "a stolen timestamp key; the repository recovers with a new key",
            |story| {
                start(story);
                fast_forward(story, &["timestamp"]);
                story.refresh("the attacker's timestamp", None, ok([1, HIGH, 1, 1]));
                story.repo.release("timestamp");
                story.refresh("an honest one is older", None, refused("timestamp", "Rollback", ROLLBACK));
                story.rotate("timestamp", &[200, 201], 2);
                story.refresh("with new keys it is not", None, ok([2, 3, 1, 1]));
                story.repo.release("timestamp");
                story.refresh("and so on", None, ok([2, 4, 1, 1]));
            },
        ),
        (
            "fast-forward-snapshot",
            "5.3.11",
            "stolen timestamp and snapshot keys; new keys for both",
            |story| {
                start(story);
                fast_forward(story, &["timestamp", "snapshot"]);
                story.refresh("the attacker's", None, ok([1, HIGH, HIGH, 1]));
                story.rotate("snapshot", &[210, 211], 2);
                story.rotate("timestamp", &[200, 201], 2);
                story.refresh("recovered", None, ok([3, 3, 2, 1]));
            },
        ),
        (
            "fast-forward-targets",
            "5.3.11",
            "all online keys stolen; the snapshot's new keys lift the targets' floor",
            |story| {
                start(story);
                fast_forward(story, &["timestamp", "snapshot", "targets"]);
                story.refresh("the attacker's", None, ok([1, HIGH, HIGH, HIGH]));
                for (name, seed) in [("targets", 220), ("snapshot", 210), ("timestamp", 200)] {
                    story.rotate(name, &[seed, seed + 1], 2);
                }
                story.refresh("recovered", Some("a.txt"), found([4, 4, 3, 2], Some("targets")));
            },
        ),
        (
            "fast-forward-delegated",
            "5.3.11",
            "a delegated role at a high version, recovered by new snapshot keys",
            |story| {
                start(story);
                fast_forward(story, &["timestamp", "snapshot", "dele"]);
                story.refresh("the attacker's", Some("d/x.txt"), found([1, HIGH, HIGH, 1], Some("dele")));
                story.rotate("dele", &[230, 231], 2);
                story.rotate("snapshot", &[210, 211], 2);
                story.rotate("timestamp", &[200, 201], 2);
                story.refresh("recovered", Some("d/x.txt"), found([3, 4, 3, 2], Some("dele")));
            },
        ),
        (
            "fast-forward-targets-keys-only",
            "5.5.5",
            "new targets keys alone do not lift the floor that the snapshot sets",
            |story| {
                start(story);
                fast_forward(story, &["timestamp", "snapshot", "targets"]);
                story.refresh("the attacker's", None, ok([1, HIGH, HIGH, HIGH]));
                story.repo.get("timestamp")["version"] = json!(HIGH);
                story.repo.get("snapshot")["version"] = json!(HIGH);
                story.rotate("targets", &[220, 221], 2);
                story.refresh("targets 2", None, refused("targets", "Rollback", ROLLBACK));
            },
        ),
        (
            "rotated-key-keeps-the-floor",
            "5.4.3.1",
            "a client with an old shipped root: versions under the new key count",
            |story| {
                start(story);
                story.rotate("timestamp", &[200, 201], 2);
                let old = story.repo.files.clone();
                story.repo.release("timestamp");
                story.refresh("timestamp 3 by the new keys", None, ok([2, 3, 1, 1]));
                for _ in 0..2 {
                    story.served = Some(old.clone());
                    story.refresh(
                        "timestamp 2 by the same keys",
                        None,
                        refused("timestamp", "Rollback", ROLLBACK),
                    );
                }
                story.refresh("timestamp 3 again", None, ok([2, 3, 1, 1]));
            },
        ),
        ("rotated-key-stops-the-old-one", "5.4.2", "a stolen key signs on after it was replaced", |story| {
            start(story);
            let thief = story.repo.signers["timestamp"].clone();
            story.rotate("timestamp", &[200, 201], 2);
            story.refresh("new timestamp keys", None, ok([2, 2, 1, 1]));
            story.served = evil(story, |repo| {
                repo.signers.insert("timestamp".into(), thief);
                repo.release("timestamp");
            });
            story.refresh("timestamp 3 by the old keys", None, refused("timestamp", "Threshold", ARBITRARY));
        }),
    ]
}
