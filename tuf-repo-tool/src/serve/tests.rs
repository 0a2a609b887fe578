//! Real requests over TCP: what a client, a cache and an attacker see.

use std::io::Read;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

const HASH: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

struct Server {
    address: SocketAddr,
    dir: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<io::Result<()>>,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn put(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    io::Write::write_all(&mut file, bytes).unwrap();
}

fn big_json() -> Vec<u8> {
    format!("{{\"signed\":\"{}\"}}", "0123456789".repeat(500)).into_bytes()
}

async fn start() -> Server {
    start_with_grace(GRACE).await
}

async fn start_with_grace(grace: Duration) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let public = dir.path().join("public");
    for (path, bytes) in [
        ("metadata/7.snapshot.json", big_json()),
        ("metadata/timestamp.json", big_json()),
        ("metadata/root.json", big_json()),
        ("metadata/1.root.json.tmp-x", big_json()),
        ("metadata/.tmp-abc", big_json()),
        ("metadata/.hidden.json", big_json()),
        (&format!("targets/simple/demo/{HASH}.index.json"), big_json()),
        ("targets/simple/demo/index.json", big_json()),
        (&format!("targets/packages/aa/bb/cc/{HASH}.demo-1.0-py3-none-any.whl"), vec![b'w'; 300_000]),
        ("targets/packages/aa/bb/cc/demo-1.0.json", big_json()),
        ("targets/with space.txt", b"space".to_vec()),
    ] {
        put(&public, path, &bytes);
    }
    put(dir.path(), "outside.json", b"secret");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        serve_with_grace(&public, listener, shutdown, grace).await
    });
    Server { address, dir, stop, ended }
}

impl Server {
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        answer(&mut stream).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}

/// Reads to the end of the connection.
async fn answer(stream: &mut TcpStream) -> Answer {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let mut body = all[end + 4..].to_vec();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") && !body.is_empty() {
        body = unchunked(&body);
    }
    Answer { status: head[9..12].parse().unwrap(), head, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}

fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .arg("-dc")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("this test needs the program `gzip`");
    io::Write::write_all(&mut child.stdin.take().unwrap(), bytes).unwrap();
    let mut plain = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut plain).unwrap();
    assert!(child.wait().unwrap().success());
    plain
}

#[tokio::test]
async fn names_decide_how_long_a_file_is_cached() {
    let server = start().await;
    for (path, cache, kind) in [
        ("/metadata/7.snapshot.json", FOR_EVER, "application/json"),
        ("/metadata/timestamp.json", "no-store", "application/json"),
        ("/metadata/root.json", "no-cache", "application/json"),
        (&format!("/targets/simple/demo/{HASH}.index.json"), FOR_EVER, "application/json"),
        ("/targets/simple/demo/index.json", "no-cache", "application/json"),
        (
            &format!("/targets/packages/aa/bb/cc/{HASH}.demo-1.0-py3-none-any.whl"),
            FOR_EVER,
            "application/octet-stream",
        ),
        ("/targets/with%20space.txt", "no-cache", "text/plain"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = server.ask(method, path, "").await;
            assert_eq!(
                (answer.status, answer.header("cache-control")),
                (200, Some(cache)),
                "{method} {path}"
            );
            assert_eq!(answer.header("content-type"), Some(kind), "{path}");
            assert!(
                answer.header("last-modified").is_some() && answer.header("content-length").is_some(),
                "{path}"
            );
            assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn errors_are_never_cached() {
    let server = start().await;
    for (method, path, status) in [
        ("GET", "/metadata/8.snapshot.json", 404),
        ("GET", "/targets/packages/aa/bb/cc/absent.whl", 404),
        ("GET", "/", 404),
        ("GET", "/metadata", 404),
        ("GET", "/metadata/", 404),
        ("GET", "/metadata/root.json/", 404),
        ("GET", "//metadata/root.json", 404),
        ("GET", "/metadata//root.json", 404),
        ("GET", "/metadata/.hidden.json", 404),
        ("GET", "/metadata/%2ehidden.json", 404),
        ("GET", "/metadata/.tmp-abc", 404),
        ("GET", "/metadata/1.root.json.tmp-x", 404),
        ("GET", "/metadata/../../outside.json", 404),
        ("GET", "/metadata/%2e%2e/%2e%2e/outside.json", 404),
        ("GET", "/metadata%2f..%2f..%2foutside.json", 404),
        ("GET", "/metadata/%00", 404),
        ("GET", "/metadata/%zz", 404),
        ("GET", "/metadata/%ff", 404),
        ("POST", "/metadata/root.json", 405),
        ("PUT", "/metadata/new.json", 405),
        ("DELETE", "/metadata/root.json", 405),
        ("OPTIONS", "/metadata/root.json", 405),
    ] {
        let answer = server.ask(method, path, "").await;
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (status, Some("no-store")),
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"), "{method} {path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_do_not_exist_for_clients() {
    use std::os::unix::fs::symlink;

    let server = start().await;
    let public = server.dir.path().join("public");
    symlink(server.dir.path().join("outside.json"), public.join("metadata/link.json")).unwrap();
    symlink(server.dir.path(), public.join("up")).unwrap();
    symlink("root.json", public.join("metadata/inside.json")).unwrap();
    std::fs::hard_link(public.join("metadata/root.json"), public.join("metadata/hard.json")).unwrap();
    for (path, status) in [
        ("/metadata/link.json", 404),
        ("/up/outside.json", 404),
        ("/up/public/metadata/root.json", 404),
        ("/metadata/inside.json", 404),
        ("/metadata/hard.json", 200),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn metadata_and_pages_are_compressed_and_package_files_are_not() {
    let server = start().await;
    let page = format!("/targets/simple/demo/{HASH}.index.json");
    let wheel = format!("/targets/packages/aa/bb/cc/{HASH}.demo-1.0-py3-none-any.whl");
    for (path, compressible) in [
        ("/metadata/7.snapshot.json", true),
        ("/metadata/timestamp.json", true),
        (&page, true),
        (&wheel, false),
        ("/targets/packages/aa/bb/cc/demo-1.0.json", false),
    ] {
        let plain = server.get(path).await;
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        assert_eq!(plain.header("vary").is_some(), compressible, "{path}");
        let asked = server.ask("GET", path, "accept-encoding: br, gzip\r\n").await;
        assert_eq!(asked.header("content-encoding"), compressible.then_some("gzip"), "{path}");
        assert_eq!(asked.header("vary").is_some(), compressible, "{path}");
        if compressible {
            assert!(asked.body.len() < plain.body.len(), "{path}");
            assert_eq!(gunzipped(&asked.body), plain.body, "{path}");
        } else {
            assert_eq!(asked.body, plain.body, "{path}");
        }
        let refused = server.ask("GET", path, "accept-encoding: gzip;q=0\r\n").await;
        assert_eq!(refused.body, plain.body, "{path}");
    }
}

#[tokio::test]
async fn ranges_are_of_the_bytes_themselves_and_only_of_files_that_never_change() {
    let server = start().await;
    let wheel = format!("/targets/packages/aa/bb/cc/{HASH}.demo-1.0-py3-none-any.whl");
    let part = server.ask("GET", &wheel, "range: bytes=299990-\r\naccept-encoding: gzip\r\n").await;
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 299990-299999/300000")));
    assert_eq!((part.body, part.head.contains("immutable")), (vec![b'w'; 10], true));

    let part =
        server.ask("GET", "/metadata/7.snapshot.json", "range: bytes=0-9\r\naccept-encoding: gzip\r\n").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &big_json()[..10]));
    assert!(!part.head.contains("gzip"));

    let beyond = server.ask("GET", &wheel, "range: bytes=300000-\r\n").await;
    assert_eq!((beyond.status, beyond.header("cache-control")), (416, Some("no-store")));
    let whole = server.ask("GET", "/metadata/timestamp.json", "range: bytes=0-9\r\n").await;
    assert_eq!((whole.status, whole.body), (200, big_json()));
}

#[tokio::test]
async fn a_client_that_has_the_file_is_told_so_but_for_the_timestamp() {
    let server = start().await;
    for (path, status) in
        [("/metadata/7.snapshot.json", 304), ("/metadata/root.json", 304), ("/metadata/timestamp.json", 200)]
    {
        let date = server.get(path).await.header("last-modified").unwrap().to_owned();
        let headers = format!("if-modified-since: {date}\r\naccept-encoding: gzip\r\n");
        let again = server.ask("GET", path, &headers).await;
        assert_eq!(again.status, status, "{path}");
        assert_eq!(again.body.is_empty(), status == 304, "{path}");
        assert!(again.header("cache-control").is_some() && again.header("vary").is_some(), "{path}");
    }
}

#[tokio::test]
async fn stopping_lets_a_running_response_finish_and_takes_no_new_one() {
    const SIZE: usize = 32 * 1024 * 1024;
    let server = start().await;
    put(server.dir.path(), "public/targets/packages/large.whl", &vec![b'x'; SIZE]);
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /targets/packages/large.whl HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The response has begun, and the socket's buffers are too small for all of it.
    stream.readable().await.unwrap();
    server.stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!server.ended.is_finished());
    assert_eq!(answer(&mut stream).await.body.len(), SIZE);
    server.ended.await.unwrap().unwrap();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_hold_up_the_stop() {
    let server = start_with_grace(Duration::from_millis(100)).await;
    let large = vec![b'x'; 32 * 1024 * 1024];
    put(server.dir.path(), "public/targets/packages/large.whl", &large);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /targets/packages/large.whl HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream.readable().await.unwrap();
    server.stop.send(()).unwrap();
    let ended = tokio::time::timeout(GRACE / 2, server.ended).await;
    ended.expect("the grace is over").unwrap().unwrap();
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = tempfile::tempdir().unwrap().path().join("gone");
    assert!(serve(&gone, listener, std::future::pending()).await.is_err());
}

#[test]
fn names_with_a_version_or_a_hash_are_told_apart_from_those_without() {
    for (path, lifetime) in [
        ("metadata/1.root.json", Lifetime::Immutable),
        ("metadata/12.bin-16384-0000.json", Lifetime::Immutable),
        ("metadata/x.root.json", Lifetime::Revalidate),
        ("metadata/.root.json", Lifetime::Revalidate),
        ("metadata/1.json", Lifetime::Revalidate),
        ("targets/timestamp.json", Lifetime::Revalidate),
        ("timestamp.json", Lifetime::Revalidate),
        ("targets/0123.index.json", Lifetime::Revalidate),
        ("targets/packages/x", Lifetime::Immutable),
        ("packages/x", Lifetime::Revalidate),
    ] {
        assert_eq!(Lifetime::of(&path.split('/').collect::<Vec<_>>()), lifetime, "{path}");
    }
}
