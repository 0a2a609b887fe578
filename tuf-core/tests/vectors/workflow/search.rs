//! Delegations and targets.

use serde_json::{Value, json};
use tuf_core::bins::HashBins;

use super::Expected::{Refused, Target};
use super::{ARBITRARY, Case, FIRST, Row};
use crate::support::{Pair, delegation, file, sha256};

const WRONG: Option<&str> = Some("wrong-software");

pub(super) fn rows() -> Vec<Row> {
    [delegations(), targets()].into_iter().flatten().collect()
}

/// A second delegation, after or before `dele`, whose role has the target too.
fn second_delegation(case: &mut Case, first: bool, terminating: bool, dele_has_it: bool) {
    let pairs = [Pair::ed(50), Pair::ed(51)];
    let mut entry = delegation("other", &pairs, 2, &["d/*"]);
    entry["terminating"] = json!(terminating);
    let roles = case.repo.delegations()["roles"].as_array_mut().unwrap();
    roles.insert(if first { 0 } else { 1 }, entry);
    if !first {
        roles[0]["terminating"] = json!(terminating);
    }
    let signed = case.repo.signed["dele"].clone();
    case.repo.signed.insert("other".into(), signed);
    case.repo.signers.insert("other".into(), case.repo.signers["dele"].clone());
    if !dele_has_it {
        case.repo.get("dele")["targets"] = json!({});
    }
    case.repo.publish();
    case.want("d/x.txt");
}

fn delegations() -> Vec<Row> {
    vec![
        (
            "delegation-not-covering",
            "4.5",
            "the pattern does not match: the role is not asked",
            |case| {
                case.repo.delegations()["roles"][0]["paths"] = json!(["e/*", "d/x", "*"]);
                case.repo.publish();
                case.want("d/x.txt");
            },
            Target(FIRST, None),
        ),
        (
            "delegation-order",
            "4.5",
            "the first delegation is believed",
            |case| second_delegation(case, true, false, true),
            Target(FIRST, Some("other")),
        ),
        (
            "delegation-second-has-it",
            "5.6.7.2.2",
            "the first role does not have the target, the second has",
            |case| second_delegation(case, false, false, false),
            Target(FIRST, Some("other")),
        ),
        (
            "delegation-terminating",
            "5.6.7.2.1",
            "the first delegation terminates: the second is not asked",
            |case| second_delegation(case, false, true, false),
            Target(FIRST, None),
        ),
        (
            "delegation-without-terminating",
            "4.5",
            "the first delegation does not say whether it terminates, as in an example of the specification: it does not",
            |case| {
                second_delegation(case, false, false, false);
                case.repo.delegations()["roles"][0].as_object_mut().unwrap().remove("terminating");
                case.repo.publish();
            },
            Target(FIRST, Some("other")),
        ),
        (
            "delegation-empty-hash-prefix",
            "4.5",
            "the empty string is a prefix of every digest: the first delegation covers the path, and terminates",
            |case| {
                second_delegation(case, false, true, false);
                let first = case.repo.delegations()["roles"][0].as_object_mut().unwrap();
                first.remove("paths");
                first.insert("path_hash_prefixes".into(), json!([""]));
                case.repo.publish();
            },
            Target(FIRST, None),
        ),
        (
            "delegation-cycle",
            "5.6.7.1",
            "a role that delegates to itself",
            |case| {
                let mut delegations = case.repo.delegations().clone();
                delegations["roles"][0]["paths"] = json!(["*/*"]);
                case.repo.get("dele")["delegations"] = delegations;
                case.repo.get("dele")["targets"] = json!({});
                case.repo.publish();
                case.want("d/x.txt");
            },
            Target(FIRST, None),
        ),
        (
            "delegation-role-twice",
            "4.5",
            "one name twice in one list",
            |case| {
                let entry = case.repo.delegations()["roles"][0].clone();
                case.repo.delegations()["roles"].as_array_mut().unwrap().push(entry);
                case.repo.publish();
            },
            Refused(Some("targets"), "Field", ARBITRARY),
        ),
        (
            "delegation-top-level-name",
            "4.5",
            "a delegated role called snapshot",
            |case| {
                case.repo.delegations()["roles"][0]["name"] = json!("snapshot");
                case.repo.publish();
            },
            Refused(Some("targets"), "Field", ARBITRARY),
        ),
        (
            "delegation-name-is-no-path",
            "5.6.1",
            "the role ../../x is published as one percent-encoded segment",
            |case| {
                let signed = case.repo.signed.remove("dele").unwrap();
                let signers = case.repo.signers["dele"].clone();
                case.repo.files.remove("1.dele.json");
                case.repo.signed.insert("../../x".into(), signed);
                case.repo.signers.insert("../../x".into(), signers);
                case.repo.delegations()["roles"][0]["name"] = json!("../../x");
                case.repo.publish();
                case.want("d/x.txt");
            },
            Target(FIRST, Some("../../x")),
        ),
        (
            "delegation-hash-bins",
            "4.5",
            "sixteen bins by the first digit of the path's SHA-256",
            hash_bins,
            Target(FIRST, Some("bin-16-1")),
        ),
        ("delegation-succinct", "TAP 15", "sixteen succinct bins", succinct, Target(FIRST, Some("bin-1"))),
        (
            "delegation-both-scopes",
            "4.5",
            "paths and path_hash_prefixes together",
            |case| {
                case.repo.delegations()["roles"][0]["path_hash_prefixes"] = json!(["d"]);
                case.repo.publish();
            },
            Refused(Some("targets"), "Field", ARBITRARY),
        ),
    ]
}

fn rename_dele(case: &mut Case, name: &str) {
    let signed = case.repo.signed.remove("dele").unwrap();
    let signers = case.repo.signers["dele"].clone();
    case.repo.files.remove("1.dele.json");
    case.repo.signed.insert(name.to_owned(), signed);
    case.repo.signers.insert(name.to_owned(), signers);
    assert!(sha256(b"d/x.txt").starts_with(&name[name.len() - 1..]), "{}", sha256(b"d/x.txt"));
    case.want("d/x.txt");
}

fn hash_bins(case: &mut Case) {
    let pairs = [Pair::ed(50), Pair::ed(51)];
    let bins = HashBins::new(16).unwrap();
    let roles: Vec<Value> = bins
        .roles()
        .map(|(name, prefixes)| {
            let mut entry = delegation(name.as_str(), &pairs, 2, &[]);
            entry.as_object_mut().unwrap().remove("paths");
            entry["path_hash_prefixes"] = json!(prefixes);
            entry
        })
        .collect();
    rename_dele(case, "bin-16-1");
    case.repo.delegations()["roles"] = json!(roles);
    case.repo.publish();
}

fn succinct(case: &mut Case) {
    let ids: Vec<String> = [Pair::ed(50), Pair::ed(51)].iter().map(|pair| pair.id()).collect();
    rename_dele(case, "bin-1");
    let delegations = case.repo.delegations().as_object_mut().unwrap();
    delegations.remove("roles");
    delegations.insert(
        "succinct_roles".into(),
        json!({"keyids": ids, "threshold": 2, "bit_length": 4, "name_prefix": "bin"}),
    );
    case.repo.publish();
}

/// The target's bytes are not those that were signed.
fn served(case: &mut Case, content: &str) {
    for held in case.targets.values_mut().filter(|held| *held == "a") {
        *held = content.to_owned();
    }
    case.want("a.txt");
}

fn targets() -> Vec<Row> {
    vec![
        ("target-unknown", "5.7.2", "no role has it", |case| case.want("d/y.txt"), Target(FIRST, None)),
        (
            "target-other-bytes",
            "5.7.3",
            "as many bytes, but others",
            |case| served(case, "b"),
            Refused(None, "Hash", WRONG),
        ),
        (
            "target-too-long",
            "5.7.3",
            "more bytes than were signed",
            |case| served(case, "aa"),
            Refused(None, "Length", WRONG),
        ),
        (
            "target-too-short",
            "5.7.3",
            "fewer bytes than were signed",
            |case| served(case, ""),
            Refused(None, "Length", WRONG),
        ),
        (
            "target-unsafe-neighbour",
            "4.5",
            "a path that no client would write spoils only itself",
            |case| {
                case.repo.get("targets")["targets"]["../../x"] = file("evil");
                case.repo.publish();
                case.want("a.txt");
            },
            Target(FIRST, Some("targets")),
        ),
    ]
}
