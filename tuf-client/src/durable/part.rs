//! Downloads that were broken off, kept to be continued.
//!
//! A part is called `.part-<identity>`, beside its destination, where the identity is that of the wanted bytes. Whoever
//! writes, renames or removes one holds its lock and has made sure that the name still stands for the locked file, so that
//! no two processes ever write the same one. What is in a part is believed by nobody.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::{NamedTempFile, TempPath};

use super::{Access, Context, DurableError, Placed, TEMPORARY, create_dirs, ops, parent, sweep_older_than};
use crate::clock;

const PART: &str = ".part-";
/// After a week nobody is likely to come back.
const PART_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Files that wait for the rest of their batch are not touched any more; no batch takes a day.
const TEMPORARY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_PARTS: usize = 1000;
const READ_BUFFER: usize = 64 * 1024;

impl Placed {
    /// As [`Placed::create`] with [`Access::Shared`], going on with the part of this identity (a file name without
    /// surprises: hex digits) if there is one: [`Placed::written`] bytes are there already. Dropped unfinished, it leaves
    /// the part. `None` if another process has it, if it cannot be used, and wherever files cannot be told
    /// apart (outside Unix).
    pub fn resume(destination: &Path, identity: &str) -> Result<Option<Self>, DurableError> {
        let directory = parent(destination);
        create_dirs(directory, Access::Shared)?;
        let path = directory.join(format!("{PART}{identity}"));
        // Whatever keeps it from being opened, a new temporary file may do.
        let Ok(file) = open(&path) else { return Ok(None) };
        if file.try_lock().is_err() || !is_ours(&file, &path) {
            return Ok(None);
        }
        let written = file.metadata().context("read", &path)?.len();
        let at = TempPath::try_from_path(&path).context("use", &path)?;
        let mut temporary = NamedTempFile::from_parts(file, at);
        temporary.disable_cleanup(true);
        Ok(Some(Self { temporary, destination: destination.to_owned(), written, part: Some(path) }))
    }

    /// Reads what was written so far, and is ready to append again. `take` ends it early by giving `false`.
    pub fn reread(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), DurableError> {
        let file = self.temporary.as_file_mut();
        file.rewind().context("read", &self.destination)?;
        let mut buffer = vec![0; READ_BUFFER];
        loop {
            let read = file.read(&mut buffer).context("read", &self.destination)?;
            match buffer.get(..read) {
                Some(bytes) if read > 0 && take(bytes) => {}
                _ => break,
            }
        }
        file.seek(io::SeekFrom::End(0)).context("read", &self.destination)?;
        Ok(())
    }

    /// Throws away what was written so far.
    pub fn restart(&mut self) -> Result<(), DurableError> {
        let path = self.temporary.path().to_owned();
        let file = self.temporary.as_file_mut();
        ops::truncate(file, &path).and_then(|()| file.rewind()).context("empty", &self.destination)?;
        self.written = 0;
        Ok(())
    }

    /// Leaves nothing behind.
    pub fn discard(mut self) {
        self.temporary.disable_cleanup(false);
    }

    pub(super) fn into_pending(self) -> (Pending, PathBuf) {
        let Self { temporary, destination, part, .. } = self;
        if let Some(part) = &part {
            // Complete: nobody shall go on with it. If this fails, the name it has serves as well.
            let unique = tempfile::Builder::new().prefix(TEMPORARY).make_in(parent(part), |unique| {
                let mut from = TempPath::try_from_path(part)?;
                from.disable_cleanup(true);
                ops::place_new(from, unique).map_err(|failed| failed.error)
            });
            match unique {
                Ok(unique) => {
                    return (
                        Pending { path: Some(unique.into_temp_path()), part: Some(part.clone()) },
                        destination,
                    );
                }
                Err(error) => tracing::debug!(%error, "a finished part keeps its name"),
            }
        }
        (Pending { path: Some(temporary.into_temp_path()), part: None }, destination)
    }
}

/// A finished file without its name. Dropped, it becomes the part again that it was.
#[derive(Debug)]
pub(super) struct Pending {
    path: Option<TempPath>,
    part: Option<PathBuf>,
}

impl Pending {
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or_else(|| Path::new(""))
    }

    pub(super) fn persist(mut self, destination: &Path) -> io::Result<()> {
        match self.path.take() {
            Some(path) => ops::place(path, destination),
            None => Ok(()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (Some(path), Some(part)) = (self.path.take(), &self.part)
            && let Err(failed) = ops::place_new(path, part)
        {
            tracing::debug!(error = %failed.error, "a finished part is not kept");
        }
    }
}

/// Removes what dead downloads left in one directory: parts that nobody is working on and that are empty, older than a week, or
/// more than a thousand, and temporary files older than a day. Returns how many.
pub fn sweep_downloads(directory: &Path) -> Result<usize, DurableError> {
    let mut removed = sweep_older_than(directory, TEMPORARY_AGE)?;
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(DurableError::new("list", directory, error)),
    };
    let mut parts = Vec::new();
    for entry in entries {
        let entry = entry.context("list", directory)?;
        if entry.file_name().as_encoded_bytes().starts_with(PART.as_bytes())
            && let Ok(found) = entry.metadata()
            && let Ok(modified) = found.modified()
            && found.is_file()
        {
            parts.push((modified, found.len(), entry.path()));
        }
    }
    parts.sort_unstable_by(|left, right| right.cmp(left));
    let now = SystemTime::from(clock::now());
    for (position, (modified, length, path)) in parts.into_iter().enumerate() {
        let old = now.duration_since(modified).is_ok_and(|passed| passed >= PART_AGE);
        if (old || length == 0 || position >= MAX_PARTS)
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && is_ours(&file, &path)
            && ops::remove(&path).is_ok()
        {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Neither follows a link nor waits for the writer of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => options.open(path),
        Ok(_) => Err(io::Error::other("it is not a plain file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ops::create_part(options.create_new(true), path)
        }
        Err(error) => Err(error),
    }
}

/// Whether the name stands for this very file, and nobody else can have it open to change it after it was checked.
#[cfg(unix)]
fn is_ours(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(opened), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (opened.dev(), opened.ino()) == (named.dev(), named.ino())
        && opened.nlink() == 1
        && opened.uid() == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_ours(_: &File, _: &Path) -> bool {
    false
}
