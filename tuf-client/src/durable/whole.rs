//! One sync of a whole file system instead of one for each of many files: a journal is then written once.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{fstatfs, syncfs};

use super::{ops, parent};

/// The magic numbers (statfs(2)) of those where syncfs(2) makes everything durable: ext2 to ext4, XFS, Btrfs, F2FS, tmpfs. A
/// network's or a user's file system may only pass on what it has, or nothing.
const KNOWN: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
/// The first Linux whose syncfs(2) says that something could not be written.
const SAYS_SO: (u32, u32) = (5, 8);

/// A file system, opened before the first file is written: errors since then are told to whoever syncs it.
#[derive(Debug)]
pub(super) struct Whole {
    file: File,
    directory: PathBuf,
    device: u64,
    /// Directories that are on it.
    seen: BTreeSet<PathBuf>,
}

impl Whole {
    /// The file system that this file will be on; `None` if it is not to be synced as a whole.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let directory = parent(path).to_owned();
        let file = File::open(&directory).ok()?;
        let kind = fstatfs(&file).ok()?.f_type;
        if !KNOWN.iter().any(|known| i128::from(*known) == i128::from(kind)) || !kernel_says_so() {
            return None;
        }
        let device = file.metadata().ok()?.dev();
        Some(Self { file, seen: BTreeSet::from([directory.clone()]), directory, device })
    }

    /// Whether a file will be on it as well.
    pub(super) fn has(&mut self, path: &Path) -> bool {
        let directory = parent(path);
        if self.seen.contains(directory) {
            return true;
        }
        let same = directory.metadata().is_ok_and(|found| found.dev() == self.device);
        same && self.seen.insert(directory.to_owned())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        ops::sync_file_system(&self.directory, || Ok(syncfs(&self.file)?))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

fn kernel_says_so() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= SAYS_SO,
        _ => false,
    }
}
