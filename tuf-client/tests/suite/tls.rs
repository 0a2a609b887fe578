//! HTTPS with `--ca-file`: certificates made for the test, on the loopback interface.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tuf_client::Url;
use tuf_client::transport::{
    Credentials, HttpOptions, HttpTransport, SchemeTransport, Transport, TransportError, TransportErrorKind,
    Waiting,
};
use tuf_client::{Client, TargetPath};

use crate::common::{Files, Repo};
use crate::web::{Authority, Log, Stream, field, head, listen, path, respond, respond_file};

struct Setup {
    directory: TempDir,
    authority: Authority,
}

impl Setup {
    fn new() -> Self {
        let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.write(&directory.path().join("ca.pem"));
        Self { directory, authority }
    }

    fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn good(&self) -> TlsAcceptor {
        self.authority.acceptor("127.0.0.1", 2100)
    }

    fn options(&self) -> HttpOptions {
        let mut options = HttpOptions::default();
        (options.ca_file, options.system_proxy) = (Some(self.ca_file()), false);
        options
    }
}

async fn fetch(options: HttpOptions, url: &str) -> Result<Vec<u8>, TransportError> {
    let url = Url::parse(url).unwrap();
    HttpTransport::new(options).unwrap().fetch(&url).await?.collect(4096).await
}

/// `/hop?URL` is a redirect there, `/echo` gives the request back, anything else is a file.
async fn answer(mut stream: impl Stream, files: Arc<Files>, log: Log) -> io::Result<()> {
    let head = head(&mut stream).await?;
    log.lock().unwrap().push(head.clone());
    match path(&head).split_once('?') {
        Some((_, to)) => respond(&mut stream, 302, &format!("Location: {to}\r\n"), b"").await,
        None if path(&head) == "echo" => respond(&mut stream, 200, "", head.as_bytes()).await,
        None => respond_file(&mut stream, &files, &head).await,
    }
}

/// Speaks TLS to who begins with a handshake and plain HTTP to others, so that one port is two origins.
async fn serve(acceptor: TlsAcceptor, files: Files, log: Log) -> SocketAddr {
    let files = Arc::new(files);
    listen(move |stream| {
        let (acceptor, files, log) = (acceptor.clone(), Arc::clone(&files), Arc::clone(&log));
        async move {
            let mut first = [0];
            stream.peek(&mut first).await?;
            match first {
                [0x16] => answer(acceptor.accept(stream).await?, files, log).await,
                _ => answer(stream, files, log).await,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_read_over_https_with_the_authority_given() {
    let (setup, repo) = (Setup::new(), Repo::new().build());
    let (root, log) = (repo["metadata/1.root.json"].clone(), Log::default());
    let address = serve(setup.good(), repo, Arc::clone(&log)).await;
    let transport = SchemeTransport::with_http(HttpTransport::new(setup.options()).unwrap());
    let url = Url::parse(&format!("https://{address}/")).unwrap();
    let client = Client::builder(root, url).transport(transport).build().unwrap();
    let view = client.refresh().await.unwrap();
    let target = view.require(&TargetPath::new("a.txt").unwrap()).await.unwrap();
    assert_eq!(view.read(&view.wanted(&target), 100).await.unwrap(), &b"alpha"[..]);
    assert!(!log.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_must_be_of_a_known_authority_for_this_host_and_in_time() {
    let (setup, other) = (Setup::new(), Authority::new());
    let rows = [
        ("good", setup.good(), true),
        ("of an unknown authority", other.acceptor("127.0.0.1", 2100), false),
        ("for another host", setup.authority.acceptor("index.example", 2100), false),
        ("expired", setup.authority.acceptor("127.0.0.1", 2020), false),
    ];
    for (case, acceptor, accepted) in rows {
        let log = Log::default();
        let address = serve(acceptor, Files::new(), Arc::clone(&log)).await;
        let url = format!("https://user:secret@{address}/echo");
        match fetch(setup.options(), &url).await {
            Ok(request) => assert!(accepted && !request.is_empty(), "{case}"),
            Err(error) => {
                assert!(!accepted, "{case}: {error:?}");
                assert_eq!(error.kind(), &TransportErrorKind::Tls, "{case}: {error:?}");
                assert!(error.hint().is_some_and(|hint| hint.contains("CA file")));
                assert!(log.lock().unwrap().is_empty(), "{case}: nothing is asked before that is known");
                assert!(!format!("{error:?}").contains("secret"), "{case}: {error:?}");
            }
        }
    }
    // Without the file nobody knows the authority.
    let address = serve(setup.good(), Files::new(), Log::default()).await;
    let mut options = setup.options();
    options.ca_file = None;
    let error = fetch(options, &format!("https://{address}/echo")).await.unwrap_err();
    assert_eq!(error.kind(), &TransportErrorKind::Tls, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_from_https_to_http_is_refused_before_anything_is_asked_there() {
    let setup = Setup::new();
    let log = Log::default();
    let address = serve(setup.good(), Files::new(), Arc::clone(&log)).await;
    for hop in ["/hop?http://", "/hop?/hop?http://"] {
        log.lock().unwrap().clear();
        let error =
            fetch(setup.options(), &format!("https://{address}{hop}{address}/echo")).await.unwrap_err();
        let text = format!("to http://{address}/echo, which gives up the encryption asked for");
        assert_eq!(error.kind(), &TransportErrorKind::Redirect(text), "{hop}");
        assert!(log.lock().unwrap().iter().all(|head| path(head) != "echo"), "{hop}");
    }
    // The other way is an improvement.
    let found = fetch(setup.options(), &format!("http://{address}/hop?https://{address}/echo")).await;
    assert!(!found.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_takes_credentials_to_no_other_scheme_host_or_port() {
    let setup = Setup::new();
    let address = serve(setup.good(), Files::new(), Log::default()).await;
    let elsewhere = serve(setup.good(), Files::new(), Log::default()).await;
    let named = serve(setup.authority.acceptor("localhost", 2100), Files::new(), Log::default()).await;
    let here = Url::parse(&format!("https://{address}/")).unwrap();
    let plain = Url::parse(&format!("http://{address}/")).unwrap();
    let rows = [
        (&here, format!("https://{address}/echo"), true),
        (&here, format!("https://{elsewhere}/echo"), false),
        (&here, format!("https://localhost:{}/echo", named.port()), false),
        (&here, format!("https://{elsewhere}/hop?https://{address}/echo"), false),
        (&plain, format!("http://{address}/echo"), true),
        (&plain, format!("https://{address}/echo"), false),
    ];
    for (base, to, sent) in rows {
        let with_user: Url = base.as_str().replace("://", "://me:secret@").parse().unwrap();
        let header = Credentials::new().for_origin(base, "Bearer secret").unwrap();
        let netrc = Credentials::new().netrc("machine 127.0.0.1 login me password secret");
        for (base, credentials) in [(&with_user, Credentials::new()), (base, header), (base, netrc)] {
            let mut options = setup.options();
            options.credentials = credentials;
            let request = fetch(options, &format!("{base}hop?{to}")).await.unwrap();
            let found = field(&String::from_utf8(request).unwrap(), "authorization");
            assert_eq!(found.is_some(), sent, "{base} {to}: {found:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_is_given_up() {
    // The beginning of a long record, byte by byte; or nothing at all.
    let drip = async |mut stream: TcpStream| {
        for byte in [0x16, 3, 3, 0x40, 0].into_iter().chain(std::iter::repeat(2)) {
            stream.write_all(&[byte]).await?;
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    let silent = async |stream: TcpStream| {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
        Ok(())
    };
    let setup = Setup::new();
    let limit = Duration::from_millis(300);
    for address in [listen(drip).await, listen(silent).await] {
        let mut options = setup.options();
        options.connect_timeout = limit;
        let error = fetch(options, &format!("https://{address}/")).await.unwrap_err();
        let expected = TransportErrorKind::Timeout { waiting: Waiting::Connect, limit };
        assert_eq!(error.kind(), &expected, "{error:?}");
        // Also by the limit of the whole request, if that is shorter.
        let mut options = setup.options();
        options.pace.headers = limit;
        let error = fetch(options, &format!("https://{address}/")).await.unwrap_err();
        assert_eq!(error.kind(), &TransportErrorKind::Timeout { waiting: Waiting::Headers, limit });
    }
}
