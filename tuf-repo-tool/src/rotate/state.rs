//! `state/rotation.json`: which key replaces which, and until when both sign. A help for going on where a command was
//! killed: what is lost with it is only how long an overlap was to last, which then begins anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tuf_client::durable;
use tuf_core::Key;

use super::DEFAULT_OVERLAP;
use crate::config::Period;
use crate::error::Error;
use crate::keys::KeyUri;
use crate::repository::Repository;

/// All rotations of a repository that this machine knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotations {
    /// By the ID of the key that goes.
    #[serde(default)]
    keys: BTreeMap<String, Rotation>,
    /// When what follows a root may be published, by the version of that root.
    #[serde(default)]
    roots: BTreeMap<u64, DateTime<Utc>>,
}

/// One key that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    /// Its name.
    pub(crate) name: String,
    /// Where the new one is.
    pub(crate) by: KeyUri,
    /// How long both sign, or how long what the new key signed waits.
    pub(crate) overlap: Period,
    /// Until when both sign, once the new root is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<DateTime<Utc>>,
}

impl Rotations {
    fn path(repository: &Repository) -> PathBuf {
        repository.state().join("rotation.json")
    }

    /// What is noted; what cannot be read is as good as nothing.
    pub(crate) fn load(repository: &Repository) -> Self {
        let bytes = std::fs::read(Self::path(repository)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes it, as a whole.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn save(&self, repository: &Repository) -> Result<(), Error> {
        let path = Self::path(repository);
        let bytes =
            serde_json::to_vec_pretty(self).map_err(|error| Error::io("write", &path, error.into()))?;
        Ok(durable::write_private(&path, &bytes)?)
    }

    /// The rotation of a key.
    pub(crate) fn of(&self, old: &Key) -> Option<&Rotation> {
        self.keys.get(old.id().as_str())
    }

    /// Those whose old key still may sign.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Rotation> {
        self.keys.values().filter(|rotation| rotation.until.is_none())
    }

    /// Notes that a key is replaced.
    pub(crate) fn begin(&mut self, old: &Key, rotation: Rotation) {
        self.keys.insert(old.id().as_str().to_owned(), rotation);
    }

    /// Until when a key that the published root no longer lists goes on signing: noted now, if it was not before.
    /// `unknown` is for one of whose rotation nothing is noted.
    pub(crate) fn until(
        &mut self,
        old: &Key,
        unknown: impl FnOnce() -> Rotation,
        now: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let rotation = self.keys.entry(old.id().as_str().to_owned()).or_insert_with(unknown);
        *rotation.until.get_or_insert_with(|| now + rotation.overlap.delta())
    }

    /// When what follows a root may be published: after the longest overlap that was asked for, from now, if it was not
    /// noted before.
    pub(crate) fn grace(&mut self, root: u64, now: DateTime<Utc>) -> DateTime<Utc> {
        let longest = self.pending().map(|rotation| rotation.overlap.delta()).max();
        *self.roots.entry(root).or_insert_with(|| now + longest.unwrap_or(DEFAULT_OVERLAP))
    }

    /// No root is waited for any longer.
    pub(crate) fn end_graces(&mut self, now: DateTime<Utc>) {
        self.roots.values_mut().for_each(|until| *until = now.min(*until));
    }

    /// Forgets the keys that are not used any more, and the roots that nothing waits for.
    pub(crate) fn retain(&mut self, is_used: impl Fn(&str, &Rotation) -> bool) {
        self.keys.retain(|id, rotation| is_used(id, rotation));
        if self.keys.is_empty() {
            self.roots.clear();
        }
    }

    /// Forgets that of a key.
    pub(crate) fn end(&mut self, old: &Key) {
        self.keys.remove(old.id().as_str());
    }
}
