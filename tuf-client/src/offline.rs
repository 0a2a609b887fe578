//! Without the repository: a view of what the store has, and nothing else.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tuf_core::refresh::{Refresh, Step};
use tuf_core::trust::TrustedSet;
use tuf_core::{Limits, StoredFile, TopLevel};

use crate::error::{Error, ErrorKind};
use crate::store::Store;

/// What becomes of metadata that has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expired {
    #[default]
    Refused,
    Accepted,
}

/// Loads and verifies the last complete view, as a refresh does it, without the lock: nothing is written. Newer files that
/// are only a floor are left alone; what they belong to never was complete.
pub(crate) fn load(
    store: &dyn Store,
    pinned: &Arc<[u8]>,
    now: DateTime<Utc>,
    expired: Expired,
    limits: Arc<Limits>,
) -> Result<TrustedSet, Error> {
    // At this time nothing has expired.
    let now = if expired == Expired::Accepted { DateTime::<Utc>::MIN_UTC } else { now };
    let missing = |name: String| Error::from(ErrorKind::NotStored(name));
    let mut refresh = Refresh::new(pinned, now, limits)?;
    loop {
        match refresh.step() {
            Step::Load { file: StoredFile::FloorTimestamp | StoredFile::FloorSnapshot, .. } => {
                refresh.give(None)?
            }
            Step::Load { file, max } => refresh.give(store.peek(&file, max)?)?,
            Step::Fetch { role, max, name } => {
                let file = match role.top_level() {
                    Some(TopLevel::Timestamp) => StoredFile::Timestamp,
                    Some(TopLevel::Snapshot) => StoredFile::Snapshot,
                    Some(TopLevel::Targets) => StoredFile::Targets,
                    // There is no later root than the stored ones.
                    _ => {
                        refresh.give(None)?;
                        continue;
                    }
                };
                let bytes = store.peek(&file, max)?.ok_or_else(|| missing(name.clone()))?;
                refresh.give(Some(bytes)).map_err(|error| match error.kind() {
                    tuf_core::ErrorKind::Expired { .. } => error.into(),
                    // Damaged, or of another view because a batch was written only in part.
                    _ => missing(name),
                })?;
            }
            _ => break,
        }
    }
    refresh.finish().0.ok_or_else(|| missing("targets.json".to_owned()))
}
