//! A front before an S3 server that spoils it, as some servers are.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, serve};
use futures_util::stream::{self, StreamExt};
use tokio::runtime::Runtime;
use tuf_client::transport::{HttpOptions, HttpTransport};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoilt {
    /// It ignores the conditions of a put.
    Ignores,
    /// It looks first and writes later.
    LooksFirst,
    /// It ends bodies before their end.
    Truncates,
}

/// It runs until dropped.
#[derive(Debug)]
pub(crate) struct Front {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    _runtime: Runtime,
}

#[derive(Debug)]
struct Behind {
    endpoint: String,
    spoilt: Spoilt,
    http: HttpTransport,
}

impl Front {
    pub(crate) fn start(endpoint: &str, spoilt: Spoilt) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let http = HttpTransport::new(HttpOptions::default()).unwrap();
        let behind = Arc::new(Behind { endpoint: endpoint.to_owned(), spoilt, http });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(pass).with_state(behind);
        runtime.spawn(async move { serve(listener, app).await.unwrap() });
        Self { endpoint, _runtime: runtime }
    }
}

async fn pass(State(behind): State<Arc<Behind>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let url = format!("{}{}", behind.endpoint, parts.uri);
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let (absent, same) = (headers.remove(header::IF_NONE_MATCH), headers.remove(header::IF_MATCH));
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
