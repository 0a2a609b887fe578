//! From the root to the snapshot: what is followed, what has expired, what is older.

use serde_json::json;

use super::Expected::{Ok, Refused, Target};
use super::{ARBITRARY, Case, FIRST, Row};
use crate::support::{Pair, expiry};

const FREEZE: Option<&str> = Some("freeze");
const ROLLBACK: Option<&str> = Some("rollback");

pub(super) fn rows() -> Vec<Row> {
    [valid(), roots(), expired(), rollbacks()].into_iter().flatten().collect()
}

fn valid() -> Vec<Row> {
    vec![
        (
            "valid-first-use",
            "5",
            "a new client, a sound repository",
            |case| case.want("d/x.txt"),
            Target(FIRST, Some("dele")),
        ),
        (
            "valid-top-level-target",
            "5.6.7.1",
            "the top-level role has the target",
            |case| case.want("a.txt"),
            Target(FIRST, Some("targets")),
        ),
        ("valid-nothing-new", "5.4.3.1", "the timestamp is the one known already", Case::seen, Ok(FIRST)),
        (
            "valid-update",
            "5",
            "everything but the root is one version on",
            |case| {
                case.seen();
                case.repo.release("dele");
                case.want("d/x.txt");
            },
            Target([1, 2, 2, 2], Some("dele")),
        ),
        (
            "valid-without-consistent-snapshots",
            "5.6.1",
            "names without version and hash, but for the root",
            |case| {
                case.repo.get("root")["consistent_snapshot"] = json!(false);
                case.pin();
                let plain = |name: &String| name == "1.root.json" || !name.starts_with('1');
                case.repo.files.retain(|name, _| plain(name));
                case.targets = [("d/x.txt".to_owned(), "x".to_owned())].into();
                case.want("d/x.txt");
            },
            Target(FIRST, Some("dele")),
        ),
        (
            "valid-without-lengths-and-hashes",
            "4.4",
            "snapshot and timestamp say versions only",
            |case| {
                case.repo.hashes = false;
                case.repo.publish();
                case.want("d/x.txt");
            },
            Target(FIRST, Some("dele")),
        ),
        (
            "valid-gap-in-versions",
            "5.5.5",
            "versions of other roles than root may skip numbers",
            |case| {
                case.seen();
                for name in ["dele", "targets", "snapshot", "timestamp"] {
                    case.repo.get(name)["version"] = json!(40);
                }
                case.repo.publish();
            },
            Ok([1, 40, 40, 40]),
        ),
    ]
}

fn new_root_keys(case: &mut Case, old: usize, new: usize) {
    let before = case.repo.signers["root"].clone();
    case.repo.set_keys("root", &[Pair::ed(100), Pair::ed(101)], 2);
    let after = case.repo.signers["root"].clone();
    let both = before[..old].iter().chain(&after[..new]).cloned().collect();
    case.repo.signers.insert("root".into(), both);
    case.repo.release("root");
}

fn roots() -> Vec<Row> {
    vec![
        (
            "root-new-keys",
            "5.3.4",
            "root 2 is signed by the keys of root 1 and by its own",
            |case| new_root_keys(case, 2, 2),
            Ok([2, 1, 1, 1]),
        ),
        (
            "root-by-old-keys-only",
            "5.3.4",
            "root 2 is not signed by its own keys",
            |case| new_root_keys(case, 2, 0),
            Refused(Some("root"), "Threshold", ARBITRARY),
        ),
        (
            "root-by-new-keys-only",
            "5.3.4",
            "root 2 is not signed by the keys of root 1",
            |case| new_root_keys(case, 0, 2),
            Refused(Some("root"), "Threshold", ARBITRARY),
        ),
        (
            "root-below-old-threshold",
            "5.3.4",
            "one of the two keys of root 1 is missing",
            |case| new_root_keys(case, 1, 2),
            Refused(Some("root"), "Threshold", ARBITRARY),
        ),
        (
            "root-skips-a-version",
            "5.3.5",
            "2.root.json says version 3",
            |case| {
                case.repo.get("root")["version"] = json!(3);
                let bytes = case.repo.file("root");
                case.repo.files.insert("2.root.json".into(), bytes);
            },
            Refused(Some("root"), "Version", ROLLBACK),
        ),
        (
            "root-expired-in-between",
            "5.3.6",
            "root 2 has expired, root 3 has not",
            |case| {
                case.repo.get("root")["expires"] = expiry(-10);
                case.repo.release("root");
                case.repo.get("root")["expires"] = expiry(365);
                case.repo.release("root");
            },
            Ok([3, 1, 1, 1]),
        ),
        (
            "root-stored-chain",
            "5.3.3",
            "roots seen before are followed from the pinned one without asking for them",
            |case| {
                new_root_keys(case, 2, 2);
                case.seen();
                case.repo.files.remove("2.root.json");
                let new: Vec<_> = case.repo.signers["root"].iter().skip(2).cloned().collect();
                case.repo.signers.insert("root".into(), new);
                case.repo.release("root");
            },
            Ok([3, 1, 1, 1]),
        ),
        (
            "root-pinned-not-self-signed",
            "5.2",
            "the pinned root is not signed by its own keys",
            |case| {
                case.repo.tamper("root", |file| file["signatures"] = json!([]));
                case.pin();
            },
            Refused(Some("root"), "Threshold", ARBITRARY),
        ),
    ]
}

fn expire(case: &mut Case, name: &str, days: i64) {
    case.repo.get(name)["expires"] = expiry(days);
    if name == "root" {
        case.pin()
    } else {
        case.repo.publish()
    }
    case.want("d/x.txt");
}

fn expired() -> Vec<Row> {
    vec![
        (
            "expired-root",
            "5.3.10",
            "the newest root has expired",
            |case| expire(case, "root", -1),
            Refused(Some("root"), "Expired", FREEZE),
        ),
        (
            "expired-timestamp",
            "5.4.4",
            "the timestamp has expired",
            |case| expire(case, "timestamp", -1),
            Refused(Some("timestamp"), "Expired", FREEZE),
        ),
        (
            "expired-timestamp-now",
            "5.4.4",
            "expiry must be later than now, not the same",
            |case| expire(case, "timestamp", 0),
            Refused(Some("timestamp"), "Expired", FREEZE),
        ),
        (
            "expired-snapshot",
            "5.5.6",
            "the snapshot has expired",
            |case| expire(case, "snapshot", -1),
            Refused(Some("snapshot"), "Expired", FREEZE),
        ),
        (
            "expired-targets",
            "5.6.5",
            "the targets have expired",
            |case| expire(case, "targets", -1),
            Refused(Some("targets"), "Expired", FREEZE),
        ),
        (
            "expired-delegated",
            "5.6.5",
            "a delegated role has expired",
            |case| expire(case, "dele", -1),
            Refused(Some("dele"), "Expired", FREEZE),
        ),
        (
            "expired-known-timestamp",
            "5.4.4",
            "the same files for ever: refused once they have expired",
            |case| {
                case.repo.get("timestamp")["expires"] = expiry(10);
                case.repo.publish();
                case.seen();
                case.days = 10;
            },
            Refused(Some("timestamp"), "Expired", FREEZE),
        ),
    ]
}

/// The client has seen version 2 of all but the root; `edit` makes something older, under newer pointers.
fn roll_back(case: &mut Case, name: &str) {
    case.repo.release("dele");
    case.seen();
    case.repo.get(name)["version"] = json!(1);
    case.repo.release(if name == "snapshot" { "timestamp" } else { "snapshot" });
    case.want("d/x.txt");
}

fn fast_forward(case: &mut Case, rotated: &[&str]) {
    let honest = case.repo.clone();
    for name in ["timestamp", "snapshot"] {
        case.repo.get(name)["version"] = json!(1_u64 << 62);
    }
    case.repo.publish();
    case.seen();
    case.repo = honest;
    for (seed, name) in (200..).step_by(10).zip(rotated) {
        case.repo.set_keys(name, &[Pair::ed(seed), Pair::ed(seed + 1)], 2);
    }
    case.repo.release("root");
}

fn rollbacks() -> Vec<Row> {
    vec![
        (
            "rollback-timestamp",
            "5.4.3.1",
            "timestamp 1 after timestamp 2",
            |case| {
                let old = case.repo.clone();
                case.repo.release("dele");
                case.seen();
                case.repo = old;
            },
            Refused(Some("timestamp"), "Rollback", ROLLBACK),
        ),
        (
            "rollback-timestamp-after-expiry",
            "5.4.3.1",
            "the known timestamp has expired; it still counts",
            |case| {
                let old = case.repo.clone();
                case.repo.get("timestamp")["expires"] = expiry(1);
                case.repo.release("dele");
                case.seen();
                case.repo = old;
                case.days = 2;
            },
            Refused(Some("timestamp"), "Rollback", ROLLBACK),
        ),
        (
            "rollback-snapshot",
            "5.4.3.2",
            "a newer timestamp names an older snapshot",
            |case| roll_back(case, "snapshot"),
            Refused(Some("snapshot"), "Rollback", ROLLBACK),
        ),
        (
            "rollback-targets",
            "5.5.5",
            "a newer snapshot names older targets",
            |case| roll_back(case, "targets"),
            Refused(Some("targets"), "Rollback", ROLLBACK),
        ),
        (
            "rollback-delegated",
            "5.5.5",
            "a newer snapshot names an older delegated role",
            |case| roll_back(case, "dele"),
            Refused(Some("dele"), "Rollback", ROLLBACK),
        ),
        (
            "rollback-role-removed",
            "5.5.5",
            "a role that was listed is not listed any more",
            |case| {
                case.seen();
                case.repo.patch("snapshot", |signed| {
                    signed["meta"].as_object_mut().unwrap().remove("dele.json");
                });
                case.repo.release("snapshot");
            },
            Refused(Some("snapshot"), "RoleRemoved", ROLLBACK),
        ),
        (
            "rollback-same-timestamp-version",
            "5.4.3.1",
            "a timestamp of the known version with another content is not read: no error, nothing new",
            |case| {
                case.seen();
                for name in ["targets", "snapshot"] {
                    case.repo.bump(name);
                }
                case.repo.publish();
            },
            Ok(FIRST),
        ),
        (
            "fast-forward-recovered-by-timestamp-and-snapshot-keys",
            "5.3.11",
            "new keys for both: lower versions may follow",
            |case| fast_forward(case, &["timestamp", "snapshot"]),
            Ok([2, 1, 1, 1]),
        ),
        (
            "fast-forward-not-recovered",
            "5.4.3.1",
            "a new root with the same keys lifts nothing",
            |case| fast_forward(case, &[]),
            Refused(Some("timestamp"), "Rollback", ROLLBACK),
        ),
    ]
}
