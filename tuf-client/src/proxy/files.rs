//! `/files/<project>/<sha256>/packages/…`: package files and their `.metadata`, verified before they are complete.
//!
//! The request only *selects* an entry of a signed page; what is fetched, and how long and which hash it
//! must have, comes from that entry. A small file is held whole until its hash matches. A large one is sent while it arrives,
//! but never its last 64 KiB: until the hash matches an installer cannot have a complete file, and when it does
//! not match the connection is reset. Installers then ask again, and are told why.

use std::cmp::min;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use futures_util::StreamExt;
use futures_util::stream;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::body::{Body, BoxError, full, streamed};
use super::pages;
use super::refusal::{self, Failure, Kind};
use super::server::State;
use super::socket::Unverified;
use super::source::Chunks;
use super::views::Pinned;
use crate::Wanted;
use crate::simple::{ProjectName, SignedFile, SignedPage};

/// Up to this size a file is verified before its first byte is sent.
pub(super) const WHOLE: u64 = 4 << 20;

/// So much of the end of a larger file stays here until the hash matches.
const HELD_BACK: u64 = 64 << 10;

/// Signed pages give no length for `.metadata`; the largest on PyPI are far below.
const MAX_METADATA: u64 = 8 << 20;

/// At most so much is read on for a verdict when the installer hung up.
const READ_ON: u64 = 64 << 20;

/// How long [`Verdicts::settled`] waits.
const SETTLED: Duration = Duration::from_secs(30);

/// How long a file that failed in the middle is refused at once: long enough for an installer's retries.
const REMEMBERED: Duration = Duration::from_secs(120);

/// A request below `/files/`.
#[derive(Debug)]
pub(super) struct FileRequest<'a> {
    pub(super) project: &'a str,
    pub(super) sha256: &'a str,
    pub(super) path: &'a str,
}

/// Files that failed verification after part of them was sent.
#[derive(Debug, Default)]
pub(super) struct Failed(Mutex<HashMap<String, (Instant, Failure)>>);

impl Failed {
    fn get(&self, path: &str) -> Option<Failure> {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        failed.get(path).map(|(_, failure)| failure.clone())
    }

    fn insert(&self, path: String, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, (Instant::now(), failure));
    }
}

/// What a request selected.
struct Selected {
    view: Arc<Pinned>,
    page: Arc<SignedPage>,
    file: SignedFile,
    metadata: bool,
}

/// Answers one request for a file.
pub(super) async fn answer(
    state: &Arc<State>,
    unverified: &Unverified,
    request: &Request<Incoming>,
    wanted: &FileRequest<'_>,
) -> Response<Body> {
    let what = format!("/files/{}/{}/{}", wanted.project, wanted.sha256, wanted.path);
    let refused = |failure: &Failure| {
        state.refusals.record(&what, failure);
        refusal::file_answer(failure)
    };
    let selected = match select(state, wanted).await {
        Ok(Some(selected)) => selected,
        Ok(None) => return refusal::not_found("no pinned snapshot lists this file"),
        Err(failure) => return refused(&failure),
    };
    if let Some(failure) = state.failed.get(&what) {
        return refused(&failure);
    }
    let etag = format!("\"{}{}\"", wanted.sha256, if selected.metadata { ".metadata" } else { "" });
    if pages::matches(request.headers(), &etag) {
        return immutable(pages::not_modified(), &etag);
    }
    let served = if selected.metadata {
        metadata(&selected).await
    } else if request.method() == Method::HEAD {
        Ok(with_length(full(""), HeaderValue::from(selected.file.size)))
    } else {
        let noted = Noted { state: Arc::clone(state), what: what.clone(), unverified: unverified.clone() };
        file(noted, &selected).await
    };
    match served {
        Ok(answer) => immutable(answer, &etag),
        Err(failure) => refused(&failure),
    }
}

/// Finds the signed entry with this path and hash: in the current view, else in one replaced a short while ago.
async fn select(state: &State, wanted: &FileRequest<'_>) -> Result<Option<Selected>, Failure> {
    let Ok(project) = ProjectName::new(wanted.project) else {
        return Ok(None);
    };
    let current = state.views.current().await;
    let mut problem = current.as_ref().err().cloned();
    for view in current.into_iter().chain(state.views.older()) {
        let page = match view.page(&project).await {
            Ok(Some(page)) => page,
            Ok(None) => continue,
            Err(failure) => {
                problem.get_or_insert(failure);
                continue;
            }
        };
        // `.metadata` lives beside its file (PEP 658) and is never a distribution's own name.
        let (path, metadata) = match wanted.path.strip_suffix(".metadata") {
            Some(path) => (path, true),
            None => (wanted.path, false),
        };
        let Some(file) = page.files().iter().find(|file| file.path == path) else {
            continue;
        };
        let signed = HEXLOWER.encode(&file.sha256);
        if signed != wanted.sha256 {
            let why = format!(
                "the signed page of {project} lists {} with sha256 {signed}, not {}",
                file.filename, wanted.sha256
            );
            problem.get_or_insert_with(|| Failure::new(Kind::Verification, Some("hash"), why));
        } else if !metadata || file.metadata_sha256.is_some() {
            let file = file.clone();
            return Ok(Some(Selected { view, page, file, metadata }));
        }
    }
    problem.map_or(Ok(None), Err)
}

async fn metadata(selected: &Selected) -> Result<Response<Body>, Failure> {
    let Selected { view, page, file, .. } = selected;
    let (Some(sha256), Some(path)) = (file.metadata_sha256, page.remote_metadata_path(file)) else {
        return Ok(refusal::not_found("the signed page lists no .metadata for this file"));
    };
    // Also for HEAD: the length is known only once it is here.
    let bytes = view.snapshot.open_hashed(path, MAX_METADATA, sha256).await?;
    let length = bytes.len();
    Ok(with_length(full(bytes), HeaderValue::from(length)))
}

async fn file(noted: Noted, selected: &Selected) -> Result<Response<Body>, Failure> {
    let Selected { view, page, file, .. } = selected;
    let length = file.size;
    let chunks = view.snapshot.open(Wanted::new(page.remote_path(file), length, file.sha256)).await?;
    let body = if length <= WHOLE {
        full(whole(chunks, length).await?)
    } else {
        held_back(noted, HeldBack::new(chunks, length))
    };
    Ok(with_length(body, HeaderValue::from(length)))
}

fn with_length(body: Body, length: HeaderValue) -> Response<Body> {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}

/// The hash is in the URL, so this content never changes. No `Accept-Ranges`: a part cannot be verified.
fn immutable(mut answer: Response<Body>, etag: &str) -> Response<Body> {
    if answer.status().is_success() || answer.status().is_redirection() {
        answer
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=365000000, immutable"));
        pages::set_etag(&mut answer, etag);
    }
    answer
}

async fn whole(mut chunks: Chunks, length: u64) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
        if size(bytes.len()) > length {
            break;
        }
    }
    if size(bytes.len()) == length { Ok(bytes.freeze()) } else { Err(wrong_length(length)) }
}

/// Where the outcome of a large file is noted.
struct Noted {
    state: Arc<State>,
    what: String,
    unverified: Unverified,
}

impl Noted {
    fn refuse(self, failure: Failure) {
        self.state.refusals.record(&self.what, &failure);
        // Trouble that proves nothing may pass: only what was tampered with is refused at once when asked for again.
        if failure.kind == Kind::Verification {
            self.state.failed.insert(self.what, failure);
        }
    }
}

/// A large file on its way out. An installer that hangs up half-way (some unpack while they read) does not
/// keep the verdict from being found.
struct Sending {
    unfinished: Option<(HeldBack, Noted)>,
    /// Goes after the verdict was left to others.
    _open: Open,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        let Some((body, noted)) = &mut self.unfinished else { return Ok(None) };
        let next = body.next().await;
        noted.unverified.set(!body.verified);
        next.map_err(|failure| {
            let cut = BoxError::from(failure.why.clone());
            if let Some((_, noted)) = self.unfinished.take() {
                noted.refuse(failure);
            }
            cut
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let unfinished = |(body, _): &mut (HeldBack, Noted)| !body.verified && body.left() <= READ_ON;
        if let Some((mut body, noted)) = self.unfinished.take_if(unfinished) {
            let state = Arc::clone(&noted.state);
            state.verdicts.spawn(async move {
                loop {
                    match body.next().await {
                        Ok(Some(_)) => {}
                        Ok(None) => return,
                        Err(failure) => return noted.refuse(failure),
                    }
                }
            });
        }
    }
}

/// Files whose verdict is not known yet.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// How many are on their way to an installer. That it hung up is noticed a little later.
    open: watch::Sender<usize>,
    /// Those that are read on although nobody wants them any more.
    read_on: Mutex<JoinSet<()>>,
}

/// One file on its way.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.verdicts.open.send_modify(|open| *open += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.verdicts.open.send_modify(|open| *open -= 1);
    }
}

impl Verdicts {
    fn spawn(&self, verdict: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the program is ending.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut verdicts = self.read_on.lock().unwrap_or_else(PoisonError::into_inner);
            while verdicts.try_join_next().is_some() {}
            verdicts.spawn_on(verdict, &runtime);
        }
    }

    /// Waits for all of them, but not for ever.
    pub(super) async fn settled(&self) {
        let all = async {
            drop(self.open.subscribe().wait_for(|open| *open == 0).await);
            let verdicts = std::mem::take(&mut *self.read_on.lock().unwrap_or_else(PoisonError::into_inner));
            verdicts.join_all().await;
        };
        drop(tokio::time::timeout(SETTLED, all).await);
    }
}

/// The stream of a large file. Until it is verified, its connection can only end in a reset.
fn held_back(noted: Noted, body: HeldBack) -> Body {
    noted.unverified.set(true);
    let sending = Sending { _open: Open::new(&noted.state), unfinished: Some((body, noted)) };
    streamed(stream::try_unfold(sending, |mut sending| async move {
        Ok(sending.next().await?.map(|chunk| (chunk, sending)))
    }))
}

/// Lets chunks through up to the last 64 KiB, and these only once the source has vouched for all of it.
struct HeldBack {
    chunks: Chunks,
    length: u64,
    received: u64,
    sent: u64,
    held: VecDeque<Bytes>,
    verified: bool,
}

impl HeldBack {
    fn new(chunks: Chunks, length: u64) -> Self {
        Self { chunks, length, received: 0, sent: 0, held: VecDeque::new(), verified: false }
    }

    /// How many bytes are still to come.
    fn left(&self) -> u64 {
        self.length.saturating_sub(self.received)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(chunk) = self.released() {
                return Ok(Some(chunk));
            }
            if self.verified {
                return Ok(None);
            }
            match self.chunks.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    self.received = self.received.saturating_add(size(chunk.len()));
                    if self.received > self.length {
                        return Err(wrong_length(self.length));
                    }
                    self.held.push_back(chunk);
                }
                None if self.received != self.length => return Err(wrong_length(self.length)),
                None => self.verified = true,
            }
        }
    }

    /// The next bytes that may go out now.
    fn released(&mut self) -> Option<Bytes> {
        let open = if self.verified { self.length } else { self.length.saturating_sub(HELD_BACK) };
        let room = usize::try_from(open.saturating_sub(self.sent)).unwrap_or(usize::MAX);
        while self.held.front().is_some_and(Bytes::is_empty) {
            self.held.pop_front();
        }
        let front = self.held.front_mut().filter(|_| room > 0)?;
        let chunk = front.split_to(min(room, front.len()));
        self.sent += size(chunk.len());
        Some(chunk)
    }
}

fn wrong_length(length: u64) -> Failure {
    Failure::new(
        Kind::Verification,
        Some("length"),
        format!("the length differs from the signed {length} bytes"),
    )
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
