//! ML-DSA (TAP 21), with the feature `ml-dsa` and without it, on the same recorded files.
//!
//! ML-DSA signs at random. After a change of what is recorded:
//! `WRITE_TEST_VECTORS=1 cargo test -p tuf-core --features ml-dsa --test integration ml_dsa::supported::record`

use std::sync::Arc;

use serde_json::Value;
use tuf_core::trust::RootChain;
use tuf_core::{Key, Limits};

use crate::support::{Want, assert_refused};
use crate::vectors::{bytes, read, text};

const FILE: &str = "ml-dsa.json";

fn pinned(file: &Value) -> Result<RootChain, tuf_core::Error> {
    RootChain::pinned(&Arc::from(text(file).as_bytes()), Arc::new(Limits::default()))
}

#[test]
fn recorded_signatures() {
    let file = read(FILE);
    let cases = file["cases"].as_array().unwrap();
    let usable = |case: &Value| cfg!(feature = "ml-dsa") && case["usable"] == true;
    for case in cases {
        let key = Key::from_json(&case["key"]).unwrap();
        assert_eq!(key.id().as_str(), text(&case["keyid"]), "{}", case["says"]);
        assert_eq!(key.to_json().unwrap(), case["key"], "carried as it is");
        assert_eq!(key.public().is_some(), usable(case), "{}", case["says"]);
        let valid = key.verify(text(&case["message"]).as_bytes(), &bytes(&case["signature"]));
        assert_eq!(valid, usable(case) && case["valid"] == true, "{}", case["says"]);
    }
    assert_eq!(cases.iter().filter(|case| case["valid"] == true).count(), 3, "one for each parameter set");
}

/// Two of three keys, one of them of ML-DSA-44.
#[test]
fn a_root_with_an_ml_dsa_key_is_read_with_and_without_support() {
    let roots = &read(FILE)["roots"];
    // All three signed: enough for either.
    assert_eq!(pinned(&roots["all"]).unwrap().root().keys.len(), 3);
    // The ML-DSA key and one other signed: where the first does not count, one is missing.
    let found = pinned(&roots["ml-dsa-and-ed25519"]);
    if cfg!(feature = "ml-dsa") {
        found.unwrap();
    } else {
        let want = Want("Threshold", "root", Some("arbitrary-software"));
        assert_refused(&found.unwrap_err(), want, "without support");
    }
}

#[cfg(feature = "ml-dsa")]
mod supported {
    use data_encoding::HEXLOWER;
    use serde_json::json;

    use super::*;
    use crate::support::{Pair, Repo, canonical, expiry, kind_name, sign};

    const SETS: [u32; 3] = [44, 65, 87];

    #[test]
    fn a_signature_is_by_its_key_over_its_message() {
        for set in SETS {
            let (pair, other) = (Pair::ml_dsa(set, 1), Pair::ml_dsa(set, 2));
            assert_eq!(Key::from_json(&pair.json()).unwrap(), pair.key);
            let good = pair.sign(b"message");
            assert!(pair.key.verify(b"message", &good));
            assert!(!pair.key.verify(b"massage", &good));
            assert!(!other.key.verify(b"message", &good));
            for place in [0, good.len() / 2, good.len() - 1] {
                let mut bad = good.clone();
                bad[place] ^= 1;
                assert!(!pair.key.verify(b"message", &bad), "ML-DSA-{set}, byte {place}");
            }
            assert!(!pair.key.verify(b"message", &good[1..]));
            assert!(!pair.key.verify(b"message", &pair.sign_pure(b"message")), "without TAP 21's digest");
        }
    }

    /// Every role by an ML-DSA key beside an ed25519 one, after a root that had none.
    #[test]
    fn a_repository_moves_to_mixed_keys() {
        let mut repo = Repo::new();
        let mut client = repo.client();
        client.trusts(&repo.files);
        let mut roles =
            ["root", "targets", "snapshot", "timestamp", "dele"].into_iter().zip(SETS.into_iter().cycle());
        let mixed = |set, seed: u8| {
            [Pair::ml_dsa(set, seed), Pair::ed(u32::from(seed) + 100), Pair::ed(u32::from(seed) + 200)]
        };
        let old = repo.signers["root"].clone();
        for (seed, (role, set)) in (1..).zip(&mut roles) {
            repo.set_keys(role, &mixed(set, seed), 2);
        }
        repo.signers.get_mut("root").unwrap().extend(old);
        repo.new_authority("root");
        repo.release("dele");
        // The third key of each role does not sign: without ML-DSA the threshold is missed.
        for (role, signers) in &mut repo.signers {
            signers.remove(if role == "root" { 2 } else { 1 });
        }
        repo.publish();
        assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some());
    }

    #[test]
    fn one_ml_dsa_key_under_two_ids_counts_once() {
        let pair = Pair::ml_dsa(65, 1);
        let mut repo = Repo::new();
        repo.set_keys("timestamp", std::slice::from_ref(&pair), 2);
        let (keys, entry) = repo.authority("timestamp");
        // The same key in another text of the same PEM.
        keys["again"] = pair.json();
        let pem = text(&keys["again"]["keyval"]["public"]).replace('\n', "\r\n");
        keys["again"]["keyval"]["public"] = json!(pem);
        assert_eq!(Key::from_json(&keys["again"]).unwrap().public(), pair.key.public());
        entry["keyids"] = json!([pair.id(), "again"]);
        repo.signers.get_mut("timestamp").unwrap().push(("again".into(), pair));
        repo.publish();
        let error = repo.client().refresh(&repo.files).result.unwrap_err();
        assert_eq!(
            (kind_name(error.kind()), error.role().unwrap().as_str()),
            ("Threshold".into(), "timestamp")
        );
    }

    /// By itself it does nothing; it is asked for at the head of this file.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a generator, not the program")]
    fn record() {
        if std::env::var_os("WRITE_TEST_VECTORS").is_none() {
            return;
        }
        let case = |says: &str, key: Value, signature: &[u8], usable: bool, valid: bool| {
            let keyid = crate::support::sha256(canonical(&key).as_bytes());
            let signature = HEXLOWER.encode(signature);
            json!({
                "says": says, "key": key, "keyid": keyid, "message": "message", "signature": signature,
                "usable": usable, "valid": valid,
            })
        };
        let mut cases: Vec<Value> = SETS
            .map(|set| {
                let pair = Pair::ml_dsa(set, 1);
                case(&format!("ML-DSA-{set}"), pair.json(), &pair.sign(b"message"), true, true)
            })
            .into();
        let pair = Pair::ml_dsa(44, 1);
        cases.push(case("over another message", pair.json(), &pair.sign(b"massage"), true, false));
        let pure = pair.sign_pure(b"message");
        cases.push(case("over the message, not over TAP 21's digest", pair.json(), &pure, true, false));
        for (says, scheme) in [("another version", "ml-dsa-44/2"), ("another parameter set", "ml-dsa-65/1")] {
            let mut key = pair.json();
            key["scheme"] = json!(scheme);
            cases.push(case(says, key, &pair.sign(b"message"), false, false));
        }

        let keys = [Pair::ml_dsa(44, 1), Pair::ed(1), Pair::ed(2)];
        let keyids: Vec<String> = keys.iter().map(|pair| pair.id()).collect();
        let role = json!({"keyids": keyids, "threshold": 2});
        let listed: serde_json::Map<_, _> = keys.iter().map(|pair| (pair.id(), pair.json())).collect();
        let root = json!({
            "_type": "root", "spec_version": "1.0.34", "version": 1, "expires": expiry(365),
            "consistent_snapshot": true, "keys": listed,
            "roles": {"root": role, "targets": role, "snapshot": role, "timestamp": role},
        });
        let signers: Vec<_> = keyids.into_iter().zip(keys).collect();
        let roots = json!({
            "all": sign(&root, &signers).to_string(),
            "ml-dsa-and-ed25519": sign(&root, &signers[..2]).to_string(),
        });
        let written = serde_json::to_string_pretty(&json!({"cases": cases, "roots": roots})).unwrap() + "\n";
        std::fs::write(crate::vectors::directory().join(FILE), written).unwrap();
    }
}
