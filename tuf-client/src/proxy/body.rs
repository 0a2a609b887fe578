//! Response bodies: whole bytes, or a stream that may fail and then cuts the connection.

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

/// What a body can fail with; the text never reaches the client, whose connection is simply cut.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The one body type of the proxy.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is all there.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of chunks; an `Err` ends the connection in the middle of the body.
pub(super) fn streamed<S>(chunks: S) -> Body
where
    S: Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
{
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}
