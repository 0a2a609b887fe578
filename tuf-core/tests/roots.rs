//! Roots as other tools write them, and long or odd root chains.

use std::rc::Rc;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use serde_json::json;
use tuf_core::trust::RootChain;
use tuf_core::{Limits, Root};

use crate::support::{
    Client, Pair, Repo, Want, assert_refused, canonical, change_names, expiry, kind_name, sha256, warm,
};

type Variant = fn(&mut Repo);

/// What implementations disagree about, each with the verdict of this one: `None` accepts.
const VARIANTS: [(&str, Variant, Option<&str>); 25] = [
    ("plain", |_| {}, None),
    ("spec 1.0", |repo| repo.get("root")["spec_version"] = json!("1.0"), None),
    ("spec 2.0.0", |repo| repo.get("root")["spec_version"] = json!("2.0.0"), Some("SpecVersion")),
    ("spec 2.0.0 in another shape", in_another_shape, Some("SpecVersion")),
    ("threshold 0", |repo| repo.get("root")["roles"]["root"]["threshold"] = json!(0), Some("Field")),
    ("one key, two IDs, threshold 2", one_key_two_ids, Some("Threshold")),
    ("unknown key type beside a good key", |repo| unknown_key(repo, json!({"public": "x"})), None),
    ("unknown key type, material elsewhere", |repo| unknown_key(repo, json!({"identity": "a@b"})), None),
    ("unknown key type, material no string", |repo| unknown_key(repo, json!({"public": {"t": 1}})), None),
    ("known key type, unknown scheme", unknown_scheme, None),
    ("extra field in a key", extra_in_key, None),
    ("key ID that is no hash", opaque_ids, None),
    ("consistent_snapshot absent", no_consistent_snapshot, None),
    ("consistent_snapshot false", |repo| repo.get("root")["consistent_snapshot"] = json!(false), None),
    ("unknown fields in a role and at the top", unknown_fields, None),
    ("mirrors role", mirrors, None),
    ("expires with a fraction", |repo| expires(repo, "2031-01-01T00:00:00.120Z"), None),
    ("expires with +00:00", |repo| expires(repo, "2031-01-01T00:00:00+00:00"), None),
    ("expires with +02:00", |repo| expires(repo, "2031-01-01T00:00:00+02:00"), None),
    ("expires with no offset", |repo| expires(repo, "2031-01-01T00:00:00"), Some("Field")),
    ("control characters", |repo| repo.get("root")["x"] = json!("\u{0}\u{1}\n\t\u{1f}\u{7f}\"\\/"), None),
    (
        "keys beyond the BMP",
        |repo| repo.get("root")["x"] = json!({"\u{ffff}": 1, "\u{1f600}": 2, "é": 3}),
        None,
    ),
    ("integers beyond 2^53", |repo| repo.get("root")["x"] = json!([u64::MAX, i64::MIN, 1_u64 << 53]), None),
    ("a key that no role names", |repo| repo.get("root")["keys"]["spare"] = Pair::ed(9).json(), None),
    ("a role names a key that is not there", absent_key, None),
];

fn expires(repo: &mut Repo, text: &str) {
    repo.get("root")["expires"] = json!(text);
}

/// A later specification may rename anything, and is still to be recognised as such.
fn in_another_shape(repo: &mut Repo) {
    repo.get("root")["spec_version"] = json!("2.0.0");
    repo.get("root")["consistent_snapshot"] = json!("always");
}

fn one_key_two_ids(repo: &mut Repo) {
    let pair = Pair::ed(10);
    repo.get("root")["keys"]["again"] = pair.json();
    repo.get("root")["roles"]["root"] = json!({"keyids": [pair.id(), "again"], "threshold": 2});
    // Signatures that satisfy the old root too, where there is one.
    repo.signers.get_mut("root").unwrap().push(("again".into(), pair));
}

fn unknown_key(repo: &mut Repo, keyval: serde_json::Value) {
    let key = json!({"keytype": "ml-dsa", "scheme": "ml-dsa-44", "keyval": keyval});
    repo.get("root")["keys"]["quantum"] = key;
    let ids = repo.get("root")["roles"]["root"]["keyids"].as_array_mut().unwrap();
    ids.insert(0, json!("quantum"));
}

fn unknown_scheme(repo: &mut Repo) {
    unknown_key(repo, json!({"public": "x"}));
    let key = &mut repo.get("root")["keys"]["quantum"];
    *key = Pair::ed(9).json();
    key["scheme"] = json!("ed448");
}

fn extra_in_key(repo: &mut Repo) {
    let id = Pair::ed(10).id();
    let key = &mut repo.get("root")["keys"][&id];
    key["x-tuf-on-ci-keyowner"] = json!("@someone");
    key["keyid_hash_algorithms"] = json!(["sha256", "sha512"]);
    key["keyval"]["private"] = json!("");
}

fn opaque_ids(repo: &mut Repo) {
    let pair = Pair::ed(10);
    repo.get("root")["keys"]["not/a hash"] = pair.json();
    repo.get("root")["roles"]["root"] = json!({"keyids": ["not/a hash", Pair::ed(11).id()], "threshold": 2});
    repo.signers.get_mut("root").unwrap().push(("not/a hash".into(), pair));
}

fn no_consistent_snapshot(repo: &mut Repo) {
    repo.get("root").as_object_mut().unwrap().remove("consistent_snapshot");
}

fn unknown_fields(repo: &mut Repo) {
    repo.get("root")["x"] = json!({"a": [true, false, null, ""]});
    repo.get("root")["roles"]["root"]["x"] = json!(1);
    repo.tamper("root", |file| file["x"] = json!("outside of what is signed"));
}

fn mirrors(repo: &mut Repo) {
    repo.get("root")["roles"]["mirrors"] = json!({"keyids": [Pair::ed(11).id()], "threshold": 1});
}

fn absent_key(repo: &mut Repo) {
    repo.get("root")["roles"]["root"]["keyids"].as_array_mut().unwrap().push(json!("absent"));
}

#[test]
fn variants_of_a_root_are_judged_alike_whether_pinned_or_followed() {
    for (name, variant, refused) in VARIANTS {
        for pinned in [true, false] {
            let mut repo = Repo::new();
            let first = Arc::clone(&repo.files["1.root.json"]);
            if !pinned {
                repo.bump("root");
            }
            variant(&mut repo);
            repo.publish();
            let mut client = if pinned { repo.client() } else { Client::new(first) };
            let result = client.refresh(&repo.files).result;
            let found = result.as_ref().err().map(|error| kind_name(error.kind()));
            assert_eq!(found.as_deref(), refused, "{name}, pinned: {pinned}: {result:?}");
            assert!(result.err().is_none_or(|error| error.role().is_some()), "{name}");
        }
    }
}

/// With `strict_key_ids`: the root that is pinned, one that follows, and the keys of delegations.
#[test]
fn strict_key_ids_refuse_a_key_under_another_id() {
    let strict = |mut client: Client, repo: &Repo| {
        client.limits.strict_key_ids = true;
        client.get(&repo.files, "d/x.txt").0
    };
    let mut repo = Repo::new();
    // Extra fields are part of the key, and of its ID.
    let mut extra = Pair::ed(9).json();
    extra["x"] = json!(1);
    let id = sha256(canonical(&extra).as_bytes());
    repo.get("root")["keys"][id] = extra;
    repo.publish();
    let first = repo.client();
    assert!(strict(first.clone(), &repo).unwrap().is_some(), "IDs of the specification");

    repo.bump("root");
    opaque_ids(&mut repo);
    repo.publish();
    for client in [repo.client(), first.clone()] {
        assert!(client.clone().get(&repo.files, "d/x.txt").0.unwrap().is_some(), "by default IDs are opaque");
        let error = strict(client, &repo).unwrap_err();
        assert_refused(&error, Want("Field", "root", Some("arbitrary-software")), "root");
        assert!(error.to_string().contains(&Pair::ed(10).id()), "{error}");
    }

    let mut repo = Repo::new();
    let keys = &mut repo.delegations()["keys"];
    keys["another"] = Pair::ed(9).json();
    repo.publish();
    let error = strict(repo.client(), &repo).unwrap_err();
    assert_refused(&error, Want("Field", "targets", Some("arbitrary-software")), "delegations");
}

#[test]
fn a_repeated_key_id_in_signatures_refuses_the_file() {
    let mut repo = Repo::new();
    repo.tamper("root", |file| {
        let first = file["signatures"][0].clone();
        file["signatures"].as_array_mut().unwrap().push(first);
    });
    repo.publish();
    let error = repo.client().refresh(&repo.files).result.unwrap_err();
    assert_refused(&error, Want("DuplicateSignature", "root", Some("arbitrary-software")), "pinned");
}

#[test]
fn text_that_serde_json_cannot_hold_is_canonicalised_right() {
    let repo = Repo::new();
    let plain = canonical(&repo.signed["root"]);
    // Canonical as signed, and two ways to send it.
    let canonical =
        plain.replacen('{', "{\"A\":[-0,123456789012345678901234567890],", 1).replace("[-0,", "[0,");
    let spaced = canonical.replace(',', " ,\r\n\t").replace("[0 ", "[-0 ");
    let escaped = canonical.replace("\"root\"", "\"\\u0072\\u006F\\u006ft\"");
    let signatures: Vec<_> = [Pair::ed(10), Pair::ed(11)]
        .iter()
        .map(|pair| json!({"keyid": pair.id(), "sig": pair.sign_hex(canonical.as_bytes())}))
        .collect();
    for signed in [&canonical, &spaced, &escaped] {
        let file = format!("\n {{ \"signed\":{signed} , \"signatures\":{} }}\n", json!(signatures));
        let chain = RootChain::pinned(&file.into_bytes().into(), Arc::new(Limits::default()));
        assert_eq!(chain.unwrap().root().extra["A"].as_canonical(), "[0,123456789012345678901234567890]");
    }
}

#[test]
fn three_hundred_rotations_take_two_refreshes() {
    let mut repo = Repo::new();
    let mut client = repo.client();
    for version in 2..=300_u32 {
        repo.bump("root");
        let old = repo.signers["root"].clone();
        repo.get("root")["keys"]
            .as_object_mut()
            .unwrap()
            .retain(|id, _| old.iter().all(|(old, _)| old != id));
        repo.set_keys("root", &[Pair::ed(1_000 + version), Pair::ed(2_000 + version)], 2);
        let new = repo.signers["root"].clone();
        repo.signers.insert("root".into(), old.into_iter().chain(new.clone()).collect());
        let bytes = repo.file("root");
        repo.files.insert(format!("{version}.root.json"), bytes);
        repo.signers.insert("root".into(), new);
    }
    let first = client.refresh(&repo.files);
    assert_eq!(first.result.unwrap().root().header.version, 257);
    assert_eq!(first.batch.changes().len(), 256 + 5);
    assert_eq!(change_names(&first.batch)[255], "+root_history/257.root.json");
    let second = client.refresh(&repo.files);
    assert_eq!(second.result.unwrap().root().header.version, 300);
    assert_eq!(second.batch.changes().len(), 43);
    let third = client.refresh(&repo.files);
    assert_eq!(third.fetched, ["301.root.json", "timestamp.json"]);
    assert!(third.batch.is_empty());

    // A damaged root in the middle of the store is fetched again, and everything after it.
    client.store.insert("root_history/290.root.json".into(), (*b"torn").into());
    let healed = client.refresh(&repo.files);
    assert_eq!(healed.result.unwrap().root().header.version, 300);
    assert_eq!(change_names(&healed.batch).first().unwrap(), "+root_history/290.root.json");
}

#[test]
fn an_expired_root_in_the_middle_is_followed_and_at_the_end_refused() {
    let mut repo = Repo::new();
    let mut client = repo.client();
    repo.get("root")["expires"] = expiry(-100);
    repo.release("root");
    let outcome = client.refresh(&repo.files);
    assert_refused(&outcome.result.unwrap_err(), Want("Expired", "root", Some("freeze")), "at the end");
    assert_eq!(change_names(&outcome.batch), ["+root_history/2.root.json"], "it is trusted as a link");
    repo.get("root")["expires"] = expiry(100);
    repo.release("root");
    assert_eq!(client.trusts(&repo.files).root().header.version, 3);
}

/// The last version has no successor: not even itself.
#[test]
fn a_root_of_the_last_version_ends_the_chain() {
    let mut repo = Repo::new();
    repo.get("root")["version"] = json!(u64::MAX);
    repo.publish();
    let mut client = repo.client();
    for _ in 0..3 {
        let outcome = client.refresh(&repo.files);
        assert_eq!(outcome.result.unwrap().root().header.version, u64::MAX);
        assert!(!change_names(&outcome.batch).iter().any(|name| name.contains("root")));
    }
    // A store of an earlier version of this program may hold it.
    let root = Arc::clone(&repo.files[&repo.file_name("root")]);
    client.store.insert(format!("root_history/{}.root.json", u64::MAX), root);
    client.trusts(&repo.files);
}

/// The floor survives a root that was shipped before the keys were replaced, on every run.
#[test]
fn a_pinned_root_older_than_a_key_rotation_keeps_the_floor() {
    for roles in [&["timestamp"][..], &["snapshot"], &["timestamp", "snapshot"]] {
        let mut repo = Repo::new();
        let mut client = repo.client();
        for (seed, role) in (700..).step_by(10).zip(roles) {
            repo.set_keys(role, &[Pair::ed(seed), Pair::ed(seed + 1)], 2);
        }
        repo.release("root");
        repo.release("targets");
        let older = repo.clone();
        repo.release("targets");
        client.trusts(&repo.files);
        for run in 2..5 {
            let mut files = repo.files.clone();
            files.insert("timestamp.json".into(), Arc::clone(&older.files["timestamp.json"]));
            let outcome = client.refresh(&files);
            let want = Want("Rollback", "timestamp", Some("rollback"));
            assert_refused(&outcome.result.unwrap_err(), want, &format!("{roles:?}, run {run}"));
            let healed: &[&str] = if run == 2 { &[] } else { &["+floor/snapshot.json"] };
            assert_eq!(change_names(&outcome.batch), healed);
            // A store that lost its view, but not its roots, has no floor but still the new keys.
            client.store.insert("floor/snapshot.json".into(), (*b"torn").into());
        }
        client.trusts(&repo.files);
    }
}

#[test]
fn every_kind_of_key_signs_every_role() {
    for (name, pair) in
        [("ed25519", Pair::ed(1)), ("P-256", Pair::p256()), ("P-384", Pair::p384()), ("RSA-PSS", Pair::rsa())]
    {
        let mut repo = Repo::new();
        for role in crate::support::ROLES {
            repo.set_keys(role, &[Rc::clone(&pair)], 1);
        }
        repo.publish();
        let mut client = repo.client();
        assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some(), "{name}");
        // The key ID of the specification: the digest of the canonical key object.
        assert_eq!(pair.id(), sha256(canonical(&pair.json()).as_bytes()), "{name}");
        let mut signature = pair.sign(b"message");
        assert!(pair.key.verify(b"message", &signature), "{name}");
        assert!(!pair.key.verify(b"massage", &signature), "{name}");
        signature[10] ^= 1;
        assert!(!pair.key.verify(b"message", &signature), "{name}");
    }
}

#[test]
fn an_empty_root_can_be_signed_by_nobody() {
    let root = Root::new(DateTime::UNIX_EPOCH + TimeDelta::days(1));
    let file = tuf_core::Draft::new(root).finish();
    let error = RootChain::pinned(&file.into_bytes().into(), Arc::new(Limits::default())).unwrap_err();
    assert_eq!(kind_name(error.kind()), "Threshold");
}

#[test]
fn a_new_root_needs_the_old_root_and_itself() {
    let old = [Pair::ed(10), Pair::ed(11)];
    let new = [Pair::ed(600), Pair::ed(601)];
    let named =
        |pairs: &[Rc<Pair>]| pairs.iter().map(|pair| (pair.id(), Rc::clone(pair))).collect::<Vec<_>>();
    for (name, signers, accepted) in [
        ("only the old keys", named(&old), false),
        ("only the new keys", named(&new), false),
        ("old keys, one new key", [named(&old), named(&new[..1])].concat(), false),
        ("one old key, new keys", [named(&old[..1]), named(&new)].concat(), false),
        ("both", [named(&old), named(&new)].concat(), true),
    ] {
        let mut repo = Repo::new();
        let mut client = warm(&repo);
        repo.set_keys("root", &new, 2);
        repo.signers.insert("root".into(), signers);
        repo.release("root");
        if accepted {
            assert_eq!(client.trusts(&repo.files).root().header.version, 2, "{name}");
            continue;
        }
        refuses(&mut client, &repo, Want("Threshold", "root", Some("arbitrary-software")), name);
    }
    // Root 3, well signed by root 1 and itself, in the place of root 2.
    let mut repo = Repo::new();
    let mut client = warm(&repo);
    repo.get("root")["version"] = json!(3);
    let root = repo.file("root");
    repo.files.insert("2.root.json".into(), root);
    refuses(&mut client, &repo, Want("Version", "root", Some("rollback")), "root 3 as root 2");
}

/// Twice, and nothing is stored.
fn refuses(client: &mut Client, repo: &Repo, want: Want<'_>, case: &str) {
    let store = client.store.clone();
    for _ in 0..2 {
        let outcome = client.refresh(&repo.files);
        assert_refused(&outcome.result.expect_err(case), want, case);
        assert!(outcome.batch.is_empty() && client.store == store, "{case}");
    }
}
