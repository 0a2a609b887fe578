//! Files that become targets: found, named, hashed, and put where clients will look for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use tuf_client::durable::{self, Access, Placed, WriteBatch};
use tuf_core::{Hashes, PathError, TargetFile, TargetPath};

use crate::error::Error;
use crate::repository::Repository;

/// Files that are made durable together: one sync for many, and never more open than a process may have.
const TOGETHER: usize = 256;

/// Why a file cannot become a target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file changed while it was copied.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A name that stands for a file under another name.
    #[error("target path {path:?} has a last part that begins with 64 hex digits and a dot")]
    Hashed {
        /// The target path.
        path: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A name that is no target path.
    #[error("{}: no target path", local.display())]
    Name {
        /// The file or directory.
        local: PathBuf,
        /// What is wrong with it.
        source: PathError,
    },
    /// Neither a file nor a directory.
    #[error("{} is {kind}", path.display())]
    NotAFile {
        /// What it is.
        kind: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// One name for several files.
    #[error("--as names one target, and there are {files} files")]
    OneName {
        /// How many files there are.
        files: usize,
    },
    /// A target path that cannot be.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Two files for one target.
    #[error("{} and {} would both be target {path}", one.display(), other.display())]
    Twice {
        /// The target path.
        path: TargetPath,
        /// A file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
}

impl FileError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Changed { .. } => "nothing was staged; run it again when the file is complete".to_owned(),
            Self::Hashed { .. } => {
                "clients look for dir/name under dir/HASH.name: such a name is refused; rename it, or use --as".to_owned()
            }
            Self::Io { .. } => return None,
            Self::Name { .. } | Self::Path(_) => "--as PATH or --prefix P gives it another".to_owned(),
            Self::NotAFile { .. } => "name the file that it stands for; nothing was staged".to_owned(),
            Self::OneName { .. } => "--prefix puts a directory before the names of many".to_owned(),
            Self::Twice { .. } => "add them one after the other, with --as or --prefix".to_owned(),
        })
    }
}

/// A file, and the target it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The file.
    pub local: PathBuf,
    /// The target.
    pub path: TargetPath,
}

/// A target path, unless its last part would look like that of another target with its hash.
///
/// # Errors
/// [`FileError::Path`], [`FileError::Hashed`].
pub fn target_of(path: &str) -> Result<TargetPath, FileError> {
    let target = TargetPath::new(path)?;
    let name = target.file_name().as_bytes();
    let hashed = name.get(64) == Some(&b'.') && name.iter().take(64).all(u8::is_ascii_hexdigit);
    if hashed { Err(FileError::Hashed { path: path.to_owned() }) } else { Ok(target) }
}

/// The files among `inputs` and below the directories among them, by target path. A file has its own name; one below
/// a directory has its path from there; before both comes `prefix`. Symbolic links are refused, not followed.
///
/// # Errors
/// [`FileError`] for the first that cannot be a target.
pub fn find_files(inputs: &[PathBuf], prefix: Option<&str>) -> Result<Vec<Found>, FileError> {
    let prefix = prefix.map_or_else(String::new, |prefix| format!("{}/", prefix.trim_end_matches('/')));
    let mut found: BTreeMap<TargetPath, PathBuf> = BTreeMap::new();
    for input in inputs {
        // A directory that is named with a slash, or `.`, has no name of its own.
        let mut pending = vec![(input.clone(), None::<String>)];
        while let Some((local, below)) = pending.pop() {
            let failed = |source| FileError::Io { path: local.clone(), source };
            let kind = std::fs::symlink_metadata(&local).map_err(failed)?.file_type();
            if kind.is_dir() {
                let mut entries = std::fs::read_dir(&local)
                    .map_err(failed)?
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(failed)?;
                entries.sort_by_key(std::fs::DirEntry::file_name);
                for entry in entries {
                    let name = name_of(&entry.path())?;
                    let below =
                        below.as_ref().map_or_else(|| name.clone(), |below| format!("{below}/{name}"));
                    pending.push((entry.path(), Some(below)));
                }
                continue;
            }
            if !kind.is_file() {
                let kind = if kind.is_symlink() { "a symbolic link" } else { "no regular file" };
                return Err(FileError::NotAFile { kind, path: local });
            }
            let name = below.map_or_else(|| name_of(&local), Ok)?;
            let path = match target_of(&format!("{prefix}{name}")) {
                Err(FileError::Path(source)) => return Err(FileError::Name { local, source }),
                other => other?,
            };
            if let Some(one) = found.insert(path.clone(), local.clone()) {
                return Err(FileError::Twice { path, one, other: local });
            }
        }
    }
    Ok(found.into_iter().map(|(path, local)| Found { local, path }).collect())
}

fn name_of(path: &Path) -> Result<String, FileError> {
    let name = path.file_name().and_then(std::ffi::OsStr::to_str);
    name.map(str::to_owned)
        .ok_or_else(|| FileError::NotAFile { kind: "no name in UTF-8", path: path.to_owned() })
}

/// Target paths that differ only in case, which some file systems take to be one.
#[must_use]
pub fn case_collisions<'p>(
    paths: impl IntoIterator<Item = &'p TargetPath>,
) -> Vec<(&'p TargetPath, &'p TargetPath)> {
    let mut seen: BTreeMap<String, &TargetPath> = BTreeMap::new();
    let mut collisions = Vec::new();
    for path in paths {
        match seen.insert(path.as_str().to_lowercase(), path) {
            Some(other) if other != path => collisions.push((other, path)),
            _ => {}
        }
    }
    collisions
}

/// Puts files where clients will look for them, under their hashed names, and says what is to be signed. What is there
/// already is not copied again.
///
/// # Errors
/// [`FileError`] if one cannot be read or changes meanwhile; [`Error::File`], [`Error::Storage`].
pub fn place(repository: &Repository, files: &[Found]) -> Result<Vec<(TargetPath, TargetFile)>, Error> {
    match repository.storage().local() {
        Some(root) => {
            let parts = files.chunks(TOGETHER).map(|files| place_here(root, files));
            parts.collect::<Result<Vec<_>, _>>().map(|parts| parts.concat())
        }
        None => files.iter().map(|file| place_there(repository, file)).collect(),
    }
}

/// Into a directory of this machine: many files with one sync.
fn place_here(root: &Path, files: &[Found]) -> Result<Vec<(TargetPath, TargetFile)>, Error> {
    let mut placed = Vec::with_capacity(files.len());
    let mut batch = WriteBatch::new(Access::Shared);
    let mut names = BTreeSet::new();
    for Found { local, path } in files {
        let file = hash(local, |_| Ok(()))?;
        let stored = Repository::target(&path.remote(Some(&file.hashes)));
        let destination = durable::checked_join(root, &stored)?;
        let is_there = std::fs::metadata(&destination).is_ok_and(|found| found.len() == file.length);
        if !is_there && names.insert(destination.clone()) {
            let mut copy = Placed::create(&destination, Access::Shared)?;
            if hash(local, |bytes| Ok(copy.append(bytes)?))? != file {
                return Err(FileError::Changed { path: local.clone() }.into());
            }
            batch.place(copy);
        }
        placed.push((path.clone(), file));
    }
    batch.commit()?;
    Ok(placed)
}

/// Into a storage elsewhere: what was hashed is sent, whatever becomes of the file meanwhile.
fn place_there(
    repository: &Repository,
    Found { local, path }: &Found,
) -> Result<(TargetPath, TargetFile), Error> {
    let mut copy = repository.incoming()?;
    let file = hash(local, |bytes| Ok(copy.append(bytes)?))?;
    let stored = Repository::target(&path.remote(Some(&file.hashes)));
    repository.storage().place(&stored, copy.path())?;
    Ok((path.clone(), file))
}

/// Length and SHA-256 of a file, given piece by piece to `each`.
pub(super) fn hash(
    local: &Path,
    mut each: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<TargetFile, Error> {
    let failed = |source| FileError::Io { path: local.to_owned(), source };
    let mut file = File::open(local).map_err(failed)?;
    let (mut context, mut length, mut buffer) = (Context::new(&SHA256), 0, vec![0; 128 << 10]);
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error).into()),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        context.update(bytes);
        each(bytes)?;
        length += u64::try_from(read).unwrap_or_default();
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    Ok(TargetFile::new(length, Hashes::sha256_only(sum)))
}
