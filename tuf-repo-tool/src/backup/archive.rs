//! The archive: a tar file whose last entry says what the others must be (`specs/backup.md`).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tuf_client::durable::{Access, Created, Placed};

use super::BackupError;
use crate::adopt::AdoptError;
use crate::error::Error;

/// The entry that says what the others are.
const MANIFEST: &str = "manifest.json";
pub(super) const FORMAT: &str = "tuf-repo.backup/1";
const MAX_MANIFEST: u64 = 4 << 30;
const BUFFER: usize = 256 * 1024;

/// What an archive says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: String,
    /// When it was made.
    pub(super) at: DateTime<Utc>,
    /// Why, if somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// The sha256 of `1.root.json`: which repository this is.
    pub(super) first_root: String,
    /// The version of the timestamp.
    pub(super) timestamp: u64,
    /// The roles that the private keys in it suffice for.
    pub(super) signs: Vec<String>,
    /// Every other entry, by its name.
    pub(super) files: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) length: u64,
    pub(super) sha256: String,
}

/// Writes an archive, which has no name before it is complete.
pub(super) struct Writer {
    tar: tar::Builder<Sink>,
    files: BTreeMap<String, Entry>,
    path: PathBuf,
    at: u64,
}

struct Sink(Placed);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map_err(tuf_client::durable::DurableError::into_io)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    pub(super) fn create(path: &Path, at: DateTime<Utc>) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { path: path.to_owned() }.into());
        }
        let mut tar = tar::Builder::new(Sink(Placed::create(path, Access::Private)?));
        tar.mode(tar::HeaderMode::Deterministic);
        let at = u64::try_from(at.timestamp()).unwrap_or_default();
        Ok(Self { tar, files: BTreeMap::new(), path: path.to_owned(), at })
    }

    /// Adds a file that is in memory.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.stream(name, u64::try_from(bytes.len()).unwrap_or(u64::MAX), bytes)
    }

    /// Adds a file of this length.
    pub(super) fn stream(&mut self, name: &str, length: u64, reader: impl Read) -> Result<(), Error> {
        let failed = |source| BackupError::Io { action: "write", path: self.path.clone(), source };
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(0o600);
        header.set_mtime(self.at);
        let mut hashing = Hashing::new(reader.take(length));
        self.tar.append_data(&mut header, name, &mut hashing).map_err(failed)?;
        let entry = hashing.entry();
        if entry.length != length {
            let short =
                io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} became shorter meanwhile"));
            return Err(failed(short).into());
        }
        self.files.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Ends the archive with its manifest, and gives it its name.
    pub(super) fn finish(mut self, mut manifest: Manifest) -> Result<Manifest, Error> {
        manifest.files = std::mem::take(&mut self.files);
        let failed = |source| BackupError::Io { action: "write", path: self.path.clone(), source };
        let bytes = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(error.into()))?;
        self.add(MANIFEST, &bytes)?;
        let failed = |source| BackupError::Io { action: "write", path: self.path.clone(), source };
        let Sink(placed) = self.tar.into_inner().map_err(failed)?;
        match placed.finish_new()? {
            Created::New => Ok(manifest),
            _ => Err(BackupError::Exists { path: self.path }.into()),
        }
    }
}

/// An archive of which every byte was compared with its manifest.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    pub(super) manifest: Manifest,
}

impl Archive {
    /// Reads all of it once.
    ///
    /// # Errors
    /// [`BackupError::Damaged`], [`BackupError::Io`].
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let damaged = |reason: String| BackupError::Damaged { path: path.to_owned(), reason };
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        let mut manifest: Option<Manifest> = None;
        each(path, |name, reader| {
            if manifest.is_some() {
                return Err(damaged(format!("{name} comes after the manifest")).into());
            }
            if name == MANIFEST {
                let mut bytes = Vec::new();
                reader
                    .take(MAX_MANIFEST)
                    .read_to_end(&mut bytes)
                    .map_err(|error| damaged(error.to_string()))?;
                let read = serde_json::from_slice(&bytes);
                manifest = Some(read.map_err(|error| damaged(format!("its manifest: {error}")))?);
                return Ok(());
            }
            let mut hashing = Hashing::new(reader);
            io::copy(&mut hashing, &mut io::sink()).map_err(|error| damaged(format!("{name}: {error}")))?;
            match found.insert(name.to_owned(), hashing.entry()) {
                None => Ok(()),
                Some(_) => Err(damaged(format!("{name} is in it twice")).into()),
            }
        })?;
        let manifest =
            manifest.ok_or_else(|| damaged("it ends before its manifest, the last entry".to_owned()))?;
        if manifest.format != FORMAT {
            return Err(damaged(format!("format {:?}, where {FORMAT:?} is read", manifest.format)).into());
        }
        for (name, expected) in &manifest.files {
            match found.get(name) {
                Some(found) if found == expected => {}
                Some(_) => return Err(damaged(format!("{name} is not what the manifest says")).into()),
                None => return Err(damaged(format!("{name} is missing")).into()),
            }
        }
        if let Some(name) = found.keys().find(|name| !manifest.files.contains_key(*name)) {
            return Err(damaged(format!("{name} is not in the manifest")).into());
        }
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// Reads it once more, entry by entry. What was compared before is compared again, as a file could change meanwhile.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&str, u64, &mut dyn Read) -> Result<(), Error>,
    ) -> Result<(), Error> {
        each(&self.path, |name, reader| {
            if name == MANIFEST {
                return Ok(());
            }
            let changed = || BackupError::Damaged {
                path: self.path.clone(),
                reason: format!("{name} changed while it was read"),
            };
            let expected = self.manifest.files.get(name).ok_or_else(changed)?;
            let mut hashing = Hashing::new(reader);
            take(name, expected.length, &mut hashing)?;
            io::copy(&mut hashing, &mut io::sink()).map_err(|source| BackupError::Io {
                action: "read",
                path: self.path.clone(),
                source,
            })?;
            if hashing.entry() == *expected { Ok(()) } else { Err(changed().into()) }
        })
    }

    /// A small file of it.
    pub(super) fn read(&self, wanted: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut found = None;
        if !self.manifest.files.contains_key(wanted) {
            return Ok(None);
        }
        self.each(|name, _, reader| {
            if name == wanted {
                found = Some(self.bytes(reader)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// All of an entry.
    pub(super) fn bytes(&self, reader: &mut dyn Read) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|source| BackupError::Io { action: "read", path: self.path.clone(), source })?;
        Ok(bytes)
    }

    /// What is wrong with its metadata, by the archive's name, where it was unpacked for a moment only.
    pub(super) fn refused(&self, error: Error) -> Error {
        match error {
            Error::Adopt(AdoptError::Refused { file, source, .. }) => {
                self.damaged(format!("{file} does not verify: {}", tuf_client::chain(&source)))
            }
            Error::Adopt(AdoptError::Unpublished { file, .. }) => self.damaged(format!("it has no {file}")),
            error => error,
        }
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> Error {
        BackupError::Damaged { path: self.path.clone(), reason: reason.into() }.into()
    }
}

/// Every plain file of an archive; anything else in it is refused.
fn each(path: &Path, mut take: impl FnMut(&str, &mut dyn Read) -> Result<(), Error>) -> Result<(), Error> {
    let damaged = |reason: String| BackupError::Damaged { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|source| BackupError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(BUFFER, file));
    let entries = archive.entries().map_err(|error| damaged(error.to_string()))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(error.to_string()))?;
        let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned));
        let name = name.ok_or_else(|| damaged("it has a name that is no text".to_owned()))?;
        if !entry.header().entry_type().is_file() {
            return Err(damaged(format!("{name} is no plain file")).into());
        }
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
        if !name.split('/').all(is_plain) {
            return Err(damaged(format!("{name:?} leads out of its directory")).into());
        }
        take(&name, &mut entry)?;
    }
    Ok(())
}

/// Hashes what is read through it.
struct Hashing<R> {
    reader: R,
    context: Context,
    length: u64,
}

impl<R> Hashing<R> {
    fn new(reader: R) -> Self {
        Self { reader, context: Context::new(&SHA256), length: 0 }
    }

    fn entry(&self) -> Entry {
        let sum = self.context.clone().finish();
        Entry { length: self.length, sha256: HEXLOWER.encode(sum.as_ref()) }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.context.update(buffer.get(..read).unwrap_or_default());
        self.length = self.length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
