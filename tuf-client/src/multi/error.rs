//! What can be wrong with a map, and how repositories fail to agree.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tuf_core::TargetPath;
use tuf_core::canonical::JsonError;

use super::consensus::{Dissent, Vote};
use super::map::RepositoryName;
use crate::error::{Error, chain};
use crate::store::StoreError;

/// What is wrong with a map, its roots or its stores, and where. Nothing was fetched or written.
#[derive(Debug, thiserror::Error)]
#[error("map: {place}{kind}")]
pub struct MapError {
    place: Place,
    kind: Box<MapErrorKind>,
}

#[derive(Debug)]
pub(super) enum Place {
    File,
    Repository(String),
    Mapping(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Repository(name) => write!(f, "repositories[{name:?}]: "),
            Self::Mapping(index) => write!(f, "mapping[{index}]: "),
        }
    }
}

/// The kinds of [`MapError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapErrorKind {
    /// A list that must not be empty.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Not JSON, or JSON that names a member twice.
    #[error(transparent)]
    Json(JsonError),
    /// A name that no repository can have.
    #[error("this cannot be the name of a repository: {0}")]
    Name(&'static str),
    /// The pinned root could not be had.
    #[error("no pinned root: {0}")]
    NoRoot(std::io::Error),
    /// The directory for stores is itself the store of one repository.
    #[error("{} is the store of one repository, and not a directory for the stores of several", .0.display())]
    OneStore(PathBuf),
    /// A pattern that cannot be meant.
    #[error("the pattern {pattern:?} {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A mapping names a repository twice, which would then count twice.
    #[error("the repository {0} is named twice")]
    Repeated(RepositoryName),
    /// The pinned root is not one: malformed, or not signed by its own keys.
    #[error("its pinned root: {0}")]
    Root(tuf_core::Error),
    /// Two names have the same directory on some systems.
    #[error("its name differs from that of {0} by upper and lower case only")]
    SameDirectory(RepositoryName),
    /// Two repositories of which more than one is needed have the same pinned root, so that they are one.
    #[error(
        "{one} and {two} have the same pinned root: whoever controls one of them controls both, so they cannot count as two"
    )]
    SameRoot {
        /// The one.
        one: RepositoryName,
        /// The other.
        two: RepositoryName,
    },
    /// Fields that are missing, unknown, or of another type.
    #[error("{0}")]
    Shape(String),
    /// A URL is given twice.
    #[error("{url} is given already, for {with}")]
    SharedUrl {
        /// The URL, without credentials.
        url: String,
        /// Whose it is already.
        with: RepositoryName,
    },
    /// The store of this repository could not be used.
    #[error(transparent)]
    Store(StoreError),
    /// The threshold cannot be met, or is none.
    #[error(
        "the threshold is {threshold}: it must be at least 1 and at most {repositories}, the number of repositories named"
    )]
    Threshold {
        /// The threshold.
        threshold: u64,
        /// How many repositories the mapping names.
        repositories: usize,
    },
    /// Over a limit.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// A mapping names a repository that the map does not define.
    #[error("the repository {0:?} is not among \"repositories\"")]
    Undefined(String),
    /// A URL that cannot be the base of a repository.
    #[error("{0}")]
    Url(String),
}

impl MapError {
    pub(super) fn new(place: Place, kind: MapErrorKind) -> Self {
        Self { place, kind: Box::new(kind) }
    }

    pub(super) fn of_repository(name: &RepositoryName, kind: MapErrorKind) -> Self {
        Self::new(Place::Repository(name.as_str().to_owned()), kind)
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &MapErrorKind {
        &self.kind
    }

    /// The mapping that is wrong, counted from 0; `None` if it is a repository or the whole file.
    #[must_use]
    pub fn mapping(&self) -> Option<usize> {
        match self.place {
            Place::Mapping(index) => Some(index),
            Place::File | Place::Repository(_) => None,
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match &*self.kind {
            MapErrorKind::NoRoot(_) => Some(
                "put the root file that you got from the repository's operator at ROOTS/NAME/root.json"
                    .to_owned(),
            ),
            MapErrorKind::Root(error) => Some(error.hint().to_owned()),
            MapErrorKind::Store(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }

    pub(crate) fn core(&self) -> Option<&tuf_core::Error> {
        match &*self.kind {
            MapErrorKind::Root(error) => Some(error),
            _ => None,
        }
    }
}

/// A repository that could not be asked, or whose answer was refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RepositoryFault {
    /// Which.
    pub repository: RepositoryName,
    /// Why.
    pub error: Arc<Error>,
}

impl RepositoryFault {
    pub(super) fn new(repository: &RepositoryName, error: Arc<Error>) -> Self {
        Self { repository: repository.clone(), error }
    }
}

impl fmt::Display for RepositoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.repository, chain(&*self.error))
    }
}

/// The repositories of one mapping did not agree on a target, or not enough of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NotEnoughAgree {
    /// The target.
    pub path: TargetPath,
    /// Which mapping, counted from 0.
    pub mapping: usize,
    /// How many must agree.
    pub needed: usize,
    /// The largest number of repositories that do, the first in the mapping's order.
    pub agreeing: Vec<Vote>,
    /// The others that were heard: they sign for other bytes, or for no such target.
    pub disagreeing: Vec<Dissent>,
    /// Those that could not be heard.
    pub failed: Vec<RepositoryFault>,
}

impl NotEnoughAgree {
    /// Whether what was verified contradicts itself, as opposed to a target that nobody has or that could not be
    /// looked for.
    #[must_use]
    pub fn is_disagreement(&self) -> bool {
        !self.agreeing.is_empty() && !self.disagreeing.is_empty()
    }
}

impl fmt::Display for NotEnoughAgree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mapping, needed, agreeing, .. } = self;
        write!(f, "mapping[{mapping}] needs {needed} to agree on {}, and {} do", self.path, agreeing.len())?;
        let mut said: Vec<String> = agreeing.iter().map(ToString::to_string).collect();
        said.extend(self.disagreeing.iter().map(ToString::to_string));
        said.extend(self.failed.iter().map(ToString::to_string));
        write!(f, ": {}", said.join("; "))
    }
}

pub(crate) fn list<T: fmt::Display>(each: &[T]) -> String {
    each.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
