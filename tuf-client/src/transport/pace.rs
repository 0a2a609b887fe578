//! Slow servers: a limit on every wait, for any transport.
//!
//! A client that only limits the gap between two packets can be held for hours by a server that sends one byte a
//! second (the slow retrieval attack of the TUF specification, 1.5.2). So there is a minimum rate as well. Only the time spent
//! waiting for the server counts towards it: a consumer that takes its time does not make the server slow.

use std::{collections::VecDeque, future::Future, time::Duration};

use futures_util::stream;
use tokio::time::{Instant, timeout};

use super::{Body, TransportError, TransportErrorKind, Waiting};
use crate::url::Url;

/// How many seconds of waiting the rate is averaged over.
const WINDOW: usize = 20;
/// How long a body may take before its rate counts: slow start, a cold cache behind the server.
const GRACE: Duration = Duration::from_secs(10);

/// How slow a response may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// Longest wait for the response, up to the end of its headers. Redirects count. Default 30 s.
    pub headers: Duration,
    /// Longest wait for the next bytes of the body. Default 30 s.
    pub idle: Duration,
    /// Least average rate in bytes per second, over the last 20 s of waiting, once a body took more than 10 s of it.
    /// Default 1024; 0 turns this off.
    pub minimum_rate: u64,
    /// Longest time from the request to the last byte, whoever is slow. Default: none.
    pub total: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        let wait = Duration::from_secs(30);
        Self { headers: wait, idle: wait, minimum_rate: 1024, total: None }
    }
}

impl Pace {
    /// For metadata, which is small: the defaults and 60 s for everything.
    pub fn metadata() -> Self {
        Self { total: Some(Duration::from_secs(60)), ..Self::default() }
    }

    /// For one try of several ([`super::Retry`]): the defaults, but 10 s of silence are enough. Whoever waits 30 s for all
    /// tries together would else not see the second one of a request that was lost.
    pub fn one_try() -> Self {
        let wait = Duration::from_secs(10);
        Self { headers: wait, idle: wait, ..Self::default() }
    }

    /// Runs a fetch, and later its body, under these limits.
    pub async fn apply(
        &self,
        url: &Url,
        fetch: impl Future<Output = Result<Body, TransportError>> + Send,
    ) -> Result<Body, TransportError> {
        let deadline = self.total.and_then(|total| Instant::now().checked_add(total));
        let body = self.wait(url, Waiting::Headers, self.headers, deadline, fetch).await??;

        let (start, length) = (body.start(), body.length());
        let state = (self.clone(), url.clone(), body, Meter::default());
        let chunks = stream::try_unfold(state, move |(pace, url, mut body, mut meter)| async move {
            let asked = Instant::now();
            let Some(chunk) = pace.wait(&url, Waiting::Idle, pace.idle, deadline, body.next()).await?? else {
                return Ok(None);
            };
            meter.record(asked.elapsed(), u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            let rate = meter.rate();
            // All of it is here: too late to call it slow.
            let complete = length.is_some_and(|length| meter.received >= length);
            if !complete && meter.waited > GRACE && rate < pace.minimum_rate {
                let kind = TransportErrorKind::TooSlow { rate, minimum: pace.minimum_rate };
                return Err(TransportError::new(&url, kind));
            }
            Ok(Some((chunk, (pace, url, body, meter))))
        });
        Ok(Body::from_stream(url, length, chunks).starting_at(start))
    }

    async fn wait<T: Send>(
        &self,
        url: &Url,
        waiting: Waiting,
        limit: Duration,
        deadline: Option<Instant>,
        future: impl Future<Output = T> + Send,
    ) -> Result<T, TransportError> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let (waiting, limit, allowed) = match (left, self.total) {
            (Some(left), Some(total)) if left < limit => (Waiting::Total, total, left),
            _ => (waiting, limit, limit),
        };
        timeout(allowed, future)
            .await
            .map_err(|_| TransportError::new(url, TransportErrorKind::Timeout { waiting, limit }))
    }
}

/// Bytes per second of waiting.
#[derive(Debug, Default)]
struct Meter {
    waited: Duration,
    received: u64,
    /// Bytes received in each second of the window; the last one is the current second.
    seconds: VecDeque<u64>,
}

impl Meter {
    fn record(&mut self, waited: Duration, bytes: u64) {
        let before = self.waited.as_secs();
        self.waited = self.waited.saturating_add(waited);
        self.received = self.received.saturating_add(bytes);
        let passed = usize::try_from(self.waited.as_secs() - before).unwrap_or(WINDOW);
        for _ in 0..passed.min(WINDOW) {
            if self.seconds.len() == WINDOW {
                self.seconds.pop_front();
            }
            self.seconds.push_back(0);
        }
        match self.seconds.back_mut() {
            Some(current) => *current = current.saturating_add(bytes),
            None => self.seconds.push_back(bytes),
        }
    }

    fn rate(&self) -> u64 {
        let bytes = self.seconds.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        let whole = u64::try_from(self.seconds.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let millis = whole.saturating_mul(1000).saturating_add(u64::from(self.waited.subsec_millis()));
        bytes.saturating_mul(1000) / millis.max(1)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::time::sleep;

    use super::*;

    fn url() -> Url {
        Url::parse("https://index.example/file").unwrap()
    }

    /// A body of `count` chunks of `size` bytes, each after `gap`.
    fn drip(length: Option<u64>, count: usize, size: usize, gap: Duration) -> Body {
        let chunks = stream::unfold(0, move |sent| async move {
            if sent == count {
                return None;
            }
            sleep(gap).await;
            Some((Ok(Bytes::from(vec![0; size])), sent + 1))
        });
        Body::from_stream(&url(), length, chunks)
    }

    async fn run(pace: &Pace, body: Body) -> (Result<Vec<u8>, TransportErrorKind>, u64) {
        let start = Instant::now();
        let result = match pace.apply(&url(), async { Ok(body) }).await {
            Ok(body) => body.collect(u64::MAX).await,
            Err(error) => Err(error),
        };
        (result.map_err(|error| error.kind().clone()), start.elapsed().as_secs())
    }

    fn timed_out(waiting: Waiting, seconds: u64) -> TransportErrorKind {
        TransportErrorKind::Timeout { waiting, limit: Duration::from_secs(seconds) }
    }

    #[tokio::test(start_paused = true)]
    async fn headers_are_waited_for_no_longer_than_allowed() {
        let start = Instant::now();
        let error = Pace::default().apply(&url(), std::future::pending()).await.unwrap_err();
        assert_eq!(error.kind(), &timed_out(Waiting::Headers, 30));
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_given_up_after_the_idle_limit() {
        let (result, seconds) = run(&Pace::default(), drip(None, 1, 1, Duration::from_secs(3600))).await;
        assert_eq!((result.unwrap_err(), seconds), (timed_out(Waiting::Idle, 30), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn dripping_is_given_up_soon_after_the_grace() {
        for (gap, latest) in [(1, 12), (5, 16), (25, 26)] {
            let (result, seconds) =
                run(&Pace::default(), drip(None, 10_000, 1, Duration::from_secs(gap))).await;
            assert!(matches!(result.unwrap_err(), TransportErrorKind::TooSlow { minimum: 1024, .. }));
            assert!(seconds <= latest, "{gap}: {seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_start_does_not_buy_hours_of_dripping() {
        let body = {
            let fast = stream::iter([Ok(Bytes::from(vec![0; 1 << 20]))]);
            let slow = stream::unfold(drip(None, 10_000, 1, Duration::from_secs(1)), |mut body| async move {
                body.next().await.transpose().map(|chunk| (chunk, body))
            });
            Body::from_stream(&url(), None, futures_util::StreamExt::chain(fast, slow))
        };
        let (result, seconds) = run(&Pace::default(), body).await;
        assert!(matches!(result.unwrap_err(), TransportErrorKind::TooSlow { .. }));
        assert!(seconds <= 22, "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_but_steady_is_fine() {
        let (result, seconds) = run(&Pace::default(), drip(None, 600, 1100, Duration::from_secs(1))).await;
        assert_eq!((result.unwrap().len(), seconds), (660_000, 600));
        // A rate of zero turns the check off.
        let pace = Pace { minimum_rate: 0, ..Pace::default() };
        assert_eq!(run(&pace, drip(None, 60, 1, Duration::from_secs(20))).await.0.unwrap().len(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_complete_body_is_never_too_slow() {
        let (result, _) = run(&Pace::default(), drip(Some(1), 1, 1, Duration::from_secs(20))).await;
        assert_eq!(result.unwrap(), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_consumer_is_not_a_slow_server() {
        let source = drip(None, 100, 100, Duration::ZERO);
        let mut body = Pace::default().apply(&url(), async { Ok(source) }).await.unwrap();
        let mut received = 0;
        while let Some(chunk) = body.next().await.unwrap() {
            received += chunk.len();
            sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(received, 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_limit_covers_headers_and_body() {
        let (result, seconds) = run(&Pace::metadata(), drip(None, 1000, 5000, Duration::from_secs(1))).await;
        assert_eq!((result.unwrap_err(), seconds), (timed_out(Waiting::Total, 60), 60));
        let late = async {
            sleep(Duration::from_secs(29)).await;
            Ok(drip(None, 1000, 5000, Duration::from_secs(1)))
        };
        let start = Instant::now();
        let body = Pace::metadata().apply(&url(), late).await.unwrap();
        assert!(body.collect(u64::MAX).await.is_err());
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}
