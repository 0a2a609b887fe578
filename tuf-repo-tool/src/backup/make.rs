//! Makes a backup.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use tokio::task::block_in_place;
use tuf_core::Key;

use super::archive::{FORMAT, Manifest, Writer};
use super::{BackupError, EVENTS, KEYS, LOG, PUBLIC, ROOT, SETTINGS, STAGED, staged};
use crate::adopt::{Seen, Source};
use crate::config::{Config, RoleKind};
use crate::error::Error;
use crate::event::Events;
use crate::keys::file;
use crate::log::{self, Did, Entry};
use crate::publish::TIMESTAMP;
use crate::repository::Repository;
use crate::storage::{METADATA_LIMIT, Storage};

/// How often a backup is begun anew because somebody published.
const TRIES: usize = 5;

/// Which private keys go into a backup (PEP 458 wants one with all of them and one with those that are online).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhichKeys {
    /// None: published metadata and what is needed to work with it where the keys are.
    #[default]
    None,
    /// Those that sign what is signed every day, and none of root, targets and bins.
    Online,
    /// Every one in `keys/`.
    All,
}

/// What goes into a backup.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Private keys.
    pub keys: WhichKeys,
    /// Whether keys that are not encrypted may be among them.
    pub plain_keys: bool,
    /// The files of targets.
    pub targets: bool,
    /// Why it is made.
    pub why: Option<String>,
}

/// A backup that was made.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BackedUp {
    /// The version of the timestamp.
    pub timestamp: u64,
    /// How many files are in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The private keys that are in it, by name.
    pub keys: Vec<String>,
    /// The roles that they suffice for.
    pub signs: Vec<String>,
    /// The roles that they do not suffice for.
    pub lacks: Vec<String>,
    /// How many staged changes are in it.
    pub staged: usize,
    /// How many pending events are in it.
    pub events: usize,
}

/// Writes a backup into the new file `path`, readable by its owner alone. Everything that is published is verified before.
/// Needs no lock: a publish meanwhile is in it or not, never in part.
///
/// # Errors
/// [`BackupError`], [`crate::adopt::AdoptError`] if what is published does not verify; [`Error::Key`], [`Error::Storage`].
pub async fn backup(
    repository: &Repository,
    path: &Path,
    options: &BackupOptions,
) -> Result<BackedUp, Error> {
    let (storage, now) = (&**repository.storage(), repository.now());
    let Moment { seen, log, staged: (staged, staged_count), events } = moment(repository).await?;
    let keys = keys(repository, options)?;
    let (signs, lacks): (Vec<_>, Vec<_>) = seen.authorities().partition(|(_, listed)| {
        let ours = listed.role.keyids.iter().filter_map(|id| listed.keys.get(id)?.public());
        let held: BTreeSet<_> =
            ours.filter(|public| keys.iter().any(|(_, key)| key.public() == Some(*public))).collect();
        usize::try_from(listed.role.threshold()).is_ok_and(|threshold| held.len() >= threshold)
    });
    let name = |roles: Vec<(&str, _)>| roles.into_iter().map(|(role, _)| role.to_owned()).collect::<Vec<_>>();
    let (signs, lacks) = (name(signs), name(lacks));

    let mut writer = Writer::create(path, now)?;
    let read = |path: &Path| std::fs::read(path).map_err(|error| Error::io("read", path, error));
    let directory = repository.directory();
    writer.add(SETTINGS, &read(&Config::path(directory))?)?;
    writer.add(ROOT, seen.chain.set.root().bytes())?;
    for name in names(&directory.join("keys"), ".pub.json")? {
        writer.add(&format!("{KEYS}{name}"), &read(&directory.join("keys").join(&name))?)?;
    }
    for (name, _) in &keys {
        writer.add(
            &format!("{KEYS}{name}"),
            &zeroize::Zeroizing::new(read(&directory.join("keys").join(name))?),
        )?;
    }
    if let Some(log) = &log {
        writer.add(LOG, log)?;
    }
    if staged_count > 0 {
        writer.add(STAGED, &staged)?;
    }
    for (id, bytes) in &events {
        writer.add(&format!("{EVENTS}{id}.tufsign"), bytes)?;
    }
    let timestamp = seen.chain.set.timestamp().bytes();
    block_in_place(|| published(storage, timestamp, options.targets, &mut writer))?;
    let manifest = writer.finish(Manifest {
        format: FORMAT.to_owned(),
        at: now,
        why: options.why.clone(),
        first_root: seen.chain.first_root(),
        timestamp: seen.chain.timestamp_version(),
        signs: signs.clone(),
        files: std::collections::BTreeMap::new(),
    })?;
    let entry = Entry::new(Did::Backup).because(options.why.as_deref()).with("timestamp", manifest.timestamp);
    let private: Vec<_> = keys.iter().map(|(name, _)| name.trim_end_matches(".pem")).collect();
    log::append(repository, &entry.with("file", path.display().to_string()).with("keys", private))?;
    Ok(BackedUp {
        timestamp: manifest.timestamp,
        files: manifest.files.len(),
        bytes: manifest.files.values().map(|entry| entry.length).sum(),
        keys: keys.into_iter().map(|(name, _)| name.trim_end_matches(".pem").to_owned()).collect(),
        signs,
        lacks,
        staged: staged_count,
        events: events.len(),
    })
}

/// What a repository has at one moment, as far as that may change.
struct Moment {
    seen: Seen,
    log: Option<Vec<u8>>,
    /// The lines, and how many changes they are.
    staged: (Vec<u8>, usize),
    /// By their IDs.
    events: Vec<(String, Vec<u8>)>,
}

/// What is staged is read before what is published: a change that is published meanwhile is in both, and never in neither. So is
/// the log, which must not know of what the backup has not. If somebody publishes meanwhile, it is tried again.
async fn moment(repository: &Repository) -> Result<Moment, Error> {
    let (storage, now) = (&**repository.storage(), repository.now());
    let mut tries = 0;
    loop {
        let before = block_in_place(|| storage.read(TIMESTAMP, METADATA_LIMIT))?;
        let before = before.ok_or(BackupError::Unpublished)?;
        let log = unless_absent(&repository.directory().join(LOG))?;
        let staged = staged::write(&repository.open_state().await?).await?;
        let mut events = Vec::new();
        for event in Events::of(repository).pending()? {
            // One that is finished just now is published.
            let bytes = unless_absent(&Events::of(repository).path(event.id()))?;
            events.extend(bytes.map(|bytes| (event.id().to_owned(), bytes)));
        }
        let seen = Seen::read(&Source::of(repository.storage())?, now, async |_, _| Ok(())).await?;
        tries += 1;
        if **seen.chain.set.timestamp().bytes() == *before || tries == TRIES {
            return Ok(Moment { seen, log, staged, events });
        }
    }
}

/// A file, if it is there.
fn unless_absent(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Published files, the timestamp at the end. What is published meanwhile comes along, but for its timestamp.
fn published(
    storage: &dyn Storage,
    timestamp: &[u8],
    with_targets: bool,
    writer: &mut Writer,
) -> Result<(), Error> {
    let mut listed = if with_targets { storage.list("targets")? } else { Vec::new() };
    listed.extend(storage.list("metadata")?.into_iter().filter(|file| file.path != TIMESTAMP));
    for file in listed {
        let name = format!("{PUBLIC}{}", file.path);
        match storage.local() {
            Some(directory) => {
                let path = directory.join(&file.path);
                let opened = std::fs::File::open(&path).map_err(|error| Error::io("read", &path, error))?;
                writer.stream(&name, file.length, opened)?;
            }
            None => {
                let missing = || Error::Missing { storage: storage.url(), path: file.path.clone() };
                writer.add(&name, &storage.read(&file.path, file.length)?.ok_or_else(missing)?)?;
            }
        }
    }
    writer.add(&format!("{PUBLIC}{TIMESTAMP}"), timestamp)
}

/// The private keys that go into it, by their files' names, with their public halves.
fn keys(repository: &Repository, options: &BackupOptions) -> Result<Vec<(String, Key)>, Error> {
    let directory = repository.directory().join("keys");
    let config = &repository.config;
    let mut offline = BTreeSet::new();
    for kind in [RoleKind::Root, RoleKind::Targets, RoleKind::Bins] {
        let uris = config.roles.get(&kind).into_iter().flat_map(|role| &role.keys);
        offline.extend(uris.filter_map(|uri| uri.path(repository.directory())));
    }
    let mut keys = Vec::new();
    if options.keys == WhichKeys::None {
        return Ok(keys);
    }
    for name in names(&directory, ".pem")? {
        let path = directory.join(&name);
        if options.keys == WhichKeys::Online && offline.contains(&path) {
            continue;
        }
        if !options.plain_keys && !file::is_encrypted(&path)? {
            return Err(BackupError::PlainKey { path }.into());
        }
        keys.push((name, file::public(&path)?));
    }
    Ok(keys)
}

fn names(directory: &Path, end: &str) -> Result<BTreeSet<String>, Error> {
    let names = crate::adopt::names(directory)?;
    Ok(names.into_iter().filter(|name| name.ends_with(end) && !name.starts_with('.')).collect())
}
