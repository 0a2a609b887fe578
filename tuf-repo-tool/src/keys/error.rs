//! What can go wrong with a key, in words for the person who holds it.

use std::io;
use std::path::{Path, PathBuf};

/// A key that cannot be made, read, unlocked or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key is never written over something that is there.
    #[error("{} is already there, and a key is never overwritten", path.display())]
    AlreadyExists {
        /// The file in the way.
        path: PathBuf,
    },
    /// The key URI is not well formed.
    #[error("key URI {uri:?}: {reason}")]
    BadUri {
        /// The URI as it was written.
        uri: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file is not what its place says it is.
    #[error("{} is damaged or not a key: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what came.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "create".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key is encrypted and nothing gave a passphrase.
    #[error("no passphrase for key {key}: looked at {} and found no terminal to ask on", looked_at.join(", "))]
    NoPassphrase {
        /// The key's name.
        key: String,
        /// The environment variables that were looked at, in order.
        looked_at: Vec<String>,
    },
    /// The file named by `TUF_PASSPHRASE_FILE` cannot be used.
    #[error("passphrase file {}: {reason}", path.display())]
    PassphraseFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// People other than the owner can reach the private key.
    #[error("{} can be read or written by others than its owner (mode {mode:04o}, at most 0600 is accepted)", path.display())]
    Permissions {
        /// The private key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The passphrase could not be asked for.
    #[error("cannot ask for the passphrase of key {key}: {source}")]
    Prompt {
        /// The key's name.
        key: String,
        /// Why not.
        source: io::Error,
    },
    /// The public file beside the private key describes another key.
    #[error("{} is for key ID {listed}, but the private key beside it has key ID {unlocked}", path.display())]
    PublicMismatch {
        /// The `.pub.json` file.
        path: PathBuf,
        /// The key ID of the public file.
        listed: String,
        /// The key ID of the private key.
        unlocked: String,
    },
    /// There is a private key, but no public file beside it.
    #[error("{} is missing: it must hold the public half of the key beside it", path.display())]
    PublicMissing {
        /// The `.pub.json` file.
        path: PathBuf,
    },
    /// The random generator, or the key itself, failed.
    #[error("key {key} cannot {action}: the cryptography library refused")]
    Sign {
        /// The key's name.
        key: String,
        /// What was tried: "sign", "be generated", "be encrypted".
        action: &'static str,
    },
    /// No algorithm has this name.
    #[error("unknown key algorithm {name:?}: ed25519, ecdsa-p256 and ecdsa-p384 can be generated")]
    UnknownAlgorithm {
        /// The name as it was given.
        name: String,
    },
    /// A sound private key, of a kind that this tool does not sign with.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The private key file.
        path: PathBuf,
        /// Which kind it is and which are supported.
        reason: String,
    },
    /// The key URI names a place this tool cannot reach.
    #[error("key URI {uri:?}: the scheme {scheme:?} is not supported; the supported one is \"file:\"")]
    UnsupportedScheme {
        /// The URI as it was written.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// The passphrase does not open the key.
    #[error("Wrong passphrase for key {key}")]
    WrongPassphrase {
        /// The key's name.
        key: String,
    },
}

impl KeyError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::AlreadyExists { path } => {
                Some(format!("choose another name, or move {} away if that key is no longer used", path.display()))
            }
            Self::Damaged { .. } => Some("restore the file from a backup".to_owned()),
            Self::NoPassphrase { key, .. } => Some(format!(
                "set {}, or name a file that holds it in TUF_PASSPHRASE_FILE, or run this on a terminal",
                super::passphrase::variable_for(key)
            )),
            Self::PassphraseFile { .. } => {
                Some("the file's first line is the passphrase; protect it with chmod 600".to_owned())
            }
            Self::Permissions { path, .. } => Some(format!(
                "chmod 600 {}; if others could use this machine meanwhile, replace the key",
                path.display()
            )),
            Self::PublicMismatch { .. } | Self::PublicMissing { .. } => Some(
                "restore the pair from a backup, or import the private key again under a new name; \
                 a key whose generation was interrupted was never used and can be deleted"
                    .to_owned(),
            ),
            Self::UnsupportedScheme { .. } => {
                Some("write it as file:keys/NAME.pem, relative to the repository's directory".to_owned())
            }
            Self::WrongPassphrase { .. } => Some(
                "if the passphrase is certainly right, the encrypted part of the file is damaged: restore it from a backup"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}
