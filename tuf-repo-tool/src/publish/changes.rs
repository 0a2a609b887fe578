//! What is to be published next.

use std::collections::BTreeMap;

use tuf_core::{TargetFile, TargetPath};

/// What is to change: for each path what is to be signed of it, or nothing any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<TargetPath, Option<TargetFile>>);

impl Changes {
    /// Adds or replaces a target.
    pub fn set(&mut self, path: TargetPath, file: TargetFile) {
        self.0.insert(path, Some(file));
    }

    /// Removes a target.
    pub fn remove(&mut self, path: TargetPath) {
        self.0.insert(path, None);
    }

    /// All changes by path.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetPath, Option<&TargetFile>)> {
        self.0.iter().map(|(path, file)| (path, file.as_ref()))
    }

    /// Whether a path is to be changed.
    #[must_use]
    pub fn contains(&self, path: &TargetPath) -> bool {
        self.0.contains_key(path)
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of paths.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
