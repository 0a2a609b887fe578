//! What can go wrong with a rotation, in words for the operator.

/// Why a key is not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// More than one key is called that.
    #[error("{key} stands for several keys: {}", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        key: String,
        /// The IDs of the keys that it fits.
        ids: Vec<String>,
    },
    /// The key is being replaced by another one than was asked for.
    #[error("{key} is being replaced by {by} already")]
    Begun {
        /// The old key.
        key: String,
        /// The new one.
        by: String,
    },
    /// Nobody has so many new keys as old ones.
    #[error("{keys} keys are to be replaced, and --to names {to}")]
    Count {
        /// How many are to be replaced.
        keys: usize,
        /// How many new ones were given.
        to: usize,
    },
    /// The key that is to take over was replaced itself.
    #[error(
        "{key} has signed for {role} before, up to root {root}: a key that was replaced does not come back"
    )]
    Replaced {
        /// Where it is.
        key: String,
        /// The role.
        role: String,
        /// The last root that listed it.
        root: u64,
    },
    /// A key cannot take over from itself.
    #[error("{key} would be replaced by itself")]
    Same {
        /// The key.
        key: String,
    },
    /// No key that may sign is called that.
    #[error("no key that may sign for what is published is called {key:?}: there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        key: String,
        /// The names of the keys that may.
        known: Vec<String>,
    },
    /// The key signs for nothing that is published.
    #[error(
        "key {key} ({keyid}) may sign for nothing that is published: it was replaced, or was never published"
    )]
    Unused {
        /// Its name.
        key: String,
        /// Its ID.
        keyid: String,
    },
    /// Nobody said where the new key is.
    #[error("{key} is not a file here: the key that replaces it has to be given")]
    Where {
        /// The old key.
        key: String,
    },
}

impl RotateError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Ambiguous { .. } => "give more of its ID, or its URI",
            Self::Begun { .. } => {
                "leave --to out to go on; to begin anew with another key, `tuf-repo event abort` what is pending and remove \
                 state/rotation.json"
            }
            Self::Count { .. } => "give --to once for each key, in the same order",
            Self::Replaced { .. } | Self::Same { .. } => "make another key: `tuf-repo key generate`",
            Self::Unknown { .. } | Self::Unused { .. } => {
                "`tuf-repo status` names the keys of every role, `tuf-repo key list` those that are here"
            }
            Self::Where { .. } => {
                "--to URI: pub:keys/NAME.pub.json for one that a holder made (`tuf-repo key import FILE --public --name NAME`), \
                 pkcs11:…, exec:…; or --offline-keys DIR to have it made there"
            }
        };
        Some(hint.to_owned())
    }
}
