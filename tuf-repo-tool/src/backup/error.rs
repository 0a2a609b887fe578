//! Why a backup cannot be made or restored.

use std::io;
use std::path::PathBuf;

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The archive is not one that this program wrote, or not all of it.
    #[error("the backup {} is damaged: {reason}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of that name is there.
    #[error("{} is there already", path.display())]
    Exists {
        /// The archive that was to be written.
        path: PathBuf,
    },
    /// The archive could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The archive.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The version that was asked for is no higher than that of the backup.
    #[error(
        "--min-version {asked} is not higher than the timestamp of the backup, which has version {found}"
    )]
    MinVersion {
        /// What was asked for.
        asked: u64,
        /// The version of the backup's timestamp.
        found: u64,
    },
    /// A key would be overwritten by another one.
    #[error("{} is there already, and is another key or another copy of it than the backup has", path.display())]
    OtherKey {
        /// The key's file.
        path: PathBuf,
    },
    /// A private key that anybody could use who reads the archive.
    #[error("the key {} is not encrypted", path.display())]
    PlainKey {
        /// The key's file.
        path: PathBuf,
    },
    /// Nothing is published that could be backed up.
    #[error("nothing is published yet")]
    Unpublished,
}

impl BackupError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Damaged { .. } => "nothing was restored; take another copy of it, or an older backup",
            Self::Exists { .. } => "each backup is a file of its own: name another",
            Self::Io { .. } => return None,
            Self::MinVersion { .. } => "name a version above the last one that clients saw, or leave it out",
            Self::OtherKey { .. } => {
                "nothing was restored; move it away if the one in the backup is wanted, it may be the newer one"
            }
            Self::PlainKey { .. } => {
                "whoever reads the archive could sign with it; `tuf-repo key import` encrypts a copy, --unencrypted-keys takes it as \
                 it is"
            }
            Self::Unpublished => "run `tuf-repo publish` first",
        };
        Some(hint.to_owned())
    }

    /// Whether it was refused as unsafe, as opposed to failed.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::PlainKey { .. })
    }
}
