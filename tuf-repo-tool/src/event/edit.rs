//! Changes to who may sign for a role.

use std::collections::BTreeSet;

use tuf_core::{Delegated, Delegations, Key, KeyId, RoleKeys, RoleName, Root, TopLevel};

use super::thresholds::distinct;
use crate::config::{RoleKind, section};
use crate::edit::NamedBins;

/// A key, and what people call it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NamedKey {
    /// Its name: a help for signers, signed by nobody.
    pub name: String,
    /// Its public half.
    pub key: Key,
}

impl NamedKey {
    /// A key and its name.
    #[must_use]
    pub const fn new(name: String, key: Key) -> Self {
        Self { name, key }
    }
}

/// Changes to keys and thresholds, each for a role; hash bins together are `bin-n`, those below the role `NAME`
/// `NAME-bin-n`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyChanges {
    /// Keys that may sign from now on.
    pub add: Vec<(String, NamedKey)>,
    /// Keys that no longer may: the start of a key ID that only one key of the role has.
    pub remove: Vec<(String, String)>,
    /// How many must sign from now on.
    pub thresholds: Vec<(String, u32)>,
}

/// Keys of a role, each under the ID that the file gives it.
type Listed = Vec<(KeyId, Key)>;

impl KeyChanges {
    /// The roles whose keys or thresholds are to change.
    pub(super) fn roles(&self) -> BTreeSet<&str> {
        let added = self.add.iter().map(|(role, _)| role.as_str());
        let removed = self.remove.iter().map(|(role, _)| role.as_str());
        added.chain(removed).chain(self.thresholds.iter().map(|(role, _)| role.as_str())).collect()
    }

    /// Those of one role.
    pub(super) fn of_role(&self, role: &str) -> Self {
        let of = |name: &String| name == role;
        Self {
            add: self.add.iter().filter(|(name, _)| of(name)).cloned().collect(),
            remove: self.remove.iter().filter(|(name, _)| of(name)).cloned().collect(),
            thresholds: self.thresholds.iter().filter(|(name, _)| of(name)).cloned().collect(),
        }
    }

    /// Takes others as well.
    pub(super) fn extend(&mut self, other: Self) {
        self.add.extend(other.add);
        self.remove.extend(other.remove);
        self.thresholds.extend(other.thresholds);
    }

    fn concern(&self, role: &str) -> bool {
        self.roles().contains(role)
    }

    /// Keys and threshold of a role after the changes.
    fn apply(&self, role: &str, mut keys: Listed, threshold: u32) -> Result<(Listed, u32), String> {
        for (_, NamedKey { name, key }) in self.add.iter().filter(|(of, _)| of == role) {
            if keys.iter().any(|(_, old)| old.public() == key.public()) {
                return Err(format!("key {name} may sign for {role} already"));
            }
            keys.push((key.id(), key.clone()));
        }
        for (_, start) in self.remove.iter().filter(|(of, _)| of == role) {
            let mut found = keys.iter().filter(|(id, _)| id.as_str().starts_with(start.as_str()));
            let (Some((id, _)), None) = (found.next().cloned(), found.next()) else {
                let ids: Vec<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
                return Err(format!(
                    "{start:?} is not the start of one key ID of {role}: {}",
                    ids.join(", ")
                ));
            };
            keys.retain(|(other, _)| *other != id);
        }
        let threshold =
            self.thresholds.iter().rev().find(|(of, _)| of == role).map_or(threshold, |(_, new)| *new);
        let have = distinct(keys.iter().map(|(_, key)| key));
        if threshold == 0 || usize::try_from(threshold).map_or(true, |threshold| have < threshold) {
            return Err(format!(
                "{role} would need {threshold} of {have} keys: nobody could sign for it any more"
            ));
        }
        Ok((keys, threshold))
    }

    /// Changes a root.
    pub(crate) fn apply_to_root(&self, root: &mut Root) -> Result<(), String> {
        for role in self.roles() {
            let Some(top) = TopLevel::ALL.into_iter().find(|top| top.name() == role) else {
                return Err(format!("root does not list {role}: who delegates it names its keys"));
            };
            let current = root.role(top).clone();
            let listed = |id: &KeyId| Some((id.clone(), root.keys.get(id)?.clone()));
            let keys = current.keyids.iter().filter_map(listed).collect();
            let (keys, threshold) = self.apply(role, keys, current.threshold())?;
            root.set_role(top, keys.iter().map(|(_, key)| key), threshold);
        }
        Ok(())
    }

    /// Changes the delegations of a role.
    pub(crate) fn apply_to_delegations(
        &self,
        delegator: &RoleName,
        delegations: Option<&mut Delegations>,
    ) -> Result<(), String> {
        if self.roles().is_empty() {
            return Ok(());
        }
        let Some(delegations) = delegations else { return Err(format!("{delegator} delegates nothing")) };
        let mut found = BTreeSet::new();
        let Delegations { keys, roles, .. } = delegations;
        match roles {
            Delegated::Roles(roles) => {
                // Thousands of bins have the same keys: what becomes of them is worked out once.
                let mut last: Option<(RoleKeys, RoleKeys)> = None;
                let mut changed: Vec<_> = roles.iter().collect();
                for role in &mut changed {
                    let name = self.called(&role.name);
                    if !self.concern(&name) {
                        continue;
                    }
                    let new = match &last {
                        Some((before, after)) if *before == role.keys => after.clone(),
                        _ => self.changed(&name, keys, &role.keys)?,
                    };
                    last = Some((std::mem::replace(&mut role.keys, new.clone()), new));
                    found.insert(name);
                }
                *roles = changed.into();
            }
            Delegated::Succinct(bins) => {
                let name = RoleKind::BinN.name().to_owned();
                if self.concern(&name) {
                    bins.keys = self.changed(&name, keys, &bins.keys)?;
                    found.insert(name);
                }
            }
            _ => {}
        }
        if let Some(other) = self.roles().into_iter().find(|role| !found.contains(*role)) {
            return Err(format!("{delegator} does not delegate {other}: who does names its keys"));
        }
        let used: BTreeSet<KeyId> = match &delegations.roles {
            Delegated::Roles(roles) => roles.iter().flat_map(|role| role.keys.keyids.to_vec()).collect(),
            Delegated::Succinct(bins) => bins.keys.keyids.iter().cloned().collect(),
            _ => return Ok(()),
        };
        delegations.keys.retain(|id, _| used.contains(id));
        Ok(())
    }

    /// The name by which the changes call a role: hash bins have one together, unless one is named itself.
    fn called(&self, role: &RoleName) -> String {
        match NamedBins::split(role) {
            Some(_) if !self.concern(role.as_str()) => section(role).into_owned(),
            _ => role.as_str().to_owned(),
        }
    }

    fn changed(&self, name: &str, keys: &mut tuf_core::Keys, current: &RoleKeys) -> Result<RoleKeys, String> {
        let listed =
            current.keyids.iter().filter_map(|id| Some((id.clone(), keys.get(id)?.clone()))).collect();
        let (listed, threshold) = self.apply(name, listed, current.threshold())?;
        let mut new = RoleKeys::new(listed.iter().map(|(id, _)| id.clone()).collect(), threshold);
        new.extra = current.extra.clone();
        for (id, key) in listed {
            if keys.get(&id).is_some_and(|other| other.public() != key.public()) {
                return Err(format!("another key is listed as {id} already"));
            }
            keys.insert(id, key);
        }
        Ok(new)
    }
}
