//! Several refreshes of one client, with what it stored in between.

mod changes;
mod keys;
mod time;

use serde_json::{Value, json};

use super::story::Story;
use crate::support::{Files, Repo};

const ARBITRARY: &str = "arbitrary-software";
const FREEZE: &str = "freeze";
const MIX: &str = "mix-and-match";
const ROLLBACK: &str = "rollback";
const FIRST: [u64; 4] = [1, 1, 1, 1];

fn versions([root, timestamp, snapshot, targets]: [u64; 4]) -> Value {
    json!({"root": root, "timestamp": timestamp, "snapshot": snapshot, "targets": targets})
}

fn ok(all: [u64; 4]) -> Value {
    json!({"ok": {"versions": versions(all)}})
}

fn found(all: [u64; 4], role: Option<&str>) -> Value {
    json!({"ok": {"versions": versions(all), "target": role}})
}

fn refused(role: &str, kind: &str, attack: &str) -> Value {
    json!({"refused": {"role": role, "kind": kind, "attack": attack}})
}

fn missing(role: &str) -> Value {
    json!({"refused": {"role": role, "kind": "Missing", "attack": null}})
}

type Row = (&'static str, &'static str, &'static str, fn(&mut Story));

/// Name and JSON of every case.
pub(super) fn cases() -> Vec<(String, Value)> {
    let rows = [
        keys::roots(),
        keys::recoveries(),
        time::freezes(),
        time::mirrors(),
        time::rollbacks(),
        changes::delegations(),
        changes::changes(),
    ];
    rows.into_iter()
        .flatten()
        .map(|(name, section, says, tell)| {
            let mut story = Story::new();
            tell(&mut story);
            (name.to_owned(), story.finish(says, section))
        })
        .collect()
}

/// The repository as it is now, with changes that its operators did not make.
fn evil(story: &Story, edit: impl FnOnce(&mut Repo)) -> Option<Files> {
    let mut repo = story.repo.clone();
    edit(&mut repo);
    Some(repo.files)
}

/// The repository's files, and others in their place.
fn but(story: &Story, edit: impl FnOnce(&mut Files)) -> Option<Files> {
    let mut files = story.repo.files.clone();
    edit(&mut files);
    Some(files)
}

fn start(story: &mut Story) {
    story.refresh("a new client", None, ok(FIRST));
}
