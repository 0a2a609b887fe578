//! Signs one new state on top of the published one: what changed, then the snapshot, then the timestamp.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tuf_core::{
    MetaFile, Metadata, RoleName, Root, Snapshot, TargetFile, TargetPath, Targets, Timestamp, TopLevel,
};

use super::expiry::Expiries;
use super::first::first_tree;
use super::pen::Pen;
use super::root::stands;
use super::spread::{self, Ripeness};
use super::{Changes, Listed, Renewal, SignedElsewhere, Summary};
use crate::config::{RoleKind, section};
use crate::edit::{Edit, EditError, NamedBins, Tree, Visit, event_for};
use crate::error::Error;
use crate::repository::{Published, Repository};
use crate::rotate::overlapping;
use crate::storage::NewFile;

/// A signed state that is not published yet.
#[derive(Debug)]
pub(super) struct Staged {
    /// Versioned files.
    pub(super) files: Vec<NewFile>,
    pub(super) timestamp: Vec<u8>,
    pub(super) summary: Summary,
    pub(super) expiries: Expiries,
}

/// How a role changes, for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) visit: Visit,
    pub(super) version: u64,
    pub(super) bytes: usize,
    pub(super) set: Vec<(TargetPath, Option<TargetFile>, TargetFile)>,
    pub(super) removed: Vec<(TargetPath, TargetFile)>,
    pub(super) due: bool,
}

/// Signs one new state on top of the published one.
pub(super) struct Transaction<'a> {
    repository: &'a Repository,
    published: Option<&'a Published>,
    pub(super) pen: Pen<'a>,
    now: DateTime<Utc>,
    files: Vec<NewFile>,
    snapshot: Snapshot,
    snapshot_changed: bool,
    summary: Summary,
    /// Paths of metadata files that are there although they are not published.
    taken: &'a BTreeSet<String>,
    expiries: Expiries,
    entries: Vec<(RoleName, MetaFile)>,
    /// What is told of each role, if this is a plan.
    pub(super) told: Option<Vec<Signed>>,
    /// By section of the settings: why roles that are only due were passed over.
    pub(super) postponed: BTreeMap<String, Error>,
}

/// Changes of targets, by the role that lists them.
type ByRole<'c> = BTreeMap<RoleName, (Option<RoleName>, Vec<(&'c TargetPath, Option<&'c TargetFile>)>)>;

impl<'a> Transaction<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        published: Option<&'a Published>,
        pen: Pen<'a>,
        taken: &'a BTreeSet<String>,
    ) -> Self {
        let now = repository.now();
        let snapshot = match published {
            Some(published) => published.set().snapshot().value().clone(),
            None => Snapshot::new(now),
        };
        Self {
            repository,
            published,
            pen,
            now,
            files: Vec::new(),
            snapshot,
            snapshot_changed: published.is_none(),
            summary: Summary::default(),
            taken,
            expiries: Expiries::load(repository),
            entries: Vec::new(),
            told: None,
            postponed: BTreeMap::new(),
        }
    }

    pub(super) fn sign_all(&mut self, changes: &Changes, renewal: Renewal) -> Result<Option<Staged>, Error> {
        let mut tree = match self.published {
            None => first_tree(self.repository, u64::try_from(changes.len()).unwrap_or(u64::MAX))?,
            Some(published) => Tree::new(published),
        };
        for edit in changes.edits() {
            tree.make(edit, self.now)?;
        }
        self.take_signed(&mut tree, changes.elsewhere())?;
        let mut by_role = route(&mut tree, changes)?;
        for role in tree.edited() {
            let delegator = tree.delegator(&role).cloned();
            by_role.entry(role).or_insert_with(|| (delegator, Vec::new()));
        }
        let due = self.due(&mut tree, changes, renewal)?;
        let edits = changes.edits();
        for visit in &due {
            by_role.entry(visit.role.clone()).or_insert_with(|| (visit.delegator.clone(), Vec::new()));
        }
        let due: BTreeSet<_> = due.into_iter().map(|visit| visit.role).collect();
        by_role.retain(|role, _| !changes.elsewhere().has(role));
        for (role, (delegator, changes)) in by_role {
            let visit = Visit { role, delegator };
            let is_due = due.contains(&visit.role);
            let done = self.change_role(&mut tree, visit, changes, is_due);
            done.map_err(|error| with_event(error, edits))?;
        }
        self.snapshot.meta.extend(std::mem::take(&mut self.entries));
        self.sign_snapshot(changes.elsewhere(), renewal, removes(changes))?;
        self.sign_timestamp(changes.elsewhere(), renewal)
    }

    /// Files that were signed elsewhere come into the snapshot as they are.
    fn take_signed(&mut self, tree: &mut Tree<'_>, elsewhere: &SignedElsewhere) -> Result<(), Error> {
        for (role, file) in elsewhere.files() {
            tree.replace(role, &file.value, |below| elsewhere.has(below))?;
            let visit = Visit { role: role.clone(), delegator: tree.delegator(role).cloned() };
            let (version, expires) = (file.value.header.version, file.value.header.expires);
            self.entries.push((role.clone(), MetaFile::of(version, file.text.as_bytes())));
            self.snapshot_changed = true;
            self.expiries.set(&visit, version, expires);
            self.add_file(role.file_name(Some(version)), file.text.clone().into_bytes());
        }
        Ok(())
    }

    /// The targets roles whose signing period is over. In production the keys of targets and bins are elsewhere; then
    /// an event signs them.
    fn due(&mut self, tree: &mut Tree<'_>, changes: &Changes, renewal: Renewal) -> Result<Vec<Visit>, Error> {
        let Some(published) = self.published.filter(|_| renewal != Renewal::None) else {
            return Ok(Vec::new());
        };
        // What is published, not what is to be.
        match changes.edits().is_empty() {
            true => self.expiries.complete(published, tree)?,
            false => self.expiries.complete(published, &mut Tree::new(published))?,
        }
        let kept: Option<BTreeSet<_>> = match removes(changes) {
            true => Some(tree.all()?.into_iter().map(|visit| visit.role).collect()),
            false => None,
        };
        let mut roles = Vec::new();
        for (visit, expires) in self.expiries.iter() {
            let Some(terms) = self.repository.config.terms(&visit.role) else { continue };
            let wanted = renewal == Renewal::All || !matches!(visit.role.as_str(), "targets" | "bins");
            if wanted && kept.as_ref().is_none_or(|kept| kept.contains(&visit.role)) {
                let left = expires - self.now;
                let ripeness = Ripeness::of(left, &visit.role, terms.expires, terms.renew_after);
                roles.push((visit, ripeness));
            }
        }
        let due = spread::pick(roles);
        for delegator in due.iter().filter_map(|visit| visit.delegator.as_ref()) {
            tree.find(delegator)?;
        }
        Ok(due)
    }

    /// Signs a role again if anything in it changes, or if it is due.
    fn change_role(
        &mut self,
        tree: &mut Tree<'_>,
        visit: Visit,
        changes: Vec<(&TargetPath, Option<&TargetFile>)>,
        is_due: bool,
    ) -> Result<(), Error> {
        let node = tree.take(&visit.role, visit.delegator.as_ref())?;
        let must = node.is_edited();
        let Some(mut value) = node.into_value() else { return Ok(()) };
        let told = self.told.is_some().then(|| value.targets.clone());
        let changed = self.apply(&mut value, &changes);
        if !(changed || must || is_due) {
            return Ok(());
        }
        let wanted = changed || must;
        // What failed for one hash bin is not asked of the next: a token counts the tries.
        let section = section(&visit.role).into_owned();
        if !wanted && self.postponed.contains_key(&section) {
            return Ok(());
        }
        match self.sign_targets(tree, &visit, value) {
            Ok((version, bytes)) => {
                if let Some(told) = told {
                    let due = is_due && !wanted;
                    self.tell(visit, version, bytes, &told, &changes, due);
                }
                Ok(())
            }
            // Keys that are elsewhere, or fail, must not keep what has others from being renewed.
            Err(error) if !wanted && error.is_of_keys() => {
                self.postponed.insert(section, error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn tell(
        &mut self,
        visit: Visit,
        version: u64,
        bytes: usize,
        before: &tuf_core::TargetMap,
        changes: &[(&TargetPath, Option<&TargetFile>)],
        due: bool,
    ) {
        let mut signed = Signed { visit, version, bytes, set: Vec::new(), removed: Vec::new(), due };
        for (path, file) in changes {
            match (before.get(path), file) {
                (before, Some(file)) if before.as_ref() != Some(*file) => {
                    signed.set.push(((*path).clone(), before, (*file).clone()));
                }
                (Some(before), None) => signed.removed.push(((*path).clone(), before)),
                _ => {}
            }
        }
        self.told.get_or_insert_default().push(signed);
    }

    /// The first version from `version` on that is not known to be taken.
    fn free_version(&self, role: &RoleName, version: u64) -> u64 {
        let is_free =
            |version: &u64| !self.taken.contains(&Repository::metadata_path(&role.file_name(Some(*version))));
        (version..).find(is_free).unwrap_or(version)
    }

    /// Gives a role its version and expiry, signs it, and lists it in the snapshot. A name that was used before and
    /// removed goes on above its old version, as the snapshot still has that.
    fn sign_targets(
        &mut self,
        tree: &Tree<'_>,
        visit: &Visit,
        mut value: Targets,
    ) -> Result<(u64, usize), Error> {
        let Visit { role, delegator } = visit;
        let before = self.snapshot.role(role).map_or(0, |meta| meta.version);
        value.header.version = self.free_version(role, before + 1);
        let terms = self.repository.config.terms(role);
        let period = terms.map_or(TimeDelta::days(365), |terms| terms.expires);
        value.header.expires = spread::expires(self.now, period, role);
        let (version, expires) = (value.header.version, value.header.expires);
        let listed = match delegator {
            Some(delegator) => tree.authority(delegator, role).into_iter().collect(),
            None => self.listed(TopLevel::Targets, RoleKind::Targets, None)?,
        };
        let keys = terms.map_or(&[][..], |terms| terms.keys);
        let bytes = self.pen.write(role, value, keys, &listed)?;
        // Thousands of bins with hashes would take the snapshot over the limits of every client.
        let meta = match NamedBins::split(role) {
            Some(_) => MetaFile::version(version),
            None => MetaFile::of(version, &bytes),
        };
        self.entries.push((role.clone(), meta));
        self.snapshot_changed = true;
        self.expiries.set(visit, version, expires);
        let length = bytes.len();
        self.add_file(role.file_name(Some(version)), bytes);
        Ok((version, length))
    }

    /// Everybody on whose word a top-level role will be verified: the published root and the one that comes, or the
    /// settings before there is one.
    fn listed(&self, role: TopLevel, kind: RoleKind, next: Option<&Root>) -> Result<Vec<Listed>, Error> {
        let Some(published) = self.published else {
            return Ok(vec![Listed::configured(self.repository, kind)?]);
        };
        let root = published.set().root().value();
        let mut listed: Vec<_> =
            std::iter::once(root).chain(next).map(|root| Listed::of_root(root, role)).collect();
        // And, after a rotation, whoever has not got the published one yet.
        listed.extend(overlapping(self.repository, root, role)?);
        Ok(listed)
    }

    /// Signs a role that root delegates to, under the published root and the one that comes.
    fn sign_top<T: Metadata>(
        &mut self,
        value: T,
        kind: RoleKind,
        elsewhere: &SignedElsewhere,
    ) -> Result<Vec<u8>, Error> {
        let next = elsewhere.next_root_value();
        let listed = self.listed(T::KIND, kind, next)?;
        let config = self.repository.config.role(kind)?;
        let bytes = self.pen.write(&T::KIND.role(), value, &config.keys, &listed)?;
        if let Some(next) = next {
            stands::<T>(next, &bytes)?;
        }
        Ok(bytes)
    }

    fn add_file(&mut self, name: String, bytes: Vec<u8>) {
        self.summary.signed.push((name.clone(), bytes.len()));
        self.files.push(NewFile { path: Repository::metadata_path(&name), bytes });
    }

    fn apply(&mut self, value: &mut Targets, changes: &[(&TargetPath, Option<&TargetFile>)]) -> bool {
        let (mut set, mut removed) = (Vec::new(), 0);
        for (path, file) in changes {
            match file {
                Some(file) if value.targets.get(path).as_ref() == Some(*file) => {}
                Some(file) => set.push(((*path).clone(), (*file).clone())),
                None => removed += usize::from(value.targets.remove(path).is_some()),
            }
        }
        let changed = !set.is_empty() || removed > 0;
        self.summary.set += set.len();
        self.summary.removed += removed;
        value.targets.extend(set);
        changed
    }

    fn is_due(&self, expires: DateTime<Utc>, kind: RoleKind, renewal: Renewal) -> Result<bool, Error> {
        let role = self.repository.config.role(kind)?;
        let due = spread::is_due(expires - self.now, role.expires.delta(), role.renew_after());
        Ok(renewal != Renewal::None && due)
    }

    fn sign_snapshot(
        &mut self,
        elsewhere: &SignedElsewhere,
        renewal: Renewal,
        gone: bool,
    ) -> Result<(), Error> {
        let due = self.is_due(self.snapshot.header.expires, RoleKind::Snapshot, renewal)?;
        // Under another root other keys must have signed it, and the timestamp with it.
        let other_root = elsewhere.next_root().is_some();
        if !self.snapshot_changed && !due && !other_root {
            return Ok(());
        }
        let role = TopLevel::Snapshot.role();
        let before = self.published.map_or(0, |published| published.set().snapshot().header.version);
        let config = self.repository.config.role(RoleKind::Snapshot)?;
        self.snapshot.header.version = self.free_version(&role, before + 1);
        self.snapshot.header.expires = self.now + config.expires.delta();
        self.snapshot_changed = true;
        let bytes = self.sign_top(self.snapshot.clone(), RoleKind::Snapshot, elsewhere)?;
        self.expiries.follow(self.published, &self.snapshot, &bytes, gone);
        self.add_file(role.file_name(Some(self.snapshot.header.version)), bytes);
        Ok(())
    }

    fn sign_timestamp(
        &mut self,
        elsewhere: &SignedElsewhere,
        renewal: Renewal,
    ) -> Result<Option<Staged>, Error> {
        let before = self.published.map(|published| published.set().timestamp());
        let due = match before {
            Some(before) => self.is_due(before.header.expires, RoleKind::Timestamp, renewal)?,
            None => true,
        };
        if !self.snapshot_changed && !due {
            return Ok(None);
        }
        let role = TopLevel::Timestamp.role();
        let config = self.repository.config.role(RoleKind::Timestamp)?;
        let expires = self.now + config.expires.delta();
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
        let timestamp = self.sign_top(value, RoleKind::Timestamp, elsewhere)?;
        self.summary.signed.push((role.file_name(None), timestamp.len()));
        Ok(Some(Staged {
            files: std::mem::take(&mut self.files),
            timestamp,
            summary: std::mem::take(&mut self.summary),
            expiries: std::mem::take(&mut self.expiries),
        }))
    }
}

/// Says which event takes the edits that are signed elsewhere.
fn with_event(mut error: Error, edits: &[Edit]) -> Error {
    if let Error::Edit(EditError::SignedElsewhere { role, staged, .. }) = &mut error {
        *staged = event_for(edits, role);
    }
    error
}

/// Whether a role goes, and with it those below it.
fn removes(changes: &Changes) -> bool {
    changes.edits().iter().any(|edit| matches!(edit, Edit::RemoveDelegation { .. } | Edit::EditBins(_)))
}

/// Which role each change is for.
fn route<'c>(tree: &mut Tree<'_>, changes: &'c Changes) -> Result<ByRole<'c>, Error> {
    let mut by_role = ByRole::new();
    for (path, change) in changes.targets() {
        let visits = match (&change.role, &change.file) {
            (Some(role), file) => vec![tree.owner_named(path, role, file.is_some())?],
            (None, Some(_)) => vec![tree.owner(path)?],
            (None, None) => tree.listers(path)?,
        };
        for Visit { role, delegator } in visits {
            by_role
                .entry(role)
                .or_insert_with(|| (delegator, Vec::new()))
                .1
                .push((path, change.file.as_ref()));
        }
    }
    Ok(by_role)
}
