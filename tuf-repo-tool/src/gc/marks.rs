//! Which files are needed, in a few bytes for each.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// A set of names that may say yes to one that is not in it: of a million names, to one in 10^13. That keeps a file that could
/// go. The key of the hash is another one each time, so that nobody can look for such names.
#[derive(Debug, Default)]
pub(super) struct Marks {
    hasher: RandomState,
    marked: HashSet<u64>,
}

impl Marks {
    /// Whether it is new.
    pub(super) fn insert(&mut self, name: &str) -> bool {
        self.marked.insert(self.hasher.hash_one(name))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.marked.contains(&self.hasher.hash_one(name))
    }
}
