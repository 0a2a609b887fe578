//! Searching for a target through delegations (spec 5.6.7): pre-order, depth first, lazy. The machine
//! says which role it wants next; the driver finds it in a cache, a store or the network.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Trusted, TrustedSet};
use crate::error::{Error, ErrorKind};
use crate::role::RoleName;
use crate::target_path::TargetPath;
use crate::targets::{TargetFile, Targets};

/// A search for one target path in one trusted set.
#[derive(Debug)]
pub struct Search {
    set: TrustedSet,
    path: TargetPath,
    /// Roles still to visit, the next one last. Each with the role that delegates to it: authority
    /// belongs to that pair, not to the name.
    pending: Vec<(Trusted<Targets>, RoleName)>,
    visited: HashSet<(RoleName, RoleName)>,
    found: Option<Found>,
}

/// A target and the role that signed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The role.
    pub role: RoleName,
    /// What it signed.
    pub file: TargetFile,
}

/// What the search wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum SearchStep<'a> {
    /// This delegated role. Give its bytes to [`Search::give`], or the role itself, if it was verified
    /// for the same delegator in the same set, to [`Search::give_trusted`].
    Role {
        /// The role that delegates.
        delegator: &'a Trusted<Targets>,
        /// The role wanted.
        role: &'a RoleName,
    },
    /// The search is over.
    Done(Option<&'a Found>),
}

impl Search {
    /// Starts at the top-level targets.
    ///
    /// # Errors
    /// None yet; the first step looks into the top-level targets, which are there already.
    #[must_use]
    pub fn new(set: TrustedSet, path: TargetPath) -> Self {
        let mut search = Self { set, path, pending: Vec::new(), visited: HashSet::new(), found: None };
        let targets = search.set.targets().clone();
        search.look_into(&targets);
        search
    }

    /// What is wanted now.
    #[must_use]
    pub fn step(&self) -> SearchStep<'_> {
        match self.pending.last() {
            Some((delegator, role)) => SearchStep::Role { delegator, role },
            None => SearchStep::Done(self.found.as_ref()),
        }
    }

    /// Takes the bytes of the role that [`Search::step`] named, and gives the verified role back for
    /// the driver's cache.
    ///
    /// # Errors
    /// As [`TrustedSet::delegated`]; [`ErrorKind::Limit`] after too many roles, and from then on. Else
    /// the search can go on with other bytes for the same role.
    pub fn give(&mut self, bytes: &Arc<[u8]>) -> Result<Option<Trusted<Targets>>, Error> {
        let Some((delegator, role)) = self.pending.last() else { return Ok(None) };
        let trusted = self.set.delegated(delegator, role, bytes)?;
        self.give_trusted(&trusted)?;
        Ok(Some(trusted))
    }

    /// Takes a role that was verified before, for the same delegator in the same set.
    ///
    /// # Errors
    /// [`ErrorKind::NotDelegated`] for another role than [`Search::step`] named; [`ErrorKind::OtherSnapshot`] for one
    /// verified in another set; [`ErrorKind::Limit`] if too many roles would follow.
    pub fn give_trusted(&mut self, role: &Trusted<Targets>) -> Result<(), Error> {
        let Some((delegator, name)) = self.pending.last() else { return Ok(()) };
        if name != role.role_name() {
            let kind = ErrorKind::NotDelegated { delegator: delegator.role_name().clone() };
            return Err(Error::new(kind).in_role(role.role_name()));
        }
        self.set.must_have(role).map_err(|error| error.in_role(name))?;
        self.check_limit()?;
        self.visited.insert((delegator.role_name().clone(), name.clone()));
        self.pending.pop();
        self.look_into(role);
        self.check_limit()
    }

    /// One role more than the limit stays wanted for ever, so that the search never ends as if nothing had been found.
    fn check_limit(&self) -> Result<(), Error> {
        let limit = self.set.limits().visited_roles;
        match self.pending.last() {
            Some((_, next)) if usize::try_from(limit).is_ok_and(|limit| self.visited.len() >= limit) => {
                let kind = ErrorKind::Limit { what: "roles visited in one search", limit: limit.into() };
                Err(Error::new(kind).in_role(next))
            }
            _ => Ok(()),
        }
    }

    fn look_into(&mut self, role: &Trusted<Targets>) {
        if let Some(file) = role.targets.get(&self.path) {
            self.found = Some(Found { role: role.role_name().clone(), file: file.clone() });
            self.pending.clear();
            return;
        }
        let covering = role.delegations.as_ref().map(|delegations| delegations.covering(&self.path));
        let mut children = Vec::new();
        for (name, terminating) in covering.unwrap_or_default() {
            children.push((role.clone(), name));
            if terminating {
                // Nothing after a terminating delegation is asked, in this role or above it.
                self.pending.clear();
                break;
            }
        }
        self.pending.extend(children.into_iter().rev());
        // A role is visited once for each delegator, which is what ends cycles.
        while self.pending.last().is_some_and(|(delegator, name)| {
            self.visited.contains(&(delegator.role_name().clone(), name.clone()))
        }) {
            self.pending.pop();
        }
    }
}
