//! Published files in a bucket of an object store.
//!
//! The requests run on threads of their own, so that callers may block on any thread. Each has a deadline; what may be
//! repeated is repeated until then. Objects carry `Content-Type` and `Cache-Control`, so that a web server or a content delivery
//! network before the bucket needs no rules of its own.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::headers::{Lifetime, content_type};
use super::parts::Local;
use super::probe::{self, Promises};
use super::{Listed, NewFile, PROBE, Storage, StorageError, Swap, check_path, is_temporary};

/// The longest that [`Storage::swap`] takes on a server, all repetitions included: what it has not done by then it may still do
/// once, when the request is on its way, but nothing is sent any more.
pub const SWAP_DEADLINE: Duration = Duration::from_secs(30);
/// The longest that a request of a few kilobytes takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes a second that a connection must carry; what is longer has more time.
const MIN_RATE: u64 = 32 * 1024;
/// How often a new file is sent again after the server refused it for another writer of the same name who then failed.
const CONFLICTS: usize = 3;
/// Requests at a time.
const PARALLEL: usize = 16;
/// Names that a server gives at a time.
const PAGE: usize = 1000;

/// What a server lists.
type Objects = BoxStream<'static, Result<ObjectMeta, Error>>;
/// The size of a part, and of what goes in one request.
pub(super) const PART: u64 = 8 << 20;

/// A bucket, or what is below a prefix in it.
pub struct ObjectStorage {
    inner: Inner,
    /// Ends in the background: it must not be waited for on a thread of another one.
    runtime: Option<Runtime>,
}

/// What goes along with each request.
#[derive(Clone)]
pub(super) struct Inner {
    pub(super) store: Arc<dyn ObjectStore>,
    url: Arc<str>,
    prefix: Arc<str>,
    promises: Arc<Mutex<Option<Promises>>>,
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let promises = self.inner.promises.try_lock().ok().and_then(|known| *known);
        f.debug_struct("ObjectStorage")
            .field("url", &self.inner.url)
            .field("promises", &promises)
            .finish_non_exhaustive()
    }
}

impl ObjectStorage {
    /// Files below `prefix` (empty: all of it) of an object store, which messages call `url`.
    ///
    /// # Errors
    /// If threads cannot be had.
    pub fn new(store: Arc<dyn ObjectStore>, url: &str, prefix: &str) -> Result<Self, StorageError> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("storage").enable_all().build();
        let runtime =
            runtime.map_err(|source| StorageError::io("start threads for", Path::new(url), source))?;
        let (url, prefix) = (Arc::from(url), Arc::from(prefix.trim_matches('/')));
        Ok(Self { inner: Inner { store, url, prefix, promises: Arc::default() }, runtime: Some(runtime) })
    }

    /// Runs `work` on the threads of this storage and waits for it.
    fn run<T, F>(&self, work: impl FnOnce(Inner) -> F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StorageError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = work(self.inner.clone());
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Nobody waits any more only if this thread panicked.
                let _ = sender.send(work.await);
            });
        }
        receiver
            .recv()
            .unwrap_or_else(|_| Err(self.inner.failed("use", "", "the request broke off".to_owned())))
    }

    fn promises(&self) -> Result<Promises, StorageError> {
        let mut known = self.inner.promises.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(promises) = *known {
            return Ok(promises);
        }
        let mut random = [0; 8];
        if SystemRandom::new().fill(&mut random).is_err() {
            return Err(self.inner.failed("probe", "", "the system has no random numbers".to_owned()));
        }
        let name = self.inner.below(&format!("{PROBE}{}", HEXLOWER.encode(&random)));
        let promises = self.run(|inner| async move {
            let probed = probe::probe(&inner.store, &name);
            inner.within("probe", &name, DEADLINE, probed).await
        })?;
        tracing::info!(storage = %self.inner.url, "conditional puts: {promises}");
        *known = Some(promises);
        Ok(promises)
    }
}

impl Drop for ObjectStorage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    fn below(&self, path: &str) -> String {
        match (&*self.prefix, path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}/{path}"),
        }
    }

    pub(super) fn key(&self, path: &str) -> Result<Key, StorageError> {
        check_path(path)?;
        Key::parse(self.below(path)).map_err(|error| self.failed("use", path, error.to_string()))
    }

    pub(super) fn failed(&self, action: &'static str, path: &str, reason: String) -> StorageError {
        StorageError::Server { storage: self.url.to_string(), action, path: path.to_owned(), reason }
    }

    fn error(&self, action: &'static str, path: &str, error: &Error) -> StorageError {
        StorageError::server(&self.url, action, path, error)
    }

    fn exists(&self, path: &str) -> StorageError {
        StorageError::Exists { storage: self.url.to_string(), path: path.to_owned() }
    }

    fn conflict(&self, path: &str) -> StorageError {
        StorageError::Conflict { storage: self.url.to_string(), path: path.to_owned() }
    }

    /// A request with its deadline.
    pub(super) async fn within<T>(
        &self,
        action: &'static str,
        path: &str,
        deadline: Duration,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StorageError> {
        match timeout(deadline, request).await {
            Ok(done) => done.map_err(|error| self.error(action, path, &error)),
            Err(_) => Err(self.failed(action, path, format!("no answer within {} s", deadline.as_secs()))),
        }
    }

    /// The bytes and the ETag.
    async fn read(&self, path: &str, limit: u64) -> Result<Option<(Vec<u8>, Option<String>)>, StorageError> {
        let key = self.key(path)?;
        let too_long =
            || StorageError::TooLong { storage: self.url.to_string(), path: path.to_owned(), limit };
        let found = match timeout(DEADLINE, self.store.get(&key)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) if is_missing(&error) => return Ok(None),
            Ok(Err(error)) => return Err(self.error("read", path, &error)),
            Err(_) => {
                return Err(self.failed("read", path, format!("no answer within {} s", DEADLINE.as_secs())));
            }
        };
        let (length, etag) = (found.meta.size, found.meta.e_tag.clone());
        if length > limit {
            return Err(too_long());
        }
        let body = async {
            let mut bytes = Vec::new();
            let mut chunks = found.into_stream();
            while let Some(chunk) = chunks.try_next().await? {
                bytes.extend_from_slice(&chunk);
                if as_u64(bytes.len()) > limit {
                    break;
                }
            }
            Ok(bytes)
        };
        let bytes = self.within("read", path, deadline(length), body).await?;
        match as_u64(bytes.len()) {
            read if read > limit => Err(too_long()),
            read if read != length => {
                Err(self.failed("read", path, format!("{read} bytes came instead of {length}")))
            }
            _ => Ok(Some((bytes, etag))),
        }
    }

    pub(super) async fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let key = self.key(path)?;
        match timeout(DEADLINE, self.store.head(&key)).await {
            Ok(Ok(found)) => Ok(Some(found.size)),
            Ok(Err(error)) if is_missing(&error) => Ok(None),
            Ok(Err(error)) => Err(self.error("look at", path, &error)),
            Err(_) => Err(self.failed("look at", path, format!("no answer within {} s", DEADLINE.as_secs()))),
        }
    }

    async fn create(&self, promises: Promises, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        let key = self.key(path)?;
        if !promises.create && self.length(path).await?.is_some() && self.is_same(path, &bytes).await? {
            return Ok(());
        }
        let mode = if promises.create { PutMode::Create } else { PutMode::Overwrite };
        for _ in 0..CONFLICTS {
            let put =
                self.store.put_opts(&key, PutPayload::from_bytes(bytes.clone()), options(path, mode.clone()));
            match timeout(deadline(as_u64(bytes.len())), put).await {
                Ok(Ok(_)) if promises.create => return Ok(()),
                // Without the server's word, what another one did in between shows only when it is read back.
                Ok(Ok(_)) => {}
                // It may be there since the try before this one, whose answer was lost.
                Ok(Err(error)) if is_refused(&error) => {}
                Ok(Err(error)) => return Err(self.error("write", path, &error)),
                Err(_) => return Err(self.failed("write", path, "no answer in time".to_owned())),
            }
            // Not there: refused because of another writer who then failed.
            if self.is_same(path, &bytes).await? {
                return Ok(());
            }
        }
        Err(self.failed("write", path, "the server refuses it and has none of that name".to_owned()))
    }

    /// Whether what is there are these bytes; `false` if nothing is.
    async fn is_same(&self, path: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        match self.read(path, as_u64(bytes.len())).await {
            Ok(None) => Ok(false),
            Ok(Some((found, _))) if found == bytes => Ok(true),
            Ok(Some(_)) | Err(StorageError::TooLong { .. }) => Err(self.exists(path)),
            Err(error) => Err(error),
        }
    }

    async fn swap(
        &self,
        promises: Promises,
        path: &str,
        expected: Option<Vec<u8>>,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let key = self.key(path)?;
        let limit = expected.as_ref().map_or(0, |expected| as_u64(expected.len()));
        let found = match self.read(path, limit).await {
            Err(StorageError::TooLong { .. }) => return Err(self.conflict(path)),
            found => found?,
        };
        if found.as_ref().map(|(bytes, _)| bytes) != expected.as_ref() {
            return Err(self.conflict(path));
        }
        let mode = match (&found, promises.update) {
            (None, _) if promises.create => PutMode::Create,
            (Some((_, Some(etag))), Some(form)) => probe::if_match(form, etag),
            _ => PutMode::Overwrite,
        };
        let put = self.store.put_opts(&key, PutPayload::from_bytes(bytes.clone()), options(path, mode)).await;
        match put {
            Ok(_) => Ok(()),
            // It may have been this very put whose answer was lost, and that was sent again.
            Err(error) if is_refused(&error) => match self.read(path, as_u64(bytes.len())).await {
                Ok(Some((found, _))) if found == bytes => Ok(()),
                Ok(_) | Err(StorageError::TooLong { .. }) => Err(self.conflict(path)),
                Err(error) => Err(error),
            },
            Err(error) => Err(self.error("replace", path, &error)),
        }
    }

    /// What a server lists below a directory, page by page as it is taken.
    fn list(&self, directory: &str) -> Result<Objects, StorageError> {
        let prefix = match &*self.below(directory) {
            "" => None,
            prefix => {
                Some(Key::parse(prefix).map_err(|error| self.failed("list", directory, error.to_string()))?)
            }
        };
        Ok(self.store.list(prefix.as_ref()))
    }

    /// Takes about a page of it; less: that was all.
    async fn take(&self, directory: &str, objects: &mut Objects) -> Result<Vec<Listed>, StorageError> {
        let mut found = Vec::with_capacity(PAGE);
        // Each page has a deadline, not the whole, which may have millions.
        while found.len() < PAGE
            && let Some(object) = self.within("list", directory, DEADLINE, objects.try_next()).await?
        {
            let key = object.location.as_ref();
            let path = match &*self.prefix {
                "" => Some(key),
                prefix => key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
            };
            if let Some(path) = path
                && !path.split('/').any(is_temporary)
            {
                found.push(Listed {
                    path: path.to_owned(),
                    length: object.size,
                    modified: object.last_modified,
                });
            }
        }
        Ok(found)
    }

    async fn remove(&self, paths: Vec<String>) -> Result<(), StorageError> {
        let keys = paths.iter().map(|path| self.key(path)).collect::<Result<Vec<_>, _>>()?;
        let mut removed = self.store.delete_stream(stream::iter(keys).map(Ok).boxed());
        loop {
            match timeout(DEADLINE, removed.try_next()).await {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(_))) => {}
                Ok(Err(error)) if is_missing(&error) => {}
                Ok(Err(error)) => return Err(self.error("remove", "", &error)),
                Err(_) => {
                    return Err(self.failed(
                        "remove",
                        "",
                        format!("no answer within {} s", DEADLINE.as_secs()),
                    ));
                }
            }
        }
    }
}

impl Storage for ObjectStorage {
    fn url(&self) -> String {
        self.inner.url.to_string()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let path = path.to_owned();
        let found = self.run(|inner| async move { inner.read(&path, limit).await })?;
        Ok(found.map(|(bytes, _)| bytes))
    }

    fn length(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let path = path.to_owned();
        self.run(|inner| async move { inner.length(&path).await })
    }

    fn create(&self, files: &[NewFile]) -> Result<(), StorageError> {
        files.iter().try_for_each(|file| check_path(&file.path))?;
        if files.is_empty() {
            return Ok(());
        }
        let (promises, files) = (self.promises()?, files.to_vec());
        self.run(|inner| async move {
            let create = |file: NewFile| {
                let inner = inner.clone();
                async move { inner.create(promises, &file.path, file.bytes.into()).await }
            };
            stream::iter(files).map(create).buffer_unordered(PARALLEL).try_collect().await
        })
    }

    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError> {
        check_path(path)?;
        let mut file = Local::open(local)?;
        match self.length(path)? {
            Some(found) if found == file.length => return Ok(()),
            Some(_) => return Err(self.inner.exists(path)),
            None => {}
        }
        let path = path.to_owned();
        if file.length > PART {
            return self.run(|inner| async move { inner.place_parts(&path, file).await });
        }
        let bytes = file.read(file.length)?;
        file.ended()?;
        let promises = self.promises()?;
        self.run(|inner| async move { inner.create(promises, &path, bytes.into()).await })
    }

    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError> {
        check_path(path)?;
        let promises = self.promises()?;
        let (path, expected) = (path.to_owned(), expected.map(<[u8]>::to_vec));
        let bytes = Bytes::copy_from_slice(bytes);
        self.run(|inner| async move {
            match timeout(SWAP_DEADLINE, inner.swap(promises, &path, expected, bytes)).await {
                Ok(done) => done,
                Err(_) => {
                    let reason =
                        format!("no answer within {} s; it may have been replaced", SWAP_DEADLINE.as_secs());
                    Err(inner.failed("replace", &path, reason))
                }
            }
        })
    }

    fn swaps(&self) -> Result<Swap, StorageError> {
        let promises = self.promises()?;
        Ok(if promises.create && promises.update.is_some() { Swap::Atomic } else { Swap::Unguarded })
    }

    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        if !directory.is_empty() {
            check_path(directory)?;
        }
        let mut objects = self.inner.list(directory)?;
        loop {
            let below = directory.to_owned();
            let (page, rest) = self.run(|inner| async move {
                let page = inner.take(&below, &mut objects).await?;
                Ok((page, objects))
            })?;
            objects = rest;
            let is_last = page.len() < PAGE;
            if page.into_iter().try_for_each(&mut *visit).is_break() || is_last {
                return Ok(());
            }
        }
    }

    fn remove(&self, paths: &[String]) -> Result<(), StorageError> {
        paths.iter().try_for_each(|path| check_path(path))?;
        let paths = paths.to_vec();
        self.run(|inner| async move { inner.remove(paths).await })
    }
}

pub(super) fn attributes(path: &str) -> Attributes {
    let segments: Vec<&str> = path.split('/').collect();
    Attributes::from_iter([
        (Attribute::CacheControl, Lifetime::of(&segments).cache_control()),
        (Attribute::ContentType, content_type(path)),
    ])
}

fn options(path: &str, mode: PutMode) -> PutOptions {
    PutOptions { mode, attributes: attributes(path), ..PutOptions::default() }
}

/// No such object; a bucket that is not there is another matter.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !error.to_string().contains("NoSuchBucket")
}

/// The condition of a put did not hold.
fn is_refused(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. })
}

pub(super) fn deadline(length: u64) -> Duration {
    DEADLINE + Duration::from_secs(length / MIN_RATE)
}

pub(super) fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
