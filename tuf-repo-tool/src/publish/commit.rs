//! Makes a signed state visible: versioned files, the check by clients, and at last the timestamp.

use tokio::task::block_in_place;

use super::transaction::Staged;
use super::{Changes, check};
use crate::error::Error;
use crate::repository::{Published, Repository};

/// Writes the versioned files, runs clients on the staged state, and replaces `timestamp.json`.
pub(super) async fn commit(
    repository: &Repository,
    staged: &Staged,
    published: Option<&Published>,
    changes: &Changes,
) -> Result<(), Error> {
    let storage = repository.storage();
    block_in_place(|| storage.create(&staged.files))?;
    check::check(repository, staged, published, changes).await?;
    let timestamp = Repository::metadata_path("timestamp.json");
    let before = published.map(|published| &**published.set().timestamp().bytes());
    block_in_place(|| storage.swap(&timestamp, before, &staged.timestamp))?;
    Ok(())
}
