//! `file://` URLs: a repository on a local disk or a mounted share.

use std::io;

use bytes::BytesMut;
use futures_util::{future::BoxFuture, stream};
use tokio::{
    fs::{self, File},
    io::AsyncReadExt,
};

use super::{Body, Transport, TransportError, TransportErrorKind};
use crate::url::Url;

const CHUNK: usize = 64 * 1024;

/// Reads files named by `file://` URLs of this host. Links are followed: what is read is verified anyway.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct FileTransport;

impl FileTransport {
    /// There is nothing to configure.
    pub fn new() -> Self {
        Self
    }
}

impl Transport for FileTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(open(url))
    }
}

async fn open(url: &Url) -> Result<Body, TransportError> {
    let Some(path) = url.to_file_path() else {
        return Err(TransportError::new(url, TransportErrorKind::UnsupportedScheme));
    };
    // Looked at before it is opened, since opening a pipe waits for its writer.
    let found = fs::metadata(&path).await.map_err(|error| failed(url, error))?;
    if !found.is_file() {
        return Err(failed(url, io::Error::other("it is not a plain file")));
    }
    let file = File::open(&path).await.map_err(|error| failed(url, error))?;

    // Of the file that was opened: the name may stand for another one by now. No further than this, should it grow.
    let length = file.metadata().await.map_err(|error| failed(url, error))?.len();
    let state = (file.take(length), url.clone());
    let chunks = stream::try_unfold(state, |(mut file, url)| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        match file.read_buf(&mut chunk).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some((chunk.freeze(), (file, url)))),
            Err(error) => Err(failed(&url, error)),
        }
    });
    Ok(Body::from_stream(url, Some(length), chunks))
}

fn failed(url: &Url, error: io::Error) -> TransportError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            TransportErrorKind::NotFound { status: None }
        }
        _ => TransportErrorKind::Io,
    };
    TransportError::new(url, kind).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable;

    #[tokio::test]
    async fn a_file_is_streamed_in_bounded_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..CHUNK * 2 + 5).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let path = dir.path().join("a file, 100%.json");
        durable::write_atomic(&path, &bytes).unwrap();
        let url = Url::from_file_path(&path).unwrap();
        let mut body = FileTransport::new().fetch(&url).await.unwrap();
        assert_eq!(body.length(), u64::try_from(bytes.len()).ok());
        let mut read = Vec::new();
        while let Some(chunk) = body.next().await.unwrap() {
            assert!(chunk.len() <= CHUNK);
            read.extend_from_slice(&chunk);
        }
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn what_is_not_a_local_plain_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        durable::write_atomic(&dir.path().join("file"), b"x").unwrap();
        let base = Url::from_directory_path(dir.path()).unwrap();
        let missing = TransportErrorKind::NotFound { status: None };
        let cases = [
            (base.clone(), TransportErrorKind::Io),
            (base.join("missing").unwrap(), missing.clone()),
            (base.join("file/below").unwrap(), missing),
            (base.join("nul%00").unwrap(), TransportErrorKind::Io),
            (Url::parse("file://elsewhere.example/x").unwrap(), TransportErrorKind::UnsupportedScheme),
            (Url::parse("https://index.example/x").unwrap(), TransportErrorKind::UnsupportedScheme),
        ];
        for (url, kind) in cases {
            let error = FileTransport::new().fetch(&url).await.unwrap_err();
            assert_eq!(error.kind(), &kind, "{url}");
        }
    }
}
