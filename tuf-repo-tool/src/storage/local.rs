//! Published files in a directory of this machine, for any web server.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use tuf_client::durable::{self, Access, Created, DurableError, FileLock, Placed, WriteBatch};

use super::{Listed, NewFile, Storage, StorageError, Swap, check_path, is_temporary};

/// How long a swap waits for others, each of which takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const COPY_BUFFER: usize = 256 * 1024;

/// A directory. What is written is durable on return; no path and no symbolic link leaves it.
#[derive(Debug)]
pub struct LocalStorage {
    root: PathBuf,
    state: PathBuf,
}

impl LocalStorage {
    /// Files in `root`, which need not exist yet; `state` is a directory on this machine that is not published, for a lock.
    #[must_use]
    pub fn new(root: &Path, state: &Path) -> Self {
        Self { root: root.to_owned(), state: state.to_owned() }
    }

    fn at(&self, path: &str) -> Result<PathBuf, StorageError> {
        check_path(path)?;
        Ok(durable::checked_join(&self.root, path)?)
    }

    fn exists(&self, path: &str) -> StorageError {
        StorageError::Exists { storage: self.url(), path: path.to_owned() }
    }

    /// Whether a published file may be a second name of this one: it is a working file of this program, which nobody changes, and
    /// everybody may read it. Any other shares neither its bytes nor its permissions.
    fn may_share(&self, local: &Path, file: &File) -> bool {
        let is_ours = match (local.canonicalize(), self.state.canonicalize()) {
            (Ok(local), Ok(state)) => local.starts_with(state),
            _ => false,
        };
        is_ours && is_readable(file)
    }

    /// The path below the root that an error of a batch is about.
    fn created(&self, error: DurableError) -> StorageError {
        match error.path().strip_prefix(&self.root).ok().and_then(Path::to_str) {
            Some(path) if error.kind() == io::ErrorKind::AlreadyExists => self.exists(path),
            _ => error.into(),
        }
    }

    fn walk_below(
        &self,
        directory: &Path,
        name: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let failed = |source| StorageError::io("list", directory, source);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // A name that is no text is none of a published file.
            let Ok(last) = entry.file_name().into_string() else { continue };
            if is_temporary(&last) {
                continue;
            }
            let path = if name.is_empty() { last } else { format!("{name}/{last}") };
            let shown = match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => self.walk_below(&entry.path(), &path, visit)?,
                Ok(metadata) if metadata.is_file() => {
                    let modified = metadata.modified().map_err(failed)?;
                    visit(Listed { path, length: metadata.len(), modified: DateTime::from(modified) })
                }
                // Links and devices are none either; what is gone meanwhile is gone.
                Ok(_) => ControlFlow::Continue(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => ControlFlow::Continue(()),
                Err(error) => return Err(failed(error)),
            };
            if shown.is_break() {
                return Ok(shown);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Storage for LocalStorage {
    fn url(&self) -> String {
        self.root.display().to_string()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let at = self.at(path)?;
        let Some(length) = plain_length(&at)? else { return Ok(None) };
        let too_long = || StorageError::TooLong { storage: self.url(), path: path.to_owned(), limit };
        if length > limit {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        // It may be replaced by a longer one meanwhile.
        let read =
            File::open(&at).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
        match read {
            Ok(_) if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) => Ok(Some(bytes)),
            Ok(_) => Err(too_long()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("read", &at, error)),
        }
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        plain_length(&self.at(path)?)
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        let mut batch = WriteBatch::new(Access::Shared);
        for file in files {
            batch.create(&self.at(&file.path)?, &file.bytes)?;
        }
        batch.commit().map_err(|error| self.created(error))
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        let at = self.at(path)?;
        let failed = |source| StorageError::io("read", local, source);
        let mut file = File::open(local).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        match plain_length(&at)? {
            Some(found) if found == length => return Ok(()),
            Some(_) => return Err(self.exists(path)),
            None => {}
        }
        if self.may_share(local, &file) {
            match durable::link_new(local, &at) {
                Ok(Created::New | Created::Same) => return Ok(()),
                Ok(_) => return Err(self.exists(path)),
                Err(error) => tracing::debug!(%error, "copied instead"),
            }
        }
        let mut placed = Placed::create(&at, Access::Shared)?;
        let mut buffer = vec![0; COPY_BUFFER];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                read => placed.append(buffer.get(..read).unwrap_or_default())?,
            }
        }
        match placed.finish_new()? {
            Created::New | Created::Same => Ok(()),
            _ => Err(self.exists(path)),
        }
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        let at = self.at(path)?;
        durable::create_dirs(&self.state, Access::Private)?;
        let _lock = FileLock::acquire(&self.state.join("swap.lock"), LOCK_WAIT)
            .map_err(|source| StorageError::Lock { storage: self.url(), source })?;
        let conflict = || StorageError::Conflict { storage: self.url(), path: path.to_owned() };
        let limit = expected.map_or(0, |expected| u64::try_from(expected.len()).unwrap_or(u64::MAX));
        let found = match self.read(path, limit) {
            Err(StorageError::TooLong { .. }) => return Err(conflict()),
            found => found?,
        };
        if found.as_deref() != expected {
            return Err(conflict());
        }
        Ok(durable::write_atomic(&at, bytes)?)
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        Ok(Swap::Atomic)
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let at = if directory.is_empty() { self.root.clone() } else { self.at(directory)? };
        match fs::symlink_metadata(&at) {
            // The root may be a link, which is the operator's; nothing below may.
            Ok(metadata) if metadata.is_dir() || directory.is_empty() => {
                self.walk_below(&at, directory, visit).map(drop)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StorageError::io("list", &at, error)),
        }
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        let mut batch = WriteBatch::new(Access::Shared);
        for path in paths {
            batch.remove(&self.at(path)?);
        }
        Ok(batch.commit()?)
    }

    fn local(&self) -> Option<&Path> {
        Some(&self.root)
    }
}

/// The length of a plain file; a link or a directory of that name is refused.
fn plain_length(path: &Path) -> Result<Option<u64>, StorageError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.len())),
        Ok(_) => Err(StorageError::io("use", path, io::Error::other("it is not a plain file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("look at", path, error)),
    }
}

#[cfg(unix)]
fn is_readable(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.permissions().mode() & 0o444 == 0o444)
}

/// Permissions are inherited from the directory, and a link would keep those of the other one.
#[cfg(not(unix))]
fn is_readable(_: &File) -> bool {
    false
}
