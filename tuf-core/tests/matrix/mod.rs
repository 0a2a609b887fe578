//! The attack matrix: every attack of the specification on every role, in tables of cells. Whatever the cell, the
//! client names the attack and the culprit, stores nothing that an independent check does not vouch for, has all else
//! byte for byte as before, says the same when asked again, and is well as soon as the repository is.
//!
//! `cargo nextest run -p tuf-core matrix::every_row --no-capture` prints the counts. What needs a connection is in
//! `tuf-client/tests/suite/matrix.rs`.

mod arbitrary;
mod compromise;
mod fast_forward;
mod freeze;
mod mix;
mod rollback;
mod software;
mod table;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use tuf_core::{Attack, Batch, Change, Checker, Hashes, TargetPath};

use crate::support::{
    COMPLETE, Client, Files, Pair, ROLES, Repo, Want, assert_refused, canonical, change_names, find,
    kind_name, warm,
};

const ARBITRARY: Option<&str> = Some(Attack::ArbitrarySoftware.name());
const FREEZE: Option<&str> = Some(Attack::IndefiniteFreeze.name());
const MIX: Option<&str> = Some(Attack::MixAndMatch.name());
const ROLLBACK: Option<&str> = Some(Attack::Rollback.name());

/// One attack on one role.
struct Cell {
    role: &'static str,
    variant: String,
    /// Whether it is one of those that the table demands.
    listed: bool,
    trials: Box<dyn Fn() -> Vec<Trial>>,
}

impl Cell {
    fn new(role: &'static str, variant: &str, trials: impl Fn() -> Vec<Trial> + 'static) -> Self {
        Self { role, variant: variant.to_owned(), listed: true, trials: Box::new(trials) }
    }

    /// A cell that the table does not demand.
    fn more(mut self) -> Self {
        self.listed = false;
        self
    }

    fn name(&self) -> String {
        format!("{}: {}", self.role, self.variant)
    }
}

/// One try of the attack.
struct Trial {
    client: Client,
    /// What is served.
    files: Files,
    target: &'static str,
    verdict: Verdict,
    /// The repository as its owners hold it: how it goes on, and whose signatures count.
    honest: Repo,
}

enum Verdict {
    /// With these changes to the store.
    Refused(Want<'static>, Vec<&'static str>),
    /// This role is believed, and says that the target is of these bytes.
    Believed(&'static str, &'static str),
    /// No role that may speak for the target lists it.
    NotFound,
    /// The name is none.
    NoName,
    /// It is listed in such a way that no bytes match.
    NothingMatches(&'static str),
}

impl Trial {
    /// A client that knew the repository before; `repo` is what it became.
    fn refused(client: Client, repo: Repo, want: Want<'static>, stored: &[&'static str]) -> Vec<Self> {
        let verdict = Verdict::Refused(want, stored.to_vec());
        vec![Self { client, files: repo.files.clone(), target: "d/x.txt", verdict, honest: repo }]
    }

    /// The same for a client that has seen nothing yet.
    fn first_sight(repo: Repo, target: &'static str, verdict: Verdict) -> Vec<Self> {
        vec![Self { client: repo.client(), files: repo.files.clone(), target, verdict, honest: repo }]
    }
}

/// What a refresh stores that stops at this role, if all before it is new.
fn stored_before(role: &str) -> &'static [&'static str] {
    match role {
        "root" | "timestamp" => &[],
        "snapshot" => &["+floor/timestamp.json"],
        "targets" => &["+floor/timestamp.json", "+floor/snapshot.json"],
        _ => COMPLETE,
    }
}

/// Whether every role's file that would be written is signed by two keys of the role: made with nothing of the library.
fn vouched(batch: &Batch, served: &Files, honest: &Repo, case: &str) {
    for change in batch.changes() {
        let Change::Write(file, bytes) = change else { continue };
        let name = file.file_name();
        assert!(served.values().any(|served| served == bytes), "{case}: {name} is not what was served");
        let role = ROLES.into_iter().find(|role| name.ends_with(&format!("{role}.json"))).expect(&name);
        let value: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(value["signed"]["_type"], role, "{case}: {name}");
        let payload = canonical(&value["signed"]);
        let signed = |pair: &Rc<Pair>| {
            let signature = pair.sign_hex(payload.as_bytes());
            value["signatures"].as_array().unwrap().iter().any(|entry| entry["sig"] == *signature)
        };
        let signers: BTreeMap<_, _> =
            honest.signers[role].iter().map(|(_, pair)| (pair.id(), signed(pair))).collect();
        let count = signers.values().filter(|signed| **signed).count();
        assert!(count >= 2, "{case}: {name} is stored with {count} good signatures");
    }
}

fn run(trial: Trial, case: &str) {
    let Trial { mut client, files, target, verdict, honest } = trial;
    let before = client.store.clone();
    if matches!(verdict, Verdict::NoName) {
        TargetPath::new(target).expect_err(case);
        // It spoils nothing but itself.
        assert!(client.get(&files, "a.txt").0.unwrap().is_some(), "{case}");
        return;
    }
    let outcome = client.refresh(&files);
    vouched(&outcome.batch, &files, &honest, case);
    let result = outcome.result.and_then(|set| find(set, &files, target, &mut Vec::new()));
    match verdict {
        Verdict::Refused(want, stored) => {
            let error = result.map(|found| panic!("{case}: accepted, {found:?}")).unwrap_err();
            assert_refused(&error, want, case);
            assert_eq!(change_names(&outcome.batch), stored, "{case}");
            let rest = |store: &BTreeMap<String, Arc<[u8]>>| {
                let mut store = store.clone();
                store.retain(|name, _| !stored.contains(&&*format!("+{name}")));
                store
            };
            assert!(rest(&before) == rest(&client.store), "{case}: the rest of the store changed");
            // The same again: a second run may not believe what the first one refused.
            let after = client.store.clone();
            let again = client.get(&files, target).0.expect_err(case);
            assert_refused(&again, want, case);
            assert!(after == client.store, "{case}: the second run changed the store");
            recovers(client, honest, case);
        }
        Verdict::Believed(role, content) => {
            let found = result.unwrap_or_else(|error| panic!("{case}: {error}")).expect(case);
            assert_eq!(found.role.as_str(), role, "{case}");
            assert_eq!(found.file.hashes, Hashes::of(content.as_bytes()), "{case}");
            assert_eq!(found.file.length, u64::try_from(content.len()).unwrap(), "{case}");
        }
        Verdict::NothingMatches(kind) => {
            let file = result.unwrap().expect(case).file;
            for bytes in [&b"x"[..], b"y"] {
                let error = Checker::check(&file.hashes, Some(file.length), bytes).expect_err(case);
                assert_eq!(kind_name(error.kind()), kind, "{case}");
            }
        }
        Verdict::NotFound => {
            assert_eq!(result.unwrap_or_else(|error| panic!("{case}: {error}")), None, "{case}");
        }
        Verdict::NoName => {}
    }
}

/// The owners publish again, under higher versions.
fn recovers(mut client: Client, mut repo: Repo, case: &str) {
    repo.heal();
    // A root that was never accepted: another one takes its number.
    let roots = client.store.keys().filter(|name| name.starts_with("root_history/")).count();
    repo.get("root")["version"] = serde_json::json!(roots + 1);
    for name in ["root", "dele"] {
        repo.release(name);
    }
    let (result, _) = client.get(&repo.files, "d/x.txt");
    assert!(result.unwrap_or_else(|error| panic!("{case}: {error}")).is_some(), "{case}");
    assert_eq!(client.view()[0], repo.files.get("timestamp.json").cloned(), "{case}");
    for name in ["timestamp.json", "snapshot.json"] {
        let floor = &client.store[&format!("floor/{name}")];
        assert_eq!(client.store[name], *floor, "{case}: the view is the floor");
    }
}

fn rows() -> [(&'static str, Vec<Cell>); 8] {
    [
        ("arbitrary installation", arbitrary::cells()),
        ("extraneous dependencies", software::extraneous()),
        ("fast-forward", fast_forward::cells()),
        ("indefinite freeze", freeze::cells()),
        ("mix-and-match", mix::cells()),
        ("rollback", rollback::cells()),
        ("key compromise", compromise::cells()),
        ("wrong software", software::cells()),
    ]
}

#[test]
fn every_row_has_its_cells() {
    let cells: Vec<_> = rows()
        .into_iter()
        .flat_map(|(attack, cells)| cells.into_iter().map(move |cell| (attack, cell.name(), cell.listed)))
        .collect();
    println!("{}", table::count(&cells, |row| row.core));
}

fn row(attack: &str) {
    let (_, cells) = rows().into_iter().find(|(name, _)| *name == attack).unwrap();
    for cell in cells {
        let trials = (cell.trials)();
        assert!(!trials.is_empty());
        for (number, trial) in trials.into_iter().enumerate() {
            run(trial, &format!("{attack}, {}, {number}", cell.name()));
        }
    }
}

#[test]
fn arbitrary_installation() {
    row("arbitrary installation");
}

#[test]
fn extraneous_dependencies() {
    row("extraneous dependencies");
}

#[test]
fn fast_forward() {
    row("fast-forward");
}

#[test]
fn indefinite_freeze() {
    row("indefinite freeze");
}

#[test]
fn mix_and_match() {
    row("mix-and-match");
}

#[test]
fn rollback() {
    row("rollback");
}

#[test]
fn key_compromise() {
    row("key compromise");
}

#[test]
fn wrong_software() {
    row("wrong software");
}
