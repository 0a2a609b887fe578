//! A repository's directory, and what it has published.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use tuf_client::clock;
use tuf_client::durable::{self, Access, FileLock, Placed};
use tuf_core::bins::HashBins;
use tuf_core::refresh::{Refresh, Step};
use tuf_core::trust::{Authentic, Authority, RootChain, Trusted, TrustedSet};
use tuf_core::{Delegated, Limits, RoleKeys, RoleName, TargetFile, TargetPath, Targets, TopLevel};

use crate::config::{Config, RoleKind};
use crate::edit::{KnownBins, Tree};
use crate::error::Error;
use crate::publish::bins_role;
use crate::state::State;
use crate::storage::{self, Storage};

/// The largest metadata file that this program reads of its own repository, in bytes.
pub(crate) const MAX_METADATA: u64 = 1 << 30;

/// How long a command waits for another one to end.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// A repository on disk. Reading needs no lock: what is published never changes, but for
/// `timestamp.json`, which is replaced as a whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Repository {
    /// Its settings.
    pub config: Config,
    directory: PathBuf,
    storage: Arc<dyn Storage>,
    clock: Clock,
}

/// What tells the time.
#[derive(Clone)]
struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&(self.0)()).finish()
    }
}

/// The right to change a repository; one process at a time has it.
#[derive(Debug)]
pub struct Lock {
    _file: FileLock,
}

impl Repository {
    pub(crate) fn new(directory: &Path, config: Config) -> Result<Self, Error> {
        let storage = storage::open(config.storage.as_deref(), directory)?;
        Ok(Self { config, directory: directory.to_owned(), storage, clock: Clock(Arc::new(clock::now)) })
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`Error::NotARepository`], [`Error::Config`], [`Error::Storage`].
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::new(directory, Config::load(directory)?)
    }

    /// Reads the settings again: whoever held the lock before may have changed them.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn reload(&mut self) -> Result<(), Error> {
        let clock = self.clock.clone();
        *self = Self { clock, ..Self::open(&self.directory)? };
        Ok(())
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where published files are: everything that a web server serves.
    #[must_use]
    pub const fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The same repository, published in another place than its settings say.
    #[must_use]
    pub fn with_storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// The same repository at the times that this clock tells, instead of the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Clock(Arc::new(clock));
        self
    }

    /// The storage's path of a metadata file, by its encoded name: as for targets, servers undo the encoding of a URL, and look
    /// for the plain name.
    #[must_use]
    pub fn metadata_path(name: &str) -> String {
        format!("metadata/{}", percent_decode_str(name).decode_utf8_lossy())
    }

    /// The storage's path of a target, by its name there ([`TargetPath::remote`]).
    #[must_use]
    pub fn target(remote: &str) -> String {
        format!("targets/{remote}")
    }

    /// A file in the making, for [`Storage::place`], which need not copy it if the storage is on the same file system.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn incoming(&self) -> Result<Placed, Error> {
        Ok(Placed::create(&self.state().join("incoming/file"), Access::Shared)?)
    }

    /// The directory that published files are in, if they are on this machine.
    ///
    /// # Errors
    /// [`Error::NotLocal`].
    pub fn public(&self) -> Result<&Path, Error> {
        self.storage.local().ok_or_else(|| Error::NotLocal { storage: self.storage.url() })
    }

    /// Working state: the database and the lock.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The state database, which has to be this repository's.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::File`]; [`Error::Published`] if the first root is damaged.
    pub async fn open_state(&self) -> Result<State, Error> {
        let first = self.first_root()?;
        RootChain::pinned(&first, Arc::new(repository_limits())).map_err(Error::Published)?;
        let state = State::open(self.config.state.as_ref(), &self.state()).await?;
        state.bind(&first).await?;
        Ok(state)
    }

    /// Takes the right to change the repository, and clears away what a killed process left half-written.
    ///
    /// # Errors
    /// [`Error::Busy`] naming who has it.
    pub fn lock(&self) -> Result<Lock, Error> {
        durable::create_dirs(&self.state(), Access::Private)?;
        let path = self.state().join("lock");
        let file = FileLock::acquire(&path, LOCK_WAIT)
            .map_err(|source| Error::Busy { path: self.directory.clone(), source })?;
        if file.was_abandoned() {
            sweep(&self.directory)?;
        }
        Ok(Lock { _file: file })
    }

    /// The trust anchor: the first root of all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn first_root(&self) -> Result<Arc<[u8]>, Error> {
        self.require_metadata("1.root.json").map(Into::into)
    }

    /// What is published now; `None` before the first publish.
    ///
    /// # Errors
    /// [`Error::Published`] if it is damaged or not signed by the repository's keys.
    pub fn published(&self) -> Result<Option<Published>, Error> {
        self.published_top()?.map(Published::with_bins).transpose()
    }

    /// As [`Repository::published`], but [`Published::bins`] is not read: in a large repository it is most of the work, and who
    /// changes one target knows from earlier what it says.
    pub(crate) fn published_top(&self) -> Result<Option<Published>, Error> {
        if self.storage.length(&Self::metadata_path("timestamp.json"))?.is_none() {
            return Ok(None);
        }
        // Expired metadata is still what was published: time is no matter here.
        let limits = Arc::new(repository_limits());
        let mut refresh =
            Refresh::new(&self.first_root()?, DateTime::<Utc>::MIN_UTC, limits).map_err(Error::Published)?;
        loop {
            match refresh.step() {
                Step::Load { .. } => refresh.give(None),
                Step::Fetch { name, .. } => refresh.give(self.read_metadata(&name)?),
                _ => break,
            }
            .map_err(Error::Published)?;
        }
        let (set, _) = refresh.finish();
        Ok(set.map(|set| Published { set, bins: None, storage: Arc::clone(&self.storage) }))
    }

    pub(crate) fn read_metadata(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.storage.read(&Self::metadata_path(name), MAX_METADATA)?)
    }

    pub(crate) fn require_metadata(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = Self::metadata_path(name);
        self.read_metadata(name)?.ok_or_else(|| Error::Missing { storage: self.storage.url(), path })
    }

    /// The present, as the clock of this machine has it unless it was given another.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock.0)()
    }
}

/// What this program reads of its own repository: no limits but sanity, since it writes it.
pub(crate) fn repository_limits() -> Limits {
    let mut limits = Limits::default();
    limits.snapshot_bytes = 64 << 20;
    limits.targets_bytes = MAX_METADATA;
    limits.root_rotations = u32::MAX;
    limits
}

/// Removes temporary files below a directory.
fn sweep(directory: &Path) -> Result<(), Error> {
    durable::sweep_older_than(directory, Duration::ZERO)?;
    let entries = std::fs::read_dir(directory).map_err(|error| Error::io("read", directory, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("read", directory, error))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path())?;
        }
    }
    Ok(())
}

/// The published state, verified.
#[derive(Clone, Debug)]
pub struct Published {
    set: TrustedSet,
    bins: Option<(Trusted<Targets>, HashBins)>,
    storage: Arc<dyn Storage>,
}

impl Published {
    fn with_bins(mut self) -> Result<Self, Error> {
        let name = bins_role();
        let delegations = self.set.targets().delegations.as_ref();
        if delegations.is_some_and(|delegations| delegations.role_keys(&name).is_some()) {
            let bins = self.delegated(self.set.targets(), &name)?;
            let first = match bins.delegations.as_ref().map(|delegations| &delegations.roles) {
                Some(Delegated::Roles(roles)) => roles.iter().next().map(|role| role.name),
                Some(Delegated::Succinct(roles)) => roles.role_names().next(),
                _ => None,
            };
            self.bins = first.and_then(|role| HashBins::from_role(&role)).map(|count| (bins, count));
        }
        Ok(self)
    }

    /// The top-level metadata.
    #[must_use]
    pub const fn set(&self) -> &TrustedSet {
        &self.set
    }

    /// The role `bins` and what it delegates to, in a repository that has hash bins.
    #[must_use]
    pub const fn bins(&self) -> Option<&(Trusted<Targets>, HashBins)> {
        self.bins.as_ref()
    }

    /// Keys and threshold of a role, as they were signed.
    #[must_use]
    pub fn role_keys(&self, kind: RoleKind) -> Option<RoleKeys> {
        let root = self.set.root();
        match kind {
            RoleKind::Root => Some(root.role(TopLevel::Root).clone()),
            RoleKind::Targets => Some(root.role(TopLevel::Targets).clone()),
            RoleKind::Snapshot => Some(root.role(TopLevel::Snapshot).clone()),
            RoleKind::Timestamp => Some(root.role(TopLevel::Timestamp).clone()),
            RoleKind::Bins => {
                let (bins, _) = self.bins.as_ref()?;
                self.set.targets().delegations.as_ref()?.role_keys(bins.role_name())
            }
            RoleKind::BinN => {
                let (bins, count) = self.bins.as_ref()?;
                bins.delegations.as_ref()?.role_keys(&count.roles().next()?.0)
            }
        }
    }

    /// Reads a role and verifies it as its delegator says.
    pub(crate) fn delegated(
        &self,
        delegator: &Trusted<Targets>,
        role: &RoleName,
    ) -> Result<Trusted<Targets>, Error> {
        self.set.delegated(delegator, role, &self.read(role)?).map_err(Error::Published)
    }

    /// Reads a hash bin and verifies it as its delegator said when that was read.
    pub(crate) fn known(
        &self,
        delegator: &RoleName,
        known: &KnownBins,
        role: &RoleName,
    ) -> Result<Authentic<Targets>, Error> {
        let authority = Authority::new(delegator, known.version, &known.listed.keys, &known.listed.role);
        self.set.authentic(authority, role, &self.read(role)?).map_err(Error::Published)
    }

    fn read(&self, role: &RoleName) -> Result<Arc<[u8]>, Error> {
        let meta = self.set.meta(role).map_err(Error::Published)?;
        let path = Repository::metadata_path(&role.file_name(Some(meta.version)));
        let missing = || Error::Missing { storage: self.storage.url(), path: path.clone() };
        Ok(self.storage.read(&path, MAX_METADATA)?.ok_or_else(missing)?.into())
    }

    /// Every targets role once, delegators first; hash bins, which may be thousands, are not kept.
    ///
    /// # Errors
    /// [`Error::Published`], and what `each` gives.
    pub fn each_role(
        &self,
        mut each: impl FnMut(&Trusted<Targets>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut tree = Tree::new(self);
        for visit in tree.all()? {
            let node = tree.take(&visit.role, visit.delegator.as_ref())?;
            node.trusted().map_or(Ok(()), &mut each)?;
        }
        Ok(())
    }

    /// A role that lists what is mirrored: a hash bin, or `targets` itself.
    ///
    /// # Errors
    /// [`Error::Published`].
    pub fn listing_role(&self, role: &RoleName) -> Result<Trusted<Targets>, Error> {
        match &self.bins {
            Some((bins, _)) => self.delegated(bins, role),
            None => Ok(self.set.targets().clone()),
        }
    }

    /// The names of the roles that list what is mirrored.
    #[must_use]
    pub fn listing_roles(&self) -> Vec<RoleName> {
        match &self.bins {
            Some((_, bins)) => bins.roles().map(|(name, _)| name).collect(),
            None => vec![TopLevel::Targets.role()],
        }
    }

    /// What is signed of a target.
    ///
    /// # Errors
    /// [`Error::Published`].
    pub fn find(&self, path: &TargetPath) -> Result<Option<TargetFile>, Error> {
        Ok(self.find_all([path])?.remove(path))
    }

    /// What is signed of these targets; those that are not signed are left out. Every role is read once.
    ///
    /// # Errors
    /// [`Error::Published`].
    pub fn find_all<'p>(
        &self,
        paths: impl IntoIterator<Item = &'p TargetPath>,
    ) -> Result<BTreeMap<&'p TargetPath, TargetFile>, Error> {
        let mut tree = Tree::new(self);
        let mut by_role: BTreeMap<_, (_, Vec<&TargetPath>)> = BTreeMap::new();
        for path in paths {
            let owner = tree.owner(path)?;
            by_role.entry(owner.role).or_insert_with(|| (owner.delegator, Vec::new())).1.push(path);
        }
        let mut found = BTreeMap::new();
        for (role, (delegator, paths)) in by_role {
            let node = tree.take(&role, delegator.as_ref())?;
            let Some(role) = node.base() else { continue };
            let signed = |path| Some((path, role.targets.get(path)?));
            found.extend(paths.into_iter().filter_map(signed));
        }
        Ok(found)
    }
}
