//! Where a key is used, by what was published.

use std::collections::BTreeMap;

use tuf_core::{Envelope, Key, Limits, Root, TopLevel, read_unverified};

use crate::repository::Repository;
use crate::storage::{METADATA_LIMIT, Storage, StorageError};

/// Every root that was published, by version from the first on. Nothing is verified: this is for looking, not for trusting.
#[derive(Clone, Debug, Default)]
pub struct PublishedRoots(Vec<Root>);

impl PublishedRoots {
    /// Reads them.
    ///
    /// # Errors
    /// [`StorageError`]. A file that is no root is left out.
    pub fn read(storage: &dyn Storage) -> Result<Self, StorageError> {
        let (limits, mut roots) = (Limits::default(), Vec::new());
        for version in 1_u64.. {
            let path = Repository::metadata_path(&format!("{version}.root.json"));
            let Some(bytes) = storage.read(&path, METADATA_LIMIT)? else { break };
            let root =
                Envelope::parse(bytes, &limits).and_then(|file| read_unverified::<Root>(&file, &limits));
            roots.extend(root.ok());
        }
        Ok(Self(roots))
    }

    /// The versions in which the key may sign, by role.
    #[must_use]
    pub fn uses(&self, key: &Key) -> BTreeMap<&'static str, Vec<u64>> {
        let mut uses: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for root in &self.0 {
            for role in TopLevel::ALL {
                let mut keys = root.role(role).keyids.iter().filter_map(|id| root.keys.get(id));
                if keys.any(|listed| listed.public().is_some() && listed.public() == key.public()) {
                    uses.entry(role.name()).or_default().push(root.header.version);
                }
            }
        }
        uses
    }
}
