//! A file that only grows: what it has is never written again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{Access, Context, DurableError, LockError, create_dirs, ops, parent, sync_dir};

const POLL: Duration = Duration::from_millis(5);

/// A file that is appended to, locked against others who append for as long as this is there.
#[derive(Debug)]
pub struct Appended {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Appended {
    /// Opens the file, which is created if missing, and waits at most `wait` for another process that appends. A file that is
    /// there keeps its permissions.
    ///
    /// # Errors
    /// [`LockError`]; also if the name is that of something else than a file.
    pub fn open(path: &Path, access: Access, wait: Duration) -> Result<Self, LockError> {
        create_dirs(parent(path), access)?;
        let new = match fs::metadata(path) {
            Ok(found) if found.is_file() => false,
            Ok(_) => {
                let reason = io::Error::other("it is not a plain file");
                return Err(DurableError::new("append to", path, reason).into());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(DurableError::new("look at", path, error).into()),
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        if access == Access::Private {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let file = match new {
            true => ops::create_part(&options, path).context("create", path)?,
            false => options.open(path).context("open", path)?,
        };
        lock(&file, path, wait)?;
        if new {
            sync_dir(parent(path))?;
        }
        let length = file.metadata().context("read", path)?.len();
        Ok(Self { file, path: path.to_owned(), length })
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `start` to the end.
    ///
    /// # Errors
    /// [`DurableError`].
    pub fn read_from(&mut self, start: u64) -> Result<Vec<u8>, DurableError> {
        self.file.seek(SeekFrom::Start(start)).context("read", &self.path)?;
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).context("read", &self.path)?;
        Ok(bytes)
    }

    /// Adds bytes at the end, in one write, and syncs them. Of what fails a part may be there: it is left, since nobody can
    /// tell it from what somebody else has written.
    ///
    /// # Errors
    /// [`DurableError`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DurableError> {
        ops::write(&mut self.file, &self.path, bytes).context("write", &self.path)?;
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.sync()
    }

    /// Makes durable what is there, whoever wrote it.
    ///
    /// # Errors
    /// [`DurableError`].
    pub fn sync(&self) -> Result<(), DurableError> {
        ops::sync_file(&self.file, &self.path).context("sync", &self.path)
    }
}

fn lock(file: &File, path: &Path, wait: Duration) -> Result<(), LockError> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait => {
                return Err(LockError::Busy { holder: "another process".to_owned(), waited: wait });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
            Err(TryLockError::Error(error)) => return Err(DurableError::new("lock", path, error).into()),
        }
    }
}
