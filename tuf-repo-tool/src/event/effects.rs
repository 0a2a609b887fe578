//! What an event changes of who may sign, role by role.

use std::collections::BTreeSet;

use tuf_core::{Delegated, Delegations, Key, Keys, PublicKey, RoleKeys, RoleName, TopLevel};

use super::bundle::Bundle;
use super::proposal::Proposal;
use crate::config::{RoleKind, section};

/// What one file of an event changes of the keys of a role; hash bins are one role.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    /// The role, as `tuf-repo.toml` calls it.
    pub(crate) role: String,
    /// Keys that may sign from then on.
    pub(crate) added: Vec<Key>,
    /// Keys that no longer may.
    pub(crate) removed: Vec<Key>,
    /// How many must, if that changes.
    pub(crate) threshold: Option<u32>,
}

/// What all files of an event change; roles that it begins to delegate are not among them.
pub(crate) fn effects(bundle: &Bundle) -> Vec<Effect> {
    let mut effects = Vec::new();
    for proposal in bundle.proposals() {
        if let Some(root) = proposal.as_root() {
            let old = bundle.chain().root();
            for role in TopLevel::ALL {
                let before = (&old.keys, old.role(role));
                effects.push(effect(role.name(), before, (&root.keys, root.role(role))));
            }
        }
        let new = proposal.as_targets().and_then(|targets| targets.delegations.as_ref());
        let old = bundle.base(proposal.role()).and_then(|base| base.targets.delegations.as_ref());
        let (Some(old), Some(new)) = (old, new) else { continue };
        let before = named(old);
        for (role, keys) in named(new) {
            if let Some((_, known)) = before.iter().find(|(known, _)| *known == role) {
                effects.push(effect(&role, (&old.keys, known), (&new.keys, &keys)));
            }
        }
    }
    effects
}

/// Whether an event lets all these keys sign for these roles, and those no longer.
pub(crate) fn does(bundle: &Bundle, added: &[(String, Key)], removed: &[(String, Key)]) -> bool {
    let effects = effects(bundle);
    let all = |wanted: &[(String, Key)], of: fn(&Effect) -> &[Key]| {
        wanted.iter().all(|(role, key)| {
            let same = |known: &Key| known.public() == key.public();
            effects.iter().any(|effect| effect.role == *role && of(effect).iter().any(same))
        })
    };
    all(added, |effect| &effect.added) && all(removed, |effect| &effect.removed)
}

/// The delegated roles of a file with their keys: hash bins have one entry together.
pub(crate) fn named(delegations: &Delegations) -> Vec<(String, RoleKeys)> {
    match &delegations.roles {
        Delegated::Roles(roles) => {
            let mut named: Vec<(String, RoleKeys)> = Vec::new();
            let mut seen = BTreeSet::new();
            for role in roles.iter() {
                let name = section(&role.name).into_owned();
                if seen.insert(name.clone()) {
                    named.push((name, role.keys));
                }
            }
            named
        }
        Delegated::Succinct(bins) => vec![(RoleKind::BinN.name().to_owned(), bins.keys.clone())],
        _ => Vec::new(),
    }
}

fn effect(role: &str, old: (&Keys, &RoleKeys), new: (&Keys, &RoleKeys)) -> Effect {
    let keys = |(keys, role): (&Keys, &RoleKeys)| -> Vec<Key> {
        role.keyids.iter().filter_map(|id| keys.get(id).cloned()).collect()
    };
    let (before, after) = (keys(old), keys(new));
    let publics =
        |keys: &[Key]| -> BTreeSet<PublicKey> { keys.iter().filter_map(Key::public).cloned().collect() };
    let only = |these: &[Key], others: &BTreeSet<PublicKey>| -> Vec<Key> {
        let is_new = |key: &&Key| key.public().is_some_and(|public| !others.contains(public));
        these.iter().filter(is_new).cloned().collect()
    };
    Effect {
        role: role.to_owned(),
        added: only(&after, &publics(&before)),
        removed: only(&before, &publics(&after)),
        threshold: (new.1.threshold() != old.1.threshold()).then(|| new.1.threshold()),
    }
}

/// Whether an event signs the file of a role anew.
pub(crate) fn signs(bundle: &Bundle, role: &RoleName) -> bool {
    bundle.proposals().iter().map(Proposal::role).any(|signed| signed == role)
}
