//! Graphs of delegations: who is asked, in which order, by whose keys, and when it ends.

use serde_json::{Map, json};

use super::Expected::{Refused, Target};
use super::{ARBITRARY, Case, FIRST, Row};
use crate::support::{Pair, delegation, expiry, file};

const MIX: Option<&str> = Some("mix-and-match");

/// A delegation: to whom, the paths, whether it terminates.
type Edge<'a> = (&'a str, &'a str, bool);

/// Puts these roles in the place of `dele`: whom each delegates to, and whether it has `d/x.txt`. Each role has one
/// key of its own; `targets` is the first.
fn graph(case: &mut Case, roles: &[(&str, &[Edge<'_>], bool)]) {
    case.repo.signed.remove("dele");
    case.repo.files.remove("1.dele.json");
    for (name, edges, has_it) in roles {
        let mut keys = Map::new();
        let mut list = Vec::new();
        for (child, paths, terminating) in *edges {
            let pair = key(child);
            keys.insert(pair.id(), pair.json());
            let mut entry = delegation(child, &[pair], 1, &[paths]);
            entry["terminating"] = json!(terminating);
            list.push(entry);
        }
        let targets = if *has_it { json!({"d/x.txt": file("x")}) } else { json!({}) };
        let mut signed = json!({"_type": "targets", "spec_version": "1.0.34", "version": 1, "expires": expiry(365),
            "targets": targets});
        if !edges.is_empty() {
            signed["delegations"] = json!({"keys": keys, "roles": list});
        }
        case.repo.signed.insert((*name).to_owned(), signed);
        if *name != "targets" {
            let pair = key(name);
            case.repo.signers.insert((*name).to_owned(), vec![(pair.id(), pair)]);
        }
    }
    case.repo.publish();
    case.want("d/x.txt");
}

/// Each role's key comes from its name.
fn key(name: &str) -> std::rc::Rc<Pair> {
    Pair::ed(name.bytes().fold(1_000, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))))
}

pub(super) fn rows() -> Vec<Row> {
    const ALL: &str = "d/*";
    vec![
        (
            "graph-depth-first",
            "5.6.7",
            "what the first role delegates to comes before the second role",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[("c", ALL, false)], false),
                        ("b", &[], true),
                        ("c", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("c")),
        ),
        (
            "graph-pre-order",
            "5.6.7",
            "a role comes before those that it delegates to",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false)], false),
                        ("a", &[("c", ALL, false)], true),
                        ("c", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("a")),
        ),
        (
            "graph-back-to-the-second",
            "5.6.7",
            "nothing below the first role: the second is asked",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[("c", ALL, false)], false),
                        ("b", &[], true),
                        ("c", &[], false),
                    ],
                );
            },
            Target(FIRST, Some("b")),
        ),
        (
            "graph-terminating-further-down",
            "5.6.7.2.1",
            "a terminating delegation ends the search above it too (CVE-2025-2886)",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[("c", ALL, true)], false),
                        ("b", &[], true),
                        ("c", &[], false),
                    ],
                );
            },
            Target(FIRST, None),
        ),
        (
            "graph-terminating-not-covering",
            "5.6.7.2.1",
            "a terminating delegation of other paths ends nothing",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", "e/*", true), ("b", ALL, false)], false),
                        ("a", &[], false),
                        ("b", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("b")),
        ),
        (
            "graph-terminating-below-it",
            "5.6.7.2.1",
            "below a terminating delegation the search goes on",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, true), ("b", ALL, false)], false),
                        ("a", &[("c", ALL, false), ("e", ALL, false)], false),
                        ("b", &[], true),
                        ("c", &[], false),
                        ("e", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("e")),
        ),
        (
            "graph-scope-is-not-inherited",
            "4.5",
            "a role may delegate what it was not given; it is never asked for it",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", "e/*", false)], false),
                        ("a", &[("c", ALL, false)], false),
                        ("c", &[], true),
                    ],
                );
            },
            Target(FIRST, None),
        ),
        (
            "graph-target-out-of-scope",
            "5.6.7",
            "a role that lists a target it was not given is not asked",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", "e/*", false), ("b", ALL, false)], false),
                        ("a", &[], true),
                        ("b", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("b")),
        ),
        (
            "graph-cycle-of-two",
            "5.6.7.1",
            "two roles that delegate to each other, and a third behind them",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("c", ALL, false)], false),
                        ("a", &[("b", ALL, false)], false),
                        ("b", &[("a", ALL, false)], false),
                        ("c", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("c")),
        ),
        (
            "graph-cycle-of-three",
            "5.6.7.1",
            "the last role of a cycle has it",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false)], false),
                        ("a", &[("b", ALL, false)], false),
                        ("b", &[("c", ALL, false)], false),
                        ("c", &[("a", ALL, false)], true),
                    ],
                );
            },
            Target(FIRST, Some("c")),
        ),
        (
            "graph-diamond",
            "5.6.7",
            "two roles delegate to a third, with the same key",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[("c", ALL, false)], false),
                        ("b", &[("c", ALL, false)], false),
                        ("c", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("c")),
        ),
        (
            "graph-diamond-wrong-keys-first",
            "5.6.3",
            "the first delegator names another key: its delegation is refused, whatever the second says",
            |case| {
                diamond(case, "a");
            },
            Refused(Some("c"), "Threshold", ARBITRARY),
        ),
        (
            "graph-diamond-wrong-keys-second",
            "5.6.3",
            "a role verified for one delegator is not verified for another (python-tuf #2978)",
            |case| {
                diamond(case, "b");
            },
            Refused(Some("c"), "Threshold", ARBITRARY),
        ),
        (
            "graph-numeric-names",
            "4.5",
            "the order is that of the list, not of the names (CVE-2024-47534)",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("zzz", ALL, false), ("10", ALL, false), ("2", ALL, false)], false),
                        ("zzz", &[], true),
                        ("10", &[], true),
                        ("2", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("zzz")),
        ),
        (
            "graph-names-by-case",
            "4.5",
            "names that differ by case are two roles",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("Role", ALL, false), ("role", ALL, false)], false),
                        ("Role", &[], false),
                        ("role", &[], true),
                    ],
                );
            },
            Target(FIRST, Some("role")),
        ),
        (
            "graph-unneeded-role-missing",
            "5.6.7",
            "a role of other paths is missing: nobody asks for it",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", "e/*", false), ("b", ALL, false)], false),
                        ("a", &[], false),
                        ("b", &[], true),
                    ],
                );
                case.repo.files.remove("1.a.json");
            },
            Target(FIRST, Some("b")),
        ),
        (
            "graph-role-after-the-found-missing",
            "5.6.7",
            "a role after the one that has it is never asked",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[], true),
                        ("b", &[], true),
                    ],
                );
                case.repo.files.remove("1.b.json");
            },
            Target(FIRST, Some("a")),
        ),
        (
            "graph-first-role-missing",
            "5.6.7",
            "a role that should be asked first is missing: the second does not take its place",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[], true),
                        ("b", &[], true),
                    ],
                );
                case.repo.files.remove("1.a.json");
            },
            Refused(Some("a"), "Missing", None),
        ),
        (
            "graph-first-role-not-in-snapshot",
            "5.6.2",
            "delegated, but not in the snapshot",
            |case| {
                graph(
                    case,
                    &[
                        ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
                        ("a", &[], true),
                        ("b", &[], true),
                    ],
                );
                case.repo.patch("snapshot", |signed| {
                    drop(signed["meta"].as_object_mut().unwrap().remove("a.json"))
                });
                case.repo.publish();
            },
            Refused(Some("a"), "NotInSnapshot", MIX),
        ),
        (
            "graph-chain-of-twenty",
            "5.6.7.1",
            "twenty delegations deep",
            |case| {
                chain(case, 20);
            },
            Target(FIRST, Some("r20")),
        ),
        (
            "graph-empty-paths",
            "4.5",
            "a delegation of no paths covers nothing",
            |case| {
                graph(case, &[("targets", &[("a", ALL, false)], false), ("a", &[], true)]);
                case.repo.delegations()["roles"][0]["paths"] = json!([]);
                case.repo.publish();
            },
            Target(FIRST, None),
        ),
        (
            "graph-two-patterns",
            "4.5",
            "one of two patterns matches",
            |case| {
                graph(case, &[("targets", &[("a", ALL, false)], false), ("a", &[], true)]);
                case.repo.delegations()["roles"][0]["paths"] = json!(["e/*", "d/?.txt"]);
                case.repo.publish();
            },
            Target(FIRST, Some("a")),
        ),
        (
            "graph-delegates-to-targets",
            "4.5",
            "a delegated role called targets",
            |case| {
                case.repo.delegations()["roles"][0]["name"] = json!("targets");
                case.repo.publish();
            },
            Refused(Some("targets"), "Field", ARBITRARY),
        ),
        (
            "graph-threshold-zero",
            "4.5",
            "a delegation that needs no signature (CVE-2026-23992)",
            |case| {
                case.repo.delegations()["roles"][0]["threshold"] = json!(0);
                case.repo.publish();
            },
            Refused(Some("targets"), "Field", ARBITRARY),
        ),
    ]
}

/// `a` and `b` delegate to `c`, which has the target only for who comes second; one of them names another key.
fn diamond(case: &mut Case, wrong: &str) {
    const ALL: &str = "d/*";
    graph(
        case,
        &[
            ("targets", &[("a", ALL, false), ("b", ALL, false)], false),
            ("a", &[("c", ALL, false)], false),
            ("b", &[("c", ALL, false)], false),
            ("c", &[], false),
        ],
    );
    let stranger = key("stranger");
    let delegations = &mut case.repo.get(wrong)["delegations"];
    delegations["keys"][stranger.id()] = stranger.json();
    delegations["roles"][0]["keyids"] = json!([stranger.id()]);
    case.repo.publish();
}

fn chain(case: &mut Case, length: usize) {
    let names: Vec<String> = (1..=length).map(|number| format!("r{number}")).collect();
    let edges: Vec<[Edge<'_>; 1]> = names.iter().map(|name| [(name.as_str(), "d/*", false)]).collect();
    let mut roles: Vec<(&str, &[Edge<'_>], bool)> = vec![("targets", &edges[0], false)];
    for (at, name) in names.iter().enumerate() {
        roles.push((name, edges.get(at + 1).map_or(&[], |edge| &edge[..]), at + 1 == length));
    }
    graph(case, &roles);
}
