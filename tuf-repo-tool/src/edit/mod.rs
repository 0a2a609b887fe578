//! Staged changes of roles, and where targets belong.
//!
//! An [`Edit`] is a change to the delegations of one role. It is checked when it is staged, and again when it is
//! published against what is published then. It carries whole public keys: what is trusted is never derived from
//! `tuf-repo.toml`, which only says which keys this machine can sign with.

mod apply;
mod bins;
mod error;
mod files;
mod keyring;
mod manifest;
mod node;
mod rules;
mod sizing;
mod stage;
mod staged;
mod tree;
mod view;

use serde::{Deserialize, Serialize};
use tuf_core::{Key, RoleName};

pub use apply::apply;
pub(crate) use bins::{NamedBins, remade};
pub use error::EditError;
pub use files::{FileError, Found, case_collisions, find_files, place, target_of};
pub(crate) use keyring::{Holder, Keyring, is_here};
pub use manifest::{Format, ManifestError, Row, Staged, rows, stage_manifest};
pub(crate) use node::{KnownBins, Node};
pub use rules::warnings;
pub use sizing::{Choice, Sizing, sizing};
pub(crate) use stage::event_for;
pub use stage::{Checked, Standing, delegator_of, stage, standing};
pub(crate) use staged::forget_edits;
pub use staged::{clear_staged, stage_edit, staged_changes, staged_edits};
pub(crate) use tree::{Tree, Visit};
pub use view::{RoleView, view};

/// A staged change to the delegations of one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Edit {
    /// A new delegated role.
    AddDelegation(AddDelegation),
    /// What changes of a delegation.
    EditDelegation(EditDelegation),
    /// No delegation to this role any more. The snapshot keeps its entry: clients refuse one that loses any.
    RemoveDelegation {
        /// The role that delegates.
        #[serde(with = "as_name")]
        delegator: RoleName,
        /// The role delegated to.
        #[serde(with = "as_name")]
        role: RoleName,
    },
    /// What changes of all hash bins below a role.
    EditBins(EditBins),
}

/// A new delegated role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AddDelegation {
    /// The role that delegates.
    #[serde(with = "as_name")]
    pub delegator: RoleName,
    /// The new role.
    #[serde(with = "as_name")]
    pub role: RoleName,
    /// Who may sign for it.
    #[serde(with = "as_objects")]
    pub keys: Vec<Key>,
    /// How many must.
    pub threshold: u32,
    /// The paths it may sign for.
    pub scope: EditScope,
    /// Whether no later delegation is asked for these paths.
    pub terminating: bool,
    /// Where in the order of delegations.
    pub place: Place,
    /// Hash bins below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<AddBins>,
}

/// Hash bins below a new role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AddBins {
    /// How many: a power of two.
    pub count: u32,
    /// Who may sign for each of them.
    #[serde(with = "as_objects")]
    pub keys: Vec<Key>,
    /// How many must.
    pub threshold: u32,
}

/// What changes of a delegation; what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EditDelegation {
    /// The role that delegates.
    #[serde(with = "as_name")]
    pub delegator: RoleName,
    /// The role delegated to.
    #[serde(with = "as_name")]
    pub role: RoleName,
    /// Who may sign for it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_objects::optional")]
    pub keys: Option<Vec<Key>>,
    /// How many must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// The paths it may sign for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<EditScope>,
    /// Whether no later delegation is asked for these paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
    /// Where in the order of delegations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// What changes of all hash bins below a role; what is absent stays. Every bin is signed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EditBins {
    /// The role that delegates to them.
    #[serde(with = "as_name")]
    pub delegator: RoleName,
    /// How many: a power of two. Others get other names, so that no name ever means other paths than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// How many keys must sign each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
}

/// The paths a role may sign for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EditScope {
    /// Patterns, see [`tuf_core::pattern`].
    Paths(Vec<String>),
    /// Prefixes of the SHA-256 of the path, in lower-case hex.
    PathHashPrefixes(Vec<String>),
}

/// A place in the order of delegations: the earlier role is asked first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// Before the first role that may sign for all paths, or at the end.
    Auto,
    /// This one, from 1.
    At(u32),
    /// Right before another role.
    Before(#[serde(with = "as_name")] RoleName),
}

impl AddDelegation {
    /// A role that one of `keys` signs for, below `delegator`.
    #[must_use]
    pub const fn new(delegator: RoleName, role: RoleName, keys: Vec<Key>, scope: EditScope) -> Self {
        Self {
            delegator,
            role,
            keys,
            threshold: 1,
            scope,
            terminating: false,
            place: Place::Auto,
            bins: None,
        }
    }
}

impl AddBins {
    /// So many bins that one of `keys` signs for.
    #[must_use]
    pub const fn new(count: u32, keys: Vec<Key>) -> Self {
        Self { count, keys, threshold: 1 }
    }
}

impl EditDelegation {
    /// An edit that changes nothing yet.
    #[must_use]
    pub const fn new(delegator: RoleName, role: RoleName) -> Self {
        Self { delegator, role, keys: None, threshold: None, scope: None, terminating: None, place: None }
    }
}

impl EditBins {
    /// An edit that changes nothing yet.
    #[must_use]
    pub const fn new(delegator: RoleName) -> Self {
        Self { delegator, count: None, threshold: None }
    }
}

impl Edit {
    /// The role whose file changes.
    #[must_use]
    pub const fn delegator(&self) -> &RoleName {
        match self {
            Self::AddDelegation(edit) => &edit.delegator,
            Self::EditDelegation(edit) => &edit.delegator,
            Self::RemoveDelegation { delegator, .. } => delegator,
            Self::EditBins(edit) => &edit.delegator,
        }
    }

    /// The role delegated to; of hash bins, the role above them.
    #[must_use]
    pub const fn role(&self) -> &RoleName {
        match self {
            Self::AddDelegation(edit) => &edit.role,
            Self::EditDelegation(edit) => &edit.role,
            Self::RemoveDelegation { role, .. } => role,
            Self::EditBins(edit) => &edit.delegator,
        }
    }

    /// In one line, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let (delegator, role) = (self.delegator(), self.role());
        match self {
            Self::AddDelegation(edit) => {
                format!("+ role {role} below {delegator}: {} of {} keys", edit.threshold, edit.keys.len())
            }
            Self::EditDelegation(edit) => {
                let changed = [
                    edit.keys.is_some().then_some("keys"),
                    edit.threshold.is_some().then_some("threshold"),
                    edit.scope.is_some().then_some("paths"),
                    edit.terminating.is_some().then_some("terminating"),
                    edit.place.is_some().then_some("order"),
                ];
                let changed: Vec<_> = changed.into_iter().flatten().collect();
                format!("~ role {role} below {delegator}: {}", changed.join(", "))
            }
            Self::RemoveDelegation { .. } => format!("- role {role} below {delegator}"),
            Self::EditBins(edit) => {
                let count = edit.count.map(|count| format!("{count} of them"));
                let threshold = edit.threshold.map(|threshold| format!("{threshold} keys sign each"));
                let changed: Vec<_> = count.into_iter().chain(threshold).collect();
                format!("~ hash bins below {delegator}: {}", changed.join(", "))
            }
        }
    }
}

/// A role's name as text.
mod as_name {
    use serde::{Deserialize, Deserializer, Serializer};
    use tuf_core::RoleName;

    pub(super) fn serialize<S: Serializer>(name: &RoleName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoleName, D::Error> {
        RoleName::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Keys as the objects that metadata lists.
mod as_objects {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tuf_core::Key;

    pub(super) fn serialize<S: Serializer>(keys: &[Key], serializer: S) -> Result<S::Ok, S::Error> {
        let objects: Result<Vec<_>, _> = keys.iter().map(Key::to_json).collect();
        objects.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
        let objects = Vec::<serde_json::Value>::deserialize(deserializer)?;
        objects.iter().map(|object| Key::from_json(object).map_err(serde::de::Error::custom)).collect()
    }

    pub(super) mod optional {
        use serde::{Deserializer, Serializer};
        use tuf_core::Key;

        pub(in super::super) fn serialize<S: Serializer>(
            keys: &Option<Vec<Key>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            super::serialize(keys.as_deref().unwrap_or_default(), serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<Key>>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

#[cfg(test)]
mod tests;
