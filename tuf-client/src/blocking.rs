//! The same client for programs without an async runtime: every call drives the async one to its end on
//! a small runtime of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tuf_core::TargetPath;

use crate::error::Error;
pub use crate::multi::blocking::MultiClient;
use crate::view::Target;

/// A blocking [`crate::Client`].
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Runtime>,
}

/// A blocking [`crate::View`].
#[derive(Clone, Debug)]
pub struct View {
    view: crate::View,
    runtime: Arc<Runtime>,
}

impl Client {
    /// Makes blocking what was built async. May be shared by threads; not for use inside an async runtime, where its calls panic.
    ///
    /// # Errors
    /// If the system gives no runtime: no more threads or file descriptors.
    pub fn new(client: crate::Client) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime: Arc::new(runtime) })
    }

    /// As [`crate::Client::refresh`].
    ///
    /// # Errors
    /// The same.
    pub fn refresh(&self) -> Result<View, Error> {
        let view = self.runtime.block_on(self.client.refresh())?;
        Ok(View { view, runtime: Arc::clone(&self.runtime) })
    }

    /// Refreshes, finds a target and downloads it below `directory`; with the second try of
    /// [`crate::Client::with_view`].
    ///
    /// # Errors
    /// Those of the steps.
    pub fn download(&self, path: &TargetPath, directory: &Path) -> Result<PathBuf, Error> {
        self.runtime.block_on(self.client.with_view(async |view| {
            let target = view.require(path).await?;
            let file = view.download(&target, directory).await?;
            view.save().await?;
            Ok(file)
        }))
    }
}

impl View {
    /// As [`crate::View::find`].
    ///
    /// # Errors
    /// The same.
    pub fn find(&self, path: &TargetPath) -> Result<Option<Target>, Error> {
        self.runtime.block_on(self.view.find(path))
    }

    /// As [`crate::View::download`].
    ///
    /// # Errors
    /// The same.
    pub fn download(&self, target: &Target, directory: &Path) -> Result<PathBuf, Error> {
        self.runtime.block_on(self.view.download(target, directory))
    }

    /// As [`crate::View::read`], for a target.
    ///
    /// # Errors
    /// The same.
    pub fn read(&self, target: &Target, max: u64) -> Result<Bytes, Error> {
        self.runtime.block_on(self.view.read(&self.view.wanted(target), max))
    }

    /// As [`crate::View::save`].
    ///
    /// # Errors
    /// The same.
    pub fn save(&self) -> Result<(), Error> {
        self.runtime.block_on(self.view.save())
    }

    /// The async view.
    #[must_use]
    pub const fn inner(&self) -> &crate::View {
        &self.view
    }
}
