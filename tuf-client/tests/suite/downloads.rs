//! Downloads from a server on the loopback interface that breaks off, lies about ranges, or is gone.

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

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_broke_off_goes_on_in_the_next_run() {
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 2, 400_000);
    setup.download().await.unwrap_err();
    assert!(!setup.path("out/large.bin").exists());
    assert_eq!(setup.parts().len(), 1);
    assert_eq!(setup.server.asked(), [None]);
    // The rest breaks off as well.
    setup.download().await.unwrap_err();
    assert_eq!(std::fs::metadata(&setup.parts()[0]).unwrap().len(), 800_000);
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(setup.server.asked(), [Some(800_000)]);
    assert!(setup.parts().is_empty(), "{:?}", setup.parts());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ignore_or_refuse_ranges_and_may_not_lie() {
    // How it is answered, what is asked for.
    let rows = [
        (Ranges::Ignored, vec![Some(400_000)]),
        (Ranges::Refused, vec![Some(400_000), None]),
        (Ranges::Wrong, vec![Some(400_000), None]),
        (Ranges::Poisoned, vec![Some(400_000), None]),
    ];
    for (ranges, asked) in rows {
        let setup = Setup::new().await;
        setup.server.cut("large.bin", 1, 400_000);
        setup.download().await.unwrap_err();
        setup.server.ranges(ranges);
        assert_eq!(setup.download().await.unwrap(), large(), "{ranges:?}");
        assert_eq!(setup.server.asked(), asked, "{ranges:?}");
        assert!(setup.parts().is_empty(), "{ranges:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_tampered_with_or_is_complete_is_not_believed() {
    for (name, length) in [("flipped", 400_000), ("too long", 2_000_000), ("as long as the whole", 1_200_000)]
    {
        let setup = Setup::new().await;
        setup.server.cut("large.bin", 1, 400_000);
        setup.download().await.unwrap_err();
        let part = setup.parts().remove(0);
        let mut bytes = std::fs::read(&part).unwrap();
        bytes.resize(length, 0);
        bytes[7] ^= 1;
        tuf_client::durable::write_atomic(&part, &bytes).unwrap();
        assert_eq!(setup.download().await.unwrap(), large(), "{name}");
        assert!(setup.parts().is_empty(), "{name}");
    }
    // What is complete needs no request.
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 1, 400_000);
    setup.download().await.unwrap_err();
    tuf_client::durable::write_atomic(&setup.parts()[0], &large()).unwrap();
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(setup.server.asked(), []);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_of_one_version_and_of_this_user() {
    let mut setup = Setup::new().await;
    setup.server.cut("large.bin", 1, 400_000);
    setup.download().await.unwrap_err();
    // A link to a file elsewhere is not written to.
    let part = setup.parts().remove(0);
    let elsewhere = setup.path("elsewhere");
    std::fs::copy(&part, &elsewhere).unwrap();
    std::fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(setup.server.asked(), [None]);
    assert_eq!(std::fs::metadata(&elsewhere).unwrap().len(), 400_000);
    std::fs::remove_file(&part).unwrap();
    std::fs::hard_link(&elsewhere, &part).unwrap();
    std::fs::remove_file(setup.path("out/large.bin")).unwrap();
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(std::fs::metadata(&elsewhere).unwrap().len(), 400_000);
    std::fs::remove_file(&elsewhere).unwrap();
    // Now it is a plain file again, for the old version.
    setup.repo.add("large.bin", &[b'n'; 500_000]);
    setup.repo.version = 2;
    setup.publish();
    assert_eq!(setup.download().await.unwrap(), [b'n'; 500_000]);
    assert_eq!(setup.server.asked(), [None]);
    assert_eq!(setup.parts(), [part], "the other version's part is left for who wants that");
}

/// The first mirror's beginning is wrong; the second one is not blamed for it.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_mirrors_beginning_does_not_spoil_the_next_mirrors_end() {
    let setup = Setup::new().await;
    let hostile = Server::new(setup.repo.build());
    for (path, bytes) in hostile.0.files.lock().unwrap().iter_mut() {
        if path.ends_with(".large.bin") {
            bytes.fill(b'x');
        }
    }
    hostile.cut("large.bin", 9, 400_000);
    let url = hostile.start().await;
    let client = builder(setup.root.clone(), url, 1).mirror(setup.url.clone()).build().unwrap();
    let view = client.refresh().await.unwrap();
    let target = find(&view, "large.bin").await;
    // So that the hostile one is asked first: it served last.
    setup.server.0.files.lock().unwrap().retain(|path, _| !path.ends_with("a.txt"));
    view.read(&view.wanted(&find(&view, "a.txt").await), 100).await.unwrap();
    hostile.asked();
    setup.server.asked();
    let told = Mutex::new(0);
    let file = view
        .stage(&target, &setup.path("out/large.bin"), |bytes| *told.lock().unwrap() += bytes)
        .await
        .unwrap()
        .unwrap();
    file.finish().unwrap();
    assert_eq!(std::fs::read(setup.path("out/large.bin")).unwrap(), large());
    assert_eq!(*told.lock().unwrap(), 1_200_000, "every byte is told once");
    assert_eq!(hostile.asked(), [None]);
    assert_eq!(setup.server.asked(), [Some(400_000), None]);
    assert_eq!(client.mirrors()[1].fault, None, "the honest one is not blamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_asked_for_from_there_on() {
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 2, 400_000);
    let view = builder(setup.root.clone(), setup.url.clone(), 3).build().unwrap().refresh().await.unwrap();
    setup.server.asked();
    assert_eq!(download(&view, "large.bin", &setup.path("out")).await.unwrap(), large());
    assert_eq!(setup.server.asked(), [None, Some(400_000), Some(800_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_downloads_of_one_target_do_not_disturb_each_other() {
    let setup = Setup::new().await;
    let view = setup.view().await;
    let (out, target) = (setup.path("out"), find(&view, "large.bin").await);
    // Each has a file of its own, because locks are of the opened file, not of the process.
    let many = (0..6).map(|_| view.download(&target, &out));
    for result in futures_util::future::join_all(many).await {
        assert_eq!(std::fs::read(result.unwrap()).unwrap(), large());
    }
    assert!(setup.parts().is_empty(), "{:?}", setup.parts());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_downloaded_at_once_and_never_more_than_allowed() {
    let mut setup = Setup::new().await;
    let names: Vec<_> = (0..40).map(|n| format!("many/{n}.txt")).collect();
    for name in &names {
        setup.repo.add(name, name.as_bytes());
    }
    setup.publish();
    let view = setup.view().await;
    let mut targets = Vec::new();
    for name in &names {
        targets.push(find(&view, name).await);
    }
    setup.server.0.most.store(0, Ordering::SeqCst);
    let told: Mutex<HashMap<TargetPath, Vec<Progress>>> = Mutex::default();
    let tell =
        |target: &Target, what| told.lock().unwrap().entry(target.path.clone()).or_default().push(what);
    let options = DownloadOptions::default().parallel(4).progress(&tell);
    let files = view.download_all(&targets, &setup.path("out"), &options).await.unwrap();
    for (file, name) in files.iter().zip(&names) {
        assert!(file.ends_with(name));
        assert_eq!(std::fs::read(file).unwrap(), name.as_bytes());
    }
    let most = setup.server.0.most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at the same time");
    let told = told.lock().unwrap();
    for target in &targets {
        let expected = [Progress::Started, Progress::Bytes(target.file.length), Progress::Verified];
        assert_eq!(told[&target.path], expected);
    }
    assert!(parts(&setup.path("out/many")).is_empty());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_shows_nothing_and_keeps_what_it_has() {
    let setup = Setup::new().await;
    let view = setup.view().await;
    let targets = [find(&view, "a.txt").await, find(&view, "large.bin").await];
    setup.server.cut("large.bin", 1, 400_000);
    let options = DownloadOptions::default().parallel(1);
    view.download_all(&targets, &setup.path("out"), &options).await.unwrap_err();
    assert!(!setup.path("out/a.txt").exists() && !setup.path("out/large.bin").exists());
    assert_eq!(setup.parts().len(), 2, "{:?}", setup.parts());
    setup.server.asked();
    view.download_all(&targets, &setup.path("out"), &options).await.unwrap();
    assert_eq!(setup.server.asked(), [Some(400_000)], "only what is missing");
    assert_eq!(std::fs::read(setup.path("out/a.txt")).unwrap(), b"alpha");
    assert_eq!(std::fs::read(setup.path("out/large.bin")).unwrap(), large());
    assert!(setup.parts().is_empty());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_nobody_comes_back_for_are_removed() {
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 1, 400_000);
    setup.download().await.unwrap_err();
    let fresh = setup.parts().remove(0);
    // Of a batch that still goes on, for all anybody knows.
    let waiting = ".tmp-waiting";
    for (name, hours) in
        [(".part-old", 8 * 24), (".tmp-old", 25), (waiting, 2), ("old", 8 * 24), (".part-empty", 0)]
    {
        let bytes: &[u8] = if name == ".part-empty" { b"" } else { b"x" };
        let path = setup.path("out").join(name);
        let _ = tuf_client::durable::create_new(&path, bytes).unwrap();
        let then = tuf_client::clock::now() - TimeDelta::hours(hours);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(then.into()).unwrap();
    }
    let view = setup.view().await;
    let target = find(&view, "a.txt").await;
    view.download_all(&[target], &setup.path("out"), &DownloadOptions::default()).await.unwrap();
    let mut left = [fresh, setup.path("out").join(waiting)];
    left.sort();
    let mut found = setup.parts();
    found.sort();
    assert_eq!(found, left);
    assert!(setup.path("out/old").exists(), "it only looks like one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_gives_what_the_metadata_names_and_nothing_else() {
    let mut setup = Setup::new().await;
    let cache = TargetCache::new(&setup.path("cache"));
    let client = setup.builder().cache(cache.clone()).build().unwrap();
    let view = client.refresh().await.unwrap();
    download(&view, "large.bin", &setup.path("one")).await.unwrap();
    setup.server.asked();
    assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), large());
    let wanted = view.wanted(&find(&view, "large.bin").await);
    assert_eq!(view.read(&wanted, 2_000_000).await.unwrap(), large());
    let mut body = view.open(&wanted).await.unwrap();
    let mut opened = Vec::new();
    while let Some(chunk) = body.next().await.unwrap() {
        opened.extend_from_slice(&chunk);
    }
    assert_eq!(opened, large());
    assert_eq!(setup.server.asked(), [], "all from the cache");
    let read = |max| view.read(&wanted, max);
    assert!(read(10).await.is_err(), "the limit holds for the cache too");

    // Damaged: as if it were not there, and replaced.
    let name = cached(&setup.path("cache")).remove(0);
    for damaged in [vec![b'x'; 1_200_000], b"short".to_vec()] {
        tuf_client::durable::write_atomic(&name, &damaged).unwrap();
        std::fs::remove_dir_all(setup.path("two")).unwrap();
        assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), large());
        assert_eq!(setup.server.asked(), [None]);
        assert_eq!(std::fs::read(&name).unwrap(), large());
    }

    // A new version is not served from it, and what the metadata does not name not at all.
    setup.repo.add("large.bin", b"newer");
    setup.repo.version = 2;
    setup.publish();
    let view = client.refresh().await.unwrap();
    assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), b"newer");
    assert_eq!(setup.server.asked(), [None]);
}

/// What is in a cache.
fn cached(directory: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    below(directory.join("sha256")).flat_map(below).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_bounded_and_keeps_what_was_used_last() {
    let mut setup = Setup::new().await;
    for n in 0..4 {
        setup.repo.add(&format!("{n}.txt"), &[n; 1000]);
    }
    setup.publish();
    let cache = TargetCache::new(&setup.path("cache"));
    let client = setup.builder().cache(cache.clone()).build().unwrap();
    let view = client.refresh().await.unwrap();
    let mut wanted = Vec::new();
    for n in 0..4 {
        wanted.push(view.wanted(&find(&view, &format!("{n}.txt")).await));
        view.read(&wanted[usize::from(n)], 1000).await.unwrap();
        let age = tuf_client::clock::now() - TimeDelta::hours(10 - i64::from(n));
        let newest =
            cached(&setup.path("cache")).into_iter().find(|path| std::fs::read(path).unwrap() == [n; 1000]);
        let file = std::fs::File::options().write(true).open(newest.unwrap()).unwrap();
        file.set_modified(age.into()).unwrap();
    }
    // The oldest is used.
    view.read(&wanted[0], 1000).await.unwrap();
    assert_eq!(cache.prune(2500).unwrap(), 2000);
    let mut left: Vec<_> =
        cached(&setup.path("cache")).iter().map(|path| std::fs::read(path).unwrap()[0]).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 3]);
    // A small limit holds without being asked for.
    let small = setup.builder().cache(TargetCache::new(&setup.path("small")).limit(2000)).build().unwrap();
    let view = small.refresh().await.unwrap();
    for wanted in &wanted {
        view.read(wanted, 1000).await.unwrap();
    }
    assert!(cached(&setup.path("small")).len() <= 3, "{:?}", cached(&setup.path("small")));
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_uses_what_is_stored_and_asks_nobody() {
    let setup = Setup::new().await;
    let cache = || TargetCache::new(&setup.path("cache"));
    let offline = || setup.builder().store(setup.store()).cache(cache()).offline().build().unwrap();
    let error = offline().refresh().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotStored(_)), "{error}");
    assert!(error.hint().unwrap().contains("online") && !error.is_refusal());

    let online = setup.builder().store(setup.store()).cache(cache()).build().unwrap();
    let view = online.refresh().await.unwrap();
    assert!(!view.is_offline());
    download(&view, "large.bin", &setup.path("out")).await.unwrap();
    setup.server.0.asked.lock().unwrap().clear();
    let stored = files(&setup.path("store"));

    let view = offline().refresh().await.unwrap();
    assert!(view.is_offline() && !view.is_stale());
    assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), large());
    // Neither a target nor a delegated role that were never fetched.
    let error = download(&view, "a.txt", &setup.path("two")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotStored(name) if name.ends_with("a.txt")), "{error}");
    let wanted = view.wanted(&find(&view, "a.txt").await);
    assert!(matches!(view.open(&wanted).await.unwrap_err().kind(), ErrorKind::NotStored(_)));
    assert!(matches!(view.read(&wanted, 100).await.unwrap_err().kind(), ErrorKind::NotStored(_)));
    let six = TargetPath::new("packages/six.whl").unwrap();
    let error = view.find(&six).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotStored(name) if name.ends_with("packages.json")), "{error}");
    assert_eq!(*setup.server.0.asked.lock().unwrap(), []);
    assert_eq!(files(&setup.path("store")), stored, "nothing is written");

    // Once it was searched for and saved, it is there.
    let view = online.refresh().await.unwrap();
    view.find(&six).await.unwrap().unwrap();
    view.save().await.unwrap();
    let view = offline().refresh().await.unwrap();
    assert_eq!(view.find(&six).await.unwrap().unwrap().role, RoleName::new("packages").unwrap());
}

/// Every plain file below a directory, with its bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_above_the_stored_view_does_not_hide_it_offline() {
    let mut setup = Setup::new().await;
    let store = setup.store();
    setup.builder().store(store.clone()).build().unwrap().refresh().await.unwrap();
    // A newer state that cannot be completed.
    setup.repo.version = 2;
    setup.publish();
    setup.server.0.files.lock().unwrap().remove("metadata/2.targets.json");
    setup.builder().store(store.clone()).build().unwrap().refresh().await.unwrap_err();
    assert!(store.peek(&StoredFile::FloorTimestamp, 100_000).unwrap().is_some());
    let view = setup.builder().store(store).offline().build().unwrap().refresh().await.unwrap();
    assert_eq!(view.trusted().snapshot().header.version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_metadata_is_used_offline_by_choice_only_and_says_so() {
    let mut setup = Setup::new().await;
    setup.repo.timestamp_expires = now();
    setup.publish();
    let at = |time: DateTime<Utc>| setup.builder().store(setup.store()).clock(move || time);
    let before = now() - TimeDelta::days(1);
    at(before).build().unwrap().refresh().await.unwrap();
    let error = at(far()).offline().build().unwrap().refresh().await.unwrap_err();
    assert_eq!(error.attack(), Some("freeze"), "{error}");
    let view = dangerous::accept_expired(at(now())).build().unwrap().refresh().await.unwrap();
    assert!(view.is_stale() && view.is_offline());
    assert_eq!(view.expires(), now());
    assert!(view.find(&TargetPath::new("a.txt").unwrap()).await.unwrap().is_some());
    let view = dangerous::accept_expired(at(before)).build().unwrap().refresh().await.unwrap();
    assert!(!view.is_stale(), "not yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_view_stays_expired_when_the_clock_is_set_back() {
    let mut setup = Setup::new().await;
    setup.repo.timestamp_expires = now();
    setup.publish();
    let time = Arc::new(Mutex::new(now() - TimeDelta::days(1)));
    let clock = Arc::clone(&time);
    let client = setup.builder().clock(move || *clock.lock().unwrap()).build().unwrap();
    let view = client.refresh().await.unwrap();
    find(&view, "a.txt").await;
    for moved in [TimeDelta::zero(), TimeDelta::days(-30)] {
        *time.lock().unwrap() = now() + moved;
        let error = view.find(&TargetPath::new("a.txt").unwrap()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ViewExpired(_)), "{moved}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_is_reported_once_or_refused() {
    let setup = Setup::new().await;
    let store = MemoryStore::new();
    let at = |time: DateTime<Utc>| setup.builder().store(store.clone()).clock(move || time);
    let minutes = TimeDelta::minutes;
    // How far from the first refresh, what the store remembers afterwards, and whether it is reported.
    let rows = [
        (minutes(0), minutes(0), false),
        (minutes(-1), minutes(0), false),
        (minutes(-5), minutes(0), false),
        (minutes(59), minutes(0), false),
        (minutes(60), minutes(60), false),
        (minutes(56), minutes(60), false),
        (minutes(54), minutes(54), true),
        (minutes(54), minutes(54), false),
        (TimeDelta::days(-365 * 30), TimeDelta::days(-365 * 30), true),
        (TimeDelta::days(365 * 30), TimeDelta::days(365 * 30), false),
        (minutes(0), minutes(0), true),
    ];
    for (index, (moved, noted, reported)) in rows.into_iter().enumerate() {
        let view = at(now() + moved).build().unwrap().refresh().await.unwrap();
        let warned = matches!(view.warnings(), [Warning::ClockSteppedBack { now: time, .. }] if *time == now() + moved);
        assert_eq!(warned, reported, "{index}: {:?}", view.warnings());
        let last = store.peek(&StoredFile::LastTime, 64).unwrap().unwrap();
        let last: DateTime<Utc> = String::from_utf8(last).unwrap().parse().unwrap();
        assert_eq!(last, now() + noted, "{index}");
    }
    let error = at(now() - minutes(6)).refuse_clock_steps().build().unwrap().refresh().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ClockSteppedBack { last, .. } if *last == now()), "{error}");
    assert!(error.is_refusal() && error.hint().is_some());
    let refused = at(now() - minutes(4)).refuse_clock_steps().build().unwrap().refresh().await;
    assert!(refused.unwrap().warnings().is_empty());
    // A damaged note is none.
    let damaged = Change::Write(StoredFile::LastTime, Arc::from(&b"yesterday"[..]));
    store.open().unwrap().commit(&Batch::new(vec![damaged])).unwrap();
    assert!(at(now() - minutes(9)).build().unwrap().refresh().await.unwrap().warnings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_timestamps_of_one_version_are_reported_and_the_first_one_counts() {
    let mut setup = Setup::new().await;
    let store = MemoryStore::new();
    let client = setup.builder().store(store).build().unwrap();
    assert!(client.refresh().await.unwrap().warnings().is_empty());
    assert!(client.refresh().await.unwrap().warnings().is_empty());
    // Written otherwise, it says the same.
    setup.server.0.files.lock().unwrap().get_mut("metadata/timestamp.json").unwrap().push(b'\n');
    assert!(client.refresh().await.unwrap().warnings().is_empty());
    setup.repo.timestamp_expires = far() + TimeDelta::days(1);
    setup.publish();
    let view = client.refresh().await.unwrap();
    let [Warning::Equivocation(error)] = view.warnings() else { panic!("{:?}", view.warnings()) };
    assert_eq!(error.attack().unwrap().name(), "equivocation");
    assert_eq!(view.trusted().timestamp().header.expires, far(), "the one seen first");
}
