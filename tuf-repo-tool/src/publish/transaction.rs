//! Signs one new state on top of the published one: what changed, then the snapshot, then the timestamp.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tuf_core::bins::HashBins;
use tuf_core::{
    Delegated, Delegation, Delegations, MetaFile, Metadata, RoleName, Scope, Snapshot, TargetFile,
    TargetPath, Targets, Timestamp, TopLevel,
};

use super::{Changes, Renewal, Summary};
use crate::config::RoleKind;
use crate::error::Error;
use crate::keys::Passphrases;
use crate::repository::{Published, Repository};
use crate::signing::{Signers, role_keys};
use crate::storage::NewFile;

/// A signed state that is not published yet.
#[derive(Debug)]
pub(super) struct Staged {
    /// Versioned files.
    pub(super) files: Vec<NewFile>,
    pub(super) timestamp: Vec<u8>,
    pub(super) summary: Summary,
}

/// Signs one new state on top of the published one.
pub(super) struct Transaction<'a> {
    repository: &'a Repository,
    published: Option<&'a Published>,
    signers: Signers<'a>,
    now: DateTime<Utc>,
    files: Vec<NewFile>,
    snapshot: Snapshot,
    snapshot_changed: bool,
    summary: Summary,
    /// Paths of metadata files that are there although they are not published.
    taken: &'a BTreeSet<String>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        published: Option<&'a Published>,
        passphrases: &'a mut Passphrases,
        taken: &'a BTreeSet<String>,
    ) -> Self {
        let now = repository.now();
        Self {
            repository,
            published,
            signers: Signers::new(repository, passphrases),
            now,
            files: Vec::new(),
            snapshot: published
                .map_or_else(|| Snapshot::new(now), |published| published.set().snapshot().value().clone()),
            snapshot_changed: published.is_none(),
            summary: Summary::default(),
            taken,
        }
    }

    pub(super) fn sign_all(&mut self, changes: &Changes, renewal: Renewal) -> Result<Option<Staged>, Error> {
        match self.published {
            None => self.first_targets(changes)?,
            Some(published) => {
                self.changed_targets(published, changes, renewal)?;
                self.renew_offline(published, renewal)?;
            }
        }
        self.sign_snapshot(renewal)?;
        self.sign_timestamp(renewal)
    }

    /// Whether a role is to be signed again for its age.
    fn is_due(&self, expires: DateTime<Utc>, kind: RoleKind, renewal: Renewal) -> Result<bool, Error> {
        let role = self.repository.config.role(kind)?;
        let left = expires - self.now;
        let old = left <= role.expires.delta() - role.renew_after();
        // One that is valid for longer than its period was signed before that was shortened.
        Ok(renewal != Renewal::None && (old || left > role.expires.delta()))
    }

    /// When a role signed now expires. Bins are spread over a sixth of their period, so that thousands do
    /// not fall due together.
    fn expires(&self, kind: RoleKind, role: &RoleName) -> Result<DateTime<Utc>, Error> {
        let period = self.repository.config.role(kind)?.expires.delta();
        let spread = match kind {
            RoleKind::BinN => {
                let share =
                    role.as_str().bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte));
                TimeDelta::seconds(period.num_seconds() / 6 * i64::from(share % 1000) / 1000)
            }
            _ => TimeDelta::zero(),
        };
        Ok(self.now + period - spread)
    }

    /// The first version from `version` on that is not known to be taken.
    fn free_version(&self, role: &RoleName, version: u64) -> u64 {
        let is_free =
            |version: &u64| !self.taken.contains(&Repository::metadata_path(&role.file_name(Some(*version))));
        (version..).find(is_free).unwrap_or(version)
    }

    /// Gives a role its version and expiry, signs it, and lists it in the snapshot.
    fn sign_targets(&mut self, role: &RoleName, kind: RoleKind, mut value: Targets) -> Result<(), Error> {
        let before = self.snapshot.role(role).map_or(0, |meta| meta.version);
        value.header.version = self.free_version(role, before + 1);
        value.header.expires = self.expires(kind, role)?;
        let version = value.header.version;
        let bytes = self.signers.sign(value, kind)?;
        // Thousands of bins with hashes would take the snapshot over the limits of every client.
        let meta = match kind {
            RoleKind::BinN => MetaFile::version(version),
            _ => MetaFile::of(version, &bytes),
        };
        self.snapshot.set_role(role, meta);
        self.snapshot_changed = true;
        self.add_file(role.file_name(Some(version)), bytes);
        Ok(())
    }

    fn add_file(&mut self, name: String, bytes: Vec<u8>) {
        self.summary.signed.push((name.clone(), bytes.len()));
        self.files.push(NewFile { path: Repository::metadata_path(&name), bytes });
    }

    /// Targets, bins and every hash bin of a repository that has published nothing yet.
    fn first_targets(&mut self, changes: &Changes) -> Result<(), Error> {
        let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        let targets = TopLevel::Targets.role();
        if !self.repository.config.has_bins() {
            let mut value = Targets::new(self.now);
            self.apply(&mut value, changes.iter());
            return self.sign_targets(&targets, RoleKind::Targets, value);
        }
        let bins = match self.repository.config.bins {
            Some(count) => HashBins::new(count).unwrap_or_else(|_| HashBins::for_targets(count.into())),
            None => HashBins::for_targets(count),
        };
        let mut parts: BTreeMap<RoleName, Vec<_>> =
            bins.roles().map(|(role, _)| (role, Vec::new())).collect();
        for (path, file) in changes.iter() {
            if let Some(part) = parts.get_mut(&bins.role_of(path)) {
                part.push((path, file));
            }
        }
        for (role, part) in parts {
            let mut value = Targets::new(self.now);
            self.apply(&mut value, part);
            self.sign_targets(&role, RoleKind::BinN, value)?;
        }

        let (bin_keys, keys) = role_keys(self.repository, RoleKind::BinN)?;
        let mut value = Targets::new(self.now);
        value.delegations = Some(Delegations::new(keys, Delegated::Roles(bins.delegations(&bin_keys))));
        let bins_role = bins_role();
        self.sign_targets(&bins_role, RoleKind::Bins, value)?;

        let (bins_keys, keys) = role_keys(self.repository, RoleKind::Bins)?;
        let prefixes = "0123456789abcdef".chars().map(String::from).collect();
        let delegation = Delegation::new(bins_role, bins_keys, Scope::PathHashPrefixes(prefixes));
        let mut value = Targets::new(self.now);
        value.delegations = Some(Delegations::new(keys, Delegated::Roles(vec![delegation])));
        self.sign_targets(&targets, RoleKind::Targets, value)
    }

    fn apply<'c>(
        &mut self,
        value: &mut Targets,
        changes: impl IntoIterator<Item = (&'c TargetPath, Option<&'c TargetFile>)>,
    ) -> bool {
        let (mut set, mut removed) = (Vec::new(), 0);
        for (path, file) in changes {
            match file {
                Some(file) if value.targets.get(path).as_ref() == Some(file) => {}
                Some(file) => set.push((path.clone(), file.clone())),
                None => removed += usize::from(value.targets.remove(path).is_some()),
            }
        }
        let changed = !set.is_empty() || removed > 0;
        self.summary.set += set.len();
        self.summary.removed += removed;
        value.targets.extend(set);
        changed
    }

    /// The roles that list files: those that changed, and those that are due.
    fn changed_targets(
        &mut self,
        published: &Published,
        changes: &Changes,
        renewal: Renewal,
    ) -> Result<(), Error> {
        let kind = if published.bins().is_some() { RoleKind::BinN } else { RoleKind::Targets };
        let mut by_role: BTreeMap<RoleName, Vec<(&TargetPath, Option<&TargetFile>)>> = BTreeMap::new();
        for (path, file) in changes.iter() {
            by_role.entry(published.owner_of(path)).or_default().push((path, file));
        }
        let roles: BTreeSet<RoleName> = match renewal {
            Renewal::None => by_role.keys().cloned().collect(),
            Renewal::All | Renewal::Online => published.listing_roles().into_iter().collect(),
        };
        for role in roles {
            let before = published.listing_role(&role)?;
            let mut value = before.value().clone();
            let changed = self.apply(&mut value, by_role.remove(&role).unwrap_or_default());
            let renews = kind == RoleKind::BinN || renewal == Renewal::All;
            if changed || (renews && self.is_due(before.header.expires, kind, renewal)?) {
                self.sign_targets(&role, kind, value)?;
            }
        }
        Ok(())
    }

    /// Targets and bins, if they are due. In production their keys are elsewhere; then an event signs them.
    fn renew_offline(&mut self, published: &Published, renewal: Renewal) -> Result<(), Error> {
        let Some((bins, _)) = published.bins().filter(|_| renewal == Renewal::All) else { return Ok(()) };
        if self.is_due(bins.header.expires, RoleKind::Bins, renewal)? {
            self.sign_targets(bins.role_name(), RoleKind::Bins, bins.value().clone())?;
        }
        let targets = published.set().targets();
        if self.is_due(targets.header.expires, RoleKind::Targets, renewal)? {
            self.sign_targets(targets.role_name(), RoleKind::Targets, targets.value().clone())?;
        }
        Ok(())
    }

    fn sign_snapshot(&mut self, renewal: Renewal) -> Result<(), Error> {
        let due = self.is_due(self.snapshot.header.expires, RoleKind::Snapshot, renewal)?;
        if !self.snapshot_changed && !due {
            return Ok(());
        }
        let role = TopLevel::Snapshot.role();
        let before = self.published.map_or(0, |published| published.set().snapshot().header.version);
        self.snapshot.header.version = self.free_version(&role, before + 1);
        self.snapshot.header.expires = self.expires(RoleKind::Snapshot, &role)?;
        self.snapshot_changed = true;
        let bytes = self.signers.sign(self.snapshot.clone(), RoleKind::Snapshot)?;
        self.add_file(role.file_name(Some(self.snapshot.header.version)), bytes);
        Ok(())
    }

    fn sign_timestamp(&mut self, renewal: Renewal) -> Result<Option<Staged>, Error> {
        let before = self.published.map(|published| published.set().timestamp());
        let due = match before {
            Some(before) => self.is_due(before.header.expires, RoleKind::Timestamp, renewal)?,
            None => true,
        };
        if !self.snapshot_changed && !due {
            return Ok(None);
        }
        let role = TopLevel::Timestamp.role();
        let expires = self.expires(RoleKind::Timestamp, &role)?;
        let meta = match (self.files.last(), before) {
            (Some(file), _) if self.snapshot_changed => {
                MetaFile::of(self.snapshot.header.version, &file.bytes)
            }
            (_, Some(before)) => before.snapshot.clone(),
            // A first publish always signs a snapshot.
            (_, None) => MetaFile::version(self.snapshot.header.version),
        };
        let mut value = match before {
            Some(before) => before.value().clone(),
            None => Timestamp::new(expires, meta.clone()),
        };
        value.snapshot = meta;
        value.header_mut().expires = expires;
        value.header_mut().version = before.map_or(0, |before| before.header.version) + 1;
        self.summary.timestamp = value.header.version;
        self.summary.snapshot = value.snapshot.version;
        let timestamp = self.signers.sign(value, RoleKind::Timestamp)?;
        self.summary.signed.push((role.file_name(None), timestamp.len()));
        Ok(Some(Staged {
            files: std::mem::take(&mut self.files),
            timestamp,
            summary: std::mem::take(&mut self.summary),
        }))
    }
}

/// The role between `targets` and the hash bins (PEP 458).
#[must_use]
pub fn bins_role() -> RoleName {
    // A constant name that is valid.
    RoleName::new("bins").unwrap_or_else(|_| TopLevel::Targets.role())
}
