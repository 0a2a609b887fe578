//! Serves a published repository as plain files over HTTP/1.1.
//!
//! Any web server can do this; what a TUF repository asks of one is written down here and tested. Files whose name
//! holds a version or a hash never change and may be cached for ever. `timestamp.json` and every error must not be
//! cached at all: a stale timestamp is a freeze, and a cached 404 hides a file that was published a moment later.
//!
//! Only the publisher writes below the served directory. Against mistakes there, files whose name starts with a dot
//! (temporary files among them) and everything reached through a symbolic link do not exist for clients.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::services::ServeDir;

use crate::storage::Lifetime;

/// How long responses that are under way may take after the stop signal.
const GRACE: Duration = Duration::from_secs(10);

/// Smaller bodies gain nothing from gzip.
const MIN_COMPRESSED: u16 = 512;

/// Fewer system calls for large package files than with the default of 64 KiB.
const CHUNK: usize = 256 * 1024;

/// Serves the files below `public_dir` until `shutdown` is ready, then lets responses that are under way finish for
/// at most ten seconds.
///
/// # Errors
/// `public_dir` cannot be found, or the listener failed.
pub async fn serve(
    public_dir: &Path,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_with_grace(public_dir, listener, shutdown, GRACE).await
}

async fn serve_with_grace(
    public_dir: &Path,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    let app = app(tokio::fs::canonicalize(public_dir).await?);
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens any more only when the server has ended already.
        let _ = stopping.send(());
    });
    let deadline = async {
        if stopped.await.is_err() {
            std::future::pending::<Infallible>().await;
        }
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = server => ended,
        () = deadline => Ok(()),
    }
}

fn app(public_dir: PathBuf) -> Router {
    let files = ServeDir::new(&public_dir).append_index_html_on_directories(false).with_buf_chunk_size(CHUNK);
    let marked =
        |_: StatusCode, _: Version, _: &HeaderMap, marks: &Extensions| marks.get::<Compressible>().is_some();
    Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn_with_state(Arc::new(public_dir), guard))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(MIN_COMPRESSED).and(marked)))
}

/// Marks a response that may be compressed.
#[derive(Clone, Copy)]
struct Compressible;

/// Metadata and index pages; package files travel as they are.
fn is_compressible(segments: &[&str]) -> bool {
    match segments {
        ["targets", "packages", ..] => false,
        [.., name] => name.ends_with(".json"),
        [] => false,
    }
}

async fn guard(State(public_dir): State<Arc<PathBuf>>, mut request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return uncached((StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response());
    }
    let Some(path) = decoded(request.uri().path()) else {
        return not_found();
    };
    let segments: Vec<&str> = path.split('/').collect();
    if !segments.iter().all(|segment| is_public(segment)) || !is_plain_file(&public_dir, &segments).await {
        return not_found();
    }
    let lifetime = Lifetime::of(&segments);
    let headers = request.headers_mut();
    if lifetime != Lifetime::Immutable {
        // A part of a file that is replaced meanwhile would be joined to a part of another one.
        headers.remove(header::RANGE);
    }
    if lifetime == Lifetime::Never {
        // Modification times have whole seconds; two timestamps may be published in one.
        headers.remove(header::IF_MODIFIED_SINCE);
    }
    let mut response = next.run(request).await;
    if !matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
        return uncached(response);
    }
    let compressible = is_compressible(&segments);
    if compressible && response.status() == StatusCode::OK {
        response.extensions_mut().insert(Compressible);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime.cache_control()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if compressible {
        // Also where nothing is compressed, or a cache would hand one form to everybody.
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

fn not_found() -> Response {
    uncached((StatusCode::NOT_FOUND, "not found\n").into_response())
}

fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Names that clients may ask for. Temporary files are called `.tmp-…`, alone or behind the name they will have.
fn is_public(segment: &str) -> bool {
    !segment.is_empty()
        && !segment.starts_with('.')
        && !segment.contains(".tmp-")
        && !segment.contains(['\\', '\0'])
}

/// Whether there is a regular file, and no symbolic link on the way to it.
async fn is_plain_file(public_dir: &Path, segments: &[&str]) -> bool {
    let mut path = public_dir.to_owned();
    path.extend(segments);
    let found = async {
        Ok::<_, io::Error>((tokio::fs::canonicalize(&path).await?, tokio::fs::metadata(&path).await?))
    };
    // With no link to resolve, the canonical path of a canonical directory's file is that path itself.
    found.await.is_ok_and(|(canonical, metadata)| canonical == path && metadata.is_file())
}

/// The path without its first slash and with its percent-encoding undone; `None` if it is malformed.
fn decoded(path: &str) -> Option<String> {
    let mut rest = path.strip_prefix('/')?.bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
