//! A role that nobody could sign for any more is never proposed, nor signed.

use std::collections::BTreeSet;

use tuf_core::{Delegated, Key, KeyId, Keys, RoleKeys, Targets, TopLevel};

use super::bundle::Bundle;
use super::proposal::Proposal;

/// Refuses a proposal that gives a role fewer usable keys than its threshold. Delegations that stay as they were
/// published are not looked at: they may use keys that only other programs know.
pub(super) fn check(bundle: &Bundle, proposal: &Proposal) -> Result<(), String> {
    if let Some(root) = proposal.as_root() {
        for role in TopLevel::ALL {
            reachable(role.name(), &root.keys, root.role(role))?;
        }
    }
    let Some(new) = proposal.as_targets().and_then(|new| new.delegations.as_ref()) else { return Ok(()) };
    let old = bundle.base(proposal.role()).map(|base| base.targets.value());
    match &new.roles {
        Delegated::Roles(roles) => {
            for role in roles.iter() {
                if old.is_none_or(|old| !unchanged(old, &role.name, &new.keys, &role.keys)) {
                    reachable(role.name.as_str(), &new.keys, &role.keys)?;
                }
            }
            Ok(())
        }
        Delegated::Succinct(bins) => reachable("the hash bins", &new.keys, &bins.keys),
        _ => Err("delegations of an unknown form".to_owned()),
    }
}

fn unchanged(old: &Targets, role: &tuf_core::RoleName, keys: &Keys, role_keys: &RoleKeys) -> bool {
    let Some(delegations) = old.delegations.as_ref() else { return false };
    let same = |id: &KeyId| delegations.keys.get(id) == keys.get(id);
    delegations.role_keys(role).as_ref() == Some(role_keys) && role_keys.keyids.iter().all(same)
}

/// The number of distinct keys among these.
pub(super) fn distinct<'k>(keys: impl IntoIterator<Item = &'k Key>) -> usize {
    keys.into_iter().filter_map(Key::public).collect::<BTreeSet<_>>().len()
}

fn reachable(role: &str, keys: &Keys, role_keys: &RoleKeys) -> Result<(), String> {
    let have = distinct(role_keys.keyids.iter().filter_map(|id| keys.get(id)));
    let needed = role_keys.threshold();
    if usize::try_from(needed).is_ok_and(|needed| have >= needed) {
        return Ok(());
    }
    Err(format!("{role} would need {needed} keys and have {have}: nobody could sign for it any more"))
}
