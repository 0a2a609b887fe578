//! What can go wrong with a recovery, in words for its operator.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Why a recovery was not planned or not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The archive is no copy of what this repository published.
    #[error("{} is no copy of what is published: {reason}", path.display())]
    Archive {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Just this was carried out, and no root has come since.
    #[error("this recovery is done: event {event} is finished, and its root is the newest")]
    Done {
        /// Its event.
        event: String,
        /// The ID of a plan to do it once more.
        plan: String,
    },
    /// Files of targets that are restored are missing or damaged, and in no archive.
    #[error("{} files of restored targets are not what was signed, first {}", .0.len(), .0.iter().take(5).cloned().collect::<Vec<_>>().join(", "))]
    Files(Vec<String>),
    /// The snapshot that is said to be good cannot be used.
    #[error("snapshot {version} cannot be gone back to: {reason}")]
    KnownGood {
        /// Its version.
        version: u64,
        /// What is wrong with it, or with a file that it lists.
        reason: String,
    },
    /// As many keys of root are compromised as may sign it.
    #[error(
        "{compromised} keys of root are compromised, and {threshold} sign a root: whoever has them is as trusted as you are"
    )]
    Root {
        /// How many keys.
        compromised: usize,
        /// How many sign.
        threshold: u32,
    },
    /// Keys that are replaced have no successor.
    #[error("new keys are needed: {}", .0.iter().map(MissingKey::to_string).collect::<Vec<_>>().join("; "))]
    NoNewKey(Vec<MissingKey>),
    /// A new key is one of those that are replaced.
    #[error("the new key {uri} of role {role} is one that is replaced")]
    OldKey {
        /// The role.
        role: String,
        /// The key.
        uri: String,
    },
    /// What is published is not what the plan was made for.
    #[error("the plan is for {planned}, and {found} is published: nothing was changed")]
    Moved {
        /// The plan, or the timestamp that it is bound to.
        planned: String,
        /// What is there now.
        found: String,
        /// The ID of a plan for that.
        plan: String,
    },
    /// No recovery is under way, and none was asked for.
    #[error("no recovery is under way here")]
    NotUnderWay,
    /// There is no such role, or no such key of it.
    #[error("{0}")]
    Role(String),
    /// Another recovery is under way.
    #[error("another recovery is under way{}: of {compromised}, back to snapshot {known_good}", event.as_ref().map(|id| format!(", event {id}")).unwrap_or_default())]
    UnderWay {
        /// What it recovers from.
        compromised: String,
        /// What it goes back to.
        known_good: u64,
        /// Its event.
        event: Option<String>,
    },
}

/// A key that is replaced, and by what is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MissingKey {
    /// The role; hash bins together as `bin-n`.
    pub role: String,
    /// The key that goes.
    pub key: String,
}

impl fmt::Display for MissingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in place of {}", self.role, self.key)
    }
}

impl RecoverError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Archive { .. } => {
                "--archive wants a copy of the public directory, with metadata/ and targets/ in it".to_owned()
            }
            Self::Files(_) => {
                "put the files back, or name a copy of the public directory that has them with --archive".to_owned()
            }
            Self::Done { plan, .. } => format!(
                "`tuf-repo log` shows it; if the new keys are lost as well, look at the plan again and carry it out with --apply \
                 --plan {plan}"
            ),
            Self::KnownGood { .. } => {
                "name an earlier snapshot, or a copy of the public directory from before with --archive".to_owned()
            }
            Self::Root { .. } => {
                "no root can say whom to trust any more: make a new repository, and hand its root out with new clients"
                    .to_owned()
            }
            Self::NoNewKey(missing) => format!(
                "the holder of each makes one (`tuf-repo key generate NAME --out DIR`) and hands out NAME.pub.json; then \
                 `tuf-repo key import NAME.pub.json --public --name NAME` and --new-key {}=pub:keys/NAME.pub.json",
                missing.first().map_or("ROLE", |missing| missing.role.as_str())
            ),
            Self::OldKey { role, .. } => format!("make a new one and name it: --new-key {role}=URI"),
            Self::Moved { plan, .. } => format!(
                "stop what publishes by itself (timers, `renew --watch`); look at the plan again, without --apply, and carry it \
                 out with --apply --plan {plan}: signatures that were given stay good"
            ),
            Self::NotUnderWay => {
                "`tuf-repo recover --compromised ROLE --known-good VERSION` makes a plan".to_owned()
            }
            Self::Role(_) => return None,
            Self::UnderWay { event, .. } => match event {
                Some(id) => format!("`tuf-repo recover --apply` goes on with it; `tuf-repo event abort {id}` gives it up"),
                None => "`tuf-repo recover --apply` goes on with it".to_owned(),
            },
        })
    }

    /// Whether this is a refusal of something unsafe.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Done { .. }
                | Self::Files(_)
                | Self::KnownGood { .. }
                | Self::Root { .. }
                | Self::OldKey { .. }
                | Self::Moved { .. }
        )
    }
}
