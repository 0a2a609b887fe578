//! What was known to be good, by the keys and the hash bins of then: that a key was rotated or that bins were resized since is no
//! reason not to go back.

use std::collections::BTreeMap;

use tuf_core::trust::Authentic;
use tuf_core::{Delegations, RoleName, Snapshot, Targets, TopLevel};

use super::evidence::Evidence;
use super::survey::{Branch, Survey};
use crate::edit::NamedBins;
use crate::error::Error;

/// Every role but hash bins, as the good snapshot lists it and as clients of then verified it.
#[derive(Debug, Default)]
pub(super) struct Then {
    files: BTreeMap<RoleName, (Authentic<Targets>, Option<NamedBins>)>,
}

impl Then {
    /// What cannot be read or does not verify is not there.
    pub(super) fn read(evidence: &Evidence<'_>, good: &Snapshot) -> Result<Self, Error> {
        let mut then = Self::default();
        let mut pending = vec![(TopLevel::Targets.role(), None::<Authentic<Targets>>)];
        while let Some((role, by)) = pending.pop() {
            let Some(meta) = good.role(&role).filter(|_| !then.files.contains_key(&role)) else { continue };
            let Some(bytes) = evidence.good(&role.file_name(Some(meta.version)))? else { continue };
            if meta.check(&bytes).is_err() {
                continue;
            }
            let file = match &by {
                None => evidence.by_any_root::<Targets>(bytes).map_err(Error::Published),
                Some(by) => evidence.targets(&role, Some(by), bytes),
            };
            let Some(file) = file.ok().filter(|file| file.header.version == meta.version) else { continue };
            let delegations = file.delegations.as_ref();
            let bins = delegations.and_then(|delegations| NamedBins::of(&role, delegations));
            if bins.is_none() {
                let below = delegations.map(Delegations::role_names).unwrap_or_default();
                pending.extend(below.into_iter().map(|below| (below, Some(file.clone()))));
            }
            then.files.insert(role, (file, bins));
        }
        Ok(then)
    }

    /// A file that the good snapshot lists, on the word of its delegator of then.
    pub(super) fn file(
        &self,
        evidence: &Evidence<'_>,
        role: &RoleName,
        bytes: Vec<u8>,
    ) -> Option<Authentic<Targets>> {
        if let Some((file, _)) = self.files.get(role) {
            return Some(file.clone());
        }
        let (above, _) = self.files.get(&NamedBins::above(role)?)?;
        evidence.targets(role, Some(above), bytes).ok()
    }
}

impl Survey<'_> {
    /// The hash bins that a role had then, and the file that named them, if they are others now.
    pub(super) fn other_bins(&self, branch: &Branch) -> Option<(&Authentic<Targets>, &NamedBins)> {
        let (file, bins) = self.then.files.get(&branch.role)?;
        let bins = bins.as_ref().filter(|bins| branch.bins.as_ref().is_some_and(|now| now != *bins))?;
        Some((file, bins))
    }
}
