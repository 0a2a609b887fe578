//! Key compromise: keys that an attacker holds, and that are not enough.

use super::{ARBITRARY, Cell, Trial, stored_before, warm};
use crate::support::{Pair, ROLES, Repo, Want, sign};

/// All but one of the keys, and one of the attacker's own.
fn one_too_few(role: &'static str) -> Vec<Trial> {
    let mut repo = Repo::new();
    let client = warm(&repo);
    let stolen = repo.signers[role][0].clone();
    repo.tamper(role, move |file| {
        *file = sign(&file["signed"], &[stolen.clone(), (Pair::ed(999).id(), Pair::ed(999))]);
    });
    repo.release(role);
    Trial::refused(client, repo, Want("Threshold", role, ARBITRARY), stored_before(role))
}

/// All keys that the role had before; the client has seen the file that replaced them.
fn revoked(role: &'static str) -> Vec<Trial> {
    let mut repo = Repo::new();
    let mut client = warm(&repo);
    let old = repo.signers[role].clone();
    repo.set_keys(role, &[Pair::ed(900), Pair::ed(901)], 2);
    let new = repo.signers[role].clone();
    if role == "root" {
        repo.signers.insert(role.into(), [old.clone(), new.clone()].concat());
    }
    repo.new_authority(role);
    repo.release(if role == "root" { "timestamp" } else { "dele" });
    repo.signers.insert(role.into(), new);
    assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some(), "{role}: the new keys");
    repo.tamper(role, move |file| *file = sign(&file["signed"], &old));
    repo.release(role);
    Trial::refused(client, repo, Want("Threshold", role, ARBITRARY), stored_before(role))
}

/// Enough keys, of a role that has less to say; root's sign for the others too, and may not.
fn of_another_role(role: &'static str) -> Vec<Trial> {
    let others = ROLES.into_iter().filter(|other| *other != role);
    others
        .flat_map(|other| {
            let mut repo = Repo::new();
            let client = warm(&repo);
            let signers = repo.signers[other].clone();
            repo.tamper(role, move |file| *file = sign(&file["signed"], &signers));
            repo.release(role);
            Trial::refused(client, repo, Want("Threshold", role, ARBITRARY), stored_before(role))
        })
        .collect()
}

pub(super) fn cells() -> Vec<Cell> {
    ROLES
        .into_iter()
        .flat_map(|role| {
            [
                Cell::new(role, "one key less than the threshold", move || one_too_few(role)),
                Cell::new(role, "all revoked keys", move || revoked(role)),
                Cell::new(role, "all keys of another role", move || of_another_role(role)),
            ]
        })
        .collect()
}
