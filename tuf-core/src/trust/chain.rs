//! The chain of trust as types (spec 5.3-5.6): each step is a method on the step before it, so that a
//! wrong order does not compile. A step that fails changes nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::verify::{Authentic, Authority, SnapshotId, Trusted};
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::role::{RoleName, TopLevel};
use crate::root::Root;
use crate::snapshot::{MetaFile, Snapshot};
use crate::targets::Targets;
use crate::timestamp::Timestamp;

/// Checks that are the same for every role once its signatures hold.
fn fresh<T: Metadata>(authentic: Authentic<T>, now: DateTime<Utc>) -> Result<Trusted<T>, Error> {
    let expires = authentic.header().expires;
    if expires <= now {
        return Err(located(&authentic, ErrorKind::Expired { expires, now }));
    }
    Ok(Trusted::new(authentic))
}

fn located<T: Metadata>(authentic: &Authentic<T>, kind: ErrorKind) -> Error {
    Error::new(kind).in_role(authentic.role_name()).at_version(authentic.header().version)
}

fn same_version<T: Metadata>(authentic: &Authentic<T>, expected: u64) -> Result<(), Error> {
    let found = authentic.header().version;
    if found == expected { Ok(()) } else { Err(located(authentic, ErrorKind::Version { expected, found })) }
}

fn not_older<T: Metadata>(authentic: &Authentic<T>, floor: u64, found: u64) -> Result<(), Error> {
    if found >= floor { Ok(()) } else { Err(located(authentic, ErrorKind::Rollback { floor, found })) }
}

/// Two contents under one version by the same keys. More or other signatures are no other content.
fn not_other<T: Metadata>(
    authentic: &Authentic<T>,
    seen: &Authentic<T>,
    limits: &Limits,
) -> Result<(), Error> {
    if authentic.header().version != seen.header().version || authentic.bytes() == seen.bytes() {
        return Ok(());
    }
    let role = authentic.role_name();
    let (new, old) = (envelope(authentic.bytes(), role, limits)?, envelope(seen.bytes(), role, limits)?);
    if new.signed() == old.signed() { Ok(()) } else { Err(located(authentic, ErrorKind::Equivocation)) }
}

fn envelope(bytes: &Arc<[u8]>, role: &RoleName, limits: &Limits) -> Result<Envelope, Error> {
    Envelope::parse(Arc::clone(bytes), limits).map_err(|error| error.in_role(role))
}

/// The root chain: starts at the pinned root and follows it, one version at a time.
#[derive(Clone, Debug)]
pub struct RootChain {
    root: Authentic<Root>,
    limits: Arc<Limits>,
}

impl RootChain {
    /// Starts at a root that was pinned out of band (spec 5.2). It must be signed by its own keys; it
    /// may have expired.
    ///
    /// # Errors
    /// [`Error`] if it is not a root, or not signed by itself.
    pub fn pinned(bytes: &Arc<[u8]>, limits: Arc<Limits>) -> Result<Self, Error> {
        let role = TopLevel::Root.role();
        let envelope = envelope(bytes, &role, &limits)?;
        // What it says of its own keys is only believed if those keys signed it.
        let claimed: Root =
            crate::metadata::read(&envelope, &limits).map_err(|error| error.in_role(&role))?;
        let root = authority(&claimed, TopLevel::Root, &role).verify(&role, &envelope, &limits)?;
        Ok(Self { root, limits })
    }

    /// The next root: version N+1, signed by a threshold of root N and of itself (spec 5.3.4-5.3.5).
    ///
    /// # Errors
    /// [`ErrorKind::Threshold`] naming the root that was not satisfied, [`ErrorKind::Version`], or what
    /// is wrong with the file.
    pub fn next(&self, bytes: &Arc<[u8]>) -> Result<Self, Error> {
        let role = TopLevel::Root.role();
        let envelope = envelope(bytes, &role, &self.limits)?;
        let by_old: Authentic<Root> =
            authority(&self.root, TopLevel::Root, &role).verify(&role, &envelope, &self.limits)?;
        let root: Authentic<Root> =
            authority(&by_old, TopLevel::Root, &role).verify(&role, &envelope, &self.limits)?;
        same_version(&root, self.next_version())?;
        Ok(Self { root, limits: Arc::clone(&self.limits) })
    }

    /// The version that [`RootChain::next`] wants.
    #[must_use]
    pub fn next_version(&self) -> u64 {
        self.root.header.version.saturating_add(1)
    }

    /// Whether there is a version after this one: after 2^64-1 there is none, and that root is not its
    /// own successor.
    pub(crate) fn goes_on(&self) -> bool {
        self.root.header.version < u64::MAX
    }

    /// The newest root so far.
    #[must_use]
    pub const fn root(&self) -> &Authentic<Root> {
        &self.root
    }

    /// Whether this root's keys signed a top-level role's file, be it expired or long replaced.
    pub(crate) fn authentic<T: Metadata>(&self, bytes: &Arc<[u8]>) -> Result<Authentic<T>, Error> {
        authentic(&self.root, bytes, &self.limits)
    }

    /// Ends the chain: the newest root must not have expired (spec 5.3.10). Time is fixed from here on.
    ///
    /// # Errors
    /// [`ErrorKind::Expired`].
    pub fn finish(&self, now: DateTime<Utc>) -> Result<FreshRoot, Error> {
        let root = fresh(self.root.clone(), now)?;
        Ok(FreshRoot { root, now, limits: Arc::clone(&self.limits) })
    }
}

fn authentic<T: Metadata>(
    root: &Authentic<Root>,
    bytes: &Arc<[u8]>,
    limits: &Limits,
) -> Result<Authentic<T>, Error> {
    let role = T::KIND.role();
    authority(root, T::KIND, root.role_name()).verify(&role, &envelope(bytes, &role, limits)?, limits)
}

fn authority<'a>(root: &'a Root, role: TopLevel, by: &'a RoleName) -> Authority<'a> {
    Authority::new(by, root.header.version, &root.keys, root.role(role))
}

/// What earlier refreshes saw: no older version may follow. Cached files count as long as the newest
/// root's keys signed them, expired or not (this is how spec 5.3.11 is read: after a key rotation they
/// no longer verify, which is the recovery from fast-forward attacks).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Floor {
    /// The newest timestamp seen.
    pub timestamp: Option<Authentic<Timestamp>>,
    /// The newest snapshot seen.
    pub snapshot: Option<Authentic<Snapshot>>,
    /// The snapshot of `timestamp` was signed by keys that are no longer the role's: its version is no
    /// floor any more (spec 5.3.11).
    pub snapshot_keys_replaced: bool,
}

/// The newest root, not expired.
#[derive(Clone, Debug)]
pub struct FreshRoot {
    root: Trusted<Root>,
    now: DateTime<Utc>,
    limits: Arc<Limits>,
}

impl FreshRoot {
    /// The root.
    #[must_use]
    pub const fn root(&self) -> &Trusted<Root> {
        &self.root
    }

    /// Verifies the signatures of a top-level role's file: enough for a rollback floor.
    ///
    /// # Errors
    /// What is wrong with the file or its signatures.
    pub fn authentic<T: Metadata>(&self, bytes: &Arc<[u8]>) -> Result<Authentic<T>, Error> {
        authentic(&self.root, bytes, &self.limits)
    }

    /// Accepts a timestamp (spec 5.4): signatures, no version older than the floor's, no older
    /// snapshot, not expired.
    ///
    /// # Errors
    /// [`ErrorKind::Threshold`], [`ErrorKind::Rollback`], [`ErrorKind::Expired`], or what is wrong with
    /// the file.
    pub fn timestamp(&self, bytes: &Arc<[u8]>, floor: &Floor) -> Result<FreshTimestamp, Error> {
        let mut timestamp: Authentic<Timestamp> = self.authentic(bytes)?;
        let mut equivocation = None;
        if let Some(seen) = &floor.timestamp {
            not_older(&timestamp, seen.header.version, timestamp.header.version)?;
            if timestamp.header.version == seen.header.version {
                // The same version again: what it says now does not count (spec 5.4.3).
                equivocation = not_other(&timestamp, seen, &self.limits).err();
                timestamp = seen.clone();
            }
            let (oldest, found) = (seen.snapshot.version, timestamp.snapshot.version);
            if found < oldest && !floor.snapshot_keys_replaced {
                let error = Error::new(ErrorKind::Rollback { floor: oldest, found });
                return Err(error.in_role(&TopLevel::Snapshot.role()).at_version(found));
            }
        }
        let timestamp = fresh(timestamp, self.now)?;
        Ok(FreshTimestamp { root: self.clone(), timestamp, equivocation })
    }
}

/// A timestamp that is trusted.
#[derive(Clone, Debug)]
pub struct FreshTimestamp {
    root: FreshRoot,
    timestamp: Trusted<Timestamp>,
    equivocation: Option<Error>,
}

impl FreshTimestamp {
    /// What to report if another content came for a version that was seen before: the one seen before counts (spec
    /// 5.4.3), but its keys signed both.
    #[must_use]
    pub const fn equivocation(&self) -> Option<&Error> {
        self.equivocation.as_ref()
    }

    /// The timestamp.
    #[must_use]
    pub const fn timestamp(&self) -> &Trusted<Timestamp> {
        &self.timestamp
    }

    /// Accepts a snapshot (spec 5.5): the one the timestamp names, signatures, no role removed or older
    /// than in the floor, not expired.
    ///
    /// # Errors
    /// [`ErrorKind::Length`], [`ErrorKind::Hash`], [`ErrorKind::Threshold`], [`ErrorKind::Version`],
    /// [`ErrorKind::Rollback`], [`ErrorKind::RoleRemoved`], [`ErrorKind::Expired`].
    pub fn snapshot(&self, bytes: &Arc<[u8]>, floor: &Floor) -> Result<FreshSnapshot, Error> {
        self.check(bytes)?;
        self.accept(self.root.authentic(bytes)?, floor)
    }

    /// As [`Self::snapshot`], of one that this root's keys signed, which was verified before.
    pub(crate) fn known_snapshot(
        &self,
        snapshot: &Authentic<Snapshot>,
        floor: &Floor,
    ) -> Result<FreshSnapshot, Error> {
        self.check(snapshot.bytes())?;
        self.accept(snapshot.clone(), floor)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        let meta = &self.timestamp.snapshot;
        meta.check(bytes).map_err(|error| error.in_role(&TopLevel::Snapshot.role()).at_version(meta.version))
    }

    fn accept(&self, snapshot: Authentic<Snapshot>, floor: &Floor) -> Result<FreshSnapshot, Error> {
        same_version(&snapshot, self.timestamp.snapshot.version)?;
        let mut equivocation = None;
        if let Some(seen) = floor.snapshot.as_ref().filter(|seen| seen.bytes() != snapshot.bytes()) {
            // Both are in the order of names.
            let mut listed = snapshot.meta.iter().peekable();
            for (file, old) in seen.meta.iter() {
                while listed.next_if(|(name, _)| *name < file).is_some() {}
                match listed.next_if(|(name, _)| *name == file).map(|(_, new)| new) {
                    None => {
                        return Err(located(
                            &snapshot,
                            ErrorKind::RoleRemoved {
                                snapshot: snapshot.header.version,
                                missing: crate::reader::shorten(&file),
                            },
                        ));
                    }
                    Some(new) if new.version < old.version => {
                        let kind = ErrorKind::Rollback { floor: old.version, found: new.version };
                        let role = file.strip_suffix(".json").and_then(|name| RoleName::new(name).ok());
                        let role = role.unwrap_or_else(|| snapshot.role_name().clone());
                        return Err(Error::new(kind).in_role(&role).at_version(new.version));
                    }
                    Some(_) => {}
                }
            }
            equivocation = not_other(&snapshot, seen, &self.root.limits).err();
        }
        let snapshot = fresh(snapshot, self.root.now)?;
        Ok(FreshSnapshot { timestamp: self.clone(), snapshot, equivocation, id: SnapshotId::default() })
    }
}

/// A snapshot that is trusted.
#[derive(Clone, Debug)]
pub struct FreshSnapshot {
    timestamp: FreshTimestamp,
    snapshot: Trusted<Snapshot>,
    equivocation: Option<Error>,
    id: SnapshotId,
}

impl FreshSnapshot {
    /// The snapshot.
    #[must_use]
    pub const fn snapshot(&self) -> &Trusted<Snapshot> {
        &self.snapshot
    }

    /// What to report if another content of this version was seen before: the timestamp's keys vouch for this one, but the
    /// snapshot's keys signed both.
    #[must_use]
    pub const fn equivocation(&self) -> Option<&Error> {
        self.equivocation.as_ref()
    }

    pub(crate) const fn fresh_root(&self) -> &FreshRoot {
        &self.timestamp.root
    }

    /// What the snapshot says of a targets role.
    ///
    /// # Errors
    /// [`ErrorKind::NotInSnapshot`].
    pub fn meta(&self, role: &RoleName) -> Result<MetaFile, Error> {
        self.snapshot.role(role).ok_or_else(|| {
            Error::new(ErrorKind::NotInSnapshot { snapshot: self.snapshot.header.version }).in_role(role)
        })
    }

    /// Accepts the top-level targets (spec 5.6.1-5.6.6).
    ///
    /// # Errors
    /// As for every targets role: see [`TrustedSet::delegated`].
    pub fn targets(&self, bytes: &Arc<[u8]>) -> Result<TrustedSet, Error> {
        let role = TopLevel::Targets.role();
        let root = &self.timestamp.root;
        let authority = authority(&root.root, TopLevel::Targets, root.root.role_name());
        let targets = self.load(&role, authority, bytes)?;
        Ok(TrustedSet { snapshot: Arc::new(self.clone()), targets })
    }

    /// The one function that loads a targets role, top-level or delegated.
    fn load(&self, role: &RoleName, by: Authority<'_>, bytes: &Arc<[u8]>) -> Result<Trusted<Targets>, Error> {
        let root = &self.timestamp.root;
        let meta = self.meta(role)?;
        meta.check(bytes).map_err(|error| error.in_role(role).at_version(meta.version))?;
        let targets: Authentic<Targets> =
            by.verify(role, &envelope(bytes, role, &root.limits)?, &root.limits)?;
        same_version(&targets, meta.version)?;
        Ok(fresh(targets, root.now)?.under(&self.id))
    }
}

/// The four top-level roles, all trusted and of one snapshot. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TrustedSet {
    snapshot: Arc<FreshSnapshot>,
    targets: Trusted<Targets>,
}

impl TrustedSet {
    /// The root.
    #[must_use]
    pub fn root(&self) -> &Trusted<Root> {
        &self.snapshot.timestamp.root.root
    }

    /// The timestamp.
    #[must_use]
    pub fn timestamp(&self) -> &Trusted<Timestamp> {
        &self.snapshot.timestamp.timestamp
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &Trusted<Snapshot> {
        &self.snapshot.snapshot
    }

    /// The top-level targets.
    #[must_use]
    pub const fn targets(&self) -> &Trusted<Targets> {
        &self.targets
    }

    /// What the snapshot says of a targets role.
    ///
    /// # Errors
    /// [`ErrorKind::NotInSnapshot`].
    pub fn meta(&self, role: &RoleName) -> Result<MetaFile, Error> {
        self.snapshot.meta(role)
    }

    /// When the first of the four expires.
    #[must_use]
    pub fn expires(&self) -> DateTime<Utc> {
        let [root, timestamp] = [self.root().header.expires, self.timestamp().header.expires];
        root.min(timestamp).min(self.snapshot().header.expires).min(self.targets.header.expires)
    }

    /// The limits that this set was read under.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.snapshot.timestamp.root.limits
    }

    /// # Errors
    /// [`ErrorKind::OtherSnapshot`] for a role that was not verified in this set.
    pub(super) fn must_have(&self, role: &Trusted<Targets>) -> Result<(), Error> {
        role.must_be_under(&self.snapshot.id)
    }

    /// Accepts a delegated targets role on the word of `delegator` (spec 5.6.7.1), which must have been verified in
    /// this set. The result holds for this delegator only: another one may name other keys.
    ///
    /// # Errors
    /// [`ErrorKind::OtherSnapshot`], [`ErrorKind::NotDelegated`], [`ErrorKind::NotInSnapshot`], [`ErrorKind::Length`],
    /// [`ErrorKind::Hash`], [`ErrorKind::Threshold`], [`ErrorKind::Version`], [`ErrorKind::Expired`].
    pub fn delegated(
        &self,
        delegator: &Trusted<Targets>,
        role: &RoleName,
        bytes: &Arc<[u8]>,
    ) -> Result<Trusted<Targets>, Error> {
        self.must_have(delegator).map_err(|error| error.in_role(role))?;
        let delegations = delegator.delegations.as_ref();
        let keys = delegations.and_then(|delegations| Some((delegations, delegations.role_keys(role)?)));
        let (delegations, role_keys) = keys.ok_or_else(|| {
            Error::new(ErrorKind::NotDelegated { delegator: delegator.role_name().clone() }).in_role(role)
        })?;
        let authority =
            Authority::new(delegator.role_name(), delegator.header.version, &delegations.keys, &role_keys);
        self.snapshot.load(role, authority, bytes)
    }

    /// As [`TrustedSet::delegated`], for who kept what a delegator says when it was verified, under the same hashes: a repository
    /// that signs the next version. Who may sign is the caller's word, so that what comes of it delegates to nobody.
    ///
    /// # Errors
    /// As [`TrustedSet::delegated`], but for what the delegator says.
    pub fn authentic(
        &self,
        by: Authority<'_>,
        role: &RoleName,
        bytes: &Arc<[u8]>,
    ) -> Result<Authentic<Targets>, Error> {
        self.snapshot.load(role, by, bytes).map(Trusted::into_authentic)
    }
}
