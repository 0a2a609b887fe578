//! Which keys of this machine are those that published metadata lists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tuf_core::Key;

use super::AdoptError;
use crate::error::Error;
use crate::keys::{self, KeyError, KeyUri, Passphrases, file};

/// Keys that were given, and those in the directory `keys/`; public halves are made for those that have none yet.
#[derive(Debug)]
pub(super) struct Keyring {
    known: Vec<(KeyUri, Key)>,
    used: BTreeSet<usize>,
    given: usize,
    /// Names in `keys/` that are taken.
    names: BTreeSet<String>,
    /// Public halves to be written, by their path from the repository's directory.
    pub(super) new: Vec<(PathBuf, Key)>,
    /// What could not be read.
    pub(super) unreadable: Vec<String>,
}

impl Keyring {
    /// Reads them. A private key that has no public half beside it yet is unlocked for it.
    ///
    /// # Errors
    /// [`AdoptError::Key`] for one that was given.
    pub(super) fn read(
        directory: &Path,
        given: &[KeyUri],
        passphrases: &mut Passphrases,
    ) -> Result<Self, Error> {
        let mut ring = Self {
            known: Vec::new(),
            used: BTreeSet::new(),
            given: given.len(),
            names: BTreeSet::new(),
            new: Vec::new(),
            unreadable: Vec::new(),
        };
        for uri in given {
            let key = public(uri, directory, passphrases)
                .map_err(|source| AdoptError::Key { uri: uri.to_string(), source })?;
            ring.known.push((uri.clone(), key));
        }
        let (mut private, mut public_only) = (Vec::new(), Vec::new());
        for name in names(&directory.join("keys"))? {
            if let Some(stem) = name.strip_suffix(".pem") {
                ring.names.insert(stem.to_owned());
                private.push(KeyUri::File(Path::new("keys").join(&name)));
            } else if let Some(stem) = name.strip_suffix(".pub.json") {
                ring.names.insert(stem.to_owned());
                public_only.push(KeyUri::Public(Path::new("keys").join(&name)));
            }
        }
        for uri in private.into_iter().chain(public_only) {
            match public(&uri, directory, passphrases) {
                Ok(key) => ring.known.push((uri, key)),
                Err(error) => ring.unreadable.push(format!("{uri}: {}", tuf_client::chain(&error))),
            }
        }
        Ok(ring)
    }

    /// Where a key is; one that is nowhere here gets a file for its public half, named after `role`. `None` for a key of a
    /// kind that this program does not know.
    pub(super) fn find(&mut self, key: &Key, role: &str) -> Option<KeyUri> {
        let public = key.public()?;
        if let Some(index) = self.known.iter().position(|(_, known)| known.public() == Some(public)) {
            self.used.insert(index);
            return self.known.get(index).map(|(uri, _)| uri.clone());
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let stem = if role.chars().all(plain) { role.to_owned() } else { key.id().short() };
        let numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
        let name = std::iter::once(stem.clone()).chain(numbered).find(|name| !self.names.contains(name))?;
        self.names.insert(name.clone());
        let path = Path::new("keys").join(format!("{name}.pub.json"));
        let uri = KeyUri::Public(path.clone());
        self.new.push((path, key.clone()));
        self.known.push((uri.clone(), key.clone()));
        Some(uri)
    }

    /// Every key that was given was found in what is published.
    ///
    /// # Errors
    /// [`AdoptError::UnusedKey`] naming the first that was not.
    pub(super) fn all_used(&self) -> Result<(), AdoptError> {
        let unused = (0..self.given).find(|index| !self.used.contains(index));
        match unused.and_then(|index| self.known.get(index)) {
            Some((uri, _)) => Err(AdoptError::UnusedKey { uri: uri.to_string() }),
            None => Ok(()),
        }
    }
}

fn public(uri: &KeyUri, directory: &Path, passphrases: &mut Passphrases) -> Result<Key, KeyError> {
    match (keys::public(uri, directory), uri.path(directory)) {
        (Err(KeyError::PublicMissing { .. }), Some(path)) => file::complete(&path, passphrases),
        (found, _) => found,
    }
}

/// The names in a directory that need not be there.
pub(crate) fn names(directory: &Path) -> Result<BTreeSet<String>, Error> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(Error::io("read", directory, error)),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("read", directory, error))?;
        // A name that is no text is none that settings can have.
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}
