//! How a refusal is told: to pip, to uv, to whoever started the proxy.
//!
//! Installers do not show every error. What follows is measured behaviour, not taste:
//! a 404 sends uv to the next index; 401 and 403 bring a misleading hint on credentials; 408, 429 and 5xx are retried,
//! and pip then prints a traceback. pip swallows the reason of any error on an index page, but prints the
//! Content-Type of a page it cannot read. So: 409 with an RFC 9457 problem and an HTTP/1.1 reason phrase, and for
//! pip's index pages a 200 whose Content-Type carries the reason. Trouble that proves nothing (the mirror
//! cannot be reached) is told in the same form, under another title.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Response, StatusCode, ext::ReasonPhrase};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::body::{Body, full};
use crate::clock;

/// At most this many different refusals are kept; further ones are only counted.
const MAX_KEPT: usize = 1000;

/// Longest reason put on a status line or into a Content-Type, in bytes. A file's URL alone may have 400.
const MAX_REASON: usize = 1000;

/// What sort of thing was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Something asked for a host other than this proxy.
    Bypass,
    /// A request whose `Host` is not this proxy: a web page may be trying to reach it (DNS rebinding).
    ForeignHost,
    /// The mirror or the local store did not deliver; nothing proves an attack.
    Unavailable,
    /// What came is not what was signed, or what was signed is no longer valid.
    Verification,
}

impl Kind {
    /// Whether `run` must end with exit code 4: something unverified was offered, or went for a way around.
    #[must_use]
    pub fn is_unsafe(self) -> bool {
        matches!(self, Self::Bypass | Self::Verification)
    }

    /// The short title an installer shows in front of the reason.
    fn title(self) -> &'static str {
        match self {
            Self::Bypass => "not through this proxy",
            Self::ForeignHost => "foreign Host header",
            Self::Unavailable => "mirror unavailable",
            Self::Verification => "TUF verification failed",
        }
    }
}

/// One thing the proxy did not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// The attack class, e.g. `rollback`, `hash`, `length`, `freeze`, where it is known.
    pub attack: Option<&'static str>,
    /// When it was first refused.
    #[serde(serialize_with = "seconds")]
    pub at: DateTime<Utc>,
    /// What sort of refusal it is.
    pub kind: Kind,
    /// How often: installers try again.
    pub times: u64,
    /// What was asked for: a path below this proxy, or a host and port.
    pub what: String,
    /// Why it was refused, in words for an operator.
    pub why: String,
}

/// Everything refused since the start: shared by the proxy, its status page and `run`. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    list: Vec<Refusal>,
    not_kept: u64,
}

impl Refusals {
    /// The refusals so far, oldest first; the same refusal of the same thing is one entry.
    #[must_use]
    pub fn list(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).list.clone()
    }

    /// How many more there were than [`Self::list`] could keep.
    #[must_use]
    pub fn not_kept(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).not_kept
    }

    pub(crate) fn record(&self, what: &str, failure: &Failure) {
        let what = printable(what);
        tracing::warn!(what, kind = ?failure.kind, attack = failure.attack, "refused: {}", failure.why);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |refusal: &&mut Refusal| {
            refusal.what == what && refusal.kind == failure.kind && refusal.why == failure.why
        };
        if let Some(known) = kept.list.iter_mut().find(same) {
            known.times += 1;
        } else if kept.list.len() < MAX_KEPT {
            let (kind, attack) = (failure.kind, failure.attack);
            kept.list.push(Refusal {
                attack,
                at: clock::now(),
                kind,
                times: 1,
                what,
                why: failure.why.clone(),
            });
        } else {
            kept.not_kept += 1;
        }
    }
}

/// Why something could not be served.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) why: String,
    pub(crate) attack: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, attack: Option<&'static str>, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), attack }
    }

    /// The one line an installer prints. An attack class the reason does not name yet goes in front.
    fn detail(&self) -> String {
        match self.attack {
            Some(attack) if !self.why.to_ascii_lowercase().contains(attack) => {
                format!("{attack}: {}", self.why)
            }
            _ => self.why.clone(),
        }
    }
}

/// The answer to a refused index page, in the form this installer shows to its user.
pub(super) fn page_answer(failure: &Failure, headers: &HeaderMap) -> Response<Body> {
    let pip = headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"pip/"));
    if !pip {
        return problem(StatusCode::CONFLICT, failure.kind.title(), &failure.detail());
    }
    let media = match failure.kind {
        Kind::Verification => "application/x-tuf-verification-failed",
        _ => "application/x-tuf-mirror-unavailable",
    };
    let reason = header_text(&failure.detail()).replace(['"', '\\'], "'");
    let content_type = HeaderValue::try_from(format!("{media}; reason=\"{reason}\""));
    let mut answer = Response::new(full(format!("{}: {}\n", failure.kind.title(), failure.detail())));
    answer.headers_mut().insert(
        CONTENT_TYPE,
        content_type.unwrap_or(HeaderValue::from_static("application/x-tuf-verification-failed")),
    );
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The answer to a refused package file or `.metadata` file: every installer shows one of its three parts.
pub(super) fn file_answer(failure: &Failure) -> Response<Body> {
    problem(StatusCode::CONFLICT, failure.kind.title(), &failure.detail())
}

/// An RFC 9457 problem, told once more in the reason phrase, for the clients that print only that.
pub(super) fn problem(status: StatusCode, title: &str, detail: &str) -> Response<Body> {
    let body = json!({ "title": title, "detail": printable(detail), "status": status.as_u16() }).to_string();
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    // uv compares the media type as a whole: no charset.
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(phrase) = ReasonPhrase::try_from(header_text(&format!("{title}: {detail}")).into_bytes()) {
        answer.extensions_mut().insert(phrase);
    }
    answer
}

/// A plain, honest "there is no such thing": nothing was refused.
pub(super) fn not_found(detail: &str) -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "not in the signed snapshot", detail)
}

/// Without control characters: this text goes to terminals and logs, and part of it came from a mirror.
fn printable(text: &str) -> String {
    text.chars().take(2000).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Printable ASCII of bounded length, fit for a header or a status line.
fn header_text(text: &str) -> String {
    text.chars()
        .take(MAX_REASON)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else if c.is_whitespace() {
                ' '
            } else {
                '?'
            }
        })
        .collect()
}

fn seconds<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The `Bytes` of a JSON document for the status page.
pub(super) fn json_bytes(value: &serde_json::Value) -> Bytes {
    Bytes::from(value.to_string())
}
