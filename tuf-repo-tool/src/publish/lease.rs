//! Publishing to storage that cannot compare and swap: a lease in a shared database says whose turn it is, and the database
//! remembers what was decided.
//!
//! A publisher first *announces* its timestamp: the database takes it only from who has the lease, and only in place of the one
//! that it was built on. That is the decision. Then the timestamp is sent to the storage, while the lease lasts twice as long as
//! a request may take. A publisher that was stopped in between may send it late, over a newer one: it finds that out when
//! it reads back, or the next publisher does, and the announced timestamp, which is the newer one, is sent again. Until
//! then clients that saw the newer one refuse the older one as a rollback; that is why this mode is weaker.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use super::TIMESTAMP;
use super::commit::{conflict, timestamp, version};
use crate::error::Error;
use crate::storage::{SWAP_DEADLINE, Storage, StorageError};

/// How long a lease is taken for: enough to send when half of it is over. A dead publisher stops others no longer than that.
pub const LEASE: Duration = Duration::from_secs(4 * SWAP_DEADLINE.as_secs());
/// How often a timestamp that somebody else overwrites is sent again.
const ATTEMPTS: u32 = 5;
/// How often the lease is asked for that another publisher has.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The right to publish, in a database that all publishers of a repository share.
pub trait PublishLease: fmt::Debug + Send + Sync {
    /// Takes the lease, or keeps it, for [`LEASE`] from now; how much of that is certain.
    ///
    /// # Errors
    /// [`Error::LeaseHeld`] if another publisher has it; those of the database.
    fn hold(&self) -> BoxFuture<'_, Result<Duration, Error>>;

    /// The timestamp that was announced last; `None` before the first.
    ///
    /// # Errors
    /// Those of the database.
    fn announced(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>>;

    /// Announces a timestamp. Refused without the lease, or if one of this version or a higher one was announced.
    ///
    /// # Errors
    /// [`Error::LeaseHeld`], [`Error::Conflict`]; those of the database.
    fn announce<'a>(&'a self, version: u64, timestamp: &'a [u8]) -> BoxFuture<'a, Result<(), Error>>;

    /// Gives the lease back, if it is held.
    ///
    /// # Errors
    /// Those of the database; then it runs out by itself.
    fn release(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// Publishes a timestamp under the lease.
pub(super) async fn send(
    storage: &dyn Storage,
    lease: &dyn PublishLease,
    expected: Option<&[u8]>,
    bytes: &[u8],
) -> Result<(), Error> {
    lease.hold().await?;
    let found = block_in_place(|| timestamp(storage))?;
    if found.as_deref() != expected {
        return Err(conflict(expected, found.as_deref()));
    }
    lease.announce(version(bytes).unwrap_or_default(), bytes).await?;
    if found.as_deref().and_then(version) >= version(bytes) {
        // Back below what an attacker wrote: nobody who comes later would send this one over that.
        block_in_place(|| storage.swap(TIMESTAMP, expected, bytes))?;
    }
    // From here on it is decided: whoever comes next sends it, if this publisher cannot.
    let give_up = Instant::now() + 2 * LEASE;
    loop {
        match settle(storage, lease).await {
            Ok(_) => return Ok(()),
            Err(Error::LeaseHeld { .. }) if Instant::now() < give_up => sleep(ASK_AGAIN).await,
            Err(Error::LeaseHeld { holder }) => {
                tracing::warn!(
                    "{holder} has the lease for long; the next publish or renew looks at what is published"
                );
                return Ok(());
            }
            Err(source) => return Err(Error::Unsent { source: Box::new(source) }),
        }
    }
}

/// Sees to it that the announced timestamp is the published one; whether it was not.
pub(super) async fn settle(storage: &dyn Storage, lease: &dyn PublishLease) -> Result<bool, Error> {
    let mut sent = false;
    for _ in 0..ATTEMPTS {
        let remaining = lease.hold().await?;
        let began = Instant::now();
        let Some(announced) = lease.announced().await? else { return Ok(sent) };
        let found = block_in_place(|| timestamp(storage))?;
        if found.as_ref() == Some(&announced) {
            return Ok(sent);
        }
        match found.as_deref().and_then(version).cmp(&version(&announced)) {
            // The database is younger than the repository, or an old copy of it.
            std::cmp::Ordering::Greater => return Ok(sent),
            std::cmp::Ordering::Equal => return Err(conflict(Some(&announced), found.as_deref())),
            std::cmp::Ordering::Less => {}
        }
        if remaining.saturating_sub(began.elapsed()) <= 2 * SWAP_DEADLINE {
            continue;
        }
        if sent {
            tracing::warn!(
                "another publisher has overwritten the timestamp with an older one: sending it again"
            );
        }
        match block_in_place(|| storage.swap(TIMESTAMP, found.as_deref(), &announced)) {
            Ok(()) => sent = true,
            // It changed just now: looked at again.
            Err(StorageError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Unsettled { storage: storage.url() })
}
