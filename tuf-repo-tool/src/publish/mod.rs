//! Publishing is one transaction (design: immutable files first, the timestamp last).
//!
//! 1. What changed is signed: hash bins, then the snapshot, then the timestamp.
//! 2. Versioned files are written, never over an existing one. No client looks at them yet.
//! 3. A real client runs the whole workflow on the staged state, once as a new client and once as one that
//!    knows the state published before.
//! 4. `timestamp.json` is replaced: that is the publish.
//!
//! Killed anywhere, the old state or the new one is published, never a mix. Versioned files that no
//! timestamp ever reached are left alone: the next publish skips their versions.

mod changes;
mod check;
mod commit;
mod root;
mod transaction;

use crate::error::Error;
use crate::keys::Passphrases;
use crate::repository::{Lock, Repository};
use transaction::Transaction;

pub use changes::Changes;
pub use root::{publish_first_root, renew_root};
pub use transaction::bins_role;

/// Which roles are signed again although nothing in them changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// Every role whose signing period is over.
    All,
    /// Of the online roles (hash bins, snapshot, timestamp), those whose signing period is over.
    Online,
    /// None but what a change needs.
    None,
}

/// What a publish did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing had changed and nothing was due.
    Nothing,
    /// A new state is published.
    Published(Summary),
}

/// A published state, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The version of the timestamp.
    pub timestamp: u64,
    /// The version of the snapshot.
    pub snapshot: u64,
    /// Every role that was signed: its file's name and length in bytes.
    pub signed: Vec<(String, usize)>,
    /// Targets added or changed.
    pub set: usize,
    /// Targets removed.
    pub removed: usize,
}

/// Publishes changes, and what is due.
///
/// # Errors
/// Why nothing was published. [`Error::Check`] if a client would refuse the new state.
pub async fn publish(
    repository: &Repository,
    _lock: &Lock,
    passphrases: &mut Passphrases,
    changes: &Changes,
    renewal: Renewal,
) -> Result<Outcome, Error> {
    let published = repository.published()?;
    let staged = tokio::task::block_in_place(|| {
        let mut transaction = Transaction::new(repository, published.as_ref(), passphrases);
        transaction.sign_all(changes, renewal)
    })?;
    let Some(staged) = staged else { return Ok(Outcome::Nothing) };
    commit::commit(repository, &staged, published.as_ref(), changes).await?;
    Ok(Outcome::Published(staged.summary))
}

#[cfg(test)]
mod tests;
