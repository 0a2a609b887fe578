//! A repository in memory, and a client that keeps its store in a map.
//!
//! Metadata is held as JSON, so that a test can write what no honest tool would. `patch` changes what
//! is signed, `tamper` what is sent.

mod client;
mod keys;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::test_runner::Config as ProptestConfig;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tuf_core::canonical::to_wire;
use tuf_core::{Hashes, RoleName, TargetPath};

pub(crate) use client::{
    COMPLETE, Client, Want, assert_refused, change_names, find, find_stored, kind_name, warm,
};
pub(crate) use keys::Pair;

/// Whether some work takes at most so many seconds of this thread's processor time: other work on the machine does not
/// count.
pub(crate) fn within(seconds: i64, what: &str, work: impl FnOnce()) {
    let spent = || clock_gettime(ClockId::ThreadCPUTime).tv_sec;
    let start = spent();
    work();
    let took = spent() - start;
    assert!(took <= seconds, "{what} took {took} s of processor time");
}

/// How many cases a property is tried with: so many, or what `PROPTEST_CASES` says.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests")]
pub(crate) fn cases(default: u32) -> ProptestConfig {
    let cases =
        std::env::var("PROPTEST_CASES").ok().map(|text| text.parse().expect("PROPTEST_CASES is a number"));
    ProptestConfig { cases: cases.unwrap_or(default), failure_persistence: None, ..ProptestConfig::default() }
}

/// Files of a repository below `metadata/`.
pub(crate) type Files = BTreeMap<String, Arc<[u8]>>;

/// The roles of every attack table: four at the top, one delegated.
pub(crate) const ROLES: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "dele"];

/// The fixed time of the tests.
pub(crate) fn now() -> DateTime<Utc> {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn expiry(days: i64) -> Value {
    json!((now() + TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::new(name).unwrap()
}

pub(crate) fn path(path: &str) -> TargetPath {
    TargetPath::new(path).unwrap()
}

/// Canonical JSON, written a second time and naively: signatures of the tests do not rest on the code
/// that they test.
pub(crate) fn canonical(value: &Value) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match value {
        Value::String(text) => quote(text),
        Value::Array(values) => {
            format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| key.chars().map(u32::from).collect::<Vec<_>>());
            let members = members.iter().map(|(key, value)| format!("{}:{}", quote(key), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Hashes::of(bytes).preferred().unwrap()
}

/// What the targets say of a file.
pub(crate) fn file(content: &str) -> Value {
    json!({"length": content.len(), "hashes": {"sha256": sha256(content.as_bytes())}})
}

/// A delegation to paths.
pub(crate) fn delegation(name: &str, pairs: &[Rc<Pair>], threshold: u32, paths: &[&str]) -> Value {
    let keyids: Vec<String> = pairs.iter().map(|pair| pair.id()).collect();
    json!({"name": name, "keyids": keyids, "threshold": threshold, "terminating": false, "paths": paths})
}

/// `{"signatures": …, "signed": …}` with a signature under each of these key IDs.
pub(crate) fn sign(signed: &Value, signers: &[(String, Rc<Pair>)]) -> Value {
    let payload = canonical(signed);
    let signatures: Vec<Value> = signers
        .iter()
        .map(|(id, pair)| json!({"keyid": id, "sig": pair.sign_hex(payload.as_bytes())}))
        .collect();
    json!({"signatures": signatures, "signed": signed})
}

type Edit = Rc<dyn Fn(&mut Value)>;

/// A repository. Every role has two ed25519 keys and a threshold of two.
#[derive(Clone)]
pub(crate) struct Repo {
    /// `signed` of every role; `meta` of snapshot and timestamp is filled in by `publish`.
    pub(crate) signed: BTreeMap<String, Value>,
    /// Who signs, under which key ID.
    pub(crate) signers: BTreeMap<String, Vec<(String, Rc<Pair>)>>,
    /// What is published.
    pub(crate) files: Files,
    /// Whether snapshot and timestamp give lengths and hashes.
    pub(crate) hashes: bool,
    patches: BTreeMap<String, Edit>,
    tampers: BTreeMap<String, Edit>,
}

impl Repo {
    /// Version 1 of everything, published. `a.txt` is a target of the top-level role, `d/x.txt` of
    /// `dele`.
    pub(crate) fn new() -> Self {
        let mut repo = Self {
            signed: BTreeMap::new(),
            signers: BTreeMap::new(),
            files: Files::new(),
            hashes: true,
            patches: BTreeMap::new(),
            tampers: BTreeMap::new(),
        };
        let header = |kind: &str| json!({"_type": kind, "spec_version": "1.0.34", "version": 1, "expires": expiry(365)});
        let mut add = |name: &str, kind: &str, fields: Value| {
            let mut signed = header(kind);
            signed.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            repo.signed.insert(name.to_owned(), signed);
        };
        add("root", "root", json!({"consistent_snapshot": true, "keys": {}, "roles": {}}));
        add("timestamp", "timestamp", json!({"meta": {}}));
        add("snapshot", "snapshot", json!({"meta": {}}));
        add(
            "targets",
            "targets",
            json!({"targets": {"a.txt": file("a")}, "delegations": {"keys": {}, "roles": []}}),
        );
        add("dele", "targets", json!({"targets": {"d/x.txt": file("x")}}));
        repo.delegations()["roles"] = json!([delegation("dele", &[], 1, &["d/*"])]);
        for (seed, name) in (10..).step_by(10).zip(ROLES) {
            repo.set_keys(name, &[Pair::ed(seed), Pair::ed(seed + 1)], 2);
        }
        repo.publish();
        repo
    }

    /// `delegations` of the top-level targets.
    pub(crate) fn delegations(&mut self) -> &mut Value {
        &mut self.get("targets")["delegations"]
    }

    pub(crate) fn get(&mut self, name: &str) -> &mut Value {
        self.signed.get_mut(name).unwrap()
    }

    pub(crate) fn version(&self, name: &str) -> u64 {
        self.signed[name]["version"].as_u64().unwrap()
    }

    /// The file that names a role's keys: its `keys`, and its entry for the role.
    pub(crate) fn authority(&mut self, name: &str) -> (&mut Value, &mut Value) {
        let delegator = if is_top_level(name) { "root" } else { "targets" };
        let top_level = delegator == "root";
        let signed = self.get(delegator);
        let holder = if top_level { signed } else { &mut signed["delegations"] };
        let Value::Object(holder) = holder else { panic!("an object") };
        let [Some(keys), Some(roles)] = holder.get_disjoint(["keys", "roles"]) else {
            panic!("keys and roles")
        };
        if top_level {
            return (keys, &mut roles[name]);
        }
        let roles = roles.as_array_mut().unwrap();
        (keys, roles.iter_mut().find(|role| role["name"] == name).unwrap())
    }

    /// Gives a role these keys and signers.
    pub(crate) fn set_keys(&mut self, name: &str, pairs: &[Rc<Pair>], threshold: u32) {
        let signers: Vec<_> = pairs.iter().map(|pair| (pair.id(), Rc::clone(pair))).collect();
        let (keys, entry) = self.authority(name);
        for (id, pair) in &signers {
            keys[id] = pair.json();
        }
        entry["keyids"] = json!(signers.iter().map(|(id, _)| id).collect::<Vec<_>>());
        entry["threshold"] = json!(threshold);
        self.signers.insert(name.to_owned(), signers);
    }

    /// A new version of the file that names the role's keys.
    pub(crate) fn new_authority(&mut self, name: &str) {
        self.bump(if is_top_level(name) { "root" } else { "targets" });
    }

    pub(crate) fn bump(&mut self, name: &str) {
        let version = self.version(name).wrapping_add(1);
        self.get(name)["version"] = json!(version);
    }

    /// A new version of a role and of all that point at it, published.
    pub(crate) fn release(&mut self, name: &str) {
        let chain: &[&str] = match name {
            "root" => &["root"],
            "timestamp" => &["timestamp"],
            "snapshot" => &["snapshot", "timestamp"],
            "targets" => &["targets", "snapshot", "timestamp"],
            other => &[other, "targets", "snapshot", "timestamp"],
        };
        chain.iter().for_each(|name| self.bump(name));
        self.publish();
    }

    /// Changes `signed` of a role just before it is signed, in every publication from now on.
    pub(crate) fn patch(&mut self, name: &str, edit: impl Fn(&mut Value) + 'static) {
        self.patches.insert(name.to_owned(), Rc::new(edit));
    }

    /// Changes the signed file of a role, in every publication from now on. Hashes above it follow.
    pub(crate) fn tamper(&mut self, name: &str, edit: impl Fn(&mut Value) + 'static) {
        self.tampers.insert(name.to_owned(), Rc::new(edit));
    }

    /// Ends patching and tampering.
    pub(crate) fn heal(&mut self) {
        self.patches.clear();
        self.tampers.clear();
    }

    /// The file of a role as it would be published now.
    pub(crate) fn file(&self, name: &str) -> Arc<[u8]> {
        let mut signed = self.signed[name].clone();
        if let Some(patch) = self.patches.get(name) {
            patch(&mut signed);
        }
        let mut file = sign(&signed, &self.signers[name]);
        if let Some(tamper) = self.tampers.get(name) {
            tamper(&mut file);
        }
        file.to_string().into_bytes().into()
    }

    /// Publishes all roles, under their names.
    pub(crate) fn publish(&mut self) {
        let names: Vec<String> = self.signed.keys().cloned().collect();
        let mut meta = serde_json::Map::new();
        for name in names.iter().filter(|name| *name == "targets" || !is_top_level(name)) {
            let bytes = self.put(name);
            meta.insert(format!("{name}.json"), self.meta_of(name, &bytes));
        }
        self.get("snapshot")["meta"] = meta.into();
        let snapshot = self.put("snapshot");
        self.get("timestamp")["meta"] = json!({"snapshot.json": self.meta_of("snapshot", &snapshot)});
        self.put("timestamp");
        self.put("root");
    }

    fn meta_of(&self, name: &str, bytes: &[u8]) -> Value {
        let version = self.version(name);
        if !self.hashes {
            return json!({"version": version});
        }
        json!({"version": version, "length": bytes.len(), "hashes": {"sha256": sha256(bytes)}})
    }

    /// The name under which a role is published.
    pub(crate) fn file_name(&self, name: &str) -> String {
        let consistent = name == "root" || self.signed["root"]["consistent_snapshot"] == true;
        role(name).file_name((consistent && name != "timestamp").then(|| self.version(name)))
    }

    fn put(&mut self, name: &str) -> Arc<[u8]> {
        let bytes = self.file(name);
        self.files.insert(self.file_name(name), Arc::clone(&bytes));
        bytes
    }

    /// A client with this repository's present root.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.files[&self.file_name("root")].clone())
    }
}

fn is_top_level(name: &str) -> bool {
    role(name).top_level().is_some()
}

/// JSON text of canonical text, back as a value.
pub(crate) fn value(canonical: &str) -> Value {
    serde_json::from_str(&to_wire(canonical)).unwrap()
}

/// Two mutable members at once.
trait Disjoint {
    fn get_disjoint(&mut self, names: [&str; 2]) -> [Option<&mut Value>; 2];
}

impl Disjoint for serde_json::Map<String, Value> {
    fn get_disjoint(&mut self, names: [&str; 2]) -> [Option<&mut Value>; 2] {
        let mut found = [None, None];
        for (key, value) in self.iter_mut() {
            if let Some(index) = names.iter().position(|name| name == key) {
                found[index] = Some(value);
            }
        }
        found
    }
}
