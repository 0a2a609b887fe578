//! Several repositories that must agree (TAP 4): honest ones, and one that is hostile, stale, unreachable, or of
//! another opinion.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;
use tuf_client::Url;
use tuf_client::multi::{Consensus, Map, MapErrorKind, MultiClient, MultiClientBuilder, NotEnoughAgree};
use tuf_client::transport::{Body, Transport, TransportError, TransportErrorKind};
use tuf_client::{Error, ErrorKind, TargetPath};
use tuf_core::{Hashes, Json, TargetFile, TopLevel};

use crate::common::{Files, Repo, far, now, sign, signer};

#[cfg(feature = "cli")]
mod cli;
mod oracle;

/// A repository of its own: `seed` and the one after it sign the root.
fn repo(seed: u8) -> Repo {
    let mut repo = Repo::new();
    repo.root.set_role(TopLevel::Root, [&signer(seed).key, &signer(seed + 1).key], 2);
    repo.root_seeds = vec![seed, seed + 1];
    repo
}

fn path(path: &str) -> TargetPath {
    TargetPath::new(path).unwrap()
}

/// One repository at a time by the host's name, and who was asked for what.
#[derive(Clone, Debug, Default)]
struct Net {
    hosts: Arc<Mutex<BTreeMap<String, Files>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Net {
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The hosts that were asked for anything.
    fn hosts_asked(&self) -> Vec<String> {
        let mut hosts: Vec<_> =
            self.asked().iter().map(|url| url.split('/').next().unwrap().to_owned()).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

impl Transport for Net {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        let host = url.host();
        self.asked.lock().unwrap().push(format!("{host}{}", url.path()));
        let found = self
            .hosts
            .lock()
            .unwrap()
            .get(host)
            .map(|files| files.get(url.path().trim_start_matches('/')).cloned())
            .ok_or(TransportErrorKind::Connect)
            .and_then(|file| file.ok_or(TransportErrorKind::NotFound { status: None }));
        Box::pin(async move {
            tokio::task::yield_now().await;
            found.map(|bytes| Body::from_bytes(url, bytes)).map_err(|kind| TransportError::new(url, kind))
        })
    }
}

/// Repositories `a`, `b` and so on at `https://a.example/`, each with a root of its own.
struct World {
    net: Net,
    roots: BTreeMap<String, Vec<u8>>,
    directory: TempDir,
}

impl World {
    fn new(repos: &[&Repo]) -> Self {
        let world =
            Self { net: Net::default(), roots: BTreeMap::new(), directory: tempfile::tempdir().unwrap() };
        repos.iter().zip('a'..).fold(world, |mut world, (repo, name)| {
            let files = repo.build();
            world.roots.insert(name.to_string(), files["metadata/1.root.json"].clone());
            world.publish(&name.to_string(), files);
            world
        })
    }

    /// As many as there are seeds, all with the same targets.
    fn of(count: u8) -> (Self, Vec<Repo>) {
        let repos: Vec<_> = (0..count).map(|index| repo(40 + 10 * index)).collect();
        (Self::new(&repos.iter().collect::<Vec<_>>()), repos)
    }

    fn publish(&self, name: &str, files: Files) {
        self.net.hosts.lock().unwrap().insert(format!("{name}.example"), files);
    }

    fn unreachable(&self, name: &str) {
        self.net.hosts.lock().unwrap().remove(&format!("{name}.example"));
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("stores")
    }

    fn map(&self, mappings: &[Value]) -> Map {
        let urls: BTreeMap<_, _> =
            self.roots.keys().map(|name| (name, [format!("https://{name}.example/")])).collect();
        Map::parse(json!({"repositories": urls, "mapping": mappings}).to_string().as_bytes()).unwrap()
    }

    fn builder(&self, map: Map) -> MultiClientBuilder {
        let roots = self.roots.clone();
        let root = move |name: &tuf_client::multi::RepositoryName| {
            roots.get(name.as_str()).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        MultiClient::builder(map, root, &self.store()).transport(self.net.clone()).clock(now)
    }

    fn client(&self, mappings: &[Value]) -> MultiClient {
        self.builder(self.map(mappings)).build().unwrap()
    }

    async fn find(&self, mappings: &[Value], target: &str) -> Result<Consensus, Error> {
        self.client(mappings).find(&path(target)).await
    }

    fn downloads(&self) -> PathBuf {
        self.directory.path().join("downloads")
    }
}

/// A mapping of these repositories, one letter each, for all paths.
fn mapping(repositories: &str, threshold: u64, terminating: bool) -> Value {
    let names: Vec<_> = repositories.chars().map(String::from).collect();
    json!({"paths": ["*", "*/*"], "repositories": names, "threshold": threshold, "terminating": terminating})
}

fn names<'a>(names: impl IntoIterator<Item = &'a tuf_client::multi::RepositoryName>) -> String {
    names.into_iter().map(|name| name.as_str()).collect()
}

/// Who agreed, who did not, who failed.
fn sides(found: &Consensus) -> [String; 3] {
    [
        names(found.agreeing.iter().map(|vote| &vote.repository)),
        names(found.disagreeing.iter().map(|dissent| &dissent.repository)),
        names(found.failed.iter().map(|fault| &fault.repository)),
    ]
}

fn counts(error: &Error) -> &[NotEnoughAgree] {
    match error.kind() {
        ErrorKind::NotEnoughAgree(counts) => counts,
        _ => panic!("{error}"),
    }
}

fn sides_of(count: &NotEnoughAgree) -> [String; 3] {
    [
        names(count.agreeing.iter().map(|vote| &vote.repository)),
        names(count.disagreeing.iter().map(|dissent| &dissent.repository)),
        names(count.failed.iter().map(|fault| &fault.repository)),
    ]
}

fn nobody_but(expected: [&str; 3]) -> [String; 3] {
    expected.map(str::to_owned)
}

/// Everything below a directory, directories included.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let each = entries.map(|entry| entry.unwrap().path());
    each.flat_map(|path| [everything(&path), vec![path]].concat()).collect()
}

#[tokio::test]
async fn repositories_that_agree_serve_the_target() {
    let (world, _) = World::of(3);
    let client = world.client(&[mapping("cab", 2, true)]);
    let found = client.find(&path("packages/six.whl")).await.unwrap();
    assert_eq!(sides(&found), nobody_but(["ca", "", ""]), "in the mapping's order, as many as are needed");
    assert_eq!((found.mapping, found.file.length), (0, 3));
    assert_eq!(found.file.hashes, Hashes::of(b"six"));
    assert_eq!(found.agreeing[0].target.role.as_str(), "packages");
    assert_eq!(found.agreeing[0].view().trusted().snapshot().header.version, 1);
    let file = client.download(&path("packages/six.whl"), &world.downloads()).await.unwrap();
    assert_eq!(file, world.downloads().join("packages/six.whl"));
    assert_eq!(std::fs::read(file).unwrap(), b"six");
    assert_eq!(found.read(3).await.unwrap(), "six");
    assert!(found.read(2).await.is_err());
    for name in ["a", "b", "c"] {
        assert!(world.store().join(name).join("root.json").exists(), "a store each");
    }
    assert!(world.store().join("c/metadata/delegated/packages.json").exists(), "what was fetched is kept");
}

#[tokio::test]
async fn a_find_can_run_on_any_thread() {
    let (world, _) = World::of(2);
    let client = world.client(&[mapping("ab", 2, true)]);
    let downloads = world.downloads();
    let task = tokio::spawn(async move { client.download(&path("a.txt"), &downloads).await });
    assert!(task.await.unwrap().is_ok());
}

/// What is wrong with `b`, who is on which side then for threshold 2 of `a` and `b`, whether that is a refusal, and
/// what the message says.
#[tokio::test]
async fn one_bad_repository_of_two_stops_a_threshold_of_two_but_not_of_three() {
    type Break = fn(&World);
    let rows: [(&str, Break, [&str; 3], bool, &str); 7] = [
        (
            "signs another hash",
            |world| {
                let mut other = repo(50);
                other.add("a.txt", b"alphA");
                world.publish("b", other.build());
            },
            ["a", "b", ""],
            true,
            "b signs for 5 bytes, sha256 ",
        ),
        (
            "signs another length",
            |world| {
                let mut other = repo(50);
                let target = TargetFile::new(6, Hashes::of(b"alpha"));
                other.targets.targets.insert(&path("a.txt"), target);
                world.publish("b", other.build());
            },
            ["a", "b", ""],
            true,
            "b signs for 6 bytes",
        ),
        (
            "lacks the target",
            |world| {
                let mut other = repo(50);
                other.targets.targets.remove(&path("a.txt"));
                world.publish("b", other.build());
            },
            ["a", "b", ""],
            true,
            "b has no such target",
        ),
        (
            "is another's",
            |world| {
                // What is served is signed by somebody else.
                let mut files = repo(50).build();
                let timestamp = tuf_core::Timestamp::new(far(), tuf_core::MetaFile::of(1, b"{}"));
                files.insert("metadata/timestamp.json".to_owned(), sign(&timestamp, &[77]));
                world.publish("b", files);
            },
            ["a", "", "b"],
            true,
            "b failed: https://b.example/metadata/timestamp.json: timestamp 1 refused: signed by 0 of the 1 keys",
        ),
        (
            "is stale",
            |world| {
                let mut other = repo(50);
                other.timestamp_expires = "2029-12-31T00:00:00Z".parse().unwrap();
                world.publish("b", other.build());
            },
            ["a", "", "b"],
            true,
            "expired at 2029-12-31",
        ),
        ("is unreachable", |world| world.unreachable("b"), ["a", "", "b"], false, "b failed: "),
        (
            "signs no hash that is known",
            |world| {
                let mut other = repo(50);
                let target = TargetFile::new(5, Hashes::default());
                other.targets.targets.insert(&path("a.txt"), target);
                world.publish("b", other.build());
            },
            ["a", "", "b"],
            true,
            "no sha256 and no sha512",
        ),
    ];
    for (what, break_it, expected, refusal, text) in rows {
        let (world, _) = World::of(3);
        break_it(&world);
        let error = world.find(&[mapping("ab", 2, true)], "a.txt").await.unwrap_err();
        let [count] = counts(&error) else { panic!("{what}: {error}") };
        assert_eq!((count.needed, count.mapping), (2, 0), "{what}");
        assert_eq!(sides_of(count), nobody_but(expected), "{what}: {error}");
        assert_eq!(error.is_refusal(), refusal, "{what}: {error}");
        assert_eq!(error.attack().is_some(), refusal, "{what}: {error}");
        assert!(error.to_string().contains(text), "{what}: {error}");
        // The other two outvote it.
        let found = world.find(&[mapping("abc", 2, true)], "a.txt").await.unwrap();
        let [_, disagreeing, failed] = expected;
        assert_eq!(sides(&found), nobody_but(["ac", disagreeing, failed]), "{what}");
        assert_eq!(found.read(5).await.unwrap(), "alpha", "{what}");
        let error = world.find(&[mapping("abc", 3, true)], "a.txt").await.unwrap_err();
        assert_eq!(sides_of(&counts(&error)[0]), nobody_but(["ac", disagreeing, failed]), "{what}");
        // Where one is enough, it is not waited for.
        assert_eq!(sides(&world.find(&[mapping("ab", 1, true)], "a.txt").await.unwrap())[0], "a", "{what}");
    }
}

#[tokio::test]
async fn a_repository_that_goes_back_in_time_fails_on_its_own() {
    let (world, mut repos) = World::of(2);
    repos[1].version = 2;
    world.publish("b", repos[1].build());
    let mappings = [mapping("ab", 2, true)];
    world.find(&mappings, "a.txt").await.unwrap();
    repos[1].version = 1;
    world.publish("b", repos[1].build());
    let error = world.find(&mappings, "a.txt").await.unwrap_err();
    assert_eq!(sides_of(&counts(&error)[0]), nobody_but(["a", "", "b"]));
    assert_eq!((error.attack(), error.is_refusal()), (Some("rollback"), true), "{error}");
}

#[tokio::test]
async fn a_target_that_nobody_has_is_not_found_and_no_attack() {
    let (world, _) = World::of(2);
    let error = world.find(&[mapping("ab", 1, false)], "none.txt").await.unwrap_err();
    assert_eq!(sides_of(&counts(&error)[0]), nobody_but(["", "ab", ""]));
    assert!(!error.is_refusal() && error.attack().is_none(), "{error}");
    world.net.asked();
    let error = world.find(&[mapping("ab", 1, false)], "a/b/c").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotMapped(_)), "{error}");
    assert!(error.hint().unwrap().contains("`*` does not match `/`"));
    assert!(world.net.asked().is_empty());
}

#[tokio::test]
async fn mappings_are_asked_in_order_until_one_agrees_or_terminates() {
    let (world, mut repos) = World::of(3);
    repos[1].add("a.txt", b"other");
    repos[2].add("a.txt", b"other");
    for (repo, name) in repos.iter().zip(["a", "b", "c"]) {
        world.publish(name, repo.build());
    }
    // The first two do not agree; the second mapping decides.
    let passed = world.find(&[mapping("ab", 2, false), mapping("c", 1, true)], "a.txt").await.unwrap();
    assert_eq!((passed.mapping, sides(&passed)), (1, nobody_but(["c", "", ""])));
    assert_eq!(sides_of(&passed.passed_over[0]), nobody_but(["a", "b", ""]));
    assert_eq!(passed.read(9).await.unwrap(), "other");
    // A terminating one is the last word.
    world.net.asked();
    let error = world.find(&[mapping("ab", 2, true), mapping("c", 1, true)], "a.txt").await.unwrap_err();
    assert_eq!(counts(&error).len(), 1);
    assert_eq!(world.net.hosts_asked(), ["a.example", "b.example"], "only those of the mapping are asked");
    // The order of mappings, and of repositories in one, decides.
    let first = async |mappings: &[Value]| world.find(mappings, "a.txt").await.unwrap().file.hashes;
    let (alpha, other) = (Hashes::of(b"alpha"), Hashes::of(b"other"));
    assert_eq!(first(&[mapping("a", 1, false), mapping("b", 1, false)]).await, alpha);
    assert_eq!(first(&[mapping("b", 1, false), mapping("a", 1, false)]).await, other);
    assert_eq!(first(&[mapping("ab", 1, true)]).await, alpha);
    assert_eq!(first(&[mapping("ba", 1, true)]).await, other);
    assert_eq!(first(&[mapping("abc", 2, true)]).await, other);
    // A mapping that does not cover the path is not asked, even if it is terminating.
    let mut elsewhere = mapping("a", 1, true);
    elsewhere["paths"] = json!(["b*"]);
    assert_eq!(first(&[elsewhere, mapping("b", 1, true)]).await, other);
    let error = world.find(&[mapping("ab", 2, false), mapping("ca", 2, false)], "a.txt").await.unwrap_err();
    assert_eq!(counts(&error).iter().map(|count| count.mapping).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn custom_is_not_agreed_upon() {
    let (world, mut repos) = World::of(2);
    for (repo, name) in repos.iter_mut().zip(["a", "b"]) {
        let mut file = TargetFile::new(5, Hashes::of(b"alpha"));
        file.custom = Some(Json::parse(format!("\"by {name}\"").as_bytes()).unwrap());
        repo.targets.targets.insert(&path("a.txt"), file);
        world.publish(name, repo.build());
    }
    let found = world.find(&[mapping("ab", 2, true)], "a.txt").await.unwrap();
    assert_eq!(found.file.custom, None);
    let custom = |index: usize| found.agreeing[index].target.file.custom.as_ref().unwrap().as_canonical();
    assert_eq!((custom(0), custom(1)), ("\"by a\"", "\"by b\""));
}

/// `a` signs sha256 of the good bytes; `b` signs the same, and a sha512 that is not theirs. They agree, and no bytes can
/// satisfy both: nothing is written.
#[tokio::test]
async fn bytes_must_match_every_hash_that_an_agreeing_repository_signs() {
    let (world, _) = World::of(2);
    let sha256 = Hashes::of(b"alpha").preferred();
    world.publish("b", with_hashes(repo(50), &json!({"sha256": sha256, "sha512": "00".repeat(64)})));
    let client = world.client(&[mapping("ab", 2, true)]);
    let found = client.find(&path("a.txt")).await.unwrap();
    assert_eq!(found.file.hashes.iter().count(), 2);
    let error = client.download(&path("a.txt"), &world.downloads()).await.unwrap_err();
    assert!(error.is_refusal() && error.attack() == Some("wrong-software"), "{error}");
    assert!(matches!(error.kind(), ErrorKind::Repositories(faults) if faults.len() == 2), "{error}");
    assert!(everything(&world.downloads()).iter().all(|path| path.is_dir()));
}

/// The repository with these hashes for `a.txt`, which no builder makes.
fn with_hashes(mut repo: Repo, hashes: &Value) -> Files {
    let text = &repo.build()["metadata/1.targets.json"];
    let mut file: Value = serde_json::from_slice(text).unwrap();
    file["signed"]["targets"]["a.txt"]["hashes"] = hashes.clone();
    repo.targets = tuf_core::read_unverified(
        &tuf_core::Envelope::parse(file.to_string().into_bytes(), &tuf_core::Limits::default()).unwrap(),
        &tuf_core::Limits::default(),
    )
    .unwrap();
    repo.build()
}

#[tokio::test]
async fn a_download_falls_back_on_other_urls_and_other_repositories() {
    let (world, repos) = World::of(2);
    let mut urls = json!({"repositories": {}, "mapping": [mapping("ab", 2, true)]});
    urls["repositories"]["a"] = json!(["https://gone.example/", "https://a.example/"]);
    urls["repositories"]["b"] = json!(["https://b.example/"]);
    let map = Map::parse(urls.to_string().as_bytes()).unwrap();
    let client = world.builder(map).build().unwrap();
    let found = client.find(&path("a.txt")).await.unwrap();
    assert_eq!(sides(&found)[0], "ab", "the second URL stands in for the first");
    // The bytes of the first repository are wrong everywhere: the second has them.
    let mut files = repos[0].build();
    let remote = format!("targets/{}", path("a.txt").remote(Some(&Hashes::of(b"alpha"))));
    files.insert(remote.clone(), b"alphA".to_vec());
    world.publish("a", files);
    world.net.asked();
    let file = client.download(&path("a.txt"), &world.downloads()).await.unwrap();
    assert_eq!(std::fs::read(file).unwrap(), b"alpha");
    let asked = world.net.asked();
    for host in ["a", "b"] {
        assert!(asked.contains(&format!("{host}.example/{remote}")), "{asked:?}");
    }
    // The URLs of a repository may change places, and one may be gone: the store is still the same one's.
    urls["repositories"]["a"] = json!(["https://a.example/", "https://gone.example/"]);
    let map = Map::parse(urls.to_string().as_bytes()).unwrap();
    world.builder(map).build().unwrap().find(&path("a.txt")).await.unwrap();
    urls["repositories"]["a"] = json!(["https://a.example/"]);
    let map = Map::parse(urls.to_string().as_bytes()).unwrap();
    let error = world.builder(map).build().unwrap_err();
    assert!(error.to_string().contains(r#"repositories["a"]: store"#), "{error}");
}

#[tokio::test]
async fn a_view_refreshes_each_repository_once_and_only_when_needed() {
    let (world, mut repos) = World::of(3);
    world.unreachable("c");
    let mut only_c = mapping("c", 1, true);
    only_c["paths"] = json!(["c.txt"]);
    let client = world.client(&[only_c, mapping("ab", 2, true)]);
    let view = client.view();
    assert!(world.net.asked().is_empty());
    view.find(&path("a.txt")).await.unwrap();
    assert_eq!(world.net.hosts_asked(), ["a.example", "b.example"]);
    view.find(&path("a.txt")).await.unwrap();
    assert!(world.net.asked().is_empty(), "it is pinned");
    for asked in [1, 0] {
        let error = view.find(&path("c.txt")).await.unwrap_err();
        assert_eq!(sides_of(&counts(&error)[0])[2], "c");
        assert_eq!(world.net.asked().iter().filter(|url| url.contains("root")).count(), asked, "once");
    }
    let refreshed = view.refresh_all().await;
    let good: Vec<_> = refreshed.iter().map(|(name, view)| (name.as_str(), view.is_ok())).collect();
    assert_eq!(good, [("a", true), ("b", true), ("c", false)]);
    // It published in between: the role that the pinned snapshot names is gone, and a newer one is there.
    for (repo, name) in repos.iter_mut().zip(["a", "b"]) {
        repo.version = 2;
        world.publish(name, repo.build());
    }
    world.net.asked();
    let found = view.find(&path("packages/six.whl")).await.unwrap();
    assert_eq!(found.agreeing[0].view().trusted().snapshot().header.version, 2);
    view.save().await.unwrap();
    assert!(world.store().join("a/metadata/delegated/packages.json").exists());
}

#[tokio::test]
async fn nothing_is_created_or_asked_before_map_and_roots_are_valid() {
    let (mut world, _) = World::of(2);
    let good = [mapping("ab", 2, true)];
    let refused = |world: &World, expected: &str| {
        let error = world.builder(world.map(&good)).build().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(everything(world.directory.path()).is_empty() && world.net.asked().is_empty(), "{error}");
        error
    };
    let root = world.roots["b"].clone();
    // The last of the roots is not one, is not signed by itself, is missing, or is the other's.
    world.roots.insert("b".to_owned(), b"{}".to_vec());
    assert!(refused(&world, r#"repositories["b"]: its pinned root"#).is_refusal());
    let mut unsigned = repo(50);
    unsigned.root_seeds = vec![50];
    world.roots.insert("b".to_owned(), unsigned.build()["metadata/1.root.json"].clone());
    assert!(refused(&world, "signed by 1 of the 2 keys").is_refusal());
    let other = world.roots["a"].clone();
    world.roots.insert("b".to_owned(), other);
    let error = refused(&world, "a and b have the same pinned root");
    assert!(matches!(error.kind(), ErrorKind::Map(map) if map.mapping() == Some(0)));
    let roots = world.roots.clone();
    let map = world.map(&good);
    let builder = MultiClient::builder(map, |_| Err(io::ErrorKind::NotFound.into()), &world.store());
    let error = builder.transport(world.net.clone()).build().unwrap_err();
    let ErrorKind::Map(error) = error.kind() else { panic!("{error}") };
    assert!(matches!(error.kind(), MapErrorKind::NoRoot(_)) && error.hint().is_some(), "{error}");
    assert!(everything(world.directory.path()).is_empty() && !roots.is_empty());
    // The same root for two of which one is enough is no way around anything.
    world.builder(world.map(&[mapping("ab", 1, true)])).build().unwrap();
    // The store is the one's; now it is told that it is another's.
    world.roots.insert("b".to_owned(), root);
    let error = world.builder(world.map(&good)).build().unwrap_err();
    assert!(error.to_string().contains("initialised with the root"), "{error}");
}

#[test]
fn a_repository_named_like_a_path_is_refused_before_any_directory_exists() {
    let map = json!({
        "repositories": {"a": ["https://a.example/"], "../x": ["https://x.example/"]},
        "mapping": [mapping("a", 1, true)],
    });
    let error = Map::parse(map.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains(r#"repositories["../x"]: this cannot be the name"#), "{error}");
}

#[cfg(feature = "blocking")]
#[test]
fn blocking_does_the_same() {
    let (world, _) = World::of(2);
    let client = tuf_client::blocking::MultiClient::new(world.client(&[mapping("ab", 2, true)])).unwrap();
    let found = client.find(&path("a.txt")).unwrap();
    assert_eq!(client.read(&found, 9).unwrap(), "alpha");
    let file = client.download(&path("a.txt"), &world.downloads()).unwrap();
    assert_eq!(std::fs::read(file).unwrap(), b"alpha");
}
