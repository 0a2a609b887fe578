//! Signs again what is due, and nothing else.

use std::borrow::Cow;

use tokio::task::block_in_place;

use super::{Changes, Options, Outcome, Renewal, anew, publish_once, renew_root};
use crate::error::Error;
use crate::keys::Passphrases;
use crate::repository::Repository;
use crate::rotate::after_publish;
use crate::state::StateError;

/// What a renewal did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Renewed {
    /// What was published below root.
    pub outcome: Outcome,
    /// The version of the root that was published, if it was due.
    pub root: Option<u64>,
    /// Why roles that are due were not signed: mostly that their keys are elsewhere. It stopped nothing else.
    pub postponed: Vec<Error>,
}

/// Signs again what is due, root included; what is staged waits for `publish`. Keys that are elsewhere must not stop what
/// clients need every day.
///
/// # Errors
/// [`Error::Busy`] if another command works on the repository; those of [`publish`](super::publish()).
pub async fn renew(
    repository: &Repository,
    passphrases: &mut Passphrases,
    options: &Options,
) -> Result<Renewed, Error> {
    // Where nothing is, the storage may be away: that is not the place for a first publish.
    block_in_place(|| repository.first_root())?;
    let (options, unreachable) = guarded(repository, options).await?;
    let lock = repository.lock()?;
    // From the root down: below an expired role, nothing could be published.
    let root = match block_in_place(|| repository.published())? {
        Some(published) => {
            block_in_place(|| renew_root(repository, &lock, &published, passphrases, &options))
        }
        None => Ok(None),
    };
    let nothing = Changes::default();
    let given = async || Ok(Cow::Borrowed(&nothing));
    let attempt = async || publish_once(repository, &lock, passphrases, given, Renewal::All, &options).await;
    match (anew(&options, attempt).await, unreachable) {
        (Ok((outcome, _, below)), _) => {
            block_in_place(|| after_publish(repository, &lock));
            let (root, above) = match root {
                Ok(root) => (root, None),
                Err(error) => (None, Some(error)),
            };
            let postponed = above.into_iter().chain(below).collect();
            Ok(Renewed { outcome, root, postponed })
        }
        // Nothing else excludes other publishers there.
        (Err(Error::Unguarded { .. }), Some(unreachable)) => Err(unreachable),
        (Err(error), _) => Err(error),
    }
}

/// With the lease of the state database, if it can be reached. What is due needs nothing that is staged, and most storage
/// excludes other publishers by itself; where it does not, a publish without the lease is refused.
async fn guarded(repository: &Repository, options: &Options) -> Result<(Options, Option<Error>), Error> {
    match options.clone().guarded(repository).await {
        Ok(options) => Ok((options, None)),
        Err(error @ Error::State(StateError::Unreachable { .. })) => {
            tracing::warn!("going on without the state database: {}", tuf_client::chain(&error));
            Ok((options.clone(), Some(error)))
        }
        Err(error) => Err(error),
    }
}
