//! Looking at everything that is published: as clients of every age do it, and beyond what any one client sees.
//!
//! 1. The audit of `tuf-client` ([`tuf_client::audit`]), on the storage itself: every root, every role, its signatures, key IDs,
//!    versions, lengths, expiry, the size limits of other clients, shadowed and unreachable paths.
//! 2. Every target has its file, and in a mirror whose pages name files that are no targets, so has each of these. Only the
//!    length is compared, unless every byte is to be read.
//! 3. Clients refresh: a new one; if asked for, one for each root there ever was, and one that comes back.
//! 4. This machine's clock, against the times in what it signed.
//! 5. Where clients get it from, if asked for: the audit once more, through the public URL.

mod clients;
mod files;
mod finding;
mod rules;

use std::sync::Arc;

use serde::Serialize;
use tokio::task::block_in_place;
use tuf_client::Url;
use tuf_client::audit::{Audit, Severity};

use crate::error::Error;
use crate::repository::{Published, Repository};
use crate::storage::StorageTransport;
use files::Files;

pub(crate) use clients::served;
pub use finding::Finding;

/// What is looked at.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Whether every byte of every target is read; else only lengths are compared.
    pub read: bool,
    /// Whether clients of every root, and one that comes back, refresh.
    pub clients: bool,
    /// Where clients get it from, to be looked at as well.
    pub url: Option<Url>,
}

/// What there is, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of the published timestamp.
    pub timestamp: Option<u64>,
    /// Roots.
    pub roots: usize,
    /// Other metadata files.
    pub roles: usize,
    /// Targets, and files that pages name.
    pub files: u64,
    /// Their bytes, as they were signed.
    pub bytes: u64,
    /// The clients that refreshed.
    pub clients: Vec<String>,
    /// Everything found, worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings there are of one severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    fn add(&mut self, finding: Finding) {
        // The audit and the walk may come upon the same.
        if !self.findings.iter().any(|known| known.is_same(&finding)) {
            self.findings.push(finding);
        }
    }
}

/// Looks at everything that is published. Needs no key and no lock; who publishes meanwhile makes it look at two states.
///
/// # Errors
/// What keeps it from looking at all, as storage that cannot be reached. Whatever is wrong with what is there is a finding.
pub async fn verify(repository: &Repository, options: &Options) -> Result<Report, Error> {
    let mut report = Report::default();
    let root = match repository.first_root() {
        Ok(root) => root,
        Err(error @ Error::Missing { .. }) => {
            report.add(Finding::of("missing-file", &error));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let transport = StorageTransport::new(repository.storage())?;
    let base = transport.base().clone();
    audit(repository, Audit::of(base).transport(transport), &root, &mut report).await?;
    match block_in_place(|| repository.published()) {
        Ok(Some(published)) => {
            report.timestamp = Some(published.set().timestamp().header.version);
            report.findings.extend(rules::clock(repository, &published));
            block_in_place(|| look_at_files(repository, &published, options, &mut report))?;
            clients::check(repository, &published, options, &mut report).await?;
            if let Some(url) = &options.url {
                public(repository, &published, url, &root, &mut report).await?;
            }
        }
        Ok(None) => {
            let missing = Finding::error("missing-file", "nothing is published: there is no timestamp.json");
            report.add(missing.hint("`tuf-repo publish` publishes the first state"));
        }
        Err(error @ Error::Storage(_)) => return Err(error),
        Err(error) => report.add(Finding::of("refused", &error)),
    }
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(report)
}

async fn audit(
    repository: &Repository,
    audit: Audit,
    root: &Arc<[u8]>,
    report: &mut Report,
) -> Result<(), Error> {
    match audit.anchor(Arc::clone(root)).at(repository.now()).run().await {
        Ok(found) => {
            report.roots = report.roots.max(found.roots.len());
            report.roles = report.roles.max(found.roles.len());
            found.findings.iter().for_each(|finding| report.add(Finding::from(finding)));
        }
        Err(error) if error.is_refusal() => report.add(Finding::of("refused", &Error::Client(error))),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn look_at_files(
    repository: &Repository,
    published: &Published,
    options: &Options,
    report: &mut Report,
) -> Result<(), Error> {
    let mut files = Files::new(repository, published, options.read);
    crate::reading::walk(published, files.threads, &mut files)?;
    (report.files, report.bytes) = (files.checked, files.bytes);
    for finding in files.findings {
        report.add(finding);
    }
    Ok(())
}

/// What clients get, and whether it is what is published.
async fn public(
    repository: &Repository,
    published: &Published,
    url: &Url,
    root: &Arc<[u8]>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut served = Report::default();
    let found = clients::served(root, url).await;
    let expected = published.set().timestamp().header.version;
    match found {
        Ok(version) if version == expected => {}
        Ok(version) => {
            let message = format!(
                "{} serves another timestamp than the storage has",
                tuf_client::transport::redact(url)
            );
            let finding = Finding::error("not-served", message)
                .compare(format!("version {expected}"), format!("version {version}"))
                .hint("a web server or CDN in between keeps old answers or serves another directory");
            report.add(finding.about("timestamp", Some(version)));
        }
        Err(error) => report.add(Finding::of("not-served", &Error::Client(error))),
    }
    match audit(repository, Audit::of(url.clone()), root, &mut served).await {
        Ok(()) => served.findings.into_iter().for_each(|finding| report.add(finding.through(url))),
        Err(error) => report.add(Finding::of("not-served", &error)),
    }
    report.clients.push("a new client through the public URL".to_owned());
    Ok(())
}

#[cfg(test)]
mod tests;
