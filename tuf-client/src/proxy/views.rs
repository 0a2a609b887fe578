//! Which snapshot the proxy serves from.
//!
//! One resolve never mixes two states: there is one current view, and every page comes from it. When a refresh
//! replaces it, an installer may still hold pages of the view before and ask for their files, so older views
//! answer *file* requests for a while. A view past its expiry answers nothing, current or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::refusal::{Failure, Kind};
use super::source::{Snapshot, Upstream};
use crate::clock;
use crate::simple::{ProjectName, SignedPage};

/// The shortest pause between two refreshes, so that an expired view does not hammer the mirror.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);

/// Parsed pages are dropped all at once when their signed bytes pass this sum.
const MAX_CACHED_BYTES: usize = 16 << 20;

/// One pinned snapshot and the pages already parsed from it.
pub(super) struct Pinned {
    pub(super) snapshot: Arc<dyn Snapshot>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    parsed: HashMap<ProjectName, Arc<SignedPage>>,
    bytes: usize,
}

impl Pinned {
    fn new(snapshot: Arc<dyn Snapshot>) -> Self {
        Self { snapshot, pages: Mutex::default() }
    }

    /// The project's signed page, `None` if the snapshot has none.
    pub(super) async fn page(&self, project: &ProjectName) -> Result<Option<Arc<SignedPage>>, Failure> {
        if let Some(page) = lock(&self.pages).parsed.get(project) {
            return Ok(Some(Arc::clone(page)));
        }
        let Some(bytes) = self.snapshot.page(SignedPage::target_path(project)).await? else {
            return Ok(None);
        };
        // The signature holds, the page does not: the signer's mistake, but as unusable as an attack.
        let page = SignedPage::parse(&bytes, project).map_err(|error| {
            Failure::new(
                Kind::Verification,
                None,
                format!("the signed page of {project} is not usable: {error}"),
            )
        })?;
        let page = Arc::new(page);
        let mut pages = lock(&self.pages);
        if pages.bytes + bytes.len() > MAX_CACHED_BYTES {
            *pages = Pages::default();
        }
        pages.bytes += bytes.len();
        pages.parsed.insert(project.clone(), Arc::clone(&page));
        Ok(Some(page))
    }

    fn expired(&self, now: DateTime<Utc>) -> bool {
        self.snapshot.expires() <= now
    }
}

/// The current view, the ones before it, and (unless it is pinned for good) the way to the next one.
pub(super) struct Views {
    upstream: Option<Box<dyn Upstream>>,
    every: Duration,
    keep: Duration,
    state: Mutex<State>,
    /// Held during a refresh; the time of the last attempt.
    attempt: tokio::sync::Mutex<Option<Instant>>,
}

struct State {
    current: Arc<Pinned>,
    older: Vec<(Arc<Pinned>, Instant)>,
    refreshed: DateTime<Utc>,
    failed: Option<String>,
}

impl Views {
    /// Without `upstream`, the view is pinned: it is never replaced, only ever expires.
    pub(super) fn new(
        first: Arc<dyn Snapshot>,
        upstream: Option<Box<dyn Upstream>>,
        every: Duration,
        keep: Duration,
    ) -> Self {
        let state = State {
            current: Arc::new(Pinned::new(first)),
            older: Vec::new(),
            refreshed: clock::now(),
            failed: None,
        };
        Self { upstream, every, keep, state: Mutex::new(state), attempt: tokio::sync::Mutex::default() }
    }

    /// The view to serve from. One that has expired (say, the machine slept) is first given a chance to be replaced.
    pub(super) async fn current(&self) -> Result<Arc<Pinned>, Failure> {
        if self.pinned().expired(clock::now()) {
            self.refresh().await;
        }
        let pinned = self.pinned();
        if !pinned.expired(clock::now()) {
            return Ok(pinned);
        }
        let expired = pinned.snapshot.expires().format("%Y-%m-%dT%H:%M:%SZ");
        let why = match &lock(&self.state).failed {
            Some(failed) => format!(
                "the pinned snapshot {} expired at {expired} and no newer one could be had: {failed}",
                pinned.snapshot.version()
            ),
            None => format!("the pinned snapshot {} expired at {expired}", pinned.snapshot.version()),
        };
        Err(Failure::new(Kind::Verification, Some("freeze"), why))
    }

    /// The views replaced a short while ago, newest first.
    pub(super) fn older(&self) -> Vec<Arc<Pinned>> {
        let now = clock::now();
        let mut state = lock(&self.state);
        state.older.retain(|(_, replaced)| replaced.elapsed() < self.keep);
        state
            .older
            .iter()
            .rev()
            .filter(|(view, _)| !view.expired(now))
            .map(|(view, _)| Arc::clone(view))
            .collect()
    }

    /// Refreshes for ever; returns at once when the view is pinned.
    pub(super) async fn follow(&self) {
        while self.upstream.is_some() {
            let left = self.pinned().snapshot.timestamp_expires() - clock::now();
            tokio::time::sleep(pause(self.every, left.to_std().unwrap_or_default())).await;
            self.refresh().await;
        }
    }

    /// One refresh at a time, and none shortly after another. A failed one changes nothing but the status.
    pub(super) async fn refresh(&self) {
        let Some(upstream) = &self.upstream else {
            return;
        };
        let mut attempt = self.attempt.lock().await;
        if attempt.is_some_and(|at| at.elapsed() < SHORTEST_PAUSE) {
            return;
        }
        match upstream.refresh().await {
            Ok(snapshot) => self.advance(snapshot),
            Err(failure) => {
                tracing::warn!(
                    attack = failure.attack,
                    "refresh failed, the pinned view stays: {}",
                    failure.why
                );
                lock(&self.state).failed = Some(failure.why);
            }
        }
        *attempt = Some(Instant::now());
    }

    fn advance(&self, snapshot: Arc<dyn Snapshot>) {
        let mut state = lock(&self.state);
        state.refreshed = clock::now();
        state.failed = None;
        let same = snapshot.version() == state.current.snapshot.version();
        // Parsed pages do not move on with it: the role that signed one may have expired since.
        let before = std::mem::replace(&mut state.current, Arc::new(Pinned::new(snapshot)));
        if !same {
            state.older.retain(|(_, replaced)| replaced.elapsed() < self.keep);
            state.older.push((before, Instant::now()));
        }
    }

    /// For the status page.
    pub(super) fn status(&self) -> Value {
        let older: Vec<u64> = self.older().iter().map(|view| view.snapshot.version()).collect();
        let time = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let state = lock(&self.state);
        let current = &state.current.snapshot;
        json!({
            "mode": if self.upstream.is_some() { "following" } else { "pinned" },
            "snapshot": current.version(),
            "expires": time(current.expires()),
            "timestamp_expires": time(current.timestamp_expires()),
            "expired": state.current.expired(clock::now()),
            "older_snapshots": older,
            "refreshed": time(state.refreshed),
            "refresh_failed": state.failed,
        })
    }

    fn pinned(&self) -> Arc<Pinned> {
        Arc::clone(&lock(&self.state).current)
    }
}

/// How long to wait before the next refresh: at most `every`, and half of what the timestamp has left.
fn pause(every: Duration, left: Duration) -> Duration {
    every.min(left / 2).max(SHORTEST_PAUSE)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_every_ten_minutes_and_at_half_the_timestamps_life_but_never_in_a_tight_loop() {
        let every = Duration::from_secs(600);
        let rows = [(86_400, 600), (1_200, 600), (1_000, 500), (60, 30), (20, 10), (3, 10), (0, 10)];
        for (left, expected) in rows {
            assert_eq!(
                pause(every, Duration::from_secs(left)),
                Duration::from_secs(expected),
                "{left} s left"
            );
        }
    }
}
