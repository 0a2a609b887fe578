//! Random forgeries by somebody who holds all keys but one of a role, all its revoked ones, all of the other roles but
//! those that name its keys, and any number of his own. `PROPTEST_CASES=10000 cargo nextest run -p tuf-core stolen_keys`
//! tries that many for each role.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Client, Files, Pair, ROLES, Repo, canonical, cases, expiry, role, warm};

const THRESHOLD: usize = 3;

/// A role whose keys were replaced by three, all of which must sign, and what waits for its next version.
struct Scene {
    client: Client,
    files: Files,
    name: String,
    signed: Value,
    /// The IDs that the role's file may be signed under.
    ids: Vec<String>,
    pool: Vec<Rc<Pair>>,
    stolen: usize,
}

fn scene(role: &'static str) -> Scene {
    let mut repo = Repo::new();
    // Without hashes, so that nothing but signatures stands between the forgery and the client.
    repo.hashes = false;
    let revoked: Vec<_> = repo.signers[role].iter().map(|(_, pair)| Rc::clone(pair)).collect();
    let pairs = [Pair::ed(700), Pair::ed(701), Pair::ed(702)];
    let old = repo.signers["root"].clone();
    repo.set_keys(role, &pairs, u32::try_from(THRESHOLD).unwrap());
    let new = repo.signers[role].clone();
    if role == "root" {
        repo.signers.insert("root".into(), [old, new.clone()].concat());
    }
    repo.new_authority(role);
    repo.release(if role == "root" { "timestamp" } else { "dele" });
    repo.signers.insert(role.into(), new);
    let client = warm(&repo);
    repo.release(role);
    let mut signed = repo.signed[role].clone();
    signed["evil"] = json!(true);
    let others = ROLES.into_iter().filter(|other| *other != role);
    let pool = pairs[..THRESHOLD - 1]
        .iter()
        .chain(&revoked)
        .cloned()
        .chain(others.flat_map(|other| repo.signers[other].iter().map(|(_, pair)| Rc::clone(pair))))
        .chain([Pair::ed(800), Pair::ed(801), Pair::ed(802)])
        .collect();
    let ids = repo.signers[role].iter().map(|(id, _)| id.clone()).collect();
    let name = repo.file_name(role);
    Scene { client, files: repo.files, name, signed, ids, pool, stolen: THRESHOLD - 1 }
}

/// One signature: whose, under which ID, over what, and in which case of letters.
type Mark = (prop::sample::Index, u8, u8, bool);

fn forge(scene: &Scene, marks: &[Mark], whole: bool) -> Arc<[u8]> {
    let payload = canonical(&scene.signed);
    let mut other = scene.signed.clone();
    other["expires"] = expiry(1);
    let other = canonical(&other);
    let entry = |pair: &Rc<Pair>, id: &str, over: u8, upper: bool| {
        let message = if over == 0 { &other } else { &payload };
        let sig = pair.sign_hex(message.as_bytes());
        json!({"keyid": id, "sig": if upper { sig.to_uppercase() } else { sig }})
    };
    let mut entries: Vec<Value> = marks
        .iter()
        .map(|(pair, id, over, upper)| {
            let pair = pair.get(&scene.pool);
            let id = match usize::from(*id) {
                // As one of the role's keys, or as itself.
                n @ 0..THRESHOLD => scene.ids[n].clone(),
                _ => pair.id(),
            };
            entry(pair, &id, *over, *upper)
        })
        .collect();
    if whole {
        // All that is stolen, well used.
        entries.retain(|entry| !scene.ids[..scene.stolen].iter().any(|id| entry["keyid"] == **id));
        entries.extend(scene.pool[..scene.stolen].iter().map(|pair| entry(pair, &pair.id(), 1, false)));
        // A second one under the same ID would have the file refused for that.
        let mut seen = std::collections::BTreeSet::new();
        entries.retain(|entry| seen.insert(entry["keyid"].as_str().unwrap().to_owned()));
    }
    json!({"signatures": entries, "signed": scene.signed}).to_string().into_bytes().into()
}

fn refused(scene: &Scene, marks: &[Mark], whole: bool) {
    let mut files = scene.files.clone();
    files.insert(scene.name.clone(), forge(scene, marks, whole));
    let mut client = scene.client.clone();
    let error = client.get(&files, "d/x.txt").0.expect_err(&scene.name);
    assert_eq!(error.attack().map(tuf_core::Attack::name), Some("arbitrary-software"), "{error}");
    let name = scene.name.trim_end_matches(".json").rsplit('.').next().unwrap();
    assert_eq!(error.role(), Some(&role(name)), "{error}");
    let forged = &files[&scene.name];
    assert!(client.store.values().all(|stored| stored != forged), "a forgery is stored");
}

fn marks() -> impl Strategy<Value = Vec<Mark>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, 0..4_u8, any::<bool>()), 0..8)
}

/// The honest file, in the forgery's place, is accepted: what refuses the others is their signatures.
#[test]
fn the_scenes_wait_for_the_honest_file() {
    for role in ROLES {
        let scene = scene(role);
        assert!(scene.client.clone().get(&scene.files, "d/x.txt").0.unwrap().is_some(), "{role}");
        refused(&scene, &[], true);
    }
}

fn each(role: &'static str) {
    let scene = scene(role);
    let mut runner = proptest::test_runner::TestRunner::new(cases(100));
    let forgeries = (marks(), any::<bool>());
    let result = runner.run(&forgeries, |(marks, whole)| {
        refused(&scene, &marks, whole);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn no_forgery_is_a_root() {
    each("root");
}

#[test]
fn no_forgery_is_a_timestamp() {
    each("timestamp");
}

#[test]
fn no_forgery_is_a_snapshot() {
    each("snapshot");
}

#[test]
fn no_forgery_is_a_targets() {
    each("targets");
}

#[test]
fn no_forgery_is_a_delegated_role() {
    each("dele");
}
