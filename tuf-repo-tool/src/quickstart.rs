//! From nothing to a signed mirror in one call: init, sync, publish, verify.

use std::path::Path;

use tuf_client::simple::ProjectName;
use tuf_client::store::MemoryStore;
use tuf_client::{Client, View};
use url::Url;

use crate::config::{Config, ProjectConfig};
use crate::error::Error;
use crate::init::{InitOptions, init};
use crate::keys::Passphrases;
use crate::repository::Repository;

/// The repository in `directory`, made now if there is none, with these projects added to what it mirrors.
/// Keys are generated unencrypted: it is for trying out.
///
/// # Errors
/// Those of [`init`] and of writing the settings.
pub fn prepare(
    directory: &Path,
    projects: &[ProjectName],
    latest: Option<usize>,
    upstream: Option<&Url>,
    passphrases: &mut Passphrases,
) -> Result<Repository, Error> {
    let mut repository = if Config::path(directory).exists() {
        Repository::open(directory)?
    } else {
        let options = InitOptions { encrypted: false, ..InitOptions::default() };
        init(directory, &options, passphrases)?
    };
    let lock = repository.lock()?;
    repository.reload()?;
    for project in projects {
        repository.config.mirror.projects.insert(project.to_string(), ProjectConfig::new(latest));
    }
    if let Some(upstream) = upstream {
        repository.config.mirror.upstream = Some(upstream.clone());
    }
    repository.config.save(directory)?;
    drop(lock);
    Ok(repository)
}

/// What a client saw.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// Targets whose every byte was read and matched.
    pub targets: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Verifies a published repository as a new client: every role, and every byte of every target.
///
/// # Errors
/// What a client would refuse.
pub async fn verify(repository: &Repository) -> Result<Verified, Error> {
    let public = repository.public()?;
    let absolute = std::path::absolute(public).map_err(|error| Error::io("find", public, error))?;
    let url = tuf_client::Url::from_directory_path(&absolute)
        .map_err(|error| Error::io("find", public, std::io::Error::other(error)))?;
    let client = Client::builder(repository.first_root()?, url).store(MemoryStore::new()).build()?;
    let view = client.refresh().await?;
    let mut verified = Verified::default();
    for role in view.roles().await? {
        for (path, _) in role.targets.iter() {
            verified.bytes += read(&view, &path).await?;
            verified.targets += 1;
        }
    }
    Ok(verified)
}

async fn read(view: &View, path: &str) -> Result<u64, tuf_client::Error> {
    let path = tuf_client::TargetPath::new(path)?;
    let target = view.require(&path).await?;
    let mut body = view.open(&view.wanted(&target)).await?;
    while body.next().await?.is_some() {}
    Ok(target.file.length)
}
