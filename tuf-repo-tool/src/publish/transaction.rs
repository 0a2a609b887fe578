//! Signs one new state on top of the published one: what changed, then the snapshot, then the timestamp.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use tracing::debug_span;
use tuf_core::{MetaFile, Metadata, RoleName, Root, Snapshot, TargetFile, TargetPath, Timestamp, TopLevel};

use super::expiry::Expiries;
use super::first::first_tree;
use super::many::{self, Desk, Gist, Next, Wish};
use super::pen::Pen;
use super::root::stands;
use super::spread::{self, Ripeness};
use super::{Changes, Listed, Renewal, SignedElsewhere, Summary};
use crate::config::{RoleKind, Terms, section};
use crate::edit::{Edit, EditError, NamedBins, Tree, Visit, event_for, is_here};
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
    desk: Desk<'a>,
    files: Vec<NewFile>,
    snapshot_changed: bool,
    summary: Summary,
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
            desk: Desk { repository, snapshot, taken, now },
            files: Vec::new(),
            snapshot_changed: published.is_none(),
            summary: Summary::default(),
            expiries: Expiries::load(repository),
            entries: Vec::new(),
            told: None,
            postponed: BTreeMap::new(),
        }
    }

    pub(super) fn sign_all(&mut self, changes: &Changes, renewal: Renewal) -> Result<Option<Staged>, Error> {
        let mut tree = match self.published {
            None => first_tree(self.repository, u64::try_from(changes.len()).unwrap_or(u64::MAX))?,
            Some(published) => Tree::knowing(published, self.expiries.known(published)),
        };
        for edit in changes.edits() {
            tree.make(edit, self.desk.now)?;
        }
        self.take_signed(&mut tree, changes.elsewhere())?;
        let mut by_role = debug_span!("route").in_scope(|| route(&mut tree, changes))?;
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
        let wish = |(role, (delegator, changes)): (RoleName, (Option<RoleName>, Vec<_>))| {
            let is_due = due.contains(&role);
            Wish { visit: Visit { role, delegator }, changes, is_due }
        };
        for run in many::runs(by_role.into_iter().map(wish).collect()) {
            self.change_run(&mut tree, run).map_err(|error| with_event(error, edits))?;
        }
        self.desk.snapshot.meta.extend(std::mem::take(&mut self.entries));
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
            self.expiries.set(&visit, version, expires, file.value.targets.len());
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
        let is_online = |role: &RoleName| !matches!(role.as_str(), "targets" | "bins");
        let now = self.desk.now;
        // Clients refuse a snapshot in which any role has a lower version than they saw, so this cannot wait for an event.
        let is_raised = |role: &RoleName, terms: &Terms<'_>| {
            self.desk.least() > 0
                && (is_online(role) || terms.keys.iter().all(|uri| is_here(uri, self.repository)))
        };
        let mut ripe = self.expiries.select(
            |role| {
                let terms = self.repository.config.terms(role)?;
                let (renewed, raised) = (renewal == Renewal::All || is_online(role), is_raised(role, &terms));
                (renewed || raised).then(|| (spread::ahead(role, terms.expires), renewed, raised, terms))
            },
            |(ahead, renewed, raised, terms), row| match row.expires() {
                _ if *raised && self.desk.is_below(row.version) => Ripeness::Ripe,
                Some(expires) if *renewed => {
                    Ripeness::of(expires - now, *ahead, terms.expires, terms.renew_after)
                }
                _ => Ripeness::Unripe,
            },
        );
        let is_low = |role: &RoleName| {
            self.desk.snapshot.role(role).is_some_and(|meta| self.desk.is_below(meta.version))
        };
        let mut gone =
            ripe.iter().filter(|(visit, _)| kept.as_ref().is_some_and(|kept| !kept.contains(&visit.role)));
        if let Some((visit, _)) = gone.find(|(visit, _)| is_low(&visit.role)) {
            return Err(EditError::TooEarly { role: visit.role.clone() }.into());
        }
        ripe.retain(|(visit, _)| kept.as_ref().is_none_or(|kept| kept.contains(&visit.role)));
        let due = spread::pick(ripe);
        tree.prepare(due.iter().filter_map(|visit| visit.delegator.as_ref()))?;
        Ok(due)
    }

    /// Signs roles again in which anything changes, or which are due: hash bins together, if their keys allow that.
    fn change_run(&mut self, tree: &mut Tree<'_>, run: Vec<Wish<'_>>) -> Result<(), Error> {
        let listed: Vec<_> = run.iter().map(|wish| authority(tree, &wish.visit)).collect();
        if let (Pen::Sign(signers), [first, rest @ ..]) = (&mut self.pen, &*listed)
            && let Some(listed) = first.as_ref().map(std::slice::from_ref)
            && !rest.is_empty()
            && rest.iter().all(|next| next == first)
            && let Some(terms) = run.first().and_then(|wish| self.repository.config.terms(&wish.visit.role))
            && let Some(team) = signers.team(terms.keys, listed)
        {
            for (visit, gist, bytes) in many::sign(&self.desk, tree, &team, run)? {
                self.note(&visit, &gist, bytes);
            }
            return Ok(());
        }
        run.into_iter().try_for_each(|wish| self.change_role(tree, &wish))
    }

    fn change_role(&mut self, tree: &mut Tree<'_>, wish: &Wish<'_>) -> Result<(), Error> {
        let Wish { visit, changes, .. } = wish;
        let node = tree.take(&visit.role, visit.delegator.as_ref())?;
        let Some(Next { value, gist }) = self.desk.next(node, wish) else { return Ok(()) };
        // What failed for one hash bin is not asked of the next: a token counts the tries.
        let section = section(&visit.role).into_owned();
        if !gist.wanted && self.postponed.contains_key(&section) {
            return Ok(());
        }
        let listed = match &visit.delegator {
            Some(_) => authority(tree, visit).into_iter().collect(),
            None => self.listed(TopLevel::Targets, RoleKind::Targets, None)?,
        };
        let terms = self.repository.config.terms(&visit.role);
        let keys = terms.map_or(&[][..], |terms| terms.keys);
        match self.pen.write(&visit.role, value, keys, &listed) {
            Ok(bytes) => {
                self.tell(visit, &gist, bytes.len(), changes);
                self.note(visit, &gist, bytes);
                Ok(())
            }
            // Keys that are elsewhere, or fail, must not keep what has others from being renewed.
            Err(error) if !gist.wanted && error.is_of_keys() => {
                self.postponed.insert(section, error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lists a signed role in the snapshot.
    fn note(&mut self, visit: &Visit, gist: &Gist, bytes: Vec<u8>) {
        let (role, version) = (&visit.role, gist.version);
        // Thousands of bins with hashes would take the snapshot over the limits of every client.
        let meta = match NamedBins::split(role) {
            Some(_) => MetaFile::version(version),
            None => MetaFile::of(version, &bytes),
        };
        self.entries.push((role.clone(), meta));
        self.snapshot_changed = true;
        self.expiries.set(visit, version, gist.expires, gist.targets);
        self.summary.set += gist.set;
        self.summary.removed += gist.removed;
        self.add_file(role.file_name(Some(version)), bytes);
    }

    fn tell(
        &mut self,
        visit: &Visit,
        gist: &Gist,
        bytes: usize,
        changes: &[(&TargetPath, Option<&TargetFile>)],
    ) {
        let Some(told) = &mut self.told else { return };
        let (version, due) = (gist.version, !gist.wanted);
        let visit = visit.clone();
        let mut signed = Signed { visit, version, bytes, set: Vec::new(), removed: Vec::new(), due };
        for (path, file) in changes {
            match (gist.before.get(path), file) {
                (before, Some(file)) if before.as_ref() != Some(*file) => {
                    signed.set.push(((*path).clone(), before, (*file).clone()));
                }
                (Some(before), None) => signed.removed.push(((*path).clone(), before)),
                _ => {}
            }
        }
        told.push(signed);
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

    fn is_due(&self, expires: DateTime<Utc>, kind: RoleKind, renewal: Renewal) -> Result<bool, Error> {
        let role = self.repository.config.role(kind)?;
        let due = spread::is_due(expires - self.desk.now, role.expires.delta(), role.renew_after());
        Ok(renewal != Renewal::None && due)
    }

    fn sign_snapshot(
        &mut self,
        elsewhere: &SignedElsewhere,
        renewal: Renewal,
        gone: bool,
    ) -> Result<(), Error> {
        let below = renewal != Renewal::None && self.desk.is_below(self.desk.snapshot.header.version);
        let due = below || self.is_due(self.desk.snapshot.header.expires, RoleKind::Snapshot, renewal)?;
        // Under another root other keys must have signed it, and the timestamp with it.
        let other_root = elsewhere.next_root().is_some();
        if !self.snapshot_changed && !due && !other_root {
            return Ok(());
        }
        let role = TopLevel::Snapshot.role();
        let before = self.published.map_or(0, |published| published.set().snapshot().header.version);
        let config = self.repository.config.role(RoleKind::Snapshot)?;
        self.desk.snapshot.header.version = self.desk.free_version(&role, before.saturating_add(1));
        self.desk.snapshot.header.expires = self.desk.now + config.expires.delta();
        self.snapshot_changed = true;
        let bytes = self.sign_top(self.desk.snapshot.clone(), RoleKind::Snapshot, elsewhere)?;
        self.expiries.follow(self.published, &self.desk.snapshot, &bytes, gone);
        self.add_file(role.file_name(Some(self.desk.snapshot.header.version)), bytes);
        Ok(())
    }

    fn sign_timestamp(
        &mut self,
        elsewhere: &SignedElsewhere,
        renewal: Renewal,
    ) -> Result<Option<Staged>, Error> {
        let before = self.published.map(|published| published.set().timestamp());
        let due = match before {
            Some(before) if renewal != Renewal::None && self.desk.is_below(before.header.version) => true,
            Some(before) => self.is_due(before.header.expires, RoleKind::Timestamp, renewal)?,
            None => true,
        };
        if !self.snapshot_changed && !due {
            return Ok(None);
        }
        let role = TopLevel::Timestamp.role();
        let config = self.repository.config.role(RoleKind::Timestamp)?;
        let expires = self.desk.now + config.expires.delta();
        let meta = match (self.files.last(), before) {
            (Some(file), _) if self.snapshot_changed => {
                MetaFile::of(self.desk.snapshot.header.version, &file.bytes)
            }
            (_, Some(before)) => before.snapshot.clone(),
            // A first publish always signs a snapshot.
            (_, None) => MetaFile::version(self.desk.snapshot.header.version),
        };
        let mut value = match before {
            Some(before) => before.value().clone(),
            None => Timestamp::new(expires, meta.clone()),
        };
        value.snapshot = meta;
        value.header_mut().expires = expires;
        let next = before.map_or(0, |before| before.header.version) + 1;
        value.header_mut().version = next.max(self.desk.least());
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

/// On whose word a delegated role is verified.
fn authority(tree: &Tree<'_>, visit: &Visit) -> Option<Listed> {
    tree.authority(visit.delegator.as_ref()?, &visit.role)
}

/// Whether a role goes, and with it those below it.
fn removes(changes: &Changes) -> bool {
    changes.edits().iter().any(|edit| matches!(edit, Edit::RemoveDelegation { .. } | Edit::EditBins(_)))
}

/// Which role each change is for.
fn route<'c>(tree: &mut Tree<'_>, changes: &'c Changes) -> Result<ByRole<'c>, Error> {
    let mut by_role = ByRole::new();
    let straight = if changes.is_empty() { None } else { tree.all_in_bins()? };
    // Of a million paths, most meet thousands of bins again.
    let mut in_bins: HashMap<RoleName, Vec<_>> = HashMap::new();
    for (path, change) in changes.targets() {
        let visits = match (&change.role, &change.file, &straight) {
            (None, file, Some((_, bins))) => {
                in_bins.entry(bins.role_of(path)).or_default().push((path, file.as_ref()));
                continue;
            }
            (Some(role), file, _) => vec![tree.owner_named(path, role, file.is_some())?],
            (None, Some(_), None) => vec![tree.owner(path)?],
            (None, None, None) => tree.listers(path)?,
        };
        for Visit { role, delegator } in visits {
            by_role
                .entry(role)
                .or_insert_with(|| (delegator, Vec::new()))
                .1
                .push((path, change.file.as_ref()));
        }
    }
    for (bin, changes) in in_bins {
        let delegator = straight.as_ref().map(|(role, _)| role.clone());
        by_role.entry(bin).or_insert_with(|| (delegator, Vec::new())).1.extend(changes);
    }
    Ok(by_role)
}
