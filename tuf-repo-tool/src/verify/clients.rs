//! Clients of every age.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::TimeDelta;
use tokio::task::block_in_place;
use tuf_client::store::MemoryStore;
use tuf_client::{Client, Url};
use tuf_core::{Envelope, Snapshot, TopLevel, read_unverified};

use super::finding::Finding;
use super::{Options, Report};
use crate::error::Error;
use crate::gc::snapshot_version;
use crate::publish::check::Tester;
use crate::repository::{MAX_METADATA, Published, Repository, repository_limits};
use crate::storage::METADATA_LIMIT;

/// Runs them on the storage.
pub(super) async fn check(
    repository: &Repository,
    published: &Published,
    options: &Options,
    report: &mut Report,
) -> Result<(), Error> {
    let root = repository.first_root()?;
    refreshes(repository, &root, "a new client".to_owned(), report).await?;
    if !options.clients {
        return Ok(());
    }
    for version in 2..=published.set().root().header.version {
        let path = format!("metadata/{version}.root.json");
        // A gap among the roots was found by the audit.
        if let Some(root) = block_in_place(|| repository.storage().read(&path, METADATA_LIMIT))? {
            let who = format!("a client that was given root {version}");
            refreshes(repository, &root.into(), who, report).await?;
        }
    }
    // It got this state when all of it was valid, and comes back now.
    let who = "a client that has this state already";
    let valid = published.set().expires() - TimeDelta::seconds(1);
    let returning = Tester::new(repository, &root, BTreeMap::new())?;
    returning.set_time(valid.min(repository.now()));
    match returning.client.refresh().await {
        Ok(_) => {
            returning.set_time(repository.now());
            report.clients.push(who.to_owned());
            if let Err(error) = returning.client.refresh().await {
                refused(who, error, report)?;
            }
        }
        Err(error) => refused(who, error, report)?,
    }
    older_states(repository, published, report)
}

async fn refreshes(
    repository: &Repository,
    root: &Arc<[u8]>,
    who: String,
    report: &mut Report,
) -> Result<(), Error> {
    let tester = match Tester::new(repository, root, BTreeMap::new()) {
        Ok(tester) => tester,
        Err(Error::Client(error)) => return refused(&who, error, report),
        Err(error) => return Err(error),
    };
    let refreshed = tester.client.refresh().await.map(drop);
    report.clients.push(who.clone());
    refreshed.or_else(|error| refused(&who, error, report))
}

fn refused(who: &str, error: tuf_client::Error, report: &mut Report) -> Result<(), Error> {
    if !error.is_refusal() {
        return Err(error.into());
    }
    let error = Error::Client(error);
    let mut finding = Finding::of("client", &error);
    finding.message = format!("{who}: {}", finding.message);
    report.add(finding);
    Ok(())
}

/// Clients that know any of the snapshots that are still there take the published one: no role is missing, and none is older
/// (spec 5.5.5). A snapshot that a dead publisher left was known to nobody, which does not show.
fn older_states(repository: &Repository, published: &Published, report: &mut Report) -> Result<(), Error> {
    let newest = published.set().snapshot();
    block_in_place(|| {
        let mut versions = Vec::new();
        repository.storage().walk("metadata", &mut |listed| {
            versions
                .extend(snapshot_version(&listed.path).filter(|version| *version < newest.header.version));
            ControlFlow::Continue(())
        })?;
        versions.sort_unstable();
        for version in versions {
            let name = TopLevel::Snapshot.role().file_name(Some(version));
            let limits = repository_limits();
            let Some(bytes) = repository.storage().read(&Repository::metadata_path(&name), MAX_METADATA)?
            else {
                continue;
            };
            let older = Envelope::parse(bytes, &limits)
                .and_then(|envelope| read_unverified::<Snapshot>(&envelope, &limits));
            report.clients.push(format!("a client that knows snapshot {version}"));
            let Ok(older) = older else {
                let message = format!("{name}, an older snapshot, is damaged");
                let finding = Finding::warning("malformed", message).about("snapshot", Some(version));
                report.add(finding.hint("no client asks for it any more; `tuf-repo gc` removes it in time"));
                continue;
            };
            for (file, meta) in older.meta.iter() {
                let now = newest.meta.get(&file);
                if now.as_ref().is_some_and(|now| now.version >= meta.version) {
                    continue;
                }
                let message =
                    format!("clients that know snapshot {version} refuse the published one: {file}");
                let found =
                    now.map_or_else(|| "not listed".to_owned(), |now| format!("version {}", now.version));
                let finding = Finding::warning("rollback", message)
                    .compare(format!("version {} at least", meta.version), found)
                    .about("snapshot", Some(newest.header.version));
                report.add(finding.hint(
                    "nothing to do if that snapshot was never published, but left by a publisher that died; else publish the role with a higher version",
                ));
            }
        }
        Ok(())
    })
}

/// The version of the timestamp that a new client gets from a server.
pub(crate) async fn served(root: &Arc<[u8]>, url: &Url) -> Result<u64, tuf_client::Error> {
    let client = Client::builder(Arc::clone(root), url.clone()).store(MemoryStore::new()).build()?;
    Ok(client.refresh().await?.trusted().timestamp().header.version)
}
