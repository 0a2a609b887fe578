//! Files that were signed elsewhere, and who may sign what this machine signs.

use std::collections::BTreeMap;

use tuf_core::{Key, KeyId, Keys, RoleKeys, RoleName, Root, Targets, TopLevel};

use crate::config::RoleKind;
use crate::error::Error;
use crate::repository::Repository;
use crate::signing::role_keys;

/// Keys and threshold of a role on the word of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) keys: Keys,
    pub(crate) role: RoleKeys,
}

impl Listed {
    /// Those that `tuf-repo.toml` names, for a role that nobody named yet.
    pub(crate) fn configured(repository: &Repository, kind: RoleKind) -> Result<Self, Error> {
        let (role, keys) = role_keys(repository, kind)?;
        Ok(Self { keys, role })
    }

    /// Those that a root lists for a top-level role.
    pub(crate) fn of_root(root: &Root, role: TopLevel) -> Self {
        Self::of((&root.keys, root.role(role)))
    }

    /// Those of one role: its file may list the keys of thousands.
    pub(crate) fn of((keys, role): (&Keys, &RoleKeys)) -> Self {
        let keys = role.keyids.iter().filter_map(|id| Some((id.clone(), keys.get(id)?.clone())));
        Self { keys: keys.collect(), role: role.clone() }
    }

    /// The key IDs that stand for a key.
    pub(crate) fn ids_of(&self, key: &Key) -> impl Iterator<Item = &KeyId> {
        let public = key.public();
        let same = move |id: &&KeyId| public.is_some() && self.keys.get(id).and_then(Key::public) == public;
        self.role.keyids.iter().filter(same)
    }
}

/// Whole files that a publish takes as they are, and the root that comes after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignedElsewhere {
    files: BTreeMap<RoleName, SignedFile>,
    root: Option<(Root, String)>,
}

/// The next file of a targets role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedFile {
    pub(crate) value: Targets,
    pub(crate) text: String,
}

impl SignedElsewhere {
    /// Adds the next file of a targets role.
    pub(crate) fn add(&mut self, role: RoleName, value: Targets, text: String) {
        self.files.insert(role, SignedFile { value, text });
    }

    /// The root that is published next: what this machine signs must hold under it, too.
    pub(crate) fn set_root(&mut self, value: Root, text: String) {
        self.root = Some((value, text));
    }

    /// Whether there is no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether there is a file of this role.
    pub(crate) fn has(&self, role: &RoleName) -> bool {
        self.files.contains_key(role)
    }

    /// The root that comes next, as a file.
    pub(crate) fn next_root(&self) -> Option<&str> {
        self.root.as_ref().map(|(_, text)| text.as_str())
    }

    /// The root that comes next.
    pub(crate) fn next_root_value(&self) -> Option<&Root> {
        self.root.as_ref().map(|(root, _)| root)
    }

    /// Every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&RoleName, &SignedFile)> {
        self.files.iter()
    }
}
