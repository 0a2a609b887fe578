//! After a compromise: back to what is known to be good, with other keys (PEP 458, spec 5.3.11; `docs/recovery.md`).
//!
//! [`plan()`] says what would be done and changes nothing. [`apply()`] makes the keys, opens one event with root and whatever
//! else must be signed by people, signs what can be signed here and, once enough have signed, publishes: the new root and right
//! after it what its keys signed. What is published at the moment may be anything, also nothing that verifies: a recovery starts
//! from the roots, which nobody could forge, and from the snapshot that is named.

mod apply;
mod compare;
mod error;
mod evidence;
mod keys;
mod plan;
mod publish;
mod record;
mod survey;
mod then;

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::keys::KeyUri;

pub(crate) use apply::finish;
pub use apply::{Applied, Waiting, apply};
pub use compare::{Difference, DifferenceKind, FileFacts, Seen};
pub use error::{MissingKey, RecoverError};
pub use plan::{Counts, KeyPlan, LostRole, Plan, Signing, SnapshotFacts, plan};

/// What to recover from, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Request {
    /// Whose keys are no longer trusted.
    pub compromised: Vec<Compromised>,
    /// The version of the last snapshot that is known to be good.
    pub known_good: u64,
    /// Paths, or patterns of paths, of targets that stay as they are published now.
    pub keep: Vec<String>,
    /// A copy of the public directory from before the compromise.
    pub archive: Option<PathBuf>,
    /// New keys by role, where none is to be made beside the old one.
    pub new_keys: Vec<(String, KeyUri)>,
    /// Why, for those who sign; one line.
    pub reason: String,
}

/// A role whose keys are no longer trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Compromised {
    /// The role; hash bins together as `bin-n`.
    pub role: String,
    /// The start of the ID of the one key that is compromised; absent: all.
    pub key: Option<String>,
}

impl FromStr for Compromised {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (role, key) = match text.split_once('=') {
            Some((role, key)) => (role, Some(key)),
            None => (text, None),
        };
        if role.is_empty() || key.is_some_and(str::is_empty) {
            return Err("expected ROLE or ROLE=KEYID");
        }
        Ok(Self { role: role.to_owned(), key: key.map(str::to_owned) })
    }
}

impl Request {
    /// Back to this snapshot.
    #[must_use]
    pub const fn new(compromised: Vec<Compromised>, known_good: u64, reason: String) -> Self {
        Self { compromised, known_good, keep: Vec::new(), archive: None, new_keys: Vec::new(), reason }
    }

    /// The roles, for people.
    pub(crate) fn roles(&self) -> Vec<String> {
        let mut roles: Vec<String> = self.compromised.iter().map(|named| named.role.clone()).collect();
        roles.sort();
        roles.dedup();
        roles
    }
}
