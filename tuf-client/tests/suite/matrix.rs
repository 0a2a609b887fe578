//! The cells of the attack matrix that need a connection: see `tuf-core/tests/matrix/`, whose table this shares. A
//! server on the loopback interface misbehaves with one file; the client names the file and the attack, ends, and has
//! in its store and below its download directory what an honest server sent, or what it had before.
//!
//! `cargo nextest run -p tuf-client matrix::every_row --no-capture` prints the counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tuf_client::Url;
use tuf_client::store::{MemoryStore, Store};
use tuf_client::transport::{HttpOptions, HttpTransport, SchemeTransport, TransportErrorKind};
use tuf_client::{Client, Error, ErrorKind, TargetPath};
use tuf_core::{RoleName, StoredFile};

use crate::common::{Files, Repo};
use crate::mirrors;
use crate::web;

#[path = "../../../tuf-core/tests/matrix/table.rs"]
mod table;

/// What is wrong with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// No length, and no end.
    NoLength,
    /// A length beyond any limit.
    LyingLength,
    /// Little that becomes much.
    Gzip,
    EndlessHeaders,
    RedirectLoop,
    Substitute,
    Truncated,
    Longer,
    WrongHash,
    /// The bytes of another target, as long as the right ones.
    OtherTarget,
    /// A redirect to the address of another target.
    OtherAddress,
}

use Fault::{
    EndlessHeaders, Gzip, Longer, LyingLength, NoLength, OtherAddress, OtherTarget, RedirectLoop, Substitute,
    Truncated, WrongHash,
};

/// The repository as it was, as it is, and the file that is attacked.
struct Scene {
    old: Files,
    new: Arc<Files>,
    culprit: &'static str,
    fault: Fault,
}

/// The six files: of root, timestamp, snapshot, targets, a delegated role, and the artifact.
const FILES: [(&str, &str); 6] = [
    ("root", "metadata/2.root.json"),
    ("timestamp", "metadata/timestamp.json"),
    ("snapshot", "metadata/2.snapshot.json"),
    ("targets", "metadata/2.targets.json"),
    ("packages", "metadata/2.packages.json"),
    ("artifact", "six.whl"),
];

const ARTIFACT: &[u8] = b"six, newer";
/// As long.
const OTHER: &[u8] = b"sax, older";

fn scene(culprit: &'static str, fault: Fault) -> Scene {
    let mut repo = Repo::new();
    let old = repo.build();
    repo.add_to("packages", "packages/six.whl", ARTIFACT);
    repo.add_to("packages", "packages/sax.whl", OTHER);
    repo.version = 2;
    repo.root.header.version = 2;
    let mut new = repo.build();
    new.insert("metadata/1.root.json".to_owned(), old["metadata/1.root.json"].clone());
    Scene { old, new: Arc::new(new), culprit, fault }
}

#[derive(Clone)]
struct Server {
    files: Arc<Files>,
    fault: Option<(&'static str, Fault)>,
}

impl Server {
    async fn start(self) -> Url {
        let address = web::listen(move |stream| self.clone().answer(stream)).await;
        Url::parse(&format!("http://{address}/")).unwrap()
    }

    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = web::head(&mut stream).await?;
        let path = web::path(&request).to_owned();
        let found = self.files.get(&path);
        let fault = self.fault.filter(|(culprit, _)| path.ends_with(culprit)).map(|(_, fault)| fault);
        let bytes = found.cloned().unwrap_or_default();
        let head = |status: &str, rest: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{rest}\r\n");
        let whole = |bytes: &[u8]| {
            let head = head("200 OK", &format!("Content-Length: {}\r\n", bytes.len()));
            [head.as_bytes(), bytes].concat()
        };
        match fault {
            None if found.is_none() => {
                stream.write_all(head("404 X", "Content-Length: 0\r\n").as_bytes()).await
            }
            None => stream.write_all(&whole(&bytes)).await,
            Some(NoLength) => {
                stream.write_all(head("200 OK", "").as_bytes()).await?;
                // Begins like the right file.
                stream.write_all(&bytes).await?;
                loop {
                    stream.write_all(&[b' '; 16 * 1024]).await?;
                }
            }
            Some(LyingLength) => {
                stream.write_all(head("200 OK", "Content-Length: 99999999999999\r\n").as_bytes()).await?;
                stream.write_all(&bytes).await
            }
            Some(Gzip) => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                std::io::Write::write_all(&mut encoder, &bytes)?;
                for _ in 0..16 {
                    std::io::Write::write_all(&mut encoder, &vec![b' '; 1 << 20])?;
                }
                let body = encoder.finish()?;
                stream
                    .write_all(&[head("200 OK", "Content-Encoding: gzip\r\n").as_bytes(), &body].concat())
                    .await
            }
            Some(EndlessHeaders) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream.write_all(b"X-Filler: x\r\n").await?;
                }
            }
            Some(RedirectLoop) => {
                let to = format!("Location: /{path}\r\nContent-Length: 0\r\n");
                stream.write_all(head("302 X", &to).as_bytes()).await
            }
            Some(Substitute) => stream.write_all(&whole(b"something else")).await,
            Some(Truncated) => stream.write_all(&whole(&bytes[..bytes.len() - 1])).await,
            Some(Longer) => stream.write_all(&whole(&[&bytes[..], b"x"].concat())).await,
            Some(WrongHash) => stream.write_all(&whole(&bytes.to_ascii_uppercase())).await,
            Some(OtherTarget) => stream.write_all(&whole(OTHER)).await,
            Some(OtherAddress) => {
                let other = self.files.iter().find(|(path, _)| path.ends_with(".sax.whl")).unwrap().0;
                let to = format!("Location: /{other}\r\nContent-Length: 0\r\n");
                stream.write_all(head("302 X", &to).as_bytes()).await
            }
        }
    }
}

fn client(scene: &Scene, url: Url, store: &MemoryStore) -> Client {
    let mut options = HttpOptions::default();
    options.system_proxy = false;
    // Only so that a defect does not hold up the tests.
    options.pace.headers = Duration::from_secs(20);
    let transport = SchemeTransport::with_http(HttpTransport::new(options).unwrap());
    Client::builder(scene.old["metadata/1.root.json"].clone(), url)
        .transport(transport)
        .store(store.clone())
        .build()
        .unwrap()
}

/// Everything that a store may hold of this repository.
fn stored(store: &MemoryStore) -> Vec<(StoredFile, Option<Vec<u8>>)> {
    let mut files = vec![
        StoredFile::Timestamp,
        StoredFile::Snapshot,
        StoredFile::Targets,
        StoredFile::FloorTimestamp,
        StoredFile::FloorSnapshot,
        StoredFile::Delegated(RoleName::new("packages").unwrap()),
    ];
    files.extend((1..5).map(StoredFile::RootHistory));
    files.into_iter().map(|file| (file.clone(), store.peek(&file, 1 << 20).unwrap())).collect()
}

async fn install(client: &Client, directory: &std::path::Path) -> Result<(), Error> {
    let view = client.refresh().await?;
    let target = view.require(&TargetPath::new("packages/six.whl").unwrap()).await?;
    view.save().await?;
    view.download(&target, directory).await.map(drop)
}

fn below(directory: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(directory.join("packages")) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

/// What must be said: the attack, or the trouble with the connection.
fn assert_named(error: &Error, role: &str, fault: Fault, case: &str) {
    let artifact = role == "artifact";
    let (url, attack) = match error.kind() {
        ErrorKind::Refused { url, source } => {
            let named = source.role().map(ToString::to_string);
            assert_eq!(named.as_deref(), Some(role).filter(|_| !artifact), "{case}: {error}");
            (url.clone(), error.attack())
        }
        ErrorKind::Transport(source) => {
            let kind = source.kind();
            let right = match fault {
                RedirectLoop => matches!(kind, TransportErrorKind::Redirect(_)),
                Gzip => matches!(kind, TransportErrorKind::ContentEncoding(coding) if coding == "gzip"),
                EndlessHeaders => matches!(kind, TransportErrorKind::Io | TransportErrorKind::Timeout { .. }),
                _ => false,
            };
            assert!(right, "{case}: {error:?}");
            (source.url().to_owned(), None)
        }
        _ => panic!("{case}: {error:?}"),
    };
    let culprit = FILES.iter().find(|(name, _)| *name == role).unwrap().1;
    assert!(url.ends_with(culprit), "{case}: {url}");
    let expected = match fault {
        RedirectLoop | EndlessHeaders => None,
        Gzip if artifact => None,
        NoLength | LyingLength | Gzip if !artifact => Some("endless-data"),
        _ => Some("wrong-software"),
    };
    assert_eq!(attack, expected, "{case}: {error}");
    assert!(attack.is_none() || error.hint().is_some(), "{case}");
}

/// The client knew the old repository; the new one is served with the fault.
async fn attacked(role: &'static str, fault: Fault) {
    let culprit = FILES.iter().find(|(name, _)| *name == role).unwrap().1;
    let scene = scene(culprit, fault);
    let case = format!("{role}: {fault:?}");
    let (store, directory) = (MemoryStore::new(), tempfile::tempdir().unwrap());
    let honest = Server { files: Arc::new(scene.old.clone()), fault: None }.start().await;
    let other = tempfile::tempdir().unwrap();
    install(&client(&scene, honest, &store), other.path()).await.unwrap();
    let before = stored(&store);

    let fault = Some((scene.culprit, scene.fault));
    let url = Server { files: Arc::clone(&scene.new), fault }.start().await;
    let bad = client(&scene, url, &store);
    let mut last = None;
    for _ in 0..2 {
        let error = install(&bad, directory.path()).await.expect_err(&case);
        assert_named(&error, role, scene.fault, &case);
        assert_eq!(below(directory.path()), [], "{case}: something was left behind");
        let now = stored(&store);
        for ((file, now), (_, then)) in now.iter().zip(&before) {
            let name = file.file_name();
            let vouched = |bytes: &Vec<u8>| {
                !name.ends_with(culprit.trim_start_matches("metadata/").trim_start_matches("2."))
                    && scene.new.values().any(|new| new == bytes)
            };
            assert!(now == then || now.as_ref().is_some_and(vouched), "{case}: {name} changed");
        }
        assert!(last.is_none_or(|last| last == now), "{case}: the second run stored more");
        last = Some(now);
    }
    let honest = Server { files: Arc::clone(&scene.new), fault: None }.start().await;
    install(&client(&scene, honest, &store), directory.path()).await.unwrap();
    assert_eq!(below(directory.path()), [("six.whl".to_owned(), ARTIFACT.to_vec())], "{case}");
}

/// An older copy in the place of the download is not taken for the new one: neither where the new one cannot be had,
/// when it stays as it is and the download fails, nor where it can.
async fn stale_copy() {
    let scene = scene("six.whl", Truncated);
    let directory = tempfile::tempdir().unwrap();
    let old = Server { files: Arc::new(scene.old.clone()), fault: None }.start().await;
    install(&client(&scene, old, &MemoryStore::new()), directory.path()).await.unwrap();
    assert_eq!(below(directory.path()), [("six.whl".to_owned(), b"six".to_vec())]);
    for (fault, content) in [(Some((scene.culprit, scene.fault)), &b"six"[..]), (None, ARTIFACT)] {
        let url = Server { files: Arc::clone(&scene.new), fault }.start().await;
        let result = install(&client(&scene, url, &MemoryStore::new()), directory.path()).await;
        assert_eq!(result.is_err(), fault.is_some());
        assert_eq!(below(directory.path()), [("six.whl".to_owned(), content.to_vec())]);
    }
}

const ENDLESS: [Fault; 5] = [NoLength, LyingLength, Gzip, EndlessHeaders, RedirectLoop];
const ARBITRARY: [Fault; 4] = [Substitute, Truncated, Longer, WrongHash];
const WRONG: [Fault; 2] = [OtherTarget, OtherAddress];
const MIRRORS: [(&str, Option<usize>, bool); 4] =
    [("first", Some(0), true), ("middle", Some(1), true), ("last", Some(2), false), ("all", None, true)];
const KINDS: [&str; 2] = ["metadata", "targets"];

#[test]
fn every_row_has_its_cells() {
    let faults = |row: &'static str, role: &'static str, faults: &'static [Fault]| {
        faults.iter().map(move |fault| (row, format!("{role}: {fault:?}"), true))
    };
    let endless = FILES.into_iter().flat_map(|(role, _)| faults("endless data", role, &ENDLESS));
    let mirrors = MIRRORS.into_iter().flat_map(|(name, _, listed)| {
        KINDS.map(|kind| ("malicious mirrors", format!("{name}: {kind}"), listed))
    });
    let cells: Vec<_> = endless
        .chain(mirrors)
        .chain(faults("arbitrary installation", "artifact", &ARBITRARY))
        .chain(faults("wrong software", "artifact", &WRONG))
        .chain([("wrong software", "artifact: a stale copy".to_owned(), true)])
        .collect();
    println!("{}", table::count(&cells, |row| row.client));
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_data() {
    for (role, _) in FILES {
        futures_util::future::join_all(ENDLESS.map(|fault| attacked(role, fault))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arbitrary_installation() {
    futures_util::future::join_all(ARBITRARY.map(|fault| attacked("artifact", fault))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_software() {
    futures_util::future::join_all(WRONG.map(|fault| attacked("artifact", fault))).await;
    stale_copy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malicious_mirrors() {
    let cells = MIRRORS.into_iter().flat_map(|(_, position, _)| KINDS.map(|kind| (position, kind)));
    futures_util::future::join_all(cells.map(async |(position, kind)| match position {
        Some(position) => mirrors::one_bad_of_three(position, kind).await,
        None => mirrors::all_bad(kind).await,
    }))
    .await;
}
