//! All working state from what is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_client::durable::{self, Access, WriteBatch};

use super::Source;
use super::seen::Seen;
use super::settings::{AdoptedRole, Derived, Given, derive};
use crate::config::Config;
use crate::error::Error;
use crate::keys::{Passphrases, file};
use crate::log::{self, Did, Entry};
use crate::publish::{Expiries, settle_line};
use crate::repository::Repository;
use crate::state::{State, StateError};
use crate::storage;

/// Where what was replaced is kept.
const ASIDE: &str = "aside";

/// What is to be made again.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RebuildOptions {
    /// Also `tuf-repo.toml` where there is one.
    pub settings: bool,
    /// What published metadata does not say.
    pub given: Given,
    /// Only says what would be done.
    pub dry_run: bool,
    /// Why, for the log.
    pub why: Option<String>,
}

/// What was made again, or would be.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Rebuilt {
    /// The published timestamp's version.
    pub timestamp: u64,
    /// The newest root's version.
    pub root: u64,
    /// How many targets are listed.
    pub targets: usize,
    /// How each role is signed, by the settings that were derived; none if there were settings.
    pub roles: Vec<AdoptedRole>,
    /// The derived settings as a file.
    pub settings: Option<String>,
    /// Files that were written, or would be.
    pub written: Vec<PathBuf>,
    /// Files that were moved out of the way, with where they are now.
    pub aside: Vec<(PathBuf, PathBuf)>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Makes the working state of the repository in `directory` from what it has published: `root.json`, the database, and
/// its settings where there are none or where that is asked for. What is staged in a database that is sound stays. `now` only
/// says what has expired.
///
/// # Errors
/// [`super::AdoptError`] if what is published does not verify: then nothing is changed. [`Error::Config`] for damaged
/// settings that are not to be made again; [`Error::State`], [`Error::Busy`], [`Error::File`].
pub async fn rebuild(
    directory: &Path,
    options: &RebuildOptions,
    now: DateTime<Utc>,
    passphrases: &mut Passphrases,
) -> Result<Rebuilt, Error> {
    let kept = match Config::load(directory) {
        Ok(config) => Some(config),
        Err(Error::NotARepository { .. }) => None,
        Err(Error::Config { .. }) if options.settings => None,
        Err(error) => return Err(error),
    };
    let url = options.given.storage.as_deref().or_else(|| kept.as_ref()?.storage.as_deref());
    let source = Source::of(&storage::open(url, directory)?)?;
    let seen = Seen::read(&source, now, async |_, _| Ok(())).await?;
    let derived = match &kept {
        Some(_) if !options.settings => None,
        _ => Some(derive(directory, &seen, &options.given, kept.as_ref(), now, passphrases)?),
    };
    let config = derived.as_ref().map(|derived| &derived.config).or(kept.as_ref());
    let Some(config) = config.cloned() else {
        return Err(Error::NotARepository { path: directory.to_owned() });
    };
    let set = &seen.chain.set;
    let mut rebuilt = Rebuilt {
        timestamp: set.timestamp().header.version,
        root: set.root().header.version,
        targets: seen.targets,
        roles: Vec::new(),
        settings: None,
        written: vec![directory.join("root.json")],
        aside: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(derived) = &derived {
        rebuilt.settings = Some(derived.config.text(directory)?);
        rebuilt.roles.clone_from(&derived.roles);
        rebuilt.notes.clone_from(&derived.notes);
        rebuilt.written.extend(derived.public.iter().map(|(path, _)| directory.join(path)));
        rebuilt.written.push(Config::path(directory));
    }
    if options.dry_run {
        return Ok(rebuilt);
    }
    let repository = Repository::new(directory, config)?;
    let _lock = repository.lock()?;
    // A publish that was killed when clients could see it already has its line before it is forgotten.
    settle_line(&repository)?;
    durable::write_atomic(&directory.join("root.json"), set.root().bytes())?;
    forget(&repository)?;
    renew_database(&repository, seen.chain.roots.first(), &mut rebuilt).await?;
    if let Some(derived) = &derived {
        put_settings(&repository, derived, &mut rebuilt)?;
    }
    let entry = Entry::new(Did::Rebuild).because(options.why.as_deref());
    let entry = entry.with("settings", derived.is_some()).with("aside", rebuilt.aside.len());
    log::append_at(directory, now, &seen.chain.adopted(entry))?;
    Ok(rebuilt)
}

/// Writes derived settings, with the public halves that they name before them.
///
/// # Errors
/// [`Error::Key`], [`Error::File`].
fn put_settings(repository: &Repository, derived: &Derived, rebuilt: &mut Rebuilt) -> Result<(), Error> {
    let directory = repository.directory();
    put_public(directory, derived)?;
    let path = Config::path(directory);
    if let Ok(before) = std::fs::read(&path) {
        // A copy: at no time there are no settings.
        let copy = repository.state().join(ASIDE).join("tuf-repo.toml");
        durable::write_private(&copy, &before)?;
        rebuilt.aside.push((path, copy));
    }
    derived.config.save(directory)
}

/// Writes the public halves that derived settings name.
///
/// # Errors
/// [`Error::Key`].
pub(super) fn put_public(directory: &Path, derived: &Derived) -> Result<(), Error> {
    for (path, key) in &derived.public {
        file::create_public(&directory.join(path), key)?;
    }
    Ok(())
}

/// Removes what is remembered of a publish: the journal, whose versions are skipped from now on, and the cache of
/// what is known of each role, which the next publish makes again.
fn forget(repository: &Repository) -> Result<(), Error> {
    let mut batch = WriteBatch::new(Access::Private);
    batch.remove(&repository.state().join("journal").join("publish"));
    batch.remove(&Expiries::path(repository));
    Ok(batch.commit()?)
}

/// Opens the database. A file that is damaged, or of another repository, is put aside for a new one; a server's is not touched.
async fn renew_database(
    repository: &Repository,
    first: Option<&Arc<[u8]>>,
    rebuilt: &mut Rebuilt,
) -> Result<(), Error> {
    let (url, state) = (repository.config.state.as_ref(), repository.state());
    let open = async || -> Result<usize, Error> {
        let database = State::open(url, &state).await?;
        if let Some(first) = first {
            database.bind(first).await?;
        }
        Ok(database.staged().await?.len() + database.edits().await?.len())
    };
    let error = match open().await {
        Ok(0) => return Ok(()),
        Ok(staged) => {
            rebuilt.notes.push(format!("{staged} staged changes are in the database and stay there"));
            return Ok(());
        }
        Err(error) => error,
    };
    if url.is_some() || !matches!(&error, Error::State(error) if is_lost(error)) {
        return Err(error);
    }
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let path = state.join(name);
        if let Some(copy) = durable::set_aside(&path, &state.join(ASIDE), name)? {
            rebuilt.aside.push((path, copy));
        }
    }
    rebuilt.notes.push(format!(
        "the database could not be used, and is a new one: what was staged and not published is lost ({})",
        tuf_client::chain(&error)
    ));
    open().await.map(drop)
}

/// Whether nothing can be had of a database any more.
const fn is_lost(error: &StateError) -> bool {
    matches!(error, StateError::Damaged { .. } | StateError::Row { .. } | StateError::Foreign { .. })
}
