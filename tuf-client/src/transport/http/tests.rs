//! Against a hostile server on the loopback interface.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use super::*;

/// Long enough for a busy machine to answer in.
const LIMIT: Duration = Duration::from_secs(2);

/// How the server treats a request, by its path.
async fn answer(mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if request.starts_with(&[0x16]) {
            // A TLS handshake, answered in plain text.
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{rest}\r\n");
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["ok"] => stream.write_all(head("Content-Length: 5\r\n\r\nhello").trim_end().as_bytes()).await,
        ["echo"] => stream.write_all(format!("{}{request}", head("")).as_bytes()).await,
        ["status", status] => {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).await
        }
        ["encoding", coding] => {
            let text = head(&format!("Content-Encoding: {coding}\r\nContent-Length: 1\r\n"));
            stream.write_all(format!("{text}x").as_bytes()).await
        }
        ["truncated"] => {
            stream.write_all(format!("{}hello", head("Content-Length: 50\r\n")).as_bytes()).await
        }
        ["truncated-chunks"] => {
            let text = head("Transfer-Encoding: chunked\r\n");
            stream.write_all(format!("{text}5\r\nhello\r\n5\r\nhe").as_bytes()).await
        }
        ["longer"] => stream.write_all(format!("{}hello", head("Content-Length: 3\r\n")).as_bytes()).await,
        ["huge"] => stream.write_all(head("Content-Length: 99999999999999\r\n").as_bytes()).await,
        ["endless"] => {
            stream.write_all(head("").as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 16 * 1024]).await?;
            }
        }
        ["no-headers"] => wait(&mut stream).await,
        ["endless-headers"] => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"X-Filler: x\r\n").await?;
                sleep(Duration::from_millis(20)).await;
            }
        }
        ["interim"] => loop {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await?;
            sleep(Duration::from_millis(20)).await;
        },
        ["stall"] => {
            stream.write_all(format!("{}h", head("Content-Length: 5\r\n")).as_bytes()).await?;
            wait(&mut stream).await
        }
        // One redirect more than the number says.
        ["redirect", count] => {
            let left: u32 = count.parse().unwrap();
            let next = if left == 0 { "/ok".to_owned() } else { format!("/redirect/{}", left - 1) };
            let text =
                format!("HTTP/1.1 302 X\r\nLocation: http://{address}{next}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await
        }
        ["redirect-to", port] => {
            let text = format!(
                "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:{port}/echo\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(text.as_bytes()).await
        }
        ["gzip", coding] => {
            let body = gzip_of(b"{\"signed\":{}}");
            let head = head(&format!("Content-Encoding: {coding}\r\nContent-Length: {}\r\n", body.len()));
            stream.write_all(&[head.as_bytes(), &body].concat()).await
        }
        ["bomb"] => {
            let body = gzip_of(&vec![b' '; 32 << 20]);
            stream.write_all(&[head("Content-Encoding: gzip\r\n").as_bytes(), &body].concat()).await
        }
        ["busy"] => stream.write_all(b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await,
        ["redirect-to-file"] => {
            stream.write_all(b"HTTP/1.1 302 X\r\nLocation: file:///x\r\nContent-Length: 0\r\n\r\n").await
        }
        ["garbage"] => stream.write_all(b"SSH-2.0-x\r\n\r\n").await,
        _ => Ok(()),
    }
}

/// Until the client goes away.
async fn wait(stream: &mut TcpStream) -> io::Result<()> {
    stream.read(&mut [0]).await.map(drop)
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

async fn server() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, address));
        }
    });
    Url::parse(&format!("http://{address}/")).unwrap()
}

fn transport() -> HttpTransport {
    transport_with(Credentials::new())
}

fn transport_with(credentials: Credentials) -> HttpTransport {
    let user_agent = Some("test/1".to_owned());
    let mut options = HttpOptions { credentials, system_proxy: false, user_agent, ..HttpOptions::default() };
    options.pace.headers = LIMIT;
    options.pace.idle = LIMIT;
    HttpTransport::new(options).unwrap()
}

async fn get(url: &Url, max: u64) -> Result<Vec<u8>, TransportError> {
    transport().fetch(url).await?.collect(max).await
}

#[tokio::test]
async fn a_plain_file_arrives_and_its_limit_is_exact() {
    let url = server().await.join("ok").unwrap();
    assert_eq!(get(&url, 5).await.unwrap(), b"hello");
    let error = get(&url, 4).await.unwrap_err();
    assert_eq!(error.kind(), &TransportErrorKind::TooLarge { limit: 4, declared: Some(5) });
}

#[tokio::test]
async fn a_request_asks_for_no_encoding_and_says_who_asks() {
    let url = server().await.join("echo").unwrap();
    let request = String::from_utf8(get(&url, 4096).await.unwrap()).unwrap().to_lowercase();
    assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
    assert!(request.contains(concat!(
        "\r\nuser-agent: tuf-client/",
        env!("CARGO_PKG_VERSION"),
        " test/1\r\n"
    )));
    assert!(!request.contains("referer"));
}

#[tokio::test]
async fn metadata_may_come_gzip_encoded_up_to_its_limit_targets_not() {
    let base = server().await;
    let metadata = async |path: &str, max| {
        transport().fetch_metadata(&base.join(path).unwrap()).await?.collect(max).await
    };
    let request = String::from_utf8(metadata("echo", 4096).await.unwrap()).unwrap().to_lowercase();
    assert!(request.contains("\r\naccept-encoding: gzip\r\n"), "{request}");
    for coding in ["gzip", "GZIP", "x-gzip", "identity,gzip"] {
        assert_eq!(metadata(&format!("gzip/{coding}"), 13).await.unwrap(), b"{\"signed\":{}}", "{coding}");
    }
    assert_eq!(metadata("ok", 5).await.unwrap(), b"hello", "a server need not");
    let rows = [
        ("gzip/gzip", TransportErrorKind::TooLarge { limit: 12, declared: None }),
        ("bomb", TransportErrorKind::TooLarge { limit: 12, declared: None }),
        ("gzip/gzip,gzip", TransportErrorKind::ContentEncoding("gzip".to_owned())),
        ("gzip/br", TransportErrorKind::ContentEncoding("br".to_owned())),
        ("encoding/gzip", TransportErrorKind::Gzip),
    ];
    for (path, kind) in rows {
        assert_eq!(metadata(path, 12).await.unwrap_err().kind(), &kind, "{path}");
    }
    let error = get(&base.join("gzip/gzip").unwrap(), 100).await.unwrap_err();
    assert_eq!(error.kind(), &TransportErrorKind::ContentEncoding("gzip".to_owned()));
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let (base, elsewhere) = (server().await, server().await);
    let port = |url: &Url| url.port().unwrap();
    let with_user: Url = base.as_str().replace("://", "://me:s%201@").parse().unwrap();
    let for_origin = Credentials::new().for_origin(&base, "Bearer s2").unwrap();
    let netrc = Credentials::new().netrc("machine 127.0.0.1 login me password s3");
    let rows = [
        (&with_user, Credentials::new(), "Basic bWU6cyAx"),
        (&with_user, for_origin.clone(), "Basic bWU6cyAx"),
        (&base, for_origin, "Bearer s2"),
        (&base, netrc, "Basic bWU6czM="),
    ];
    for (base, credentials, expected) in rows {
        let transport = transport_with(credentials);
        assert!(!format!("{transport:?}").contains("s2"), "{transport:?}");
        let sent = async |path: String| {
            let url = base.join(&path).unwrap();
            let body = transport.fetch(&url).await.unwrap().collect(4096).await.unwrap();
            let request = String::from_utf8(body).unwrap();
            request.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
            })
        };
        assert_eq!(sent("echo".to_owned()).await.as_deref(), Some(expected));
        assert_eq!(sent(format!("redirect-to/{}", port(base))).await.as_deref(), Some(expected));
        assert_eq!(sent(format!("redirect-to/{}", port(&elsewhere))).await, None);
    }
}

#[tokio::test]
async fn how_long_a_busy_server_wants_to_be_left_alone_is_told() {
    let error = get(&server().await.join("busy").unwrap(), 1).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (&TransportErrorKind::Status(429), Some(7 * UNIT)));
}

const UNIT: Duration = Duration::from_secs(1);

#[test]
fn a_date_to_come_back_at_is_told_as_a_wait() {
    let headers = |rows: &[(reqwest::header::HeaderName, &str)]| {
        rows.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect::<HeaderMap>()
    };
    let at = |retry: &str, date: &str| retry_after(&headers(&[(RETRY_AFTER, retry), (DATE, date)]));
    let now = "Sun, 06 Nov 1994 08:49:37 GMT";
    let rows = [
        ("Sun, 06 Nov 1994 08:49:44 GMT", now, Some(7 * UNIT)),
        // The two old forms.
        ("Sunday, 06-Nov-94 08:49:44 GMT", now, Some(7 * UNIT)),
        ("Sun Nov  6 08:49:44 1994", now, Some(7 * UNIT)),
        ("Sun, 06 Nov 1994 09:49:37 GMT", now, Some(3600 * UNIT)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", now, Some(Duration::ZERO)),
        (" 7 ", now, Some(7 * UNIT)),
        ("-7", now, None),
        ("soon", now, None),
        ("99999999999999999999", now, None),
    ];
    for (retry, date, expected) in rows {
        assert_eq!(at(retry, date), expected, "{retry}");
    }
    // Without a date of the server, ours counts.
    assert_eq!(at("Sun, 06 Nov 1994 08:49:44 GMT", "today"), Some(Duration::ZERO));
    let later = std::time::SystemTime::from(clock::now()) + 1000 * UNIT;
    let wait = retry_after(&headers(&[(RETRY_AFTER, &httpdate::fmt_http_date(later))])).unwrap();
    assert!(wait > 900 * UNIT && wait <= 1000 * UNIT, "{wait:?}");
}

#[tokio::test]
async fn hostile_answers_are_refused_with_their_reason() {
    let base = server().await;
    let not_found = |status| TransportErrorKind::NotFound { status: Some(status) };
    let encoding = |coding: &str| TransportErrorKind::ContentEncoding(coding.to_owned());
    let timeout = |waiting| TransportErrorKind::Timeout { waiting, limit: LIMIT };
    let cases = [
        ("status/403", not_found(403)),
        ("status/404", not_found(404)),
        ("status/410", TransportErrorKind::Status(410)),
        ("status/204", TransportErrorKind::Status(204)),
        ("status/206", TransportErrorKind::Status(206)),
        ("status/304", TransportErrorKind::Status(304)),
        ("status/401", TransportErrorKind::Status(401)),
        ("status/503", TransportErrorKind::Status(503)),
        ("encoding/gzip", encoding("gzip")),
        ("encoding/identity,%20br", encoding("%20br")),
        ("encoding/BR", encoding("BR")),
        ("endless", TransportErrorKind::TooLarge { limit: 1000, declared: None }),
        ("huge", TransportErrorKind::TooLarge { limit: 1000, declared: Some(99_999_999_999_999) }),
        ("truncated", TransportErrorKind::Truncated { expected: Some(50), received: 5 }),
        ("truncated-chunks", TransportErrorKind::Truncated { expected: None, received: 7 }),
        ("no-headers", timeout(Waiting::Headers)),
        ("endless-headers", timeout(Waiting::Headers)),
        ("interim", timeout(Waiting::Headers)),
        ("stall", timeout(Waiting::Idle)),
        ("garbage", TransportErrorKind::Io),
        ("close", TransportErrorKind::Io),
        ("redirect/5", TransportErrorKind::Redirect("more than 5 in a row".to_owned())),
        ("redirect-to-file", TransportErrorKind::Redirect(NO_ADDRESS.to_owned())),
    ];
    let start = Instant::now();
    join_all(cases.map(async |(path, kind)| {
        let url = base.join(path).unwrap();
        let error = get(&url, 1000).await.unwrap_err();
        assert_eq!(error.kind(), &kind, "{path}: {error:?}");
        assert_eq!(error.url(), url.as_str());
    }))
    .await;
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn harmless_oddities_are_accepted() {
    let base = server().await;
    for (path, body) in [("redirect/4", "hello"), ("encoding/identity", "x"), ("longer", "hel")] {
        assert_eq!(get(&base.join(path).unwrap(), 100).await.unwrap(), body.as_bytes(), "{path}");
    }
}

#[tokio::test]
async fn no_connection_and_no_tls_are_told_apart_and_hide_the_password() {
    let with_port = |port| Url::parse(&format!("https://user:secret@127.0.0.1:{port}/ok")).unwrap();
    let url = with_port(server().await.port().unwrap());
    let tls = get(&url, 5).await.unwrap_err();
    assert_eq!(tls.kind(), &TransportErrorKind::Tls, "{tls:?}");

    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let connect = get(&with_port(unused.port()), 5).await.unwrap_err();
    assert_eq!(connect.kind(), &TransportErrorKind::Connect, "{connect:?}");
    for error in [tls, connect] {
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn a_redirect_never_leaves_https_nor_goes_on_for_ever() {
    let url = |text: &str| url::Url::parse(text).unwrap();
    let (plain, secure) = (url("http://a.example/"), url("https://user:secret@a.example/?token=secret"));
    let check = |previous: &[&url::Url], next: &url::Url| {
        check_redirect(&previous.iter().map(|url| (*url).clone()).collect::<Vec<_>>(), next)
    };
    check(&[&plain], &secure).unwrap();
    check(&[&plain], &plain).unwrap();
    check(&[&plain; 5], &plain).unwrap();
    assert_eq!(check(&[&plain; 6], &plain).unwrap_err(), RedirectRefusal::TooMany);
    let downgrade = RedirectRefusal::Downgrade("http://a.example/".to_owned());
    assert_eq!(check(&[&secure], &plain).unwrap_err(), downgrade);
    assert_eq!(check(&[&plain, &secure, &secure], &plain).unwrap_err(), downgrade);
    assert!(!check(&[&plain], &url("ftp://user:secret@x/")).unwrap_err().to_string().contains("secret"));
}

#[test]
fn a_ca_file_must_hold_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let set_up = || HttpTransport::new(HttpOptions { ca_file: Some(path.clone()), ..HttpOptions::default() });
    for content in
        [None, Some("no certificate"), Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")]
    {
        if let Some(content) = content {
            crate::durable::write_atomic(&path, content.as_bytes()).unwrap();
        }
        let error = set_up().unwrap_err();
        assert!(matches!(error, SetupError::CaFile { .. }), "{error:?}");
        assert!(error.to_string().contains("ca.pem"));
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_not_passed_over() {
    let rows = [
        ("http://user:pass%40word@proxy.example:3128", true),
        ("https://proxy.example", true),
        ("socks5h://proxy.example:1080/", true),
        ("socks5://[::1]:1080", true),
        ("socks4a://proxy.example", true),
        ("proxy.example:3128", true),
        ("127.0.0.1:3128", true),
        ("socks9://user:secret@proxy.example", false),
        ("ftp://proxy.example", false),
        ("http://user:se^cret@proxy.example", false),
        ("http://user:se cret@proxy.example", false),
        ("http://[::1", false),
        ("/secret", false),
    ];
    for (value, usable) in rows {
        for name in PROXY_VARIABLES {
            let checked = check_proxies(|asked| (asked == name).then(|| value.to_owned()));
            assert_eq!(checked.is_ok(), usable, "{name}={value}");
            let Err(error) = checked else { continue };
            assert!(error.to_string().contains(name) && !error.to_string().contains("cret"), "{error}");
        }
    }
    check_proxies(|_| None).unwrap();
}
