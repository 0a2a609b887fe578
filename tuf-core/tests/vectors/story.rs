//! A repository and one client over several refreshes: what is published between them, and what the client must
//! make of each.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use tuf_core::{Checker, Error, ErrorKind, TargetPath};

use crate::support::{Client, Files, Pair, Repo, expiry, find_stored, kind_name, now, path};

/// A repository with honest operators, and who tells what becomes of it.
pub(crate) struct Story {
    pub(crate) repo: Repo,
    pub(crate) days: i64,
    /// What the next refresh finds instead of the repository's files.
    pub(crate) served: Option<Files>,
    pinned: Arc<[u8]>,
    /// The root's keys; a rotation is also signed by those before.
    root_signers: Vec<(String, Rc<Pair>)>,
    targets: BTreeMap<String, String>,
    seen: BTreeMap<String, String>,
    steps: Vec<Value>,
}

impl Story {
    pub(crate) fn new() -> Self {
        let repo = Repo::new();
        let pinned = Arc::clone(&repo.files["1.root.json"]);
        let root_signers = repo.signers["root"].clone();
        let mut story = Self {
            repo,
            days: 0,
            served: None,
            pinned,
            root_signers,
            targets: BTreeMap::new(),
            seen: BTreeMap::new(),
            steps: Vec::new(),
        };
        story.content("a.txt", "a");
        story.content("d/x.txt", "x");
        story
    }

    /// The content of a target, under its plain name and that of consistent snapshots.
    pub(crate) fn content(&mut self, target: &str, content: &str) {
        let hashes = tuf_core::Hashes::of(content.as_bytes());
        for name in [path(target).remote(Some(&hashes)), path(target).remote(None)] {
            self.targets.insert(name, content.to_owned());
        }
    }

    /// A new root version: signed by the keys before it, too.
    pub(crate) fn new_root(&mut self) {
        self.repo.signers.insert("root".into(), self.root_signers.clone());
        self.repo.bump("root");
    }

    /// New keys of a role, by the honest procedure: the file that names them and the role itself are published anew.
    pub(crate) fn rotate(&mut self, name: &str, seeds: &[u32], threshold: u32) {
        let pairs: Vec<_> = seeds.iter().map(|seed| Pair::ed(*seed)).collect();
        match name {
            "root" => {
                self.new_root();
                self.repo.set_keys("root", &pairs, threshold);
                let new = self.repo.signers["root"].clone();
                let before = std::mem::replace(&mut self.root_signers, new.clone());
                let mut all = before;
                all.extend(
                    new.into_iter()
                        .filter(|(id, _)| all.iter().all(|(old, _)| old != id))
                        .collect::<Vec<_>>(),
                );
                self.repo.signers.insert("root".into(), all);
                self.repo.publish();
            }
            "timestamp" | "snapshot" | "targets" => {
                self.new_root();
                self.repo.set_keys(name, &pairs, threshold);
                self.repo.release(name);
            }
            delegated => {
                self.repo.set_keys(delegated, &pairs, threshold);
                self.repo.release(delegated);
            }
        }
    }

    /// The keys of the root's next version.
    pub(crate) fn root_signers(&self) -> &[(String, Rc<Pair>)] {
        &self.root_signers
    }

    pub(crate) fn expires(&mut self, name: &str, days: i64) {
        self.repo.get(name)["expires"] = expiry(days);
    }

    /// A refresh now, and the search for a target.
    pub(crate) fn refresh(&mut self, says: &str, target: Option<&str>, expected: Value) -> &mut Value {
        let served = self.served.take();
        let files = served.as_ref().unwrap_or(&self.repo.files);
        let text = |bytes: &Arc<[u8]>| String::from_utf8_lossy(bytes).into_owned();
        let now_there: BTreeMap<String, String> =
            files.iter().map(|(name, bytes)| (name.clone(), text(bytes))).collect();
        let mut changes = Map::new();
        for (name, content) in &now_there {
            if self.seen.get(name) != Some(content) {
                changes.insert(name.clone(), content.clone().into());
            }
        }
        for name in self.seen.keys().filter(|name| !now_there.contains_key(*name)) {
            changes.insert(name.clone(), Value::Null);
        }
        self.seen = now_there;
        let mut step = json!({"says": says, "time": time(self.days), "files": changes, "expected": expected});
        if let Some(target) = target {
            step["target"] = target.into();
        }
        self.steps.push(step);
        self.steps.last_mut().unwrap()
    }

    /// The case.
    pub(crate) fn finish(self, says: &str, section: &str) -> Value {
        let pinned = String::from_utf8(self.pinned.to_vec()).unwrap();
        json!({"says": says, "section": section, "pinned_root": pinned, "targets": self.targets, "steps": self.steps})
    }
}

pub(crate) fn time(days: i64) -> String {
    (now() + TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A client in the middle of a case with several refreshes.
pub(crate) struct Reader {
    client: Client,
    files: Files,
    targets: BTreeMap<String, String>,
}

impl Reader {
    pub(crate) fn new(case: &Value) -> Self {
        Self {
            client: Client::new(text(&case["pinned_root"]).as_bytes().into()),
            files: Files::new(),
            targets: strings(&case["targets"]),
        }
    }

    /// What this implementation makes of the next step, in the form of `expected`.
    pub(crate) fn step(&mut self, step: &Value) -> Value {
        for (name, content) in step["files"].as_object().unwrap() {
            match content.as_str() {
                Some(content) => drop(self.files.insert(name.clone(), content.as_bytes().into())),
                None => drop(self.files.remove(name)),
            }
        }
        self.client.now = text(&step["time"]).parse().unwrap();
        verdict(&mut self.client, &self.files, &self.targets, step.get("target").map(text))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

pub(crate) fn strings(value: &Value) -> BTreeMap<String, String> {
    let Some(members) = value.as_object() else { return BTreeMap::new() };
    members.iter().map(|(name, content)| (name.clone(), text(content).to_owned())).collect()
}

/// One refresh, and perhaps one target: what a client makes of it.
pub(crate) fn verdict(
    client: &mut Client,
    files: &Files,
    targets: &BTreeMap<String, String>,
    target: Option<&str>,
) -> Value {
    run(client, files, targets, target).unwrap_or_else(|error| {
        let role = error.role().map(ToString::to_string);
        let attack = error.attack().map(tuf_core::Attack::name);
        json!({"refused": {"role": role, "kind": kind_name(error.kind()), "attack": attack}})
    })
}

fn run(
    client: &mut Client,
    files: &Files,
    targets: &BTreeMap<String, String>,
    target: Option<&str>,
) -> Result<Value, Error> {
    let set = client.refresh(files).result?;
    let mut ok = json!({ "versions": {
        "root": set.root().header.version,
        "timestamp": set.timestamp().header.version,
        "snapshot": set.snapshot().header.version,
        "targets": set.targets().header.version,
    }});
    if let Some(wanted) = target {
        let consistent = set.root().consistent_snapshot;
        let found = find_stored(&mut client.store, set, files, wanted, &mut Vec::new())?;
        ok["target"] = found.as_ref().map(|found| found.role.to_string()).into();
        if let Some(found) = found {
            let path = TargetPath::new(wanted).unwrap();
            let remote = path.remote(consistent.then_some(&found.file.hashes));
            let content = targets.get(&remote).ok_or(ErrorKind::Missing(remote))?;
            Checker::check(&found.file.hashes, Some(found.file.length), content.as_bytes())?;
        }
    }
    Ok(json!({ "ok": ok }))
}
