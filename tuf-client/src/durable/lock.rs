//! A lock between processes: one file, whose holder the next one can name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{Context, DurableError, ops, parent, sync_dir};

const POLL: Duration = Duration::from_millis(20);
const MAX_HOLDER: u64 = 200;

/// An exclusive lock, held until dropped or until the process ends, however it ends. The file names the
/// holder, and is emptied at an orderly end.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    abandoned: bool,
}

/// The lock was not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another holder did not let go in time.
    #[error("in use by {holder} (waited {} s)", waited.as_secs_f32())]
    Busy {
        /// The process that holds it, as far as it is known.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    File(#[from] DurableError),
}

impl FileLock {
    /// Takes the lock at `path`, waiting at most `wait`. The file is created if missing; its directory
    /// must exist. A symbolic link or an empty directory of that name is removed.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(path: &Path, wait: Duration) -> Result<Self, LockError> {
        let start = Instant::now();
        let mut file = open(path)?;
        loop {
            match file.try_lock() {
                // Somebody removed or replaced the file meanwhile: others lock another one.
                Ok(()) if !is_at(&file, path) => file = open(path)?,
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() >= wait => {
                    return Err(LockError::Busy { holder: holder(&mut file), waited: wait });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(POLL.min(wait)),
                Err(TryLockError::Error(error)) => return Err(DurableError::new("lock", path, error).into()),
            }
        }
        let abandoned = file.metadata().context("read", path)?.len() > 0;
        // Only a courtesy to who waits: a full disk must not prevent reading.
        if let Err(error) = sign(&mut file, path) {
            tracing::debug!(%error, "the lock's holder could not be noted");
        }
        Ok(Self { file, path: path.to_owned(), abandoned })
    }

    /// To be called before writing: what is written from here on is found and swept by the next holder, even after a
    /// power cut.
    ///
    /// # Errors
    /// [`DurableError`], also if the lock file was removed or replaced, since others may hold the new one.
    pub fn prepare_to_write(&mut self) -> Result<(), DurableError> {
        if !is_at(&self.file, &self.path) {
            let reason = io::Error::other("somebody removed or replaced the lock file");
            return Err(DurableError::new("go on holding", &self.path, reason));
        }
        // A full disk may have prevented it at first.
        if self.file.metadata().context("read", &self.path)?.len() == 0 {
            sign(&mut self.file, &self.path).context("write", &self.path)?;
        }
        ops::sync_file(&self.file, &self.path).context("sync", &self.path)
    }

    /// Whether the last holder was killed: what it was writing may lie around.
    #[must_use]
    pub const fn was_abandoned(&self) -> bool {
        self.abandoned
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Err(error) = ops::truncate(&self.file, &self.path) {
            tracing::debug!(%error, "the lock's holder could not be cleared");
        }
    }
}

/// The lock file, created if missing. Links are not followed.
fn open(path: &Path) -> Result<File, DurableError> {
    let found = fs::symlink_metadata(path);
    match found.map(|found| found.file_type()) {
        Ok(found) if found.is_symlink() => ops::remove(path).context("replace", path)?,
        Ok(found) if found.is_dir() => fs::remove_dir(path).context("replace", path)?,
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.clone().create_new(true).open(path) {
        // Its name must last: it is what a later holder finds what we leave behind by.
        Ok(file) => {
            sync_dir(parent(path))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.open(path).context("open", path)
        }
        Err(error) => Err(DurableError::new("create", path, error)),
    }
}

/// Whether the open file is still the one of this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// A file that is open cannot be removed or replaced there.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

fn sign(file: &mut File, path: &Path) -> io::Result<()> {
    let command = std::env::current_exe().unwrap_or_default();
    let command = command.file_name().unwrap_or_default().to_string_lossy();
    ops::truncate(file, path)?;
    file.rewind()?;
    let text = format!("process {} ({command})\n", std::process::id());
    ops::write(file, path, text.as_bytes())
}

fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(MAX_HOLDER).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match text.lines().next() {
        Some(line) if read.is_ok() => line.chars().filter(|c| !c.is_control()).collect(),
        _ => "another process".to_owned(),
    }
}
