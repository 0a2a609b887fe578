//! Makes a signed state visible: versioned files, the check by clients, and at last the timestamp.

use tuf_client::durable::{self, Access, WriteBatch};

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
    let mut batch = WriteBatch::new(Access::Shared);
    for file in &staged.files {
        batch.create(&repository.metadata().join(&file.name), &file.bytes)?;
    }
    tokio::task::block_in_place(|| batch.commit())?;
    check::check(repository, staged, published, changes).await?;
    let timestamp = repository.metadata().join("timestamp.json");
    tokio::task::block_in_place(|| durable::write_atomic(&timestamp, &staged.timestamp))?;
    Ok(())
}
