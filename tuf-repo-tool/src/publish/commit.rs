//! Makes a signed state visible: journal, versioned files, the check by clients, and at last what clients look at first.

use tokio::task::block_in_place;
use tracing::{Instrument as _, debug_span};

use super::journal::{self, Journal};
use super::lease::{self, PublishLease};
use super::logged::{self, Prepared};
use super::{Changes, Options, Summary, TIMESTAMP, check};
use crate::error::Error;
use crate::repository::{Published, Repository};
use crate::storage::{NewFile, Storage, StorageError, Swap};

/// More than any timestamp has.
const TIMESTAMP_LIMIT: u64 = 1 << 20;

/// One step from a published state to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Versioned files that no client looks at before the timestamp names them.
    pub(crate) files: Vec<NewFile>,
    pub(crate) visible: Visible,
    /// The timestamp that all this was built on; `None` before the first.
    pub(crate) expected: Option<Vec<u8>>,
    pub(crate) summary: Summary,
}

/// What clients see at once, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visible {
    /// New roots, by version.
    pub(crate) roots: Vec<NewFile>,
    pub(crate) timestamp: Option<Vec<u8>>,
}

/// Commits one step: `published` is the state that it was built on, `changes` are the targets whose files are looked for,
/// and `asked` is the fingerprint of everything it depends on.
///
/// # Errors
/// [`Error::Conflict`] if another publisher was faster, [`StorageError::Exists`] if a version is taken, [`Error::Check`] and
/// [`Error::StagedFile`] if clients would refuse it: in all these cases nothing was published.
pub(crate) async fn commit(
    repository: &Repository,
    options: &Options,
    published: Option<&Published>,
    changes: &Changes,
    asked: &str,
    commit: &Commit,
) -> Result<(), Error> {
    let lease = block_in_place(|| guard(&**repository.storage(), options))?;
    let begin = || begin(repository, options, changes, asked, commit);
    let line = debug_span!("journal").in_scope(|| block_in_place(begin))?;
    let result = carry_out(repository, options, lease, published, changes, commit).await;
    block_in_place(|| end(repository, &line, result))
}

/// As [`commit`], of a root that is signed with the same keys as the one before: no client can refuse it.
pub(super) fn commit_root(repository: &Repository, options: &Options, commit: &Commit) -> Result<(), Error> {
    let asked = journal::fingerprint(&commit.visible.roots);
    let line = begin(repository, options, &Changes::default(), &asked, commit)?;
    let result = repository.storage().create(&commit.visible.roots).map_err(Error::from);
    end(repository, &line, result)
}

/// Says in the journal what is to be written.
fn begin(
    repository: &Repository,
    options: &Options,
    changes: &Changes,
    asked: &str,
    commit: &Commit,
) -> Result<Prepared, Error> {
    logged::settle(repository)?;
    let line = Prepared::new(repository, options, changes, commit);
    Journal::of(repository).open(asked, commit, &line)?;
    Ok(line)
}

/// Ends the journal, with a line in the log of what was done.
fn end(repository: &Repository, line: &Prepared, result: Result<(), Error>) -> Result<(), Error> {
    let journal = Journal::of(repository);
    match &result {
        // Neither done nor refused, as when a disk is full: the next publisher goes on.
        Err(error) if !is_final(error) => {}
        Err(_) => journal.close()?,
        Ok(()) => match line.write(repository) {
            Ok(()) => journal.close()?,
            // It is published: that must not look like a failure. The journal stays, so that the next one writes it.
            Err(error) => tracing::warn!("{}", tuf_client::chain(&error)),
        },
    }
    result
}

fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::Check { .. }
            | Error::Conflict { .. }
            | Error::StagedFile { .. }
            | Error::Storage(StorageError::Conflict { .. } | StorageError::Exists { .. })
    )
}

/// What excludes other publishers: the storage itself (`None`), or the lease.
pub(super) fn guard<'o>(
    storage: &dyn Storage,
    options: &'o Options,
) -> Result<Option<&'o dyn PublishLease>, Error> {
    match (storage.swaps()?, &options.lease) {
        (Swap::Atomic, _) => Ok(None),
        (Swap::Unguarded, Some(lease)) => Ok(Some(&**lease)),
        (Swap::Unguarded, None) => Err(Error::Unguarded { storage: storage.url() }),
    }
}

async fn carry_out(
    repository: &Repository,
    options: &Options,
    lease: Option<&dyn PublishLease>,
    published: Option<&Published>,
    changes: &Changes,
    commit: &Commit,
) -> Result<(), Error> {
    let storage = &**repository.storage();
    if !commit.files.is_empty() {
        debug_span!("write").in_scope(|| block_in_place(|| storage.create(&commit.files)))?;
    }
    check::check(repository, options, published, commit, changes).instrument(debug_span!("check")).await?;
    let Visible { roots, timestamp } = &commit.visible;
    if !roots.is_empty() {
        block_in_place(|| storage.create(roots))?;
    }
    match (timestamp, lease) {
        (None, _) => Ok(()),
        (Some(timestamp), None) => debug_span!("swap")
            .in_scope(|| block_in_place(|| swap(storage, commit.expected.as_deref(), timestamp))),
        (Some(timestamp), Some(lease)) => {
            lease::send(storage, lease, commit.expected.as_deref(), timestamp).await
        }
    }
}

/// The timestamp that clients get now.
pub(super) fn timestamp(storage: &dyn Storage) -> Result<Option<Vec<u8>>, StorageError> {
    storage.read(TIMESTAMP, TIMESTAMP_LIMIT)
}

fn swap(storage: &dyn Storage, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), Error> {
    let Err(error) = storage.swap(TIMESTAMP, expected, bytes) else { return Ok(()) };
    // A request whose answer was lost may have been carried out, and one that was sent twice conflicts with itself.
    match timestamp(storage) {
        Ok(Some(found)) if found == bytes => Ok(()),
        Ok(found) if found.as_deref() != expected => Err(conflict(expected, found.as_deref())),
        _ => Err(error.into()),
    }
}

/// Somebody else has published since.
pub(super) fn conflict(expected: Option<&[u8]>, found: Option<&[u8]>) -> Error {
    Error::Conflict { expected: describe(expected), found: describe(found) }
}

/// A timestamp, for people.
fn describe(timestamp: Option<&[u8]>) -> String {
    let Some(bytes) = timestamp else { return "none".to_owned() };
    version(bytes).map_or_else(
        || format!("{} bytes that are no timestamp", bytes.len()),
        |version| format!("version {version}"),
    )
}

/// What a timestamp says of itself; whoever trusts in it verifies it.
pub(super) fn version(timestamp: &[u8]) -> Option<u64> {
    let file: serde_json::Value = serde_json::from_slice(timestamp).ok()?;
    file.get("signed")?.get("version")?.as_u64()
}
