//! Files that do not belong together, that nobody signed, or that are odd.

use std::rc::Rc;

use serde_json::{Value, json};

use super::Expected::{Ok, Refused};
use super::{ARBITRARY, Case, FIRST, MIX, Row};
use crate::support::{Pair, canonical, sign};

pub(super) fn rows() -> Vec<Row> {
    [mixed(), signatures(), formats()].into_iter().flatten().collect()
}

fn other_bytes(case: &mut Case, name: &str) {
    case.repo.get(name)["x"] = json!(1);
    let bytes = case.repo.file(name);
    let name = case.repo.file_name(name);
    case.repo.files.insert(name, bytes);
    case.want("d/x.txt");
}

/// The file that points says another length.
fn other_length(case: &mut Case, holder: &str, entry: &'static str) {
    case.repo.patch(holder, move |signed| signed["meta"][entry]["length"] = json!(9_999));
    case.repo.publish();
}

fn other_version(case: &mut Case, name: &str) {
    case.repo.patch(name, |signed| signed["version"] = json!(7));
    case.repo.hashes = false;
    case.repo.publish();
    case.want("d/x.txt");
}

fn missing(case: &mut Case, name: &str) {
    case.repo.files.remove(&case.repo.file_name(name));
    case.want("d/x.txt");
}

fn other_hash(case: &mut Case, holder: &str, entry: &'static str) {
    case.repo.patch(holder, move |signed| {
        signed["meta"][entry]["hashes"] = json!({"sha256": "00".repeat(32)});
    });
    case.repo.publish();
    case.want("d/x.txt");
}

fn mixed() -> Vec<Row> {
    vec![
        (
            "snapshot-too-long",
            "5.5.1",
            "a well-signed snapshot, but longer than the timestamp says: not read to its end",
            |case| other_bytes(case, "snapshot"),
            Refused(Some("snapshot"), "Limit", Some("endless-data")),
        ),
        (
            "mix-snapshot-length",
            "5.5.2",
            "a well-signed snapshot, but shorter than the timestamp says",
            |case| other_length(case, "timestamp", "snapshot.json"),
            Refused(Some("snapshot"), "Length", MIX),
        ),
        (
            "mix-snapshot-hash",
            "5.5.2",
            "the hash in the timestamp is another",
            |case| other_hash(case, "timestamp", "snapshot.json"),
            Refused(Some("snapshot"), "Hash", MIX),
        ),
        (
            "mix-snapshot-version",
            "5.5.4",
            "the snapshot's version is not the timestamp's",
            |case| other_version(case, "snapshot"),
            Refused(Some("snapshot"), "Version", MIX),
        ),
        (
            "mix-targets-length",
            "5.6.2",
            "well-signed targets, but shorter than the snapshot says",
            |case| other_length(case, "snapshot", "targets.json"),
            Refused(Some("targets"), "Length", MIX),
        ),
        (
            "mix-targets-hash",
            "5.6.2",
            "the hash in the snapshot is another",
            |case| other_hash(case, "snapshot", "targets.json"),
            Refused(Some("targets"), "Hash", MIX),
        ),
        (
            "mix-targets-version",
            "5.6.4",
            "the targets' version is not the snapshot's",
            |case| other_version(case, "targets"),
            Refused(Some("targets"), "Version", MIX),
        ),
        (
            "mix-delegated-hash",
            "5.6.2",
            "as for the top-level targets",
            |case| other_hash(case, "snapshot", "dele.json"),
            Refused(Some("dele"), "Hash", MIX),
        ),
        (
            "mix-delegated-version",
            "5.6.4",
            "as for the top-level targets",
            |case| other_version(case, "dele"),
            Refused(Some("dele"), "Version", MIX),
        ),
        (
            "mix-one-of-two-hashes",
            "5.6.2",
            "sha256 is right, sha512 is not: all known hashes count",
            |case| {
                case.repo.patch("snapshot", |signed| {
                    signed["meta"]["targets.json"]["hashes"]["sha512"] = json!("00".repeat(64))
                });
                case.repo.publish();
            },
            Refused(Some("targets"), "Hash", MIX),
        ),
        (
            "missing-snapshot",
            "5.5.1",
            "the repository does not have it",
            |case| missing(case, "snapshot"),
            Refused(Some("snapshot"), "Missing", None),
        ),
        (
            "missing-delegated",
            "5.6.7",
            "the repository does not have it: not the same as no target",
            |case| missing(case, "dele"),
            Refused(Some("dele"), "Missing", None),
        ),
        (
            "not-in-snapshot",
            "5.6.2",
            "a delegated role that the snapshot does not list",
            |case| {
                case.repo.patch("snapshot", |signed| {
                    drop(signed["meta"].as_object_mut().unwrap().remove("dele.json"))
                });
                case.repo.publish();
                case.want("d/x.txt");
            },
            Refused(Some("dele"), "NotInSnapshot", MIX),
        ),
    ]
}

/// One signature less than the threshold of two.
fn one_signature(case: &mut Case, name: &str) {
    case.repo.tamper(name, |file| drop(file["signatures"].as_array_mut().unwrap().pop()));
    if name == "root" {
        case.pin()
    } else {
        case.repo.publish()
    }
    case.want("d/x.txt");
}

fn tampered(case: &mut Case, edit: fn(&mut Value)) {
    case.repo.tamper("timestamp", edit);
    case.repo.publish();
}

fn signatures() -> Vec<Row> {
    vec![
        (
            "threshold-root",
            "5.2",
            "one of two keys",
            |case| one_signature(case, "root"),
            Refused(Some("root"), "Threshold", ARBITRARY),
        ),
        (
            "threshold-timestamp",
            "5.4.2",
            "one of two keys",
            |case| one_signature(case, "timestamp"),
            Refused(Some("timestamp"), "Threshold", ARBITRARY),
        ),
        (
            "threshold-snapshot",
            "5.5.3",
            "one of two keys",
            |case| one_signature(case, "snapshot"),
            Refused(Some("snapshot"), "Threshold", ARBITRARY),
        ),
        (
            "threshold-targets",
            "5.6.3",
            "one of two keys",
            |case| one_signature(case, "targets"),
            Refused(Some("targets"), "Threshold", ARBITRARY),
        ),
        (
            "threshold-delegated",
            "5.6.3",
            "one of two keys",
            |case| one_signature(case, "dele"),
            Refused(Some("dele"), "Threshold", ARBITRARY),
        ),
        (
            "signature-over-other-bytes",
            "5.4.2",
            "the content was changed after signing",
            |case| tampered(case, |file| file["signed"]["x"] = json!(1)),
            Refused(Some("timestamp"), "Threshold", ARBITRARY),
        ),
        (
            "keyid-twice",
            "4.2",
            "a key ID twice in signatures, beside enough signatures",
            |case| {
                tampered(case, |file| {
                    let first = file["signatures"][0].clone();
                    file["signatures"].as_array_mut().unwrap().push(first);
                })
            },
            Refused(Some("timestamp"), "DuplicateSignature", ARBITRARY),
        ),
        (
            "signatures-of-strangers",
            "5.4.2",
            "signatures by unknown keys are ignored",
            |case| {
                tampered(case, |file| {
                    let strangers = [(Pair::ed(900).id(), Pair::ed(900)), ("x".to_owned(), Pair::ed(901))];
                    let more = sign(&file["signed"], &strangers)["signatures"].take();
                    file["signatures"]
                        .as_array_mut()
                        .unwrap()
                        .extend(more.as_array().unwrap().iter().cloned());
                })
            },
            Ok(FIRST),
        ),
        (
            "signature-empty-and-not-hex",
            "4.2",
            "such a signature is none, and harms no other",
            |case| {
                tampered(case, |file| {
                    let list = file["signatures"].as_array_mut().unwrap();
                    list.push(json!({"keyid": "x", "sig": ""}));
                    list.push(json!({"keyid": "y", "sig": "not hex"}));
                })
            },
            Ok(FIRST),
        ),
        (
            "one-key-two-keyids",
            "5.4.2",
            "the same key under two IDs counts once",
            |case| {
                let pair = Pair::ed(300);
                let (keys, entry) = case.repo.authority("timestamp");
                (keys["one"], keys["two"]) = (pair.json(), pair.json());
                entry["keyids"] = json!(["one", "two"]);
                let signers = ["one", "two"].map(|id| (id.to_owned(), Rc::clone(&pair)));
                case.repo.signers.insert("timestamp".into(), signers.into());
                case.pin();
            },
            Refused(Some("timestamp"), "Threshold", ARBITRARY),
        ),
        (
            "keyid-not-a-hash",
            "TAP 12",
            "key IDs are opaque",
            |case| {
                let (one, two) = (Pair::ed(300), Pair::ed(301));
                let (keys, entry) = case.repo.authority("timestamp");
                (keys["one/of two"], keys["two"]) = (one.json(), two.json());
                entry["keyids"] = json!(["one/of two", "two"]);
                case.repo
                    .signers
                    .insert("timestamp".into(), vec![("one/of two".into(), one), ("two".into(), two)]);
                case.pin();
            },
            Ok(FIRST),
        ),
        (
            "unknown-key-type",
            "4.2",
            "a key that this client cannot use, beside enough that it can",
            |case| {
                let (keys, entry) = case.repo.authority("timestamp");
                keys["quantum"] =
                    json!({"keytype": "x-future", "scheme": "x-future-1", "keyval": {"public": "00"}});
                entry["keyids"].as_array_mut().unwrap().insert(0, json!("quantum"));
                case.pin();
            },
            Ok(FIRST),
        ),
        (
            "unknown-key-types-only",
            "4.2",
            "no key that this client can use",
            |case| {
                let (keys, entry) = case.repo.authority("timestamp");
                keys["quantum"] =
                    json!({"keytype": "x-future", "scheme": "x-future-1", "keyval": {"public": "00"}});
                *entry = json!({"keyids": ["quantum"], "threshold": 1});
                case.pin();
            },
            Refused(Some("timestamp"), "Threshold", ARBITRARY),
        ),
        (
            "threshold-zero",
            "4.3",
            "nobody's signature is not enough",
            |case| {
                case.repo.authority("timestamp").1["threshold"] = json!(0);
                case.pin();
            },
            Refused(Some("root"), "Field", ARBITRARY),
        ),
    ]
}

fn timestamp_says(case: &mut Case, field: &str, value: Value) {
    case.repo.get("timestamp")[field] = value;
    case.repo.publish();
}

/// The timestamp as text that is signed as it is meant and sent as it is written.
fn timestamp_text(case: &mut Case, edit: fn(String) -> String) {
    let file: Value = serde_json::from_slice(&case.repo.file("timestamp")).unwrap();
    let text =
        edit(format!("{{\"signatures\":{},\"signed\":{}}}", file["signatures"], canonical(&file["signed"])));
    case.repo.files.insert("timestamp.json".into(), text.into_bytes().into());
}

fn formats() -> Vec<Row> {
    vec![
        (
            "root-without-a-role",
            "4.3",
            "a root that names no keys for the snapshot",
            |case| {
                case.repo.get("root")["roles"].as_object_mut().unwrap().remove("snapshot");
                case.pin();
            },
            Refused(Some("root"), "Field", ARBITRARY),
        ),
        (
            "root-one-keyid-two-keys",
            "4.3",
            "the same key ID twice in the root's keys",
            |case| {
                let text = String::from_utf8(case.pinned.to_vec()).unwrap();
                let (id, other) = (Pair::ed(10).id(), Pair::ed(900).json());
                let twice = text.replacen("\"keys\":{", &format!("\"keys\":{{\"{id}\":{other},"), 1);
                case.pinned = twice.into_bytes().into();
            },
            Refused(Some("root"), "Json", ARBITRARY),
        ),
        (
            "timestamp-without-snapshot",
            "4.6",
            "meta does not describe the snapshot",
            |case| {
                case.repo.patch("timestamp", |signed| signed["meta"] = json!({}));
                case.repo.publish();
            },
            Refused(Some("timestamp"), "Field", ARBITRARY),
        ),
        (
            "timestamp-other-entries",
            "4.6",
            "meta describes other files too: ignored",
            |case| {
                case.repo.patch("timestamp", |signed| signed["meta"]["x.json"] = json!({"version": 1}));
                case.repo.publish();
            },
            Ok(FIRST),
        ),
        (
            "targets-not-in-snapshot",
            "4.4",
            "the snapshot does not list the top-level targets",
            |case| {
                case.repo.patch("snapshot", |signed| {
                    signed["meta"].as_object_mut().unwrap().remove("targets.json");
                });
                case.repo.publish();
            },
            Refused(Some("targets"), "NotInSnapshot", MIX),
        ),
        (
            "spec-version-2",
            "4.3",
            "another major version",
            |case| timestamp_says(case, "spec_version", json!("2.0.0")),
            Refused(Some("timestamp"), "SpecVersion", None),
        ),
        (
            "spec-version-1.99",
            "4.3",
            "another minor version",
            |case| timestamp_says(case, "spec_version", json!("1.99.0")),
            Ok(FIRST),
        ),
        (
            "spec-version-1.0",
            "4.3",
            "as old tools write it",
            |case| timestamp_says(case, "spec_version", json!("1.0")),
            Ok(FIRST),
        ),
        (
            "unknown-fields",
            "4",
            "unknown fields are signed and ignored",
            |case| timestamp_says(case, "x", json!({"a": [null, "\u{0}\u{1f600}"]})),
            Ok(FIRST),
        ),
        (
            "wrong-type",
            "4.2",
            "a snapshot's _type, signed by the timestamp's keys",
            |case| timestamp_says(case, "_type", json!("snapshot")),
            Refused(Some("timestamp"), "Type", ARBITRARY),
        ),
        (
            "version-zero",
            "4.3",
            "versions start at 1",
            |case| timestamp_says(case, "version", json!(0)),
            Refused(Some("timestamp"), "Field", ARBITRARY),
        ),
        (
            "expires-with-fraction",
            "4.2",
            "a fraction of a second is read",
            |case| timestamp_says(case, "expires", json!("2031-01-01T00:00:00.5Z")),
            Ok(FIRST),
        ),
        (
            "expires-with-offset",
            "4.2",
            "another offset than UTC's is read",
            |case| timestamp_says(case, "expires", json!("2031-01-01T00:00:00+02:00")),
            Ok(FIRST),
        ),
        (
            "not-canonical-on-the-wire",
            "4.1",
            "signatures are over the canonical form, whatever is sent",
            |case| {
                timestamp_text(case, |text| {
                    text.replace(":{", " : {\n\t").replace("\"timestamp\"", "\"\\u0074imestamp\"")
                });
            },
            Ok(FIRST),
        ),
        (
            "duplicate-json-key",
            "4.1",
            "an object with a key twice has no one meaning",
            |case| {
                timestamp_text(case, |text| text.replacen("\"version\":", "\"version\":9,\"version\":", 1));
            },
            Refused(Some("timestamp"), "Json", ARBITRARY),
        ),
        (
            "float",
            "4.1",
            "canonical form has no fractions",
            |case| {
                timestamp_text(case, |text| text.replacen("\"version\":1", "\"version\":1.0", 1));
            },
            Refused(Some("timestamp"), "Json", ARBITRARY),
        ),
        (
            "timestamp-too-long",
            "5.4.1",
            "over this client's 16,384 bytes; choose your own limit",
            |case| {
                timestamp_text(case, |text| text + &" ".repeat(20_000));
            },
            Refused(Some("timestamp"), "Limit", Some("endless-data")),
        ),
    ]
}
