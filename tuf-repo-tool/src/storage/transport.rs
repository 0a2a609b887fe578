//! What a client sees of a storage, without a web server in between.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;
use tuf_client::Url;
use tuf_client::transport::{Body, Transport, TransportError, TransportErrorKind};

use super::Storage;
use crate::error::Error;

/// More than any client takes of metadata.
pub(crate) const METADATA_LIMIT: u64 = 1 << 30;

/// Reads files of a storage, each as a whole.
#[derive(Clone, Debug)]
pub(crate) struct StorageTransport {
    storage: Arc<dyn Storage>,
    base: Url,
}

impl StorageTransport {
    pub(crate) fn new(storage: &Arc<dyn Storage>) -> Result<Self, Error> {
        Ok(Self { base: base(&**storage)?, storage: Arc::clone(storage) })
    }

    /// What a client calls the storage.
    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// The path of a file whose URL is below the base.
    pub(crate) fn path(&self, url: &Url) -> Option<String> {
        let below = url.path().strip_prefix(self.base.path())?;
        // Names of metadata files are percent-encoded themselves: this is undone once.
        Some(percent_decode_str(below).decode_utf8().ok()?.into_owned())
    }
}

impl Transport for StorageTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(async move {
            let failed = |kind| TransportError::new(url, kind);
            let missing = || failed(TransportErrorKind::NotFound { status: None });
            let path = self.path(url).ok_or_else(missing)?;
            let storage = Arc::clone(&self.storage);
            let read = tokio::task::spawn_blocking(move || storage.read(&path, METADATA_LIMIT)).await;
            match read.map_err(|error| failed(TransportErrorKind::Connect).with_source(error))? {
                Ok(Some(bytes)) => Ok(Body::from_bytes(url, bytes)),
                Ok(None) => Err(missing()),
                Err(error) => Err(failed(TransportErrorKind::Connect).with_source(error)),
            }
        })
    }
}

/// The storage as a URL, for the messages of clients.
fn base(storage: &dyn Storage) -> Result<Url, Error> {
    let unnamed = || Url::parse("staged://storage/");
    let url = match storage.local() {
        Some(directory) => {
            let absolute =
                std::path::absolute(directory).map_err(|error| Error::io("find", directory, error))?;
            Url::from_directory_path(&absolute)
        }
        None => Url::parse(&format!("{}/", storage.url().trim_end_matches('/'))).or_else(|_| unnamed()),
    };
    url.or_else(|_| unnamed())
        .map_err(|error| Error::io("name", std::path::Path::new("storage"), std::io::Error::other(error)))
}
