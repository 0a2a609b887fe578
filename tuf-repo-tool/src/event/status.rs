//! What waits for signatures in a repository.

use serde::Serialize;

use super::rebase::rebase_now;
use super::store::Events;
use super::{Bundle, EventError, Review};
use crate::error::Error;
use crate::repository::Repository;

/// A pending event.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct EventStatus {
    /// What it changes, and who signed.
    pub review: Review,
    /// Why it can no longer be finished.
    pub outdated: Option<String>,
    /// What to do next.
    pub next: String,
}

/// A pending event, or all of them.
///
/// # Errors
/// [`EventError::Missing`], [`EventError::Bundle`], [`Error::Published`].
pub fn status(repository: &Repository, id: Option<&str>) -> Result<Vec<EventStatus>, Error> {
    let events = Events::of(repository);
    let pending = match id {
        Some(id) => vec![events.load(id)?],
        None => events.pending()?,
    };
    pending.into_iter().map(|bundle| one(repository, bundle)).collect()
}

fn one(repository: &Repository, bundle: Bundle) -> Result<EventStatus, Error> {
    let (bundle, outdated) = match rebase_now(repository, bundle.clone()) {
        Ok(rebased) => (rebased.bundle, None),
        Err(Error::Event(error @ (EventError::Outdated { .. } | EventError::Foreign { .. }))) => {
            (bundle, Some(error.to_string()))
        }
        Err(error) => return Err(error),
    };
    let review = Review::of(&bundle)?;
    let next = match (&outdated, review.complete) {
        (Some(_), _) => format!("tuf-repo event abort {}", review.id),
        (None, true) => format!("tuf-repo event finish {}", review.id),
        (None, false) => format!("tuf-repo event sign {}", Events::of(repository).path(&review.id).display()),
    };
    Ok(EventStatus { review, outdated, next })
}
