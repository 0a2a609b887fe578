//! What every [`Transport`] promises, as tests that any implementation can run.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{Transport, TransportError, TransportErrorKind};
use crate::url::Url;

const LARGE: usize = 300_000;

/// Checks the promises of [`Transport`]. `serve` makes these files (by their path, not percent-encoded, and their bytes)
/// available, and returns the transport and the URL that they are below.
///
/// # Panics
///
/// When a promise is broken, with its name.
pub async fn transport_suite(serve: impl AsyncFn(&BTreeMap<String, Vec<u8>>) -> (Arc<dyn Transport>, Url)) {
    let large: Vec<u8> = (0..LARGE).map(|n| u8::try_from(n % 251).unwrap_or_default()).collect();
    let files = BTreeMap::from([
        ("metadata/1.root.json".to_owned(), b"{}".to_vec()),
        ("targets/empty".to_owned(), Vec::new()),
        ("targets/large".to_owned(), large),
        ("targets/a name, 100% #1?.txt".to_owned(), b"named".to_vec()),
        ("metadata/gzip.json".to_owned(), b"\x1f\x8b\x08 is how gzip begins, and this is none".to_vec()),
    ]);
    let (transport, base) = serve(&files).await;
    let url = |path: &str| base.join(&tuf_core::url_path(path)).expect("a URL");
    for (path, bytes) in &files {
        let url = url(path);
        let body = transport.fetch(&url).await.expect("a file that is there is found");
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        assert!(
            body.length().is_none_or(|declared| declared == length),
            "{path}: the length is that of the file"
        );
        assert_eq!(
            body.collect(length).await.expect("it is read"),
            *bytes,
            "{path}: the bytes are unaltered"
        );
        let body = transport.fetch_metadata(&url).await.expect("metadata that is there is found");
        assert_eq!(body.collect(length).await.expect("it is read"), *bytes, "{path}: as metadata, likewise");
        if let Some(less) = length.checked_sub(1) {
            let error = read(&*transport, &url, less).await.expect_err("a limit is a limit");
            assert!(
                matches!(error.kind(), TransportErrorKind::TooLarge { .. }),
                "{path}: it is too large: {error}"
            );
        }
    }
    for absent in ["metadata/2.root.json", "no/such/directory/file"] {
        let error = read(&*transport, &url(absent), 9).await.expect_err("what is not there is not found");
        assert!(matches!(error.kind(), TransportErrorKind::NotFound { .. }), "{absent} is absent: {error}");
    }
    a_body_comes_in_pieces_and_may_be_left(&*transport, &url("targets/large")).await;
    let all = join_all(
        files.keys().cycle().take(20).map(async |path| read(&*transport, &url(path), u64::MAX).await),
    );
    for (bytes, path) in all.await.into_iter().zip(files.keys().cycle()) {
        assert_eq!(bytes.expect("it is read"), files[path], "{path}: requests at the same time do not mix");
    }
}

/// Checks that a body which ends early, at a `url` that the caller provides, is an error at its end and not a short file.
///
/// # Panics
///
/// When it is not.
pub async fn refuses_a_body_that_ends_early(transport: &dyn Transport, url: &Url) {
    let error = read(transport, url, u64::MAX).await.expect_err("half a file is no file");
    let fits = matches!(error.kind(), TransportErrorKind::Truncated { .. } | TransportErrorKind::Io);
    assert!(fits, "it ended early: {error}");
}

/// Checks that an endless body, at a `url` that the caller provides, is given up at the limit.
///
/// # Panics
///
/// When it is not.
pub async fn gives_up_an_endless_body(transport: &dyn Transport, url: &Url) {
    let error = read(transport, url, 100_000).await.expect_err("an endless file is no file");
    assert!(matches!(error.kind(), TransportErrorKind::TooLarge { .. }), "it is too large: {error}");
}

/// Checks that redirects that go in a circle, from a `url` that the caller provides, end in an error.
///
/// # Panics
///
/// When they do not.
pub async fn gives_up_circular_redirects(transport: &dyn Transport, url: &Url) {
    let error = read(transport, url, 100_000).await.expect_err("a circle leads nowhere");
    assert!(matches!(error.kind(), TransportErrorKind::Redirect(_)), "it is a redirect: {error}");
}

async fn read(transport: &dyn Transport, url: &Url, max: u64) -> Result<Vec<u8>, TransportError> {
    transport.fetch(url).await?.collect(max).await
}

async fn a_body_comes_in_pieces_and_may_be_left(transport: &dyn Transport, url: &Url) {
    let mut body = transport.fetch(url).await.expect("a file that is there is found");
    let first = body.next().await.expect("a piece comes").expect("and is not the end");
    assert!(!first.is_empty() && first.len() <= LARGE, "a piece is a piece");
    drop(body);
    let bytes = read(transport, url, u64::MAX).await.expect("a body that was left disturbs nobody");
    assert_eq!(bytes.len(), LARGE, "the next one is whole");
}
