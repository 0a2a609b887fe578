//! Publishing after a compromise: a new root and, right after it, what only holds under it.
//!
//! Between the two no client gets anything new, and that is meant so: from the new root on nobody accepts what the old keys
//! signed. Everything else is as in every publish: journal, versioned files, the check by clients, the swap.

use tokio::task::block_in_place;

use super::commit::{self, Commit, Visible};
use super::journal::{self, Journal};
use super::root::write_root_copy;
use super::{Changes, Check, Options, Summary};
use crate::error::Error;
use crate::repository::{Lock, Repository};
use crate::storage::{NewFile, StorageError};

/// A state to go back to, signed.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Versioned files.
    pub(crate) files: Vec<NewFile>,
    /// The new root, if it is not published yet.
    pub(crate) root: Option<NewFile>,
    pub(crate) timestamp: Vec<u8>,
    pub(crate) summary: Summary,
    /// Targets whose files clients look for.
    pub(crate) changes: Changes,
}

/// Publishes what `make` signs in place of the timestamp `expected`, whatever that is; or finishes what a recovery began that
/// was asked for the same and killed.
///
/// # Errors
/// As [`super::publish`], and those of `make`.
pub(crate) async fn publish_recovered(
    repository: &Repository,
    _lock: &Lock,
    options: &Options,
    asked: &str,
    expected: Option<Vec<u8>>,
    root: &[u8],
    make: impl FnOnce() -> Result<Recovered, Error>,
) -> Result<Summary, Error> {
    if let Some(lease) = block_in_place(|| commit::guard(&**repository.storage(), options))? {
        lease.hold().await?;
    }
    let published = under_lease(repository, options, asked, expected, root, make).await;
    if let Some(lease) = &options.lease {
        lease.release().await?;
    }
    published
}

async fn under_lease(
    repository: &Repository,
    options: &Options,
    asked: &str,
    expected: Option<Vec<u8>>,
    root: &[u8],
    make: impl FnOnce() -> Result<Recovered, Error>,
) -> Result<Summary, Error> {
    // What is published may not even verify: then there is no client that knows it.
    let published = block_in_place(|| repository.published()).ok().flatten();
    let published =
        published.filter(|published| Some(&**published.set().timestamp().bytes()) == expected.as_deref());
    let mut options = options.clone();
    options.check = Check::All;
    let asked = journal::fingerprint(&asked);
    let begun = block_in_place(|| Journal::of(repository).read(expected.as_deref()))?;
    if let Some(entry) = begun.filter(|entry| entry.asked == asked) {
        let nothing = Changes::default();
        match commit::commit(repository, &options, published.as_ref(), &nothing, &asked, &entry.commit).await
        {
            Ok(()) => {
                write_root_copy(repository, root)?;
                return Ok(entry.commit.summary);
            }
            Err(Error::Check { .. } | Error::Storage(StorageError::Exists { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let Recovered { files, root: next, timestamp, summary, changes } = block_in_place(make)?;
    let visible = Visible { roots: next.into_iter().collect(), timestamp: Some(timestamp) };
    let step = Commit { files, visible, expected, summary };
    commit::commit(repository, &options, published.as_ref(), &changes, &asked, &step).await?;
    write_root_copy(repository, root)?;
    Ok(step.summary)
}
