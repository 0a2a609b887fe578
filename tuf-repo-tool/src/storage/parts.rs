//! Local files on their way into a bucket, large ones in parts.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload};
use tokio::task::{JoinError, JoinSet};

use super::StorageError;
use super::object::{DEADLINE, Inner, PART, as_u64, attributes, deadline};

/// Parts of a file at a time, each in memory.
const PARALLEL_PARTS: usize = 4;
/// How many parts a server takes.
const MAX_PARTS: u64 = 10_000;

impl Inner {
    /// A file that is too large for one request.
    pub(super) async fn place_parts(&self, path: &str, mut file: Local) -> Result<(), StorageError> {
        let key = self.key(path)?;
        let attributes =
            PutMultipartOptions { attributes: attributes(path), ..PutMultipartOptions::default() };
        let begin = self.store.put_multipart_opts(&key, attributes);
        let mut upload = self.within("write", path, DEADLINE, begin).await?;
        let written = self.write_parts(path, &mut file, &mut *upload).await;
        let done = match written {
            Ok(()) => self.within("write", path, deadline(file.length), upload.complete()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            // Parts of an upload that never ends cost space that no listing shows.
            if let Err(abort) = self.within("take back", path, DEADLINE, upload.abort()).await {
                tracing::warn!(%abort, "parts of a broken upload stay behind");
            }
            return Err(error);
        }
        match self.length(path).await? {
            Some(length) if length == file.length => Ok(()),
            found => Err(self.failed(
                "write",
                path,
                format!("{} bytes were sent, then found: {found:?}", file.length),
            )),
        }
    }

    async fn write_parts(
        &self,
        path: &str,
        file: &mut Local,
        upload: &mut dyn MultipartUpload,
    ) -> Result<(), StorageError> {
        let part = PART.max(file.length.div_ceil(MAX_PARTS));
        let mut sent = JoinSet::new();
        let mut rest = file.length;
        let joined = |joined: Option<Result<Result<(), StorageError>, JoinError>>| match joined {
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(self.failed("write", path, error.to_string())),
            None => Ok(()),
        };
        while rest > 0 {
            if sent.len() >= PARALLEL_PARTS {
                joined(sent.join_next().await)?;
            }
            let bytes = file.read(part.min(rest))?;
            rest = rest.saturating_sub(as_u64(bytes.len()));
            let (inner, path, put) =
                (self.clone(), path.to_owned(), upload.put_part(PutPayload::from(bytes)));
            sent.spawn(async move { inner.within("write", &path, deadline(part), put).await });
        }
        while !sent.is_empty() {
            joined(sent.join_next().await)?;
        }
        file.ended()
    }
}

/// A local file that is read while it is sent.
pub(super) struct Local {
    file: File,
    path: PathBuf,
    pub(super) length: u64,
}

impl Local {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let failed = |source| StorageError::io("read", path, source);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self { file, path: path.to_owned(), length })
    }

    /// The next `count` bytes.
    pub(super) fn read(&mut self, count: u64) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        match (&mut self.file).take(count).read_to_end(&mut bytes) {
            Ok(_) if as_u64(bytes.len()) == count => Ok(bytes),
            Ok(_) => Err(self.changed("it became shorter while it was read")),
            Err(source) => Err(StorageError::io("read", &self.path, source)),
        }
    }

    /// All of it was read.
    pub(super) fn ended(&mut self) -> Result<(), StorageError> {
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.changed("it became longer while it was read")),
            Err(source) => Err(StorageError::io("read", &self.path, source)),
        }
    }

    fn changed(&self, how: &'static str) -> StorageError {
        StorageError::io("read", &self.path, io::Error::other(how))
    }
}
