//! Where published files are read from: a directory, a URL, a bucket.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tuf_client::Url;
use tuf_client::transport::{
    Body, Pace, Retry, SchemeTransport, Transport, TransportError, TransportErrorKind, redact,
};
use tuf_core::{ErrorKind, url_path};

use super::AdoptError;
use crate::error::Error;
use crate::storage::{self, Storage, StorageTransport};

/// The files of a repository that somebody publishes.
#[derive(Clone, Debug)]
pub struct Source {
    transport: Arc<dyn Transport>,
    metadata: Url,
    targets: Url,
    name: String,
    storage: Option<Arc<dyn Storage>>,
}

impl Source {
    /// `place` is a directory, `s3://BUCKET/PREFIX`, or an `https`, `http` or `file` URL; metadata and targets are in `metadata/`
    /// and `targets/` below it unless they are said to be elsewhere.
    ///
    /// # Errors
    /// [`AdoptError::Url`], [`AdoptError::Setup`]; [`Error::Storage`] for a bucket that cannot be used.
    pub fn open(place: &str, metadata: Option<&Url>, targets: Option<&Url>) -> Result<Self, Error> {
        if place.starts_with("s3://") {
            let mut source = Self::of(&storage::open(Some(place), Path::new("."))?)?;
            source.elsewhere(metadata, targets)?;
            return Ok(source);
        }
        let base = match place.contains("://") {
            true => directory(place)?,
            false => {
                let path =
                    std::path::absolute(place).map_err(|error| Error::io("find", Path::new(place), error))?;
                Url::from_directory_path(path).map_err(|reason| bad_url(place, reason))?
            }
        };
        let local = base.to_file_path();
        let transport = Retry::new(SchemeTransport::new().map_err(AdoptError::from)?);
        let mut source = Self::below(Arc::new(transport), &base, place.trim_end_matches('/').to_owned())?;
        if let Some(directory) = local {
            // For the times at which its files were written.
            source.storage = Some(Arc::new(storage::LocalStorage::new(&directory, &directory)));
        }
        if place.contains("://") {
            source.name = redact(&base);
        }
        source.elsewhere(metadata, targets)?;
        Ok(source)
    }

    /// What a repository has published.
    ///
    /// # Errors
    /// [`Error::Io`] if its directory has no absolute name.
    pub fn of(storage: &Arc<dyn Storage>) -> Result<Self, Error> {
        let transport = StorageTransport::new(storage)?;
        let base = transport.base().clone();
        let mut source = Self::below(Arc::new(transport), &base, storage.url())?;
        source.storage = Some(Arc::clone(storage));
        Ok(source)
    }

    fn below(transport: Arc<dyn Transport>, base: &Url, name: String) -> Result<Self, Error> {
        let join = |part: &str| base.join(part).map_err(|reason| bad_url(&name, reason));
        let (metadata, targets) = (join("metadata/")?, join("targets/")?);
        Ok(Self { transport, metadata, targets, name, storage: None })
    }

    fn elsewhere(&mut self, metadata: Option<&Url>, targets: Option<&Url>) -> Result<(), Error> {
        if let Some(url) = metadata {
            self.metadata = directory(url.as_str())?;
            self.storage = None;
        }
        if let Some(url) = targets {
            self.targets = directory(url.as_str())?;
        }
        Ok(())
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The storage that it is, where one can be listed.
    pub(super) const fn storage(&self) -> Option<&Arc<dyn Storage>> {
        self.storage.as_ref()
    }

    fn refused(&self, file: &str, error: TransportError) -> AdoptError {
        let TransportErrorKind::TooLarge { limit, .. } = *error.kind() else { return error.into() };
        let source = ErrorKind::Limit { what: "bytes in this file", limit }.into();
        AdoptError::Refused { source_name: self.name.clone(), file: file.to_owned(), source }
    }

    /// A metadata file of at most `max` bytes, by its encoded name; `None` if there is none.
    pub(super) async fn metadata(&self, file: &str, max: u64) -> Result<Option<Vec<u8>>, AdoptError> {
        let fetch = |url: Url| async move {
            Pace::metadata().apply(&url, self.transport.fetch_metadata(&url)).await?.collect(max).await
        };
        self.either(&self.metadata, file, fetch).await.map_err(|error| match error {
            AdoptError::Transport(error) => self.refused(file, error),
            other => other,
        })
    }

    /// The file of a target, by its name below `targets/`; `None` if there is none.
    pub(super) async fn target(&self, remote: &str) -> Result<Option<Body>, AdoptError> {
        let fetch = |url: Url| async move { Pace::default().apply(&url, self.transport.fetch(&url)).await };
        self.either(&self.targets, &url_path(remote), fetch).await
    }

    /// Clients ask for encoded names. A server that undoes that finds a file under its plain name, one that does not, or a
    /// directory, under the encoded one: whichever its publisher had in mind.
    async fn either<T, F: Future<Output = Result<T, TransportError>>>(
        &self,
        base: &Url,
        encoded: &str,
        fetch: impl Fn(Url) -> F,
    ) -> Result<Option<T>, AdoptError> {
        let twice = url_path(encoded);
        for name in [Some(encoded), (twice != encoded).then_some(&*twice)].into_iter().flatten() {
            let url = base.join(name).map_err(|reason| bad_name(encoded, reason))?;
            match fetch(url).await {
                Err(error) if error.is_not_found() => {}
                fetched => return Ok(Some(fetched?)),
            }
        }
        Ok(None)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn directory(text: &str) -> Result<Url, AdoptError> {
    let url = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    Url::parse(&url).map_err(|reason| bad_name(text, reason))
}

fn bad_name(text: &str, reason: tuf_client::UrlError) -> AdoptError {
    AdoptError::Url { text: text.to_owned(), reason }
}

fn bad_url(text: &str, reason: tuf_client::UrlError) -> Error {
    bad_name(text, reason).into()
}
