//! An edit, made in the file of the role that delegates.

use std::collections::BTreeSet;

use tuf_core::{Delegated, Delegation, Delegations, Key, KeyId, Keys, RoleKeys, RoleName, Scope, Targets};

use super::{AddDelegation, Edit, EditBins, EditDelegation, EditError, EditScope, NamedBins, Place, rules};

/// Makes an edit in the file of its delegator, which stays unsigned: whoever publishes it signs, and so does a
/// signing event. Version and expiry stay as they were.
///
/// # Errors
/// [`EditError`] if the edit, or the file with it, could not be.
pub fn apply(edit: &Edit, value: &mut Targets) -> Result<(), EditError> {
    rules::check(edit)?;
    let delegator = edit.delegator();
    let delegations = value
        .delegations
        .get_or_insert_with(|| Delegations::new(Keys::new(), Delegated::Roles(Vec::new().into())));
    if let Edit::EditBins(edit) = edit {
        return change_bins(edit, delegations);
    }
    let bins = NamedBins::of(delegator, delegations).is_some();
    let Delegated::Roles(listed) = &mut delegations.roles else {
        return Err(EditError::HashBins { delegator: delegator.clone() });
    };
    if bins {
        return Err(EditError::HashBins { delegator: delegator.clone() });
    }
    let roles = &mut listed.iter().collect();
    let keys = &mut delegations.keys;
    match edit {
        Edit::AddDelegation(edit) => add(edit, keys, roles)?,
        Edit::EditDelegation(edit) => change(edit, keys, roles)?,
        Edit::RemoveDelegation { delegator, role } => {
            let index = position(delegator, role, roles)?;
            roles.remove(index);
        }
        Edit::EditBins(_) => {}
    }
    let used: BTreeSet<&KeyId> = roles.iter().flat_map(|role| role.keys.keyids.iter()).collect();
    keys.retain(|id, _| used.contains(id));
    *listed = std::mem::take(roles).into();
    if listed.is_empty() {
        value.delegations = None;
    }
    Ok(())
}

fn add(edit: &AddDelegation, keys: &mut Keys, roles: &mut Vec<Delegation>) -> Result<(), EditError> {
    let AddDelegation { delegator, role, .. } = edit;
    if roles.iter().any(|delegation| delegation.name == *role) {
        return Err(EditError::Delegated { role: role.clone(), delegator: delegator.clone() });
    }
    let role_keys = RoleKeys::new(list_keys(keys, &edit.keys), edit.threshold);
    let mut delegation = Delegation::new(role.clone(), role_keys, scope(&edit.scope));
    delegation.terminating = edit.terminating;
    let index = place(&edit.place, delegator, role, roles)?;
    roles.insert(index, delegation);
    Ok(())
}

fn change(edit: &EditDelegation, keys: &mut Keys, roles: &mut Vec<Delegation>) -> Result<(), EditError> {
    let EditDelegation { delegator, role, .. } = edit;
    let index = position(delegator, role, roles)?;
    let mut delegation = roles.remove(index);
    if let Some(wanted) = &edit.keys {
        delegation.keys = RoleKeys::new(list_keys(keys, wanted), delegation.keys.threshold());
    }
    if let Some(threshold) = edit.threshold {
        delegation.keys.set_threshold(threshold);
    }
    let distinct: BTreeSet<_> =
        delegation.keys.keyids.iter().filter_map(|id| keys.get(id)?.public()).collect();
    rules::check_threshold(role, delegation.keys.threshold(), distinct.len())?;
    if let Some(wanted) = &edit.scope {
        delegation.scope = scope(wanted);
    }
    delegation.terminating = edit.terminating.unwrap_or(delegation.terminating);
    let index = match &edit.place {
        Some(wanted) => place(wanted, delegator, role, roles)?,
        None => index,
    };
    roles.insert(index, delegation);
    Ok(())
}

fn change_bins(edit: &EditBins, delegations: &mut Delegations) -> Result<(), EditError> {
    let role = &edit.delegator;
    let none = || EditError::NoBins { role: role.clone() };
    let bins = NamedBins::of(role, delegations).ok_or_else(none)?;
    let Delegated::Roles(listed) = &mut delegations.roles else { return Err(none()) };
    let mut keys = listed.iter().next().ok_or_else(none)?.keys;
    if listed.iter().any(|bin| bin.keys != keys) {
        return Err(none());
    }
    let count = edit.count.unwrap_or_else(|| bins.count());
    let threshold = edit.threshold.unwrap_or_else(|| keys.threshold());
    if (count, threshold) == (bins.count(), keys.threshold()) {
        return Err(EditError::SameBins { role: role.clone(), count, threshold });
    }
    let distinct: BTreeSet<_> =
        keys.keyids.iter().filter_map(|id| delegations.keys.get(id)?.public()).collect();
    rules::check_threshold(role, threshold, distinct.len())?;
    keys.set_threshold(threshold);
    *listed = NamedBins::new(role, rules::check_count(role, count)?).delegations(&keys).into();
    Ok(())
}

/// Adds keys to those of the file, and gives the IDs that they have there. One that is there already under another
/// ID stays under that.
fn list_keys(keys: &mut Keys, wanted: &[Key]) -> Vec<KeyId> {
    let mut ids: Vec<KeyId> = Vec::new();
    for key in wanted {
        let known = keys.iter().find(|(_, known)| known.public() == key.public()).map(|(id, _)| id.clone());
        let id = known.unwrap_or_else(|| {
            keys.insert(key.id(), key.clone());
            key.id()
        });
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// The keys and the threshold of hash bins, and the file of a new role that delegates to them.
pub(super) fn new_role(edit: &AddDelegation, empty: &Targets) -> (Targets, Option<NamedBins>) {
    let mut value = empty.clone();
    let Some(wanted) = &edit.bins else { return (value, None) };
    let Ok(count) = tuf_core::bins::HashBins::new(wanted.count) else { return (value, None) };
    let bins = NamedBins::new(&edit.role, count);
    let mut keys = Keys::new();
    let role_keys = RoleKeys::new(list_keys(&mut keys, &wanted.keys), wanted.threshold);
    value.delegations = Some(Delegations::new(keys, Delegated::Roles(bins.delegations(&role_keys).into())));
    (value, Some(bins))
}

pub(super) fn scope(scope: &EditScope) -> Scope {
    match scope {
        EditScope::Paths(patterns) => Scope::Paths(patterns.clone().into()),
        EditScope::PathHashPrefixes(prefixes) => Scope::PathHashPrefixes(prefixes.clone().into()),
    }
}

fn position(delegator: &RoleName, role: &RoleName, roles: &[Delegation]) -> Result<usize, EditError> {
    roles
        .iter()
        .position(|delegation| delegation.name == *role)
        .ok_or_else(|| EditError::NotDelegated { delegator: delegator.clone(), role: role.clone() })
}

fn place(
    place: &Place,
    delegator: &RoleName,
    role: &RoleName,
    roles: &[Delegation],
) -> Result<usize, EditError> {
    match place {
        Place::Auto => Ok(roles.iter().position(covers_all).unwrap_or(roles.len())),
        Place::Before(other) => position(delegator, other, roles),
        Place::At(found) => usize::try_from(*found)
            .ok()
            .and_then(|place| place.checked_sub(1))
            .filter(|index| *index <= roles.len())
            .ok_or_else(|| EditError::Position { role: role.clone(), last: roles.len() + 1, found: *found }),
    }
}

/// Whether a delegation is by hash prefixes that are those of all paths.
pub(super) fn covers_all(delegation: &Delegation) -> bool {
    let Scope::PathHashPrefixes(prefixes) = &delegation.scope else { return false };
    let prefixes: BTreeSet<_> = prefixes.iter().collect();
    prefixes.contains("")
        || "0123456789abcdef".chars().all(|digit| prefixes.contains(digit.to_string().as_str()))
}
