//! When each targets role expires, so that a publish of one change need not read thousands of hash bins to know
//! which are due. A cache in `state/`, checked against the snapshot: lost or damaged, it is made again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tuf_client::durable::{Access, DurableError, Placed};
use tuf_core::{RoleName, Snapshot};

use crate::edit::{Tree, Visit};
use crate::error::Error;
use crate::repository::{Published, Repository};

/// The expiry of every role that a snapshot has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Expiries {
    /// Which snapshot this is complete for; empty: none.
    snapshot: String,
    /// By role: who delegates to it, its version, and when it expires, in seconds since 1970.
    roles: BTreeMap<String, (String, u64, i64)>,
}

impl Expiries {
    fn path(repository: &Repository) -> PathBuf {
        repository.state().join("expiry.json")
    }

    /// What was kept, whether it is of what is published or not.
    pub(super) fn load(repository: &Repository) -> Self {
        let bytes = std::fs::read(Self::path(repository)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Reads the roles that changed since, all of them if nothing is known.
    pub(super) fn complete(&mut self, published: &Published, tree: &mut Tree<'_>) -> Result<(), Error> {
        let fingerprint = fingerprint(published);
        if self.snapshot == fingerprint {
            return Ok(());
        }
        let snapshot = published.set().snapshot();
        let mut roles = BTreeMap::new();
        for Visit { role, delegator } in tree.all()? {
            let delegator = delegator.map(|name| name.as_str().to_owned()).unwrap_or_default();
            let version = snapshot.role(&role).map_or(0, |meta| meta.version);
            let known = self.roles.get(role.as_str());
            let entry = match known.filter(|known| known.0 == delegator && known.1 == version) {
                Some(known) => known.clone(),
                None => {
                    let above = RoleName::new(&delegator).ok();
                    let node = tree.take(&role, above.as_ref())?;
                    let Some(value) = node.value() else { continue };
                    (delegator, version, value.header.expires.timestamp())
                }
            };
            roles.insert(role.as_str().to_owned(), entry);
        }
        *self = Self { snapshot: fingerprint, roles };
        Ok(())
    }

    /// Every role, who delegates to it, and when it expires.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Visit, DateTime<Utc>)> {
        self.roles.iter().filter_map(|(role, (delegator, _, expires))| {
            let visit = Visit { role: RoleName::new(role).ok()?, delegator: RoleName::new(delegator).ok() };
            Some((visit, DateTime::from_timestamp(*expires, 0)?))
        })
    }

    /// Notes a role that is signed anew.
    pub(super) fn set(&mut self, visit: &Visit, version: u64, expires: DateTime<Utc>) {
        let delegator = visit.delegator.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
        self.roles.insert(visit.role.as_str().to_owned(), (delegator, version, expires.timestamp()));
    }

    /// What is noted is of this snapshot now, if it was of the one published before and no role has gone.
    pub(super) fn follow(
        &mut self,
        before: Option<&Published>,
        snapshot: &Snapshot,
        bytes: &[u8],
        gone: bool,
    ) {
        let complete = before.is_none_or(|before| self.snapshot == fingerprint(before));
        self.snapshot = match complete && !gone {
            true => format!(
                "{}-{}",
                snapshot.header.version,
                tuf_core::Hashes::of(bytes).preferred().unwrap_or_default()
            ),
            false => String::new(),
        };
    }

    /// Keeps it. Not synced: a torn one is made again.
    pub(super) fn save(&self, repository: &Repository) -> Result<(), DurableError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let mut file = Placed::create(&Self::path(repository), Access::Private)?;
        file.append(&bytes)?;
        file.finish_unsynced()
    }
}

use tuf_core::Metadata as _;

fn fingerprint(published: &Published) -> String {
    let snapshot = published.set().snapshot();
    let meta = &published.set().timestamp().snapshot;
    let hash = meta.hashes.as_ref().and_then(tuf_core::Hashes::preferred);
    let hash = hash.unwrap_or_else(|| tuf_core::Hashes::of(snapshot.bytes()).preferred().unwrap_or_default());
    format!("{}-{hash}", snapshot.header().version)
}
