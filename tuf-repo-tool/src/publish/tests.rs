//! What a publish leaves on disk: names, versions, pointers, and nothing rewritten (spec 6, PEP 458).

mod clock;
pub(crate) mod faults;
mod known;
mod several;
pub(crate) mod sweep;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tuf_core::{Hashes, TargetFile, TargetPath};

use super::{Changes, Options, Outcome, Renewal, publish};
use crate::init::{InitOptions, Preset, init};
use crate::keys::Passphrases;
use crate::repository::Repository;

type Files = BTreeMap<String, Vec<u8>>;

fn files(repository: &Repository) -> Files {
    let entries =
        std::fs::read_dir(repository.public().unwrap().join("metadata")).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

fn signed(files: &Files, name: &str) -> Value {
    let file: Value = serde_json::from_slice(&files[name]).unwrap();
    file["signed"].clone()
}

pub(crate) async fn new_repository(directory: &Path, preset: Preset) -> (Repository, Passphrases) {
    let mut passphrases = Passphrases::from_environment();
    let options = InitOptions { preset, bins: Some(2), encrypted: false, ..InitOptions::default() };
    (init(directory, &options, &mut passphrases).await.unwrap(), passphrases)
}

/// Publishes one target; `put` writes its bytes where a client looks for them.
async fn publish_one(repository: &Repository, passphrases: &mut Passphrases, path: &str, content: &[u8]) {
    let (path, hashes) = (TargetPath::new(path).unwrap(), Hashes::of(content));
    tuf_client::durable::write_atomic(
        &repository.public().unwrap().join("targets").join(path.remote(Some(&hashes))),
        content,
    )
    .unwrap();
    let mut changes = Changes::default();
    changes.set(path, TargetFile::new(u64::try_from(content.len()).unwrap(), hashes));
    let lock = repository.lock().unwrap();
    let outcome =
        publish(repository, &lock, passphrases, &changes, Renewal::None, &Options::default()).await.unwrap();
    assert!(matches!(outcome, Outcome::Published(_)));
}

/// As on another machine, or after a loss of `state/`.
#[tokio::test(flavor = "multi_thread")]
async fn a_publish_needs_nothing_that_an_earlier_one_kept() {
    for preset in [Preset::Plain, Preset::Mirror] {
        let directory = tempfile::tempdir().unwrap();
        let (repository, mut passphrases) = new_repository(directory.path(), preset).await;
        publish_one(&repository, &mut passphrases, "a", b"a").await;
        std::fs::remove_file(repository.state().join("roles")).unwrap();
        let mut changes = Changes::default();
        let path = TargetPath::new("a").unwrap();
        changes.remove(path.clone());
        let (lock, options) = (repository.lock().unwrap(), Options::default());
        publish(&repository, &lock, &mut passphrases, &changes, Renewal::Online, &options).await.unwrap();
        let published = repository.published().unwrap().unwrap();
        assert!(published.find(&path).unwrap().is_none(), "{preset:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_publish_has_new_names_and_new_pointers_and_rewrites_nothing_but_the_timestamp() {
    for preset in [Preset::Plain, Preset::Mirror] {
        let directory = tempfile::tempdir().unwrap();
        let (repository, mut passphrases) = new_repository(directory.path(), preset).await;
        publish_one(&repository, &mut passphrases, "a", b"a").await;
        let first = files(&repository);
        publish_one(&repository, &mut passphrases, "a", b"aa").await;
        let second = files(&repository);

        for (name, bytes) in first.iter().filter(|(name, _)| *name != "timestamp.json") {
            assert_eq!(&second[name], bytes, "{name} was rewritten");
            assert!(name.split('.').next().unwrap().parse::<u64>().is_ok(), "{name} has no version");
        }
        assert!(second.contains_key("1.root.json"));
        assert_eq!(signed(&second, "1.root.json")["consistent_snapshot"], true);
        assert_eq!(signed(&first, "timestamp.json")["version"], 1);

        // From the timestamp down, every pointer is to the newest version, and names are without prefix.
        let timestamp = signed(&second, "timestamp.json");
        assert_eq!(timestamp["version"], 2);
        let meta = timestamp["meta"].as_object().unwrap();
        assert_eq!(meta.keys().collect::<Vec<_>>(), ["snapshot.json"]);
        let bytes = &second["2.snapshot.json"];
        assert_eq!(meta["snapshot.json"]["version"], 2);
        assert_eq!(meta["snapshot.json"]["length"], bytes.len());
        assert_eq!(meta["snapshot.json"]["hashes"]["sha256"], Hashes::of(bytes).preferred().unwrap());
        let roles = signed(&second, "2.snapshot.json")["meta"].clone();
        let mut changed = 0;
        for (role, meta) in roles.as_object().unwrap() {
            let version = meta["version"].as_u64().unwrap();
            let file = format!("{version}.{role}");
            assert_eq!(signed(&second, &file)["version"], version);
            changed += usize::from(version == 2);
            let of_bin = role.starts_with("bin-");
            assert_eq!(meta.get("hashes").is_none(), of_bin, "{role}");
            if !of_bin {
                assert_eq!(meta["hashes"]["sha256"], Hashes::of(&second[&file]).preferred().unwrap());
            }
        }
        assert_eq!(changed, 1, "only the role that lists the target is signed again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_delegate_to_bins_and_bins_to_every_hash_bin() {
    let directory = tempfile::tempdir().unwrap();
    let (repository, mut passphrases) = new_repository(directory.path(), Preset::Mirror).await;
    publish_one(&repository, &mut passphrases, "simple/a/index.json", b"a").await;
    let files = files(&repository);
    let names = |file: &str| -> Vec<String> {
        let roles = signed(&files, file)["delegations"]["roles"].clone();
        let of = |role: &Value| role["name"].as_str().unwrap().to_owned();
        roles.as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(names("1.targets.json"), ["bins"]);
    assert_eq!(names("1.bins.json"), ["bin-2-0", "bin-2-8"]);
    assert_eq!(signed(&files, "1.targets.json")["targets"], serde_json::json!({}));
    let listed = ["1.bin-2-0.json", "1.bin-2-8.json"].map(|name| signed(&files, name)["targets"].clone());
    assert_eq!(listed.iter().filter(|targets| targets.get("simple/a/index.json").is_some()).count(), 1);
}
