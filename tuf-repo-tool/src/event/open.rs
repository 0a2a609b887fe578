//! Opening an event: what is published, with the change that was asked for, as drafts for signers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{SecondsFormat, TimeDelta};
use tuf_core::bins::HashBins;
use tuf_core::trust::{Authority, Trusted};
use tuf_core::{Delegated, Envelope, Keys, RoleKeys, RoleName, Targets, TopLevel};

use super::EventError;
use super::bundle::{Bundle, MAX_SKIPPED, limits};
use super::document::{Document, DraftFile, FORMAT, Order, PublishedFile};
use super::edit::KeyChanges;
use super::phrase::proper_id;
use super::proposal::Proposal;
use super::store::{Events, published_roots};
use crate::config::{Period, RoleKind, section};
use crate::edit::{Edit, Keyring, NamedBins, Tree};
use crate::error::Error;
use crate::keys::{self, KeyUri};
use crate::repository::{Published, Repository};

/// How long a role is valid of which `tuf-repo.toml` says nothing.
pub(crate) const DEFAULT_PERIOD: TimeDelta = TimeDelta::days(365);

/// What an event is to change.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opening {
    /// The role whose file is signed anew: `root`, `targets`, or one that is delegated.
    pub role: RoleName,
    /// The keys and thresholds that it names.
    pub keys: KeyChanges,
    /// Other files that are signed anew with it, each with what changes of the keys that it names.
    pub also: BTreeMap<RoleName, KeyChanges>,
    /// In which order they appear.
    pub order: Order,
    /// The edits that are made in it, and in roles that these begin to delegate.
    pub edits: Vec<Edit>,
    /// How long the new file is valid; absent: as `tuf-repo.toml` says, or 365 days.
    pub expires: Option<Period>,
    /// Why, for signers; one line.
    pub reason: String,
}

impl Opening {
    /// The same file with a new expiry.
    #[must_use]
    pub fn new(role: RoleName, reason: String) -> Self {
        Self {
            role,
            keys: KeyChanges::default(),
            also: BTreeMap::new(),
            order: Order::default(),
            edits: Vec::new(),
            expires: None,
            reason,
        }
    }

    /// Keys and thresholds of several roles, whichever files name them: all of these are in one event, from the root down.
    /// Also each that would no longer hold is in it, and is signed with the new keys.
    ///
    /// # Errors
    /// [`EventError::Draft`] if nothing is to change, or nobody names one of the roles; [`Error::Published`].
    pub fn of_keys(repository: &Repository, changes: &KeyChanges, reason: String) -> Result<Self, Error> {
        let published = published(repository)?;
        let mut tree = Tree::new(&published);
        let mut files: BTreeMap<RoleName, KeyChanges> = BTreeMap::new();
        for role in changes.roles() {
            files.entry(named_by(&mut tree, role)?).or_default().extend(changes.of_role(role));
        }
        let order = file_order(&mut tree)?;
        let first = order.into_iter().find(|role| files.contains_key(role));
        let first = first.ok_or_else(|| EventError::Draft("no key is to change".to_owned()))?;
        let mut opening = Self::new(first.clone(), reason);
        opening.keys = files.remove(&first).unwrap_or_default();
        opening.also = files;
        Ok(opening)
    }

    /// Every targets file with what changes in it, each after its delegator.
    fn files<'o>(&'o self, tree: &mut Tree<'_>) -> Result<Vec<(RoleName, &'o KeyChanges)>, Error> {
        let mut wanted: BTreeMap<&RoleName, &KeyChanges> = self.also.iter().collect();
        wanted.insert(&self.role, &self.keys);
        let mut files = Vec::new();
        for role in file_order(tree)? {
            if let Some(changes) = wanted.remove(&role)
                && role.top_level() != Some(TopLevel::Root)
            {
                files.push((role, changes));
            }
        }
        // A hash bin, which delegates nothing, is in no order.
        files.extend(wanted.into_iter().map(|(role, changes)| (role.clone(), changes)));
        Ok(files)
    }
}

/// Opens an event: drafts what was asked for, and every other file that would no longer hold without a new version, and
/// keeps it in `state/events/`. Nothing is published and no key is used.
///
/// # Errors
/// [`EventError::Draft`], [`EventError::Pending`], [`Error::Published`].
pub fn open(repository: &Repository, opening: &Opening) -> Result<Bundle, Error> {
    let events = Events::of(repository);
    let _lock = events.lock()?;
    let published = published(repository)?;
    let mut drafting =
        Drafting { repository, published: &published, bases: Vec::new(), proposals: Vec::new() };
    match opening.role.top_level() {
        Some(TopLevel::Root) => drafting.root(opening)?,
        Some(TopLevel::Targets) | None => drafting.targets(&opening.role, opening)?,
        Some(_) => {
            let reason = format!("{} is signed by this machine: `tuf-repo renew`", opening.role);
            return Err(EventError::Draft(reason).into());
        }
    }
    events.check_free(&drafting.proposals)?;
    let document = drafting.document(opening)?;
    let bundle = Bundle::verify(document).map_err(EventError::Draft)?;
    events.begin(&bundle)?;
    Ok(bundle)
}

/// The file that names the keys of a role.
pub(crate) fn named_by(tree: &mut Tree<'_>, role: &str) -> Result<RoleName, Error> {
    if TopLevel::ALL.iter().any(|top| top.name() == role) {
        return Ok(TopLevel::Root.role());
    }
    for visit in tree.branches()? {
        let node = tree.find(&visit.role)?;
        let Some(delegations) = node.value().and_then(|value| value.delegations.as_ref()) else { continue };
        let names = match (&delegations.roles, node.bins()) {
            (_, Some(bins)) => bins.names().any(|bin| section(&bin) == role || bin.as_str() == role),
            (Delegated::Succinct(_), None) => role == RoleKind::BinN.name(),
            (_, None) => delegations.role_names().iter().any(|name| name.as_str() == role),
        };
        if names {
            return Ok(visit.role);
        }
    }
    Err(EventError::Draft(format!("no published role delegates {role}")).into())
}

/// Root, and every targets role but hash bins after its delegator.
fn file_order(tree: &mut Tree<'_>) -> Result<Vec<RoleName>, Error> {
    let targets = tree.branches()?.into_iter().map(|visit| visit.role);
    Ok(std::iter::once(TopLevel::Root.role()).chain(targets).collect())
}

/// What is published.
pub(crate) fn published(repository: &Repository) -> Result<Published, Error> {
    let nothing = || EventError::Draft("nothing is published yet: `tuf-repo publish` first".to_owned());
    Ok(repository.published()?.ok_or_else(nothing)?)
}

/// A published targets role with its delegators, from `targets` down.
pub(super) type Path = Vec<(Option<RoleName>, Trusted<Targets>)>;

/// The way from `targets` to a role.
pub(super) fn path_to(published: &Published, role: &RoleName) -> Result<Option<Path>, Error> {
    fn search(published: &Published, role: &RoleName, path: &mut Path) -> Result<bool, Error> {
        let Some((_, last)) = path.last().cloned() else { return Ok(false) };
        if last.role_name() == role {
            return Ok(true);
        }
        let delegations = last.delegations.as_ref();
        for name in delegations.map(tuf_core::Delegations::role_names).unwrap_or_default() {
            let is_listed = published.set().meta(&name).is_ok();
            let is_new = path.iter().all(|(_, role)| *role.role_name() != name);
            // A hash bin delegates nothing: thousands of them need not be read to know that.
            let worth_it = name == *role || HashBins::from_role(&name).is_none();
            if is_listed && is_new && worth_it {
                path.push((Some(last.role_name().clone()), published.delegated(&last, &name)?));
                if search(published, role, path)? {
                    return Ok(true);
                }
                path.pop();
            }
        }
        Ok(false)
    }
    let mut path = vec![(None, published.set().targets().clone())];
    Ok(search(published, role, &mut path)?.then_some(path))
}

struct Drafting<'a> {
    repository: &'a Repository,
    published: &'a Published,
    bases: Path,
    proposals: Vec<Proposal>,
}

impl Drafting<'_> {
    fn root(&mut self, opening: &Opening) -> Result<(), Error> {
        let published = self.published.set().root();
        let mut root = published.value().clone();
        opening.keys.apply_to_root(&mut root).map_err(EventError::Draft)?;
        root.header.version += 1;
        root.header.expires = self.repository.now() + self.period(published.role_name(), opening.expires)?;
        let (keys, role) = (root.keys.clone(), root.role(TopLevel::Targets).clone());
        let by = published.role_name().clone();
        self.proposals.push(Proposal::root(root));
        let mut tree = Tree::new(self.published);
        let mut files = opening.files(&mut tree)?;
        // Before the new root appears, the published targets must hold under it.
        let targets = TopLevel::Targets.role();
        let (nothing, has) = (KeyChanges::default(), files.iter().any(|(file, _)| *file == targets));
        match (holds(&by, &keys, &role, self.published.set().targets())?, opening.order) {
            (false, Order::RootFirst) => {
                let reason = "the published targets would not hold under the new root, which comes first";
                return Err(EventError::Draft(reason.to_owned()).into());
            }
            (false, Order::RootLast) if !has => files.insert(0, (targets, &nothing)),
            _ => {}
        }
        if files.is_empty() { Ok(()) } else { self.draft(&mut tree, &files, None) }
    }

    fn targets(&mut self, role: &RoleName, opening: &Opening) -> Result<(), Error> {
        let path = path_to(self.published, role)?;
        let path = path.ok_or_else(|| EventError::Draft(format!("no published role delegates {role}")))?;
        let mut tree = Tree::new(self.published);
        // Also a hash bin, which is in the tree only if it was asked for.
        if let Some((Some(by), _)) = path.last() {
            tree.find(by)?;
            tree.load(role, Some(by))?;
        }
        for edit in &opening.edits {
            tree.edit(edit, self.repository.now())?;
        }
        let files = opening.files(&mut tree)?;
        self.draft(&mut tree, &files, opening.expires)
    }

    /// Drafts files, and each role below them that must be signed with them and is not signed here.
    fn draft(
        &mut self,
        tree: &mut Tree<'_>,
        files: &[(RoleName, &KeyChanges)],
        expires: Option<Period>,
    ) -> Result<(), Error> {
        for (role, changes) in files {
            let none = || EventError::Draft(format!("no published role delegates {role}"));
            let mut value = tree.find(role)?.value().cloned().ok_or_else(none)?;
            changes.apply_to_delegations(role, value.delegations.as_mut()).map_err(EventError::Draft)?;
            // This machine signs the hash bins, when the event is finished.
            tree.replace(role, &value, |below| NamedBins::split(below).is_some())?;
        }
        let files: Vec<RoleName> = files.iter().map(|(role, _)| role.clone()).collect();
        let drafted = elsewhere(self.repository, tree, &files);
        for role in below(tree, &files) {
            if drafted.contains(&role) {
                let wanted = expires.filter(|_| self.proposals.iter().all(|one| one.as_targets().is_none()));
                self.propose(tree, &role, wanted)?;
            }
        }
        Ok(())
    }

    fn propose(
        &mut self,
        tree: &mut Tree<'_>,
        role: &RoleName,
        expires: Option<Period>,
    ) -> Result<(), Error> {
        let delegator = tree.delegator(role).cloned();
        let node = tree.find(role)?;
        let new = node.base().is_none();
        let Some(mut value) = node.value().cloned() else { return Ok(()) };
        if !new {
            for (delegator, base) in path_to(self.published, role)?.unwrap_or_default() {
                if self.bases.iter().all(|(_, known)| known.role_name() != base.role_name()) {
                    self.bases.push((delegator, base));
                }
            }
        }
        // A name that was used before goes on above its old version: the snapshot still has that.
        let before = self.published.set().snapshot().role(role).map_or(0, |meta| meta.version);
        value.header.version = self.free_version(role, before + 1)?;
        value.header.expires = self.repository.now() + self.period(role, expires)?;
        self.proposals.push(Proposal::targets(role, delegator.filter(|_| new), value));
        Ok(())
    }

    /// The first version under which nothing lies: a publisher that died may have left files that nobody reached.
    fn free_version(&self, role: &RoleName, next: u64) -> Result<u64, Error> {
        // After a restore, clients have seen versions that are lost.
        let next = next.max(self.repository.config.min_version.unwrap_or(0));
        for version in next..=next.saturating_add(MAX_SKIPPED) {
            let path = Repository::metadata_path(&role.file_name(Some(version)));
            if self.repository.storage().length(&path)?.is_none() {
                return Ok(version);
            }
        }
        Err(EventError::Draft(format!("versions {next} and more of {role} lie around unused")).into())
    }

    /// How long the new file is valid. What is valid for longer than the settings say counts as due again at once.
    fn period(&self, role: &RoleName, wanted: Option<Period>) -> Result<TimeDelta, Error> {
        let configured = self.repository.config.periods(role).map(|(expires, _)| expires);
        if let (Some(wanted), Some(configured)) = (wanted, configured)
            && wanted.delta() > configured.delta()
        {
            return Err(EventError::Draft(format!(
                "{role} is valid for {configured} by tuf-repo.toml: {wanted} needs a change there first"
            ))
            .into());
        }
        Ok(wanted.or(configured).map_or(DEFAULT_PERIOD, Period::delta))
    }

    fn document(self, opening: &Opening) -> Result<Document, Error> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let roots = published_roots(self.repository, self.published)?;
        let published = self.bases.iter().map(|(delegator, base)| PublishedFile {
            role: base.role_name().as_str().to_owned(),
            delegator: delegator.as_ref().map(|role| role.as_str().to_owned()),
            file: text(base.bytes()),
        });
        let drafts = self.proposals.iter().map(|proposal| DraftFile {
            role: proposal.role().as_str().to_owned(),
            delegator: proposal.delegator().map(|role| role.as_str().to_owned()),
            file: proposal.text(),
        });
        Ok(Document {
            tufsign: FORMAT,
            id: proper_id(&self.proposals, None),
            opened: self.repository.now().to_rfc3339_opts(SecondsFormat::Secs, true),
            reason: opening.reason.clone(),
            roots: roots.iter().map(|root| text(root)).collect(),
            published: published.collect(),
            drafts: drafts.collect(),
            edits: opening.edits.clone(),
            recovery: None,
            names: names(self.repository, opening),
            order: opening.order,
        })
    }
}

/// Whether enough of these keys signed a published file.
fn holds(by: &RoleName, keys: &Keys, role: &RoleKeys, file: &Trusted<Targets>) -> Result<bool, Error> {
    let envelope =
        Envelope::parse(std::sync::Arc::clone(file.bytes()), &limits()).map_err(Error::Published)?;
    Ok(Authority::new(by, 0, keys, role).check(&envelope).is_met())
}

/// The files, and the roles below them that were edited, each after its delegator.
fn below(tree: &Tree<'_>, files: &[RoleName]) -> Vec<RoleName> {
    let wanted = |role: &RoleName| NamedBins::split(role).is_none() && !files.contains(role);
    let mut rest: Vec<RoleName> = tree.edited().into_iter().filter(wanted).collect();
    let mut found = files.to_vec();
    let mut next = 0;
    while let Some(above) = found.get(next).cloned() {
        let is_below = |role: &mut RoleName| tree.delegator(role) == Some(&above);
        found.extend(rest.extract_if(.., is_below));
        next += 1;
    }
    found
}

/// Which of them are drafted: the files, the roles whose keys are elsewhere, and who begins to delegate to those.
fn elsewhere(repository: &Repository, tree: &Tree<'_>, files: &[RoleName]) -> BTreeSet<RoleName> {
    let mut keyring = Keyring::new(repository);
    let below = below(tree, files);
    let mut drafted: BTreeSet<RoleName> = files.iter().cloned().collect();
    for role in &below {
        let authority = tree.delegator(role).and_then(|by| tree.authority(by, role));
        if authority.is_some_and(|authority| keyring.signers(role, &authority).is_err()) {
            let mut above = Some(role);
            while let Some(role) = above.filter(|role| below.contains(role)) {
                drafted.insert(role.clone());
                above = tree.delegator(role);
            }
        }
    }
    drafted
}

/// What this repository calls its keys, also those of which only the public half is in `keys/`.
pub(super) fn names(repository: &Repository, opening: &Opening) -> BTreeMap<String, String> {
    let config = &repository.config;
    let listed = std::fs::read_dir(repository.directory().join("keys")).into_iter().flatten();
    let public = listed.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.ends_with(".pub.json").then(|| KeyUri::Public(std::path::Path::new("keys").join(name)))
    });
    let configured = config.roles.values().flat_map(|role| &role.keys);
    let delegated = config.delegations.values().flat_map(|role| &role.keys);
    let named = public.chain(configured.chain(delegated).cloned()).filter_map(|uri| {
        let key = keys::public(&uri, repository.directory()).ok()?;
        Some((key.id().as_str().to_owned(), uri.name()))
    });
    let changes = std::iter::once(&opening.keys).chain(opening.also.values());
    let added = changes.flat_map(|changes| &changes.add);
    let added = added.map(|(_, key)| (key.key.id().as_str().to_owned(), key.name.clone()));
    named.chain(added).collect()
}
