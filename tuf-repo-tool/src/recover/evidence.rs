//! What is known of the past: files of the storage, which whoever had the keys may have written, and of a copy, which they
//! had not in their hands.

use std::path::Path;
use std::sync::Arc;

use tuf_core::trust::{Authentic, Authority, RootChain};
use tuf_core::{
    Envelope, Error as Refusal, Limits, Metadata, RoleName, Root, Snapshot, Targets, Timestamp, TopLevel,
};

use super::RecoverError;
use crate::error::Error;
use crate::publish::Listed;
use crate::repository::Repository;
use crate::storage::{LocalStorage, METADATA_LIMIT, Storage};

/// The roots, which nobody could forge, and where other files are read.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) repository: &'a Repository,
    pub(super) archive: Option<LocalStorage>,
    pub(super) limits: Arc<Limits>,
    /// Every root from the first.
    pub(super) roots: Vec<Authentic<Root>>,
}

/// What clients get now.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// `timestamp.json`; `None` if there is none.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) timestamp: Option<Authentic<Timestamp>>,
    pub(super) snapshot: Option<Authentic<Snapshot>>,
    /// Why clients refuse it.
    pub(super) problem: Option<String>,
}

impl Found {
    /// The SHA-256 of `timestamp.json`, in hex; `none` if there is none.
    pub(super) fn sha256(&self) -> String {
        self.bytes.as_deref().map_or_else(|| "none".to_owned(), sha256)
    }
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    tuf_core::Hashes::of(bytes).preferred().unwrap_or_default()
}

impl<'a> Evidence<'a> {
    pub(super) fn read(repository: &'a Repository, archive: Option<&Path>) -> Result<Self, Error> {
        if let Some(path) = archive.filter(|path| !path.join("metadata").is_dir()) {
            let reason = "it has no directory metadata".to_owned();
            return Err(RecoverError::Archive { path: path.to_owned(), reason }.into());
        }
        // Nothing is written there.
        let archive = archive.map(|path| LocalStorage::new(path, &repository.state()));
        let mut evidence = Self {
            repository,
            archive,
            limits: Arc::new(crate::repository::repository_limits()),
            roots: Vec::new(),
        };
        evidence.read_roots()?;
        Ok(evidence)
    }

    /// The copy in the repository's directory counts as well: the newest root may be missing elsewhere.
    fn read_roots(&mut self) -> Result<(), Error> {
        let copy: Option<Arc<[u8]>> =
            std::fs::read(self.repository.directory().join("root.json")).ok().map(Into::into);
        let mut chain: Option<RootChain> = None;
        for version in 1_u64.. {
            let name = format!("{version}.root.json");
            let candidates =
                [self.archived(&name)?, self.published(&name)?, copy.as_ref().map(|copy| copy.to_vec())];
            let next = candidates.into_iter().flatten().find_map(|bytes| {
                let bytes = Arc::from(bytes);
                match &chain {
                    None => RootChain::pinned(&bytes, Arc::clone(&self.limits))
                        .ok()
                        .filter(|chain| chain.root().header.version == 1),
                    Some(chain) => chain.next(&bytes).ok(),
                }
            });
            let Some(next) = next else { break };
            self.roots.push(next.root().clone());
            chain = Some(next);
        }
        if self.roots.is_empty() {
            let path = Repository::metadata_path("1.root.json");
            return Err(Error::Missing { storage: self.repository.storage().url(), path });
        }
        Ok(())
    }

    /// The newest root. There is always one.
    pub(super) fn root(&self) -> Result<&Authentic<Root>, Error> {
        self.roots.last().ok_or_else(|| RecoverError::NotUnderWay.into())
    }

    fn archived(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match &self.archive {
            Some(archive) => Ok(archive.read(&Repository::metadata_path(name), METADATA_LIMIT)?),
            None => Ok(None),
        }
    }

    fn published(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.repository.read_metadata(name)
    }

    /// A file as it was when all was well: the copy is believed before the storage.
    pub(super) fn good(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.archived(name)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.published(name),
        }
    }

    /// A file as clients got it.
    pub(super) fn seen(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.published(name)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.archived(name),
        }
    }

    /// The timestamp of the copy.
    pub(super) fn archived_timestamp(&self) -> Result<Option<Authentic<Timestamp>>, Error> {
        let bytes = self.archived("timestamp.json")?;
        Ok(bytes.and_then(|bytes| self.by_any_root::<Timestamp>(bytes).ok()))
    }

    /// A file of a top-level role that any root's keys signed: they may have been replaced since.
    pub(super) fn by_any_root<T: Metadata>(&self, bytes: Vec<u8>) -> Result<Authentic<T>, Refusal> {
        let envelope = Envelope::parse(bytes, &self.limits)?;
        let mut refused = None;
        for root in self.roots.iter().rev() {
            match by_root(root, &envelope, &self.limits) {
                Ok(file) => return Ok(file),
                Err(error) => drop(refused.get_or_insert(error)),
            }
        }
        Err(refused.unwrap_or_else(|| tuf_core::ErrorKind::Missing("root.json".to_owned()).into()))
    }

    /// What clients get now, as far as it verifies.
    pub(super) fn found(&self) -> Result<Found, Error> {
        let bytes = self.published("timestamp.json")?;
        let mut found = Found { bytes, timestamp: None, snapshot: None, problem: None };
        let Some(bytes) = &found.bytes else {
            found.problem = Some("there is no timestamp.json".to_owned());
            return Ok(found);
        };
        let root = self.root()?;
        let verify =
            |bytes: Vec<u8>| by_root::<Timestamp>(root, &Envelope::parse(bytes, &self.limits)?, &self.limits);
        match verify(bytes.clone()) {
            Ok(timestamp) => found.timestamp = Some(timestamp),
            Err(error) => {
                found.problem = Some(tuf_client::chain(&error));
                return Ok(found);
            }
        }
        let Some(meta) = found.timestamp.as_ref().map(|timestamp| timestamp.snapshot.clone()) else {
            return Ok(found);
        };
        match self.snapshot(meta.version) {
            Ok((snapshot, _)) => found.snapshot = Some(snapshot),
            Err(error) => found.problem = Some(tuf_client::chain(&error)),
        }
        Ok(found)
    }

    /// A snapshot as clients got it, and its SHA-256.
    pub(super) fn snapshot(&self, version: u64) -> Result<(Authentic<Snapshot>, String), Error> {
        self.snapshot_in(version, self.seen(&format!("{version}.snapshot.json"))?)
    }

    /// A snapshot as it was when all was well, and its SHA-256.
    pub(super) fn good_snapshot(&self, version: u64) -> Result<(Authentic<Snapshot>, String), Error> {
        self.snapshot_in(version, self.good(&format!("{version}.snapshot.json"))?)
    }

    fn snapshot_in(
        &self,
        version: u64,
        bytes: Option<Vec<u8>>,
    ) -> Result<(Authentic<Snapshot>, String), Error> {
        let refused = |reason: String| RecoverError::KnownGood { version, reason };
        let bytes = bytes.ok_or_else(|| refused(format!("there is no {version}.snapshot.json")))?;
        let sum = sha256(&bytes);
        let snapshot =
            self.by_any_root::<Snapshot>(bytes).map_err(|error| refused(tuf_client::chain(&error)))?;
        if snapshot.header.version != version {
            return Err(
                refused(format!("{version}.snapshot.json has version {}", snapshot.header.version)).into()
            );
        }
        Ok((snapshot, sum))
    }

    /// The versions of all snapshots in the storage after `version`, in order.
    pub(super) fn later_snapshots(&self, version: u64, listed: impl Iterator<Item = &'a str>) -> Vec<u64> {
        let number =
            |path: &str| path.strip_prefix("metadata/")?.strip_suffix(".snapshot.json")?.parse::<u64>().ok();
        let mut later: Vec<u64> = listed.filter_map(number).filter(|found| *found > version).collect();
        later.sort_unstable();
        later
    }

    /// A targets role, on the word of its delegator; of root for `targets`.
    pub(super) fn targets(
        &self,
        role: &RoleName,
        by: Option<&Authentic<Targets>>,
        bytes: Vec<u8>,
    ) -> Result<Authentic<Targets>, Error> {
        let envelope = Envelope::parse(bytes, &self.limits).map_err(Error::Published)?;
        let verified = match by {
            None => by_root(self.root()?, &envelope, &self.limits),
            Some(by) => {
                let delegations = by.delegations.as_ref();
                let listed = delegations.and_then(|to| Some(Listed::of((&to.keys, &to.role_keys(role)?))));
                let none = || Error::Published(tuf_core::ErrorKind::Missing(role.to_string()).into());
                let listed = listed.ok_or_else(none)?;
                let authority = Authority::new(by.role_name(), by.header.version, &listed.keys, &listed.role);
                authority.verify(role, &envelope, &self.limits)
            }
        };
        verified.map_err(Error::Published)
    }
}

fn by_root<T: Metadata>(
    root: &Authentic<Root>,
    envelope: &Envelope,
    limits: &Limits,
) -> Result<Authentic<T>, Refusal> {
    let role = T::KIND.role();
    let by = TopLevel::Root.role();
    Authority::new(&by, root.header.version, &root.keys, root.role(T::KIND)).verify(&role, envelope, limits)
}
