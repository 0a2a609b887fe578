//! How a [`Client`] is made.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tuf_core::Limits;

use super::{Client, Clock, Inner};
use crate::cache::TargetCache;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::mirrors::{GRACE, Mirrors};
use crate::offline::Expired;
use crate::store::{MemoryStore, Store};
use crate::transport::{Retry, SchemeTransport, Transport, redact};
use crate::url::Url;

/// Makes a [`Client`]. What is not set has a default that promises everything this crate can promise but one: without a
/// [`store`](Self::store) nothing is remembered from one run to the next.
#[must_use]
pub struct ClientBuilder {
    pinned: Arc<[u8]>,
    url: Url,
    metadata: Option<Url>,
    targets: Option<Url>,
    mirrors: Vec<Url>,
    grace: Duration,
    deadline: Duration,
    transport: Option<Arc<dyn Transport>>,
    store: Option<Arc<dyn Store>>,
    limits: Limits,
    clock: Clock,
    refuse_clock_steps: bool,
    cache: Option<TargetCache>,
    offline: bool,
    expired: Expired,
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("url", &redact(&self.url)).finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn new(root: Arc<[u8]>, url: Url) -> Self {
        Self {
            pinned: root,
            url,
            metadata: None,
            targets: None,
            mirrors: Vec::new(),
            grace: GRACE,
            deadline: Duration::from_secs(300),
            transport: None,
            store: None,
            limits: Limits::default(),
            clock: Arc::new(clock::now),
            refuse_clock_steps: false,
            cache: None,
            offline: false,
            expired: Expired::Refused,
        }
    }

    /// Where metadata is kept between runs. Without a store nothing is: each run then trusts whatever
    /// the pinned root leads to, and cannot notice a rollback.
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// How bytes are fetched. Default: `http`, `https` and `file` URLs, with [`Retry`].
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Where metadata is, if not at `URL/metadata/`.
    pub fn metadata_url(mut self, url: Url) -> Self {
        self.metadata = Some(url);
        self
    }

    /// Where targets are, if not at `URL/targets/`.
    pub fn targets_url(mut self, url: Url) -> Self {
        self.targets = Some(url);
        self
    }

    /// Adds another copy of the repository, with metadata/ and targets/ below this URL. Mirrors need not be trusted:
    /// if one is slow, incomplete, old or hostile, another one is asked.
    pub fn mirror(mut self, url: Url) -> Self {
        self.mirrors.push(url);
        self
    }

    /// How long a refresh waits for the other mirrors once one gave a valid timestamp, or said that there is no newer
    /// root. Longer finds newer metadata on a slower mirror, shorter is not held up by a dead one. Default 2 s.
    pub const fn mirror_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Longest time for a whole refresh, on top of the limits of each request. Waiting for the store's lock does not
    /// count, and downloads have no such limit: they may be of any size. Default 5 minutes.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How much is read at most, and whether key IDs are recalculated ([`Limits::strict_key_ids`]).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What tells the time. Default: the system clock.
    pub fn clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Refuses to refresh ([`ErrorKind::ClockSteppedBack`]) while the clock is more than 5 minutes behind the time of an earlier
    /// refresh, which the store remembers to the hour. Default: the view has a warning, once ([`crate::View::warnings`]), and the time is taken as the new
    /// one.
    pub const fn refuse_clock_steps(mut self) -> Self {
        self.refuse_clock_steps = true;
        self
    }

    /// Keeps targets here too, and takes them from here when the current metadata names the same content. Default: no cache.
    ///
    /// ```no_run
    /// # fn example(builder: tuf_client::ClientBuilder) -> Result<(), tuf_client::Error> {
    /// let client = builder.cache(tuf_client::TargetCache::new("cache".as_ref())).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cache(mut self, cache: TargetCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Never asks the repository: [`Client::refresh`] gives a view of what the store has, which must not have expired,
    /// and targets come from the cache. What is not there is [`ErrorKind::NotStored`]. Nothing is written to the store, and no lock
    /// is taken.
    ///
    /// ```no_run
    /// # async fn example(builder: tuf_client::ClientBuilder) -> Result<(), tuf_client::Error> {
    /// let view = builder.offline().build()?.refresh().await?;
    /// assert!(view.is_offline() && !view.is_stale());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    pub(crate) const fn with_expired(mut self, expired: Expired) -> Self {
        self.expired = expired;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`ErrorKind::Url`] for a URL that cannot be a base, or what keeps the default transport from
    /// being set up.
    pub fn build(self) -> Result<Client, Error> {
        let base = directory(&self.url)?;
        let metadata = match &self.metadata {
            Some(url) => directory(url)?,
            None => join(&base, "metadata/")?,
        };
        let targets = match &self.targets {
            Some(url) => directory(url)?,
            None => join(&base, "targets/")?,
        };
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(Retry::new(SchemeTransport::new()?)),
        };
        let others = self.mirrors.iter().map(|url| {
            let base = directory(url)?;
            Ok((join(&base, "metadata/")?, join(&base, "targets/")?))
        });
        let others = others.collect::<Result<_, Error>>()?;
        Ok(Client(Arc::new(Inner {
            pinned: self.pinned,
            mirrors: Mirrors::new((metadata, targets), others, self.grace),
            deadline: self.deadline,
            transport,
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            limits: Arc::new(self.limits),
            clock: self.clock,
            refuse_clock_steps: self.refuse_clock_steps,
            cache: self.cache,
            offline: self.offline,
            expired: self.expired,
        })))
    }
}

/// The URL as a base: names are joined below it.
pub(crate) fn directory(url: &Url) -> Result<Url, Error> {
    let refused = |reason| ErrorKind::Url { url: redact(url), reason };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it has a query or a fragment").into());
    }
    url.as_directory().map_err(|_| refused("it is too long").into())
}

pub(super) fn join(base: &Url, relative: &str) -> Result<Url, Error> {
    base.join(relative)
        .map_err(|_| ErrorKind::Url { url: redact(base), reason: "nothing can be joined to it" }.into())
}
