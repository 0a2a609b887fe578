//! The rules of the audit, each with a small repository that breaks it.

use std::sync::Arc;

use crate::common::{Files, MapTransport, Repo, far, now, odd_id, sign, signer};
use chrono::TimeDelta;
use tuf_client::audit::{Audit, Report, Severity};
use tuf_core::{Delegated, Draft, Hashes, Json, RoleKeys, Scope, TargetFile, TargetPath, Targets, TopLevel};

/// The keys of all that the top-level targets delegate.
fn change_delegations(repo: &mut Repo, change: impl Fn(&mut RoleKeys)) {
    if let Some(Delegated::Roles(roles)) = repo.targets.delegations.as_mut().map(|all| &mut all.roles) {
        let changed = roles.iter().map(|mut delegation| {
            change(&mut delegation.keys);
            delegation
        });
        *roles = changed.collect();
    }
}

const ROOT: &str = "metadata/1.root.json";

async fn audit_with(files: Files, anchor: Option<Vec<u8>>, fetch: bool) -> Report {
    let mut audit = Audit::of("https://mirror.example/".parse().unwrap())
        .transport(MapTransport(Arc::new(files)))
        .files(fetch)
        .at(now());
    if let Some(anchor) = anchor {
        audit = audit.anchor(anchor);
    }
    audit.run().await.unwrap()
}

/// Anchored, without fetching targets.
async fn audit(files: Files) -> Report {
    let anchor = files.get(ROOT).cloned();
    audit_with(files, anchor, false).await
}

fn ids(report: &Report) -> Vec<(&str, &str)> {
    report.findings.iter().map(|finding| (finding.severity.name(), finding.id)).collect()
}

fn message<'a>(report: &'a Report, id: &str) -> &'a str {
    let found = report.findings.iter().find(|finding| finding.id == id);
    &found.unwrap_or_else(|| panic!("no {id} in {:?}", ids(report))).message
}

#[tokio::test]
async fn a_sound_repository_has_no_findings() {
    let repo = Repo::new();
    let files = repo.build();
    let report = audit_with(files.clone(), files.get(ROOT).cloned(), true).await;
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    let roles: Vec<_> =
        report.roles.iter().map(|role| (&*role.role, role.delegator.as_deref(), role.targets)).collect();
    let expected = [
        ("timestamp", None, None),
        ("snapshot", None, None),
        ("targets", None, Some(2)),
        ("packages", Some("targets"), Some(1)),
    ];
    assert_eq!(roles, expected);
    assert_eq!(report.roots[0].signed.len(), 2);
    assert_eq!(report.files.map(|files| (files.checked, files.failed, files.bytes)), Some((3, 0, 12)));
    let text = report.to_text(|_, word| word.to_owned());
    assert!(text.contains("\n  packages "), "{text}");
    assert!(text.ends_with("0 errors, 0 warnings, 0 notes\n"), "{text}");
    let json = report.to_json().unwrap();
    assert_eq!(json["format"], "tuf-client.audit/1");
    assert_eq!(json["roles"][3]["delegator"], "targets");
    assert!(!report.fails(Severity::Note));
}

#[tokio::test]
async fn without_an_anchor_the_first_finding_says_so() {
    let report = audit_with(Repo::new().build(), None, false).await;
    assert_eq!(ids(&report), [("warning", "anchor-not-supplied")]);
    assert!(!report.anchor.supplied);
}

#[tokio::test]
async fn what_cannot_be_audited_is_an_error() {
    let url = || "https://mirror.example/".parse().unwrap();
    let empty = MapTransport(Arc::default());
    let error = Audit::of(url()).transport(empty.clone()).run().await.unwrap_err();
    assert!(error.is_missing(), "{error}");
    let error = Audit::of(url()).transport(empty).anchor(*b"{}").run().await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
}

/// A repository that breaks one rule, and what is found then.
type Case = (&'static str, &'static str, fn(&mut Repo));

#[tokio::test]
async fn each_rule_finds_what_breaks_it() {
    let cases: &[Case] = &[
        ("error", "expired", |repo| repo.timestamp_expires = now() - TimeDelta::days(1)),
        ("warning", "expires-soon", |repo| repo.root.header.expires = now() + TimeDelta::hours(23)),
        ("warning", "expires-soon", |repo| repo.timestamp_expires = now() + TimeDelta::minutes(119)),
        ("warning", "demonstration", |repo| {
            repo.root.extra.insert("x-demonstration".to_owned(), Json::parse(b"true").unwrap());
        }),
        ("warning", "no-consistent-snapshot", |repo| repo.root.consistent_snapshot = false),
        ("warning", "root-threshold-1", |repo| {
            repo.root.set_role(TopLevel::Root, [&signer(1).key], 1);
            repo.root_seeds = vec![1];
        }),
        ("warning", "root-key-online", |repo| {
            repo.root.set_role(TopLevel::Timestamp, [&signer(1).key, &signer(3).key], 1);
        }),
        ("note", "root-key-reused", |repo| {
            repo.root.set_role(TopLevel::Targets, [&signer(1).key, &signer(5).key], 1);
        }),
        ("warning", "key-under-two-ids", |repo| {
            repo.root.keys.insert(odd_id(3), signer(3).key);
        }),
        ("note", "key-id-not-standard", |repo| {
            repo.root.keys.insert(odd_id(9), signer(9).key);
        }),
        ("note", "unknown-key-id", |repo| {
            change_delegations(repo, |keys| keys.keyids = [&*keys.keyids, &[odd_id(7)]].concat().into());
        }),
        ("error", "threshold-unreachable", |repo| {
            change_delegations(repo, |keys| *keys = RoleKeys::new(keys.keyids.to_vec(), 2));
        }),
        ("error", "role-not-in-snapshot", |repo| repo.unlisted.push("packages".to_owned())),
        ("note", "orphan-in-snapshot", |repo| repo.listed.push("gone".to_owned())),
        ("note", "old-spec-version", |repo| repo.targets.header.spec_version = "1.0.19".to_owned()),
        ("warning", "target-out-of-scope", |repo| repo.add_to("packages", "elsewhere.txt", b"x")),
        ("note", "shadowed-delegation", |repo| {
            repo.delegate("wide", Scope::Paths(vec!["docs/*"].into()), true);
            repo.delegate("hidden", Scope::Paths(vec!["docs/*.html"].into()), false);
        }),
        ("error", "target-no-known-hash", |repo| {
            let path = TargetPath::new("c.txt").unwrap();
            repo.targets.targets.insert(&path, TargetFile::new(1, Hashes::default()));
        }),
        ("warning", "size-limit", |repo| {
            let padding = serde_json::Value::String("x".repeat(17_000));
            repo.root.extra.insert(
                "x-large".to_owned(),
                Json::from_value(&padding.to_string().repeat(40).into()).unwrap(),
            );
        }),
    ];
    for (severity, id, break_it) in cases {
        let mut repo = Repo::new();
        break_it(&mut repo);
        let report = audit(repo.build()).await;
        assert!(ids(&report).contains(&(severity, id)), "{id}: {:?}", ids(&report));
    }
}

/// A file, what is found if it is changed, and the change.
type Tampering = (&'static str, &'static str, fn(&mut Vec<u8>));

#[tokio::test]
async fn tampered_files_are_found_and_the_rest_is_still_looked_at() {
    let cases: &[Tampering] = &[
        ("metadata/1.packages.json", "hash-mismatch", |bytes| {
            let last = bytes.len() - 10;
            bytes[last] ^= 1;
        }),
        ("metadata/1.packages.json", "length-mismatch", |bytes| bytes.push(b' ')),
        ("metadata/1.snapshot.json", "length-mismatch", |bytes| bytes.push(b' ')),
        ("metadata/timestamp.json", "threshold", |bytes| {
            *bytes = String::from_utf8_lossy(bytes).replace("2100", "2101").into_bytes();
        }),
        ("metadata/timestamp.json", "malformed", |bytes| bytes.truncate(50)),
        ("metadata/timestamp.json", "duplicate-signature", |bytes| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let entry = &text[text.find('[').unwrap() + 1..text.find(']').unwrap()];
            *bytes = text.replacen(entry, &format!("{entry},{entry}"), 1).into_bytes();
        }),
    ];
    for (file, id, tamper) in cases {
        let mut files = Repo::new().build();
        tamper(files.get_mut(*file).unwrap());
        let report = audit(files).await;
        assert!(ids(&report).contains(&("error", id)), "{file} {id}: {:?}", ids(&report));
        let refused: Vec<_> = report.roles.iter().filter(|role| !role.accepted).collect();
        assert_eq!(refused.len(), 1, "{file} {id}");
        assert!(report.to_text(|_, word| word.to_owned()).contains("(refused)"));
    }
    let mut files = Repo::new().build();
    files.remove("metadata/1.packages.json");
    let report = audit(files).await;
    assert_eq!(ids(&report), [("error", "missing-file")]);
    assert_eq!(report.roles.len(), 3);
}

#[tokio::test]
async fn expired_metadata_does_not_hide_what_is_behind_it() {
    let mut repo = Repo::new();
    repo.root.header.expires = now() - TimeDelta::days(400);
    repo.timestamp_expires = now() - TimeDelta::days(3);
    repo.delegated.get_mut("packages").unwrap().header.expires = now() - TimeDelta::days(2);
    let report = audit(repo.build()).await;
    assert_eq!(ids(&report), [("error", "expired"); 3]);
    assert!(message(&report, "expired").contains("400 d"));
    assert_eq!(report.roles.len(), 4);
}

#[tokio::test]
async fn the_finding_names_the_root_whose_threshold_is_not_met() {
    let repo = Repo::new();
    let anchor = sign(&repo.root, &[1, 2]);
    let with_root_2 = |seeds: &[u8], version| {
        let mut files = repo.build();
        let mut root = repo.root.clone();
        root.header.version = version;
        root.set_role(TopLevel::Root, [&signer(2).key, &signer(8).key], 2);
        files.insert("metadata/2.root.json".to_owned(), sign(&root, seeds));
        files
    };
    for (seeds, version, expected, text) in [
        (&[1, 2, 8][..], 2, None, ""),
        (&[2, 8], 2, Some("threshold"), "root 1 demands"),
        (&[1, 2], 2, Some("threshold"), "root 2 demands"),
        (&[1, 2, 8], 1, Some("root-rollback"), "version 1 came"),
        (&[1, 2, 8], 3, Some("version-mismatch"), "version 3 came"),
    ] {
        let report = audit_with(with_root_2(seeds, version), Some(anchor.clone()), false).await;
        match expected {
            None => assert!(report.findings.is_empty(), "{:?}", report.findings),
            Some(id) => {
                assert!(message(&report, id).contains(text), "{:?}", report.findings);
                assert!(!report.roots[1].accepted);
                assert_eq!(report.roles.len(), 4, "the rest hangs on root 1");
            }
        }
    }
    let mut files = with_root_2(&[1, 2, 8], 3);
    let root = files.remove("metadata/2.root.json").unwrap();
    files.insert("metadata/3.root.json".to_owned(), root);
    assert!(message(&audit(files).await, "root-gap").contains("3.root.json is there"));
}

#[tokio::test]
async fn an_invalid_signature_beside_valid_ones_is_a_warning() {
    let mut repo = Repo::new();
    let keys = [signer(1).key, signer(2).key, signer(9).key];
    repo.root.set_role(TopLevel::Root, &keys, 2);
    let signed = String::from_utf8(sign(&repo.root, &[1, 2, 9])).unwrap();
    let position = signed.find("\"sig\":\"").unwrap() + 7;
    let flipped = if &signed[position..=position] == "0" { "1" } else { "0" };
    let broken = format!("{}{flipped}{}", &signed[..position], &signed[position + 1..]);
    let mut files = repo.build();
    files.insert(ROOT.to_owned(), broken.into_bytes());
    let report = audit(files).await;
    assert_eq!(ids(&report), [("warning", "invalid-signature")]);
    assert_eq!((report.roots[0].signed.len(), report.roots[0].invalid.len()), (2, 1));
}

#[tokio::test]
async fn targets_are_fetched_and_checked() {
    let sum = |bytes: &[u8], name: &str| {
        format!("targets/{}", TargetPath::new(name).unwrap().remote(Some(&Hashes::of(bytes))))
    };
    let mut files = Repo::new().build();
    files.remove(&sum(b"alpha", "a.txt"));
    files.insert(sum(b"beta", "dir/b.txt"), b"bexa".to_vec());
    files.insert(sum(b"six", "packages/six.whl"), b"sixth".to_vec());
    let report = audit_with(files.clone(), files.get(ROOT).cloned(), true).await;
    assert_eq!(
        ids(&report),
        [("error", "target-missing"), ("error", "target-hash"), ("error", "target-length")]
    );
    assert_eq!(report.files.map(|files| (files.checked, files.failed)), Some((3, 3)));
}

#[tokio::test]
async fn unsafe_target_paths_and_weak_hashes_are_found() {
    let repo = Repo::new();
    let text = String::from_utf8(Draft::new(repo.targets.clone()).finish().into_bytes()).unwrap();
    let text = text.replace("a.txt", "../../etc/passwd").replace("\"sha256\"", "\"sha3\"");
    let envelope = tuf_core::Envelope::parse(text.into_bytes(), &tuf_client::Limits::default()).unwrap();
    let mut evil = Repo::new();
    evil.targets = tuf_core::read_unverified::<Targets>(&envelope, &tuf_client::Limits::default()).unwrap();
    evil.targets.header.expires = far();
    let report = audit(evil.build()).await;
    assert!(message(&report, "target-path").contains("../../etc/passwd"));
    assert!(message(&report, "target-no-known-hash").starts_with("2 targets"));
}

#[tokio::test]
async fn cycles_of_delegations_end() {
    let mut repo = Repo::new();
    let delegations = repo.targets.delegations.clone();
    repo.delegated.get_mut("packages").unwrap().delegations = delegations;
    let report = audit(repo.build()).await;
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.roles.len(), 5, "once for each delegator");
    assert!(report.to_text(|_, word| word.to_owned()).contains("\n    packages "));
}
