//! Delegation graphs: order, scope, termination, cycles, and whose keys count; against a naive search.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tuf_core::TargetPath;
use tuf_core::bins::HashBins;
use tuf_core::trust::{Search, SearchStep};

use crate::support::{
    Pair, Repo, Want, assert_refused, cases, delegation, file, find, kind_name, role, within,
};

/// One delegation: from, to, pattern, terminating.
type Edge = (&'static str, &'static str, &'static str, bool);

/// A name, the delegations, who has the target, the roles asked in their order, who is believed.
type Graph = (&'static str, &'static [Edge], &'static [&'static str], &'static str, Option<&'static str>);

/// A repository of these delegations, in their order. Every role but the first signs with its own key;
/// `holders` have the target `f`.
fn graph(edges: &[(String, String, String, bool)], holders: &[String]) -> Repo {
    let mut repo = Repo::new();
    let template = repo.signed.remove("dele").unwrap();
    repo.get("targets")["targets"] = json!({});
    repo.get("targets").as_object_mut().unwrap().remove("delegations");
    let mut seeds: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, to, ..) in edges {
        let seed = 3_000 + u32::try_from(seeds.len()).unwrap();
        let seed = *seeds.entry(to).or_insert(seed);
        let mut signed = template.clone();
        signed["targets"] = json!({});
        repo.signed.entry(to.clone()).or_insert(signed);
        repo.signers.insert(to.clone(), vec![(Pair::ed(seed).id(), Pair::ed(seed))]);
    }
    for (from, to, pattern, terminating) in edges {
        if !repo.signed.contains_key(from) {
            continue;
        }
        let pair = Pair::ed(seeds[&**to]);
        let mut entry = delegation(to, &[Rc::clone(&pair)], 1, &[pattern]);
        entry["terminating"] = json!(terminating);
        let signed = repo.get(from);
        if signed["delegations"].is_null() {
            signed["delegations"] = json!({"keys": {}, "roles": []});
        }
        signed["delegations"]["keys"][pair.id()] = pair.json();
        signed["delegations"]["roles"].as_array_mut().unwrap().push(entry);
    }
    for holder in holders {
        repo.get(holder)["targets"]["f"] = file(holder);
    }
    repo.publish();
    repo
}

fn owned(edges: &[Edge]) -> Vec<(String, String, String, bool)> {
    edges
        .iter()
        .map(|(from, to, pattern, end)| ((*from).into(), (*to).into(), (*pattern).into(), *end))
        .collect()
}

#[test]
fn roles_are_asked_depth_first_in_the_order_of_delegation() {
    let cases: [Graph; 13] = [
        ("nothing", &[], &[], "", None),
        ("the top-level role first", &[("targets", "A", "*", false)], &["targets", "A"], "", Some("targets")),
        ("one level", &[("targets", "A", "*", false), ("targets", "B", "*", false)], &["B"], "AB", Some("B")),
        (
            "depth first",
            &[
                ("targets", "A", "*", false),
                ("targets", "B", "*", false),
                ("A", "C", "*", false),
                ("C", "D", "*", false),
            ],
            &["B"],
            "ACDB",
            Some("B"),
        ),
        (
            "priority",
            &[("targets", "B", "*", false), ("targets", "A", "*", false)],
            &["A", "B"],
            "B",
            Some("B"),
        ),
        (
            "other paths",
            &[("targets", "A", "x*", false), ("targets", "B", "?", false)],
            &["A", "B"],
            "B",
            Some("B"),
        ),
        (
            "the whole chain must cover the path",
            &[("targets", "A", "x", false), ("A", "B", "*", false)],
            &["B"],
            "",
            None,
        ),
        (
            "a terminating role's descendants are asked, its siblings are not",
            &[("targets", "A", "*", true), ("targets", "B", "*", false), ("A", "C", "*", false)],
            &["B"],
            "AC",
            None,
        ),
        (
            "a terminating role that does not cover the path ends nothing",
            &[("targets", "A", "x", true), ("targets", "B", "*", false)],
            &["B"],
            "B",
            Some("B"),
        ),
        (
            "a terminating role further down ends the whole search",
            &[
                ("targets", "A", "*", false),
                ("targets", "B", "*", false),
                ("A", "C", "*", false),
                ("A", "D", "*", true),
            ],
            &["B"],
            "ACD",
            None,
        ),
        (
            "a cycle ends",
            &[
                ("targets", "A", "*", false),
                ("A", "B", "*", false),
                ("B", "A", "*", false),
                ("targets", "C", "*", false),
            ],
            &["C"],
            "ABAC",
            Some("C"),
        ),
        (
            "a role that delegates to itself",
            &[("targets", "A", "*", false), ("A", "A", "*", false), ("targets", "B", "*", false)],
            &["B"],
            "AAB",
            Some("B"),
        ),
        (
            "two roles share a third",
            &[
                ("targets", "A", "*", false),
                ("targets", "B", "*", false),
                ("A", "C", "*", false),
                ("B", "C", "*", false),
            ],
            &["none", "C"],
            "AC",
            Some("C"),
        ),
    ];
    for (name, edges, holders, asked, found) in cases {
        let holders: Vec<String> =
            holders.iter().filter(|name| **name != "none").map(|name| (*name).into()).collect();
        let repo = graph(&owned(edges), &holders);
        let mut visited = Vec::new();
        let set = repo.client().trusts(&repo.files);
        let result = find(set, &repo.files, "f", &mut visited).unwrap();
        assert_eq!(result.map(|found| found.role.to_string()).as_deref(), found, "{name}");
        assert_eq!(visited.concat(), asked, "{name}");
    }
}

#[test]
fn only_a_delegated_role_is_loaded() {
    let repo = Repo::new();
    let set = repo.client().trusts(&repo.files);
    let bytes = &repo.files["1.dele.json"];
    let arbitrary = Some("arbitrary-software");
    for name in ["other", "targets", "root", "dele "] {
        let error = set.delegated(set.targets(), &role(name), bytes).unwrap_err();
        assert_refused(&error, Want("NotDelegated", name, arbitrary), name);
    }
    let dele = set.delegated(set.targets(), &role("dele"), bytes).unwrap();
    let error = set.delegated(&dele, &role("dele"), bytes).unwrap_err();
    assert_refused(&error, Want("NotDelegated", "dele", arbitrary), "dele delegates to nobody");
}

/// The same role, delegated by two parents with different keys: each parent's word holds for itself.
#[test]
fn python_tuf_2977_go_tuf_759_a_role_is_verified_with_the_keys_of_the_role_that_asks() {
    for order in [["A", "B"], ["B", "A"]] {
        for (target, good) in [("viaA", true), ("viaB", false)] {
            let edges: Vec<_> =
                order.iter().map(|name| ("targets".into(), (*name).into(), "*".into(), false)).collect();
            let below = [("A", "viaA"), ("B", "viaB")]
                .map(|(from, pattern)| (from.to_owned(), "C".to_owned(), pattern.to_owned(), false));
            let mut repo = graph(&[edges, below.to_vec()].concat(), &[]);
            repo.get("C")["targets"] = json!({"viaA": file("x"), "viaB": file("x")});
            // B names another key for C than the one that signs.
            let other = Pair::ed(4_000);
            let entry = &mut repo.get("B")["delegations"];
            entry["keys"][other.id()] = other.json();
            entry["roles"][0]["keyids"] = json!([other.id()]);
            repo.publish();
            // First through the parent that is right: what it vouched for must not serve the other.
            let set = repo.client().trusts(&repo.files);
            assert!(find(set.clone(), &repo.files, "viaA", &mut Vec::new()).unwrap().is_some());
            let result = find(set, &repo.files, target, &mut Vec::new());
            match result {
                Ok(found) => assert!(good && found.is_some(), "{order:?} {target}"),
                Err(error) => {
                    assert!(!good, "{order:?} {target}: {error}");
                    assert_refused(&error, Want("Threshold", "C", Some("arbitrary-software")), target);
                }
            }
        }
    }
}

#[test]
fn the_number_of_roles_in_one_search_is_limited() {
    let chain = |length: usize| -> Vec<_> {
        (0..length)
            .map(|depth| {
                let from = if depth == 0 { "targets".to_owned() } else { format!("r{}", depth - 1) };
                (from, format!("r{depth}"), "*".to_owned(), false)
            })
            .collect()
    };
    let wide = |width: usize| -> Vec<_> {
        (0..width).map(|n| ("targets".to_owned(), format!("r{n}"), "*".to_owned(), false)).collect()
    };
    for (edges, last, allowed) in [
        (chain(32), "r31", true),
        (chain(33), "r32", false),
        (wide(32), "r31", true),
        (wide(33), "r32", false),
    ] {
        let repo = graph(&edges, &[last.to_owned()]);
        let mut visited = Vec::new();
        let result = find(repo.client().trusts(&repo.files), &repo.files, "f", &mut visited);
        if allowed {
            assert_eq!(result.unwrap().unwrap().role.as_str(), last);
        } else {
            let error = result.unwrap_err();
            assert_eq!(kind_name(error.kind()), "Limit", "{error}");
        }
        assert_eq!(visited.len(), 32, "no role is asked for beyond the limit");
    }
}

/// All of them cover the target, and none has it.
#[test]
fn of_ten_thousand_delegates_no_more_than_the_limit_are_asked() {
    let mut repo = Repo::new();
    let pair = Pair::ed(50);
    let roles: Vec<Value> =
        (0..10_000).map(|n| delegation(&format!("r{n}"), &[Rc::clone(&pair)], 1, &["d/*"])).collect();
    *repo.delegations() = json!({"keys": {pair.id(): pair.json()}, "roles": roles});
    let mut empty = repo.signed.remove("dele").unwrap();
    empty["targets"] = json!({});
    for n in 0..40 {
        repo.signed.insert(format!("r{n}"), empty.clone());
        repo.signers.insert(format!("r{n}"), vec![(pair.id(), Rc::clone(&pair))]);
    }
    repo.publish();
    let mut visited = Vec::new();
    let error = find(repo.client().trusts(&repo.files), &repo.files, "d/x.txt", &mut visited).unwrap_err();
    assert_refused(&error, Want("Limit", "r32", Some("endless-data")), "wide");
    assert_eq!(visited.len(), 32);
}

#[test]
fn ten_thousand_delegations_are_searched_at_once() {
    let mut repo = Repo::new();
    let pairs = [Pair::ed(50)];
    let mut roles: Vec<Value> =
        (0..10_000).map(|n| delegation(&format!("r{n}"), &pairs, 1, &["other/*"])).collect();
    roles.push(repo.delegations()["roles"][0].clone());
    repo.delegations()["roles"] = json!(roles);
    repo.publish();
    let set = repo.client().trusts(&repo.files);
    within(2, "ten thousand delegations", || {
        assert!(find(set, &repo.files, "d/x.txt", &mut Vec::new()).unwrap().is_some());
    });
}

#[test]
fn hash_prefixes_choose_one_bin_and_succinct_bins_the_same() {
    let bins = HashBins::new(16).unwrap();
    for number in 0..40 {
        let path = TargetPath::new(format!("packages/{number}")).unwrap();
        let digit = char::from_digit(u32::from(path.digest()[0] >> 4), 16).unwrap();
        let set = |delegations: Value| {
            let mut repo = Repo::new();
            *repo.delegations() = delegations;
            repo.publish();
            repo.client().trusts(&repo.files)
        };
        let named: Vec<Value> = bins
            .roles()
            .map(|(name, prefixes)| {
                let mut entry = delegation(name.as_str(), &[], 1, &[]);
                entry.as_object_mut().unwrap().remove("paths");
                entry["path_hash_prefixes"] = json!(prefixes);
                entry
            })
            .collect();
        let succinct = json!({"keyids": [], "threshold": 1, "bit_length": 4, "name_prefix": "bin"});
        for (delegations, expected) in [
            (json!({"keys": {}, "roles": named}), format!("bin-16-{digit}")),
            (json!({"keys": {}, "succinct_roles": succinct}), format!("bin-{digit}")),
        ] {
            let search = Search::new(set(delegations), path.clone());
            let SearchStep::Role { role, delegator } = search.step() else { panic!("a bin") };
            assert_eq!((role.as_str(), delegator.role_name().as_str()), (&*expected, "targets"));
        }
    }
}

#[test]
fn a_role_given_in_the_place_of_another_is_not_looked_into() {
    let repo = graph(&owned(&[("targets", "A", "*", false), ("targets", "B", "*", false)]), &["B".into()]);
    let set = repo.client().trusts(&repo.files);
    let b = set.delegated(set.targets(), &role("B"), &repo.files["1.B.json"]).unwrap();
    let mut search = Search::new(set, TargetPath::new("f").unwrap());
    assert!(search.give_trusted(&b).is_err(), "A was asked for");
    assert!(matches!(search.step(), SearchStep::Role { role, .. } if role.as_str() == "A"));
}

#[test]
fn roles_of_two_snapshots_are_not_put_together() {
    let repo = graph(&owned(&[("targets", "A", "*", false), ("A", "B", "*", false)]), &["B".into()]);
    let [old, new] = [(); 2].map(|()| repo.client().trusts(&repo.files));
    let bytes = |name: &str| &repo.files[&format!("1.{name}.json")];
    let a = old.delegated(old.targets(), &role("A"), bytes("A")).unwrap();
    assert!(old.clone().delegated(&a, &role("B"), bytes("B")).is_ok(), "a clone is the same set");
    for (delegator, name) in [(old.targets(), "A"), (&a, "B")] {
        let error = new.delegated(delegator, &role(name), bytes(name)).unwrap_err();
        assert_refused(&error, Want("OtherSnapshot", name, Some("mix-and-match")), name);
    }
    let mut search = Search::new(new, TargetPath::new("f").unwrap());
    let error = search.give_trusted(&a).unwrap_err();
    assert_refused(&error, Want("OtherSnapshot", "A", Some("mix-and-match")), "a search");
    assert!(matches!(search.step(), SearchStep::Role { role, .. } if role.as_str() == "A"), "still wanted");
}

/// A driver that gives the same role once more must not take the end of the search for its result.
#[test]
fn a_search_over_the_limit_stays_refused() {
    let names: Vec<String> = (0..40).map(|n| format!("r{n}")).collect();
    let edges: Vec<_> =
        names.iter().map(|name| ("targets".to_owned(), name.clone(), "*".to_owned(), false)).collect();
    let repo = graph(&edges, &[]);
    let set = repo.client().trusts(&repo.files);
    let mut search = Search::new(set, TargetPath::new("f").unwrap());
    let mut give =
        |name: &str| search.give(&repo.files[&format!("1.{name}.json")]).map(drop).map_err(|e| e.to_string());
    for name in &names[..31] {
        give(name).unwrap();
    }
    for name in ["r31", "r32", "r32"] {
        assert!(give(name).unwrap_err().contains("roles visited"), "{name}");
    }
    assert!(matches!(search.step(), SearchStep::Role { role, .. } if role.as_str() == "r32"));
}

/// The specification's words as recursion. `Err` ends the search: `true` where more than 32 roles would be asked.
fn naive(
    edges: &[(String, String, String, bool)],
    holders: &[String],
    at: &str,
    visited: &mut Vec<(String, String)>,
) -> Result<Option<String>, bool> {
    if holders.iter().any(|holder| holder == at) {
        return Ok(Some(at.to_owned()));
    }
    for (from, to, pattern, terminating) in edges {
        if from != at || pattern != "f" {
            continue;
        }
        let edge = (from.clone(), to.clone());
        if !visited.contains(&edge) {
            if visited.len() == 32 {
                return Err(true);
            }
            visited.push(edge);
            if let found @ Some(_) = naive(edges, holders, to, visited)? {
                return Ok(found);
            }
        }
        if *terminating {
            return Err(false);
        }
    }
    Ok(None)
}

/// Up to so many delegations among so many roles, role 0 being the top-level one: cycles, diamonds, roles that delegate
/// to themselves.
fn edges(roles: usize, count: usize) -> impl Strategy<Value = Vec<(String, String, String, bool)>> {
    let edge = (0..roles, 1..roles, prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    prop::collection::vec(edge, 0..count).prop_map(|edges| {
        let name = |n: usize| if n == 0 { "targets".to_owned() } else { format!("r{n}") };
        let mut seen = HashSet::new();
        let edges = edges.into_iter().filter(|(from, to, ..)| seen.insert((*from, *to)));
        edges
            .map(|(from, to, covers, end)| (name(from), name(to), if covers { "f" } else { "g" }.into(), end))
            .collect()
    })
}

/// One of these shapes with a random graph beside it, below a role of it.
fn shapes() -> impl Strategy<Value = Vec<(String, String, String, bool)>> {
    let edge = |from: &str, to: String| (from.to_owned(), to, "f".to_owned(), false);
    let chain = (0..40_usize).prop_map(move |length| {
        (0..length)
            .map(|n| edge(&if n == 0 { "targets".into() } else { format!("c{}", n - 1) }, format!("c{n}")))
            .collect::<Vec<_>>()
    });
    let wide = (0..40_usize)
        .prop_map(move |width| (0..width).map(|n| edge("targets", format!("w{n}"))).collect::<Vec<_>>());
    // Every role of a layer delegates to both of the next one.
    let diamonds = (0..6_usize).prop_map(move |depth| {
        let layer = |n: usize| {
            if n == 0 { vec!["targets".to_owned()] } else { vec![format!("a{n}"), format!("b{n}")] }
        };
        (0..depth)
            .flat_map(|n| {
                layer(n)
                    .into_iter()
                    .flat_map(move |from| layer(n + 1).into_iter().map(move |to| edge(&from, to)))
            })
            .collect::<Vec<_>>()
    });
    (prop_oneof![chain, wide, diamonds], edges(6, 8)).prop_map(|(mut shape, random)| {
        shape.extend(random);
        shape
    })
}

/// The search asks the same roles in the same order as the naive one, finds what it finds, and asks no more than 32.
fn agrees(edges: &[(String, String, String, bool)], holder: Option<prop::sample::Index>) {
    let roles: Vec<&String> = edges.iter().map(|(_, to, ..)| to).collect();
    let holders: Vec<String> = holder
        .filter(|_| !roles.is_empty())
        .map(|holder| holder.get(&roles).to_string())
        .into_iter()
        .collect();
    let repo = graph(edges, &holders);
    let (mut visited, mut expected) = (Vec::new(), Vec::new());
    let found = find(repo.client().trusts(&repo.files), &repo.files, "f", &mut visited);
    let found = match found {
        Ok(found) => Ok(found.map(|found| found.role.to_string())),
        Err(error) => {
            assert_eq!(kind_name(error.kind()), "Limit", "{error}: {edges:?}");
            Err(true)
        }
    };
    let naive = match naive(edges, &holders, "targets", &mut expected) {
        Err(false) => Ok(None),
        verdict => verdict,
    };
    assert_eq!(found, naive, "{edges:?}");
    let expected: Vec<String> = expected.into_iter().map(|(_, to)| to).collect();
    assert_eq!(visited, expected, "{edges:?}");
    assert!(visited.len() <= 32);
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn the_search_agrees_with_a_naive_one(edges in edges(6, 12), holder in any::<Option<prop::sample::Index>>()) {
        agrees(&edges, holder);
    }

    #[test]
    fn the_search_agrees_in_large_graphs_too(edges in prop_oneof![shapes(), edges(10, 60)], holder in any::<Option<prop::sample::Index>>()) {
        agrees(&edges, holder);
    }
}
