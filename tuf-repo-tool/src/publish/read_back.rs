//! After publishing: what clients get through the public URL, from behind web servers and CDNs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};
use tuf_client::store::MemoryStore;
use tuf_client::{Client, Url, View};
use tuf_core::TargetPath;

use super::{Changes, Options, Summary};
use crate::error::Error;
use crate::repository::Repository;

const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Requests at the same time.
const PARALLEL: usize = 8;

/// Waits until `url` serves the published state or a newer one, and asks for every target that was set: as a new client, with
/// all that it verifies. With [`Options::verify`], it reads every byte; else each file is only begun.
///
/// # Errors
/// [`Error::NotServed`].
pub async fn read_back(
    repository: &Repository,
    url: &str,
    summary: &Summary,
    changes: &Changes,
    options: &Options,
) -> Result<(), Error> {
    let url = Url::parse(url)
        .map_err(|error| Error::NotServed { url: "public_url".to_owned(), reason: error.to_string() })?;
    let refused = |reason: String| Error::NotServed { url: tuf_client::transport::redact(&url), reason };
    let root = repository.first_root()?;
    let give_up = Instant::now() + options.served_within;
    let view = loop {
        let client = Client::builder(Arc::clone(&root), url.clone()).store(MemoryStore::new()).build()?;
        let found = match client.refresh().await {
            Ok(view) => {
                let version = view.trusted().timestamp().header.version;
                if version >= summary.timestamp {
                    break view;
                }
                format!("expected timestamp {}, found {version}", summary.timestamp)
            }
            Err(error) => tuf_client::chain(&error),
        };
        if Instant::now() >= give_up {
            return Err(refused(format!("after {} seconds: {found}", options.served_within.as_secs())));
        }
        sleep(ASK_AGAIN).await;
    };
    // A newer state may have other targets.
    if view.trusted().timestamp().header.version > summary.timestamp {
        return Ok(());
    }
    stream::iter(changes.iter().filter(|(_, file)| file.is_some()))
        .map(|(path, _)| get(&view, path, options.verify))
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await
        .map_err(|error| refused(tuf_client::chain(&error)))
}

async fn get(view: &View, path: &TargetPath, verify: bool) -> Result<(), tuf_client::Error> {
    let target = view.require(path).await?;
    let mut body = view.open(&view.wanted(&target)).await?;
    while body.next().await?.is_some() && verify {}
    Ok(())
}
