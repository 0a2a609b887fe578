//! Writes that survive a power cut: the only place where a file gets its final name.
//!
//! Every function here follows one order: temporary file in the destination's own directory, write, sync the file,
//! rename, sync the directory. A reader therefore sees the old bytes or the new, never a part, and what was reported as
//! written is still there after a crash. A symbolic link at the final name is replaced, never followed.
//!
//! Temporary files are called `.tmp-…`; what a killed process left behind is removed by [`sweep`].
//! All functions block.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, TempPath};

use ops::Unplaced;

mod append;
mod aside;
mod dirs;
mod lock;
mod ops;
mod part;
#[cfg(target_os = "linux")]
mod whole;

pub use append::Appended;
pub use aside::set_aside;
pub use dirs::{checked_join, create_dirs, sweep, sweep_older_than};
pub use lock::{FileLock, LockError};
#[cfg(test)]
pub(crate) use ops::watch;
pub use part::sweep_downloads;

const TEMPORARY: &str = ".tmp-";
/// Syncs that wait on the disk at the same time: file systems with a journal commit them together.
const PARALLEL_SYNCS: usize = 8;
/// So many files are synced with everything else on their file system, where that is known to work.
#[cfg(target_os = "linux")]
const MANY: usize = 64;
const COMPARE_BUFFER: usize = 64 * 1024;

/// Who may read what is written. Concerns new files and the directories created for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The owner alone: files 0600, directories 0700 (on Unix).
    Private,
    /// Whatever the process's umask leaves.
    Shared,
}

/// What [`create_new`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Created {
    /// Something with other bytes, or that is not a plain file, has this name; it was left alone.
    Different,
    /// The file was not there and now is.
    New,
    /// A file with exactly these bytes was there already.
    Same,
}

/// A file system operation that failed, and on which path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct DurableError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DurableError {
    fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }

    /// The path that could not be written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operating system's reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The operating system's error.
    pub fn into_io(self) -> io::Error {
        self.source
    }

    /// What the operator can do.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some space; nothing was changed halfway")
            }
            io::ErrorKind::PermissionDenied => Some("check the owner and the permissions of the path"),
            io::ErrorKind::ReadOnlyFilesystem => {
                Some("mount the file system writable or choose another directory")
            }
            _ => None,
        }
    }
}

trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DurableError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, DurableError> {
        self.map_err(|source| DurableError::new(action, path, source))
    }
}

/// Writes or replaces the file, creating missing parent directories; [`Access::Shared`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    write_with(path, bytes, Access::Shared)
}

/// As [`write_atomic`], readable by the owner alone; for keys and the trusted store.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    write_with(path, bytes, Access::Private)
}

fn write_with(path: &Path, bytes: &[u8], access: Access) -> Result<(), DurableError> {
    let mut placed = Placed::create(path, access)?;
    placed.append(bytes)?;
    placed.finish()
}

/// Creates the file, never replacing anything; [`Access::Shared`].
///
/// Of several processes that race for one name, exactly one gets [`Created::New`].
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<Created, DurableError> {
    create_with(path, bytes, Access::Shared)
}

/// As [`create_new`], readable by the owner alone.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<Created, DurableError> {
    create_with(path, bytes, Access::Private)
}

/// Gives a file a second name on the same file system, durably, never replacing anything; its bytes are synced first.
///
/// # Errors
/// Also where the file system knows no second names, or the file is on another one.
pub fn link_new(file: &Path, path: &Path) -> Result<Created, DurableError> {
    let directory = parent(path);
    create_dirs(directory, Access::Shared)?;
    let opened = File::open(file).context("open", file)?;
    ops::sync_file(&opened, file).context("sync", file)?;
    let second =
        tempfile::Builder::new().prefix(TEMPORARY).make_in(directory, |name| fs::hard_link(file, name));
    let created = persist_new(second.context("link", path)?.into_temp_path(), path)?;
    sync_dir(directory)?;
    Ok(created)
}

fn create_with(path: &Path, bytes: &[u8], access: Access) -> Result<Created, DurableError> {
    let mut placed = Placed::create(path, access)?;
    placed.append(bytes)?;
    placed.finish_new()
}

/// A file in the making beside its destination: nothing has the final name before [`Placed::finish`].
///
/// Dropped unfinished, it removes its temporary file, unless that is a part ([`Placed::resume`]).
#[derive(Debug)]
pub struct Placed {
    temporary: NamedTempFile,
    destination: PathBuf,
    written: u64,
    /// Its name, if it is one that outlives this process.
    part: Option<PathBuf>,
}

impl Placed {
    /// Opens a temporary file in the destination's directory, which is created if missing.
    pub fn create(destination: &Path, access: Access) -> Result<Self, DurableError> {
        let directory = parent(destination);
        create_dirs(directory, access)?;
        let temporary = ops::create_temporary(directory, access).context("create a file in", directory)?;
        Ok(Self { temporary, destination: destination.to_owned(), written: 0, part: None })
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DurableError> {
        let path = self.temporary.path().to_owned();
        ops::write(self.temporary.as_file_mut(), &path, bytes).context("write", &self.destination)?;
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// How many bytes were appended.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The final name.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Makes the file durable under its final name, replacing what had it.
    pub fn finish(self) -> Result<(), DurableError> {
        let mut batch = WriteBatch::new(Access::Shared);
        batch.place(self);
        batch.commit()
    }

    /// The file as it is now, to be read.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the file its final name without syncing it, replacing what had it: for what is verified whenever it is read.
    pub fn finish_unsynced(self) -> Result<(), DurableError> {
        let (pending, destination) = self.into_pending();
        pending.persist(&destination).context("replace", &destination)
    }

    /// Makes the file durable under its final name unless something has that name.
    pub fn finish_new(self) -> Result<Created, DurableError> {
        let Self { temporary, destination, .. } = self;
        ops::sync_file(temporary.as_file(), temporary.path()).context("sync", &destination)?;
        let created = persist_new(temporary.into_temp_path(), &destination)?;
        sync_dir(parent(&destination))?;
        Ok(created)
    }
}

/// Many files, written together.
///
/// Bytes go to temporary files at once. [`WriteBatch::commit`] syncs them all, then gives them their names in the order in
/// which they were added, then syncs each touched directory once. A process killed in between leaves a prefix of the
/// batch, so add first what the rest depends on; a power cut in between may leave any of the names as they were. Either way
/// each file is the old one or the new one, whole. Dropped without a commit, nothing happened.
#[derive(Debug)]
pub struct WriteBatch {
    access: Access,
    steps: Vec<Step>,
    /// The file system of all files so far; there is none before the first, and none any more if there are several.
    #[cfg(target_os = "linux")]
    whole: Option<whole::Whole>,
}

#[derive(Debug)]
enum Step {
    Create(TempPath, PathBuf),
    Remove(PathBuf),
    Replace(part::Pending, PathBuf),
}

impl WriteBatch {
    /// An empty batch.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            steps: Vec::new(),
            #[cfg(target_os = "linux")]
            whole: None,
        }
    }

    /// Adds a file to write or replace.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
        let placed = self.fill(path, bytes)?;
        self.replace(placed);
        Ok(())
    }

    /// Adds a file that must not exist yet; one with the same bytes is accepted, any other fails the commit with
    /// [`io::ErrorKind::AlreadyExists`].
    pub fn create(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
        let placed = self.fill(path, bytes)?;
        self.steps.push(Step::Create(placed.temporary.into_temp_path(), placed.destination));
        Ok(())
    }

    fn fill(&mut self, path: &Path, bytes: &[u8]) -> Result<Placed, DurableError> {
        let mut placed = Placed::create(path, self.access)?;
        #[cfg(target_os = "linux")]
        if self.steps.is_empty() {
            self.whole = whole::Whole::of(path);
        } else if self.whole.as_mut().is_some_and(|whole| !whole.has(path)) {
            self.whole = None;
        }
        placed.append(bytes)?;
        Ok(placed)
    }

    /// Adds a finished download.
    pub fn place(&mut self, placed: Placed) {
        #[cfg(target_os = "linux")]
        {
            // What was written before may have failed before.
            self.whole = None;
        }
        self.replace(placed);
    }

    fn replace(&mut self, placed: Placed) {
        // The descriptor is closed here: a batch may hold more files than a process may hold open.
        let (pending, destination) = placed.into_pending();
        self.steps.push(Step::Replace(pending, destination));
    }

    /// Adds the removal of a file; one that is not there is as good.
    pub fn remove(&mut self, path: &Path) {
        self.steps.push(Step::Remove(path.to_owned()));
    }

    #[cfg(target_os = "linux")]
    fn sync(&self, pending: &[(&Path, &PathBuf)]) -> Result<(), DurableError> {
        match &self.whole {
            Some(whole) if pending.len() >= MANY => {
                whole.sync().context("sync the file system of", whole.directory())
            }
            _ => sync_files(pending),
        }
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "as on Linux")]
    fn sync(&self, pending: &[(&Path, &PathBuf)]) -> Result<(), DurableError> {
        sync_files(pending)
    }

    /// Makes the batch durable.
    pub fn commit(self) -> Result<(), DurableError> {
        let pending: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Create(temporary, path) => Some((&**temporary, path)),
                Step::Replace(pending, path) => Some((pending.path(), path)),
                Step::Remove(_) => None,
            })
            .collect();
        self.sync(&pending)?;
        drop(pending);

        let mut directories = BTreeSet::new();
        for step in self.steps {
            let path = match step {
                Step::Create(temporary, path) => {
                    if persist_new(temporary, &path)? == Created::Different {
                        let reason =
                            io::Error::new(io::ErrorKind::AlreadyExists, "it exists with other bytes");
                        return Err(DurableError::new("create", &path, reason));
                    }
                    path
                }
                Step::Remove(path) => match ops::remove(&path) {
                    Ok(()) => path,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(DurableError::new("remove", &path, error)),
                },
                Step::Replace(pending, path) => {
                    pending.persist(&path).context("replace", &path)?;
                    path
                }
            };
            directories.insert(parent(&path).to_owned());
        }
        directories.iter().try_for_each(|directory| sync_dir(directory))
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn persist_new(temporary: TempPath, path: &Path) -> Result<Created, DurableError> {
    match ops::place_new(temporary, path) {
        Ok(()) => Ok(Created::New),
        Err(Unplaced { error, temporary: Some(temporary) })
            if error.kind() == io::ErrorKind::AlreadyExists =>
        {
            let same = same_bytes(&temporary, path).context("compare", path)?;
            Ok(if same { Created::Same } else { Created::Different })
        }
        Err(failed) => Err(DurableError::new("create", path, failed.error)),
    }
}

fn same_bytes(ours: &Path, theirs: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(theirs)?;
    if !found.is_file() || found.len() != fs::metadata(ours)?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (File::open(ours)?, File::open(theirs)?);
    let (mut left, mut right) = (vec![0; COMPARE_BUFFER], vec![0; COMPARE_BUFFER]);
    loop {
        let read = ours.read(&mut left)?;
        let (Some(left), Some(right)) = (left.get(..read), right.get_mut(..read)) else {
            return Ok(false);
        };
        match theirs.read_exact(right) {
            Ok(()) if left != right => return Ok(false),
            Ok(()) if read == 0 => return Ok(true),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn sync_files(files: &[(&Path, &PathBuf)]) -> Result<(), DurableError> {
    let sync = |(temporary, path): &(&Path, &PathBuf)| {
        // Windows syncs only what is open for writing.
        let file = fs::OpenOptions::new().write(true).open(temporary);
        file.and_then(|file| ops::sync_file(&file, temporary)).context("sync", path)
    };
    let share = files.len().div_ceil(PARALLEL_SYNCS).max(1);
    if share == 1 {
        return files.iter().try_for_each(sync);
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            files.chunks(share).map(|chunk| scope.spawn(move || chunk.iter().try_for_each(sync))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn sync_dir(directory: &Path) -> Result<(), DurableError> {
    match ops::sync_dir(directory) {
        // Some network file systems have nothing to sync in a directory and say so.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result.context("sync the directory", directory),
    }
}

#[cfg(test)]
mod tests;
