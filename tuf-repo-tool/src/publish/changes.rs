//! What is to be published next.

use std::collections::BTreeMap;

use tuf_core::{RoleName, TargetFile, TargetPath};

use super::elsewhere::SignedElsewhere;
use crate::edit::Edit;

/// What is to change: of roles, and of targets. For each path it holds what is to be signed of it, or nothing
/// any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    edits: Vec<Edit>,
    targets: BTreeMap<TargetPath, Change>,
    elsewhere: SignedElsewhere,
}

/// What is to change of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What is to be signed; `None`: nothing any more.
    pub file: Option<TargetFile>,
    /// The role that is to list it, or to list it no longer; `None`: as the delegations say.
    pub role: Option<RoleName>,
}

impl From<TargetFile> for Change {
    /// To be signed by the role that the delegations say.
    fn from(file: TargetFile) -> Self {
        Self { file: Some(file), role: None }
    }
}

impl Changes {
    /// Adds or replaces a target.
    pub fn set(&mut self, path: TargetPath, file: TargetFile) {
        self.change(path, Some(file), None);
    }

    /// Removes a target.
    pub fn remove(&mut self, path: TargetPath) {
        self.change(path, None, None);
    }

    /// Adds, replaces (`file`) or removes (`None`) a target, in this role and no other.
    pub fn change(&mut self, path: TargetPath, file: Option<TargetFile>, role: Option<RoleName>) {
        self.targets.insert(path, Change { file, role });
    }

    /// The edits of roles that are made before targets change.
    #[must_use]
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Whole files that are taken as they are, and the root that comes after them.
    pub(crate) const fn elsewhere(&self) -> &SignedElsewhere {
        &self.elsewhere
    }

    /// Takes files that were signed elsewhere.
    pub(crate) fn set_elsewhere(&mut self, elsewhere: SignedElsewhere) {
        self.elsewhere = elsewhere;
    }

    /// Replaces the edits of roles.
    pub fn set_edits(&mut self, edits: Vec<Edit>) {
        self.edits = edits;
    }

    /// All changes of targets by path.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetPath, Option<&TargetFile>)> {
        self.targets.iter().map(|(path, change)| (path, change.file.as_ref()))
    }

    /// As [`Changes::iter`], with the role that was asked for.
    pub fn targets(&self) -> impl Iterator<Item = (&TargetPath, &Change)> {
        self.targets.iter()
    }

    /// Whether a target is to be changed.
    #[must_use]
    pub fn contains(&self, path: &TargetPath) -> bool {
        self.targets.contains_key(path)
    }

    /// Whether there is no target to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The number of targets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.targets.len()
    }
}
