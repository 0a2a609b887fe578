//! The same client for programs without an async runtime.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tuf_core::TargetPath;

use super::Consensus;
use crate::error::Error;

/// A blocking [`crate::multi::MultiClient`].
#[derive(Clone, Debug)]
pub struct MultiClient {
    client: super::MultiClient,
    runtime: Arc<Runtime>,
}

impl MultiClient {
    /// Makes blocking what was built async.
    ///
    /// # Errors
    /// If the system gives no runtime: no more threads or file descriptors.
    pub fn new(client: super::MultiClient) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// As [`crate::multi::MultiClient::find`].
    ///
    /// # Errors
    /// The same.
    pub fn find(&self, path: &TargetPath) -> Result<Consensus, Error> {
        self.runtime.block_on(self.client.find(path))
    }

    /// As [`crate::multi::MultiClient::download`].
    ///
    /// # Errors
    /// The same.
    pub fn download(&self, path: &TargetPath, directory: &Path) -> Result<PathBuf, Error> {
        self.runtime.block_on(self.client.download(path, directory))
    }

    /// As [`Consensus::read`].
    ///
    /// # Errors
    /// The same.
    pub fn read(&self, found: &Consensus, max: u64) -> Result<Bytes, Error> {
        self.runtime.block_on(found.read(max))
    }
}
