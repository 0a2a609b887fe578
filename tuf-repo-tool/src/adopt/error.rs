//! Why a repository cannot be adopted.

use std::path::PathBuf;

use tuf_client::UrlError;
use tuf_client::transport::{SetupError, TransportError};
use tuf_core::RoleName;

use crate::keys::KeyError;

/// Why published metadata cannot be taken over as a repository of this program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// A role is delegated to and is not in the snapshot.
    #[error("{source_name} delegates to {role}, which is not in its snapshot")]
    Absent {
        /// Where it was read from.
        source_name: String,
        /// The role.
        role: RoleName,
    },
    /// The root that was given is not one of those in the source.
    #[error("{source_name} has another root {version} than {}", path.display())]
    Anchor {
        /// Where it was read from.
        source_name: String,
        /// The version of the root that was given.
        version: u64,
        /// The file that was given.
        path: PathBuf,
    },
    /// The directory of the new repository has something in it.
    #[error("{} is not empty: it holds {found}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// Something was published, and is another state than the one that is to be put there.
    #[error(
        "{storage} holds another state of this repository: timestamp {found} where {expected} was expected"
    )]
    OtherState {
        /// The storage.
        storage: String,
        /// The version that is there.
        found: String,
        /// The version that was to be there.
        expected: String,
    },
    /// Clients ask for files without versions.
    #[error("{source_name} is published without consistent snapshots (consistent_snapshot is false)")]
    Plain {
        /// Where it was read from.
        source_name: String,
    },
    /// A file does not verify.
    #[error("{source_name}: {file} does not verify, so that nothing was taken over")]
    Refused {
        /// Where it was read from.
        source_name: String,
        /// The metadata file.
        file: String,
        /// Why a client refuses it.
        source: tuf_core::Error,
    },
    /// A target's file is not what was signed.
    #[error("{source_name}: the file of target {path} is not what role {role} signed")]
    Target {
        /// Where it was read from.
        source_name: String,
        /// The target.
        path: String,
        /// Who signed for it.
        role: RoleName,
        /// What is wrong with it.
        source: tuf_core::Error,
    },
    /// A target's file is not there.
    #[error("{place} has no file of target {path}, which role {role} signed")]
    TargetMissing {
        /// Where it was looked for.
        place: String,
        /// The target.
        path: String,
        /// Who signed for it.
        role: RoleName,
    },
    /// A file could not be fetched.
    #[error("cannot fetch it")]
    Transport(#[from] TransportError),
    /// The client could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Nothing is published there.
    #[error("{source_name} has no {file}: there is no repository, or nothing was published")]
    Unpublished {
        /// Where it was looked for.
        source_name: String,
        /// The file that is missing.
        file: String,
    },
    /// A key that was named signs for nothing that is published.
    #[error("the key {uri} is listed by no role that is published")]
    UnusedKey {
        /// The key's URI.
        uri: String,
    },
    /// A key that was named cannot be read.
    #[error("the key {uri} cannot be used")]
    Key {
        /// The key's URI.
        uri: String,
        /// Why.
        source: KeyError,
    },
    /// No URL.
    #[error("{text} is neither a directory nor a URL: {reason}")]
    Url {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: UrlError,
    },
}

impl AdoptError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Absent { role, .. } => format!(
                "nothing could be published on top of it; whoever signs it now publishes {role}, an empty one will do, or delegates \
                 to it no longer: then it can be taken over"
            ),
            Self::Anchor { .. } => {
                "this is another repository, or one whose root was replaced: nothing was taken over; compare the roots with \
                 `tuf-client diff`"
                    .to_owned()
            }
            Self::NotEmpty { .. } => "choose a directory that does not exist yet, or an empty one".to_owned(),
            Self::OtherState { .. } => "nothing was written; `tuf-repo rebuild --settings` takes over what is there".to_owned(),
            Self::Plain { .. } => {
                "whoever signs it now has to publish a root with \"consistent_snapshot\": true and the files under their \
                 versioned names; then it can be taken over"
                    .to_owned()
            }
            Self::Refused { source, .. } | Self::Target { source, .. } => source.hint().to_owned(),
            Self::TargetMissing { .. } => {
                "find it in a copy and put it there; --metadata-only is for files that are in the storage already".to_owned()
            }
            Self::Transport(error) => return error.hint().map(str::to_owned),
            Self::Unpublished { file, .. } if file.ends_with("root.json") => {
                "metadata is looked for in metadata/ below; --metadata-url names another place. A repository must have all of its \
                 roots, from 1.root.json on"
                    .to_owned()
            }
            Self::Unpublished { .. } => {
                "where only a first root is, `tuf-repo init` goes on from it with the same keys/".to_owned()
            }
            Self::UnusedKey { .. } => {
                "`tuf-repo key show URI` shows its ID, `tuf-client inspect FILE` those of a metadata file".to_owned()
            }
            Self::Key { source, .. } => return source.hint(),
            Self::Setup(_) | Self::Url { .. } => return None,
        })
    }

    /// Whether it was refused as unsafe, as opposed to failed.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Absent { .. }
                | Self::Anchor { .. }
                | Self::OtherState { .. }
                | Self::Plain { .. }
                | Self::Refused { .. }
                | Self::Target { .. }
        )
    }
}
