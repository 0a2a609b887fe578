//! What can go wrong with a repository, in words for its operator.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use tuf_client::durable::{DurableError, LockError};
use tuf_client::text::{span, utc};
use tuf_core::TopLevel;

use crate::adopt::AdoptError;
use crate::backup::BackupError;
use crate::detached::DetachedError;
use crate::edit::{EditError, FileError, ManifestError};
use crate::event::EventError;
use crate::keys::KeyError;
use crate::log::Did;
use crate::mirror::UpstreamError;
use crate::recover::RecoverError;
use crate::rotate::RotateError;
use crate::state::StateError;
use crate::storage::StorageError;

/// Why a command on a repository failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What somebody published cannot be taken over.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// A backup could not be made or restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The staged state did not pass the check by a real client; nothing was published.
    #[error("the check before publishing failed, {stage}: nothing was published")]
    Check {
        /// Which client, and what it found.
        stage: String,
        /// What it said.
        source: Box<tuf_client::Error>,
    },
    /// Another process works on this repository.
    #[error("the repository {} is {source}", path.display())]
    Busy {
        /// The repository.
        path: PathBuf,
        /// Who has it.
        source: LockError,
    },
    /// A client of this repository failed.
    #[error(transparent)]
    Client(#[from] tuf_client::Error),
    /// The clock is behind what was signed before.
    #[error(
        "the clock says {}, and what is published was signed at {} ({by}), {} later: nothing was signed",
        utc(now), utc(signed), span(*signed - *now)
    )]
    Clock {
        /// The present, as the clock has it.
        now: DateTime<Utc>,
        /// When something was signed before.
        signed: DateTime<Utc>,
        /// How that is known.
        by: &'static str,
    },
    /// Another publisher has published since this command began.
    #[error(
        "another publisher was faster: the timestamp was expected to be {expected} and is {found}; nothing was published, \
         and what is staged stays so"
    )]
    Conflict {
        /// The timestamp that the new state was built on.
        expected: String,
        /// The one that is there.
        found: String,
    },
    /// `tuf-repo.toml` cannot be used.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Published files are not on this machine.
    #[error("the published files are in {storage}, not in a directory of this machine")]
    NotLocal {
        /// The storage's URL.
        storage: String,
    },
    /// A signature that was made elsewhere cannot be taken.
    #[error(transparent)]
    Detached(#[from] DetachedError),
    /// What is staged of roles or for them cannot be.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// An event could not be opened, signed or finished.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A repository is there already.
    #[error("{} already is a repository", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] DurableError),
    /// A file or directory could not be read.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A published file is not there any more.
    #[error("{path} is published, and is not in {storage}")]
    Missing {
        /// The storage's URL.
        storage: String,
        /// The file.
        path: String,
    },
    /// Another publisher has the lease.
    #[error("{holder} is publishing")]
    LeaseHeld {
        /// Who.
        holder: String,
    },
    /// A recovery was not planned, or not carried out.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A list of targets cannot be taken.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A new root does not fit what is published: clients would refuse one of the two.
    #[error("root {version} was not published: {} would not hold under it", role.name())]
    NextRoot {
        /// The version of the new root.
        version: u64,
        /// The role that clients would refuse.
        role: TopLevel,
        /// Why.
        source: tuf_core::Error,
    },
    /// There is no repository.
    #[error("{} is no repository: it has no tuf-repo.toml", path.display())]
    NotARepository {
        /// The directory.
        path: PathBuf,
    },
    /// Keys that are to be offline would lie in the repository.
    #[error("{} is in the repository {}: offline keys are kept away from it", path.display(), repository.display())]
    OfflineKeys {
        /// Where the keys were to be written.
        path: PathBuf,
        /// The repository.
        repository: PathBuf,
    },
    /// Published metadata is damaged, or not signed by the repository's keys.
    #[error("published metadata is damaged")]
    Published(#[source] tuf_core::Error),
    /// The public URL does not serve what was published.
    #[error("published, but {url} does not serve it: {reason}")]
    NotServed {
        /// The public URL.
        url: String,
        /// What a client found there.
        reason: String,
    },
    /// A key cannot be replaced.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// A signature did not verify right after it was made.
    #[error("role {role}: {source}")]
    Signature {
        /// The role.
        role: String,
        /// The key.
        source: tuf_core::BadSignature,
    },
    /// A staged target has no file, or another one, in the repository.
    #[error("target {path}: expected {expected} at {place}, found {found}: nothing was published")]
    StagedFile {
        /// The target.
        path: String,
        /// Where its file must be.
        place: String,
        /// What was to be signed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The state database failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// Published files could not be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A new repository would be put over another one.
    #[error("{storage} holds another repository already")]
    Taken {
        /// The storage.
        storage: String,
    },
    /// A file cannot become a target.
    #[error(transparent)]
    Target(#[from] FileError),
    /// The upstream index could not be mirrored, or was refused.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A role has fewer keys than its threshold.
    #[error("role {role} needs {threshold} keys, and tuf-repo.toml names {keys}")]
    TooFewKeys {
        /// The role.
        role: String,
        /// How many are needed.
        threshold: u32,
        /// How many there are.
        keys: usize,
    },
    /// Nothing would keep two publishers from overwriting each other.
    #[error(
        "the storage {storage} is not safe to publish to: its server overwrites whatever the condition of a request, and no \
         database is shared that would let one publisher at a time do it"
    )]
    Unguarded {
        /// The storage.
        storage: String,
    },
    /// A change is made, and the log has no line of it.
    #[error("done, but the log has no line of it ({}): {source}", did.name())]
    Unlogged {
        /// What was done.
        did: Did,
        /// Why.
        source: LockError,
    },
    /// The database has the new timestamp, and the storage does not.
    #[error("published in the database, but not sent to the storage")]
    Unsent {
        /// Why.
        source: Box<Self>,
    },
    /// Others write there faster than this publisher can.
    #[error("{storage} is changed by others again and again; nothing was lost, and what is staged stays so")]
    Unsettled {
        /// The storage.
        storage: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) const fn unlogged(did: Did, source: LockError) -> Self {
        Self::Unlogged { did, source }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Adopt(error) => error.hint(),
            Self::Backup(error) => error.hint(),
            Self::Busy { .. } => Some("wait until it has ended, or stop it".to_owned()),
            Self::Check { source, .. } => source.hint(),
            Self::Client(error) => error.hint(),
            Self::Clock { .. } => Some(
                "set the clock of this machine (NTP) and run the command again; if it is right now and was ahead when that was \
                 signed: the same with --clock-is-right, once (`publish` and `renew` take it, too)"
                    .to_owned(),
            ),
            Self::NotLocal { .. } => Some(
                "any web server or CDN in front of it serves them; `tuf-repo renew` by a timer keeps them from expiring".to_owned(),
            ),
            Self::Detached(error) => error.hint(),
            Self::Conflict { .. } | Self::Unsettled { .. } => {
                Some("run the command again: it starts from what is published now; --retry N does so by itself".to_owned())
            }
            Self::Edit(error) => error.hint(),
            Self::Manifest(error) => error.hint(),
            Self::Recover(error) => error.hint(),
            Self::Target(error) => error.hint(),
            Self::Exists { .. } => Some("choose another directory".to_owned()),
            Self::File(error) => error.hint().map(str::to_owned),
            Self::Key(error) => error.hint(),
            Self::LeaseHeld { .. } => {
                Some("wait until it has ended; the lease of a publisher that died runs out by itself".to_owned())
            }
            Self::NotServed { .. } => Some(
                "a web server or CDN in between keeps old answers, or serves another directory: timestamp.json and N.root.json \
                 must not be cached for long, 404 answers neither"
                    .to_owned(),
            ),
            Self::Taken { .. } => Some(
                "nothing was written; choose another prefix, or, to publish to it from this machine too, copy tuf-repo.toml, \
                 root.json and keys/ from a machine that does"
                    .to_owned(),
            ),
            Self::Unguarded { .. } => Some(
                "name a PostgreSQL database in tuf-repo.toml, the same on every machine: state = \"postgres://…\"; or use a \
                 server that knows If-Match"
                    .to_owned(),
            ),
            Self::Unlogged { .. } => Some(
                "make log.ndjson writable, or free some space; of a publish, the next publish or renew writes the line".to_owned(),
            ),
            Self::Unsent { .. } => Some("the next publish or renew sends it".to_owned()),
            Self::Event(error) => error.hint(),
            Self::NextRoot { role, .. } => Some(format!(
                "name the keys of {0} that the old and the new root list in [roles.{0}] of tuf-repo.toml, and finish again",
                role.name()
            )),
            Self::NotARepository { .. } => {
                Some("`tuf-repo init DIR` makes one; --repo DIR or TUF_REPO says where it is".to_owned())
            }
            Self::Missing { .. } => Some(
                "restore it from a copy; versioned and hashed files are the same in every copy".to_owned(),
            ),
            Self::Storage(error) => error.hint(),
            Self::Published(error) => Some(error.hint().to_owned()),
            Self::Rotate(error) => error.hint(),
            Self::State(error) => error.hint(),
            _ => None,
        }
    }

    /// Whether all is well but for signatures of keys that are elsewhere.
    #[must_use]
    pub const fn needs_signatures(&self) -> bool {
        match self {
            Self::Edit(error) => error.needs_signatures(),
            Self::Event(error) => matches!(error, EventError::Incomplete { .. }),
            _ => false,
        }
    }

    /// Whether only the keys of one role are the reason: they are elsewhere, cannot be opened, or do not sign.
    pub(crate) const fn is_of_keys(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Signature { .. } | Self::Edit(EditError::SignedElsewhere { .. }))
    }

    /// Whether the tool refused something as unsafe, as opposed to failing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Adopt(error) => error.is_refusal(),
            Self::Backup(error) => error.is_refusal(),
            Self::Client(error) => error.is_refusal(),
            Self::Edit(error) => !error.needs_signatures(),
            Self::Event(error) => error.is_refusal(),
            Self::Recover(error) => error.is_refusal(),
            Self::Check { .. }
            | Self::Clock { .. }
            | Self::Manifest(_)
            | Self::NextRoot { .. }
            | Self::OfflineKeys { .. }
            | Self::StagedFile { .. }
            | Self::Published(_)
            | Self::Taken { .. }
            | Self::Unguarded { .. }
            | Self::Upstream(_) => true,
            Self::Detached(error) => matches!(error, DetachedError::Unverified { .. }),
            _ => false,
        }
    }
}
