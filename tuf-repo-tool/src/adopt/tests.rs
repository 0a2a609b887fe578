//! What was rebuilt behaves as what it was rebuilt from.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use tuf_client::{clock, durable};
use tuf_core::{Hashes, RoleName, TargetFile, TargetPath};

use super::{AdoptError, Given, RebuildOptions, rebuild};
use crate::config::{Config, DelegationConfig, Period, RoleKind};
use crate::edit::{AddDelegation, Edit, EditScope};
use crate::error::Error;
use crate::init::{InitOptions, Preset, init};
use crate::keys::{Algorithm, KeyUri, Passphrases, file};
use crate::publish::{Changes, Expiries, Options, Renewal, publish};
use crate::repository::Repository;

type Files = BTreeMap<String, Vec<u8>>;

/// Every file below a directory, by its path.
fn files(directory: &Path) -> Files {
    let (mut found, mut pending) = (Files::new(), vec![directory.to_owned()]);
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => {
                    let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
                    found.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
    }
    found
}

/// As `cp -a`, or as a copy that loses the times at which files were written.
fn copy(from: &Path, to: &Path, with_times: bool) {
    for name in files(from).keys() {
        let (source, copied) = (from.join(name), to.join(name));
        durable::create_dirs(copied.parent().unwrap(), durable::Access::Private).unwrap();
        std::fs::copy(&source, &copied).unwrap();
        if with_times {
            let written = std::fs::metadata(&source).unwrap().modified().unwrap();
            std::fs::File::options().append(true).open(&copied).unwrap().set_modified(written).unwrap();
        }
    }
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

/// A repository in which everything has another period than usual, with one delegated role.
async fn repository(directory: &Path, preset: Preset, unusual: bool) -> (Repository, Passphrases) {
    let mut passphrases = Passphrases::from_environment();
    let options = InitOptions { preset, bins: Some(4), encrypted: false, ..InitOptions::default() };
    let mut repository = init(directory, &options, &mut passphrases).await.unwrap();
    file::generate(&directory.join("keys/x.pem"), Algorithm::Ed25519, None).unwrap();
    let uri = vec![KeyUri::File("keys/x.pem".into())];
    repository.config.delegations.insert("x".to_owned(), DelegationConfig::new(uri, period("365d")));
    if unusual {
        for (kind, text) in [
            (RoleKind::Targets, "100d"),
            (RoleKind::Bins, "200d"),
            (RoleKind::BinN, "12d"),
            (RoleKind::Snapshot, "5d"),
            (RoleKind::Timestamp, "36h"),
        ] {
            if let Some(role) = repository.config.roles.get_mut(&kind) {
                role.expires = period(text);
            }
        }
    }
    repository.config.save(directory).unwrap();
    (repository, passphrases)
}

async fn change(
    repository: &Repository,
    passphrases: &mut Passphrases,
    changes: &Changes,
    at: DateTime<Utc>,
) {
    let repository = repository.clone().with_clock(move || at);
    let lock = repository.lock().unwrap();
    publish(&repository, &lock, passphrases, changes, Renewal::All, &Options::default()).await.unwrap();
}

fn target(repository: &Repository, path: &str, content: &[u8], changes: &mut Changes) {
    let (path, hashes) = (TargetPath::new(path).unwrap(), Hashes::of(content));
    let stored = repository.public().unwrap().join("targets").join(path.remote(Some(&hashes)));
    durable::write_atomic(&stored, content).unwrap();
    changes.set(path, TargetFile::new(u64::try_from(content.len()).unwrap(), hashes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rebuilt_from_published_files_and_keys_publishes_the_same_bytes() {
    for (preset, unusual, with_times) in
        [(Preset::Mirror, true, true), (Preset::Mirror, false, false), (Preset::Plain, true, true)]
    {
        let base = tempfile::tempdir().unwrap();
        let (first, second) = (base.path().join("first"), base.path().join("second"));
        let (original, mut passphrases) = repository(&first, preset, unusual).await;
        let now = clock::now();
        let mut changes = Changes::default();
        target(&original, "a", b"a", &mut changes);
        target(&original, "packages/b", b"b", &mut changes);
        let x = file::public(&first.join("keys/x.pem")).unwrap();
        let scope = EditScope::Paths(vec!["x/*".to_owned()]);
        let delegator = RoleName::new("targets").unwrap();
        let add = AddDelegation::new(delegator, RoleName::new("x").unwrap(), vec![x], scope);
        changes.set_edits(vec![Edit::AddDelegation(add)]);
        change(&original, &mut passphrases, &changes, now).await;

        copy(&first.join("public"), &second.join("public"), with_times);
        copy(&first.join("keys"), &second.join("keys"), with_times);
        let options = RebuildOptions::default();
        let rebuilt = rebuild(&second, &options, clock::now(), &mut passphrases).await.unwrap();
        assert_eq!(rebuilt.notes, Vec::<String>::new());
        let copied = Repository::open(&second).unwrap();
        let settings = |config: &Config| {
            let mut config = config.clone();
            // How many there are, says what is published.
            config.bins = None;
            config.text(&first).unwrap()
        };
        assert_eq!(settings(&original.config), settings(&copied.config), "{preset:?}");

        // A change, a target of the delegated role, much later a renewal with a change, and nothing.
        for (hours, path) in [(1, "a"), (2, "x/new"), (30 * 24, "packages/b"), (31 * 24, "")] {
            for one in [&original, &copied] {
                let mut changes = Changes::default();
                if !path.is_empty() {
                    target(one, path, format!("at {hours}").as_bytes(), &mut changes);
                }
                change(one, &mut passphrases, &changes, now + TimeDelta::hours(hours)).await;
            }
            let (one, other) = (files(&first.join("public")), files(&second.join("public")));
            assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{preset:?} {path}");
            assert!(one == other, "{preset:?} {path}");
        }
        assert_eq!(
            std::fs::read(first.join("root.json")).unwrap(),
            std::fs::read(second.join("root.json")).unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_cannot_be_changes_nothing() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("first");
    let (original, mut passphrases) = repository(&directory, Preset::Plain, false).await;
    let mut changes = Changes::default();
    target(&original, "a", b"a", &mut changes);
    change(&original, &mut passphrases, &changes, clock::now()).await;
    let (snapshot, state) = (directory.join("public/metadata/1.snapshot.json"), directory.join("state"));
    let sound = std::fs::read(&snapshot).unwrap();
    durable::write_atomic(&state.join("state.db"), b"damaged, as disks do").unwrap();
    let before = files(&directory);
    let mut options = RebuildOptions { settings: true, ..RebuildOptions::default() };

    durable::write_atomic(&snapshot, &[&sound[..], b" "].concat()).unwrap();
    let refused = rebuild(&directory, &options, clock::now(), &mut passphrases).await.unwrap_err();
    assert!(matches!(refused, Error::Adopt(AdoptError::Refused { .. })), "{refused}");
    durable::write_atomic(&snapshot, &sound).unwrap();

    file::generate(&base.path().join("other.pem"), Algorithm::Ed25519, None).unwrap();
    options.given.keys = vec![KeyUri::File(base.path().join("other.pem"))];
    let refused = rebuild(&directory, &options, clock::now(), &mut passphrases).await.unwrap_err();
    assert!(matches!(refused, Error::Adopt(AdoptError::UnusedKey { .. })), "{refused}");

    options.given = Given::default();
    options.dry_run = true;
    let planned = rebuild(&directory, &options, clock::now(), &mut passphrases).await.unwrap();
    assert!(planned.settings.unwrap().contains("[roles.timestamp]"));
    assert!(files(&directory) == before);

    // Then the damaged database is put aside, the settings are kept, and what was known of roles is forgotten.
    let known = Expiries::path(&original);
    assert!(known.exists());
    options.dry_run = false;
    let rebuilt = rebuild(&directory, &options, clock::now(), &mut passphrases).await.unwrap();
    assert!(!known.exists());
    assert_eq!(rebuilt.aside.len(), 2, "{rebuilt:?}");
    assert!(rebuilt.aside.iter().all(|(_, copy)| copy.exists()));
    assert!(rebuilt.notes.iter().any(|note| note.contains("a new one")), "{rebuilt:?}");
    change(&Repository::open(&directory).unwrap(), &mut passphrases, &changes, clock::now()).await;
}
