//! Where a new repository is to be: free, and safe to publish to.

use tuf_core::{Envelope, Limits, Root, TopLevel, read_unverified};

use crate::config::RoleKind;
use crate::error::Error;
use crate::repository::Repository;
use crate::signing::public_keys;
use crate::state::State;
use crate::storage::Swap;

/// Refuses storage and a database that hold another repository, and storage on which nothing would keep two publishers
/// apart. Writes nothing but what a server is tried with, which is removed again, and tables in the database.
///
/// # Errors
/// [`Error::Taken`], [`Error::Unguarded`], [`Error::State`], [`Error::Storage`].
pub(super) async fn check(repository: &Repository) -> Result<(), Error> {
    let storage = repository.storage();
    let first = repository.read_metadata("1.root.json")?;
    let free = match &first {
        // An `init` that was interrupted had made the keys that it lists.
        Some(root) => is_ours(repository, root),
        None => storage.length(&Repository::metadata_path("timestamp.json"))?.is_none(),
    };
    if !free {
        return Err(Error::Taken { storage: storage.url() });
    }
    let Some(url) = &repository.config.state else {
        return match storage.swaps()? {
            Swap::Atomic => Ok(()),
            Swap::Unguarded => Err(Error::Unguarded { storage: storage.url() }),
        };
    };
    let state = State::open(Some(url), &repository.state()).await?;
    match first {
        Some(root) => Ok(state.bind(&root).await?),
        None => Ok(state.must_be_free().await?),
    }
}

/// Whether the keys of this directory are those of the root.
fn is_ours(repository: &Repository, root: &[u8]) -> bool {
    let limits = Limits::default();
    let read = || {
        let root: Root = read_unverified(&Envelope::parse(root, &limits).ok()?, &limits).ok()?;
        let mut listed: Vec<_> = root.role(TopLevel::Root).keyids.iter().cloned().collect();
        let keys = public_keys(repository, RoleKind::Root).ok()?;
        let mut ours: Vec<_> = keys.iter().map(tuf_core::Key::id).collect();
        listed.sort();
        ours.sort();
        Some(!ours.is_empty() && listed == ours)
    };
    read().unwrap_or_default()
}

/// Makes the shared database this repository's.
///
/// # Errors
/// [`Error::State`].
pub(super) async fn claim(repository: &Repository) -> Result<(), Error> {
    if repository.config.state.is_some() {
        repository.open_state().await?;
    }
    Ok(())
}
