//! The staged state, as clients will see it.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tuf_client::store::MemoryStore;
use tuf_client::transport::{Body, FileTransport, Transport, TransportError};
use tuf_client::{Client, Url, View};

use super::Changes;
use super::transaction::Staged;
use crate::error::Error;
use crate::repository::{Published, Repository};

/// The public directory with another timestamp.
#[derive(Clone, Debug)]
struct StagedTransport {
    files: FileTransport,
    timestamp_url: Url,
    timestamp: Arc<Mutex<Vec<u8>>>,
}

impl Transport for StagedTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        if *url == self.timestamp_url {
            let bytes = self.timestamp.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Box::pin(std::future::ready(Ok(Body::from_bytes(url, bytes))));
        }
        self.files.fetch(url)
    }
}

/// Runs a client on the staged state, from nothing and from the state published before, and checks that
/// every target that was set is there with the right bytes.
pub(super) async fn check(
    repository: &Repository,
    staged: &Staged,
    published: Option<&Published>,
    changes: &Changes,
) -> Result<(), Error> {
    let failed = |stage| move |source| Error::Check { stage, source: Box::new(source) };
    let root = repository.first_root()?;

    let fresh = client(repository, &root, &staged.timestamp)?.0;
    let view = fresh.refresh().await.map_err(failed("by a new client"))?;
    check_targets(repository, &view, staged, changes).await?;

    if let Some(published) = published {
        let stage = "by a client of the state published before";
        let (returning, timestamp) = client(repository, &root, published.set().timestamp().bytes())?;
        // What was published before may have expired; then there is no client that knows it.
        if returning.refresh().await.is_ok() {
            staged.timestamp.clone_into(&mut timestamp.lock().unwrap_or_else(PoisonError::into_inner));
            returning.refresh().await.map_err(failed(stage))?;
        }
    }
    Ok(())
}

type SharedBytes = Arc<Mutex<Vec<u8>>>;

fn client(
    repository: &Repository,
    root: &Arc<[u8]>,
    timestamp: &[u8],
) -> Result<(Client, SharedBytes), Error> {
    let public = repository.public()?;
    let absolute = std::path::absolute(public).map_err(|error| Error::io("find", public, error))?;
    let url = Url::from_directory_path(&absolute)
        .map_err(|error| Error::io("find", public, std::io::Error::other(error)))?;
    let timestamp_url = url
        .join("metadata/timestamp.json")
        .map_err(|error| Error::io("find", public, std::io::Error::other(error)))?;
    let timestamp = Arc::new(Mutex::new(timestamp.to_vec()));
    let transport =
        StagedTransport { files: FileTransport::new(), timestamp_url, timestamp: Arc::clone(&timestamp) };
    let client =
        Client::builder(Arc::clone(root), url).transport(transport).store(MemoryStore::new()).build()?;
    Ok((client, timestamp))
}

async fn check_targets(
    repository: &Repository,
    view: &View,
    staged: &Staged,
    changes: &Changes,
) -> Result<(), Error> {
    let stage = "by a new client";
    let failed = |source| Error::Check { stage, source: Box::new(source) };
    // Without changes, roles were signed again: each must still load.
    if changes.is_empty() && staged.files.len() > 1 {
        view.roles().await.map_err(failed)?;
    }
    for (path, file) in changes.iter() {
        let Some(file) = file else { continue };
        let target = view.require(path).await.map_err(failed)?;
        let stored = Repository::target(&view.wanted(&target).path);
        // Bytes were hashed when they were put in place; here they must be there.
        let found = tokio::task::block_in_place(|| repository.storage().length(&stored))?;
        if target.file != *file || found != Some(file.length) {
            let found = found.map_or_else(|| "none".to_owned(), |length| format!("{length} bytes"));
            return Err(Error::StagedFile { path: path.to_string(), stored, expected: file.length, found });
        }
    }
    Ok(())
}
