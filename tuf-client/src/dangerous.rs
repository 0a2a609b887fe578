//! What weakens the promises of this crate, for whoever knows better than its defaults.

use crate::client::ClientBuilder;
use crate::offline::Expired;

/// Offline ([`ClientBuilder::offline`]), and metadata that has expired is used all the same: for a machine that was cut off
/// for longer than its repository's metadata is valid. What was withdrawn or replaced since is not noticed, however long ago.
/// Such a view says so: [`View::is_stale`](crate::View::is_stale).
pub fn accept_expired(builder: ClientBuilder) -> ClientBuilder {
    builder.offline().with_expired(Expired::Accepted)
}
