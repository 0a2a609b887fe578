//! Arbitrary installation: files that the keys of the role did not sign.

use std::rc::Rc;

use serde_json::{Value, json};

use super::{ARBITRARY, Cell, Trial, stored_before, warm};
use crate::support::{Pair, ROLES, Repo, Want, expiry, sign};

type Signers = [(String, Rc<Pair>)];

/// A name, the forgery, the kind of its refusal, whether the table demands it.
type Forgery = (&'static str, fn(&mut Value, &Signers), &'static str, bool);

fn nobody() -> Rc<Pair> {
    Pair::ed(999)
}

const FORGERIES: [Forgery; 10] = [
    ("no signature", |file, _| file["signatures"] = json!([]), "Threshold", true),
    (
        "wrong key under the right IDs",
        |file, ids| {
            let stolen: Vec<_> = ids.iter().map(|(id, _)| (id.clone(), nobody())).collect();
            *file = sign(&file["signed"], &stolen);
        },
        "Threshold",
        true,
    ),
    (
        "wrong key under its own ID",
        |file, _| *file = sign(&file["signed"], &[(nobody().id(), nobody())]),
        "Threshold",
        false,
    ),
    ("below threshold", |file, ids| *file = sign(&file["signed"], &ids[..1]), "Threshold", true),
    (
        "a key ID twice",
        |file, ids| *file = sign(&file["signed"], &[ids[0].clone(), ids[0].clone()]),
        "DuplicateSignature",
        true,
    ),
    (
        "a key ID twice beside enough signatures",
        |file, ids| *file = sign(&file["signed"], &[ids[0].clone(), ids[1].clone(), ids[0].clone()]),
        "DuplicateSignature",
        false,
    ),
    (
        "one signature twice, under both IDs",
        |file, ids| {
            let pairs = [ids[0].clone(), (ids[1].0.clone(), Rc::clone(&ids[0].1))];
            *file = sign(&file["signed"], &pairs);
        },
        "Threshold",
        true,
    ),
    ("signatures over other bytes", |file, _| file["signed"]["expires"] = expiry(366), "Threshold", true),
    (
        "an empty signature and one that is not hex",
        |file, _| {
            file["signatures"][0]["sig"] = json!("");
            file["signatures"][1]["sig"] = json!("zz");
        },
        "Threshold",
        false,
    ),
    (
        "another _type, signed",
        |file, ids| {
            let other = if file["signed"]["_type"] == "root" { "targets" } else { "root" };
            file["signed"]["_type"] = json!(other);
            *file = sign(&file["signed"], ids);
        },
        "Type",
        true,
    ),
];

fn forged(role: &'static str, forge: fn(&mut Value, &Signers), kind: &'static str) -> Vec<Trial> {
    let mut repo = Repo::new();
    let client = warm(&repo);
    let signers = repo.signers[role].clone();
    repo.tamper(role, move |file| forge(file, &signers));
    repo.release(role);
    Trial::refused(client, repo, Want(kind, role, ARBITRARY), stored_before(role))
}

/// The file that names the keys gives one key the weight of two.
fn one_key_as_two(role: &'static str, name: &str) -> Vec<Trial> {
    let mut repo = Repo::new();
    let client = warm(&repo);
    let mut honest = repo.clone();
    let old_root = repo.signers["root"].clone();
    let pair = Pair::p256();
    let (ids, list) = match name {
        "one ID listed twice" => (vec!["one"], ["one", "one"]),
        _ => (vec!["one", "two"], ["one", "two"]),
    };
    let (keys, entry) = repo.authority(role);
    for id in &ids {
        keys[*id] = pair.json();
    }
    if name == "both ECDSA key types" {
        keys["two"]["keytype"] = json!("ecdsa-sha2-nistp256");
    }
    entry["keyids"] = json!(list);
    entry["threshold"] = json!(2);
    // Every ID gets a signature of its own: ECDSA never makes the same one twice.
    let signers: Vec<_> = ids.iter().map(|id| ((*id).to_owned(), Rc::clone(&pair))).collect();
    let signers = if role == "root" { old_root.into_iter().chain(signers).collect() } else { signers };
    repo.signers.insert(role.to_owned(), signers);
    repo.new_authority(role);
    repo.release(if role == "root" || role == "dele" { "timestamp" } else { role });
    if role == "dele" {
        repo.release("targets");
    }
    let mut stored = stored_before(role).to_vec();
    if ["timestamp", "snapshot", "targets"].contains(&role) {
        stored.insert(0, "+root_history/2.root.json");
    }
    // The owners go on above all that was used.
    for name in ["timestamp", "snapshot", "targets", "dele"] {
        honest.get(name)["version"] = json!(repo.version(name));
    }
    let mut trials = Trial::refused(client, repo, Want("Threshold", role, ARBITRARY), &stored);
    trials[0].honest = honest;
    trials
}

/// A threshold that nobody must meet is refused with the file that names it.
fn threshold(role: &'static str, threshold: Value) -> Vec<Trial> {
    let mut repo = Repo::new();
    let client = warm(&repo);
    let mut honest = repo.clone();
    let holder = if role == "dele" { "targets" } else { "root" };
    repo.authority(role).1["threshold"] = threshold;
    repo.release(holder);
    honest.release(holder);
    let mut trials = Trial::refused(client, repo, Want("Field", holder, ARBITRARY), stored_before(holder));
    trials[0].honest = honest;
    trials
}

pub(super) fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut push = |cell: Cell, listed| cells.push(if listed { cell } else { cell.more() });
    for role in ROLES {
        for (name, forge, kind, listed) in FORGERIES {
            push(Cell::new(role, name, move || forged(role, forge, kind)), listed);
        }
        for name in ["two IDs", "both ECDSA key types", "one ID listed twice"] {
            push(Cell::new(role, &format!("one key, {name}"), move || one_key_as_two(role, name)), false);
        }
        for value in [json!(0), json!(-1), json!(1_u64 << 63), json!(u64::MAX), json!("1"), json!(null)] {
            let name = format!("threshold {value}");
            push(
                Cell::new(role, &name, {
                    let value = value.clone();
                    move || threshold(role, value.clone())
                }),
                value == 0,
            );
        }
    }
    cells
}
