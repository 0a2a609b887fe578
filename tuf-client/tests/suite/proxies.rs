//! The built binary behind HTTP, HTTPS and SOCKS proxies, which it takes from the environment; and that no password
//! is told to anyone else: not to a log, not to the other end, not to the child of `run`.

use std::io;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;

use data_encoding::BASE64;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::common::{Files, Repo};
use crate::web::{Authority, Log, Stream, field, head, listen, respond, respond_file};

/// In every password here.
const SECRET: &str = "s3cret";
/// A name that only the proxies know.
const HOST: &str = "repository.example";

fn basic() -> String {
    format!("Basic {}", BASE64.encode(format!("me:{SECRET}").as_bytes()))
}

/// A repository over HTTP and HTTPS, and a proxy that knows the way there, also over both.
struct Setup {
    directory: TempDir,
    /// The heads of the requests to the repository.
    asked: Log,
    /// What the proxy was asked for: the head of a request, or `socks HOST:PORT`.
    proxied: Log,
    plain: SocketAddr,
    proxy: SocketAddr,
}

impl Setup {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.write(&directory.path().join("ca.pem"));
        let files = Arc::new(Repo::new().build());
        let root = &files["metadata/1.root.json"];
        tuf_client::durable::write_atomic(&directory.path().join("root.json"), root).unwrap();
        let (asked, proxied) = (Log::default(), Log::default());
        let serve = async |acceptor: Option<tokio_rustls::TlsAcceptor>| {
            let (files, asked) = (Arc::clone(&files), Arc::clone(&asked));
            listen(move |stream| {
                let (files, asked, acceptor) = (Arc::clone(&files), Arc::clone(&asked), acceptor.clone());
                async move {
                    match acceptor {
                        Some(acceptor) => repository(acceptor.accept(stream).await?, files, asked).await,
                        None => repository(stream, files, asked).await,
                    }
                }
            })
            .await
        };
        let (plain, secure) = (serve(None).await, serve(Some(authority.acceptor(HOST, 2100))).await);
        let (log, acceptor) = (Arc::clone(&proxied), authority.acceptor("localhost", 2100));
        let proxy = listen(move |stream| {
            let (log, acceptor) = (Arc::clone(&log), acceptor.clone());
            async move {
                let mut first = [0];
                stream.peek(&mut first).await?;
                match first {
                    [0x16] => http_proxy(acceptor.accept(stream).await?, [plain, secure], log).await,
                    [5] => socks_proxy(stream, [plain, secure], log).await,
                    _ => http_proxy(stream, [plain, secure], log).await,
                }
            }
        })
        .await;
        Self { directory, asked, proxied, plain, proxy }
    }

    /// Runs the program with these variables and nothing of this machine, as talkative as it can be.
    async fn run(&self, url: &str, variables: &[(&str, &str)], command: &[&str]) -> Output {
        let here = |name: &str| self.directory.path().join(name);
        // A store is for one URL.
        let store = tempfile::tempdir_in(self.directory.path()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_tuf-client"))
            .args(["-vvv", "--url", url])
            .args(command)
            .env_clear()
            .env("TUF_ROOT", here("root.json"))
            .env("TUF_CA_FILE", here("ca.pem"))
            .env("TUF_STORE", store.path().join("store"))
            .envs(variables.iter().copied())
            .current_dir(self.directory.path())
            .output()
            .await
            .unwrap()
    }

    async fn refresh(&self, url: &str, variables: &[(&str, &str)]) -> Output {
        let output = self.run(url, variables, &["refresh"]).await;
        assert_no_secret(&output, url);
        output
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Neither as it is nor as a header has it.
fn assert_no_secret(output: &Output, case: &str) {
    let text = text(output);
    let encoded = basic().split_off(6);
    let told = text.lines().find(|line| line.contains(SECRET) || line.contains(&encoded));
    assert_eq!(told, None, "{case}");
}

async fn repository(mut stream: impl Stream, files: Arc<Files>, asked: Log) -> io::Result<()> {
    let head = head(&mut stream).await?;
    asked.lock().unwrap().push(head.clone());
    respond_file(&mut stream, &files, &head).await
}

/// Where a proxy's client really goes, by the port it asks for.
fn way([plain, secure]: [SocketAddr; 2], port: u16) -> SocketAddr {
    if port == 443 || port == secure.port() { secure } else { plain }
}

async fn http_proxy(mut stream: impl Stream, ways: [SocketAddr; 2], log: Log) -> io::Result<()> {
    let head = head(&mut stream).await?;
    log.lock().unwrap().push(head.clone());
    if field(&head, "proxy-authorization") != Some(basic()) {
        return respond(&mut stream, 407, "Proxy-Authenticate: Basic realm=\"x\"\r\n", b"").await;
    }
    let connect = head.starts_with("CONNECT ");
    let mut upstream = TcpStream::connect(ways[usize::from(connect)]).await?;
    if connect {
        stream.write_all(b"HTTP/1.1 200 X\r\n\r\n").await?;
    } else {
        let passed = head.lines().filter(|line| !line.to_lowercase().starts_with("proxy-"));
        let passed: String = passed.map(|line| format!("{line}\r\n")).collect();
        upstream.write_all(passed.as_bytes()).await?;
    }
    copy_bidirectional(&mut stream, &mut upstream).await.map(drop)
}

/// SOCKS 5 (RFC 1928) with user name and password (RFC 1929).
async fn socks_proxy(mut stream: TcpStream, ways: [SocketAddr; 2], log: Log) -> io::Result<()> {
    let bytes = async |stream: &mut TcpStream, count: u8| {
        let mut bytes = vec![0; usize::from(count)];
        stream.read_exact(&mut bytes).await.map(|_| bytes)
    };
    let count = bytes(&mut stream, 2).await?[1];
    if !bytes(&mut stream, count).await?.contains(&2) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, 2]).await?;
    let length = bytes(&mut stream, 2).await?[1];
    let user = bytes(&mut stream, length).await?;
    let length = bytes(&mut stream, 1).await?[0];
    let password = bytes(&mut stream, length).await?;
    let good = (&*user, &*password) == (b"me", SECRET.as_bytes());
    stream.write_all(&[1, u8::from(!good)]).await?;
    if !good {
        return Ok(());
    }
    let host = match bytes(&mut stream, 4).await?[3] {
        1 => bytes(&mut stream, 4).await?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        4 => format!("[{:?}]", bytes(&mut stream, 16).await?),
        _ => {
            let length = bytes(&mut stream, 1).await?[0];
            String::from_utf8(bytes(&mut stream, length).await?).unwrap()
        }
    };
    let port = u16::from_be_bytes(bytes(&mut stream, 2).await?.try_into().unwrap());
    log.lock().unwrap().push(format!("socks {host}:{port}"));
    let mut upstream = TcpStream::connect(way(ways, port)).await?;
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    copy_bidirectional(&mut stream, &mut upstream).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_proxy_is_used_and_gets_its_own_password_only() {
    let setup = Setup::new().await;
    let port = setup.proxy.port();
    let proxy = |scheme: &str, host: &str| format!("{scheme}://me:{SECRET}@{host}:{port}");
    let (plain, secure) = (format!("http://{HOST}/"), format!("https://{HOST}/"));
    let here = format!("http://127.0.0.1:{}/", setup.plain.port());
    let forwarded = format!("GET {plain}metadata/2.root.json HTTP/1.1\r\n");
    let tunnelled = format!("CONNECT {HOST}:443 HTTP/1.1\r\n");
    let by_address = format!("socks 127.0.0.1:{}", setup.plain.port());
    let rows = [
        ("HTTP_PROXY", proxy("http", "127.0.0.1"), &plain, &forwarded),
        ("http_proxy", proxy("http", "127.0.0.1"), &plain, &forwarded),
        ("ALL_PROXY", proxy("http", "127.0.0.1"), &plain, &forwarded),
        ("HTTP_PROXY", proxy("https", "localhost"), &plain, &forwarded),
        ("HTTPS_PROXY", proxy("http", "127.0.0.1"), &secure, &tunnelled),
        ("HTTPS_PROXY", proxy("https", "localhost"), &secure, &tunnelled),
        ("ALL_PROXY", proxy("http", "127.0.0.1"), &secure, &tunnelled),
        // With the h the proxy looks the name up, without it this machine does.
        ("ALL_PROXY", proxy("socks5h", "127.0.0.1"), &plain, &format!("socks {HOST}:80")),
        ("HTTPS_PROXY", proxy("socks5h", "127.0.0.1"), &secure, &format!("socks {HOST}:443")),
        ("ALL_PROXY", proxy("socks5", "127.0.0.1"), &here, &by_address),
    ];
    for (variable, proxy, url, expected) in rows {
        let case = format!("{variable} {proxy} {url}");
        setup.proxied.lock().unwrap().clear();
        setup.asked.lock().unwrap().clear();
        let authorization = format!("Bearer for-the-repository-{SECRET}");
        let variables = [(variable, &*proxy), ("TUF_AUTHORIZATION", &*authorization)];
        let output = setup.refresh(url, &variables).await;
        assert!(output.status.success(), "{case}: {}", text(&output));
        let (proxied, asked) = (setup.proxied.lock().unwrap(), setup.asked.lock().unwrap());
        assert!(proxied[0].starts_with(expected), "{case}: {proxied:?}");
        assert_eq!(asked.len(), 4, "{case}: {asked:?}");
        for request in &*asked {
            assert_eq!(field(request, "authorization").as_deref(), Some(&*authorization), "{case}");
            assert_eq!(field(request, "proxy-authorization"), None, "{case}: {request}");
        }
        for request in proxied.iter().filter(|request| request.starts_with("CONNECT")) {
            assert_eq!(field(request, "authorization"), None, "{case}: {request}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_makes_an_exception() {
    let setup = Setup::new().await;
    let proxy = format!("http://me:{SECRET}@{}", setup.proxy);
    let port = setup.plain.port();
    for (host, except, direct) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "other.example, 127.0.0.0/8", true),
        ("localhost", "*", true),
        ("localhost", "localhost", true),
        ("localhost", HOST, false),
    ] {
        setup.proxied.lock().unwrap().clear();
        let url = format!("http://{host}:{port}/");
        let output = setup.refresh(&url, &[("HTTP_PROXY", &proxy), ("NO_PROXY", except)]).await;
        assert!(output.status.success(), "{except}: {}", text(&output));
        assert_eq!(setup.proxied.lock().unwrap().is_empty(), direct, "{except}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_work_is_told_without_its_password() {
    let setup = Setup::new().await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let wrong = |scheme: &str| format!("{scheme}://me:{SECRET}-wrong@{}", setup.proxy);
    let dead = |scheme: &str| format!("{scheme}://me:{SECRET}@{unused}");
    let (plain, secure) = (format!("http://{}/", setup.plain), format!("https://{HOST}/"));
    let rows = [
        (wrong("http"), &plain, "407"),
        (wrong("http"), &secure, "prox"),
        (wrong("socks5h"), &plain, "prox"),
        (dead("http"), &plain, "prox"),
        (dead("http"), &secure, "prox"),
        (dead("socks5h"), &secure, "prox"),
        (format!("socks9://me:{SECRET}@{unused}"), &plain, "prox"),
    ];
    for (proxy, url, expected) in rows {
        setup.asked.lock().unwrap().clear();
        let output = setup.refresh(url, &[("ALL_PROXY", &proxy)]).await;
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{proxy} {url}: {text}");
        assert!(text.contains(expected), "{proxy} {url}: {text}");
        assert!(setup.asked.lock().unwrap().is_empty(), "never around the proxy: {proxy} {url}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_child_of_run_gets_neither_our_proxies_nor_our_credentials() {
    let setup = Setup::new().await;
    let netrc = setup.directory.path().join("netrc");
    let line = format!("machine {HOST} login me password {SECRET}\n");
    tuf_client::durable::write_atomic(&netrc, line.as_bytes()).unwrap();
    let proxy = format!("http://me:{SECRET}@{}", setup.proxy);
    let socks = format!("socks5h://me:{SECRET}@{}", setup.proxy);
    let authorization = format!("Bearer {SECRET}");
    let url = format!("https://me:{SECRET}@{HOST}/");
    let variables = [
        ("HTTP_PROXY", &*proxy),
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
        ("ALL_PROXY", &socks),
        ("all_proxy", &socks),
        ("NO_PROXY", "other.example"),
        ("TUF_AUTHORIZATION", &authorization),
        ("NETRC", netrc.to_str().unwrap()),
        ("OTHER", "stays"),
    ];
    let output = setup.run(&url, &variables, &["run", "--", "/usr/bin/env"]).await;
    assert!(output.status.success(), "{}", text(&output));
    assert!(!setup.proxied.lock().unwrap().is_empty(), "our own requests went through it");
    assert_no_secret(&output, "run");
    let child = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| child.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(value("OTHER"), Some("stays"), "{child}");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let value = value(name).unwrap();
        assert!(value.starts_with("http://127.0.0.1:"), "{name}={value}");
        assert!(!value.ends_with(&format!(":{}", setup.proxy.port())), "{name}={value}");
    }
    for name in ["TUF_AUTHORIZATION", "TUF_ROOT", "TUF_CA_FILE", "TUF_STORE", "NETRC"] {
        assert_eq!(value(name), None, "{child}");
    }
}
