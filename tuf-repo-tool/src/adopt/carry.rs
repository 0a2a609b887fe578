//! Files of targets, from a source into a storage: each hashed before it has its name.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::block_in_place;
use tuf_client::durable::{Access, Placed};
use tuf_client::simple::{Layout, ProjectName, SignedPage};
use tuf_core::{Checker, ErrorKind, Hashes, RoleName, TargetFile, TargetPath};

use super::walk::Met;
use super::{AdoptError, Source};
use crate::error::Error;
use crate::repository::Repository;
use crate::storage::{Storage, verify_file};

/// Files that are fetched at the same time.
const PARALLEL: usize = 8;

/// Core metadata is capped where its length is not signed, as clients have it.
const MAX_CORE_METADATA: u64 = 8 << 20;

/// The largest page that is looked into for the files it names.
const MAX_PAGE: u64 = 64 << 20;

/// Carries target files into a storage, or sees to it that they are there.
#[derive(Debug)]
pub(crate) struct Carrier<'a> {
    source: &'a Source,
    storage: &'a dyn Storage,
    /// A file in the making, on this machine.
    pub(crate) incoming: PathBuf,
    /// Whether nothing is fetched: the files must be there, with the right length.
    only_look: bool,
    done: Mutex<Done>,
}

/// What was carried.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// What was not there before, in the storage.
    pub(crate) created: Vec<String>,
    /// Files that were fetched, and their bytes.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Targets whose names no client takes.
    pub(crate) unusable: usize,
}

/// One file below `targets/`.
struct Wanted<'w> {
    path: &'w str,
    role: &'w RoleName,
    /// Every name that it has there, that which is asked for first in front.
    names: Vec<String>,
    hashes: &'w Hashes,
    length: Option<u64>,
}

impl<'a> Carrier<'a> {
    pub(crate) fn new(source: &'a Source, repository: &'a Repository, only_look: bool) -> Self {
        let incoming = repository.state().join("incoming").join("file");
        Self { source, storage: &**repository.storage(), incoming, only_look, done: Mutex::default() }
    }

    pub(crate) fn into_done(self) -> Done {
        self.done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what will be there that was not before.
    pub(crate) fn creates(&self, paths: impl Iterator<Item = String>) {
        self.told(|done| done.created.extend(paths));
    }

    /// Gives a complete file its name, unless it is there.
    pub(crate) fn place(&self, path: &str, placed: &Placed) -> Result<(), Error> {
        if self.storage.length(path)?.is_none() {
            self.creates(std::iter::once(path.to_owned()));
        }
        Ok(self.storage.place(path, placed.path())?)
    }

    /// Carries every file that a role lists.
    pub(crate) async fn role(&self, met: &Met<'_>) -> Result<(), Error> {
        let role = met.role.role_name();
        let targets = met.role.targets.iter().map(|(path, file)| (path.into_owned(), file));
        stream::iter(targets)
            .map(|(path, file)| async move { self.target(role, &path, &file).await })
            .buffer_unordered(PARALLEL)
            .try_collect::<()>()
            .await
    }

    async fn target(&self, role: &RoleName, name: &str, file: &TargetFile) -> Result<(), Error> {
        let Ok(path) = TargetPath::new(name) else {
            self.told(|done| done.unusable += 1);
            return Ok(());
        };
        let names = names(&path, &file.hashes);
        let first = names.first().cloned();
        self.file(&Wanted { path: name, role, names, hashes: &file.hashes, length: Some(file.length) })
            .await?;
        let project = name.strip_prefix("simple/").and_then(|name| name.strip_suffix("/index.json"));
        match (project.and_then(|project| ProjectName::new(project).ok()), first) {
            (Some(project), Some(stored)) => self.page(role, &project, &Repository::target(&stored)).await,
            _ => Ok(()),
        }
    }

    /// Where only pages are targets, the files that they name are a part of the repository all the same.
    async fn page(&self, role: &RoleName, project: &ProjectName, stored: &str) -> Result<(), Error> {
        let Some(bytes) = block_in_place(|| self.storage.read(stored, MAX_PAGE))? else { return Ok(()) };
        let Ok(page) = SignedPage::parse(&bytes, project) else { return Ok(()) };
        if page.layout() != Layout::Index {
            return Ok(());
        }
        for file in page.files() {
            let hashes = Hashes::sha256_only(file.sha256);
            let names = vec![page.remote_path(file)];
            self.file(&Wanted { path: &file.path, role, names, hashes: &hashes, length: Some(file.size) })
                .await?;
            if let Some((name, sha256)) = page.remote_metadata_path(file).zip(file.metadata_sha256) {
                let hashes = Hashes::sha256_only(sha256);
                let (path, names) = (name.clone(), vec![name]);
                self.file(&Wanted { path: &path, role, names, hashes: &hashes, length: None }).await?;
            }
        }
        Ok(())
    }

    async fn file(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        let stored: Vec<String> = wanted.names.iter().map(|name| Repository::target(name)).collect();
        let mut missing = Vec::new();
        for path in &stored {
            if !block_in_place(|| self.is_there(wanted, path))? {
                missing.push(path);
            }
        }
        if missing.is_empty() || (self.only_look && missing.len() < stored.len()) {
            return Ok(());
        }
        let absent = |place: String| AdoptError::TargetMissing {
            place,
            path: wanted.path.to_owned(),
            role: wanted.role.clone(),
        };
        if self.only_look {
            return Err(absent(self.storage.url()).into());
        }
        let mut body = None;
        for name in &wanted.names {
            body = self.source.target(name).await?;
            if body.is_some() {
                break;
            }
        }
        let mut body = body.ok_or_else(|| absent(self.source.name().to_owned()))?;
        let mut checker =
            Checker::new(wanted.hashes, wanted.length).map_err(|error| self.wrong(wanted, error))?;
        let mut placed = Placed::create(&self.incoming, Access::Shared)?;
        while let Some(chunk) = body.next().await.map_err(AdoptError::from)? {
            checker.update(&chunk).map_err(|error| self.wrong(wanted, error))?;
            if wanted.length.is_none() && checker.seen() > MAX_CORE_METADATA {
                let kind = ErrorKind::Limit { what: "bytes in core metadata", limit: MAX_CORE_METADATA };
                return Err(self.wrong(wanted, kind.into()).into());
            }
            block_in_place(|| placed.append(&chunk))?;
        }
        checker.finish().map_err(|error| self.wrong(wanted, error))?;
        for path in missing {
            block_in_place(|| self.place(path, &placed))?;
        }
        self.told(|done| {
            done.files += 1;
            done.bytes += placed.written();
        });
        Ok(())
    }

    /// Whether a file is there. What is on this machine is read, as a killed command may have left it; what is elsewhere was
    /// put there whole.
    fn is_there(&self, wanted: &Wanted<'_>, path: &str) -> Result<bool, Error> {
        let Some(found) = self.storage.length(path)? else { return Ok(false) };
        let differs = |error| AdoptError::Target {
            source_name: self.storage.url(),
            path: wanted.path.to_owned(),
            role: wanted.role.clone(),
            source: error,
        };
        let length = wanted.length.unwrap_or(found);
        if found != length {
            return Err(differs(ErrorKind::Length { expected: length, found }.into()).into());
        }
        if self.storage.local().is_some() && !self.only_look {
            let signed = TargetFile::new(length, wanted.hashes.clone());
            verify_file(self.storage, path, &signed)?.map_err(differs)?;
        }
        Ok(true)
    }

    fn wrong(&self, wanted: &Wanted<'_>, source: tuf_core::Error) -> AdoptError {
        AdoptError::Target {
            source_name: self.source.name().to_owned(),
            path: wanted.path.to_owned(),
            role: wanted.role.clone(),
            source,
        }
    }

    fn told(&self, tell: impl FnOnce(&mut Done)) {
        tell(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The names of a target's file: one for each of its hashes, as every client may ask for another (spec 6.2.1).
fn names(path: &TargetPath, hashes: &Hashes) -> Vec<String> {
    let hex = |sum: &str| !sum.is_empty() && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (folder, name) =
        path.as_str().rsplit_once('/').map_or(("", path.as_str()), |(folder, name)| (folder, name));
    let slash = if folder.is_empty() { "" } else { "/" };
    let sums = hashes.iter().map(|(_, sum)| sum).filter(|sum| hex(sum));
    sums.map(|sum| format!("{folder}{slash}{sum}.{name}")).collect()
}
