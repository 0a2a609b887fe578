//! This machine's clock, against what was signed by it or by others.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::RoleKind;
use crate::repository::{Published, Repository};

/// When the published timestamp was signed, by its expiry and the settings of this machine, and by how much that is in the future.
pub(crate) fn ahead_of(repository: &Repository, published: &Published) -> Option<(DateTime<Utc>, TimeDelta)> {
    let period = repository.config.role(RoleKind::Timestamp).ok()?.expires.delta();
    let signed = published.set().timestamp().header.expires - period;
    Some((signed, signed - repository.now()))
}
