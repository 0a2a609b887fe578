//! The client workflow (spec 5.1-5.6) as a machine without I/O: it says which file it wants and how
//! many bytes at most, and is fed bytes. Async clients, blocking clients, auditors and fuzzers all
//! drive this one.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::role::{RoleName, TopLevel};
use crate::snapshot::Snapshot;
use crate::targets::Targets;
use crate::timestamp::Timestamp;
use crate::trust::{Authentic, Floor, FreshRoot, FreshSnapshot, FreshTimestamp, RootChain, TrustedSet};

/// A file of the trusted store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoredFile {
    /// A root after the pinned one.
    RootHistory(u64),
    /// The timestamp of the last complete view.
    Timestamp,
    /// The snapshot of the last complete view.
    Snapshot,
    /// The top-level targets of the last complete view.
    Targets,
    /// The newest timestamp seen, if only as a rollback floor: as new as the last complete view, or newer.
    FloorTimestamp,
    /// The newest snapshot seen, likewise.
    FloorSnapshot,
    /// A delegated targets role.
    Delegated(RoleName),
    /// No metadata: the time of a refresh that succeeded, for whoever watches the clock.
    LastTime,
}

impl StoredFile {
    /// The relative path of the file within a store's metadata directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self {
            Self::RootHistory(version) => format!("root_history/{version}.root.json"),
            Self::Timestamp => "timestamp.json".to_owned(),
            Self::Snapshot => "snapshot.json".to_owned(),
            Self::Targets => "targets.json".to_owned(),
            Self::FloorTimestamp => "floor/timestamp.json".to_owned(),
            Self::FloorSnapshot => "floor/snapshot.json".to_owned(),
            Self::Delegated(role) => format!("delegated/{}", role.store_name()),
            Self::LastTime => "last_time".to_owned(),
        }
    }
}

/// One change to the trusted store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Writes these exact bytes.
    Write(StoredFile, Arc<[u8]>),
    /// Removes the file if it is there.
    Remove(StoredFile),
}

/// What one refresh verified, in the order of trust: to be written as one durable batch, whether the
/// refresh succeeded or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch(Vec<Change>);

impl Batch {
    /// A batch of these changes.
    #[must_use]
    pub const fn new(changes: Vec<Change>) -> Self {
        Self(changes)
    }

    /// The changes, in the order in which they must become visible.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.0
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a change after the others.
    pub fn push(&mut self, change: Change) {
        self.0.push(change);
    }
}

/// What the machine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// This file of the trusted store. Absent, damaged or too large: give `None`.
    Load {
        /// The file.
        file: StoredFile,
        /// How many bytes to read at most.
        max: u64,
    },
    /// This file of the repository. Not there: give `None`; any other trouble ends the refresh.
    Fetch {
        /// The role, for messages.
        role: RoleName,
        /// The name below `metadata/`, percent-encoded already.
        name: String,
        /// How many bytes to read at most; one more is an endless-data attack.
        max: u64,
    },
    /// Nothing: call [`Refresh::finish`].
    Done,
}

/// One refresh, at one fixed time. Whoever has several answers to one step gives each to a clone of its
/// own, and goes on with the best.
#[derive(Clone, Debug)]
pub struct Refresh {
    limits: Arc<Limits>,
    now: DateTime<Utc>,
    chain: RootChain,
    rotations: u32,
    floor: Floor,
    /// Stored snapshots that the newest root's keys signed and that may serve again.
    cached_snapshots: Vec<Authentic<Snapshot>>,
    state: State,
    roots: Batch,
    /// What the store's last complete view consists of, to write only what changed.
    stored: [Option<Arc<[u8]>>; 3],
    /// The stored floors, likewise.
    floors_stored: [Option<Arc<[u8]>>; 2],
    equivocation: Option<Error>,
    /// Where the chain was before the keys of the online roles changed.
    past: Vec<RootChain>,
    rejected: Vec<(StoredFile, Error)>,
}

#[derive(Clone, Debug)]
enum State {
    RootHistory,
    RemoteRoot,
    LoadFloorTimestamp(FreshRoot),
    LoadTimestamp(FreshRoot),
    LoadFloorSnapshot(FreshRoot),
    LoadSnapshot(FreshRoot),
    RemoteTimestamp(FreshRoot),
    RemoteSnapshot(FreshTimestamp),
    LoadTargets(FreshSnapshot),
    RemoteTargets(FreshSnapshot),
    Done(TrustedSet),
}

impl Refresh {
    /// Starts from the pinned root. `now` holds for the whole refresh (spec 5.1).
    ///
    /// # Errors
    /// What is wrong with the pinned root.
    pub fn new(pinned: &Arc<[u8]>, now: DateTime<Utc>, limits: Arc<Limits>) -> Result<Self, Error> {
        Ok(Self {
            chain: RootChain::pinned(pinned, Arc::clone(&limits))?,
            limits,
            now,
            rotations: 0,
            floor: Floor::default(),
            cached_snapshots: Vec::new(),
            state: State::RootHistory,
            roots: Batch::default(),
            stored: [None, None, None],
            floors_stored: [None, None],
            equivocation: None,
            past: Vec::new(),
            rejected: Vec::new(),
        })
    }

    /// What is wanted now.
    #[must_use]
    pub fn step(&self) -> Step {
        let load = |file, max| Step::Load { file, max };
        let limits = &self.limits;
        match &self.state {
            State::RootHistory => load(StoredFile::RootHistory(self.chain.next_version()), limits.root_bytes),
            State::RemoteRoot => {
                let role = TopLevel::Root.role();
                let name = role.file_name(Some(self.chain.next_version()));
                Step::Fetch { role, name, max: limits.root_bytes }
            }
            State::LoadFloorTimestamp(_) => load(StoredFile::FloorTimestamp, limits.timestamp_bytes),
            State::LoadTimestamp(_) => load(StoredFile::Timestamp, limits.timestamp_bytes),
            State::LoadFloorSnapshot(_) => load(StoredFile::FloorSnapshot, limits.snapshot_bytes),
            State::LoadSnapshot(_) => load(StoredFile::Snapshot, limits.snapshot_bytes),
            State::RemoteTimestamp(_) => {
                let role = TopLevel::Timestamp.role();
                Step::Fetch { name: role.file_name(None), role, max: limits.timestamp_bytes }
            }
            State::RemoteSnapshot(timestamp) => {
                let meta = &timestamp.timestamp().snapshot;
                self.versioned(TopLevel::Snapshot.role(), meta.version, meta.length, limits.snapshot_bytes)
            }
            State::LoadTargets(_) => load(StoredFile::Targets, limits.targets_bytes),
            State::RemoteTargets(snapshot) => {
                let role = TopLevel::Targets.role();
                match snapshot.meta(&role) {
                    Ok(meta) => self.versioned(role, meta.version, meta.length, limits.targets_bytes),
                    // The chain refuses it by name when it is given.
                    Err(_) => self.versioned(role, 1, None, limits.targets_bytes),
                }
            }
            State::Done(_) => Step::Done,
        }
    }

    fn versioned(&self, role: RoleName, version: u64, length: Option<u64>, limit: u64) -> Step {
        let consistent = self.chain.root().consistent_snapshot;
        let name = role.file_name(consistent.then_some(version));
        Step::Fetch { role, name, max: length.map_or(limit, |length| length.min(limit)) }
    }

    /// Takes what [`Refresh::step`] asked for.
    ///
    /// # Errors
    /// Why the file is refused. Nothing has changed then: the same step can be given the answer of another
    /// mirror, or the refresh ends; [`Refresh::finish`] says what to store in either case.
    pub fn give(&mut self, bytes: Option<Vec<u8>>) -> Result<(), Error> {
        let bytes: Option<Arc<[u8]>> = bytes.map(Into::into);
        let found = bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        match self.step() {
            Step::Load { max, .. } if found > max => {
                return Err(ErrorKind::Limit { what: "bytes in this file", limit: max }.into());
            }
            Step::Fetch { max, role, .. } if found > max => {
                let error = Error::new(ErrorKind::Limit { what: "bytes in this file", limit: max });
                return Err(error.in_role(&role));
            }
            _ => {}
        }
        match &self.state {
            State::RootHistory => {
                match bytes.filter(|_| self.chain.goes_on()).map(|bytes| self.chain.next(&bytes)) {
                    Some(Ok(chain)) => self.follow(chain),
                    Some(Err(error)) => {
                        self.rejected.push((StoredFile::RootHistory(self.chain.next_version()), error));
                        self.state = State::RemoteRoot;
                    }
                    None => self.state = State::RemoteRoot,
                }
            }
            State::RemoteRoot => self.remote_root(bytes)?,
            State::LoadFloorTimestamp(root) => {
                self.floors_stored[0].clone_from(&bytes);
                let root = root.clone();
                self.raise_timestamp(&root, StoredFile::FloorTimestamp, bytes);
                self.state = State::LoadTimestamp(root);
            }
            State::LoadTimestamp(root) => {
                let root = root.clone();
                self.stored[0].clone_from(&bytes);
                self.raise_timestamp(&root, StoredFile::Timestamp, bytes);
                self.state = State::LoadFloorSnapshot(root);
            }
            State::LoadFloorSnapshot(root) => {
                let root = root.clone();
                self.floors_stored[1].clone_from(&bytes);
                self.raise_snapshot(&root, StoredFile::FloorSnapshot, bytes);
                self.state = State::LoadSnapshot(root);
            }
            State::LoadSnapshot(root) => {
                let root = root.clone();
                self.stored[1].clone_from(&bytes);
                // Usually the two are the same, and large.
                self.raise_snapshot(
                    &root,
                    StoredFile::Snapshot,
                    bytes.filter(|_| self.stored[1] != self.floors_stored[1]),
                );
                self.state = State::RemoteTimestamp(root);
            }
            State::RemoteTimestamp(root) => {
                let bytes = present(bytes, &TopLevel::Timestamp.role(), || "timestamp.json".to_owned())?;
                let timestamp = root.timestamp(&bytes, &self.floor)?;
                let cached = self
                    .cached_snapshots
                    .iter()
                    .find_map(|snapshot| timestamp.known_snapshot(snapshot, &self.floor).ok());
                self.equivocation = timestamp.equivocation().cloned();
                self.floor.timestamp = Some((**timestamp.timestamp()).clone());
                self.state = match cached {
                    Some(snapshot) => State::LoadTargets(snapshot),
                    None => State::RemoteSnapshot(timestamp),
                };
            }
            State::RemoteSnapshot(timestamp) => {
                let bytes = present(bytes, &TopLevel::Snapshot.role(), || self.fetch_name())?;
                let snapshot = timestamp.snapshot(&bytes, &self.floor)?;
                self.equivocation = self.equivocation.take().or_else(|| snapshot.equivocation().cloned());
                self.floor.snapshot = Some((**snapshot.snapshot()).clone());
                self.state = State::LoadTargets(snapshot);
            }
            State::LoadTargets(snapshot) => {
                let cached = bytes.as_ref().map(|bytes| snapshot.targets(bytes));
                let (snapshot, root) = (snapshot.clone(), snapshot.fresh_root().clone());
                self.state = match cached {
                    Some(Ok(set)) => State::Done(set),
                    _ => State::RemoteTargets(snapshot),
                };
                // Not the ones wanted, because newer ones are, is what stored targets usually are.
                if let (State::RemoteTargets(_), Some(bytes)) = (&self.state, &bytes)
                    && let Err(error) = root.authentic::<Targets>(bytes)
                {
                    self.reject::<Targets>(StoredFile::Targets, bytes, error);
                }
                self.stored[2] = bytes;
            }
            State::RemoteTargets(snapshot) => {
                snapshot.meta(&TopLevel::Targets.role())?;
                let bytes = present(bytes, &TopLevel::Targets.role(), || self.fetch_name())?;
                self.state = State::Done(snapshot.targets(&bytes)?);
            }
            State::Done(_) => {}
        }
        Ok(())
    }

    fn fetch_name(&self) -> String {
        match self.step() {
            Step::Fetch { name, .. } => name,
            Step::Load { .. } | Step::Done => String::new(),
        }
    }

    fn remote_root(&mut self, bytes: Option<Arc<[u8]>>) -> Result<(), Error> {
        // At the limit more roots may follow; the next refresh goes on from here.
        let goes_on = self.chain.goes_on() && self.rotations < self.limits.root_rotations;
        if let Some(bytes) = bytes.filter(|_| goes_on) {
            self.follow(self.chain.next(&bytes)?);
            let version = self.chain.root().header.version;
            self.roots.push(Change::Write(StoredFile::RootHistory(version), bytes));
            self.rotations += 1;
            // The store may have what follows, if only this one was lost.
            self.state = State::RootHistory;
            return Ok(());
        }
        self.state = State::LoadFloorTimestamp(self.chain.finish(self.now)?);
        Ok(())
    }

    /// The version of the newest timestamp known: once a timestamp was taken, that of it.
    #[must_use]
    pub fn timestamp_version(&self) -> Option<u64> {
        self.floor.timestamp.as_ref().map(|timestamp| timestamp.header.version)
    }

    /// What to report although nothing was refused for it: see [`FreshTimestamp::equivocation`] and
    /// [`FreshSnapshot::equivocation`].
    #[must_use]
    pub const fn equivocation(&self) -> Option<&Error> {
        self.equivocation.as_ref()
    }

    fn follow(&mut self, next: RootChain) {
        let online = [TopLevel::Timestamp, TopLevel::Snapshot, TopLevel::Targets];
        let same = online.into_iter().all(|role| self.chain.root().same_keys(next.root(), role));
        let past = std::mem::replace(&mut self.chain, next);
        if !same {
            self.past.push(past);
        }
    }

    /// Notes a stored file that does not verify, unless all it lacks is that its keys were replaced since.
    fn reject<T: Metadata>(&mut self, file: StoredFile, bytes: &Arc<[u8]>, error: Error) {
        let replaced = matches!(error.kind(), ErrorKind::Threshold { .. })
            && self.past.iter().rev().any(|past| past.authentic::<T>(bytes).is_ok());
        if !replaced {
            self.rejected.push((file, error));
        }
    }

    /// The stored files that were given and are not what a client stores: damaged, or put there by somebody else. They
    /// counted for nothing. A file that is only outdated, or signed by keys replaced since, is not among them.
    #[must_use]
    pub fn rejected(&self) -> &[(StoredFile, Error)] {
        &self.rejected
    }

    fn raise_timestamp(&mut self, root: &FreshRoot, file: StoredFile, bytes: Option<Arc<[u8]>>) {
        let Some(bytes) = bytes else { return };
        let floor = self.floor.timestamp.as_ref().map_or(0, |floor| floor.header.version);
        match root.authentic::<Timestamp>(&bytes) {
            Ok(seen) if seen.header.version > floor => self.floor.timestamp = Some(seen),
            Ok(_) => {}
            Err(error) => self.reject::<Timestamp>(file, &bytes, error),
        }
    }

    fn raise_snapshot(&mut self, root: &FreshRoot, file: StoredFile, bytes: Option<Arc<[u8]>>) {
        let Some(bytes) = bytes else { return };
        let seen = match root.authentic::<Snapshot>(&bytes) {
            Ok(seen) => seen,
            Err(error) => {
                // The very snapshot that the timestamp names, no longer signed by the role's keys: they
                // were replaced, which lifts the floor.
                let named = |timestamp: &Authentic<Timestamp>| match &timestamp.snapshot.hashes {
                    Some(_) => timestamp.snapshot.check(&bytes).is_ok(),
                    None => error.version() == Some(timestamp.snapshot.version),
                };
                self.floor.snapshot_keys_replaced |= matches!(error.kind(), ErrorKind::Threshold { .. })
                    && self.floor.timestamp.as_ref().is_some_and(named);
                self.reject::<Snapshot>(file, &bytes, error);
                return;
            }
        };
        self.cached_snapshots.push(seen.clone());
        let floor = self.floor.snapshot.as_ref().map_or(0, |floor| floor.header.version);
        if seen.header.version > floor {
            self.floor.snapshot = Some(seen);
        }
    }

    /// Ends the refresh: the trusted set, if it is complete, and what to store in either case. An
    /// incomplete refresh stores its roots and raises the floor; the last complete view stays. A complete one writes
    /// the floor too: no damage to a single file lowers it.
    #[must_use]
    pub fn finish(self) -> (Option<TrustedSet>, Batch) {
        let Self { state, mut roots, stored, floors_stored, floor, .. } = self;
        let mut write = |file: StoredFile, bytes: &Arc<[u8]>, stored: Option<&Arc<[u8]>>| {
            if stored != Some(bytes) {
                roots.push(Change::Write(file, Arc::clone(bytes)));
            }
        };
        let [stored_timestamp, stored_snapshot, stored_targets] = &stored;
        let [floor_timestamp, floor_snapshot] = &floors_stored;
        if let State::Done(set) = state {
            let (timestamp, snapshot) = (set.timestamp().bytes(), set.snapshot().bytes());
            write(StoredFile::FloorTimestamp, timestamp, floor_timestamp.as_ref());
            write(StoredFile::FloorSnapshot, snapshot, floor_snapshot.as_ref());
            write(StoredFile::Timestamp, timestamp, stored_timestamp.as_ref());
            write(StoredFile::Snapshot, snapshot, stored_snapshot.as_ref());
            write(StoredFile::Targets, set.targets().bytes(), stored_targets.as_ref());
            return (Some(set), roots);
        }
        if let Some(timestamp) = &floor.timestamp {
            write(StoredFile::FloorTimestamp, timestamp.bytes(), floor_timestamp.as_ref());
        }
        if let Some(snapshot) = &floor.snapshot {
            write(StoredFile::FloorSnapshot, snapshot.bytes(), floor_snapshot.as_ref());
        }
        (None, roots)
    }
}

fn present(
    bytes: Option<Arc<[u8]>>,
    role: &RoleName,
    name: impl FnOnce() -> String,
) -> Result<Arc<[u8]>, Error> {
    bytes.ok_or_else(|| Error::new(ErrorKind::Missing(name())).in_role(role))
}
