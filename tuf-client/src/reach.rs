//! Whether a delegation reaches a target: what a role lists outside its delegated scope, no client finds.

use tuf_core::bins::SuccinctBins;
use tuf_core::{Delegated, Delegations, RoleName, Scope, TargetPath};

/// The paths for which one file asks one role.
#[derive(Debug)]
pub(crate) enum Reach<'a> {
    Scope(Scope),
    Bin(&'a SuccinctBins, &'a RoleName),
}

impl<'a> Reach<'a> {
    /// What `delegations` lets `role` sign for, if it names that role.
    pub(crate) fn of(delegations: &'a Delegations, role: &'a RoleName) -> Option<Self> {
        match &delegations.roles {
            Delegated::Roles(roles) => roles.get(role).map(|found| Self::Scope(found.scope)),
            Delegated::Succinct(bins) => bins.contains(role).then_some(Self::Bin(bins, role)),
            _ => None,
        }
    }

    pub(crate) fn covers(&self, path: &TargetPath) -> bool {
        match self {
            Self::Scope(scope) => scope.covers(path),
            Self::Bin(bins, role) => bins.role_of(path).as_ref() == Some(*role),
        }
    }
}
