//! Random maps and repositories, against TAP 4 written down naively.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tuf_client::ErrorKind;

use super::{World, mapping, path, repo, sides, sides_of, with_hashes};
use crate::common::Files;

/// Larger runs: `PROPTEST_CASES=1000`.
const CASES: u32 = 20;
const NAMES: &str = "abcd";

/// What a repository is like. Digits stand for digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Unreachable,
    Lacks,
    Signs { sha256: Option<u8>, sha512: Option<u8> },
}

impl State {
    fn files(self, seed: u8) -> Option<Files> {
        match self {
            Self::Unreachable => None,
            Self::Lacks => {
                let mut repo = repo(seed);
                repo.targets.targets.remove(&path("a.txt"));
                Some(repo.build())
            }
            Self::Signs { sha256, sha512 } => {
                let mut hashes = BTreeMap::new();
                hashes.extend(sha256.map(|digit| ("sha256", digit.to_string().repeat(64))));
                hashes.extend(sha512.map(|digit| ("sha512", digit.to_string().repeat(128))));
                Some(with_hashes(repo(seed), &json!(hashes)))
            }
        }
    }

    fn agrees(self, other: Self) -> bool {
        let (Self::Signs { sha256: a, sha512: b }, Self::Signs { sha256: c, sha512: d }) = (self, other)
        else {
            return false;
        };
        let same = |one: Option<u8>, two: Option<u8>| one.is_some() && one == two;
        let differ = |one: Option<u8>, two: Option<u8>| one.is_some() && two.is_some() && one != two;
        (same(a, c) || same(b, d)) && !differ(a, c) && !differ(b, d)
    }
}

#[derive(Clone, Debug)]
struct Mapping {
    names: String,
    threshold: usize,
    terminating: bool,
}

/// The first of all sets of so many names of which each agrees with each.
fn first_set(names: &str, size: usize, states: &BTreeMap<char, State>) -> Option<String> {
    let names: Vec<char> = names.chars().collect();
    let sets = (0_u32..1 << names.len()).map(|bits| {
        let chosen = names.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
        chosen.map(|(index, name)| (index, *name)).collect::<Vec<_>>()
    });
    let agree = |set: &Vec<(usize, char)>| {
        set.iter().all(|(_, a)| set.iter().all(|(_, b)| states[a].agrees(states[b])))
    };
    let best = sets.filter(|set| set.len() == size).filter(agree).min();
    best.map(|set| set.into_iter().map(|(_, name)| name).collect())
}

/// Who agrees, who disagrees and who failed among those heard.
fn divide(heard: &str, agreeing: &str, states: &BTreeMap<char, State>) -> [String; 3] {
    let others = |failed: bool| {
        let others = heard.chars().filter(|name| !agreeing.contains(*name));
        others.filter(|name| (states[name] == State::Unreachable) == failed).collect()
    };
    [agreeing.to_owned(), others(false), others(true)]
}

/// The mapping that is satisfied, or none, with the sides in each that was tried.
fn oracle(mappings: &[Mapping], states: &BTreeMap<char, State>) -> (Option<usize>, Vec<[String; 3]>) {
    let mut tried = Vec::new();
    for (index, mapping) in mappings.iter().enumerate() {
        for end in 1..=mapping.names.len() {
            let heard = &mapping.names[..end];
            if let Some(set) = first_set(heard, mapping.threshold, states) {
                tried.push(divide(heard, &set, states));
                return (Some(index), tried);
            }
        }
        let largest = (0..mapping.threshold).rev().find_map(|size| first_set(&mapping.names, size, states));
        tried.push(divide(&mapping.names, &largest.unwrap(), states));
        if mapping.terminating {
            break;
        }
    }
    (None, tried)
}

fn state() -> impl Strategy<Value = State> {
    let digit = || proptest::option::of(1_u8..3);
    let signs = (digit(), digit()).prop_map(|(sha256, sha512)| match (sha256, sha512) {
        (None, None) => State::Signs { sha256: Some(1), sha512: None },
        _ => State::Signs { sha256, sha512 },
    });
    prop_oneof![1 => Just(State::Unreachable), 1 => Just(State::Lacks), 6 => signs]
}

fn one_mapping() -> impl Strategy<Value = Mapping> {
    let names = Just(NAMES.chars().collect::<Vec<_>>()).prop_shuffle();
    (names, 1..=NAMES.len(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(names, count, threshold, terminating)| Mapping {
            names: names[..count].iter().collect(),
            threshold: threshold.index(count) + 1,
            terminating,
        },
    )
}

fn config() -> ProptestConfig {
    let cases = tuf_client::env::var("PROPTEST_CASES").and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(CASES), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_search_ends_as_the_naive_one_does(
        states in prop::collection::vec(state(), NAMES.len()),
        mappings in prop::collection::vec(one_mapping(), 1..4),
    ) {
        let (world, _) = World::of(4);
        for ((name, state), seed) in NAMES.chars().zip(&states).zip((40..).step_by(10)) {
            match state.files(seed) {
                Some(files) => world.publish(&name.to_string(), files),
                None => world.unreachable(&name.to_string()),
            }
        }
        let states: BTreeMap<char, State> = NAMES.chars().zip(states).collect();
        let written: Vec<Value> = mappings
            .iter()
            .map(|one| mapping(&one.names, u64::try_from(one.threshold).unwrap(), one.terminating))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = match runtime.block_on(world.find(&written, "a.txt")) {
            Ok(found) => {
                let mut tried: Vec<_> = found.passed_over.iter().map(sides_of).collect();
                tried.push(sides(&found));
                (Some(found.mapping), tried)
            }
            Err(error) => match error.kind() {
                ErrorKind::NotEnoughAgree(counts) => (None, counts.iter().map(sides_of).collect()),
                _ => panic!("{error}"),
            },
        };
        prop_assert_eq!(found, oracle(&mappings, &states));
    }
}
