//! One pinned snapshot of a repository. Everything found, read and downloaded through one view belongs
//! together; a view never changes, and it fails once its metadata has expired.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tuf_core::trust::{Search, SearchStep, Trusted, TrustedSet};
use tuf_core::{Batch, Change, Checker, Hashes, RoleName, StoredFile, TargetFile, TargetPath, Targets};

use crate::client::{Client, blocking};
use crate::durable::{Access, Placed};
use crate::error::{Error, ErrorKind};
use crate::mirrors::Mirror;
use crate::transport::{Body, Pace, redact};

/// A pinned view. Cheap to clone; clones share the roles that were loaded.
#[derive(Clone, Debug)]
pub struct View(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    set: TrustedSet,
    /// Delegated roles by delegator and name: authority belongs to the pair.
    roles: Mutex<HashMap<(RoleName, RoleName), Trusted<Targets>>>,
    /// The bytes of fetched roles that the store does not have yet. Another delegator may ask for the
    /// same role, with other keys.
    unsaved: Mutex<BTreeMap<RoleName, Arc<[u8]>>>,
}

/// A target that was found, and who signed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The path.
    pub path: TargetPath,
    /// The role that signed for it.
    pub role: RoleName,
    /// What was signed.
    pub file: TargetFile,
}

/// Some bytes below `targets/` that are known by exact length and hash: a target, or a file that a
/// verified page names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// The path below `targets/`, not percent-encoded, with the hash prefix where the layout has one.
    pub path: String,
    /// The exact length in bytes, where it was signed.
    pub length: Option<u64>,
    /// The hashes.
    pub hashes: Hashes,
}

impl Wanted {
    /// A file of this length and sha256.
    #[must_use]
    pub const fn new(path: String, length: u64, sha256: [u8; 32]) -> Self {
        Self { path, length: Some(length), hashes: Hashes::sha256_only(sha256) }
    }

    /// A file of this sha256, whose length was not signed: whoever reads it must set a limit.
    #[must_use]
    pub const fn of_hash(path: String, sha256: [u8; 32]) -> Self {
        Self { path, length: None, hashes: Hashes::sha256_only(sha256) }
    }
}

impl View {
    pub(crate) fn new(client: Client, set: TrustedSet) -> Self {
        Self(Arc::new(Inner { client, set, roles: Mutex::default(), unsaved: Mutex::default() }))
    }

    /// The top-level metadata.
    #[must_use]
    pub fn trusted(&self) -> &TrustedSet {
        &self.0.set
    }

    /// When the first of root, timestamp, snapshot and targets expires.
    #[must_use]
    pub fn expires(&self) -> DateTime<Utc> {
        self.0.set.expires()
    }

    fn check_fresh(&self) -> Result<(), Error> {
        let expires = self.expires();
        if expires <= self.0.client.now() { Err(ErrorKind::ViewExpired(expires).into()) } else { Ok(()) }
    }

    /// Finds a target through the delegations (spec 5.6.7). Delegated roles that had to be fetched are
    /// kept for later searches; [`View::save`] stores them.
    ///
    /// # Errors
    /// Why a role on the way is refused or cannot be fetched.
    pub async fn find(&self, path: &TargetPath) -> Result<Option<Target>, Error> {
        self.check_fresh()?;
        let mut search = Search::new(self.0.set.clone(), path.clone());
        loop {
            let (delegator, role) = match search.step() {
                SearchStep::Role { delegator, role } => (delegator.clone(), role.clone()),
                SearchStep::Done(found) => {
                    return Ok(found.map(|found| Target {
                        path: path.clone(),
                        role: found.role.clone(),
                        file: found.file.clone(),
                    }));
                }
                _ => return Ok(None),
            };
            let role = self.role(&delegator, &role).await?;
            search.give_trusted(&role)?;
        }
    }

    /// A target that must be there.
    ///
    /// # Errors
    /// [`ErrorKind::TargetNotFound`], and those of [`View::find`].
    pub async fn require(&self, path: &TargetPath) -> Result<Target, Error> {
        self.find(path).await?.ok_or_else(|| ErrorKind::TargetNotFound(path.clone()).into())
    }

    /// A delegated role on the word of its delegator: from this view, the store, or the repository.
    ///
    /// # Errors
    /// Why it is refused or cannot be fetched.
    pub async fn role(
        &self,
        delegator: &Trusted<Targets>,
        role: &RoleName,
    ) -> Result<Trusted<Targets>, Error> {
        let key = (delegator.role_name().clone(), role.clone());
        if let Some(trusted) = lock(&self.0.roles).get(&key) {
            return Ok(trusted.clone());
        }
        let set = &self.0.set;
        let meta = set.meta(role)?;
        let limit = set.limits().targets_bytes;
        let max = meta.length.map_or(limit, |length| length.min(limit));
        let known = match lock(&self.0.unsaved).get(role).cloned() {
            Some(bytes) => Some(bytes),
            None => self.0.client.store().peek(&StoredFile::Delegated(role.clone()), max)?.map(Arc::from),
        };
        let trusted = match known.and_then(|bytes| set.delegated(delegator, role, &bytes).ok()) {
            Some(trusted) => trusted,
            None => self.fetch_role(delegator, role, meta.version, max).await?,
        };
        lock(&self.0.roles).insert(key, trusted.clone());
        Ok(trusted)
    }

    async fn fetch_role(
        &self,
        delegator: &Trusted<Targets>,
        role: &RoleName,
        version: u64,
        max: u64,
    ) -> Result<Trusted<Targets>, Error> {
        let Inner { client, set, unsaved, .. } = &*self.0;
        let name = role.file_name(set.root().consistent_snapshot.then_some(version));
        let missing = || tuf_core::Error::from(tuf_core::ErrorKind::Missing(name.clone())).in_role(role);
        let take = |bytes: Option<Vec<u8>>| {
            let bytes: Arc<[u8]> = bytes.ok_or_else(missing)?.into();
            Ok((set.delegated(delegator, role, &bytes)?, bytes))
        };
        let (trusted, bytes) = client.metadata((role, &name, max), take).await?;
        lock(unsaved).insert(role.clone(), bytes);
        Ok(trusted)
    }

    /// Writes the delegated roles that were fetched to the store, as one durable batch.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn save(&self) -> Result<(), Error> {
        let fetched = std::mem::take(&mut *lock(&self.0.unsaved));
        if fetched.is_empty() {
            return Ok(());
        }
        let write = |(role, bytes)| Change::Write(StoredFile::Delegated(role), bytes);
        let batch = Batch::new(fetched.into_iter().map(write).collect());
        let store = Arc::clone(self.0.client.store());
        blocking(move || store.open()?.commit(&batch)).await
    }

    /// Every targets role reachable through delegations, top-level first, each delegator before its
    /// delegates. Fetches them all: for listings and audits.
    ///
    /// # Errors
    /// Why a role is refused or cannot be fetched.
    pub async fn roles(&self) -> Result<Vec<Trusted<Targets>>, Error> {
        self.check_fresh()?;
        let mut visited: HashSet<(RoleName, RoleName)> = HashSet::new();
        let mut roles = Vec::new();
        let mut pending = vec![self.0.set.targets().clone()];
        while let Some(delegator) = pending.pop() {
            let names =
                delegator.delegations.as_ref().map(tuf_core::Delegations::role_names).unwrap_or_default();
            for name in names.into_iter().rev() {
                // TAP 15 bins that were never published are simply empty.
                if visited.insert((delegator.role_name().clone(), name.clone()))
                    && self.0.set.meta(&name).is_ok()
                {
                    pending.push(self.role(&delegator, &name).await?);
                }
            }
            roles.push(delegator);
        }
        Ok(roles)
    }

    /// What to ask the repository for, to get a target.
    #[must_use]
    pub fn wanted(&self, target: &Target) -> Wanted {
        let consistent = self.0.set.root().consistent_snapshot.then_some(&target.file.hashes);
        Wanted {
            path: target.path.remote(consistent),
            length: Some(target.file.length),
            hashes: target.file.hashes.clone(),
        }
    }

    /// Opens a stream of bytes that are verified when the stream has ended, not before. Mirrors are asked until one
    /// begins to answer; what turns out wrong later is an error, and the next stream is asked of another one.
    ///
    /// # Errors
    /// [`ErrorKind::ViewExpired`], [`ErrorKind::Transport`], or a signed entry without a known hash.
    pub async fn open(&self, wanted: &Wanted) -> Result<VerifiedBody, Error> {
        self.check_fresh()?;
        let mut asking = self.0.client.asking();
        while let Some(mirror) = asking.next() {
            let opened = self.open_at(&mirror, wanted).await;
            if let Some(body) = asking.settle(&mirror, opened)? {
                return Ok(body);
            }
        }
        Err(asking.failed())
    }

    async fn open_at(&self, mirror: &Arc<Mirror>, wanted: &Wanted) -> Result<VerifiedBody, Error> {
        let client = &self.0.client;
        let checker = Checker::new(&wanted.hashes, wanted.length)?;
        let url = client.target_url(mirror, &wanted.path)?;
        let body = Pace::default().apply(&url, client.transport().fetch(&url)).await?;
        let opened = VerifiedBody {
            body,
            checker: Some(checker),
            url: redact(&url),
            client: client.clone(),
            mirror: Arc::clone(mirror),
        };
        // A length that is declared wrong is refused before the first byte.
        if let (Some(expected), Some(found)) = (wanted.length, opened.body.length())
            && expected != found
        {
            return Err(opened.refused(tuf_core::ErrorKind::Length { expected, found }.into()));
        }
        Ok(opened)
    }

    /// Reads and verifies a whole file of at most `max` bytes into memory, from the first mirror that has it right.
    ///
    /// # Errors
    /// As [`View::open`], and what fails verification.
    pub async fn read(&self, wanted: &Wanted, max: u64) -> Result<Bytes, Error> {
        if wanted.length.is_some_and(|length| length > max) {
            return Err(too_long(max).into());
        }
        self.check_fresh()?;
        let mut asking = self.0.client.asking();
        while let Some(mirror) = asking.next() {
            let read = self.read_at(&mirror, wanted, max).await;
            if let Some(bytes) = asking.settle(&mirror, read)? {
                return Ok(bytes);
            }
        }
        Err(asking.failed())
    }

    async fn read_at(&self, mirror: &Arc<Mirror>, wanted: &Wanted, max: u64) -> Result<Bytes, Error> {
        let mut body = self.open_at(mirror, wanted).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.checked().await? {
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).is_ok_and(|length| length > max) {
                return Err(body.refused(too_long(max)));
            }
        }
        Ok(bytes.into())
    }

    /// Downloads a target below `directory`, as its path says. The file appears under its name only
    /// after length and hashes matched; it is streamed, never whole in memory.
    ///
    /// # Errors
    /// As [`View::open`], what fails verification, or a local file that cannot be written.
    pub async fn download(&self, target: &Target, directory: &Path) -> Result<PathBuf, Error> {
        let destination = crate::durable::checked_join(directory, target.path.as_str())?;
        self.download_to(target, &destination).await?;
        Ok(destination)
    }

    /// Downloads a target to exactly this file. If it is there already, with the right bytes, it stays.
    ///
    /// # Errors
    /// As [`View::download`].
    pub async fn download_to(&self, target: &Target, destination: &Path) -> Result<(), Error> {
        match self.stage(target, destination, |_| ()).await? {
            Some(file) => blocking(move || file.finish()).await,
            None => Ok(()),
        }
    }

    /// Downloads and verifies a target into a temporary file beside its destination, for whoever wants many
    /// to appear together. `None` if the destination has the right bytes already. `progress` is told of every byte
    /// once, also if another mirror has to start anew.
    ///
    /// # Errors
    /// As [`View::download`].
    pub async fn stage(
        &self,
        target: &Target,
        destination: &Path,
        progress: impl Fn(u64),
    ) -> Result<Option<Placed>, Error> {
        self.check_fresh()?;
        let (file, there) = (target.file.clone(), destination.to_owned());
        if blocking(move || Ok::<_, Error>(holds(&there, &file))).await? {
            progress(target.file.length);
            return Ok(None);
        }
        let wanted = self.wanted(target);
        let mut told = 0_u64;
        let mut progress = |received: u64| {
            if received > told {
                progress(received - told);
                told = received;
            }
        };
        let mut asking = self.0.client.asking();
        while let Some(mirror) = asking.next() {
            let staged = self.stage_at(&mirror, &wanted, destination, &mut progress).await;
            if let Some(placed) = asking.settle(&mirror, staged)? {
                return Ok(Some(placed));
            }
        }
        Err(asking.failed())
    }

    /// A temporary file goes with its value, so nothing is left of what turns out wrong.
    async fn stage_at(
        &self,
        mirror: &Arc<Mirror>,
        wanted: &Wanted,
        destination: &Path,
        received: &mut impl FnMut(u64),
    ) -> Result<Placed, Error> {
        let mut body = self.open_at(mirror, wanted).await?;
        let mut placed = Placed::create(destination, Access::Shared)?;
        let mut length = 0_u64;
        while let Some(chunk) = body.checked().await? {
            placed.append(&chunk)?;
            length = length.saturating_add(u64::try_from(chunk.len()).unwrap_or_default());
            received(length);
        }
        Ok(placed)
    }
}

fn too_long(limit: u64) -> tuf_core::Error {
    tuf_core::ErrorKind::Limit { what: "bytes in one file", limit }.into()
}

/// Whether a local file has exactly the signed bytes.
fn holds(path: &Path, file: &TargetFile) -> bool {
    let check = || -> Option<()> {
        let found = std::fs::symlink_metadata(path).ok()?;
        if !found.is_file() || found.len() != file.length {
            return None;
        }
        let mut checker = Checker::new(&file.hashes, Some(file.length)).ok()?;
        let mut opened = std::fs::File::open(path).ok()?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match opened.read(&mut buffer).ok()? {
                0 => return checker.finish().ok(),
                read => checker.update(buffer.get(..read)?).ok()?,
            }
        }
    };
    check().is_some()
}

/// Chunks as they come. `Ok(None)` comes only after length and hashes matched; whoever must not see
/// unverified bytes holds them back until then.
#[derive(Debug)]
pub struct VerifiedBody {
    body: Body,
    /// Gone once the end was verified.
    checker: Option<Checker>,
    url: String,
    client: Client,
    mirror: Arc<Mirror>,
}

impl VerifiedBody {
    /// The next chunk.
    ///
    /// # Errors
    /// As soon as there is a byte too many, at the end if length or hash do not match, or what the
    /// transport says.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let result = self.checked().await;
        if let Err(error) = &result {
            self.client.copies().blame(&self.mirror, error);
        }
        result
    }

    async fn checked(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.body.next().await?;
        let checked = match (&chunk, &mut self.checker) {
            (Some(bytes), Some(checker)) => checker.update(bytes),
            (None, checker) => checker.take().map_or(Ok(()), Checker::finish),
            (Some(_), None) => Ok(()),
        };
        match checked {
            Ok(()) => Ok(chunk),
            Err(source) => Err(self.refused(source)),
        }
    }

    fn refused(&self, source: tuf_core::Error) -> Error {
        ErrorKind::Refused { url: self.url.clone(), source }.into()
    }
}

/// A poisoned lock guards plain data that is always whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
