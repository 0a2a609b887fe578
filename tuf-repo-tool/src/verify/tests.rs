//! A table of damages, each found and named.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use tuf_client::audit::Severity;
use tuf_core::Hashes;

use super::{Options, Report, verify};
use crate::gc::tests::aged::World;
use crate::storage::{NewFile, Storage};

/// With two published states; `a` and `b` are the same in both.
async fn world() -> World {
    let world = World::new().await;
    world.publish(&[("a", Some("content of a")), ("b", Some("content of b")), ("c", Some("c"))]).await;
    world.pass(TimeDelta::minutes(1));
    world.publish(&[("c", Some("another c"))]).await;
    world
}

fn target(name: &str) -> String {
    format!("targets/{}.{name}", Hashes::of(format!("content of {name}").as_bytes()).preferred().unwrap())
}

fn replace(world: &World, path: &str, bytes: &[u8]) {
    world.storage.remove(&[path.to_owned()]).unwrap();
    world.storage.create(&[NewFile { path: path.to_owned(), bytes: bytes.to_vec() }]).unwrap();
}

fn read(world: &World, path: &str) -> Vec<u8> {
    world.storage.read(path, u64::MAX).unwrap().unwrap()
}

async fn run(world: &World, read: bool, clients: bool) -> Report {
    verify(&world.repository, &Options { read, clients, ..Options::default() }).await.unwrap()
}

fn errors(report: &Report) -> BTreeSet<&str> {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.id).collect()
}

/// The file of the hash bin that was signed in both states.
fn changed_bin(world: &World) -> String {
    world.paths().into_iter().find(|path| path.starts_with("metadata/2.bin-2-")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_should_be_has_no_errors() {
    let world = world().await;
    for (read, clients) in [(false, false), (true, true)] {
        let report = run(&world, read, clients).await;
        assert!(errors(&report).is_empty(), "{report:#?}");
        assert_eq!((report.timestamp, report.roots, report.files), (Some(2), 1, 3));
        assert_eq!(report.bytes, 12 + 12 + 9);
        // A new one; one that comes back, and one that knows the snapshot before.
        assert_eq!(report.clients.len(), if clients { 3 } else { 1 });
    }
}

type Damage = fn(&World);

#[tokio::test(flavor = "multi_thread")]
async fn each_damage_is_found_and_named() {
    let world = world().await;
    let base = world.snapshot();
    let damages: [(&str, Damage, &[&str]); 12] = [
        ("a target is missing", |world| world.storage.remove(&[target("a")]).unwrap(), &["target-missing"]),
        ("a target is longer", |world| replace(world, &target("b"), b"content of b!"), &["target-length"]),
        ("a target has other bytes", |world| replace(world, &target("b"), b"CONTENT OF B"), &["target-hash"]),
        (
            "a role is missing",
            |world| world.storage.remove(&[changed_bin(world)]).unwrap(),
            &["missing-file"],
        ),
        (
            "a role is the one before",
            |world| {
                let bin = changed_bin(world);
                replace(world, &bin, &read(world, &bin.replace("/2.", "/1.")));
            },
            &["version-mismatch"],
        ),
        (
            "a role is not signed",
            |world| {
                let bin = changed_bin(world);
                let mut file: serde_json::Value = serde_json::from_slice(&read(world, &bin)).unwrap();
                file["signatures"] = serde_json::json!([]);
                replace(world, &bin, file.to_string().as_bytes());
            },
            &["threshold"],
        ),
        ("a role is no JSON", |world| replace(world, &changed_bin(world), b"{"), &["malformed"]),
        (
            "the snapshot is longer",
            |world| {
                let mut bytes = read(world, "metadata/2.snapshot.json");
                bytes.push(b' ');
                replace(world, "metadata/2.snapshot.json", &bytes);
            },
            &["client", "length-mismatch", "refused"],
        ),
        (
            "the timestamp is missing",
            |world| world.storage.remove(&["metadata/timestamp.json".to_owned()]).unwrap(),
            &["missing-file"],
        ),
        (
            "the first root is missing",
            |world| world.storage.remove(&["metadata/1.root.json".to_owned()]).unwrap(),
            &["missing-file"],
        ),
        ("all has expired", |world| world.pass(TimeDelta::days(40)), &["client", "expired"]),
        ("the clock is behind", |world| world.pass(TimeDelta::minutes(-49 * 60)), &["clock"]),
    ];
    let now = *world.now.lock().unwrap();
    for (what, damage, expected) in damages {
        world.restore(&base);
        *world.now.lock().unwrap() = now;
        damage(&world);
        let report = run(&world, true, true).await;
        let found = errors(&report);
        assert!(
            !found.is_empty() && found.is_subset(&expected.iter().copied().collect()),
            "{what}: {report:#?}"
        );
        assert!(found.contains(expected.last().unwrap()) || found.contains(expected[0]), "{what}: {found:?}");
        let worst = &report.findings[0];
        assert_eq!(worst.severity, Severity::Error, "{what}: the worst comes first");
        assert!(report.findings.iter().any(|finding| finding.hint.is_some()), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reading_only_lengths_are_compared_and_what_was_expected_is_said() {
    let world = world().await;
    replace(&world, &target("b"), b"CONTENT OF B");
    assert!(errors(&run(&world, false, false).await).is_empty());
    replace(&world, &target("b"), b"short");
    let report = run(&world, false, false).await;
    let finding = &report.findings[0];
    assert_eq!((finding.id, finding.expected.as_deref()), ("target-length", Some("12 bytes")));
    assert_eq!(finding.found.as_deref(), Some("5 bytes"));
    assert!(finding.role.as_deref().is_some_and(|role| role.starts_with("bin-2-")), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_snapshot_that_lists_newer_roles_is_told_of() {
    let world = world().await;
    let mut snapshot: serde_json::Value =
        serde_json::from_slice(&read(&world, "metadata/1.snapshot.json")).unwrap();
    snapshot["signed"]["meta"]["targets.json"]["version"] = 9.into();
    snapshot["signed"]["meta"]["gone.json"] = serde_json::json!({"version": 1});
    replace(&world, "metadata/1.snapshot.json", snapshot.to_string().as_bytes());
    let report = run(&world, false, true).await;
    let found: Vec<_> = report.findings.iter().filter(|finding| finding.id == "rollback").collect();
    let compared =
        |finding: &&super::Finding| (finding.expected.clone().unwrap(), finding.found.clone().unwrap());
    assert_eq!(
        found.iter().map(compared).collect::<Vec<_>>(),
        [
            ("version 1 at least".to_owned(), "not listed".to_owned()),
            ("version 9 at least".to_owned(), "version 1".to_owned())
        ]
    );
    assert!(errors(&report).is_empty(), "a dead publisher may have left it");
}
