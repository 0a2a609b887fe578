//! From nothing to a signed mirror in one call: init, sync, publish, verify.

use std::path::Path;

use tokio::task::block_in_place;
use tuf_client::simple::ProjectName;
use tuf_client::store::MemoryStore;
use tuf_client::{Client, TargetPath};
use url::Url;

use crate::config::{Config, ProjectConfig};
use crate::error::Error;
use crate::init::{InitOptions, init};
use crate::keys::Passphrases;
use crate::repository::Repository;
use crate::storage::{StorageTransport, verify_file};

/// The repository in `directory`, made now if there is none, with these projects added to what it mirrors.
/// Keys are generated unencrypted: it is for trying out.
///
/// # Errors
/// Those of [`init`] and of writing the settings.
pub async fn prepare(
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
        init(directory, &options, passphrases).await?
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
/// What a client would refuse; [`Error::Storage`].
pub async fn verify(repository: &Repository) -> Result<Verified, Error> {
    let storage = repository.storage();
    let transport = StorageTransport::new(storage)?;
    let base = transport.base().clone();
    let client = Client::builder(repository.first_root()?, base);
    let client = client.transport(transport).store(MemoryStore::new()).build()?;
    let view = client.refresh().await?;
    let mut verified = Verified::default();
    for role in view.roles().await? {
        for (path, _) in role.targets.iter() {
            let path = TargetPath::new(&*path).map_err(tuf_client::Error::from)?;
            let target = view.require(&path).await?;
            let place = Repository::target(&view.wanted(&target).path);
            let refused = |reason| Error::Client(tuf_client::Error::from(reason));
            block_in_place(|| verify_file(&**storage, &place, &target.file))?.map_err(refused)?;
            verified.bytes += target.file.length;
            verified.targets += 1;
        }
    }
    Ok(verified)
}
