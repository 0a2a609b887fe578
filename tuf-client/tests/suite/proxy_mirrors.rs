//! A large file through the proxy, when a mirror breaks off in the middle: real sockets on both sides.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tuf_client::proxy::{Proxy, ProxyOptions, RunningProxy};
use tuf_client::transport::{HttpOptions, HttpTransport, SchemeTransport};
use tuf_client::{Client, TargetCache, Url};

use crate::common::{Files, Repo, now};
use crate::web::{self, field, head, listen, respond, respond_file};

const WHEEL: &str = "demo_a-1.0-py3-none-any.whl";
const LENGTH: usize = 5_000_000;
/// Where mirrors break off.
const CUT: usize = 2_000_000;

/// What a mirror does with the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    Good,
    /// Answers 200 to ranges too.
    NoRanges,
    /// Every answer ends after so many bytes of the file, in a reset or an end of stream.
    Broken,
    /// As Broken, the first time; then Good.
    BrokenOnce,
    /// So many bytes, then nothing more.
    Stalled,
    /// As Broken, and what it sent is wrong.
    Tampered,
    /// A 206 for a longer file.
    Longer,
}

use Site::{Broken, BrokenOnce, Good, Longer, NoRanges, Stalled, Tampered};

fn wheel() -> Vec<u8> {
    (0..LENGTH).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

fn hash(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// The repository of one signed page and one wheel.
fn repository() -> Files {
    let wheel = wheel();
    let hash = hash(&wheel);
    let path = format!("packages/{}/{}/{}/{WHEEL}", &hash[..2], &hash[2..4], &hash[4..]);
    let page = json!({
        "files": [{"filename": WHEEL, "hashes": {"sha256": hash}, "size": LENGTH, "url": format!("../../{path}"),
                   "yanked": false}],
        "meta": {"_layout": "pep458", "api-version": "1.4"}, "name": "demo-a", "versions": ["1.0"],
    });
    let mut repo = Repo::new();
    repo.add("simple/demo-a/index.json", page.to_string().as_bytes());
    repo.add(&path, &wheel);
    repo.build()
}

/// What was asked of each mirror: its number and the first byte.
type Asked = Arc<Mutex<Vec<(usize, usize)>>>;

/// Mirrors, what they are asked, and which of them are blamed.
type Row = (&'static [Site], &'static [(usize, usize)], &'static [bool]);

async fn answer(
    mut stream: TcpStream,
    files: Arc<Files>,
    site: (usize, Site),
    asked: Asked,
) -> io::Result<()> {
    let head = head(&mut stream).await?;
    let path = web::path(&head);
    // Who answers first is asked first later on.
    if site.0 > 0 && path.ends_with("timestamp.json") {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let Some(bytes) = files.get(path).filter(|_| path.ends_with(WHEEL)) else {
        return respond_file(&mut stream, &files, &head).await;
    };
    let (number, site) = site;
    let range = field(&head, "range");
    let from = range.map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap());
    let turn = {
        let mut asked = asked.lock().unwrap();
        asked.push((number, from));
        asked.iter().filter(|(other, _)| *other == number).count()
    };
    let mut bytes = bytes.clone();
    if site == Tampered {
        bytes[0] ^= 1;
    }
    let from = if site == NoRanges { 0 } else { from };
    let total = LENGTH + usize::from(site == Longer);
    let range = format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1);
    let (status, range) = if from > 0 { (206, &*range) } else { (200, "") };
    let broken = matches!(site, Broken | Stalled | Tampered) || site == BrokenOnce && turn == 1;
    if !broken {
        return respond(&mut stream, status, range, &bytes[from..]).await;
    }
    let length = LENGTH - from;
    let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{range}\r\n");
    let part = &bytes[from..(from + CUT).min(LENGTH - 70_000)];
    stream.write_all(&[head.as_bytes(), part].concat()).await?;
    if site == Stalled {
        return stream.read(&mut [0]).await.map(drop);
    }
    stream.shutdown().await
}

struct Setup {
    proxy: RunningProxy,
    client: Client,
    asked: Asked,
    url: String,
}

impl Setup {
    /// Without retries below, so that each request is one of the stream's.
    async fn new(sites: &[Site], cache: Option<TargetCache>) -> Self {
        let files = Arc::new(repository());
        let asked = Asked::default();
        let mut urls = Vec::new();
        for site in sites.iter().copied().enumerate() {
            let (files, asked) = (Arc::clone(&files), Arc::clone(&asked));
            let address =
                listen(move |stream| answer(stream, Arc::clone(&files), site, Arc::clone(&asked))).await;
            urls.push(Url::parse(&format!("http://{address}/")).unwrap());
        }
        let mut options = HttpOptions::default();
        (options.system_proxy, options.pace.idle) = (false, Duration::from_millis(300));
        let transport = SchemeTransport::with_http(HttpTransport::new(options).unwrap());
        let mut builder = Client::builder(files["metadata/1.root.json"].clone(), urls[0].clone())
            .transport(transport)
            .clock(now);
        for url in &urls[1..] {
            builder = builder.mirror(url.clone());
        }
        if let Some(cache) = cache {
            builder = builder.cache(cache);
        }
        let client = builder.build().unwrap();
        let view = client.refresh().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::pinned(view, ProxyOptions::default()).start(listener).unwrap();
        let hash = hash(&wheel());
        let url =
            format!("/files/demo-a/{hash}/packages/{}/{}/{}/{WHEEL}", &hash[..2], &hash[2..4], &hash[4..]);
        Self { proxy, client, asked, url }
    }

    /// Status, body, and whether the connection was reset.
    async fn get(&self) -> (u16, Vec<u8>, bool) {
        let address = self.proxy.address();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n", self.url);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let reset = stream.read_to_end(&mut bytes).await.is_err();
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&bytes[9..12]).parse().unwrap();
        (status, bytes.split_off(split + 4), reset)
    }

    fn faulty(&self) -> Vec<bool> {
        self.client.mirrors().iter().map(|mirror| mirror.fault.is_some()).collect()
    }

    fn asked(&self) -> Vec<(usize, usize)> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn another_mirror_goes_on_where_one_stopped() {
    let rows: [Row; 6] = [
        (&[Broken, Good], &[(0, 0), (1, CUT)], &[true, false]),
        (&[Stalled, Good], &[(0, 0), (1, CUT)], &[true, false]),
        (&[Broken, NoRanges], &[(0, 0), (1, CUT)], &[true, false]),
        (&[Broken, Longer, Good], &[(0, 0), (1, CUT), (2, CUT)], &[true, true, false]),
        (&[BrokenOnce], &[(0, 0), (0, CUT)], &[false]),
        (&[Broken, Broken], &[(0, 0), (1, CUT), (0, 2 * CUT)], &[false, true]),
    ];
    for (sites, asked, faulty) in rows {
        let setup = Setup::new(sites, None).await;
        let (status, body, reset) = setup.get().await;
        let whole = (status, reset, body == wheel());
        if sites == [Broken, Broken] {
            // The third part of it comes to an end before the tail, and so does the fourth.
            assert!(
                whole == (200, true, false) && body.len() <= LENGTH - 65_536,
                "{sites:?}: {}",
                body.len()
            );
            assert_eq!(setup.asked()[..3], *asked, "{sites:?}");
            continue;
        }
        assert_eq!(whole, (200, false, true), "{sites:?}: {} bytes", body.len());
        assert_eq!((setup.asked(), setup.faulty()), (asked.to_vec(), faulty.to_vec()), "{sites:?}");
        assert!(setup.proxy.refusals().list().is_empty(), "{sites:?}");
    }
}

#[tokio::test]
async fn who_breaks_off_again_and_again_is_given_up_and_may_be_asked_anew_at_once() {
    let setup = Setup::new(&[Broken], None).await;
    for times in 1..=2 {
        let (status, body, reset) = setup.get().await;
        assert_eq!((status, body.len() <= 2 * CUT, reset), (200, true, true));
        assert_eq!(setup.asked(), [(0, 0), (0, CUT)].repeat(times));
    }
    let list = setup.proxy.refusals().list();
    assert!(list.len() == 1 && !list[0].kind.is_unsafe() && list[0].times == 2, "{list:?}");
}

#[tokio::test]
async fn a_mix_that_does_not_match_is_blamed_on_all_who_sent_some_of_it() {
    let cached = tempfile::tempdir().unwrap();
    let setup = Setup::new(&[Tampered, Good, Good], Some(TargetCache::new(cached.path()))).await;
    let (status, body, reset) = setup.get().await;
    assert!(status == 200 && body.len() <= LENGTH - 65_536 && reset, "{status} {} {reset}", body.len());
    assert_eq!(setup.asked(), [(0, 0), (1, CUT)]);
    assert_eq!(setup.faulty(), [true, true, false]);
    let list = setup.proxy.refusals().list();
    assert!(list.len() == 1 && list[0].kind.is_unsafe() && list[0].why.contains(" and http://"), "{list:?}");
    assert!(files(cached.path()).iter().all(|name| !name.contains(&hash(&wheel()))), "it is not kept");
    assert_eq!(setup.get().await.0, 409);
}

#[tokio::test]
async fn a_large_file_goes_into_the_cache_once_it_is_verified() {
    let cached = tempfile::tempdir().unwrap();
    let setup = Setup::new(&[Broken, Good], Some(TargetCache::new(cached.path()))).await;
    for _ in 0..2 {
        let (status, body, reset) = setup.get().await;
        assert_eq!((status, body == wheel(), reset), (200, true, false));
        assert_eq!(setup.asked(), [(0, 0), (1, CUT)], "the second time it comes from the cache");
    }
    assert!(files(cached.path()).iter().all(|name| !name.starts_with(".tmp")), "{cached:?}");
}

/// The names of all files below a directory.
fn files(directory: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(files(&path));
        } else {
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    names
}
