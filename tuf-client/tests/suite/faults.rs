//! Honest trouble: servers that fail now and then, and repositories that are published only in part.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;
use tuf_client::Url;
use tuf_client::store::FsStore;
use tuf_client::transport::{
    Body, HttpOptions, Retry, Transport, TransportError, TransportErrorKind, Waiting,
};
use tuf_client::{Client, Error, TargetPath, View, env};

use crate::common::{Files, MapTransport, Repo};

fn base() -> Url {
    "https://index.example/".parse().unwrap()
}

/// In memory, with an honest fault in one of twenty requests: status 503, a connection that is reset, a body that
/// breaks off, silence before or within the answer. Says how many requests and faults there were.
#[derive(Debug)]
struct Unreliable {
    files: Arc<Files>,
    dice: Mutex<u64>,
    counts: Arc<Mutex<(u32, u32)>>,
}

impl Unreliable {
    async fn answer(&self, url: &Url, fault: Option<u64>) -> Result<Body, TransportError> {
        let fail = |kind| Err(TransportError::new(url, kind));
        match fault {
            Some(0) => return fail(TransportErrorKind::Status(503)),
            Some(1) => return fail(TransportErrorKind::Io),
            Some(2) => std::future::pending().await,
            _ => {}
        }
        let Some(bytes) = self.files.get(url.path().trim_start_matches('/')) else {
            return fail(TransportErrorKind::NotFound { status: Some(404) });
        };
        if fault.is_none() {
            return Ok(Body::from_bytes(url, bytes.clone()));
        }
        let half = stream::iter([Ok(Bytes::copy_from_slice(&bytes[..bytes.len() / 2]))]);
        let length = u64::try_from(bytes.len()).ok();
        Ok(match fault {
            Some(3) => Body::from_stream(url, length, half),
            _ => Body::from_stream(url, length, half.chain(stream::pending())),
        })
    }
}

impl Transport for Unreliable {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        let mut dice = self.dice.lock().unwrap();
        *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let thrown = (*dice >> 33) % 100;
        let fault = (thrown < 5).then_some(thrown);
        let mut counts = self.counts.lock().unwrap();
        *counts = (counts.0 + 1, counts.1 + u32::from(fault.is_some()));
        Box::pin(async move { HttpOptions::default().pace.apply(url, self.answer(url, fault)).await })
    }
}

/// `TUF_TEST_REFRESHES` says how many; 10,000 are the figure to publish.
#[tokio::test(start_paused = true)]
async fn of_a_thousand_refreshes_with_one_fault_in_twenty_requests_at_most_one_fails() {
    let refreshes: u32 = env::var("TUF_TEST_REFRESHES").map_or(500, |text| text.parse().unwrap());
    let files = Arc::new(Repo::new().build());
    let root = files["metadata/1.root.json"].clone();
    let counts = Arc::default();
    let transport = Retry::new(Unreliable { files, dice: Mutex::new(1), counts: Arc::clone(&counts) });
    let (mut failed, mut longest, start) = (Vec::new(), Duration::ZERO, Instant::now());
    for number in 0..refreshes {
        let client = Client::builder(root.clone(), base()).transport(transport.clone()).build().unwrap();
        let begun = Instant::now();
        if let Err(error) = client.refresh().await {
            assert!(!error.is_refusal(), "{error}");
            failed.push(format!("{number}: {error}"));
        }
        longest = longest.max(begun.elapsed());
    }
    let (requests, faults) = *counts.lock().unwrap();
    let passed = start.elapsed().as_secs();
    let lost = failed.len();
    println!("{refreshes} refreshes, {requests} requests, {faults} faults: {lost} failed");
    println!("{passed} s in all, the longest {:.1} s (as the paused clock counts)", longest.as_secs_f32());
    assert!(faults * 30 > requests, "there are faults");
    assert!(lost <= usize::try_from(refreshes.div_ceil(1000)).unwrap(), "{failed:#?}");
    // Three requests for one file at worst, 30 s for all of them, and waits.
    assert!(longest < Duration::from_secs(300), "{longest:?}");
}

/// Answers only the second time; the first request was lost.
#[derive(Debug)]
struct Loses(MapTransport, Mutex<Vec<String>>);

impl Transport for Loses {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        let mut asked = self.1.lock().unwrap();
        let first = !asked.contains(&url.to_string());
        asked.push(url.to_string());
        let answer: BoxFuture<'a, _> =
            if first { Box::pin(std::future::pending()) } else { self.0.fetch(url) };
        Box::pin(async move { HttpOptions::default().pace.apply(url, answer).await })
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_asked_again_before_the_file_is_given_up() {
    let files = Arc::new(Repo::new().build());
    let root = files["metadata/1.root.json"].clone();
    let transport = Retry::new(Loses(MapTransport(files), Mutex::default()));
    let client = Client::builder(root, base()).transport(transport).build().unwrap();
    let view = client.refresh().await.unwrap();
    let target = view.require(&TargetPath::new("a.txt").unwrap()).await.unwrap();
    assert_eq!(view.read(&view.wanted(&target), 100).await.unwrap(), &b"alpha"[..]);
}

#[derive(Debug)]
struct Silent;

impl Transport for Silent {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(async move { HttpOptions::default().pace.apply(url, std::future::pending()).await })
    }
}

#[tokio::test(start_paused = true)]
async fn all_tries_together_get_thirty_seconds() {
    let root = Repo::new().build()["metadata/1.root.json"].clone();
    let client = Client::builder(root, base()).transport(Retry::new(Silent)).build().unwrap();
    let start = Instant::now();
    let error = client.refresh().await.unwrap_err();
    let limit = Duration::from_secs(30);
    assert_eq!(start.elapsed().as_secs(), limit.as_secs());
    let tuf_client::ErrorKind::Transport(error) = error.kind() else { panic!("{error:?}") };
    assert_eq!(error.kind(), &TransportErrorKind::Timeout { waiting: Waiting::Headers, limit });
}

/// What is on the server can be replaced.
#[derive(Clone, Debug)]
struct Site(Arc<Mutex<Arc<Files>>>);

impl Site {
    fn put(&self, files: &Files) {
        *self.0.lock().unwrap() = Arc::new(files.clone());
    }
}

impl Transport for Site {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        let files = MapTransport(Arc::clone(&*self.0.lock().unwrap()));
        Box::pin(async move { files.fetch(url).await })
    }
}

const WHEEL: &str = "packages/six.whl";

async fn wheel(view: &View) -> Result<Bytes, Error> {
    let target = view.require(&TargetPath::new(WHEEL).unwrap()).await?;
    view.read(&view.wanted(&target), 100).await
}

/// Two states of a repository; with consistent snapshots the newer one still has the files of the older one.
fn published(consistent: bool) -> (Files, Files) {
    let mut repo = Repo::new();
    repo.root.consistent_snapshot = consistent;
    let old = repo.build();
    repo.version = 2;
    repo.add_to("packages", WHEEL, b"six, newer");
    let new = repo.build();
    (old.clone(), old.into_iter().chain(new).collect())
}

/// A publisher died after the timestamp, or a cache in between has some files of before: whatever is missing or
/// stale, nobody gets a mixture, what was there before can be used, and all is well once all is there.
#[tokio::test]
async fn a_repository_that_is_published_in_part_is_refused_cleanly_and_read_once_it_is_whole() {
    for consistent in [true, false] {
        let (old, new) = published(consistent);
        let root = old["metadata/1.root.json"].clone();
        let names: Vec<String> = if consistent {
            let wheel = new.keys().find(|name| new[*name] == b"six, newer" && name.contains(".six")).unwrap();
            let metadata = ["2.snapshot.json", "2.targets.json", "2.packages.json"];
            metadata.iter().map(|name| format!("metadata/{name}")).chain([wheel.clone()]).collect()
        } else {
            let metadata = ["snapshot.json", "targets.json", "packages.json"];
            let names = metadata.iter().map(|name| format!("metadata/{name}"));
            names.chain([format!("targets/{WHEEL}")]).collect()
        };
        for subset in 1..1_usize << names.len() {
            let absent = names.iter().enumerate().filter(|(bit, _)| subset & (1 << bit) != 0);
            let absent: Vec<&String> = absent.map(|(_, name)| name).collect();
            let case = format!("{absent:?}");
            let mut partial = new.clone();
            for name in &absent {
                match old.get(*name) {
                    Some(stale) => partial.insert((*name).clone(), stale.clone()),
                    None => partial.remove(*name),
                };
            }
            let (site, directory) = (Site(Arc::default()), tempfile::tempdir().unwrap());
            let client = || {
                let store = FsStore::init(directory.path(), &root, &base()).unwrap();
                Client::builder(root.clone(), base()).transport(site.clone()).store(store).build().unwrap()
            };

            site.put(&old);
            let view = client().refresh().await.unwrap();
            assert_eq!(wheel(&view).await.unwrap(), &b"six"[..]);

            site.put(&partial);
            let client_of_then = client();
            let error = match client_of_then.refresh().await {
                Ok(newer) => wheel(&newer).await.unwrap_err(),
                Err(error) => error,
            };
            // Missing files can be there a moment later; stale ones are what an attacker would serve, too.
            assert_eq!(
                (error.is_missing(), error.is_refusal()),
                (consistent, !consistent),
                "{case}: {error}"
            );
            assert!(error.hint().is_some(), "{case}: {error}");
            let names = view.find(&TargetPath::new(WHEEL).unwrap()).await.unwrap();
            assert!(names.is_some(), "{case}: the view of before stays usable");
            if consistent {
                assert_eq!(wheel(&view).await.unwrap(), &b"six"[..], "{case}");
            }

            // A cache that has the whole state of before does not bring it back.
            site.put(&old);
            let error = client().refresh().await.unwrap_err();
            assert_eq!(error.attack(), Some("rollback"), "{case}: {error}");

            site.put(&new);
            let view = client().refresh().await.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(view.trusted().snapshot().header.version, 2, "{case}");
            assert_eq!(wheel(&view).await.unwrap(), &b"six, newer"[..], "{case}");
        }
    }
}
