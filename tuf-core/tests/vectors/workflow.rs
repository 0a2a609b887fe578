//! Whole repositories and what a client must make of them.

mod chain;
mod files;
mod graphs;
mod search;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Files, Repo, path};

/// One case while it is made.
struct Case {
    repo: Repo,
    pinned: Arc<[u8]>,
    /// What the client trusted before: `<N>.root.json`, `timestamp.json`, `snapshot.json`, `targets.json`.
    stored: Files,
    days: i64,
    target: Option<&'static str>,
    targets: BTreeMap<String, String>,
}

impl Case {
    fn new() -> Self {
        let repo = Repo::new();
        let pinned = Arc::clone(&repo.files["1.root.json"]);
        let mut case =
            Self { repo, pinned, stored: Files::new(), days: 0, target: None, targets: BTreeMap::new() };
        case.content("a.txt", "a");
        case.content("d/x.txt", "x");
        case
    }

    /// The content of a target, under the name that consistent snapshots give it.
    fn content(&mut self, target: &str, content: &str) {
        let name = path(target).remote(Some(&tuf_core::Hashes::of(content.as_bytes())));
        self.targets.insert(name, content.to_owned());
    }

    /// The client has seen what is published now.
    fn seen(&mut self) {
        for name in ["timestamp", "snapshot", "targets"] {
            let bytes = Arc::clone(&self.repo.files[&self.repo.file_name(name)]);
            self.stored.insert(format!("{name}.json"), bytes);
        }
        let roots = self.repo.files.iter().filter(|(name, _)| name.ends_with(".root.json"));
        self.stored.extend(roots.map(|(name, bytes)| (name.clone(), Arc::clone(bytes))));
        self.stored.remove("1.root.json");
    }

    /// The pinned root is the one published now.
    fn pin(&mut self) {
        self.repo.publish();
        self.pinned = Arc::clone(&self.repo.files[&self.repo.file_name("root")]);
    }

    fn want(&mut self, target: &'static str) {
        self.target = Some(target);
    }
}

/// What is expected, said by hand.
enum Expected {
    /// Versions of root, timestamp, snapshot, targets.
    Ok([u64; 4]),
    /// The same, and the role that signs for the target, if there is one.
    Target([u64; 4], Option<&'static str>),
    /// Role, kind, attack.
    Refused(Option<&'static str>, &'static str, Option<&'static str>),
}

const ARBITRARY: Option<&str> = Some("arbitrary-software");
const MIX: Option<&str> = Some("mix-and-match");
/// Version 1 of everything.
const FIRST: [u64; 4] = [1, 1, 1, 1];

type Row = (&'static str, &'static str, &'static str, fn(&mut Case), Expected);

/// Name and JSON of every case.
pub(super) fn cases() -> Vec<(String, Value)> {
    let rows = [chain::rows(), files::rows(), search::rows(), graphs::rows()].into_iter().flatten();
    rows.map(|(name, section, says, make, expected)| {
        let mut case = Case::new();
        make(&mut case);
        (name.to_owned(), finish(&case, section, says, &expected))
    })
    .collect()
}

fn finish(case: &Case, section: &str, says: &str, expected: &Expected) -> Value {
    let text = |bytes: &Arc<[u8]>| String::from_utf8(bytes.to_vec()).unwrap();
    let texts = |files: &Files| -> BTreeMap<String, String> {
        files.iter().map(|(name, bytes)| (name.clone(), text(bytes))).collect()
    };
    let versions = |[root, timestamp, snapshot, targets]: [u64; 4]| json!({"root": root, "timestamp": timestamp, "snapshot": snapshot, "targets": targets});
    let expected = match expected {
        Expected::Ok(all) => json!({"ok": {"versions": versions(*all)}}),
        Expected::Target(all, role) => json!({"ok": {"versions": versions(*all), "target": role}}),
        Expected::Refused(role, kind, attack) => {
            json!({"refused": {"role": role, "kind": kind, "attack": attack}})
        }
    };
    let time = super::story::time(case.days);
    let mut value = json!({
        "says": says, "section": section, "time": time, "pinned_root": text(&case.pinned),
        "stored": texts(&case.stored), "files": texts(&case.repo.files), "expected": expected,
    });
    if let Some(target) = case.target {
        value["target"] = target.into();
        value["targets"] = json!(case.targets);
    }
    value
}
