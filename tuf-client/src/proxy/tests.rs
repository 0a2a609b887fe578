//! The proxy over real HTTP against a fake snapshot that can be tampered with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::source::Chunks;
use super::*;
use crate::{Wanted, clock};

mod files;
mod pages;
mod views;
mod ways;

const PIP: &str = "User-Agent: pip/26.3 {}\r\nAccept: application/vnd.pypi.simple.v1+json\r\n";
const UV: &str = "User-Agent: uv/0.13.8\r\nAccept: application/vnd.pypi.simple.v1+json\r\n";
const WHEEL: &str = "demo_a-1.0+local-py3-none-any.whl";

/// How the fake answers for one path below `targets/`.
#[derive(Clone)]
pub(crate) enum Behaviour {
    Good(Bytes),
    /// All bytes, then the error that a wrong hash gives.
    BadHash(Bytes),
    /// So many bytes, then a broken connection.
    Broken(Bytes, usize),
    /// So many bytes, then nothing more.
    Stalled(Bytes, usize),
}

/// A snapshot in memory.
pub(crate) struct Fake {
    pub(crate) pages: HashMap<String, Result<Bytes, Failure>>,
    pub(crate) files: HashMap<String, Behaviour>,
    pub(crate) expires: DateTime<Utc>,
    pub(crate) version: u64,
    pub(crate) opened: AtomicUsize,
}

fn bad_hash() -> Failure {
    Failure::new(Kind::Verification, Some("hash"), "sha256 differs from the signed target")
}

impl Snapshot for Fake {
    fn page(&self, target: String) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        async move { self.pages.get(&target).cloned().transpose() }.boxed()
    }

    fn open(&self, wanted: Wanted) -> BoxFuture<'_, Result<Chunks, Failure>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let missing = || Failure::new(Kind::Unavailable, None, "the mirror answered 404");
        let behaviour = self.files.get(&wanted.path).cloned().ok_or_else(missing);
        async move {
            let (bytes, end) = match behaviour? {
                Behaviour::Stalled(bytes, at) => {
                    return Ok(stream::iter([Ok(bytes.slice(..at))]).chain(stream::pending()).boxed());
                }
                Behaviour::Good(bytes) => (bytes, None),
                Behaviour::BadHash(bytes) => (bytes, Some(bad_hash())),
                Behaviour::Broken(bytes, at) => {
                    (bytes.slice(..at), Some(Failure::new(Kind::Unavailable, None, "connection reset")))
                }
            };
            let chunks: Vec<_> =
                bytes.chunks(40_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            // Late enough for the client to have all that was let through.
            let late = |failure| async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(failure)
            };
            Ok(stream::iter(chunks).chain(stream::iter(end).then(late)).boxed())
        }
        .boxed()
    }

    fn open_hashed(
        &self,
        path: String,
        _max: u64,
        sha256: [u8; 32],
    ) -> BoxFuture<'_, Result<Bytes, Failure>> {
        let found = self.files.get(&path).cloned();
        async move {
            match found {
                Some(Behaviour::Good(bytes)) if digest(&SHA256, &bytes).as_ref() == sha256 => Ok(bytes),
                _ => Err(bad_hash()),
            }
        }
        .boxed()
    }

    fn expires(&self) -> DateTime<Utc> {
        self.expires
    }

    fn timestamp_expires(&self) -> DateTime<Utc> {
        self.expires
    }

    fn version(&self) -> u64 {
        self.version
    }
}

struct Snapshots(Mutex<Vec<Result<Arc<dyn Snapshot>, Failure>>>);

impl Upstream for Snapshots {
    fn refresh(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, Failure>> {
        let mut left = self.0.lock().unwrap();
        let next = if left.is_empty() {
            Err(Failure::new(Kind::Unavailable, None, "nothing answers"))
        } else {
            left.remove(0)
        };
        async move { next }.boxed()
    }
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

fn path_of(bytes: &[u8]) -> String {
    let hash = hash(bytes);
    format!("packages/{}/{}/{}/{WHEEL}", &hash[..2], &hash[2..4], &hash[4..])
}

fn url_of(bytes: &[u8]) -> String {
    format!("/files/demo-a/{}/{}", hash(bytes), path_of(bytes))
}

impl Fake {
    /// One project `demo-a` whose wheel holds `bytes`; the mirror treats it as `behave` says.
    pub(crate) fn new(version: u64, bytes: &Bytes, metadata: &[u8], behave: fn(Bytes) -> Behaviour) -> Self {
        let path = path_of(bytes);
        let page = json!({
            "files": [{"core-metadata": {"sha256": hash(metadata)}, "filename": WHEEL, "hashes": {"sha256": hash(bytes)},
                       "size": bytes.len(), "url": format!("../../{path}"), "yanked": false}],
            "meta": {"_layout": "pep458", "api-version": "1.4"}, "name": "demo-a", "versions": ["1.0+local"],
        });
        let (dir, name) = path.rsplit_once('/').unwrap();
        let files = [
            (format!("{dir}/{}.{name}", hash(bytes)), behave(bytes.clone())),
            (
                format!("{dir}/{}.{name}.metadata", hash(metadata)),
                Behaviour::Good(Bytes::copy_from_slice(metadata)),
            ),
        ];
        Self {
            pages: HashMap::from([(
                "simple/demo-a/index.json".to_owned(),
                Ok(Bytes::from(page.to_string())),
            )]),
            files: HashMap::from(files),
            expires: clock::now() + TimeDelta::hours(1),
            version,
            opened: AtomicUsize::new(0),
        }
    }
}

fn data(length: usize, seed: u8) -> Bytes {
    (0..length).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap() ^ seed).collect::<Vec<u8>>().into()
}

async fn start(fake: Fake) -> (RunningProxy, Arc<Fake>) {
    start_with(fake, ProxyOptions::default()).await
}

async fn start_with(fake: Fake, options: ProxyOptions) -> (RunningProxy, Arc<Fake>) {
    let fake = Arc::new(fake);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let snapshot: Arc<dyn Snapshot> = Arc::<Fake>::clone(&fake);
    (Proxy::from_snapshot(snapshot, options).start(listener).unwrap(), fake)
}

/// An answer as the client sees it, byte for byte.
pub(crate) struct Answer {
    pub(crate) status: u16,
    phrase: String,
    head: String,
    body: Vec<u8>,
    /// The connection ended with an error, not with an end of stream.
    reset: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn length(&self) -> usize {
        self.header("content-length").unwrap().parse().unwrap()
    }
}

/// Sends a request as it stands and reads until the proxy closes.
async fn raw(address: SocketAddr, request: String) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let reset = stream.read_to_end(&mut bytes).await.is_err();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let mut line = head.lines().next().unwrap().splitn(3, ' ');
    assert_eq!(line.next(), Some("HTTP/1.1"));
    let status = line.next().unwrap().parse().unwrap();
    Answer {
        status,
        phrase: line.next().unwrap_or_default().to_owned(),
        body: bytes[split + 4..].to_vec(),
        head,
        reset,
    }
}

async fn ask(proxy: &RunningProxy, method: &str, path: &str, headers: &str) -> Answer {
    let address = proxy.address();
    raw(address, format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n"))
        .await
}
