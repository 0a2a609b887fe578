//! A new repository: settings, keys, and the first root.

mod offline;
mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tuf_client::durable::{self, Access};
use tuf_client::simple::Layout;
use tuf_core::{Extra, Json};
use url::Url;

use crate::config::{Config, Mirror, RoleConfig, RoleKind};
use crate::error::Error;
use crate::keys::{Algorithm, KeyUri, Passphrases, file};
use crate::log::{self, Did, Entry};
use crate::publish::{publish_first_root, write_root_copy};
use crate::repository::Repository;
use crate::state::StateUrl;

pub use offline::{OfflineKeys, init_offline};
pub(crate) use offline::{absolute, copy_public};

/// The unknown root field by which `audit` knows a repository whose keys anybody with its disk can use.
pub const DEMONSTRATION: &str = "x-demonstration";

/// Which roles a new repository has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// root, targets, bins, hash bins, snapshot, timestamp (PEP 458).
    #[default]
    Mirror,
    /// root, targets, snapshot, timestamp.
    Plain,
}

impl Preset {
    const fn roles(self) -> &'static [RoleKind] {
        match self {
            Self::Mirror => &RoleKind::ALL,
            Self::Plain => &[RoleKind::Root, RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp],
        }
    }
}

/// What a new repository is to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InitOptions {
    /// Its roles.
    pub preset: Preset,
    /// Which files are targets.
    pub layout: Layout,
    /// Where published files are: `s3://BUCKET/PREFIX`; `None`: the directory `public/`.
    pub storage: Option<String>,
    /// The database that its machines share; `None`: a file of this machine.
    pub state: Option<StateUrl>,
    /// Where clients get what is published.
    pub public_url: Option<Url>,
    /// How many hash bins; `None`: as the targets of the first publish ask for.
    pub bins: Option<u32>,
    /// What kind of keys to generate.
    pub algorithm: Algorithm,
    /// Why, for the log.
    pub why: Option<String>,
    /// Whether keys are encrypted at rest. If not, the repository says of itself that it is a demonstration.
    pub encrypted: bool,
}

impl InitOptions {
    /// The settings of the new repository.
    fn config(&self, roles: BTreeMap<RoleKind, RoleConfig>) -> Config {
        Config {
            layout: self.layout,
            storage: self.storage.clone(),
            state: self.state.clone(),
            bins: self.bins,
            public_url: self.public_url.clone(),
            min_version: None,
            roles,
            delegations: BTreeMap::new(),
            mirror: Mirror::default(),
        }
    }
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            layout: Layout::Pep458,
            storage: None,
            state: None,
            public_url: None,
            bins: None,
            algorithm: Algorithm::default(),
            why: None,
            encrypted: true,
        }
    }
}

/// Makes a repository in `directory`. The settings are written last, so that an interrupted `init` can be
/// run again; keys that it had made are kept.
///
/// # Errors
/// [`Error::Exists`], [`Error::Taken`], [`Error::Unguarded`], [`Error::State`], [`Error::Storage`]: then nothing was
/// written. [`Error::Key`], [`Error::File`].
pub async fn init(
    directory: &Path,
    options: &InitOptions,
    passphrases: &mut Passphrases,
) -> Result<Repository, Error> {
    if Config::path(directory).exists() {
        return Err(Error::Exists { path: directory.to_owned() });
    }
    let mut roles = BTreeMap::new();
    for kind in options.preset.roles() {
        let path = PathBuf::from(format!("keys/{kind}.pem"));
        roles.insert(*kind, RoleConfig::new(*kind, KeyUri::File(path)));
    }
    let repository = Repository::new(directory, options.config(roles))?;
    place::check(&repository).await?;
    make_directories(&repository)?;
    let lock = repository.lock()?;
    for (kind, role) in &repository.config.roles {
        for key in &role.keys {
            let Some(path) = key.path(directory) else { continue };
            make_key(&path, kind.name(), options, passphrases)?;
        }
    }
    first_root(&repository, options, passphrases)?;
    place::claim(&repository).await?;
    repository.config.save(directory)?;
    drop(lock);
    Ok(repository)
}

fn make_directories(repository: &Repository) -> Result<(), Error> {
    if let Some(public) = repository.storage().local() {
        durable::create_dirs(&public.join("metadata"), Access::Shared)?;
        durable::create_dirs(&public.join("targets"), Access::Shared)?;
    }
    Ok(durable::create_dirs(&repository.directory().join("keys"), Access::Private)?)
}

/// Generates a key, unless an `init` that was interrupted did; `name` finds its passphrase.
fn make_key(
    path: &Path,
    name: &str,
    options: &InitOptions,
    passphrases: &mut Passphrases,
) -> Result<(), Error> {
    if path.exists() {
        if !file::public_path(path).exists() {
            file::complete(path, passphrases)?;
        }
        return Ok(());
    }
    let passphrase = if options.encrypted { Some(passphrases.choose(name)?) } else { None };
    file::generate(path, options.algorithm, passphrase.as_ref())?;
    Ok(())
}

/// Publishes the first root, and begins the log with it, unless an `init` that was interrupted did.
fn first_root(
    repository: &Repository,
    options: &InitOptions,
    passphrases: &mut Passphrases,
) -> Result<(), Error> {
    let before = repository.read_metadata("1.root.json")?;
    let new = before.is_none();
    match before {
        None => publish_first_root(repository, passphrases, extra(options))?,
        // It may have been killed before it could copy it.
        Some(root) => write_root_copy(repository, &root)?,
    }
    if new || log::length(repository) == 0 {
        let entry = Entry::new(Did::Init).because(options.why.as_deref());
        let signers = log::signers(&repository.first_root()?);
        log::append(repository, &entry.signed(RoleKind::Root.name(), 1, signers))?;
    }
    Ok(())
}

/// Unknown fields of the first root.
fn extra(options: &InitOptions) -> Extra {
    let mut extra = Extra::new();
    if !options.encrypted
        && let Ok(yes) = Json::parse(b"true")
    {
        extra.insert(DEMONSTRATION.to_owned(), yes);
    }
    extra
}
