//! Three mirrors on the loopback interface, one or more of them bad.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tuf_client::Url;
use tuf_client::store::FsStore;
use tuf_client::transport::{
    Body, HttpOptions, HttpTransport, Retry, SchemeTransport, Transport, TransportError,
};
use tuf_client::{Client, ClientBuilder, Error, ErrorKind, TargetPath, View};

use crate::common::{Files, MapTransport, Repo};
use crate::web;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    WrongBytes,
    Stale,
    Missing,
    Status500,
    Stall,
    Truncated,
    BitFlip,
    Endless,
}

use Fault::{BitFlip, Endless, Missing, Stale, Stall, Status500, Truncated, WrongBytes};

const FAULTS: [Fault; 8] = [WrongBytes, Stale, Missing, Status500, Stall, Truncated, BitFlip, Endless];

/// One mirror.
#[derive(Clone, Debug)]
struct Site {
    files: Arc<Files>,
    /// What a stale mirror has instead.
    old: Arc<Files>,
    /// Which files it serves wrongly, by the beginning of their path.
    bad: Option<(&'static str, Fault)>,
    /// How long it takes for its timestamp.
    delay: Duration,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start(self) -> Url {
        let address = web::listen(move |stream| self.clone().answer(stream)).await;
        Url::parse(&format!("http://user:secret@{address}/")).unwrap()
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = web::head(&mut stream).await?;
        let path = web::path(&request).to_owned();
        self.asked.lock().unwrap().push(path.clone());
        if path.ends_with("timestamp.json") {
            tokio::time::sleep(self.delay).await;
        }
        let fault = self.bad.filter(|(kind, _)| path.starts_with(kind)).map(|(_, fault)| fault);
        let files = if fault == Some(Stale) { &self.old } else { &self.files };
        let mut status = 200;
        let mut bytes = files.get(&path).cloned().unwrap_or_else(|| {
            status = 404;
            Vec::new()
        });
        let mut length = bytes.len();
        match fault {
            Some(WrongBytes) => {
                status = 200;
                bytes = vec![b'x'; length.max(1)];
                length = bytes.len();
            }
            Some(Missing) => status = 404,
            Some(Status500) => status = 500,
            Some(Stall) => return stream.read(&mut [0]).await.map(drop),
            Some(Truncated) => {
                bytes.truncate(length / 2);
                length = length.max(1);
                status = 200;
            }
            Some(BitFlip) => {
                if let Some(byte) = bytes.get_mut(length / 2) {
                    *byte ^= 1;
                }
            }
            Some(Endless) => {
                stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'{'; 16 * 1024]).await?;
                }
            }
            Some(Stale) | None => {}
        }
        let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &bytes].concat()).await
    }
}

/// The repository as it was pinned, and as it is now: a newer root, other targets.
fn old_and_new() -> (Arc<Files>, Arc<Files>) {
    let mut repo = Repo::new();
    repo.add("a.txt", b"an older a");
    let old = repo.build();
    repo.add("a.txt", b"alpha, newer");
    repo.version = 2;
    repo.root.header.version = 2;
    let mut new = repo.build();
    new.insert("metadata/1.root.json".to_owned(), old["metadata/1.root.json"].clone());
    // Under the name of the new file.
    let name = |files: &Files, bytes: &[u8]| {
        let found = files.iter().find(|(path, found)| path.ends_with(".a.txt") && *found == bytes);
        found.unwrap().0.clone()
    };
    let (new_name, mut stale) = (name(&new, b"alpha, newer"), old);
    stale.insert(new_name, b"an older a".to_vec());
    (Arc::new(stale), Arc::new(new))
}

struct Setup {
    old: Arc<Files>,
    new: Arc<Files>,
    sites: Vec<Site>,
}

impl Setup {
    fn new() -> Self {
        let (old, new) = old_and_new();
        let site = Site {
            files: Arc::clone(&new),
            old: Arc::clone(&old),
            bad: None,
            delay: Duration::ZERO,
            asked: Arc::default(),
        };
        Self { old, new, sites: vec![site.clone(), site.clone(), site] }
    }

    fn bad(mut self, position: usize, kind: &'static str, fault: Fault) -> Self {
        self.sites[position].bad = Some((kind, fault));
        self
    }

    async fn client(&self) -> ClientBuilder {
        let mut urls = join_all(self.sites.iter().map(|site| site.clone().start())).await.into_iter();
        let mut options = HttpOptions::default();
        options.system_proxy = false;
        options.pace.headers = Duration::from_secs(1);
        let http = HttpTransport::new(options).unwrap();
        let transport =
            Retry::new(SchemeTransport::with_http(http)).tries(2).first_wait(Duration::from_millis(1));
        let root = self.old["metadata/1.root.json"].clone();
        let builder = Client::builder(root, urls.next().unwrap()).transport(transport);
        urls.fold(builder, ClientBuilder::mirror).mirror_grace(Duration::from_secs(5))
    }
}

async fn download(view: &View) -> Result<Vec<u8>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let target = view.require(&TargetPath::new("a.txt").unwrap()).await?;
    let result = view.download(&target, directory.path()).await;
    let names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(".part-"))
        .collect();
    let expected: &[&str] = if result.is_ok() { &["a.txt"] } else { &[] };
    assert_eq!(names, expected, "nothing else is left");
    Ok(std::fs::read(result?).unwrap())
}

async fn one_bad(position: usize, kind: &'static str, fault: Fault) {
    let case = format!("{position} {kind} {fault:?}");
    let mut setup = Setup::new().bad(position, kind, fault);
    if kind == "targets" {
        // So that the bad one is the first to have the newest timestamp, and is asked first.
        for (index, site) in setup.sites.iter_mut().enumerate() {
            site.delay = Duration::from_millis(if index == position { 0 } else { 200 });
        }
    }
    let mut builder = setup.client().await;
    if fault == Stall {
        builder = builder.mirror_grace(Duration::from_millis(500));
    }
    let client = builder.build().unwrap();
    let view = client.refresh().await.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(view.trusted().root().header.version, 2, "{case}");
    assert_eq!(view.trusted().timestamp().header.version, 2, "{case}");
    assert_eq!(download(&view).await.unwrap(), b"alpha, newer", "{case}");
    let status = client.mirrors();
    let fault = status[position].fault.as_ref().unwrap_or_else(|| panic!("{case}: nobody is blamed"));
    assert!(fault.contains("http://127.0.0.1:"), "{case}: {fault}");
    assert!(!format!("{client:?} {status:?}").contains("secret"), "{case}");
}

/// A cell of the matrix: one of three changes nothing, wherever it is and whatever it does.
pub(crate) async fn one_bad_of_three(position: usize, kind: &'static str) {
    join_all(FAULTS.map(|fault| one_bad(position, kind, fault))).await;
}

/// A cell of the matrix: the error lists the fault of every mirror.
pub(crate) async fn all_bad(kind: &'static str) {
    let rows = [
        ([WrongBytes, Missing, Status500], true, true),
        ([Status500, Status500, Status500], false, false),
        ([Missing, Status500, Truncated], false, true),
    ];
    for (faults, refusal, missing) in rows {
        let setup = (0..3).fold(Setup::new(), |setup, at| setup.bad(at, kind, faults[at]));
        let client = setup.client().await.build().unwrap();
        let error = match client.refresh().await {
            Ok(view) => download(&view).await.unwrap_err(),
            Err(error) => error,
        };
        let ErrorKind::Mirrors(list) = error.kind() else { panic!("{error:?}") };
        assert_eq!(list.len(), 3, "{error}");
        assert_eq!((error.is_refusal(), error.is_missing()), (refusal, missing), "{kind} {error}");
        let text = error.to_string();
        for status in client.mirrors() {
            let base = status.url.trim_end_matches("metadata/").to_owned();
            assert!(text.contains(&base), "{base}: {text}");
        }
        assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"), "{text}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_is_absent_only_if_no_mirror_has_it() {
    for bad in [[Stale, Stale], [Stale, WrongBytes], [Missing, Stall], [Status500, Truncated]] {
        let setup =
            Setup::new().bad(0, "metadata/2.root.json", bad[0]).bad(1, "metadata/2.root.json", bad[1]);
        let view = setup.client().await.build().unwrap().refresh().await.unwrap();
        assert_eq!(view.trusted().root().header.version, 2, "{bad:?}");
    }
    // Nobody has it: as good as nobody having a third one.
    let setup = (0..3).fold(Setup::new(), |setup, at| setup.bad(at, "metadata/2.root.json", Missing));
    let view = setup.client().await.build().unwrap().refresh().await.unwrap();
    assert_eq!(view.trusted().root().header.version, 1);
    // Nobody says that there is none.
    let setup = (0..3).fold(Setup::new(), |setup, at| setup.bad(at, "metadata/2.root.json", Status500));
    let error = setup.client().await.build().unwrap().refresh().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Mirrors(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_valid_timestamp_wins_even_if_it_comes_last() {
    let mut setup = Setup::new().bad(0, "metadata", Stale).bad(1, "metadata", Stale);
    setup.sites[2].delay = Duration::from_millis(300);
    let client = setup.client().await.build().unwrap();
    assert_eq!(client.refresh().await.unwrap().trusted().timestamp().header.version, 2);
    let faults: Vec<_> = client.mirrors().into_iter().map(|mirror| mirror.fault).collect();
    for fault in &faults[..2] {
        let fault = fault.as_ref().unwrap();
        assert!(
            fault.ends_with("timestamp.json: stale: version 1, while another mirror has version 2"),
            "{fault}"
        );
    }
    assert_eq!(faults[2], None);
    // Unless it comes too late.
    let client = setup.client().await.mirror_grace(Duration::from_millis(1)).build().unwrap();
    assert_eq!(client.refresh().await.unwrap().trusted().timestamp().header.version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_what_was_trusted_before_a_mirror_is_stale_if_another_is_not_and_else_rolls_back() {
    let directory = tempfile::tempdir().unwrap();
    for (good, expected) in [(2, "stale: version 1"), (0, "older than 2, which was trusted before")] {
        let setup = (0..3).fold(Setup::new(), |setup, at| match good {
            2 if at == 2 => setup,
            _ => setup.bad(at, "metadata/timestamp.json", Stale),
        });
        let root = setup.old["metadata/1.root.json"].clone();
        let store =
            || FsStore::init(directory.path(), &root, &"https://index.example/".parse().unwrap()).unwrap();
        // What was trusted before.
        let trusted = Client::builder(root.clone(), "https://index.example/".parse().unwrap())
            .transport(MapTransport(Arc::clone(&setup.new)))
            .store(store());
        trusted.build().unwrap().refresh().await.unwrap();
        let client = setup.client().await.store(store()).build().unwrap();
        assert_eq!(client.refresh().await.is_ok(), good == 2);
        for status in &client.mirrors()[..2] {
            assert!(status.fault.as_ref().unwrap().contains(expected), "{status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_mirror_is_not_asked_for_more_than_before() {
    let mut setup = Setup::new();
    setup.sites.truncate(1);
    let view = setup.client().await.build().unwrap().refresh().await.unwrap();
    assert_eq!(download(&view).await.unwrap(), b"alpha, newer");
    let asked = setup.sites[0].asked.lock().unwrap().clone();
    let metadata = ["2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"];
    let mut expected: Vec<_> = metadata.iter().map(|name| format!("metadata/{name}")).collect();
    let targets =
        setup.new.iter().find(|(path, bytes)| path.ends_with(".a.txt") && *bytes == b"alpha, newer");
    expected.push(targets.unwrap().0.clone());
    assert_eq!(asked, expected);
}

#[derive(Debug)]
struct Silent;

impl Transport for Silent {
    fn fetch<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_refresh_ends_at_its_deadline() {
    let deadline = Duration::from_millis(50);
    let client =
        Client::builder(old_and_new().0["metadata/1.root.json"].clone(), "http://h.example".parse().unwrap())
            .mirror("http://i.example".parse().unwrap())
            .transport(Silent)
            .deadline(deadline)
            .build()
            .unwrap();
    let error = client.refresh().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Deadline(limit) if *limit == deadline), "{error}");
    assert!(!error.is_refusal() && error.hint().is_some());
}
