//! This machine's clock, against what was signed by it or by others.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::RoleKind;
use crate::repository::{Published, Repository};

/// What was signed together has the same time but for this.
const TOGETHER: TimeDelta = TimeDelta::seconds(2);

/// When the published timestamp was signed, and by how much that is in the future. Metadata says when it expires alone; that less
/// the period in the settings is the time only if the settings are those of who signed: then it is the same for the snapshot that was
/// signed with it.
pub(crate) fn ahead_of(repository: &Repository, published: &Published) -> Option<(DateTime<Utc>, TimeDelta)> {
    let period = |kind| Some(repository.config.role(kind).ok()?.expires.delta());
    let set = published.set();
    let signed = set.timestamp().header.expires - period(RoleKind::Timestamp)?;
    let other = set.snapshot().header.expires - period(RoleKind::Snapshot)?;
    ((signed - other).abs() <= TOGETHER).then(|| (signed, signed - repository.now()))
}
