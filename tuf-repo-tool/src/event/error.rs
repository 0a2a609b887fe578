//! What can go wrong with an event, in words for those who sign and for the operator.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

/// Why an event was not opened, signed, imported or finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The bundle is damaged, hostile, or of another kind.
    #[error("{} is refused: {reason}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// What was asked for cannot be drafted.
    #[error("{0}")]
    Draft(String),
    /// The event is not one of this repository, or not the one that was opened here.
    #[error("event {id}: {reason}")]
    Foreign {
        /// The event.
        id: String,
        /// What does not match.
        reason: String,
    },
    /// Clients are still to get the root that came first.
    #[error("event {id} goes on at {}: until then there may be clients that have not got root {root}", until.format("%Y-%m-%d %H:%M:%S UTC"))]
    Grace {
        /// The event.
        id: String,
        /// The version of the root.
        root: u64,
        /// When what follows it may be published.
        until: DateTime<Utc>,
    },
    /// More signatures are needed.
    #[error("event {id} needs more signatures: {}", missing.join("; "))]
    Incomplete {
        /// The event.
        id: String,
        /// For each role: how many are there, how many are needed, and who could give them.
        missing: Vec<String>,
    },
    /// There is no such event, or no longer.
    #[error("no event {id} is pending{}", note.map(|note| format!(": it was {note}")).unwrap_or_default())]
    Missing {
        /// The event, as it was asked for.
        id: String,
        /// What became of it, if it was one.
        note: Option<&'static str>,
    },
    /// The key may sign nothing in this event.
    #[error("key {key} ({keyid}) may sign nothing in event {id}")]
    NotASigner {
        /// The key's name.
        key: String,
        /// Its key ID.
        keyid: String,
        /// The event.
        id: String,
    },
    /// No ID was given, and not exactly one event is pending.
    #[error("which event? {} are pending{}", .0.len(), .0.iter().map(|id| format!(" {id}")).collect::<String>())]
    NotOne(Vec<String>),
    /// Nobody said that what is to be signed is right.
    #[error("nothing was signed: {0}")]
    NotConfirmed(&'static str),
    /// What the event is based on is no longer what is published.
    #[error("event {id} is outdated: it changes {role}{}, and {role} {published} is published", version(*based_on))]
    Outdated {
        /// The event.
        id: String,
        /// The role.
        role: String,
        /// The version that was to be changed; 0: the role was to be new.
        based_on: u64,
        /// The version that is published now.
        published: u64,
    },
    /// Another event changes the same role.
    #[error("event {id} on {role} is pending already")]
    Pending {
        /// That event.
        id: String,
        /// The role.
        role: String,
    },
    /// The phrase is not the one of this event.
    #[error("the check phrase is {expected:?}, not {found:?}: this is not the event you were told of")]
    Phrase {
        /// What this bundle's phrase is.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The root that the signer knows is not in the bundle's chain.
    #[error("the bundle does not start from the root you know: {0}")]
    Pin(String),
}

fn version(based_on: u64) -> String {
    if based_on == 0 { ", which was not published".to_owned() } else { format!(" {based_on}") }
}

impl EventError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Bundle { .. } => {
                "sign nothing; ask who sent it for the file that `tuf-repo event open` wrote"
            }
            Self::Draft(_) => return None,
            Self::Foreign { .. } => "`tuf-repo event list` shows what is pending here; nothing was changed",
            Self::Grace { .. } => "finish it then; `tuf-repo rotate --end` if no client can be under way",
            Self::Incomplete { .. } => {
                "send the file to those who are missing: `tuf-repo event sign FILE --key URI`, then \
                 `tuf-repo event import FILE` here"
            }
            Self::Missing { .. } | Self::NotOne(_) => "`tuf-repo event list` shows what is pending",
            Self::NotASigner { .. } => "`tuf-repo event show FILE` lists the keys that may sign",
            Self::NotConfirmed(_) => {
                "compare the check phrase with the others who sign, then give it with --phrase, or --yes"
            }
            Self::Outdated { id, .. } => {
                return Some(format!(
                    "`tuf-repo event abort {id}` and open it again: signatures over the old payload cannot be kept"
                ));
            }
            Self::Pending { id, .. } => {
                return Some(format!("`tuf-repo event finish {id}` or `tuf-repo event abort {id}` first"));
            }
            Self::Phrase { .. } => "sign nothing; find out which of the two files was changed",
            Self::Pin(_) => "sign nothing; get the bundle from the operator of the repository that you know",
        };
        Some(hint.to_owned())
    }

    /// Whether this is a refusal of something unsafe.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Bundle { .. }
                | Self::Foreign { .. }
                | Self::Outdated { .. }
                | Self::Phrase { .. }
                | Self::Pin(_)
        )
    }
}
