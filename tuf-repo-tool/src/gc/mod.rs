//! Removing published files that nothing needs any more: mark and sweep, as PEP 458 has it ("Snapshot Process").
//!
//! *Needed* is what the published snapshot lists, down to the last file, and what the snapshots list that are kept: the last
//! few, and those that were replaced lately, so that a client in the middle of a refresh or with an open view comes to its end. Also
//! what is staged in the state database, what an unfinished publish of this machine or a pending event is made of,
//! every root, and the timestamp.
//!
//! *Garbage* is any other file that this program makes, if it is older than a grace. What it does not know by its name
//! stays, and role files of versions that are not published yet: whoever made them may be about to publish them.
//!
//! Other machines go on meanwhile. Before each batch is removed, the timestamp and what is staged are looked at again, while the
//! shared database lets nobody stage: a target that somebody takes up again, whose file was garbage, is staged before and
//! kept, or staged after and then its file is put there again or missed by the check before publishing. Where the lease decides who
//! publishes, it is taken for each batch, and what was announced is settled first. Snapshots go first, so that what a killed sweep leaves is
//! garbage and nothing else.

mod keep;
mod mark;
mod marks;
mod names;
mod prune;
mod sweep;

use chrono::TimeDelta;
use serde::Serialize;

use crate::error::Error;
use crate::log::{self, Did, Entry};
use crate::publish;
use crate::repository::{Lock, Repository};
use crate::state::State;
use sweep::Sweep;

/// The version of a snapshot, by the path of its file.
pub(crate) fn snapshot_version(path: &str) -> Option<u64> {
    match names::Kind::of(path) {
        names::Kind::Snapshot(version) => Some(version),
        _ => None,
    }
}

/// The shortest grace: publishers and clients need less, clocks may be off.
pub const SHORTEST_GRACE: TimeDelta = TimeDelta::hours(1);

/// What is kept, and whether anything is removed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// So many snapshots, the published one included.
    pub keep_last: usize,
    /// And those that were replaced in this time.
    pub keep: TimeDelta,
    /// Nothing is removed that was written in this time, or that clients could get in it; at least [`SHORTEST_GRACE`].
    pub grace: TimeDelta,
    /// Whether garbage is removed; else it is only counted.
    pub delete: bool,
    /// What excludes publishers where the storage cannot.
    pub publish: publish::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_last: 10,
            keep: TimeDelta::days(7),
            grace: TimeDelta::days(1),
            delete: false,
            publish: publish::Options::default(),
        }
    }
}

/// What there is, and what was or would be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whether the garbage was removed; if not, it would be.
    pub deleted: bool,
    /// The versions of the snapshots that are kept, ascending.
    pub snapshots: Vec<u64>,
    /// Everything that is needed.
    pub kept: Amount,
    /// What nothing needs.
    pub garbage: Garbage,
    /// What nothing needs, and is younger than the grace.
    pub young: Amount,
    /// Role files of versions that are not published yet, of publishers that are at work or died.
    pub ahead: Amount,
    /// What this program does not make. It stays.
    pub unknown: Amount,
    /// The names of the first of these.
    pub unknown_names: Vec<String>,
    /// Files that older snapshots list and that are not there, or damaged.
    pub incomplete: u64,
    /// How often somebody published while this was at work.
    pub published_meanwhile: u64,
}

/// What nothing needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Garbage {
    /// Snapshots.
    pub snapshots: Amount,
    /// Other metadata.
    pub roles: Amount,
    /// Targets, and files of a mirror.
    pub targets: Amount,
}

/// Files, and what they take. A second name of a file takes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Amount {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Garbage {
    /// All of it.
    #[must_use]
    pub const fn total(&self) -> Amount {
        Amount {
            files: self.snapshots.files + self.roles.files + self.targets.files,
            bytes: self.snapshots.bytes + self.roles.bytes + self.targets.bytes,
        }
    }
}

/// Finds what nothing needs, and removes it if the options say so. Killed or failed anywhere, what is needed is still there,
/// and the next one goes on.
///
/// # Errors
/// [`Error::Published`], [`Error::Missing`] if what is published cannot be read to its end: then nothing is removed, because what is needed
/// is not known. [`Error::Event`] for a pending event that cannot be read. [`Error::Unguarded`], [`Error::LeaseHeld`],
/// [`Error::State`], [`Error::Storage`].
pub async fn gc(
    repository: &Repository,
    _lock: &Lock,
    state: &State,
    options: &Options,
) -> Result<Report, Error> {
    let mut options = options.clone();
    options.grace = options.grace.max(SHORTEST_GRACE);
    if options.delete {
        publish::settle_lease(&**repository.storage(), &options.publish).await?;
        if let Some(lease) = &options.publish.lease {
            lease.release().await?;
        }
    }
    let mut sweep = Sweep::new(repository, state, &options);
    // Without a published state nothing tells what is needed.
    if sweep.mark_present().await? {
        let swept = sweep_all(&mut sweep).await;
        // What was removed before it failed, too.
        let removed = sweep.report.garbage.total();
        if options.delete && removed.files > 0 {
            let entry = Entry::new(Did::Gc).because(options.publish.why.as_deref());
            let entry = entry.with("files", removed.files).with("bytes", removed.bytes);
            log::append(repository, &entry.with("snapshots", sweep.report.garbage.snapshots.files))?;
        }
        swept?;
    }
    Ok(sweep.report)
}

async fn sweep_all(sweep: &mut Sweep<'_>) -> Result<(), Error> {
    sweep.snapshots().await?;
    sweep.files().await?;
    match sweep.options.delete {
        true => prune::empty_directories(sweep.repository, sweep.options.grace),
        false => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
