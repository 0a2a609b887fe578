//! What can be wrong with metadata, and which attack it would be.
//!
//! Every refusal names the role, the version, what was expected and what came. [`Error::attack`]
//! gives the class in the words of TUF spec section 1.5.2; [`Error::hint`] says what to do.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::canonical::JsonError;
use crate::reader::FieldError;
use crate::role::{KeyId, RoleName};

/// The attack that a refusal stopped, or would have let through (TUF spec 1.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Attack {
    /// Something not signed by the keys that may sign it.
    ArbitrarySoftware,
    /// More data, or more work, than was agreed.
    EndlessData,
    /// Two contents signed under one version by the same keys: whoever holds them shows different clients different
    /// repositories, or they are in other hands. Not in the specification's list.
    Equivocation,
    /// Old metadata served as if nothing newer existed.
    IndefiniteFreeze,
    /// Files of different snapshots put together.
    MixAndMatch,
    /// An older version than one already seen.
    Rollback,
    /// Bytes other than those that were signed for this name.
    WrongSoftware,
}

impl Attack {
    /// The class as one word for logs and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ArbitrarySoftware => "arbitrary-software",
            Self::EndlessData => "endless-data",
            Self::Equivocation => "equivocation",
            Self::IndefiniteFreeze => "freeze",
            Self::MixAndMatch => "mix-and-match",
            Self::Rollback => "rollback",
            Self::WrongSoftware => "wrong-software",
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal: the role and version it is about, and why.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    role: Option<RoleName>,
    version: Option<u64>,
    kind: ErrorKind,
}

/// Why something was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `signatures` names a key ID more than once (spec 4.2: keyids must be unique).
    #[error("the signatures list names key {0} more than once")]
    DuplicateSignature(KeyId),
    /// A version that was seen before came with another content, validly signed by the role's present keys.
    #[error("this version was seen with another content before, and the same keys signed both")]
    Equivocation,
    /// The metadata has expired (spec 5.3.10, 5.4.4, 5.5.6, 5.6.5).
    #[error("expired at {expires}, and it is {now} now")]
    Expired {
        /// The expiry that was signed.
        expires: DateTime<Utc>,
        /// The fixed time of this update.
        now: DateTime<Utc>,
    },
    /// A field is missing, of the wrong type, or holds an impossible value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The hash of the bytes is not the signed one.
    #[error("{algorithm} is {found}, but {expected} was signed")]
    Hash {
        /// `sha256` or `sha512`.
        algorithm: &'static str,
        /// The signed digest, hex.
        expected: String,
        /// The digest of what came, hex.
        found: String,
    },
    /// Not JSON, or JSON that canonical form cannot hold.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The length of the bytes is not the signed one.
    #[error("{found} bytes came, but {expected} were signed")]
    Length {
        /// The signed length in bytes.
        expected: u64,
        /// The number of bytes that came.
        found: u64,
    },
    /// A count or size is over its limit.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The repository does not have a file that its signed metadata names.
    #[error("the repository does not have {0}")]
    Missing(String),
    /// No known hash algorithm among the signed hashes.
    #[error("no sha256 and no sha512 among the signed hashes")]
    NoKnownHash,
    /// A targets role is not listed in the snapshot (spec 5.6.2).
    #[error("it is not listed in snapshot {snapshot}")]
    NotInSnapshot {
        /// The snapshot's version.
        snapshot: u64,
    },
    /// The delegating role does not delegate to this role.
    #[error("{delegator} does not delegate to it")]
    NotDelegated {
        /// The role that was asked.
        delegator: RoleName,
    },
    /// A role that was verified under another snapshot was handed in; roles of two snapshots must not be put together.
    #[error("{0} was verified under another snapshot than the one it was given for")]
    OtherSnapshot(RoleName),
    /// A role that an earlier snapshot listed is gone (spec 5.5.5).
    #[error("snapshot {snapshot} no longer lists {missing:?}, which an earlier one did")]
    RoleRemoved {
        /// The new snapshot's version.
        snapshot: u64,
        /// The role that vanished.
        missing: String,
    },
    /// A version below the trusted one (spec 5.4.3, 5.5.5).
    #[error("version {found} is older than {floor}, which was trusted before")]
    Rollback {
        /// The lowest version that may come.
        floor: u64,
        /// The version that came.
        found: u64,
    },
    /// The metadata speaks another major version of the specification (spec 4.3).
    #[error("it follows specification {0:?}, and this program reads 1.x")]
    SpecVersion(String),
    /// Too few distinct keys signed (spec 5.3.4, 5.4.2, 5.5.3, 5.6.3).
    #[error("signed by {valid} of the {threshold} keys needed, as {by} demands")]
    Threshold {
        /// How many distinct authorised keys made a valid signature.
        valid: usize,
        /// How many are needed.
        threshold: u32,
        /// The file that names the keys: `root 3`, `targets 7`.
        by: String,
    },
    /// Another role's metadata was served.
    #[error("its _type is {found:?}, not {expected:?}")]
    Type {
        /// The type asked for.
        expected: &'static str,
        /// The type that came.
        found: String,
    },
    /// The version inside is not the one that was asked for or signed.
    #[error("version {found} came, but version {expected} is the one to have")]
    Version {
        /// The version asked for, or signed in the metadata that points here.
        expected: u64,
        /// The version inside the file.
        found: u64,
    },
}

impl Error {
    pub(crate) fn new(kind: impl Into<ErrorKind>) -> Self {
        Self(Box::new(Inner { role: None, version: None, kind: kind.into() }))
    }

    /// Names the role this is about, unless one is named already.
    #[must_use]
    pub fn in_role(mut self, role: &RoleName) -> Self {
        self.0.role.get_or_insert_with(|| role.clone());
        self
    }

    pub(crate) fn at_version(mut self, version: u64) -> Self {
        self.0.version.get_or_insert(version);
        self
    }

    /// Why it was refused.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The role whose metadata was refused.
    #[must_use]
    pub const fn role(&self) -> Option<&RoleName> {
        self.0.role.as_ref()
    }

    /// The version of the refused metadata, where it could be read.
    #[must_use]
    pub const fn version(&self) -> Option<u64> {
        self.0.version
    }

    /// The attack this would be, if it is not an accident.
    #[must_use]
    pub const fn attack(&self) -> Option<Attack> {
        Some(match &self.0.kind {
            ErrorKind::DuplicateSignature(_)
            | ErrorKind::Field(_)
            | ErrorKind::Json(_)
            | ErrorKind::NoKnownHash
            | ErrorKind::NotDelegated { .. }
            | ErrorKind::Threshold { .. }
            | ErrorKind::Type { .. } => Attack::ArbitrarySoftware,
            ErrorKind::Equivocation => Attack::Equivocation,
            ErrorKind::Expired { .. } => Attack::IndefiniteFreeze,
            // A metadata file of another snapshot, or other bytes of a target.
            ErrorKind::Length { .. } | ErrorKind::Hash { .. } if self.0.role.is_some() => Attack::MixAndMatch,
            ErrorKind::Length { .. } | ErrorKind::Hash { .. } => Attack::WrongSoftware,
            ErrorKind::Limit { .. } => Attack::EndlessData,
            // Spec 5.3.5: another root than the next one.
            ErrorKind::Version { .. } if self.is_about_root() => Attack::Rollback,
            ErrorKind::NotInSnapshot { .. } | ErrorKind::OtherSnapshot(_) | ErrorKind::Version { .. } => {
                Attack::MixAndMatch
            }
            ErrorKind::Rollback { .. } | ErrorKind::RoleRemoved { .. } => Attack::Rollback,
            ErrorKind::Missing(_) | ErrorKind::SpecVersion(_) => return None,
        })
    }

    const fn is_about_root(&self) -> bool {
        matches!(&self.0.role, Some(role) if matches!(role.as_str().as_bytes(), b"root"))
    }

    /// What the person in front of this message can do.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match &self.0.kind {
            ErrorKind::Equivocation => {
                "keep both files and ask the repository's operator: its keys may be in other hands, or two publishers do not know of each other"
            }
            ErrorKind::Expired { .. } => {
                "check this machine's clock; if it is right, the repository was not renewed or an old copy is served: ask its operator"
            }
            ErrorKind::Rollback { .. } | ErrorKind::RoleRemoved { .. } => {
                "an old copy is served, by a stale cache or an attacker: ask the repository's operator; nothing on this machine changed"
            }
            ErrorKind::Threshold { .. } => {
                "someone without the keys changed this file, or the trusted root is of another repository: compare root.json with its operator's"
            }
            ErrorKind::Length { .. }
            | ErrorKind::Hash { .. }
            | ErrorKind::Version { .. }
            | ErrorKind::NotInSnapshot { .. } => {
                "the file does not belong to this snapshot: the mirror is damaged, half-updated or tampered with; try again or another mirror"
            }
            ErrorKind::Limit { .. } => {
                "this is more than any honest repository sends; raise the limit only if its operator says so"
            }
            ErrorKind::Missing(_) => "the mirror is incomplete: try again in a moment, or tell its operator",
            ErrorKind::SpecVersion(_) => "use a newer version of this program",
            ErrorKind::OtherSnapshot(_) => {
                "the calling program mixes two updates: it has to take the delegating role from the update it asks"
            }
            _ => {
                "the file is not what the repository's operator published, or was made by a faulty tool: tell its operator"
            }
        }
    }
}

impl<K: Into<ErrorKind>> From<K> for Error {
    fn from(kind: K) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.role, self.0.version) {
            (Some(role), Some(version)) => write!(f, "{role} {version} refused: ")?,
            (Some(role), None) => write!(f, "{role} refused: ")?,
            (None, _) => {}
        }
        write!(f, "{}", self.0.kind)?;
        match self.attack() {
            Some(attack) => write!(f, " ({attack})"),
            None => Ok(()),
        }
    }
}
