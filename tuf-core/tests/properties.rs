//! Properties over generated input.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tuf_core::canonical::{canonicalize, to_wire};
use tuf_core::{Draft, Envelope, Limits, Metadata, Root, Snapshot, Targets, Timestamp, read_unverified};

use crate::support::{Client, Pair, ROLES, Repo, canonical, cases, value};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Canonical form is total and idempotent.
fn canonical_is_stable(bytes: &[u8]) {
    if let Ok(first) = canonicalize(bytes, 64) {
        let wire = to_wire(&first).into_owned();
        assert_eq!(canonicalize(wire.as_bytes(), 64).unwrap(), first);
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_bytes_are_canonicalised_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        canonical_is_stable(&bytes);
        let _ = Envelope::parse(bytes, &Limits::default());
    }

    #[test]
    fn text_like_json_is_canonicalised_or_refused(text in r#"[\[\]{}",:\\0-9eE.u\- a"ntrfls\u{1}é]{0,60}"#) {
        canonical_is_stable(text.as_bytes());
    }

    #[test]
    fn canonical_form_agrees_with_a_naive_writer(json in any_json()) {
        let expected = canonical(&json);
        let compact = json.to_string();
        prop_assert_eq!(&*canonicalize(compact.as_bytes(), 64).unwrap(), &expected);
        let pretty = serde_json::to_vec_pretty(&json).unwrap();
        prop_assert_eq!(&*canonicalize(&pretty, 64).unwrap(), &expected);
        canonical_is_stable(json.to_string().as_bytes());
    }

    #[test]
    fn mutated_metadata_never_panics(role in 0..5_usize, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let repo = Repo::new();
        let mut bytes = repo.files[&repo.file_name(ROLES[role])].to_vec();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        canonical_is_stable(&bytes);
        if let Ok(envelope) = Envelope::parse(bytes, &Limits::default()) {
            let _ = envelope.claims();
            let _ = read_unverified::<Root>(&envelope, &Limits::default());
            let _ = read_unverified::<Timestamp>(&envelope, &Limits::default());
            let _ = read_unverified::<Snapshot>(&envelope, &Limits::default());
            let _ = read_unverified::<Targets>(&envelope, &Limits::default());
        }
    }
}

/// What a repository, honest or not, may do between two refreshes.
#[derive(Clone, Debug)]
enum Act {
    Release(usize),
    SetVersion(usize, u64),
    Rotate(usize),
    ServeOld(usize),
    Drop(usize),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..5_usize).prop_map(Act::Release),
        3 => (1..5_usize, 1..6_u64).prop_map(|(role, version)| Act::SetVersion(role, version)),
        1 => (0..5_usize).prop_map(Act::Rotate),
        2 => any::<usize>().prop_map(Act::ServeOld),
        1 => (0..5_usize).prop_map(Act::Drop),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(cases(96))]

    /// Without new keys for timestamp or snapshot, no accepted version is ever below an accepted one.
    #[test]
    fn accepted_versions_never_fall(acts in prop::collection::vec(act(), 1..14)) {
        let mut repo = Repo::new();
        let mut client = repo.client();
        let mut seen: Option<[u64; 5]> = None;
        let mut past = vec![repo.files.clone()];
        for (step, act) in acts.iter().enumerate() {
            let mut files = None;
            match act {
                Act::Release(role) => repo.release(ROLES[*role]),
                Act::SetVersion(role, version) => {
                    repo.get(ROLES[*role])["version"] = json!(version);
                    repo.release("timestamp");
                }
                Act::Rotate(role) => {
                    let seed = 5_000 + 10 * u32::try_from(step).unwrap();
                    if ROLES[*role] != "root" {
                        repo.set_keys(ROLES[*role], &[Pair::ed(seed)], 1);
                        repo.release(if ROLES[*role] == "dele" { "targets" } else { "root" });
                    }
                    if ["timestamp", "snapshot"].contains(&ROLES[*role]) {
                        seen = seen.map(|seen| [seen[0], 0, 0, 0, 0]);
                    }
                }
                Act::ServeOld(index) => {
                    // Roots stay: new ones are known already.
                    let mut old = past[index % past.len()].clone();
                    old.extend(repo.files.iter().filter(|(name, _)| name.ends_with("root.json")).map(|(n, b)| (n.clone(), Arc::clone(b))));
                    files = Some(old);
                }
                Act::Drop(role) => {
                    let mut fewer = repo.files.clone();
                    fewer.remove(&repo.file_name(ROLES[*role]));
                    files = Some(fewer);
                }
                Act::Restart => client = Client { store: client.store.clone(), ..Client::new(Arc::clone(&client.pinned)) },
            }
            past.push(repo.files.clone());
            let files = files.unwrap_or_else(|| repo.files.clone());
            let Ok(set) = client.refresh(&files).result else { continue };
            let listed = |name: &str| set.snapshot().meta.get(name).map_or(0, |meta| meta.version);
            let versions = [
                set.root().header.version,
                set.timestamp().header.version,
                set.snapshot().header.version,
                listed("targets.json"),
                listed("dele.json"),
            ];
            if let Some(seen) = seen {
                let fell = seen.iter().zip(&versions).any(|(seen, now)| now < seen);
                prop_assert!(!fell, "{:?} after {:?}: {:?}", versions, seen, acts);
            }
            seen = Some(versions);
        }
    }
}

fn round_trip<T: Metadata>(signed: &Value) {
    let bytes = json!({"signatures": [], "signed": signed}).to_string().into_bytes();
    let envelope = Envelope::parse(bytes, &Limits::default()).unwrap();
    let read: T = read_unverified(&envelope, &Limits::default()).unwrap();
    assert_eq!(value(Draft::new(read.clone()).payload()), *signed, "nothing lost");
    let mut edited = read;
    edited.header_mut().version += 1;
    let mut expected = signed.clone();
    expected["version"] = json!(edited.header().version);
    assert_eq!(Draft::new(edited).payload(), canonical(&expected));
}

/// Adds an unknown member to every object of the known structure.
fn sprinkle(value: &mut Value, unknown: &Value) {
    if let Value::Array(values) = value {
        values.iter_mut().for_each(|value| sprinkle(value, unknown));
    }
    let Value::Object(members) = value else { return };
    for (name, value) in members.iter_mut() {
        match &**name {
            // Maps whose members all mean something; what is in them is sprinkled.
            "keys" | "roles" | "meta" | "targets" if value.is_object() => {
                value.as_object_mut().unwrap().values_mut().for_each(|value| sprinkle(value, unknown));
            }
            "hashes" => value["x-hash"] = json!("00"),
            _ => sprinkle(value, unknown),
        }
    }
    members.insert("\u{1}x".into(), unknown.clone());
    members.insert("zz\u{1f600}".into(), unknown.clone());
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn unknown_fields_survive_an_edit(unknown in any_json()) {
        let mut repo = Repo::new();
        repo.get("targets")["targets"]["a.txt"]["custom"] = unknown.clone();
        repo.get("root")["keys"]["odd"] = json!({"keytype": "new", "scheme": "new", "keyval": {"public": ""}});
        repo.get("root")["keys"]["odder"] = json!({"keytype": "new", "scheme": "new", "keyval": {"public": unknown}});
        repo.get("root")["roles"]["mirrors"] = json!({"keyids": [], "threshold": 1});
        for role in ROLES {
            let mut signed = repo.signed[role].clone();
            sprinkle(&mut signed, &unknown);
            match role {
                "root" => round_trip::<Root>(&signed),
                "timestamp" => round_trip::<Timestamp>(&signed),
                "snapshot" => round_trip::<Snapshot>(&signed),
                _ => round_trip::<Targets>(&signed),
            }
        }
        let mut signed = repo.signed["targets"].clone();
        signed["delegations"] = json!({"keys": {}, "succinct_roles":
            {"keyids": [], "threshold": 1, "bit_length": 4, "name_prefix": "b", "x": unknown}});
        round_trip::<Targets>(&signed);
    }
}
