//! Honest faults are tried again: a connection that fails or breaks off, a server that is busy or restarting.
//!
//! What is no accident is not: a missing file stays missing, and bytes that are too many, too slow or wrong are for the
//! caller to judge, who may have another mirror. Waits double and are random in part, so that many clients
//! do not come back at the same moment.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::{future::BoxFuture, stream};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::sleep;

use super::{Body, Transport, TransportError, TransportErrorKind};
use crate::url::Url;

/// The longest wait that a server may ask for with `Retry-After`; who asks for more is not asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Any transport, with honest faults tried again. Cheap to clone.
///
/// Three tries for each file, waiting about 0.2 s and 0.4 s in between, or as long as the server asks, up to 10 s. A
/// body that breaks off is asked for from there on; if the whole comes all the same, what was handed out already is skipped.
/// Mixed bytes would not have the signed hash. `file` URLs are not tried again.
pub struct Retry<T> {
    inner: Arc<T>,
    tries: u32,
    first_wait: Duration,
}

impl<T> Retry<T> {
    /// Retries what `inner` fails at.
    pub fn new(inner: T) -> Self {
        Self { inner: Arc::new(inner), tries: 3, first_wait: Duration::from_millis(200) }
    }

    /// With this many tries for each file, the first one included.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// With this wait before the second try; each further one waits twice as long.
    #[must_use]
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }
}

impl<T> Clone for Retry<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), tries: self.tries, first_wait: self.first_wait }
    }
}

impl<T: fmt::Debug> fmt::Debug for Retry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

impl<T: Transport + 'static> Transport for Retry<T> {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(self.run(url, false, 0))
    }

    fn fetch_from<'a>(&'a self, url: &'a Url, from: u64) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(self.run(url, false, from))
    }

    fn fetch_metadata<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(self.run(url, true, 0))
    }
}

impl<T: Transport + 'static> Retry<T> {
    async fn run(&self, url: &Url, metadata: bool, from: u64) -> Result<Body, TransportError> {
        if url.scheme() == "file" {
            return self.inner.fetch_from(url, from).await;
        }
        let mut request = Request { retry: self.clone(), url: url.clone(), metadata, failed: 0 };
        let body = request.ask(from).await?;
        let (start, length) = (body.start(), body.length());
        let state = Resumed { request, body, position: start, skip: 0 };
        let chunks =
            stream::try_unfold(state, async |mut state| Ok(state.next().await?.map(|chunk| (chunk, state))));
        Ok(Body::from_stream(url, length, chunks).starting_at(start))
    }
}

/// One file that is asked for until the tries are used up.
struct Request<T> {
    retry: Retry<T>,
    url: Url,
    metadata: bool,
    failed: u32,
}

impl<T: Transport> Request<T> {
    /// For what follows byte `from`, or for the whole.
    async fn ask(&mut self, from: u64) -> Result<Body, TransportError> {
        loop {
            let inner = &self.retry.inner;
            let asked = match (self.metadata, from) {
                (true, _) => inner.fetch_metadata(&self.url),
                (false, 0) => inner.fetch(&self.url),
                (false, from) => inner.fetch_from(&self.url, from),
            };
            match asked.await {
                Ok(body) => return Ok(body),
                Err(error) => self.wait(error).await?,
            }
        }
    }

    /// Waits before the next try; gives the error back if there is to be none.
    async fn wait(&mut self, error: TransportError) -> Result<(), TransportError> {
        self.failed = self.failed.saturating_add(1);
        let asked = error.retry_after().unwrap_or_default();
        if !is_honest(error.kind()) || self.failed >= self.retry.tries || asked > LONGEST_WAIT {
            return Err(error);
        }
        let doubled = 2_u32.saturating_pow(self.failed.saturating_sub(1));
        let wait = jittered(self.retry.first_wait.saturating_mul(doubled)).max(asked);
        tracing::debug!(%error, ?wait, "trying again");
        sleep(wait).await;
        Ok(())
    }
}

/// A body that goes on after it broke off.
struct Resumed<T> {
    request: Request<T>,
    body: Body,
    /// At which byte of the file the next one to hand out is.
    position: u64,
    /// Bytes to leave out of the current body.
    skip: u64,
}

impl<T: Transport> Resumed<T> {
    async fn next(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            let mut chunk = match self.body.next().await {
                Ok(Some(chunk)) => chunk,
                // Shorter than what was handed out already: another file, which its hash will show.
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.request.wait(error).await?;
                    self.body = self.request.ask(self.position).await?;
                    // A body that begins later would be a fault of the transport; the hash shows it.
                    self.skip = self.position.saturating_sub(self.body.start());
                    continue;
                }
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(skipped);
            self.skip -= u64::try_from(skipped).unwrap_or_default();
            if !chunk.is_empty() {
                self.position = self.position.saturating_add(u64::try_from(chunk.len()).unwrap_or_default());
                return Ok(Some(chunk));
            }
        }
    }
}

/// Whether this happens to honest servers, and passes.
const fn is_honest(kind: &TransportErrorKind) -> bool {
    matches!(
        kind,
        TransportErrorKind::Connect
            | TransportErrorKind::Io
            | TransportErrorKind::Status(429 | 500..=599)
            | TransportErrorKind::Timeout { .. }
            | TransportErrorKind::Truncated { .. }
    )
}

/// Between half of this and all of it.
fn jittered(wait: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness the wait is merely the shortest one.
    let _ = SystemRandom::new().fill(&mut byte);
    wait / 2 + wait / 2 * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::transport::Waiting;

    /// Answers with these, one after the other; then with the whole file.
    #[derive(Debug)]
    struct Faulty(Mutex<Vec<Answer>>, Mutex<u32>);

    #[derive(Clone, Debug)]
    enum Answer {
        Fail(TransportErrorKind, Option<u64>),
        BreakOff(&'static [u8]),
    }

    const FILE: &[u8] = b"0123456789";

    impl Transport for Faulty {
        fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
            *self.1.lock().unwrap() += 1;
            let mut answers = self.0.lock().unwrap();
            let answer = (!answers.is_empty()).then(|| answers.remove(0));
            let length = u64::try_from(FILE.len()).ok();
            Box::pin(std::future::ready(match answer {
                None => Ok(Body::from_bytes(url, FILE)),
                Some(Answer::BreakOff(bytes)) => {
                    Ok(Body::from_stream(url, length, stream::iter([Ok(Bytes::from_static(bytes))])))
                }
                Some(Answer::Fail(kind, after)) => {
                    Err(TransportError::new(url, kind).with_retry_after(after.map(Duration::from_secs)))
                }
            }))
        }
    }

    /// The bytes or the fault, the number of requests, and the seconds it took.
    async fn get(answers: &[Answer]) -> (Result<Vec<u8>, TransportErrorKind>, u32, u64) {
        let url = Url::parse("https://index.example/x").unwrap();
        let retry = Retry::new(Faulty(Mutex::new(answers.to_vec()), Mutex::new(0)));
        let start = Instant::now();
        let result = match retry.fetch(&url).await {
            Ok(body) => body.collect(100).await,
            Err(error) => Err(error),
        };
        let asked = *retry.inner.1.lock().unwrap();
        (result.map_err(|error| error.kind().clone()), asked, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn honest_faults_are_tried_three_times_others_once() {
        let limit = Duration::from_secs(1);
        let rows = [
            (TransportErrorKind::Connect, 3),
            (TransportErrorKind::Io, 3),
            (TransportErrorKind::Status(500), 3),
            (TransportErrorKind::Status(503), 3),
            (TransportErrorKind::Status(429), 3),
            (TransportErrorKind::Timeout { waiting: Waiting::Headers, limit }, 3),
            (TransportErrorKind::Truncated { expected: None, received: 0 }, 3),
            (TransportErrorKind::Status(401), 1),
            (TransportErrorKind::NotFound { status: Some(404) }, 1),
            (TransportErrorKind::Tls, 1),
            (TransportErrorKind::TooLarge { limit: 1, declared: None }, 1),
            (TransportErrorKind::TooSlow { rate: 1, minimum: 2 }, 1),
            (TransportErrorKind::ContentEncoding("br".to_owned()), 1),
            (TransportErrorKind::Redirect(String::new()), 1),
            (TransportErrorKind::UnsupportedScheme, 1),
        ];
        for (kind, tries) in rows {
            let fail = Answer::Fail(kind.clone(), None);
            let (result, asked, _) = get(&[fail.clone(), fail.clone(), fail.clone(), fail.clone()]).await;
            assert_eq!((result.unwrap_err(), asked), (kind.clone(), tries), "{kind:?}");
            let (result, asked, _) = get(&[fail]).await;
            assert_eq!((result.is_ok(), asked), (tries > 1, tries.min(2)), "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_broke_off_goes_on_where_it_was() {
        let rows: [&[Answer]; 3] = [
            &[Answer::BreakOff(b"0123")],
            &[Answer::BreakOff(b"0123"), Answer::BreakOff(b"01")],
            &[Answer::Fail(TransportErrorKind::Status(500), None), Answer::BreakOff(b"01234567")],
        ];
        for answers in rows {
            let (result, ..) = get(answers).await;
            assert_eq!(result.unwrap(), FILE, "{answers:?}");
        }
        let (result, asked, _) = get(&vec![Answer::BreakOff(b"0"); 9]).await;
        let truncated = TransportErrorKind::Truncated { expected: Some(10), received: 1 };
        assert_eq!((result.unwrap_err(), asked), (truncated, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_may_ask_for_patience_within_bounds() {
        let busy = |seconds| Answer::Fail(TransportErrorKind::Status(429), Some(seconds));
        let (result, asked, seconds) = get(&[busy(7)]).await;
        assert_eq!((result.is_ok(), asked, seconds), (true, 2, 7));
        let (result, asked, seconds) = get(&[busy(3600)]).await;
        assert_eq!((result.is_ok(), asked, seconds), (false, 1, 0));
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        let wait = Duration::from_millis(800);
        for _ in 0..100 {
            let jittered = jittered(wait);
            assert!(jittered >= wait / 2 && jittered <= wait, "{jittered:?}");
        }
    }
}
