//! A directory that becomes a repository, or is left as it was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tuf_client::durable::{self, Access};

use super::AdoptError;
use crate::config::Config;
use crate::error::Error;

/// What a directory may hold before: keys that the operator put there, published files, and what a killed command left.
const KNOWN: [&str; 4] = ["keys", "public", "root.json", "state"];

/// Directories for work that is not done have such names.
const WORK: &str = ".tmp-adopt-";

/// Removes again what was made in the directory, unless [`Fresh::keep`] was called.
#[derive(Debug)]
pub(crate) struct Fresh {
    directory: PathBuf,
    before: Option<BTreeSet<String>>,
    keep: bool,
}

impl Fresh {
    /// Takes a directory that is no repository yet; it need not exist.
    ///
    /// # Errors
    /// [`Error::Exists`], [`AdoptError::NotEmpty`], [`Error::File`].
    pub(crate) fn begin(directory: &Path) -> Result<Self, Error> {
        if Config::path(directory).exists() {
            return Err(Error::Exists { path: directory.to_owned() });
        }
        let before = match entries(directory) {
            Ok(names) => Some(names),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", directory, error)),
        };
        let is_work = |name: &&String| name.starts_with(WORK);
        let strange = |name: &&String| !KNOWN.contains(&name.as_str()) && !is_work(name);
        if let Some(found) = before.iter().flatten().find(strange) {
            let (path, found) = (directory.to_owned(), found.clone());
            return Err(AdoptError::NotEmpty { path, found }.into());
        }
        durable::create_dirs(directory, Access::Shared)?;
        for left in before.iter().flatten().filter(is_work) {
            let path = directory.join(left);
            std::fs::remove_dir_all(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        Ok(Self { directory: directory.to_owned(), before, keep: false })
    }

    /// A directory for work, which goes when it is dropped.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn work(&self) -> Result<tempfile::TempDir, Error> {
        let made = tempfile::Builder::new().prefix(WORK).tempdir_in(&self.directory);
        made.map_err(|error| Error::io("make a directory in", &self.directory, error))
    }

    /// Whether the directory had published files before.
    pub(crate) fn had_public(&self) -> bool {
        self.before.as_ref().is_some_and(|before| before.contains("public"))
    }

    /// It is a repository now.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let removed = match &self.before {
            None => std::fs::remove_dir_all(&self.directory),
            Some(before) => entries(&self.directory).and_then(|now| {
                now.difference(before).try_for_each(|name| {
                    let path = self.directory.join(name);
                    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
                })
            }),
        };
        if let Err(error) = removed {
            tracing::warn!("{} could not be cleared: {error}", self.directory.display());
        }
    }
}

fn entries(directory: &Path) -> std::io::Result<BTreeSet<String>> {
    let name =
        |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    std::fs::read_dir(directory)?.map(name).collect()
}
