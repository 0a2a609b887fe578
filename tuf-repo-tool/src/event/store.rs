//! `state/events/`: the events of a repository that wait for signatures, and those that are over.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tuf_client::durable::{self, Access, FileLock};

use super::bundle::{Bundle, MAX_BYTES};
use super::proposal::Proposal;
use super::{EventError, rebase};
use crate::error::Error;
use crate::log::{self, Did, Entry};
use crate::repository::{Published, Repository};

/// How long one command waits for another that writes the same bundle.
const LOCK_WAIT: Duration = Duration::from_secs(10);

const SUFFIX: &str = ".tufsign";

/// What became of events that are over: a directory each.
const ENDS: [&str; 2] = ["finished", "aborted"];

/// The events of a repository.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    repository: &'a Repository,
    directory: PathBuf,
}

impl<'a> Events<'a> {
    /// Those of this repository.
    #[must_use]
    pub fn of(repository: &'a Repository) -> Self {
        Self { repository, directory: repository.state().join("events") }
    }

    /// Where the bundle of an event is.
    #[must_use]
    pub fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}{SUFFIX}"))
    }

    /// Nothing that is pending holds this lock: only a command does while it changes the directory.
    pub(crate) fn lock(&self) -> Result<FileLock, Error> {
        durable::create_dirs(&self.directory, Access::Private)?;
        lock(&self.directory.join("lock"))
    }

    /// Every pending event, by ID.
    ///
    /// # Errors
    /// [`EventError::Bundle`], [`Error::Io`].
    pub fn pending(&self) -> Result<Vec<Bundle>, Error> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.directory, error)),
        };
        let mut ids: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(SUFFIX).map(str::to_owned))
            .filter(|id| !id.starts_with('.'))
            .collect();
        ids.sort();
        ids.iter().map(|id| self.load(id)).collect()
    }

    /// Whether no pending event changes a role that these change.
    pub(super) fn check_free(&self, proposals: &[Proposal]) -> Result<(), Error> {
        for pending in self.pending()? {
            let same = |proposal: &&Proposal| pending.proposal(proposal.role()).is_some();
            if let Some(both) = proposals.iter().find(same) {
                let (id, role) = (pending.id().to_owned(), both.role().to_string());
                return Err(EventError::Pending { id, role }.into());
            }
        }
        Ok(())
    }

    /// The ID of the one event that is pending.
    ///
    /// # Errors
    /// [`EventError::NotOne`] if there are none or several, and those of [`Events::pending`].
    pub fn only(&self) -> Result<String, Error> {
        let pending = self.pending()?;
        match pending.as_slice() {
            [one] => Ok(one.id().to_owned()),
            _ => Err(EventError::NotOne(pending.iter().map(|event| event.id().to_owned()).collect()).into()),
        }
    }

    /// A pending event.
    ///
    /// # Errors
    /// [`EventError::Missing`], [`EventError::Bundle`].
    pub fn load(&self, id: &str) -> Result<Bundle, Error> {
        read(&self.existing(id)?)
    }

    pub(super) fn existing(&self, id: &str) -> Result<PathBuf, Error> {
        let missing = |note| EventError::Missing { id: id.to_owned(), note };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if id.is_empty() || !id.chars().all(plain) {
            return Err(missing(None).into());
        }
        let path = self.path(id);
        if !path.exists() {
            let over = |end: &&&str| self.directory.join(end).join(format!("{id}{SUFFIX}")).exists();
            return Err(missing(ENDS.iter().find(over).copied()).into());
        }
        Ok(path)
    }

    /// Keeps an event that is opened.
    pub(super) fn begin(&self, bundle: &Bundle) -> Result<(), Error> {
        self.save(bundle)?;
        let entry = Entry::new(Did::EventOpen).because(Some(bundle.reason())).with("event", bundle.id());
        log::append(self.repository, &entry).map(drop)
    }

    pub(super) fn save(&self, bundle: &Bundle) -> Result<(), Error> {
        write(&self.path(bundle.id()), bundle)
    }

    /// Takes over the signatures in a file, which need not have all that are here. Gives the event, and how many were new.
    ///
    /// # Errors
    /// [`EventError::Foreign`] for a bundle of another repository or with other drafts; [`EventError::Missing`],
    /// [`EventError::Bundle`].
    pub fn import(&self, file: &Path, why: Option<&str>) -> Result<(Bundle, usize), Error> {
        let other = read(file)?;
        let foreign =
            |reason: &str| EventError::Foreign { id: other.id().to_owned(), reason: reason.to_owned() };
        let first = self.repository.first_root()?;
        if other.roots().first().is_none_or(|root| **root != *first) {
            return Err(foreign("its first root is not that of this repository").into());
        }
        let _lock = self.lock()?;
        let ours = self.load(other.id())?;
        let mut ours = rebase::rebase_now(self.repository, ours)?.bundle;
        let new = ours.merge(&other)?;
        if new > 0 {
            self.save(&ours)?;
            let entry = Entry::new(Did::EventImport).because(why).with("event", ours.id());
            log::append(self.repository, &entry.with("signatures", new))?;
        }
        Ok((ours, new))
    }

    /// Whether an event is over and done.
    pub(crate) fn is_finished(&self, id: &str) -> bool {
        self.directory.join("finished").join(format!("{id}{SUFFIX}")).exists()
    }

    /// The recovery whose root has this version, if it was carried out here.
    pub(crate) fn finished_recovery(&self, root: u64) -> Result<Option<Bundle>, Error> {
        let start = format!("root-{root}-");
        for file in std::fs::read_dir(self.directory.join("finished")).into_iter().flatten().flatten() {
            let is_root = file.file_name().to_str().is_some_and(|name| name.starts_with(&start));
            if let Some(bundle) = is_root.then(|| read(&file.path())).transpose()?
                && bundle.recovery().is_some()
            {
                return Ok(Some(bundle));
            }
        }
        Ok(None)
    }

    pub(crate) fn finished(&self, id: &str) -> Result<PathBuf, Error> {
        self.end(id, "finished")
    }

    pub(super) fn end(&self, id: &str, end: &str) -> Result<PathBuf, Error> {
        let (from, to) = (self.path(id), self.directory.join(end).join(format!("{id}{SUFFIX}")));
        durable::write_private(&to, &read_bytes(&from)?)?;
        let mut batch = durable::WriteBatch::new(Access::Private);
        batch.remove(&from);
        batch.commit()?;
        Ok(to)
    }
}

/// Reads a bundle from anywhere.
///
/// # Errors
/// [`EventError::Bundle`], [`Error::Io`].
pub fn read(path: &Path) -> Result<Bundle, Error> {
    Ok(Bundle::parse(path, &read_bytes(path)?)?)
}

pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::io("read", path, error);
    let mut bytes = Vec::new();
    // One byte more than is accepted: then it is too large.
    std::fs::File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a bundle, as a whole.
pub(super) fn write(path: &Path, bundle: &Bundle) -> Result<(), Error> {
    let bytes = bundle.to_bytes().map_err(|error| Error::io("write", path, error.into()))?;
    Ok(durable::write_atomic(path, &bytes)?)
}

/// The right to change a bundle.
pub(super) fn lock(path: &Path) -> Result<FileLock, Error> {
    FileLock::acquire(path, LOCK_WAIT).map_err(|source| Error::Busy { path: path.to_owned(), source })
}

/// Every published root, from the first.
pub(super) fn published_roots(
    repository: &Repository,
    published: &Published,
) -> Result<Vec<Arc<[u8]>>, Error> {
    let newest = published.set().root();
    let mut roots = Vec::new();
    for version in 1..newest.header.version {
        let name = newest.role_name().file_name(Some(version));
        roots.push(repository.require_metadata(&name)?.into());
    }
    roots.push(Arc::clone(newest.bytes()));
    Ok(roots)
}
