//! A repository that another program publishes, or another machine, taken over byte for byte.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::task::block_in_place;
use tuf_client::durable;
use tuf_core::{Envelope, Limits, Metadata, Root, TopLevel, read_unverified};

use super::carry::Carrier;
use super::fresh::Fresh;
use super::rebuild::put_public;
use super::seen::Seen;
use super::settings::{AdoptedRole, Given, derive};
use super::walk::{Chain, Met};
use super::{AdoptError, Source};
use crate::error::Error;
use crate::keys::Passphrases;
use crate::log::{self, Did, Entry};
use crate::publish::TIMESTAMP;
use crate::repository::Repository;
use crate::storage::{LocalStorage, METADATA_LIMIT, NewFile, Storage, Swap};

/// Metadata files that are written together.
const BATCH: usize = 256;

/// What is to be taken over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// What published metadata does not say.
    pub given: Given,
    /// A root that the operator trusts: it must be one of the source's.
    pub anchor: Option<PathBuf>,
    /// Leaves files of targets where they are: they are in the storage already.
    pub metadata_only: bool,
    /// Why, for the log.
    pub why: Option<String>,
}

/// What was taken over.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Imported {
    /// The newest root's version.
    pub root: u64,
    /// The sha256 of the first root: what clients' trust hangs on.
    pub first_root: String,
    /// Whether a root that the operator had was one of the source's.
    pub anchored: bool,
    /// The timestamp's version.
    pub timestamp: u64,
    /// How many targets are listed.
    pub targets: usize,
    /// How many of their files were fetched.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How each role is signed.
    pub roles: Vec<AdoptedRole>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Takes a published repository over into `directory`, which is none yet. All metadata is verified as a client would, before any of
/// it is in its place, and every target's file before it has its name. Expired metadata is taken too, and said so.
///
/// # Errors
/// [`AdoptError`] if it does not verify or cannot be carried on; then nothing is left behind. [`Error::Taken`],
/// [`Error::Unguarded`], [`Error::Storage`], [`Error::State`].
pub async fn import(
    source: &Source,
    directory: &Path,
    options: &ImportOptions,
    now: DateTime<Utc>,
    passphrases: &mut Passphrases,
) -> Result<Imported, Error> {
    let fresh = Fresh::begin(directory)?;
    let work = fresh.work()?;
    let spool = Spool::new(work.path());
    let seen = spool.fill(source, now).await?;
    if let Some(role) = seen.absent.first().cloned() {
        return Err(AdoptError::Absent { source_name: source.name().to_owned(), role }.into());
    }
    let anchored = options.anchor.as_deref().map(|path| anchor(source, &seen.chain, path)).transpose()?;
    let derived = derive(directory, &seen, &options.given, None, now, passphrases)?;
    let repository = Repository::new(directory, derived.config.clone())?;
    block_in_place(|| free(&repository, &seen.chain))?;
    let _lock = repository.lock()?;
    let carrier = Carrier::new(source, &repository, options.metadata_only);
    let carried = match carry_targets(&seen.chain, &spool, &carrier).await {
        Ok(()) => carry_metadata(&repository, &seen.chain, &spool, &carrier),
        Err(error) => Err(error),
    };
    let mut done = carrier.into_done();
    let finished = match carried {
        Ok(()) => finish(&repository, &seen.chain, &derived).await,
        Err(error) => Err(error),
    };
    if let Err(error) = finished {
        // The directory itself goes with `fresh`.
        if (repository.storage().local().is_none() || fresh.had_public())
            && let Err(error) = block_in_place(|| clear(&**repository.storage(), &mut done.created))
        {
            tracing::warn!(
                "{} could not be cleared: {}",
                repository.storage().url(),
                tuf_client::chain(&error)
            );
        }
        return Err(error);
    }
    fresh.keep();
    let entry = Entry::new(Did::Import).because(options.why.as_deref()).with("source", source.name());
    let entry = entry.with("first_root", seen.chain.first_root());
    log::append_at(directory, now, &seen.chain.adopted(entry))?;
    let mut notes = derived.notes;
    if done.unusable > 0 {
        notes.push(format!(
            "{} targets have names that no client takes: their files stayed behind",
            done.unusable
        ));
    }
    let set = &seen.chain.set;
    Ok(Imported {
        root: set.root().header.version,
        first_root: seen.chain.first_root(),
        anchored: anchored.is_some(),
        timestamp: set.timestamp().header.version,
        targets: seen.targets,
        files: done.files,
        bytes: done.bytes,
        roles: derived.roles,
        notes,
    })
}

/// Metadata that was verified, on this machine until it is put in its place.
#[derive(Debug)]
pub(crate) struct Spool(Arc<dyn Storage>);

impl Spool {
    pub(crate) fn new(directory: &Path) -> Self {
        Self(Arc::new(LocalStorage::new(&directory.join("public"), &directory.join("state"))))
    }

    /// What is in it, to be read as any other source.
    pub(crate) fn source(&self) -> Result<Source, Error> {
        Source::of(&self.0)
    }

    /// Puts a file into it.
    pub(crate) fn add(&self, file: NewFile) -> Result<(), Error> {
        Ok(self.0.create(&[file])?)
    }

    /// Reads a source and keeps what was verified.
    ///
    /// # Errors
    /// As [`Seen::read`].
    pub(crate) async fn fill(&self, source: &Source, now: DateTime<Utc>) -> Result<Seen, Error> {
        let mut batch = Vec::new();
        let seen = Seen::read(source, now, async |_, Met { role, .. }| {
            let name = role.role_name().file_name(Some(role.header.version));
            batch.push(file(&name, role.bytes()));
            if batch.len() == BATCH { self.write(&mut batch) } else { Ok(()) }
        })
        .await?;
        let set = &seen.chain.set;
        let snapshot = TopLevel::Snapshot.role().file_name(Some(set.snapshot().header().version));
        batch.push(file(&snapshot, set.snapshot().bytes()));
        for (version, root) in (1..).zip(&seen.chain.roots) {
            batch.push(file(&TopLevel::Root.role().file_name(Some(version)), root));
        }
        batch.push(NewFile { path: TIMESTAMP.to_owned(), bytes: set.timestamp().bytes().to_vec() });
        self.write(&mut batch)?;
        Ok(seen)
    }

    fn write(&self, batch: &mut Vec<NewFile>) -> Result<(), Error> {
        block_in_place(|| self.0.create(batch))?;
        batch.clear();
        Ok(())
    }
}

fn file(name: &str, bytes: &[u8]) -> NewFile {
    NewFile { path: Repository::metadata_path(name), bytes: bytes.to_vec() }
}

/// One of the source's roots is the one that the operator has.
fn anchor(source: &Source, chain: &Chain, path: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    if chain.roots.iter().any(|root| **root == *bytes) {
        return Ok(());
    }
    let limits = Limits::default();
    let root: Root = Envelope::parse(bytes, &limits)
        .and_then(|file| read_unverified(&file, &limits))
        .map_err(|error| AdoptError::Refused {
            source_name: path.display().to_string(),
            file: "the root that was given".to_owned(),
            source: error,
        })?;
    let (source_name, version) = (source.name().to_owned(), root.header.version);
    Err(AdoptError::Anchor { source_name, version, path: path.to_owned() }.into())
}

/// The timestamp in a storage that holds this repository or nothing, and in which two publishers cannot overwrite each other.
///
/// # Errors
/// [`Error::Taken`], [`Error::Unguarded`].
pub(crate) fn published_timestamp(repository: &Repository, chain: &Chain) -> Result<Option<Vec<u8>>, Error> {
    let storage = repository.storage();
    let first = repository.read_metadata("1.root.json")?;
    let timestamp = repository.read_metadata("timestamp.json")?;
    let other = match &first {
        Some(found) => chain.roots.first().is_none_or(|ours| **found != **ours),
        None => timestamp.is_some(),
    };
    if other {
        return Err(Error::Taken { storage: storage.url() });
    }
    match (storage.swaps()?, &repository.config.state) {
        (Swap::Unguarded, None) => Err(Error::Unguarded { storage: storage.url() }),
        _ => Ok(timestamp),
    }
}

/// The storage has nothing, or nothing but this state.
///
/// # Errors
/// [`AdoptError::OtherState`], and as [`published_timestamp`].
fn free(repository: &Repository, chain: &Chain) -> Result<(), Error> {
    let ours = chain.set.timestamp();
    let found = published_timestamp(repository, chain)?.filter(|found| **found != **ours.bytes());
    let Some(found) = found else { return Ok(()) };
    let version = Envelope::parse(found, &Limits::default()).ok().and_then(|file| file.claims().version);
    Err(AdoptError::OtherState {
        storage: repository.storage().url(),
        found: version.map_or_else(|| "without a version".to_owned(), |version| version.to_string()),
        expected: ours.header.version.to_string(),
    }
    .into())
}

/// Files of targets, of all roles of verified metadata.
pub(crate) async fn carry_targets(chain: &Chain, spool: &Spool, carrier: &Carrier<'_>) -> Result<(), Error> {
    chain.each_role(&spool.source()?, async |met| carrier.role(&met).await).await.map(drop)
}

/// Metadata in the order in which a publisher writes it: the timestamp at the end.
pub(crate) fn carry_metadata(
    repository: &Repository,
    chain: &Chain,
    Spool(spool): &Spool,
    carrier: &Carrier<'_>,
) -> Result<(), Error> {
    let storage = &**repository.storage();
    block_in_place(|| {
        let there: BTreeSet<String> = storage.list("metadata")?.into_iter().map(|file| file.path).collect();
        // Roots are seen at once: they come last but for the timestamp.
        let mut listed: Vec<String> = spool.list("metadata")?.into_iter().map(|file| file.path).collect();
        listed.retain(|path| path != TIMESTAMP);
        listed.sort_by_key(|path| path.ends_with(".root.json"));
        for paths in listed.chunks(BATCH) {
            let mut batch = Vec::new();
            for path in paths {
                let bytes = spool.read(path, METADATA_LIMIT)?.unwrap_or_default();
                batch.push(NewFile { path: path.clone(), bytes });
            }
            carrier.creates(paths.iter().filter(|path| !there.contains(*path)).cloned());
            storage.create(&batch)?;
        }
        let (before, timestamp) = (storage.read(TIMESTAMP, METADATA_LIMIT)?, chain.set.timestamp().bytes());
        if before.as_deref() == Some(&**timestamp) {
            return Ok(());
        }
        if before.is_none() {
            carrier.creates(std::iter::once(TIMESTAMP.to_owned()));
        }
        Ok(storage.swap(TIMESTAMP, before.as_deref(), timestamp)?)
    })
}

/// What makes it a repository of this machine; the settings come last.
async fn finish(
    repository: &Repository,
    chain: &Chain,
    derived: &super::settings::Derived,
) -> Result<(), Error> {
    let directory = repository.directory();
    put_public(directory, derived)?;
    durable::write_atomic(&directory.join("root.json"), chain.set.root().bytes())?;
    repository.open_state().await?;
    repository.config.save(directory)
}

/// Removes what was made, what clients see first.
pub(crate) fn clear(storage: &dyn Storage, created: &mut [String]) -> Result<(), Error> {
    if created.iter().any(|path| path == TIMESTAMP) {
        storage.remove(&[TIMESTAMP.to_owned()])?;
    }
    created.reverse();
    Ok(storage.remove(created)?)
}
