//! A server that holds the client up in every way it can think of, at every file: the client gives up within its
//! bounds, writes nothing of what it got, and goes on from there when the server is honest again.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tuf_client::Url;
use tuf_client::store::FsStore;
use tuf_client::transport::{HttpOptions, HttpTransport, Retry, SchemeTransport, TransportErrorKind as Kind};
use tuf_client::{Client, Error, ErrorKind, TargetPath};

use crate::common::{Files, MapTransport, Repo};
use crate::web::{head, listen, path, respond, respond_file};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// Nothing is said.
    Silence,
    /// The first byte of a body is all that comes.
    Stall,
    DripHead,
    DripBody,
    /// `103 Early Hints`, again and again.
    Interim,
    Redirects,
    /// Each redirect comes only after a while.
    SlowRedirects,
    EndlessHead,
    EndlessBody,
    /// The gzip of far more spaces than any file here has bytes.
    Bomb,
}

const SLOW: [Attack; 6] = [
    Attack::Silence,
    Attack::Stall,
    Attack::DripHead,
    Attack::DripBody,
    Attack::Interim,
    Attack::SlowRedirects,
];

const FAST: [Attack; 4] = [Attack::Redirects, Attack::EndlessHead, Attack::EndlessBody, Attack::Bomb];

/// For each try; long enough for a busy machine to answer in.
const LIMIT: Duration = Duration::from_secs(2);
const GAP: Duration = Duration::from_millis(50);

static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut encoder, &[b' '; 4 << 20]).unwrap();
    encoder.finish().unwrap()
});

impl Attack {
    async fn answer(self, mut stream: TcpStream, path: &str) -> io::Result<()> {
        let found = b"HTTP/1.1 200 X\r\n";
        let again = format!("Location: /{path}\r\n");
        match self {
            Self::Silence => stream.read_u8().await.map(drop),
            Self::Stall => {
                stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\n{").await?;
                stream.read_u8().await.map(drop)
            }
            Self::DripHead => drip(stream, b"HTTP/1.1 200 X\r\nX-Filler: ", GAP).await,
            Self::DripBody => drip(stream, b"HTTP/1.1 200 X\r\n\r\n", GAP).await,
            Self::Interim => loop {
                stream.write_all(b"HTTP/1.1 103 X\r\n\r\n").await?;
                sleep(GAP).await;
            },
            Self::Redirects => respond(&mut stream, 302, &again, b"").await,
            Self::SlowRedirects => {
                sleep(LIMIT * 2 / 5).await;
                respond(&mut stream, 302, &again, b"").await
            }
            Self::EndlessHead => {
                stream.write_all(found).await?;
                loop {
                    stream.write_all(b"X-Filler: filler\r\n").await?;
                }
            }
            Self::EndlessBody => {
                stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'{'; 16 * 1024]).await?;
                }
            }
            Self::Bomb => {
                stream.write_all(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n").await?;
                stream.write_all(&BOMB).await
            }
        }
    }

    /// Whether the client gave up for the reason that this is.
    fn is_told_by(self, error: &Error, target: bool) -> bool {
        let kind = match error.kind() {
            ErrorKind::Transport(error) => Some(error.kind()),
            _ => None,
        };
        let late = matches!(kind, Some(Kind::Timeout { .. }));
        let told = match self {
            Self::Silence | Self::DripHead | Self::DripBody | Self::Interim | Self::SlowRedirects => late,
            Self::Stall => late || target && error.is_refusal(),
            Self::Redirects => matches!(kind, Some(Kind::Redirect(_))),
            Self::EndlessHead => matches!(kind, Some(Kind::Io)),
            Self::EndlessBody => error.is_refusal(),
            Self::Bomb => error.is_refusal() || target && matches!(kind, Some(Kind::ContentEncoding(_))),
        };
        // A machine that is busy enough may not see it in time.
        told || late
    }
}

async fn drip(mut stream: TcpStream, head: &[u8], gap: Duration) -> io::Result<()> {
    stream.write_all(head).await?;
    loop {
        stream.write_all(b"x").await?;
        sleep(gap).await;
    }
}

/// A server that is hostile about one file, by a part of its path.
async fn serve(files: &Arc<Files>, attacked: &'static str, attack: Attack) -> Url {
    let files = Arc::clone(files);
    let address = listen(move |mut stream| {
        let files = Arc::clone(&files);
        async move {
            let head = head(&mut stream).await?;
            match path(&head) {
                path if path.contains(attacked) => attack.answer(stream, path).await,
                _ => respond_file(&mut stream, &files, &head).await,
            }
        }
    })
    .await;
    Url::parse(&format!("http://{address}/")).unwrap()
}

fn transport() -> Retry<SchemeTransport> {
    let mut options = HttpOptions::default();
    options.system_proxy = false;
    (options.pace.headers, options.pace.idle) = (LIMIT, LIMIT);
    options.pace.total = Some(LIMIT * 2);
    let http = HttpTransport::new(options).unwrap();
    Retry::new(SchemeTransport::with_http(http)).tries(2).first_wait(Duration::from_millis(1))
}

async fn held_up(files: Arc<Files>, attacked: &'static str, attack: Attack) {
    let case = format!("{attack:?} at {attacked}");
    let root = files["metadata/1.root.json"].clone();
    let directory = tempfile::tempdir().unwrap();
    let url: Url = "https://index.example/".parse().unwrap();
    let store = || FsStore::init(&directory.path().join("store"), &root, &url).unwrap();
    let path = TargetPath::new("a.txt").unwrap();
    let read = async |client: Client| -> Result<(), Error> {
        let view = client.refresh().await?;
        let target = view.require(&path).await?;
        view.download(&target, directory.path()).await.map(drop)
    };

    let hostile = Client::builder(root.clone(), serve(&files, attacked, attack).await);
    let client = hostile.transport(transport()).store(store()).build().unwrap();
    // Two tries of at most two limits each, for one file; the rest is for a busy machine.
    let ended = timeout(LIMIT * 20, read(client)).await;
    let error = ended.unwrap_or_else(|_| panic!("{case}: it goes on and on")).unwrap_err();
    assert!(attack.is_told_by(&error, attacked == "a.txt"), "{case}: {error:?}");
    assert!(error.hint().is_some() || attack == Attack::EndlessHead, "{case}: {error}");
    for left in std::fs::read_dir(directory.path()).unwrap() {
        let left = left.unwrap().file_name().into_string().unwrap();
        assert!(left == "store" || left.starts_with(".part-"), "{case}: {left} under its own name");
    }

    let honest = Client::builder(root.clone(), url.clone()).transport(MapTransport(files)).store(store());
    read(honest.build().unwrap()).await.unwrap_or_else(|error| panic!("{case}: afterwards {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_holds_it_up_the_client_gives_up_and_goes_on_with_an_honest_server() {
    let mut repo = Repo::new();
    let first = repo.build()["metadata/1.root.json"].clone();
    repo.root.header.version = 2;
    repo.add("a.txt", &[b'a'; 100_000]);
    let mut files = repo.build();
    files.insert("metadata/1.root.json".to_owned(), first);
    let files = Arc::new(files);
    // The slow ones leave the processor to each other.
    for attacks in std::iter::once(&SLOW[..]).chain(FAST.chunks(1)) {
        let names = ["2.root.json", "timestamp.json", "snapshot.json", "targets.json", "a.txt"];
        let rows = attacks.iter().flat_map(|attack| names.map(|name| (name, *attack)));
        join_all(rows.map(|(name, attack)| held_up(Arc::clone(&files), name, attack))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_404_and_403_end_the_chain_of_roots() {
    let files = Arc::new(Repo::new().build());
    for (status, ends) in [(404, true), (403, true), (410, false), (401, false), (204, false), (500, false)] {
        let served = Arc::clone(&files);
        let address = listen(move |mut stream| {
            let files = Arc::clone(&served);
            async move {
                let head = head(&mut stream).await?;
                match path(&head) {
                    "metadata/2.root.json" => respond(&mut stream, status, "", b"").await,
                    _ => respond_file(&mut stream, &files, &head).await,
                }
            }
        })
        .await;
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let client = Client::builder(files["metadata/1.root.json"].clone(), url).transport(transport());
        let result = client.build().unwrap().refresh().await;
        match result {
            Ok(view) => assert!(ends && view.trusted().root().header.version == 1, "{status}"),
            Err(error) => {
                assert!(!ends && error.to_string().contains(&status.to_string()), "{status}: {error}")
            }
        }
    }
}
