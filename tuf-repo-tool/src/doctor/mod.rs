//! Looking at this machine: whether it could publish now, and what will be in the way before long.
//!
//! Each check is one [`Check`]: fine, a warning, or an error, and what to do. Nothing is changed but what a probe of a server
//! makes and removes again, and no PIN of a token is tried.

mod keys;
mod machine;
mod published;
mod services;

use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_client::clock;

use crate::error::Error;
use crate::repository::Repository;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Works, and somebody should look at it.
    Warning,
    /// Keeps this machine from its work, or is unsafe.
    Error,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What: `settings`, `key`, `lock`, `journal`, `event`, `storage`, `state`, `published`, `root-copy`, `clock`, `disk`, `public-url`. Never renamed.
    pub id: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it is unsafe to go on; else what is wrong only keeps this machine from its work.
    pub is_unsafe: bool,
}

impl Check {
    fn new(id: &'static str, outcome: Outcome, message: impl Into<String>) -> Self {
        Self { id, outcome, message: message.into(), hint: None, is_unsafe: false }
    }

    fn ok(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Outcome::Ok, message)
    }

    fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Outcome::Warning, message)
    }

    fn error(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, Outcome::Error, message)
    }

    /// An error of this program.
    fn failed(id: &'static str, error: &Error) -> Self {
        let mut check = Self::error(id, tuf_client::chain(error));
        check.hint = error.hint();
        check.is_unsafe = error.is_refusal();
        check
    }

    const fn unsafe_if(mut self, is_unsafe: bool) -> Self {
        self.is_unsafe = is_unsafe;
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// When, by this machine's clock.
    pub at: DateTime<Utc>,
    /// In the order in which one rests on the other.
    pub checks: Vec<Check>,
}

impl Report {
    /// The worst of all.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Ok)
    }

    /// Whether it is unsafe to go on with this machine.
    #[must_use]
    pub fn is_unsafe(&self) -> bool {
        self.checks.iter().any(|check| check.is_unsafe)
    }
}

/// Looks at the repository in a directory, and at this machine.
///
/// # Errors
/// [`Error::NotARepository`]. Whatever else is wrong is in the report.
pub async fn doctor(directory: &Path) -> Result<Report, Error> {
    match Repository::open(directory) {
        Ok(repository) => Ok(examine(&repository).await),
        Err(error @ Error::NotARepository { .. }) => Err(error),
        Err(error) => Ok(Report { at: clock::now(), checks: vec![Check::failed("settings", &error)] }),
    }
}

/// As [`doctor`], of a repository that could be opened.
pub async fn examine(repository: &Repository) -> Report {
    let mut checks = Vec::new();
    let reachable = services::storage(repository, &mut checks);
    let published = if reachable { published::read(repository, &mut checks) } else { None };
    published::settings(repository, published.as_ref(), &mut checks);
    keys::check(repository, &mut checks);
    machine::lock(repository, &mut checks);
    machine::journal(repository, published.as_ref(), &mut checks);
    if reachable {
        machine::events(repository, &mut checks);
    }
    services::state(repository, reachable, &mut checks).await;
    machine::disk(repository, &mut checks);
    services::clock(repository, published.as_ref(), &mut checks).await;
    services::public_url(repository, published.as_ref(), &mut checks).await;
    Report { at: repository.now(), checks }
}

#[cfg(test)]
mod tests;
