//! What can go wrong for a client: a refusal (something did not verify), or trouble (it could not be
//! fetched or stored). Callers must be able to tell "attack" from "offline".

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tuf_core::{Attack, TargetPath};

use crate::durable::DurableError;
use crate::multi::{self, MapError, NotEnoughAgree, RepositoryFault};
use crate::store::StoreError;
use crate::transport::{SetupError, TransportError, TransportErrorKind};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<ErrorKind>);

/// What one of several mirrors did wrong.
#[derive(Debug)]
#[non_exhaustive]
pub struct MirrorFault {
    /// Where its metadata is, without credentials.
    pub url: String,
    /// Why it could not serve.
    pub error: Error,
}

/// The kinds of [`Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The clock is behind the time of an earlier refresh, and [`crate::ClientBuilder::refuse_clock_steps`] was chosen.
    #[error("the clock says {now}, but the last refresh was at {last}")]
    ClockSteppedBack {
        /// The time of the last refresh that was noted.
        last: DateTime<Utc>,
        /// The time now.
        now: DateTime<Utc>,
    },
    /// The refresh took longer than [`crate::ClientBuilder::deadline`] allows. What it verified is stored, and the
    /// next one goes on from there.
    #[error("the refresh was not complete within {} s", .0.as_secs_f32())]
    Deadline(Duration),
    /// A local file could not be written or read.
    #[error(transparent)]
    File(#[from] DurableError),
    /// A map of several repositories, one of its roots, or one of their stores cannot be used.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Too few of several repositories agree on a target; for each mapping that was tried, in order.
    #[error("{}", multi::list(.0))]
    NotEnoughAgree(Vec<NotEnoughAgree>),
    /// No mapping of the map covers this path.
    #[error("no mapping covers {0}, so no repository was asked")]
    NotMapped(TargetPath),
    /// A file of the repository was refused; with where it came from.
    #[error("{url}: {source}")]
    Refused {
        /// The file.
        url: String,
        /// Why.
        source: tuf_core::Error,
    },
    /// None of several mirrors could serve; with the fault of each.
    #[error("no mirror could serve: {}", list(.0))]
    Mirrors(Vec<MirrorFault>),
    /// This client is offline, and neither store nor cache has the file.
    #[error("{0} is not stored, and the repository is not asked offline")]
    NotStored(String),
    /// A name that is no target path.
    #[error(transparent)]
    Path(#[from] tuf_core::PathError),
    /// None of several repositories could do it; with the fault of each.
    #[error("{}", multi::list(.0))]
    Repositories(Vec<RepositoryFault>),
    /// The transport could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// What a mirror served is valid, but another one has a newer version: it is behind, or holds it back.
    #[error("{url}: stale: version {found}, while another mirror has version {newest}")]
    Stale {
        /// The file.
        url: String,
        /// The version it served.
        found: u64,
        /// The highest version that a mirror served.
        newest: u64,
    },
    /// The trusted store could not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No role that may sign for this path lists it.
    #[error("the repository has no target {0}")]
    TargetNotFound(TargetPath),
    /// Bytes could not be fetched.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Metadata was refused.
    #[error(transparent)]
    Trust(#[from] tuf_core::Error),
    /// A URL that cannot be used as a repository.
    #[error("{url} cannot be the base of a repository: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// This view of the repository has expired.
    #[error("this view of the repository expired at {0}")]
    ViewExpired(DateTime<Utc>),
    /// The output would be written to a place that is not safe.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.0
    }

    fn core(&self) -> Option<&tuf_core::Error> {
        match &*self.0 {
            ErrorKind::Trust(error) | ErrorKind::Refused { source: error, .. } => Some(error),
            ErrorKind::Map(error) => error.core(),
            _ => None,
        }
    }

    /// The faults of all mirrors or repositories, if there are several.
    fn faults(&self) -> impl Iterator<Item = &Self> {
        let (mirrors, repositories, counts): (&[MirrorFault], &[RepositoryFault], &[NotEnoughAgree]) =
            match &*self.0 {
                ErrorKind::Mirrors(faults) => (faults, &[], &[]),
                ErrorKind::Repositories(faults) => (&[], faults, &[]),
                ErrorKind::NotEnoughAgree(counts) => (&[], &[], counts),
                _ => (&[], &[], &[]),
            };
        let of_counts = counts.iter().flat_map(|count| &count.failed);
        let of_repositories = repositories.iter().chain(of_counts).map(|fault| &*fault.error);
        mirrors.iter().map(|fault| &fault.error).chain(of_repositories)
    }

    /// Whether repositories that were heard contradict each other.
    fn is_disagreement(&self) -> bool {
        match &*self.0 {
            ErrorKind::NotEnoughAgree(counts) => counts.iter().any(NotEnoughAgree::is_disagreement),
            _ => false,
        }
    }

    /// Whether something was fetched and failed verification, as opposed to trouble of the network or
    /// this machine. Of several mirrors or repositories, one is enough; so is that repositories disagree.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match &*self.0 {
            ErrorKind::ViewExpired(_) | ErrorKind::ClockSteppedBack { .. } => true,
            ErrorKind::Transport(error) => {
                matches!(error.kind(), TransportErrorKind::TooLarge { .. })
            }
            ErrorKind::Mirrors(_) | ErrorKind::Repositories(_) | ErrorKind::NotEnoughAgree(_) => {
                self.is_disagreement() || self.faults().any(Self::is_refusal)
            }
            _ => self.core().is_some_and(|error| !matches!(error.kind(), tuf_core::ErrorKind::Missing(_))),
        }
    }

    /// Whether the repository lacks a file that its metadata names, which a moment later it may have. Of several
    /// mirrors, one is enough.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match &*self.0 {
            ErrorKind::Transport(error) => error.is_not_found(),
            ErrorKind::Mirrors(_) | ErrorKind::Repositories(_) => self.faults().any(Self::is_missing),
            _ => self.core().is_some_and(|error| matches!(error.kind(), tuf_core::ErrorKind::Missing(_))),
        }
    }

    /// Whether another mirror may do better.
    pub(crate) const fn is_of_mirror(&self) -> bool {
        matches!(&*self.0, ErrorKind::Transport(_) | ErrorKind::Refused { .. })
    }

    /// The class of attack this would be, as one word.
    #[must_use]
    pub fn attack(&self) -> Option<&'static str> {
        match &*self.0 {
            ErrorKind::ViewExpired(_) | ErrorKind::ClockSteppedBack { .. } => {
                Some(Attack::IndefiniteFreeze.name())
            }
            ErrorKind::Transport(_) if self.is_refusal() => Some(Attack::EndlessData.name()),
            // Something that too few of those sign who must.
            _ if self.is_disagreement() => Some(Attack::ArbitrarySoftware.name()),
            ErrorKind::Mirrors(_) | ErrorKind::Repositories(_) | ErrorKind::NotEnoughAgree(_) => {
                self.faults().find_map(Self::attack)
            }
            _ => self.core().and_then(tuf_core::Error::attack).map(Attack::name),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &*self.0 {
            ErrorKind::Trust(error) | ErrorKind::Refused { source: error, .. } => {
                Some(error.hint().to_owned())
            }
            ErrorKind::Transport(error) => error.hint().map(str::to_owned),
            ErrorKind::Store(error) => error.hint().map(str::to_owned),
            ErrorKind::File(error) => error.hint().map(str::to_owned),
            ErrorKind::ClockSteppedBack { .. } => {
                Some("set this machine's clock; if it was wrong at the last refresh, refresh once without this check".to_owned())
            }
            ErrorKind::NotStored(_) => Some(
                "do the same once online: metadata is then kept in the store, and targets in the cache, if one is used (--cache DIR)"
                    .to_owned(),
            ),
            ErrorKind::TargetNotFound(_) => Some("`tuf-client list` prints what there is".to_owned()),
            ErrorKind::Stale { .. } => {
                Some("this mirror is not kept up to date: ask its operator, or leave it out".to_owned())
            }
            ErrorKind::ViewExpired(_) => Some(
                "refresh; if that fails, the repository was not renewed in time: ask its operator".to_owned(),
            ),
            ErrorKind::Map(error) => error.hint(),
            ErrorKind::NotMapped(_) => Some(
                "add a mapping for it to the map; `*` does not match `/`, so each depth needs a pattern".to_owned(),
            ),
            _ if self.is_disagreement() => Some(
                "ask the repositories' operators which of them is wrong; one may be compromised or out of date"
                    .to_owned(),
            ),
            // That of a refusal says more than that of a server in trouble.
            ErrorKind::Mirrors(_) | ErrorKind::Repositories(_) | ErrorKind::NotEnoughAgree(_) => self
                .faults()
                .find(|fault| fault.is_refusal())
                .or_else(|| self.faults().next())
                .and_then(Self::hint),
            ErrorKind::Deadline(_) => {
                Some("try again, with another mirror (--url, several times), or allow more time".to_owned())
            }
            ErrorKind::Path(_) | ErrorKind::Setup(_) | ErrorKind::Url { .. } | ErrorKind::Output { .. } => {
                None
            }
        }
    }
}

impl<K: Into<ErrorKind>> From<K> for Error {
    fn from(kind: K) -> Self {
        Self(Box::new(kind.into()))
    }
}

fn list(faults: &[MirrorFault]) -> String {
    // Each error names its URL.
    let each =
        faults.iter().zip(1_u32..).map(|(fault, number)| format!("({number}) {}", chain(&fault.error)));
    each.collect::<Vec<_>>().join("; ")
}

/// An error with all its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    struct Chain<'a>(&'a dyn std::error::Error);
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut said = self.0.to_string();
            f.write_str(&said)?;
            let mut source = self.0.source();
            while let Some(error) = source {
                let text = error.to_string();
                // Transparent wrappers would say the same twice.
                if !said.contains(&text) {
                    write!(f, ": {text}")?;
                }
                said = text;
                source = error.source();
            }
            Ok(())
        }
    }
    Chain(error).to_string()
}
