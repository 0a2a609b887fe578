//! The two seams between the proxy and the client: one pinned snapshot, and where the next one comes from.
//!
//! They exist so that the proxy's tests can offer tampered bytes. Everything else in the proxy sees only
//! these traits; [`View`] and [`Client`] are named here alone.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt};
use tuf_core::TargetPath;

use super::files::WHOLE;
use super::refusal::{Failure, Kind};
use crate::{Client, Error, View, Wanted};

/// The bytes of one file as they arrive. The stream ends without an error only after length and hash matched.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Failure>>;

/// Signed pages over this size are refused; the largest on PyPI are below 30 MiB.
const MAX_PAGE: u64 = 64 << 20;

/// What the proxy needs of one pinned snapshot.
pub(crate) trait Snapshot: Send + Sync {
    /// The verified bytes of a signed page, `None` if the snapshot provably has no such target.
    fn page(&self, target: String) -> BoxFuture<'_, Result<Option<Bytes>, Failure>>;
    /// Starts to fetch a file of known length and hash.
    fn open(&self, wanted: Wanted) -> BoxFuture<'_, Result<Chunks, Failure>>;
    /// A whole small file known by its hash only.
    fn open_hashed(&self, path: String, max: u64, sha256: [u8; 32]) -> BoxFuture<'_, Result<Bytes, Failure>>;
    /// When the view as a whole ends: the earliest expiry in it.
    fn expires(&self) -> DateTime<Utc>;
    /// When its timestamp ends: this sets the pace of refreshing.
    fn timestamp_expires(&self) -> DateTime<Utc>;
    /// The version of the snapshot role: equal versions are equal contents.
    fn version(&self) -> u64;
}

/// Where newer snapshots come from.
pub(crate) trait Upstream: Send + Sync {
    /// One whole refresh.
    fn refresh(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, Failure>>;
}

impl Snapshot for View {
    fn page(&self, target: String) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        async move {
            // Made from a normalised project name, so it is always a valid path.
            let Ok(path) = TargetPath::new(target) else {
                return Ok(None);
            };
            let found = self.find(&path).await?;
            // For the next run only: a store that cannot be written costs a download, not safety.
            if let Err(error) = self.save().await {
                tracing::warn!(%error, "delegated roles were not stored");
            }
            match found {
                Some(target) => Ok(Some(self.read(&self.wanted(&target), MAX_PAGE).await?)),
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn open(&self, wanted: Wanted) -> BoxFuture<'_, Result<Chunks, Failure>> {
        async move {
            // What nobody sees before its end can still come from another mirror.
            if wanted.length.is_some_and(|length| length <= WHOLE) {
                let bytes = self.read(&wanted, WHOLE).await?;
                return Ok(stream::once(std::future::ready(Ok(bytes))).boxed());
            }
            let body = Self::open(self, &wanted).await?;
            let chunks = stream::try_unfold(body, |mut body| async move {
                Ok(body.next().await?.map(|chunk| (chunk, body)))
            });
            Ok(chunks.boxed())
        }
        .boxed()
    }

    fn open_hashed(&self, path: String, max: u64, sha256: [u8; 32]) -> BoxFuture<'_, Result<Bytes, Failure>> {
        async move { Ok(self.read(&Wanted::of_hash(path, sha256), max).await?) }.boxed()
    }

    fn expires(&self) -> DateTime<Utc> {
        Self::expires(self)
    }

    fn timestamp_expires(&self) -> DateTime<Utc> {
        self.trusted().timestamp().header.expires
    }

    fn version(&self) -> u64 {
        self.trusted().snapshot().header.version
    }
}

impl Upstream for Client {
    fn refresh(&self) -> BoxFuture<'_, Result<Arc<dyn Snapshot>, Failure>> {
        async move {
            let view = Self::refresh(self).await?;
            for warning in view.warnings() {
                tracing::warn!("{warning}");
            }
            let view: Arc<dyn Snapshot> = Arc::new(view);
            Ok(view)
        }
        .boxed()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = if error.is_refusal() { Kind::Verification } else { Kind::Unavailable };
        Self { kind, why: error.to_string(), attack: error.attack() }
    }
}
