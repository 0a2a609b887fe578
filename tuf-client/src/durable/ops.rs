//! Every operation that changes the file system below a durable write: one place to log them, and for tests to watch them
//! and let them fail.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use tempfile::{NamedTempFile, PathPersistError, TempPath};

use super::{Access, TEMPORARY};

#[cfg(test)]
pub(crate) mod watch;

/// What is done. Bytes of a file and names in a directory are durable only once they were synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    Create(&'a Path),
    MakeDir(&'a Path),
    Remove(&'a Path),
    Rename(&'a Path, &'a Path),
    SyncDir(&'a Path),
    SyncFile(&'a Path),
    #[cfg(target_os = "linux")]
    SyncFileSystem(&'a Path),
    Truncate(&'a Path),
    Write(&'a Path, &'a [u8]),
}

impl fmt::Display for Op<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(path) => write!(f, "create {}", path.display()),
            Self::MakeDir(path) => write!(f, "make directory {}", path.display()),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
            Self::Rename(from, to) => write!(f, "rename {} to {}", from.display(), to.display()),
            Self::SyncDir(path) => write!(f, "sync directory {}", path.display()),
            Self::SyncFile(path) => write!(f, "sync {}", path.display()),
            #[cfg(target_os = "linux")]
            Self::SyncFileSystem(path) => write!(f, "sync the file system of {}", path.display()),
            Self::Truncate(path) => write!(f, "truncate {}", path.display()),
            Self::Write(path, bytes) => write!(f, "write {} bytes to {}", bytes.len(), path.display()),
        }
    }
}

/// Does it; in tests it may fail instead.
fn perform<T, E: From<io::Error>>(op: Op<'_>, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    #[cfg(test)]
    watch::before(op)?;
    let done = work()?;
    tracing::trace!("{op}");
    #[cfg(test)]
    watch::after(op);
    Ok(done)
}

/// Of a temporary file, whose name is known only once it is there.
pub(super) fn create_temporary(directory: &Path, access: Access) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if access == Access::Private { 0o600 } else { 0o666 };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(test)]
    watch::before(Op::Create(directory))?;
    let temporary = builder.tempfile_in(directory)?;
    tracing::trace!("{}", Op::Create(temporary.path()));
    #[cfg(test)]
    watch::after(Op::Create(temporary.path()));
    Ok(temporary)
}

/// Of a file whose name outlives this process.
pub(super) fn create_part(options: &fs::OpenOptions, path: &Path) -> io::Result<File> {
    perform(Op::Create(path), || options.open(path))
}

pub(super) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    perform(Op::Write(path, bytes), || file.write_all(bytes))
}

pub(super) fn truncate(file: &File, path: &Path) -> io::Result<()> {
    perform(Op::Truncate(path), || file.set_len(0))
}

pub(super) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    perform(Op::SyncFile(path), || file.sync_all())
}

/// Of all that was written on it.
#[cfg(target_os = "linux")]
pub(super) fn sync_file_system(directory: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    perform(Op::SyncFileSystem(directory), sync)
}

/// Gives a temporary file its name; what had it is replaced.
pub(super) fn place(temporary: TempPath, path: &Path) -> io::Result<()> {
    let from = temporary.to_path_buf();
    perform(Op::Rename(&from, path), || temporary.persist(path).map_err(|failed| failed.error))
}

/// As [`place`], if nothing has the name.
pub(super) fn place_new(temporary: TempPath, path: &Path) -> Result<(), Unplaced> {
    let from = temporary.to_path_buf();
    perform(Op::Rename(&from, path), || temporary.persist_noclobber(path).map_err(Unplaced::from))
}

/// A file that did not get its name; the temporary file goes with it.
pub(super) struct Unplaced {
    pub(super) error: io::Error,
    pub(super) temporary: Option<TempPath>,
}

impl From<PathPersistError> for Unplaced {
    fn from(failed: PathPersistError) -> Self {
        Self { error: failed.error, temporary: Some(failed.path) }
    }
}

impl From<io::Error> for Unplaced {
    fn from(error: io::Error) -> Self {
        Self { error, temporary: None }
    }
}

#[expect(clippy::disallowed_methods, reason = "the owner of renames; whoever calls it syncs the directories")]
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    perform(Op::Rename(from, to), || fs::rename(from, to))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    perform(Op::Remove(path), || fs::remove_file(path))
}

pub(super) fn make_dir(path: &Path, access: Access) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    if access == Access::Private {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    perform(Op::MakeDir(path), || builder.create(path))
}

#[cfg(unix)]
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    perform(Op::SyncDir(path), || File::open(path).and_then(|opened| opened.sync_all()))
}

/// NTFS journals its directories and offers no call for it.
#[cfg(not(unix))]
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    perform(Op::SyncDir(path), || Ok(()))
}
