//! A front before an S3 server that spoils it, as some servers are.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, serve};
use futures_util::stream::{self, StreamExt};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tuf_client::transport::{HttpOptions, HttpTransport};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoilt {
    /// It ignores the conditions of a put.
    Ignores,
    /// It looks first and writes later.
    LooksFirst,
    /// Nothing: it can be watched.
    Not,
    /// It answers with the first `timestamp.json` that it ever got.
    Stale,
    /// It ends bodies before their end.
    Truncates,
}

/// A request that was carried out, and whose answer waits until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) method: Method,
    _answer: oneshot::Sender<()>,
}

/// It runs until dropped.
#[derive(Debug)]
pub(crate) struct Front {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    behind: Arc<Behind>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Behind {
    endpoint: String,
    spoilt: Spoilt,
    http: HttpTransport,
    stale: Mutex<Option<Bytes>>,
    watched: Mutex<Option<(String, mpsc::Sender<Held>)>>,
}

impl Front {
    pub(crate) fn start(endpoint: &str, spoilt: Spoilt) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let http = HttpTransport::new(HttpOptions::default()).unwrap();
        let (endpoint, stale, watched) = (endpoint.to_owned(), Mutex::default(), Mutex::default());
        let behind = Arc::new(Behind { endpoint, spoilt, http, stale, watched });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass).with_state(Arc::clone(&behind));
        runtime.spawn(async move { serve(listener, app).await.unwrap() });
        Self { endpoint, behind, _runtime: runtime }
    }

    /// From now on, answers to requests whose path ends so wait, and are received here.
    pub(crate) fn watch(&self, end: &str) -> mpsc::Receiver<Held> {
        let (sender, receiver) = mpsc::channel();
        *self.behind.watched.lock().unwrap() = Some((end.to_owned(), sender));
        receiver
    }

    /// Nothing waits any more.
    pub(crate) fn unwatch(&self) {
        *self.behind.watched.lock().unwrap() = None;
    }
}

async fn pass(State(behind): State<Arc<Behind>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = carry_out(&behind, request).await;
    let answered = behind.watched.lock().unwrap().as_ref().and_then(|(end, watching)| {
        let (answer, answered) = oneshot::channel();
        let held = path.ends_with(end) && watching.send(Held { method, _answer: answer }).is_ok();
        held.then_some(answered)
    });
    if let Some(answered) = answered {
        // Dropped, it is told nothing.
        let _ = answered.await;
    }
    response
}

async fn carry_out(behind: &Behind, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let url = format!("{}{}", behind.endpoint, parts.uri);
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let (absent, same) = match behind.spoilt {
        Spoilt::Not => (None, None),
        _ => (headers.remove(header::IF_NONE_MATCH), headers.remove(header::IF_MATCH)),
    };
    if behind.spoilt == Spoilt::LooksFirst
        && parts.method == Method::PUT
        && (absent.is_some() || same.is_some())
    {
        let found = behind.send(Method::HEAD, &url, HeaderMap::new(), Bytes::new()).await;
        let etag = (found.status() == StatusCode::OK).then(|| found.headers()[header::ETAG].clone());
        let holds = if absent.is_some() { etag.is_none() } else { etag == same };
        if !holds {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        // Long enough for another one to look, too.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let is_get = parts.method == Method::GET;
    let grows_stale = behind.spoilt == Spoilt::Stale && url.ends_with("/timestamp.json");
    let response = behind.send(parts.method, &url, headers, body).await;
    if behind.spoilt == Spoilt::Truncates && is_get && response.status().is_success() {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let half = body.slice(..body.len() / 2);
        let broken = stream::once(async { Ok(half) }).chain(stream::once(async {
            // The head and the first half are to arrive.
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(std::io::Error::other("broken off"))
        }));
        return Response::from_parts(parts, Body::from_stream(broken));
    }
    if grows_stale && response.status().is_success() {
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        return behind.stale.lock().unwrap().get_or_insert(body).clone().into_response();
    }
    response
}

impl Behind {
    async fn send(&self, method: Method, url: &str, headers: HeaderMap, body: Bytes) -> Response {
        let request = self.http.client().request(method, url).headers(headers).body(body);
        let response = request.send().await.unwrap();
        let (status, mut headers) = (response.status(), response.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        let body = response.bytes().await.unwrap();
        (status, headers, body).into_response()
    }
}
