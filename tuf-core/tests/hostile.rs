//! What hostile files may cost, and what is said of them. Cost is processor time of this thread, so that other work on
//! the machine does not count; the ceilings tell linear work from quadratic, which is over them by far.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use tuf_core::canonical::canonicalize;
use tuf_core::trust::RootChain;
use tuf_core::{Draft, Envelope, Limits, MetaFile, Snapshot, Targets, pattern};

use crate::support::{Pair, Repo, canonical, kind_name, now, within};

/// `{"<n>":0, …}`
fn many_members(bytes: usize, order: impl Fn(usize) -> usize) -> String {
    let mut text = "{".to_owned();
    let count = bytes / 11;
    for number in 0..count {
        write!(text, "\"{:06}\":0,", order(number)).unwrap();
    }
    text.pop();
    text + "}"
}

#[test]
fn odd_json_is_refused_or_read_in_linear_time() {
    let limits = Limits::default();
    let size = usize::try_from(limits.targets_bytes).unwrap() / 4;
    let count = size / 11;
    let files = [
        ("members outside", many_members(size, |n| n)),
        ("members outside, backwards", many_members(size, |n| count - n)),
        ("members inside", format!("{{\"signatures\":[],\"signed\":{}}}", many_members(size, |n| count - n))),
        ("empty arrays", format!("{{\"signatures\":[],\"signed\":[{}0]}}", "[],".repeat(size / 3))),
        (
            "signatures",
            format!(
                "{{\"signatures\":[{}0],\"signed\":{{}}}}",
                "{\"keyid\":\"\",\"sig\":\"\"},".repeat(size / 23)
            ),
        ),
        ("key IDs", {
            let ids: String =
                (0..size / 28).map(|n| format!("{{\"keyid\":\"{n:06}\",\"sig\":\"\"}},")).collect();
            format!("{{\"signatures\":[{}],\"signed\":{{}}}}", ids.trim_end_matches(','))
        }),
        ("deep", "[".repeat(size)),
        ("escapes", format!("\"{}\"", "\\u0000".repeat(size / 6))),
        ("one long key twice", format!("{{\"{0}\":0,\"{0}\":0}}", "a".repeat(size / 3))),
    ];
    for (name, text) in files {
        let bytes: Arc<[u8]> = text.into_bytes().into();
        within(5, name, || {
            let _ = Envelope::parse(Arc::clone(&bytes), &limits);
            let _ = canonicalize(&bytes, limits.json_depth);
        });
    }
}

#[test]
fn a_search_through_hostile_patterns_takes_linear_time() {
    let size = 500_000;
    let path = "a".repeat(200);
    for (name, pattern) in [
        ("stars", "*a".repeat(size / 2)),
        ("a class of many members", format!("*[{}]b", "c".repeat(size))),
        ("many small classes", "*[b-c]".repeat(size / 6)),
        ("brackets that are never closed", format!("*{}", "[".repeat(size))),
        ("slashes", "/".repeat(size)),
    ] {
        within(5, name, || assert!(!pattern::matches(&pattern, &path)));
    }
    // Every bracket stands for itself, and each was once a search for the end of a class.
    let (pattern, path) = (format!("*{}", "[".repeat(8 * size)), "[".repeat(255));
    within(1, "brackets that match", || assert!(!pattern::matches(&pattern, &path)));
}

/// A message is for one line of a log, whatever the file holds.
#[test]
fn messages_are_short_and_harmless() {
    let long = "\u{1b}[31m\n".repeat(10_000);
    let signed = |field: &str| {
        let mut repo = Repo::new();
        repo.get("root")[field] = json!(long);
        repo.file("root")
    };
    let quoted = json!(long).to_string();
    let twice = json!({"keyid": long, "sig": ""});
    let files: [Arc<[u8]>; 8] = [
        signed("_type"),
        signed("spec_version"),
        signed("expires"),
        signed("keys"),
        signed("version"),
        format!("{{{quoted}:0,{quoted}:0}}").into_bytes().into(),
        format!("{{\"signed\":{{{quoted}:0,{quoted}:0}},\"signatures\":[]}}").into_bytes().into(),
        json!({"signatures": [twice, twice], "signed": {}}).to_string().into_bytes().into(),
    ];
    for (index, file) in files.iter().enumerate() {
        let error = RootChain::pinned(file, Arc::new(Limits::default())).expect_err("hostile");
        let text = error.to_string();
        assert!(text.len() < 1_000, "file {index}: {} bytes", text.len());
        assert!(!text.contains(char::is_control), "file {index}: {text:?}");
    }
}

/// As many bins as PEP 458 has, in the worst order.
#[test]
fn a_large_snapshot_is_built_in_any_order() {
    within(5, "16384 entries, backwards", || {
        let mut snapshot = Snapshot::new(now());
        for number in (0..16_384).rev() {
            snapshot.meta.insert(&format!("{number:06}.json"), MetaFile::version(1));
        }
        assert_eq!(snapshot.meta.iter().count(), 16_384);
    });
}

/// Names of hash bins are counted before they are listed.
#[test]
fn succinct_bins_are_no_endless_list() {
    let delegations = json!({"keys": {}, "succinct_roles": {"keyids": [], "threshold": 1, "bit_length": 32, "name_prefix": "b"}});
    let mut repo = Repo::new();
    *repo.delegations() = delegations;
    let envelope = Envelope::parse(repo.file("targets"), &Limits::default()).unwrap();
    let refused = tuf_core::read_unverified::<Targets>(&envelope, &Limits::default()).is_err();
    assert!(refused, "2^32 roles are more than Limits::delegations, and role_names would list them all");
}

/// Signing does not depend on how the value came to be.
#[test]
fn a_draft_signs_what_an_independent_writer_would() {
    let mut repo = Repo::new();
    repo.get("targets")["targets"]["é\u{1f600}\u{ffff}"] =
        json!({"length": 0, "hashes": {}, "custom": {"\u{1}": "\"\\"}});
    let envelope = Envelope::parse(repo.file("targets"), &Limits::default()).unwrap();
    let mut draft = Draft::<Targets>::reopen(&envelope, &Limits::default()).unwrap();
    assert_eq!(draft.payload(), canonical(&repo.signed["targets"]));
    assert_eq!(Draft::new(draft.value().clone()).payload(), draft.payload());
    let other = Pair::ed(1);
    assert!(draft.attach(&other.key.id(), &other.key, &[0; 64]).is_err());
    assert_eq!(draft.signatures().len(), 2);
}

/// A name, and what is wrong with the root.
type Case = (&'static str, fn(&mut Repo));

/// Counts are capped as well as bytes.
#[test]
fn cve_2024_45395_counts_are_capped() {
    let cases: [Case; 3] = [
        ("keys", |repo| {
            let keys = repo.get("root")["keys"].as_object_mut().unwrap();
            keys.extend((0..1_025).map(|number| (format!("k{number}"), Pair::ed(1).json())));
        }),
        ("key IDs", |repo| {
            let ids = repo.get("root")["roles"]["mirrors"]["keyids"].take();
            assert!(ids.is_null());
            repo.get("root")["roles"]["mirrors"] =
                json!({"keyids": (0..1_025).map(|n| n.to_string()).collect::<Vec<_>>(), "threshold": 1});
        }),
        ("depth", |repo| {
            repo.get("root")["x"] = (0..70).fold(json!(1), |inner, _| json!([inner]));
        }),
    ];
    for (case, attack) in cases {
        let mut repo = Repo::new();
        attack(&mut repo);
        repo.publish();
        let error = repo.client().refresh(&repo.files).result.expect_err(case);
        assert!(["Field", "Limit", "Json"].contains(&&*kind_name(error.kind())), "{case}: {error}");
    }
}
