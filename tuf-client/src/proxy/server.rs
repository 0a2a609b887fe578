//! Connections in, requests sorted to their rooms. HTTP/1.1 only: the reason phrase is part of what we say.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::body::{Body, full};
use super::files::{self, Failed, FileRequest, Verdicts};
use super::forward::{self, DirectHost};
use super::pages;
use super::refusal::{self, Failure, Kind, Refusals, problem};
use super::socket::{Socket, Unverified};
use super::views::Views;

/// Connections at once; more wait in the listener's queue. uv opens up to 50.
const MAX_CONNECTIONS: usize = 512;

/// How long a connection may idle or dawdle over its request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// This many failures to accept in a row, and the listener is given up.
const MAX_ACCEPT_FAILURES: u32 = 20;

/// What every request sees.
pub(super) struct State {
    pub(super) views: Views,
    pub(super) refusals: Refusals,
    pub(super) failed: Failed,
    pub(super) verdicts: Verdicts,
    pub(super) direct: Vec<DirectHost>,
    /// The `Host` values that are this proxy.
    pub(super) hosts: Vec<String>,
}

/// The names a client on this machine has for the listener, and those the operator adds.
pub(super) fn own_hosts(listen: SocketAddr, more: &[String]) -> Vec<String> {
    let port = listen.port();
    let mut hosts: Vec<String> =
        ["127.0.0.1", "localhost", "[::1]"].iter().map(|host| format!("{host}:{port}")).collect();
    hosts.push(listen.to_string());
    hosts.extend(more.iter().map(|host| host.to_ascii_lowercase()));
    if port == 80 {
        let bare: Vec<String> =
            hosts.iter().filter_map(|host| host.strip_suffix(":80")).map(str::to_owned).collect();
        hosts.extend(bare);
    }
    hosts
}

/// Accepts until the listener fails for good. Dropping the future closes every connection.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) -> io::Error {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut failures = 0;
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return io::Error::other("the listener was closed");
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                failures = 0;
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    connection(stream, state).await;
                    drop(place);
                });
            }
            // Either that one connection, or no descriptors are left: both pass.
            Err(error) => {
                failures += 1;
                if failures >= MAX_ACCEPT_FAILURES {
                    return error;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    // Small answers, many of them: waiting for more bytes only costs time.
    drop(stream.set_nodelay(true));
    let unverified = Unverified::default();
    let socket = Socket::new(stream, unverified.clone());
    let service = service_fn(move |request| {
        let (state, unverified) = (Arc::clone(&state), unverified.clone());
        async move { Ok::<_, Infallible>(answer(&state, &unverified, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!("connection ended: {error}");
    }
}

async fn answer(state: &Arc<State>, unverified: &Unverified, request: Request<Incoming>) -> Response<Body> {
    match forward::authority(&request) {
        // Under `run` we are the proxy for everything, so our own pages are asked for in absolute form too.
        Some(authority) if request.method() != Method::CONNECT && is_own(state, &authority) => {}
        Some(authority) if forward::is_http(&request) => {
            return forward::answer(state, request, &authority).await;
        }
        Some(_) => {
            return problem(StatusCode::BAD_REQUEST, "bad request", "only http URLs can be asked of a proxy");
        }
        None => {
            if let Err(answer) = own_host(state, request.headers()) {
                return *answer;
            }
        }
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer =
            problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed", "this proxy only reads");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let Some(path) = decoded(request.uri().path()) else {
        return refusal::not_found("the path is not valid");
    };
    if let Some(wanted) = file_request(&path) {
        return files::answer(state, unverified, &request, &wanted).await;
    }
    route(state, &path, request.headers()).await
}

fn file_request(path: &str) -> Option<FileRequest<'_>> {
    let mut parts = path.strip_prefix("/files/")?.splitn(3, '/');
    Some(FileRequest { project: parts.next()?, sha256: parts.next()?, path: parts.next()? })
}

async fn route(state: &State, path: &str, headers: &HeaderMap) -> Response<Body> {
    if path == "/-/status" {
        return status(state);
    }
    let project = path
        .strip_prefix("/simple/")
        .map(|name| (name.strip_suffix('/').unwrap_or(name), name.ends_with('/')));
    match project {
        Some(("", _)) => {
            refusal::not_found("a signed snapshot has no list of all projects: ask for /simple/<project>/")
        }
        Some((name, slash)) if !name.contains('/') => pages::answer(state, name, slash, headers).await,
        _ => refusal::not_found(
            "this proxy serves /simple/<project>/, the files its pages link to, and /-/status",
        ),
    }
}

fn status(state: &State) -> Response<Body> {
    let status = json!({ "view": state.views.status(), "refusals": state.refusals.list(), "refusals_not_kept": state.refusals.not_kept() });
    let mut answer = Response::new(full(refusal::json_bytes(&status)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A web page in the user's browser can have its own name resolve to this machine (DNS rebinding); its `Host` gives it away.
fn own_host(state: &State, headers: &HeaderMap) -> Result<(), Box<Response<Body>>> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    if hosts.next().is_none() && state.hosts.contains(&host) {
        return Ok(());
    }
    let failure = Failure::new(Kind::ForeignHost, None, "the Host header does not name this proxy");
    state.refusals.record(&host, &failure);
    Err(Box::new(problem(StatusCode::MISDIRECTED_REQUEST, "foreign Host header", &failure.why)))
}

fn is_own(state: &State, authority: &Authority) -> bool {
    state.hosts.contains(&authority.as_str().to_ascii_lowercase())
}

/// The path with its percent escapes resolved. It is only ever compared with signed names, never used as a path.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2)?;
        if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_resolved_once_and_strictly() {
        let rows = [
            ("/a/b", Some("/a/b")),
            ("/a%2Bb", Some("/a+b")),
            ("/%C3%A9", Some("/é")),
            ("/%252e", Some("/%2e")),
            ("/%", None),
            ("/%4", None),
            ("/%+1", None),
            ("/%zz", None),
            ("/%ff", None),
        ];
        for (path, expected) in rows {
            assert_eq!(decoded(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_proxy_knows_its_own_names() {
        let hosts = own_hosts("127.0.0.1:8000".parse().unwrap(), &["Mirror.example:8000".to_owned()]);
        for own in ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "mirror.example:8000"] {
            assert!(hosts.iter().any(|host| host == own), "{own}");
        }
        assert!(own_hosts("[::]:80".parse().unwrap(), &[]).iter().any(|host| host == "localhost"));
    }
}
