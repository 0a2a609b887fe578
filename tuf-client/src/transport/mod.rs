//! Where bytes come from: nothing here is trusted, everything here is bounded.
//!
//! A [`Transport`] turns a URL into a [`Body`]: chunks as they come. Lengths are limits for whoever reads
//! ([`Body::collect`], or the verifier of a download), time is limited by [`Pace`], which works with any transport.
//! [`Retry`] tries honest faults again, with any transport. The errors say enough to tell "not there" from "not reachable" from "not plausible", since the caller decides by that
//! whether another mirror may do better.

use std::fmt;

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, Stream},
};

use crate::url::Url;

#[cfg(feature = "http")]
mod credentials;
mod error;
mod file;
#[cfg(feature = "http")]
mod gzip;
#[cfg(feature = "http")]
mod http;
mod pace;
mod retry;
pub mod testing;
#[cfg(feature = "http")]
mod tls;

#[cfg(feature = "http")]
pub use credentials::Credentials;
pub use error::{SetupError, TransportError, TransportErrorKind, Waiting, redact};
pub use file::FileTransport;
#[cfg(feature = "http")]
pub use http::{HttpOptions, HttpTransport};
pub use pace::Pace;
pub use retry::Retry;

/// The first allocation of [`Body::collect`]: what a server declares is no reason to reserve more.
const FIRST_ALLOCATION: u64 = 256 * 1024;

/// A source of files by URL.
///
/// An implementation returns as soon as it knows that the file is there, streams the body unaltered (no content
/// encodings), reports a body that ended early as an error, and leaves waiting limits to [`Pace`].
pub trait Transport: Send + Sync + fmt::Debug {
    /// Asks for one file.
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>>;

    /// Asks for the bytes of one file from byte `from` on. The body says in [`Body::start`] where it begins: there, or at 0,
    /// which is always allowed. Whoever asks verifies the whole file, so nothing rests on the two parts being of the same
    /// version. A transport that wraps others passes this on. Default: [`Transport::fetch`], the whole file.
    fn fetch_from<'a>(&'a self, url: &'a Url, from: u64) -> BoxFuture<'a, Result<Body, TransportError>> {
        let _ = from;
        self.fetch(url)
    }

    /// Asks for one metadata file, which compresses well. A transport that wraps others passes this on; one that can
    /// decode what it asked to be encoded does both here, piece by piece, and declares no length that is not
    /// that of the decoded bytes. Default: [`Transport::fetch`].
    fn fetch_metadata<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        self.fetch(url)
    }
}

/// The bytes of one response, in order.
#[must_use]
pub struct Body {
    url: Url,
    start: u64,
    length: Option<u64>,
    received: u64,
    /// Taken away by the first error or the end, so that a broken body can never seem to end well afterwards.
    chunks: Option<BoxStream<'static, Result<Bytes, TransportError>>>,
    failed: bool,
}

impl Body {
    /// A body that is in memory already.
    pub fn from_bytes(url: &Url, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length = u64::try_from(bytes.len()).ok();
        Self::from_stream(url, length, stream::iter([Ok(bytes)]))
    }

    /// A body that comes in chunks. `length` is what the server declared; a stream that ends before it is an error.
    pub fn from_stream(
        url: &Url,
        length: Option<u64>,
        chunks: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static,
    ) -> Self {
        Self { url: url.clone(), start: 0, length, received: 0, chunks: Some(chunks.boxed()), failed: false }
    }

    /// The same body, which begins at this byte of its file.
    pub fn starting_at(mut self, start: u64) -> Self {
        self.start = start;
        self
    }

    /// What was asked for.
    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    /// At which byte of its file this body begins; 0 unless [`Transport::fetch_from`] was asked.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The length of this body that the server declared, in bytes. A claim, not a limit.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next chunk; `None` once the body is complete.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TransportError> {
        let Some(chunks) = &mut self.chunks else {
            let kind = TransportErrorKind::Io;
            return if self.failed { Err(TransportError::new(&self.url, kind)) } else { Ok(None) };
        };
        let error = match (chunks.next().await, self.length) {
            (Some(Ok(chunk)), _) => {
                self.received = self.received.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                return Ok(Some(chunk));
            }
            (Some(Err(error)), length) => error.truncated_at(length, self.received),
            (None, Some(expected)) if self.received < expected => {
                let kind =
                    TransportErrorKind::Truncated { expected: Some(expected), received: self.received };
                TransportError::new(&self.url, kind)
            }
            (None, _) => {
                self.chunks = None;
                return Ok(None);
            }
        };
        self.chunks = None;
        self.failed = true;
        Err(error)
    }

    /// The whole body, which must not be longer than `max` bytes. Gives up at the first byte too many, or
    /// before the first one if the server declares more.
    pub async fn collect(mut self, max: u64) -> Result<Vec<u8>, TransportError> {
        let too_large = |body: &Self| {
            TransportError::new(&body.url, TransportErrorKind::TooLarge { limit: max, declared: body.length })
        };
        let declared = self.length.unwrap_or(0);
        if declared > max {
            return Err(too_large(&self));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(declared.min(FIRST_ALLOCATION)).unwrap_or(0));
        while let Some(chunk) = self.next().await? {
            if self.received > max {
                return Err(too_large(&self));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("start", &self.start)
            .field("length", &self.length)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

/// The default transport: `file` URLs from disk, and `http` and `https` with the feature `http`.
#[derive(Debug)]
pub struct SchemeTransport {
    file: FileTransport,
    #[cfg(feature = "http")]
    http: HttpTransport,
}

impl SchemeTransport {
    /// With default settings.
    pub fn new() -> Result<Self, SetupError> {
        Ok(Self {
            file: FileTransport::new(),
            #[cfg(feature = "http")]
            http: HttpTransport::new(HttpOptions::default())?,
        })
    }

    /// With this HTTP transport.
    #[cfg(feature = "http")]
    pub fn with_http(http: HttpTransport) -> Self {
        Self { file: FileTransport::new(), http }
    }
}

impl Transport for SchemeTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        match url.scheme() {
            "file" => self.file.fetch(url),
            #[cfg(feature = "http")]
            "http" | "https" => self.http.fetch(url),
            _ => Box::pin(async { Err(TransportError::new(url, TransportErrorKind::UnsupportedScheme)) }),
        }
    }

    #[cfg(feature = "http")]
    fn fetch_from<'a>(&'a self, url: &'a Url, from: u64) -> BoxFuture<'a, Result<Body, TransportError>> {
        match url.scheme() {
            "http" | "https" => self.http.fetch_from(url, from),
            _ => self.fetch(url),
        }
    }

    #[cfg(feature = "http")]
    fn fetch_metadata<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        match url.scheme() {
            "http" | "https" => self.http.fetch_metadata(url),
            _ => self.fetch(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("https://index.example/metadata/timestamp.json").unwrap()
    }

    fn chunks(length: Option<u64>, chunks: &[&'static [u8]]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        Body::from_stream(&url(), length, stream::iter(chunks))
    }

    #[tokio::test]
    async fn collect_takes_exactly_up_to_the_limit() {
        for (length, max, fits) in
            [(None, 6, true), (None, 5, false), (Some(6), 6, true), (Some(6), 5, false), (Some(3), 5, false)]
        {
            let result = chunks(length, &[b"abc", b"", b"def"]).collect(max).await;
            match result {
                Ok(bytes) => assert!(fits && bytes == b"abcdef", "{length:?} {max}"),
                Err(error) => {
                    assert!(!fits, "{length:?} {max}");
                    let expected = TransportErrorKind::TooLarge { limit: max, declared: length };
                    assert_eq!(error.kind(), &expected);
                }
            }
        }
        assert_eq!(Body::from_bytes(&url(), "abc").collect(3).await.unwrap(), b"abc");
        assert_eq!(Body::from_bytes(&url(), "").collect(0).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_unread() {
        let body = Body::from_stream(&url(), Some(7), stream::pending());
        let error = body.collect(6).await.unwrap_err();
        assert_eq!(error.kind(), &TransportErrorKind::TooLarge { limit: 6, declared: Some(7) });
    }

    #[tokio::test]
    async fn a_short_body_is_truncated_and_stays_broken() {
        let mut body = chunks(Some(4), &[b"abc"]);
        assert_eq!(body.next().await.unwrap().unwrap(), "abc");
        let error = body.next().await.unwrap_err();
        assert_eq!(error.kind(), &TransportErrorKind::Truncated { expected: Some(4), received: 3 });
        assert_eq!(body.next().await.unwrap_err().kind(), &TransportErrorKind::Io);
    }

    #[tokio::test]
    async fn an_unknown_scheme_is_refused() {
        let url = Url::parse("ftp://index.example/x").unwrap();
        let error = SchemeTransport::new().unwrap().fetch(&url).await.unwrap_err();
        assert_eq!(error.kind(), &TransportErrorKind::UnsupportedScheme);
        assert!(error.hint().is_some());
    }
}
