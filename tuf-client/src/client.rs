//! The client of one repository: drives the machine of `tuf_core::refresh` with a transport and a
//! store.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::time::{Instant, timeout_at};
use tuf_core::refresh::{Refresh, Step};
use tuf_core::{Change, Limits, RoleName, StoredFile, TopLevel, url_path};

use crate::cache::TargetCache;
use crate::error::{Error, ErrorKind, chain};
use crate::mirrors::{Mirror, Mirrors};
use crate::offline::{self, Expired};
use crate::store::{Store, StoreError, StoreSession};
use crate::transport::{Pace, Transport, TransportErrorKind};
use crate::url::Url;
use crate::view::{View, Warning};

mod builder;

pub use builder::ClientBuilder;
pub(crate) use builder::directory;
use builder::join;

/// A clock that is adjusted by less is in order.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// The time is not written down for every refresh.
const CLOCK_NOTED: TimeDelta = TimeDelta::hours(1);

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A client of one repository. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

struct Inner {
    pinned: Arc<[u8]>,
    mirrors: Mirrors,
    deadline: Duration,
    transport: Arc<dyn Transport>,
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    clock: Clock,
    refuse_clock_steps: bool,
    cache: Option<TargetCache>,
    offline: bool,
    expired: Expired,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("mirrors", &self.mirrors)
            .field("transport", &self.transport)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A role, the encoded name of its file, and how many bytes to read at most.
pub(crate) type Asked<'a> = (&'a RoleName, &'a str, u64);

impl Client {
    /// A client for the repository at `url`, which trusts what `root` leads to. `root` must have come
    /// to the user in a way the user trusts: it is never taken from the repository.
    pub fn builder(root: impl Into<Arc<[u8]>>, url: Url) -> ClientBuilder {
        ClientBuilder::new(root.into(), url)
    }

    /// Brings the trusted metadata up to date and pins it (spec 5.1-5.6). The store's lock is held from
    /// loading to writing. If the repository changed in the middle, one more try is made (PEP 458).
    ///
    /// # Errors
    /// Why the repository is refused or cannot be read. What was trusted before stays trusted.
    pub async fn refresh(&self) -> Result<View, Error> {
        if self.0.offline {
            let (inner, now) = (Arc::clone(&self.0), self.now());
            let load = move || {
                offline::load(&*inner.store, &inner.pinned, now, inner.expired, Arc::clone(&inner.limits))
            };
            return Ok(View::new(self.clone(), blocking(load).await?, Vec::new()));
        }
        // So far in the future that there is no such time: no deadline.
        let end = Instant::now().checked_add(self.0.deadline);
        match self.refresh_once(end).await {
            Err(error) if error.is_missing() => self.refresh_once(end).await,
            result => result,
        }
    }

    async fn refresh_once(&self, end: Option<Instant>) -> Result<View, Error> {
        let store = Arc::clone(&self.0.store);
        let session = blocking(move || store.open()).await?;
        // Once for all of it.
        let now = self.now();
        let last = session.load(&StoredFile::LastTime, 64)?.and_then(|bytes| read_time(&bytes));
        let mut warnings = Vec::new();
        if let Some(last) = last.filter(|last| last.signed_duration_since(now) > CLOCK_TOLERANCE) {
            if self.0.refuse_clock_steps {
                return Err(ErrorKind::ClockSteppedBack { last, now }.into());
            }
            warnings.push(Warning::ClockSteppedBack { last, now });
        }
        let mut refresh = Refresh::new(&self.0.pinned, now, Arc::clone(&self.0.limits))?;
        let driving = self.drive(&mut refresh, &*session);
        let driven = match end {
            Some(end) => timeout_at(end, driving)
                .await
                .unwrap_or_else(|_| Err(ErrorKind::Deadline(self.0.deadline).into())),
            None => driving.await,
        };
        warnings.extend(refresh.equivocation().cloned().map(Warning::Equivocation));
        let rejected = refresh.rejected().to_vec();
        let (set, mut batch) = refresh.finish();
        let moved = last.is_none_or(|last| now.signed_duration_since(last).abs() >= CLOCK_NOTED);
        if driven.is_ok() && (moved || warnings.iter().any(Warning::is_of_clock)) {
            let text = now.to_rfc3339_opts(SecondsFormat::Secs, true);
            batch.push(Change::Write(StoredFile::LastTime, text.into_bytes().into()));
        }
        let mut session = session;
        let recovered = blocking(move || {
            for (file, error) in &rejected {
                session.set_aside(file, &chain(error))?;
            }
            if !batch.is_empty() {
                session.commit(&batch)?;
            }
            Ok::<_, StoreError>(session.take_recovered())
        });
        warnings.extend(recovered.await?.into_iter().map(Warning::Recovered));
        driven?;
        match set {
            Some(set) => Ok(View::new(self.clone(), set, warnings)),
            // Unreachable: a driver without error has reached `Step::Done`.
            None => {
                Err(tuf_core::Error::from(tuf_core::ErrorKind::Missing("targets.json".to_owned())).into())
            }
        }
    }

    async fn drive(&self, refresh: &mut Refresh, session: &dyn StoreSession) -> Result<(), Error> {
        let mut late = Vec::new();
        loop {
            match refresh.step() {
                Step::Load { file, max } => {
                    // A small file on a local disk: not worth another thread.
                    let bytes = session.load(&file, max)?;
                    refresh.give(bytes)?;
                }
                Step::Fetch { role, name, max } if self.asks_all(&role) => {
                    self.ask_all(refresh, (&role, &name, max), &mut late).await?;
                }
                Step::Fetch { role, name, max } => {
                    self.metadata((&role, &name, max), |bytes| refresh.give(bytes)).await?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Whether nothing says which version of a role there is to have, so that all mirrors are asked.
    fn asks_all(&self, role: &RoleName) -> bool {
        !self.0.mirrors.is_one() && matches!(role.top_level(), Some(TopLevel::Root | TopLevel::Timestamp))
    }

    pub(crate) fn copies(&self) -> &Mirrors {
        &self.0.mirrors
    }

    pub(crate) fn refused_from(&self, mirror: &Mirror, name: &str, source: tuf_core::Error) -> Error {
        ErrorKind::Refused { url: mirror.url_of(name), source }.into()
    }

    /// A metadata file by its encoded name; `None` if this mirror does not have it.
    pub(crate) async fn fetch_from(
        &self,
        mirror: &Mirror,
        (role, name, max): Asked<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.needs_network(name)?;
        let url = join(&mirror.metadata, name)?;
        let body = Pace::metadata().apply(&url, self.0.transport.fetch_metadata(&url)).await;
        let result = match body {
            Ok(body) => body.collect(max).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => match *error.kind() {
                TransportErrorKind::NotFound { .. } => Ok(None),
                TransportErrorKind::TooLarge { limit, .. } => {
                    let kind = tuf_core::ErrorKind::Limit { what: "bytes in this file", limit };
                    Err(self.refused_from(mirror, name, tuf_core::Error::from(kind).in_role(role)))
                }
                _ => Err(error.into()),
            },
        }
    }

    /// As [`Self::fetch_from`], of a client that has one mirror: audits judge one copy.
    pub(crate) async fn fetch_metadata(&self, asked: Asked<'_>) -> Result<Option<Vec<u8>>, Error> {
        self.fetch_from(self.0.mirrors.first(), asked).await
    }

    /// As [`Self::refused_from`], of a client that has one mirror.
    pub(crate) fn refused(&self, name: &str, source: tuf_core::Error) -> Error {
        self.refused_from(self.0.mirrors.first(), name, source)
    }

    /// The URL of something below a mirror's `targets/`.
    pub(crate) fn target_url(&self, mirror: &Mirror, remote: &str) -> Result<Url, Error> {
        join(&mirror.targets, &url_path(remote))
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.0.transport
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn cache(&self) -> Option<&TargetCache> {
        self.0.cache.as_ref()
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.0.offline
    }

    pub(crate) fn expired(&self) -> Expired {
        self.0.expired
    }

    /// Before a file is asked for, by its name for the message.
    pub(crate) fn needs_network(&self, name: &str) -> Result<(), Error> {
        if self.0.offline { Err(ErrorKind::NotStored(name.to_owned()).into()) } else { Ok(()) }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.0.clock)()
    }

    /// Refreshes and runs `work` on the view. If the repository lacks a file that the view's metadata
    /// names, it may have published in between: one more refresh and one more try (PEP 458).
    ///
    /// # Errors
    /// Those of [`Client::refresh`] and of `work`.
    pub async fn with_view<T>(&self, work: impl AsyncFn(View) -> Result<T, Error>) -> Result<T, Error> {
        match work(self.refresh().await?).await {
            Err(error) if error.is_missing() => work(self.refresh().await?).await,
            result => result,
        }
    }
}

fn read_time(bytes: &[u8]) -> Option<DateTime<Utc>> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// Runs something that waits for disk or lock on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static, E: Into<Error> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => std::future::pending().await,
        },
    }
}
