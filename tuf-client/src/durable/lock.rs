//! A lock between processes: one file, whose holder the next one can name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Context, DurableError};

const POLL: Duration = Duration::from_millis(20);
const MAX_HOLDER: u64 = 200;

/// An exclusive lock, held until dropped or until the process ends, however it ends. The file names the
/// holder, and is emptied at an orderly end.
#[derive(Debug)]
pub struct FileLock {
    file: File,
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
    /// must exist.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn acquire(path: &Path, wait: Duration) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path).context("open", path)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
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
        if let Err(error) = sign(&mut file) {
            tracing::debug!(%error, "the lock's holder could not be noted");
        }
        Ok(Self { file, abandoned })
    }

    /// Whether the last holder was killed: what it was writing may lie around.
    #[must_use]
    pub const fn was_abandoned(&self) -> bool {
        self.abandoned
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the lock's holder could not be cleared");
        }
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    let command = std::env::current_exe().unwrap_or_default();
    let command = command.file_name().unwrap_or_default().to_string_lossy();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {} ({command})", std::process::id())
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
