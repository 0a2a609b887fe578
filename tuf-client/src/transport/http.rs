//! HTTP and HTTPS, by reqwest.
//!
//! Targets come as they are signed: no content encoding is asked for, and one
//! that comes anyway is refused. Metadata may come gzip-encoded.
//!
//! Credentials go to the origin they are for. A redirect to another scheme, host or port does not carry them on.

use std::{error::Error, fmt, io, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{TryStreamExt, future::BoxFuture};
use http::Uri;
use reqwest::{
    Client,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, DATE, HeaderMap, RANGE, RETRY_AFTER,
    },
    redirect,
};

use super::{
    Body, Credentials, Pace, SetupError, Transport, TransportError, TransportErrorKind, Waiting,
    credentials::sent, gzip, tls,
};
use crate::{clock, env, url::Url};

/// In bytes; over HTTP/1 hyper's own limits are as strict.
const MAX_HEADERS: u32 = 64 * 1024;
const MAX_REDIRECTS: usize = 5;
const PROXY_SCHEMES: [&str; 6] = ["http", "https", "socks5h", "socks5", "socks4a", "socks4"];
const PROXY_VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const NO_ADDRESS: &str = "its address cannot be used";

/// Settings of [`HttpTransport`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Certificate authorities (PEM) trusted besides the system's. Default: none.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a connection. Default 10 s.
    pub connect_timeout: Duration,
    /// What to present to whom, besides the user info of URLs. Default: nothing.
    pub credentials: Credentials,
    /// Longest waits and minimum rate of every response. Default: [`Pace::one_try`].
    pub pace: Pace,
    /// Whether the system's proxy settings (`HTTPS_PROXY` and so on) apply. Default: yes.
    pub system_proxy: bool,
    /// Added to `tuf-client/<version>` as the user agent, for example `installer/1.0`. Default: nothing.
    pub user_agent: Option<String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            credentials: Credentials::default(),
            pace: Pace::one_try(),
            system_proxy: true,
            user_agent: None,
        }
    }
}

/// Fetches files over HTTP and HTTPS. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client,
    credentials: Arc<Credentials>,
    connect_timeout: Duration,
    pace: Pace,
}

/// Without the client, which would show the passwords of proxies.
impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport")
            .field("credentials", &self.credentials)
            .field("connect_timeout", &self.connect_timeout)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// Sets up a client. It keeps connections, and the system's certificate authorities once it needed them, so make one
    /// and keep it.
    ///
    /// # Errors
    /// [`SetupError::CaFile`], [`SetupError::Proxy`] or [`SetupError::Http`].
    pub fn new(options: HttpOptions) -> Result<Self, SetupError> {
        let setup = |error: Box<dyn Error + Send + Sync>| SetupError::Http(error);
        let mut user_agent = concat!("tuf-client/", env!("CARGO_PKG_VERSION")).to_owned();
        if let Some(extra) = &options.user_agent {
            user_agent.push(' ');
            user_agent.push_str(extra);
        }
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls::config(options.ca_file.as_deref())?)
            .connect_timeout(options.connect_timeout)
            .http2_max_header_list_size(MAX_HEADERS)
            .user_agent(user_agent)
            .referer(false)
            .redirect(redirect::Policy::custom(|attempt| {
                match check_redirect(attempt.previous(), attempt.url()) {
                    Ok(()) => attempt.follow(),
                    Err(refusal) => attempt.error(refusal),
                }
            }));
        if options.system_proxy {
            check_proxies(env::var)?;
        } else {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| setup(error.into()))?;
        Ok(Self {
            client,
            credentials: Arc::new(options.credentials),
            connect_timeout: options.connect_timeout,
            pace: options.pace,
        })
    }

    /// The HTTP client itself, for requests that are no plain fetch of a file.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// From byte `from` on; 0 asks for the whole file.
    async fn request(&self, url: &Url, coding: Coding, from: u64) -> Result<Body, TransportError> {
        let connect_timeout = self.connect_timeout;
        let Some(sent) = sent(url) else {
            let why = io::Error::new(io::ErrorKind::InvalidInput, "its host is no name and no address");
            return Err(TransportError::new(url, TransportErrorKind::Connect).with_source(why));
        };
        let mut request = self.client.get(sent.clone()).header(ACCEPT_ENCODING, coding.name());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        // reqwest itself makes a header of the URL's user info, which comes first.
        if let Some(authorization) = self.credentials.authorization(&sent) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| classify(url, error, connect_timeout))?;
        let found = content_encoding(response.headers());
        let (mut start, mut length) = (0, response.content_length());
        let refusal = match (response.status().as_u16(), &*found) {
            (200, []) => None,
            (206, []) if from > 0 => match rest(response.headers(), from) {
                Ok(rest) if length.is_none_or(|length| length == rest) => {
                    (start, length) = (from, Some(rest));
                    None
                }
                Ok(_) => Some(TransportErrorKind::Range { from, found: "not as long as it says".to_owned() }),
                Err(found) => Some(TransportErrorKind::Range { from, found }),
            },
            (200, [one]) if coding == Coding::Gzip && is_gzip(one) => None,
            (200 | 206, [other, ..]) => Some(TransportErrorKind::ContentEncoding(other.clone())),
            (status @ (403 | 404), _) => Some(TransportErrorKind::NotFound { status: Some(status) }),
            // What the policy refused came as an error; this one names no address that could be followed.
            (301..=303 | 307 | 308, _) => Some(TransportErrorKind::Redirect(NO_ADDRESS.to_owned())),
            (status, _) => Some(TransportErrorKind::Status(status)),
        };
        if let Some(kind) = refusal {
            return Err(TransportError::new(url, kind).with_retry_after(retry_after(response.headers())));
        }
        let asked = url.clone();
        let chunks = response.bytes_stream().map_err(move |error| classify(&asked, error, connect_timeout));
        let body = Body::from_stream(url, length, chunks).starting_at(start);
        Ok(if found.is_empty() { body } else { gzip::decoded(url, body) })
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

impl Transport for HttpTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(self.pace.apply(url, self.request(url, Coding::Identity, 0)))
    }

    fn fetch_from<'a>(&'a self, url: &'a Url, from: u64) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(self.pace.apply(url, async move {
            match self.request(url, Coding::Identity, from).await {
                // Its file is not that long. Whether the whole of it is the right one, the hash says.
                Err(error) if from > 0 && *error.kind() == TransportErrorKind::Status(416) => {
                    self.request(url, Coding::Identity, 0).await
                }
                result => result,
            }
        }))
    }

    fn fetch_metadata<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(self.pace.apply(url, self.request(url, Coding::Gzip, 0)))
    }
}

/// reqwest passes over what it cannot use, and then connects without a proxy.
fn check_proxies(variable: impl Fn(&str) -> Option<String>) -> Result<(), SetupError> {
    let usable = |text: String| {
        let url = text.parse::<Uri>().ok().filter(|url| url.authority().is_some());
        // Without a scheme it is http.
        url.is_some_and(|url| url.scheme_str().is_none_or(|scheme| PROXY_SCHEMES.contains(&scheme)))
    };
    match PROXY_VARIABLES.into_iter().find(|name| variable(name).is_some_and(|text| !usable(text))) {
        Some(variable) => Err(SetupError::Proxy { variable }),
        None => Ok(()),
    }
}

/// Why a redirect is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum RedirectRefusal {
    #[error("to {0}, which gives up the encryption asked for")]
    Downgrade(String),
    #[error("to {0}, which is neither https nor http")]
    Scheme(String),
    #[error("more than {MAX_REDIRECTS} in a row")]
    TooMany,
}

fn check_redirect(previous: &[url::Url], next: &url::Url) -> Result<(), RedirectRefusal> {
    if !matches!(next.scheme(), "http" | "https") {
        return Err(RedirectRefusal::Scheme(shown(next)));
    }
    if next.scheme() == "http" && previous.iter().any(|url| url.scheme() == "https") {
        return Err(RedirectRefusal::Downgrade(shown(next)));
    }
    // The first of the previous URLs is the one that was asked for.
    if previous.len() > MAX_REDIRECTS {
        return Err(RedirectRefusal::TooMany);
    }
    Ok(())
}

/// As [`super::redact`], of a URL that a server gave.
fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    // These fail for URLs without a host, which have neither.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

/// How many bytes a `206` brings, which must be all from `from` to the end of the file (RFC 9110, 14.4); else what its
/// `Content-Range` is.
fn rest(headers: &HeaderMap, from: u64) -> Result<u64, String> {
    let text = headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let text = text.unwrap_or_default();
    let parse = || {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, end) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
        let whole = total == "*" || total.parse::<u64>() == Ok(end);
        (first == from && end > first && whole).then(|| end - first)
    };
    parse().ok_or_else(|| text.chars().take(100).collect())
}

/// The content codings, in their order, without those that change nothing.
fn content_encoding(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| {
            String::from_utf8_lossy(value.as_bytes()).split(',').map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|coding| coding.trim().to_owned())
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .collect()
}

/// `x-gzip` is the old name (RFC 9110, 8.4.1.3).
fn is_gzip(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip")
}

/// Both forms of RFC 9110, 10.2.3. A date is compared with the server's own, so that this machine's clock may be wrong;
/// one that has passed means now.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = date(wanted)?;
    let now = text(DATE).and_then(date).unwrap_or_else(|| clock::now().into());
    Some(until.duration_since(now).unwrap_or_default())
}

fn classify(url: &Url, error: reqwest::Error, connect_timeout: Duration) -> TransportError {
    let kind = if let Some(refusal) = cause::<RedirectRefusal>(&error) {
        TransportErrorKind::Redirect(refusal.to_string())
    } else if error.is_redirect() {
        TransportErrorKind::Redirect(NO_ADDRESS.to_owned())
    } else if error.is_timeout() {
        TransportErrorKind::Timeout { waiting: Waiting::Connect, limit: connect_timeout }
    } else if cause::<rustls::Error>(&error).is_some() {
        TransportErrorKind::Tls
    } else if error.is_connect() {
        TransportErrorKind::Connect
    } else if cause::<io::Error>(&error).is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
        TransportErrorKind::Truncated { expected: None, received: 0 }
    } else {
        TransportErrorKind::Io
    };
    // Its text would repeat the URL, with the password.
    TransportError::new(url, kind).with_source(error.without_url())
}

/// The first error of this type among the causes. An [`io::Error`] hides the one it wraps, so it is opened here.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests;
