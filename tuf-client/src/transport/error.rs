//! What can go wrong between a URL and its bytes.

use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

use crate::url::Url;

/// A file that could not be fetched. Its text never contains the URL's user name, password, query or fragment.
#[derive(Debug)]
pub struct TransportError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    kind: TransportErrorKind,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Why a file could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// No connection.
    #[error("cannot connect")]
    Connect,
    /// The response is encoded; its bytes are then not the ones that were signed.
    #[error("the response has the content encoding `{0}`, but none was asked for")]
    ContentEncoding(String),
    /// The response says it is gzip-encoded, and is not, or not whole.
    #[error("the gzip-encoded response cannot be decoded")]
    Gzip,
    /// The connection or the disk failed.
    #[error("reading failed")]
    Io,
    /// The file does not exist: 404, or 403, as object stores answer for what is not there. Not 410: what is gone was
    /// there, so that it does not end the chain of roots.
    #[error("not found{}", status.map(|status| format!(" (status {status})")).unwrap_or_default())]
    NotFound {
        /// The HTTP status, if there was one.
        status: Option<u16>,
    },
    /// The answer to a request for the rest of a file is for another part of it; with its `Content-Range`.
    #[error("asked for the bytes from {from} on, it answered with the range {found:?}")]
    Range {
        /// The first byte asked for.
        from: u64,
        /// What came.
        found: String,
    },
    /// A redirect that is not followed.
    #[error("redirect refused: {0}")]
    Redirect(String),
    /// Any other HTTP status than 200.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// Nothing came, or not everything, in time.
    #[error("{waiting} within {} s", limit.as_secs_f32())]
    Timeout {
        /// What was waited for.
        waiting: Waiting,
        /// How long.
        limit: Duration,
    },
    /// No secure connection: the certificate or the handshake was refused.
    #[error("no secure connection")]
    Tls,
    /// The body is longer than the caller allows.
    #[error("longer than the {limit} bytes allowed{}", declared.map(|n| format!(" ({n} declared)")).unwrap_or_default())]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
        /// What the server declared, in bytes.
        declared: Option<u64>,
    },
    /// The server sends, but too slowly to be useful.
    #[error("{rate} bytes per second, less than the {minimum} required")]
    TooSlow {
        /// The measured rate, in bytes per second.
        rate: u64,
        /// The least allowed, in bytes per second.
        minimum: u64,
    },
    /// The body ended early.
    #[error("the body ended after {received} bytes{}", expected.map(|n| format!(" of {n}")).unwrap_or_default())]
    Truncated {
        /// The declared length, in bytes.
        expected: Option<u64>,
        /// What came, in bytes.
        received: u64,
    },
    /// No transport for this kind of URL.
    #[error("no transport for this kind of URL")]
    UnsupportedScheme,
}

/// What a [`TransportErrorKind::Timeout`] waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// The connection.
    Connect,
    /// The response's headers.
    Headers,
    /// The next bytes of the body.
    Idle,
    /// This mirror, after another one answered.
    Others,
    /// The end of the body.
    Total,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Headers => "no response",
            Self::Idle => "no more data",
            Self::Others => "another mirror answered, this one did not",
            Self::Total => "not complete",
        })
    }
}

impl TransportError {
    /// The fetch of `url` failed.
    pub fn new(url: &Url, kind: TransportErrorKind) -> Self {
        Self(Box::new(Inner { url: redact(url), kind, retry_after: None, source: None }))
    }

    /// With the error that caused this one. It must not name the URL, which may contain a password.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// With the time after which the server wants to be asked again.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// After which time the server wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The same, with these figures if it is about a body that ended early: the layer that noticed counts no bytes.
    pub(super) fn truncated_at(mut self, length: Option<u64>, so_far: u64) -> Self {
        if let TransportErrorKind::Truncated { expected, received } = &mut self.0.kind {
            *expected = expected.or(length);
            *received = (*received).max(so_far);
        }
        self
    }

    /// What was asked for, without user name, password, query and fragment.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Why it could not be fetched.
    pub fn kind(&self) -> &TransportErrorKind {
        &self.0.kind
    }

    /// Whether the server was reached and has no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self.0.kind, TransportErrorKind::NotFound { .. })
    }

    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.0.kind {
            TransportErrorKind::Connect => {
                "check the address and the network; proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
            }
            TransportErrorKind::ContentEncoding(_) => {
                "the server or a proxy before it compresses unasked; turn that off for this repository"
            }
            TransportErrorKind::Gzip => {
                "the server or a proxy before it compresses wrongly; use another mirror"
            }
            TransportErrorKind::NotFound { status: Some(403) } => {
                "object stores answer 403 for a missing file; otherwise the server wants credentials"
            }
            TransportErrorKind::NotFound { .. } => "check the repository's URL",
            TransportErrorKind::Range { .. } => {
                "the server answers partial requests wrongly; use another mirror"
            }
            TransportErrorKind::Redirect(_) => "use the URL of the final server",
            TransportErrorKind::Status(401) => {
                "give credentials: in the URL, in a netrc file, or as TUF_AUTHORIZATION"
            }
            TransportErrorKind::Status(410) => {
                "the file was removed on purpose: ask the repository's operator"
            }
            TransportErrorKind::Status(407) => "give the proxy's user name and password in its URL",
            TransportErrorKind::Status(429 | 500..=599) => {
                "the server is in trouble; try again later or use another mirror"
            }
            TransportErrorKind::Tls => {
                "install the system's CA certificates, or name your authority's in a CA file; also check the clock"
            }
            TransportErrorKind::Timeout { .. } | TransportErrorKind::TooSlow { .. } => {
                "try again, use another mirror, or allow a slower one"
            }
            TransportErrorKind::Truncated { .. } => "try again, or use another mirror",
            #[cfg(feature = "http")]
            TransportErrorKind::UnsupportedScheme => {
                "use a URL that starts with https://, http:// or file://"
            }
            #[cfg(not(feature = "http"))]
            TransportErrorKind::UnsupportedScheme => {
                "this build was made without the feature `http`: use file://"
            }
            TransportErrorKind::Io | TransportErrorKind::Status(_) | TransportErrorKind::TooLarge { .. } => {
                return None;
            }
        })
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.url, self.0.kind)
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

/// A transport that could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The extra certificate authorities could not be read.
    #[error("cannot read certificates from {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Credentials that cannot be used. The reason never contains them.
    #[error("cannot use the credentials from {origin}")]
    Credentials {
        /// Where they come from: a variable or a file.
        origin: String,
        /// The reason.
        source: io::Error,
    },
    /// The HTTP client refused its settings.
    #[error("cannot set up the HTTP client")]
    Http(#[source] Box<dyn Error + Send + Sync>),
    /// A proxy that cannot be used. Its URL, which may have a password, is not told.
    #[error(
        "the proxy in {variable} cannot be used: it needs a URL that starts with http, https, socks5h, socks5, socks4a or socks4, with special characters percent-encoded"
    )]
    Proxy {
        /// The variable that names it.
        variable: &'static str,
    },
}

/// The URL as it may be shown: a password or a signed query must not reach a log.
#[must_use]
pub fn redact(url: &Url) -> String {
    url.redacted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        let url = Url::parse("https://user:secret@index.example/a?token=secret#secret").unwrap();
        let error = TransportError::new(&url, TransportErrorKind::Status(500)).with_source("cause");
        assert_eq!(error.to_string(), "https://index.example/a: the server answered with status 500");
        assert!(!format!("{error:?}").contains("secret"));
        assert_eq!(error.source().unwrap().to_string(), "cause");
    }

    #[test]
    fn messages_name_both_values() {
        let cases = [
            (
                TransportErrorKind::TooLarge { limit: 5, declared: Some(9) },
                "longer than the 5 bytes allowed (9 declared)",
            ),
            (
                TransportErrorKind::Truncated { expected: Some(9), received: 5 },
                "the body ended after 5 bytes of 9",
            ),
            (
                TransportErrorKind::TooSlow { rate: 3, minimum: 7 },
                "3 bytes per second, less than the 7 required",
            ),
            (
                TransportErrorKind::Timeout { waiting: Waiting::Idle, limit: Duration::from_secs(30) },
                "no more data within 30 s",
            ),
            (TransportErrorKind::NotFound { status: Some(403) }, "not found (status 403)"),
        ];
        for (kind, text) in cases {
            assert_eq!(kind.to_string(), text);
        }
    }
}
