//! One pinned snapshot of a repository. Everything found, read and downloaded through one view belongs
//! together; a view never changes, and it fails once its metadata has expired.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tuf_core::trust::{Search, SearchStep, Trusted, TrustedSet};
use tuf_core::{Batch, Change, Envelope, Limits, RoleName, StoredFile, TargetFile, TargetPath, Targets};

use crate::client::{Client, blocking};
use crate::error::{Error, ErrorKind, chain};
use crate::offline::Expired;
use crate::store::Recovered;

/// A pinned view. Cheap to clone; clones share the roles that were loaded.
#[derive(Clone, Debug)]
pub struct View(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    set: TrustedSet,
    /// Delegated roles by delegator and name: authority belongs to the pair.
    roles: Mutex<HashMap<(RoleName, RoleName), Trusted<Targets>>>,
    /// The bytes of fetched roles that the store does not have yet. Another delegator may ask for the
    /// same role, with other keys.
    unsaved: Mutex<BTreeMap<RoleName, Arc<[u8]>>>,
    /// Stored roles that are not what a client stores, and why.
    damaged: Mutex<BTreeMap<RoleName, String>>,
    warnings: Vec<Warning>,
    /// Once expired, a clock that is set back does not revive it.
    expired: AtomicBool,
}

/// What was noticed in a refresh that succeeded all the same, and somebody should look into.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The clock is behind the time of an earlier refresh: expiry cannot be judged by it.
    #[error("the clock says {now}, but the last refresh was at {last}: it was set back, or was wrong then")]
    ClockSteppedBack {
        /// The time of the last refresh that was noted.
        last: DateTime<Utc>,
        /// The time of this one.
        now: DateTime<Utc>,
    },
    /// The timestamp's version was seen with another content before, which still counts.
    #[error(transparent)]
    Equivocation(tuf_core::Error),
    /// A stored file was damaged, was set aside, and was fetched again.
    #[error("{0}")]
    Recovered(Recovered),
}

impl Warning {
    pub(crate) const fn is_of_clock(&self) -> bool {
        matches!(self, Self::ClockSteppedBack { .. })
    }
}

/// A target that was found, and who signed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The path.
    pub path: TargetPath,
    /// The role that signed for it.
    pub role: RoleName,
    /// What was signed.
    pub file: TargetFile,
}

impl View {
    pub(crate) fn new(client: Client, set: TrustedSet, warnings: Vec<Warning>) -> Self {
        Self(Arc::new(Inner {
            client,
            set,
            roles: Mutex::default(),
            unsaved: Mutex::default(),
            damaged: Mutex::default(),
            warnings,
            expired: AtomicBool::new(false),
        }))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// The top-level metadata.
    #[must_use]
    pub fn trusted(&self) -> &TrustedSet {
        &self.0.set
    }

    /// When the first of root, timestamp, snapshot and targets expires.
    #[must_use]
    pub fn expires(&self) -> DateTime<Utc> {
        self.0.set.expires()
    }

    /// What was noticed in the refresh that made this view.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.0.warnings
    }

    /// Whether this view is of the store, and the repository was not asked: it may have something newer.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.0.client.is_offline()
    }

    /// Whether this view has expired. Unless that was accepted ([`crate::dangerous::accept_expired`]), it then only fails.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        if self.expires() <= self.0.client.now() {
            self.0.expired.store(true, Ordering::Relaxed);
        }
        self.0.expired.load(Ordering::Relaxed)
    }

    pub(crate) fn check_fresh(&self) -> Result<(), Error> {
        if self.is_stale() && self.0.client.expired() == Expired::Refused {
            return Err(ErrorKind::ViewExpired(self.expires()).into());
        }
        Ok(())
    }

    /// Finds a target through the delegations (spec 5.6.7). Delegated roles that had to be fetched are
    /// kept for later searches; [`View::save`] stores them.
    ///
    /// # Errors
    /// Why a role on the way is refused or cannot be fetched.
    pub async fn find(&self, path: &TargetPath) -> Result<Option<Target>, Error> {
        self.check_fresh()?;
        let mut search = Search::new(self.0.set.clone(), path.clone());
        loop {
            let (delegator, role) = match search.step() {
                SearchStep::Role { delegator, role } => (delegator.clone(), role.clone()),
                SearchStep::Done(found) => {
                    return Ok(found.map(|found| Target {
                        path: path.clone(),
                        role: found.role.clone(),
                        file: found.file.clone(),
                    }));
                }
                _ => return Ok(None),
            };
            let role = self.role(&delegator, &role).await?;
            search.give_trusted(&role)?;
        }
    }

    /// A target that must be there.
    ///
    /// # Errors
    /// [`ErrorKind::TargetNotFound`], and those of [`View::find`].
    pub async fn require(&self, path: &TargetPath) -> Result<Target, Error> {
        self.find(path).await?.ok_or_else(|| ErrorKind::TargetNotFound(path.clone()).into())
    }

    /// A delegated role on the word of its delegator: from this view, the store, or the repository.
    ///
    /// # Errors
    /// Why it is refused or cannot be fetched.
    pub async fn role(
        &self,
        delegator: &Trusted<Targets>,
        role: &RoleName,
    ) -> Result<Trusted<Targets>, Error> {
        let key = (delegator.role_name().clone(), role.clone());
        if let Some(trusted) = lock(&self.0.roles).get(&key) {
            return Ok(trusted.clone());
        }
        let set = &self.0.set;
        let meta = set.meta(role)?;
        let limit = set.limits().targets_bytes;
        let max = meta.length.map_or(limit, |length| length.min(limit));
        let known = match lock(&self.0.unsaved).get(role).cloned() {
            Some(bytes) => Some(bytes),
            None => self.0.client.store().peek(&StoredFile::Delegated(role.clone()), max)?.map(Arc::from),
        };
        let known = known.map(|bytes| set.delegated(delegator, role, &bytes).map_err(|error| (error, bytes)));
        let trusted = match known {
            Some(Ok(trusted)) => trusted,
            known => {
                if let Some(Err((error, bytes))) = known
                    && !is_of_another_version(bytes, meta.version, set.limits())
                {
                    lock(&self.0.damaged).insert(role.clone(), chain(&error));
                }
                self.fetch_role(delegator, role, meta.version, max).await?
            }
        };
        lock(&self.0.roles).insert(key, trusted.clone());
        Ok(trusted)
    }

    async fn fetch_role(
        &self,
        delegator: &Trusted<Targets>,
        role: &RoleName,
        version: u64,
        max: u64,
    ) -> Result<Trusted<Targets>, Error> {
        let Inner { client, set, unsaved, .. } = &*self.0;
        let name = role.file_name(set.root().consistent_snapshot.then_some(version));
        let missing = || tuf_core::Error::from(tuf_core::ErrorKind::Missing(name.clone())).in_role(role);
        let take = |bytes: Option<Vec<u8>>| {
            let bytes: Arc<[u8]> = bytes.ok_or_else(missing)?.into();
            Ok((set.delegated(delegator, role, &bytes)?, bytes))
        };
        let (trusted, bytes) = client.metadata((role, &name, max), take).await?;
        lock(unsaved).insert(role.clone(), bytes);
        Ok(trusted)
    }

    /// Writes the delegated roles that were fetched to the store, as one durable batch.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn save(&self) -> Result<(), Error> {
        let fetched = std::mem::take(&mut *lock(&self.0.unsaved));
        if fetched.is_empty() {
            return Ok(());
        }
        let write = |(role, bytes)| Change::Write(StoredFile::Delegated(role), bytes);
        let batch = Batch::new(fetched.into_iter().map(write).collect());
        let store = Arc::clone(self.0.client.store());
        let damaged = std::mem::take(&mut *lock(&self.0.damaged));
        blocking(move || {
            let mut session = store.open()?;
            for (role, reason) in damaged {
                session.set_aside(&StoredFile::Delegated(role), &reason)?;
            }
            session.commit(&batch)
        })
        .await
    }

    /// Every targets role reachable through delegations, top-level first, each delegator before its
    /// delegates. Fetches them all: for listings and audits.
    ///
    /// # Errors
    /// Why a role is refused or cannot be fetched.
    pub async fn roles(&self) -> Result<Vec<Trusted<Targets>>, Error> {
        self.check_fresh()?;
        let mut visited: HashSet<(RoleName, RoleName)> = HashSet::new();
        let mut roles = Vec::new();
        let mut pending = vec![self.0.set.targets().clone()];
        while let Some(delegator) = pending.pop() {
            let names =
                delegator.delegations.as_ref().map(tuf_core::Delegations::role_names).unwrap_or_default();
            for name in names.into_iter().rev() {
                // TAP 15 bins that were never published are simply empty.
                if visited.insert((delegator.role_name().clone(), name.clone()))
                    && self.0.set.meta(&name).is_ok()
                {
                    pending.push(self.role(&delegator, &name).await?);
                }
            }
            roles.push(delegator);
        }
        Ok(roles)
    }
}

/// Whether this is simply what another snapshot named, as stored roles often are.
fn is_of_another_version(bytes: Arc<[u8]>, wanted: u64, limits: &Limits) -> bool {
    Envelope::parse(bytes, limits)
        .is_ok_and(|envelope| envelope.claims().version.is_some_and(|version| version != wanted))
}

/// A poisoned lock guards plain data that is always whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
