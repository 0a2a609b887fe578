//! The targets roles as they will be: what is published, read when it is first asked for, and the edits made in it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tuf_core::{Delegated, Delegation, Delegations, Key, RoleName, TargetPath, Targets, TopLevel};

use super::apply::{covers_all, new_role, scope};
use super::bins::remade;
use super::{Edit, EditDelegation, EditError, KnownBins, NamedBins, Node, apply};
use crate::error::Error;
use crate::publish::Listed;
use crate::repository::Published;

/// How many roles every client visits in one search, besides `targets`.
const VISITED: usize = 32;

/// The targets roles on which edits are made and targets are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Tree<'a> {
    published: Option<&'a Published>,
    nodes: BTreeMap<RoleName, Node>,
    /// What some roles say that were not read, by their names.
    known: BTreeMap<RoleName, KnownBins>,
}

/// One step of a client's search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) role: RoleName,
    pub(crate) delegator: Option<RoleName>,
}

impl<'a> Tree<'a> {
    /// The published roles.
    pub(crate) fn new(published: &'a Published) -> Self {
        let targets = TopLevel::Targets.role();
        let node = Node::new(None, &targets, published.set().targets().clone());
        let mut nodes = BTreeMap::from([(targets.clone(), node)]);
        // It was read with the top-level roles.
        if let Some((bins, _)) = published.bins() {
            let node = Node::new(Some(targets), bins.role_name(), bins.clone());
            nodes.insert(bins.role_name().clone(), node);
        }
        Self { published: Some(published), nodes, known: BTreeMap::new() }
    }

    /// The published roles, of which some need not be read to find and verify the hash bins below them.
    pub(crate) fn knowing(published: &'a Published, known: BTreeMap<RoleName, KnownBins>) -> Self {
        Self { known, ..Self::new(published) }
    }

    /// What is known of a role that was not read.
    fn known(&self, role: &RoleName) -> Option<&KnownBins> {
        self.known.get(role).filter(|_| !self.nodes.contains_key(role))
    }

    /// The roles of a repository that has published nothing.
    pub(crate) fn first(roles: impl IntoIterator<Item = (RoleName, Option<RoleName>, Targets)>) -> Self {
        let mut tree = Self { published: None, nodes: BTreeMap::new(), known: BTreeMap::new() };
        for (role, delegator, value) in roles {
            tree.add(role, delegator, value);
        }
        tree
    }

    fn add(&mut self, role: RoleName, delegator: Option<RoleName>, value: Targets) {
        let node = Node::made(&role, delegator, value);
        self.nodes.insert(role, node);
    }

    /// The roles that were edited, and must be signed.
    pub(crate) fn edited(&self) -> BTreeSet<RoleName> {
        let edited = self.nodes.iter().filter(|(_, node)| node.is_edited()).map(|(role, _)| role.clone());
        let remade = self.nodes.values().filter(|node| node.made_of.is_some());
        edited.chain(remade.filter_map(|node| node.bins.as_ref()).flat_map(NamedBins::names)).collect()
    }

    /// Whether a role was read or made.
    pub(crate) fn is_loaded(&self, role: &RoleName) -> bool {
        self.nodes.contains_key(role)
    }

    /// Who delegates to a role that was loaded, or that is made anew.
    pub(crate) fn delegator(&self, role: &RoleName) -> Option<&RoleName> {
        if let Some(node) = self.nodes.get(role) {
            return node.delegator.as_ref();
        }
        let (above, node) = self.nodes.get_key_value(&NamedBins::above(role)?)?;
        let is_remade = node.made_of.is_some() && node.bins.as_ref().is_some_and(|bins| bins.has(role));
        is_remade.then_some(above)
    }

    /// Reads a role, unless that was done before.
    pub(crate) fn load(&mut self, role: &RoleName, delegator: Option<&RoleName>) -> Result<&Node, Error> {
        if !self.nodes.contains_key(role) {
            let node = self.read(role, delegator)?;
            self.nodes.insert(role.clone(), node);
        }
        self.node(role)
    }

    fn node(&self, role: &RoleName) -> Result<&Node, Error> {
        self.nodes.get(role).ok_or_else(|| EditError::NoRole { role: role.clone() }.into())
    }

    /// Reads a published role whose delegator was read or is known.
    pub(crate) fn read(&self, role: &RoleName, delegator: Option<&RoleName>) -> Result<Node, Error> {
        let none = || EditError::NoRole { role: role.clone() };
        let published = self.published.ok_or_else(none)?;
        let name = delegator.ok_or_else(none)?;
        if let Some(known) = self.known(name) {
            return Ok(Node::known(name.clone(), published.known(name, known, role)?));
        }
        let above = self.node(name)?;
        let base = above.trusted().ok_or_else(none)?;
        let read = |role: &RoleName| published.delegated(base, role);
        match (&above.bins, &above.made_of) {
            (Some(bins), Some(made_of)) => {
                Ok(Node::made(role, delegator.cloned(), remade(role, bins, made_of, read)?))
            }
            _ => Ok(Node::new(delegator.cloned(), role, read(role)?)),
        }
    }

    /// Takes a role to sign it, without keeping it: there may be thousands.
    pub(crate) fn take(&mut self, role: &RoleName, delegator: Option<&RoleName>) -> Result<Node, Error> {
        self.take_loaded(role).map_or_else(|| self.read(role, delegator), Ok)
    }

    /// As [`Tree::take`], if it was read or made already.
    pub(crate) fn take_loaded(&mut self, role: &RoleName) -> Option<Node> {
        match self.nodes.get(role)? {
            // Others may still be verified by it, or it was read with the top-level roles and is not read again.
            node if node.delegations().is_some() || node.delegator.is_none() => Some(node.clone()),
            _ => self.nodes.remove(role),
        }
    }

    /// The keys that a role is signed with, as its delegator will list them; `None` for `targets`, which root has.
    pub(crate) fn authority(&self, delegator: &RoleName, role: &RoleName) -> Option<Listed> {
        match self.known(delegator) {
            Some(known) => Some(known.listed.clone()),
            None => who(self.nodes.get(delegator)?.delegations()?, role),
        }
    }

    /// Reads the delegators of roles that are to be signed, unless what they say is known.
    pub(crate) fn prepare<'v>(
        &mut self,
        delegators: impl Iterator<Item = &'v RoleName>,
    ) -> Result<(), Error> {
        for delegator in delegators {
            if self.known(delegator).is_none() {
                self.find(delegator)?;
            }
        }
        Ok(())
    }

    /// The delegation to a role, if it is one by name.
    pub(crate) fn delegation(&self, delegator: &RoleName, role: &RoleName) -> Option<Delegation> {
        match &self.nodes.get(delegator)?.delegations()?.roles {
            Delegated::Roles(roles) => roles.get(role),
            _ => None,
        }
    }

    /// The roles that a client visits for a path, in its order, `targets` first, should none of them list it. Hash bins
    /// are named but not read.
    pub(crate) fn order(&mut self, path: &TargetPath) -> Result<Vec<Visit>, Error> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        let mut pending = vec![Visit { role: TopLevel::Targets.role(), delegator: None }];
        while let Some(visit) = pending.pop() {
            let is_bin = NamedBins::split(&visit.role).is_some();
            if order.len() > VISITED || !seen.insert((visit.delegator.clone(), visit.role.clone())) {
                continue;
            }
            if let Some(known) = self.known(&visit.role) {
                pending.push(Visit { role: known.bins.role_of(path), delegator: Some(visit.role.clone()) });
            } else if !is_bin {
                let node = self.load(&visit.role, visit.delegator.as_ref())?;
                let mut children = Vec::new();
                for (role, terminating) in node.covering(path) {
                    children.push(Visit { role, delegator: Some(visit.role.clone()) });
                    if terminating {
                        pending.clear();
                        break;
                    }
                }
                pending.extend(children.into_iter().rev());
            }
            order.push(visit);
        }
        Ok(order)
    }

    fn lists(&mut self, visit: &Visit, path: &TargetPath) -> Result<bool, Error> {
        if self.known(&visit.role).is_some() {
            return Ok(false);
        }
        let node = self.load(&visit.role, visit.delegator.as_ref())?;
        Ok(node.value().is_some_and(|value| value.targets.get(path).is_some()))
    }

    /// The role that has hash bins, and those, if every path goes there and nowhere else: by the only delegation of `targets`,
    /// and neither of the two lists anything. Then [`Tree::owner`] and [`Tree::listers`] come to the bin of the path.
    pub(crate) fn all_in_bins(&mut self) -> Result<Option<(RoleName, NamedBins)>, Error> {
        let targets = self.load(&TopLevel::Targets.role(), None)?;
        let only = match targets.delegations().map(|delegations| &delegations.roles) {
            Some(Delegated::Roles(roles)) if roles.len() == 1 => roles.iter().next().filter(covers_all),
            _ => None,
        };
        let Some(only) = only.filter(|_| targets.lists_nothing()) else { return Ok(None) };
        let role = only.name;
        if let Some(known) = self.known(&role) {
            return Ok(Some((role, known.bins.clone())));
        }
        let node = self.load(&role, Some(&TopLevel::Targets.role()))?;
        let bins = node.bins.clone().filter(|_| node.lists_nothing());
        Ok(bins.map(|bins| (role, bins)))
    }

    /// The role that lists a path where a client finds it or, if none does, the one that it belongs to: down the
    /// first delegation that covers it, as long as there is one.
    pub(crate) fn owner(&mut self, path: &TargetPath) -> Result<Visit, Error> {
        let order = self.order(path)?;
        let leaf = leaf(&order);
        // Where there is nothing after it, it is the one, whether it lists the path already or not.
        let last = leaf + 1 >= order.len();
        for (index, visit) in order.iter().enumerate() {
            if !(last && index == leaf) && self.lists(visit, path)? {
                return Ok(visit.clone());
            }
        }
        let none = || EditError::NoRole { role: TopLevel::Targets.role() };
        Ok(order.into_iter().nth(leaf).ok_or_else(none)?)
    }

    /// A role that is to list a path (`lists`), if a client will find it there, or to list it no longer.
    pub(crate) fn owner_named(
        &mut self,
        path: &TargetPath,
        role: &RoleName,
        lists: bool,
    ) -> Result<Visit, Error> {
        let refused =
            |reason: String| EditError::NotFound { path: path.to_string(), role: role.clone(), reason };
        let order = self.order(path)?;
        let Some(index) = order.iter().position(|visit| visit.role == *role) else {
            return Err(match self.find(role) {
                Ok(_) => refused(
                    "no delegation to it covers the path, or an earlier one that does is terminating"
                        .to_owned(),
                )
                .into(),
                Err(error) => error,
            });
        };
        for visit in order.get(..index).filter(|_| lists).unwrap_or_default() {
            if self.lists(visit, path)? {
                return Err(refused(format!("role {} lists it, and is asked earlier", visit.role)).into());
            }
        }
        let none = || EditError::NoRole { role: role.clone() };
        Ok(order.into_iter().nth(index).ok_or_else(none)?)
    }

    /// All roles that list a path where a client might find it.
    pub(crate) fn listers(&mut self, path: &TargetPath) -> Result<Vec<Visit>, Error> {
        let order = self.order(path)?;
        let leaf = leaf(&order);
        if leaf + 1 >= order.len() {
            // As in `owner`: whether it lists the path shows when it is changed.
            let mut listers = Vec::new();
            for (index, visit) in order.into_iter().enumerate() {
                if index == leaf || self.lists(&visit, path)? {
                    listers.push(visit);
                }
            }
            return Ok(listers);
        }
        let mut listers = Vec::new();
        for visit in order {
            if self.lists(&visit, path)? {
                listers.push(visit);
            }
        }
        Ok(listers)
    }

    /// Visits every role but hash bins, delegators first.
    pub(crate) fn branches(&mut self) -> Result<Vec<Visit>, Error> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut pending = vec![Visit { role: TopLevel::Targets.role(), delegator: None }];
        while let Some(visit) = pending.pop() {
            if NamedBins::split(&visit.role).is_some() || !seen.insert(visit.role.clone()) {
                continue;
            }
            let node = self.load(&visit.role, visit.delegator.as_ref())?;
            if node.bins.is_none()
                && let Some(delegations) = node.delegations()
            {
                let child = |role| Visit { role, delegator: Some(visit.role.clone()) };
                pending.extend(delegations.role_names().into_iter().rev().map(child));
            }
            found.push(visit);
        }
        Ok(found)
    }

    /// All roles, delegators first; hash bins are named but not read.
    pub(crate) fn all(&mut self) -> Result<Vec<Visit>, Error> {
        let mut all = Vec::new();
        for visit in self.branches()? {
            let bins = self.node(&visit.role)?.bins.clone();
            let delegator = visit.role.clone();
            all.push(visit);
            let child = |role| Visit { role, delegator: Some(delegator.clone()) };
            all.extend(bins.iter().flat_map(NamedBins::names).map(child));
        }
        Ok(all)
    }

    /// A role by its name, wherever it is; hash bins are not looked at.
    pub(crate) fn find(&mut self, role: &RoleName) -> Result<&Node, Error> {
        // What is needed most is there already.
        if !self.nodes.contains_key(role) && NamedBins::split(role).is_none() {
            self.branches()?;
        }
        self.node(role)
    }

    /// Makes an edit. `now` is when a new role expires until it is signed.
    pub(crate) fn edit(&mut self, edit: &Edit, now: DateTime<Utc>) -> Result<(), Error> {
        let delegator = edit.delegator();
        self.find(delegator)?;
        let role = edit.role();
        if let Edit::AddDelegation(_) = edit
            && self.knows(role)
            && let Some(other) = self.branches()?.into_iter().find(|visit| visit.role == *role)
        {
            let delegator = other.delegator.unwrap_or(other.role);
            return Err(EditError::Delegated { role: role.clone(), delegator }.into());
        }
        if let Edit::EditDelegation(_) = edit {
            if self.delegation(delegator, role).is_none() {
                let (delegator, role) = (delegator.clone(), role.clone());
                return Err(EditError::NotDelegated { delegator, role }.into());
            }
            self.load(role, Some(delegator))?;
        }
        let node =
            self.nodes.get_mut(delegator).ok_or_else(|| EditError::NoRole { role: delegator.clone() })?;
        let Some(mut value) = node.value().cloned() else {
            return Err(EditError::NoRole { role: delegator.clone() }.into());
        };
        apply(edit, &mut value)?;
        let bins = value.delegations.as_ref().and_then(|delegations| NamedBins::of(delegator, delegations));
        node.edited = Some(value);
        match edit {
            Edit::EditBins(_) => {
                let before = std::mem::replace(&mut node.bins, bins);
                match node.base() {
                    // The first edit's, if there are several.
                    Some(_) => node.made_of = node.made_of.take().or(before),
                    None => {
                        let names: Vec<_> = node.bins.iter().flat_map(NamedBins::names).collect();
                        self.nodes.retain(|_, node| node.delegator.as_ref() != Some(delegator));
                        for bin in names {
                            self.add(bin, Some(delegator.clone()), Targets::new(now));
                        }
                    }
                }
            }
            Edit::AddDelegation(edit) => {
                let empty = Targets::new(now);
                let (value, bins) = new_role(edit, &empty);
                self.add(role.clone(), Some(delegator.clone()), value);
                for bin in bins.iter().flat_map(NamedBins::names) {
                    self.add(bin, Some(role.clone()), empty.clone());
                }
            }
            Edit::EditDelegation(EditDelegation { keys, threshold, .. }) => {
                // Signatures by other keys, or more of them.
                if (keys.is_some() || threshold.is_some())
                    && let Some(node) = self.nodes.get_mut(role)
                    && !node.is_edited()
                {
                    node.edited = node.value().cloned();
                }
            }
            Edit::RemoveDelegation { .. } => self.forget(role),
        }
        Ok(())
    }

    /// As [`Tree::edit`], but for an edit that is made already: a publisher may have died before it could forget it.
    pub(crate) fn make(&mut self, edit: &Edit, now: DateTime<Utc>) -> Result<(), Error> {
        match self.edit(edit, now) {
            Err(Error::Edit(EditError::Delegated { .. })) if self.is_made(edit) => Ok(()),
            Err(Error::Edit(EditError::NotDelegated { .. }))
                if matches!(edit, Edit::RemoveDelegation { .. }) =>
            {
                Ok(())
            }
            Err(Error::Edit(EditError::SameBins { .. })) => Ok(()),
            result => result,
        }
    }

    /// Whether the role that an edit adds is delegated to on just these terms.
    fn is_made(&self, edit: &Edit) -> bool {
        let Edit::AddDelegation(add) = edit else { return false };
        let found = self.delegation(&add.delegator, &add.role).zip(self.authority(&add.delegator, &add.role));
        found.is_some_and(|(delegation, listed)| {
            let listed: BTreeSet<_> = listed.keys.values().filter_map(Key::public).collect();
            delegation.scope == scope(&add.scope)
                && delegation.terminating == add.terminating
                && delegation.keys.threshold() == add.threshold
                && listed == add.keys.iter().filter_map(Key::public).collect()
        })
    }

    /// Puts the file of a role in place that was signed elsewhere. Roles below it that get other keys must be signed
    /// anew, but for those `signed` elsewhere as well.
    pub(crate) fn replace(
        &mut self,
        role: &RoleName,
        value: &Targets,
        signed: impl Fn(&RoleName) -> bool,
    ) -> Result<(), Error> {
        self.find(role)?;
        let node = self.nodes.get_mut(role).ok_or_else(|| EditError::NoRole { role: role.clone() })?;
        node.edited = Some(value.clone());
        node.bins = value.delegations.as_ref().and_then(|delegations| NamedBins::of(role, delegations));
        let before = node.trusted().and_then(|base| base.delegations.clone());
        let (Some(before), Some(after)) = (before, &value.delegations) else { return Ok(()) };
        for below in after.role_names() {
            if signed(&below) || who(&before, &below) == who(after, &below) {
                continue;
            }
            self.load(&below, Some(role))?;
            if let Some(node) = self.nodes.get_mut(&below)
                && !node.is_edited()
            {
                node.edited = node.value().cloned();
            }
        }
        Ok(())
    }

    /// Whether a role may be delegated to: every published one is in the snapshot.
    fn knows(&self, role: &RoleName) -> bool {
        let listed = |published: &Published| published.set().snapshot().role(role).is_some();
        self.nodes.contains_key(role) || self.published.is_some_and(listed)
    }

    /// Forgets a role that is no longer delegated to, and those below it.
    fn forget(&mut self, role: &RoleName) {
        let mut pending = vec![role.clone()];
        while let Some(role) = pending.pop() {
            self.nodes.remove(&role);
            let below = self.nodes.iter().filter(|(_, node)| node.delegator.as_ref() == Some(&role));
            pending.extend(below.map(|(name, _)| name.clone()));
        }
    }
}

/// Who signs for a role on the word of its delegator.
fn who(delegations: &Delegations, role: &RoleName) -> Option<Listed> {
    Some(Listed::of((&delegations.keys, &delegations.role_keys(role)?)))
}

/// The first role in a client's order without a delegation below it that covers the path.
fn leaf(order: &[Visit]) -> usize {
    let is_above = |pair: &[Visit]| match pair {
        [above, below] => below.delegator.as_ref() == Some(&above.role),
        _ => false,
    };
    order.windows(2).take_while(|pair| is_above(pair)).count()
}
