//! The targets roles of a repository that has published nothing yet.

use tuf_core::bins::HashBins;
use tuf_core::{Delegated, Delegation, Delegations, RoleName, Scope, Targets, TopLevel};

use crate::config::RoleKind;
use crate::edit::{NamedBins, Tree};
use crate::error::Error;
use crate::repository::Repository;
use crate::signing::role_keys;

/// The role between `targets` and the hash bins (PEP 458).
#[must_use]
pub fn bins_role() -> RoleName {
    // A constant name that is valid.
    RoleName::new("bins").unwrap_or_else(|_| TopLevel::Targets.role())
}

/// Targets, bins and every hash bin, empty, for so many targets.
///
/// # Errors
/// [`Error::Key`], [`Error::TooFewKeys`].
pub(crate) fn first_tree(repository: &Repository, targets: u64) -> Result<Tree<'static>, Error> {
    let empty = Targets::new(repository.now());
    let mut top = empty.clone();
    let name = TopLevel::Targets.role();
    if !repository.config.has_bins() {
        return Ok(Tree::first([(name, None, top)]));
    }
    let count = match repository.config.bins {
        Some(count) => HashBins::new(count).unwrap_or_else(|_| HashBins::for_targets(count.into())),
        None => HashBins::for_targets(targets),
    };
    let bins_role = bins_role();
    let bins = NamedBins::new(&bins_role, count);
    let (bin_keys, keys) = role_keys(repository, RoleKind::BinN)?;
    let mut middle = empty.clone();
    middle.delegations = Some(Delegations::new(keys, Delegated::Roles(bins.delegations(&bin_keys).into())));

    let (bins_keys, keys) = role_keys(repository, RoleKind::Bins)?;
    let prefixes = "0123456789abcdef".chars().map(String::from).collect();
    let delegation = Delegation::new(bins_role.clone(), bins_keys, Scope::PathHashPrefixes(prefixes));
    top.delegations = Some(Delegations::new(keys, Delegated::Roles(vec![delegation].into())));

    let mut roles = vec![(name.clone(), None, top), (bins_role.clone(), Some(name), middle)];
    roles.extend(bins.names().map(|bin| (bin, Some(bins_role.clone()), empty.clone())));
    Ok(Tree::first(roles))
}
