//! Downloads from a server on the loopback interface that breaks off, lies about ranges, or is gone.

mod batch;
mod cache;
mod clock;
mod offline;
mod resume;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tuf_client::Url;
use tuf_client::store::{FsStore, MemoryStore, Store};
use tuf_client::transport::{HttpOptions, HttpTransport, Retry, SchemeTransport};
use tuf_client::tuf_core::{Batch, Change, RoleName, StoredFile};
use tuf_client::{
    Client, ClientBuilder, DownloadOptions, Error, ErrorKind, Progress, Target, TargetCache, TargetPath,
    View, Warning, dangerous,
};

use crate::common::{Files, Repo, far, now};
use crate::web;

/// How ranges are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ranges {
    Honoured,
    Ignored,
    /// With another range than the one asked for.
    Wrong,
    /// With the right headers and the wrong bytes.
    Poisoned,
    /// 416
    Refused,
}

#[derive(Clone, Debug)]
struct Server(Arc<State>);

#[derive(Debug)]
struct State {
    files: Mutex<Files>,
    ranges: Mutex<Ranges>,
    /// How many times more each path breaks off after so many bytes.
    cuts: Mutex<HashMap<String, (usize, usize)>>,
    /// Path and first byte asked for.
    asked: Mutex<Vec<(String, Option<u64>)>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    fn new(files: Files) -> Self {
        Self(Arc::new(State {
            files: Mutex::new(files),
            ranges: Mutex::new(Ranges::Honoured),
            cuts: Mutex::default(),
            asked: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }))
    }

    async fn start(&self) -> Url {
        let server = self.clone();
        let address = web::listen(move |stream| {
            let server = server.clone();
            async move { server.answer(stream).await }
        })
        .await;
        Url::parse(&format!("http://{address}/")).unwrap()
    }

    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = web::head(&mut stream).await?;
        let path = web::path(&request).to_owned();
        let from = request.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
        });
        self.0.asked.lock().unwrap().push((path.clone(), from));
        if path.starts_with("targets/") {
            // Counted before the answer, after which the next request may come at any time.
            let now = self.0.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.most.fetch_max(now, Ordering::SeqCst);
            // So that requests which may overlap do.
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.0.now.fetch_sub(1, Ordering::SeqCst);
        }
        let Some(mut bytes) = self.0.files.lock().unwrap().get(&path).cloned() else {
            return stream
                .write_all(b"HTTP/1.1 404 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
        };
        let total = bytes.len();
        let ranges = *self.0.ranges.lock().unwrap();
        let (mut status, mut range) = (200, String::new());
        if let Some(from) = from.filter(|_| ranges != Ranges::Ignored) {
            if ranges == Ranges::Refused {
                return stream
                    .write_all(b"HTTP/1.1 416 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
            let first = if ranges == Ranges::Wrong { from - 1 } else { from };
            bytes.drain(..usize::try_from(first).unwrap());
            if ranges == Ranges::Poisoned {
                bytes.fill(b'!');
            }
            (status, range) = (206, format!("Content-Range: bytes {first}-{}/{total}\r\n", total - 1));
        }
        let length = bytes.len();
        if let Some((left, after)) = self.0.cuts.lock().unwrap().get_mut(&path).filter(|(left, _)| *left > 0)
        {
            *left -= 1;
            bytes.truncate(*after);
        }
        let head =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{range}\r\n");
        stream.write_all(&[head.as_bytes(), &bytes].concat()).await
    }

    fn cut(&self, path: &str, times: usize, after: usize) {
        let files = self.0.files.lock().unwrap();
        let path =
            files.keys().find(|name| name.starts_with("targets/") && name.ends_with(&format!(".{path}")));
        self.0.cuts.lock().unwrap().insert(path.unwrap().clone(), (times, after));
    }

    fn ranges(&self, ranges: Ranges) {
        *self.0.ranges.lock().unwrap() = ranges;
    }

    /// What was asked for below `targets/` since the last time: the first byte of each.
    fn asked(&self) -> Vec<Option<u64>> {
        let asked = std::mem::take(&mut *self.0.asked.lock().unwrap());
        asked.into_iter().filter(|(path, _)| path.starts_with("targets/")).map(|(_, from)| from).collect()
    }
}

/// One try for each file, so that what breaks off fails.
fn builder(root: Vec<u8>, url: Url, tries: u32) -> ClientBuilder {
    let mut options = HttpOptions::default();
    options.system_proxy = false;
    let http = HttpTransport::new(options).unwrap();
    let retry =
        Retry::new(SchemeTransport::with_http(http)).tries(tries).first_wait(Duration::from_millis(1));
    Client::builder(root, url).transport(retry)
}

fn large() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

struct Setup {
    repo: Repo,
    root: Vec<u8>,
    server: Server,
    url: Url,
    directory: tempfile::TempDir,
}

impl Setup {
    async fn new() -> Self {
        let mut repo = Repo::new();
        repo.add("large.bin", &large());
        let files = repo.build();
        let root = files["metadata/1.root.json"].clone();
        let server = Server::new(files);
        let url = server.start().await;
        Self { repo, root, server, url, directory: tempfile::tempdir().unwrap() }
    }

    fn builder(&self) -> ClientBuilder {
        builder(self.root.clone(), self.url.clone(), 1)
    }

    fn publish(&self) {
        *self.server.0.files.lock().unwrap() = self.repo.build();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A store that lasts.
    fn store(&self) -> FsStore {
        FsStore::init(&self.path("store"), &self.root, &self.url).unwrap()
    }

    async fn view(&self) -> View {
        let view = self.builder().build().unwrap().refresh().await.unwrap();
        self.server.asked();
        view
    }

    async fn download(&self) -> Result<Vec<u8>, Error> {
        download(&self.view().await, "large.bin", &self.path("out")).await
    }

    fn parts(&self) -> Vec<PathBuf> {
        parts(&self.path("out"))
    }
}

async fn find(view: &View, path: &str) -> Target {
    view.require(&TargetPath::new(path).unwrap()).await.unwrap()
}

async fn download(view: &View, path: &str, directory: &Path) -> Result<Vec<u8>, Error> {
    let file = view.download(&find(view, path).await, directory).await?;
    Ok(std::fs::read(file).unwrap())
}

/// What has no final name.
fn parts(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let hidden = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('.');
    entries.map(|entry| entry.unwrap().path()).filter(hidden).collect()
}
