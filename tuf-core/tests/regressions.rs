//! One test for every published flaw of other implementations that a library without I/O can have,
//! named by its identifier.
//!
//! The diamond (python-tuf 2977, go-tuf 759) is in `search`, a private key that others can read (TUF-CR-22-01) with the
//! keys of tuf-repo-tool. CVE-2026-24686 needs a map of repositories (TAP 4), which there is none of here.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use tuf_core::bins::SuccinctBins;
use tuf_core::{Checker, Envelope, ErrorKind, Key, Limits, StoredFile, TargetPath, Targets, read_unverified};

use crate::support::{
    Client, Pair, ROLES, Repo, Want, assert_refused, canonical, change_names, delegation, expiry, file,
    kind_name, role, sign,
};

const ARBITRARY: Option<&str> = Some("arbitrary-software");

/// The expected kind, and the attack.
type Case = (&'static str, fn(&mut Repo));

fn threshold_refused(repo: &Repo, name: &str, case: &str) {
    let error = repo.client().get(&repo.files, "d/x.txt").0.expect_err(case);
    assert_refused(&error, Want("Threshold", name, ARBITRARY), case);
}

/// The algorithm comes from the key, whatever the signature says of itself.
#[test]
fn cve_2015_9258_a_signature_does_not_choose_its_algorithm() {
    let (rsa, ed) = (Pair::rsa(), Pair::ed(10));
    let payload = b"payload";
    for (key, other) in [(&rsa, &ed), (&ed, &rsa)] {
        assert!(!key.key.verify(payload, &other.sign(payload)));
        let mut relabelled = key.json();
        relabelled["keytype"] = json!(other.key.keytype());
        relabelled["scheme"] = json!(other.key.scheme());
        let relabelled = Key::from_json(&relabelled).unwrap();
        assert!(relabelled.public().is_none());
        assert!(!relabelled.verify(payload, &key.sign(payload)));
    }
    let mut repo = Repo::new();
    repo.tamper("timestamp", |file| {
        let payload = canonical(&file["signed"]);
        for signature in file["signatures"].as_array_mut().unwrap() {
            signature["sig"] = json!(Pair::rsa().sign_hex(payload.as_bytes()));
            signature["method"] = json!("rsassa-pss-sha256");
        }
    });
    repo.publish();
    threshold_refused(&repo, "timestamp", "labelled");
}

#[test]
fn cve_2015_9259_an_expired_root_stops_before_the_timestamp() {
    let mut repo = Repo::new();
    repo.get("root")["expires"] = expiry(-1);
    repo.publish();
    let outcome = repo.client().refresh(&repo.files);
    assert_refused(&outcome.result.unwrap_err(), Want("Expired", "root", Some("freeze")), "");
    assert_eq!(outcome.fetched, ["2.root.json"]);
}

#[test]
fn ncc_2015_3_a_version_of_2_64_minus_1_is_recovered_from() {
    let mut repo = Repo::new();
    let mut client = repo.client();
    let honest = repo.clone();
    repo.get("timestamp")["version"] = json!(u64::MAX);
    repo.publish();
    client.trusts(&repo.files);
    let mut repo = honest;
    repo.set_keys("timestamp", &[Pair::ed(1)], 1);
    repo.release("root");
    assert_eq!(client.trusts(&repo.files).timestamp().header.version, 1);
}

#[test]
fn cve_2020_6174_one_key_counts_once() {
    for name in ROLES {
        let mut repo = Repo::new();
        let signers = repo.signers[name].clone();
        repo.tamper(name, move |file| *file = sign(&file["signed"], &vec![signers[0].clone(); 9]));
        repo.publish();
        let error = repo.client().get(&repo.files, "d/x.txt").0.expect_err(name);
        assert_refused(&error, Want("DuplicateSignature", name, ARBITRARY), name);
    }
}

/// At most one verification for each authorised key, so that the number of signatures costs nothing.
#[test]
fn cve_2020_6173_junk_signatures_cost_nothing() {
    for (count, accepted) in [(90, true), (5_000, false)] {
        let mut repo = Repo::new();
        repo.tamper("targets", move |file| {
            let signatures = file["signatures"].as_array_mut().unwrap();
            let junk = |number| json!({"keyid": format!("{number:064x}"), "sig": "ab".repeat(64)});
            signatures.extend((0..count).map(junk));
        });
        repo.publish();
        let result = repo.client().refresh(&repo.files).result;
        match result {
            Ok(_) => assert!(accepted),
            Err(error) => {
                assert!(!accepted, "{error}");
                assert_refused(&error, Want("Limit", "targets", Some("endless-data")), "5000");
            }
        }
    }
}

/// RSA-PSS is randomised: two signatures of one key differ, and still are of one key.
#[test]
fn cve_2020_15093_two_signatures_of_one_rsa_key_count_once() {
    for name in ROLES {
        let mut repo = Repo::new();
        let pair = Pair::rsa();
        let (keys, entry) = repo.authority(name);
        (keys["one"], keys["two"]) = (pair.json(), pair.json());
        *entry.pointer_mut("/keyids").unwrap() = json!(["one", "two"]);
        let signers = ["one", "two"].map(|id| (id.to_owned(), Rc::clone(&pair))).to_vec();
        repo.signers.insert(name.to_owned(), signers);
        repo.publish();
        threshold_refused(&repo, name, name);
    }
}

/// A new root must be signed by enough of its own keys, not by one of them under the IDs of two.
#[test]
fn gms_2022_4197_one_key_counts_once_for_a_new_root() {
    for twice in [true, false] {
        let mut repo = Repo::new();
        let mut client = repo.client();
        let old = repo.signers["root"].clone();
        repo.set_keys("root", &[Pair::ed(600), Pair::ed(601)], 2);
        let mut new = repo.signers["root"].clone();
        if twice {
            new[1].1 = Rc::clone(&new[0].1);
        }
        repo.signers.insert("root".into(), [old, new].concat());
        repo.release("root");
        let outcome = client.refresh(&repo.files);
        assert_eq!(outcome.result.is_err(), twice);
        if let Err(error) = outcome.result {
            threshold_refused_error(&error);
            assert!(client.store.is_empty());
        }
    }
}

/// A delegated role whose file nobody signed, or somebody else.
#[test]
fn rust_tuf_275_signatures_of_delegated_roles_are_checked() {
    for signers in [&[][..], &[(Pair::ed(999).id(), Pair::ed(999))]] {
        let mut repo = Repo::new();
        repo.signers.insert("dele".into(), signers.to_vec());
        repo.publish();
        threshold_refused(&repo, "dele", "delegated");
    }
}

#[test]
fn cve_2020_15163_a_refused_root_is_not_stored() {
    let mut repo = Repo::new();
    let mut client = repo.client();
    repo.tamper("root", |file| file["signatures"] = json!([]));
    repo.release("root");
    for _ in 0..2 {
        let outcome = client.refresh(&repo.files);
        assert!(outcome.batch.is_empty());
        threshold_refused_error(&outcome.result.unwrap_err());
        assert!(client.store.is_empty());
    }
    repo.files.remove("2.root.json");
    assert_eq!(client.trusts(&repo.files).root().header.version, 1);
}

fn threshold_refused_error(error: &tuf_core::Error) {
    assert_refused(error, Want("Threshold", "root", ARBITRARY), "");
}

/// A role's name becomes one harmless path segment, of a length that file systems hold.
#[test]
fn cve_2021_41131_cve_2021_41150_role_names_are_no_paths() {
    let long = "é".repeat(127);
    for name in ["../../x", "/abs", "..", ".", "a\\..\\b", "C:x", "?#%00", "con", "nul", "a\nb", &long] {
        let file = StoredFile::Delegated(role(name)).file_name();
        let segment = file.strip_prefix("delegated/").unwrap();
        assert!(segment.len() <= 255, "{} bytes: {segment}", segment.len());
        assert!(segment.ends_with(".json") && segment.len() > ".json".len(), "{segment}");
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
        assert!(segment.bytes().all(harmless), "{segment}");
        let stem = segment.split('.').next().unwrap().to_ascii_lowercase();
        assert!(!["con", "nul", "aux", "prn", "com1", "lpt1"].contains(&&*stem), "Windows device {segment}");
    }
    // And the whole way: such a role is delegated to, found and searched.
    let mut repo = Repo::new();
    let dele = repo.signed.remove("dele").unwrap();
    let signers = repo.signers["dele"].clone();
    repo.signed.insert("../../x".into(), dele);
    repo.signers.insert("../../x".into(), signers);
    repo.delegations()["roles"][0]["name"] = json!("../../x");
    repo.publish();
    assert!(repo.files.contains_key("1...%2F..%2Fx.json"));
    assert!(repo.client().get(&repo.files, "d/x.txt").0.unwrap().is_some());
}

#[test]
fn cve_2021_41149_cve_2026_6968_cve_2026_24137_target_names_stay_in_their_folder() {
    for path in [
        "../../.ssh/x",
        "/etc/passwd",
        "a/../../b",
        "..",
        "a/..",
        "\\\\host\\share",
        "C:\\x",
        "c:x",
        "a/NUL",
        "con.txt",
        "a/lpt9.tar.gz",
        "a//b",
        "",
        "a/",
        "a\0b",
        "a\r\nb",
        "a/.. /b",
        "a/../",
        "a/b.",
        "a/b ",
        "file:stream",
        "com¹",
    ] {
        assert!(TargetPath::new(path).is_err(), "{path:?}");
    }
    // A name that is refused spoils only itself.
    let mut repo = Repo::new();
    repo.get("targets")["targets"]["../../.ssh/x"] = file("evil");
    repo.publish();
    assert!(repo.client().get(&repo.files, "a.txt").0.unwrap().is_some());
}

#[test]
fn cve_2022_29173_cve_2025_2887_rollback_is_checked_for_every_targets_role() {
    for name in ["targets", "dele"] {
        let mut repo = Repo::new();
        for name in ["targets", "dele"] {
            repo.get(name)["version"] = json!(5);
        }
        repo.publish();
        let mut client = repo.client();
        client.trusts(&repo.files);
        repo.get(name)["version"] = json!(4);
        repo.release("snapshot");
        let error = client.get(&repo.files, "d/x.txt").0.unwrap_err();
        assert_refused(&error, Want("Rollback", name, Some("rollback")), name);
    }
}

#[test]
fn ghsa_3633_5h82_39pq_and_cve_2026_6966_one_key_under_two_ids_counts_once() {
    for name in ROLES {
        for keytype in ["ecdsa", "ecdsa-sha2-nistp256"] {
            let mut repo = Repo::new();
            let pair = Pair::p256();
            let (keys, entry) = repo.authority(name);
            (keys["one"], keys["two"]) = (pair.json(), pair.json());
            keys["two"]["keytype"] = json!(keytype);
            keys["two"]["keyval"]["x"] = json!("another key object");
            entry["keyids"] = json!(["one", "two"]);
            let signers = ["one", "two"].map(|id| (id.to_owned(), Rc::clone(&pair))).to_vec();
            repo.signers.insert(name.to_owned(), signers);
            repo.publish();
            threshold_refused(&repo, name, name);
        }
    }
}

#[test]
fn ghsa_77hh_43cm_v8j6_a_name_that_looks_like_a_bin_is_none() {
    let repo = Repo::new();
    let set = repo.client().trusts(&repo.files);
    let keys = set.root().role(tuf_core::TopLevel::Targets).clone();
    let bins = SuccinctBins::new(keys, 4, "bin").unwrap();
    assert!(bins.contains(&role("bin-f")));
    for name in ["bin-10", "bin-0f", "bin-F", "bin-", "bin-g", "bin", "bin--1", "bin-f ", "Bin-f"] {
        assert!(!bins.contains(&role(name)), "{name}");
    }
    let error = set.delegated(set.targets(), &role("bin-f"), &repo.files["1.dele.json"]).unwrap_err();
    assert_eq!(kind_name(error.kind()), "NotDelegated");
}

#[test]
fn cve_2024_47534_delegations_keep_their_order() {
    let mut repo = Repo::new();
    let roles: Vec<Value> =
        ["zzz", "10", "2"].map(|name| delegation(name, &[Pair::ed(40)], 1, &["d/*"])).into();
    repo.delegations()["roles"] = json!(roles);
    repo.delegations()["keys"] = json!({Pair::ed(40).id(): Pair::ed(40).json()});
    for name in ["zzz", "10", "2"] {
        let mut signed = repo.signed["dele"].clone();
        signed["targets"]["d/x.txt"] = file(name);
        repo.signed.insert(name.into(), signed);
        repo.signers.insert(name.into(), vec![(Pair::ed(40).id(), Pair::ed(40))]);
    }
    repo.signed.remove("dele");
    repo.publish();
    let found = repo.client().get(&repo.files, "d/x.txt").0.unwrap().unwrap();
    assert_eq!(found.role.as_str(), "zzz");
}

#[test]
fn cve_2025_2885_root_versions_have_no_gaps() {
    let mut repo = Repo::new();
    let mut client = repo.client();
    repo.get("root")["version"] = json!(3);
    let bytes = repo.file("root");
    repo.files.insert("2.root.json".into(), bytes);
    let error = client.refresh(&repo.files).result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Version { expected: 2, found: 3 }), "{error}");
}

#[test]
fn cve_2025_2886_a_terminating_role_ends_the_search() {
    for (terminating, found) in [(true, false), (false, true)] {
        let mut repo = Repo::new();
        repo.get("dele")["targets"] = json!({});
        let mut next = delegation("next", &[Pair::ed(50), Pair::ed(51)], 2, &["d/*"]);
        next["terminating"] = json!(true);
        repo.delegations()["roles"][0]["terminating"] = json!(terminating);
        repo.delegations()["roles"].as_array_mut().unwrap().push(next);
        let mut signed = repo.signed["dele"].clone();
        signed["targets"] = json!({"d/x.txt": file("x")});
        let signers = repo.signers["dele"].clone();
        repo.signed.insert("next".into(), signed);
        repo.signers.insert("next".into(), signers);
        repo.publish();
        assert_eq!(repo.client().get(&repo.files, "d/x.txt").0.unwrap().is_some(), found);
    }
}

#[test]
fn cve_2025_2888_a_refused_timestamp_is_not_stored() {
    for attack in ["signature", "expired", "rollback of the snapshot", "older"] {
        let mut repo = Repo::new();
        repo.release("targets");
        let mut client = repo.client();
        client.trusts(&repo.files);
        let store = client.store.clone();
        match attack {
            "signature" => repo.tamper("timestamp", |file| file["signatures"] = json!([])),
            "expired" => repo.get("timestamp")["expires"] = expiry(-1),
            "older" => repo.get("timestamp")["version"] = json!(0),
            _ => repo.get("snapshot")["version"] = json!(1),
        }
        repo.release("timestamp");
        let outcome = client.refresh(&repo.files);
        assert!(outcome.result.is_err() && outcome.batch.is_empty(), "{attack}");
        assert_eq!(client.store, store, "{attack}");
    }
}

/// What is checked for a top-level role is checked for a delegated one. The other half is in `matrix`.
#[test]
fn cve_2026_6967_delegated_roles_are_checked_like_any_other() {
    let cases: [Case; 4] = [
        ("Expired", |repo| repo.get("dele")["expires"] = expiry(0)),
        ("Version", |repo| repo.patch("dele", |signed| signed["version"] = json!(9))),
        ("Hash", |repo| {
            repo.patch("snapshot", |signed| {
                signed["meta"]["dele.json"]["hashes"] = json!({"sha256": "00".repeat(32)});
            })
        }),
        ("Length", |repo| repo.patch("snapshot", |signed| signed["meta"]["dele.json"]["length"] = json!(1))),
    ];
    for (kind, attack) in cases {
        let mut repo = Repo::new();
        attack(&mut repo);
        repo.publish();
        let error = repo.client().get(&repo.files, "d/x.txt").0.expect_err(kind);
        assert_eq!((&*kind_name(error.kind()), error.role()), (kind, Some(&role("dele"))), "{error}");
    }
}

/// Any JSON value in the place of any field: refused or accepted, never a panic.
#[test]
fn cve_2026_23991_no_value_in_any_field_panics() {
    let repo = Repo::new();
    let odd = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!([]),
        json!({}),
        json!([[{}]]),
        json!(true),
    ];
    let limits = Limits::default();
    for name in ROLES {
        let file = sign(&repo.signed[name], &repo.signers[name]);
        for pointer in pointers(&file) {
            for value in &odd {
                let mut file = file.clone();
                *file.pointer_mut(&pointer).unwrap() = value.clone();
                let bytes: Arc<[u8]> = file.to_string().into_bytes().into();
                let Ok(envelope) = Envelope::parse(Arc::clone(&bytes), &limits) else { continue };
                let _ = envelope.claims();
                let _ = read_unverified::<tuf_core::Root>(&envelope, &limits);
                let _ = read_unverified::<tuf_core::Timestamp>(&envelope, &limits);
                let _ = read_unverified::<tuf_core::Snapshot>(&envelope, &limits);
                let _ = read_unverified::<Targets>(&envelope, &limits);
                if name == "root" {
                    // Whatever is accepted as a pinned root can be used.
                    let _ = Client::new(bytes).refresh(&repo.files);
                }
            }
        }
    }
    for length in [0, 1, 31, 33, 64] {
        let mut key = Pair::ed(1).json();
        key["keyval"]["public"] = json!("ab".repeat(length));
        assert!(!Key::from_json(&key).unwrap().verify(b"", &[0; 64]));
    }
}

fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(values) => values.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let below = children
        .into_iter()
        .flat_map(|(key, value)| pointers(value).into_iter().map(move |rest| format!("/{key}{rest}")));
    std::iter::once(String::new()).chain(below).collect()
}

#[test]
fn cve_2026_23992_no_threshold_of_zero_for_a_delegation() {
    for threshold in [json!(0), json!(-1), json!(1_u64 << 63)] {
        let mut repo = Repo::new();
        repo.delegations()["roles"][0]["threshold"] = threshold;
        repo.tamper("dele", |file| file["signatures"] = json!([]));
        repo.publish();
        let error = repo.client().get(&repo.files, "d/x.txt").0.unwrap_err();
        assert_refused(&error, Want("Field", "targets", ARBITRARY), "");
    }
}

#[test]
fn ghsa_qp9x_wp8f_qgjj_patterns_are_case_sensitive_everywhere() {
    for (pattern, found) in [("d/*", true), ("D/*", false), ("d/X.txt", false), ("d\\x.txt", false)] {
        let mut repo = Repo::new();
        repo.delegations()["roles"][0]["paths"] = json!([pattern]);
        repo.publish();
        assert_eq!(repo.client().get(&repo.files, "d/x.txt").0.unwrap().is_some(), found, "{pattern}");
    }
}

#[test]
fn go_tuf_721_empty_hashes_match_nothing() {
    for hashes in [json!({}), json!({"md5": "d41d8cd98f00b204e9800998ecf8427e"})] {
        let mut repo = Repo::new();
        repo.get("targets")["targets"]["a.txt"]["hashes"] = hashes.clone();
        repo.publish();
        let found = repo.client().get(&repo.files, "a.txt").0.unwrap().unwrap();
        let error = Checker::check(&found.file.hashes, Some(1), b"a").unwrap_err();
        assert_eq!(kind_name(error.kind()), "NoKnownHash");

        let mut repo = Repo::new();
        repo.patch("snapshot", move |signed| signed["meta"]["targets.json"]["hashes"] = hashes.clone());
        repo.publish();
        let outcome = repo.client().refresh(&repo.files);
        assert_refused(&outcome.result.unwrap_err(), Want("NoKnownHash", "targets", ARBITRARY), "");
        assert_eq!(change_names(&outcome.batch), ["+floor/timestamp.json", "+floor/snapshot.json"]);
    }
}
