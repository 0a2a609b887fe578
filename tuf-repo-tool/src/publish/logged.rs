//! The line of a publish in the log: made before anything is visible, kept in the journal, written when it is. The next
//! command writes it if this one cannot.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;
use tuf_core::{RoleName, TopLevel};

use super::commit::{Commit, timestamp, version};
use super::journal::Journal;
use super::{Changes, Options};
use crate::config::section;
use crate::edit::Edit;
use crate::error::Error;
use crate::log::{self, Did, Entry, Point};
use crate::repository::Repository;
use crate::storage::NewFile;

/// How many targets a line names.
const NAMED: usize = 8;
/// More than any root has.
const ROOT_LIMIT: u64 = 1 << 26;

/// A line that is to be written once clients see the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prepared {
    entry: Entry,
    /// How long the log was before: the line is behind that, if it was written.
    from: u64,
}

/// What clients see of an entry in the journal, by its sha256.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The newest root, by its path in the storage.
    pub(super) root: Option<(String, String)>,
    pub(super) timestamp: Option<String>,
}

impl Prepared {
    /// The line of a commit.
    pub(super) fn new(
        repository: &Repository,
        options: &Options,
        changes: &Changes,
        commit: &Commit,
    ) -> Self {
        let nothing = changes.is_empty() && changes.edits().is_empty() && changes.elsewhere().is_empty();
        let did = match options.did {
            Some(did) => did,
            None if nothing && commit.expected.is_some() => Did::Renew,
            None => Did::Publish,
        };
        let mut entry = Entry::new(did).because(options.why.as_deref());
        for (name, value) in &options.about {
            entry = entry.with(name, value.clone());
        }
        if !changes.edits().is_empty() {
            let edits: Vec<String> = changes.edits().iter().map(Edit::describe).collect();
            entry = entry.with("edits", edits);
        }
        let summary = &commit.summary;
        for (name, count) in [("removed", summary.removed), ("set", summary.set)] {
            if count > 0 {
                entry = entry.with(name, count);
            }
        }
        if summary.removed + summary.set > 0 {
            let mut names: Vec<String> =
                changes.targets().take(NAMED).map(|(path, _)| path.to_string()).collect();
            if let Some(more) = changes.len().checked_sub(NAMED).filter(|more| *more > 0) {
                names.push(format!("… and {more} more"));
            }
            entry = entry.with("targets", names);
        }
        for file in commit.files.iter().chain(&commit.visible.roots) {
            entry = signed(entry, file);
        }
        let timestamp = commit.visible.timestamp.as_deref();
        let point = |bytes: &[u8]| Point::of(bytes, version(bytes).unwrap_or_default());
        if let Some(bytes) = timestamp {
            let version = version(bytes).unwrap_or_default();
            entry = entry.signed(TopLevel::Timestamp.name(), version, log::signers(bytes));
        }
        let before = commit.expected.as_deref().map(point);
        let entry = entry.published(before, timestamp.map(point), repository.now());
        Self { entry, from: log::length(repository) }
    }

    /// Writes the line of what clients see now.
    pub(super) fn write(&self, repository: &Repository) -> Result<(), Error> {
        log::append(repository, &self.entry).map(drop)
    }
}

/// Adds a versioned file.
fn signed(entry: Entry, file: &NewFile) -> Entry {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let parts = name.strip_suffix(".json").and_then(|name| name.split_once('.'));
    let Some((version, role)) = parts else { return entry };
    let Ok(version) = version.parse() else { return entry };
    let Ok(role) = RoleName::new(&percent_decode_str(role).decode_utf8_lossy()) else { return entry };
    entry.signed(&section(&role), version, log::signers(&file.bytes))
}

/// Writes the line that a publisher owes which was killed, or whose disk was full, after clients could see its change.
///
/// # Errors
/// [`Error::Unlogged`]: then the journal must be kept. [`Error::Storage`], [`Error::Io`].
pub(crate) fn settle(repository: &Repository) -> Result<(), Error> {
    let Some((prepared, unsure)) = block_in_place(|| owed(repository))? else { return Ok(()) };
    if log::append_late(repository, &prepared.entry, prepared.from, unsure)? {
        tracing::info!("the log has the line now that a publisher owed which died");
    }
    Ok(())
}

/// Whether a publisher died after clients could see its change, and perhaps before it wrote its line.
///
/// # Errors
/// [`Error::Storage`], [`Error::Io`].
pub(crate) fn owes_a_line(repository: &Repository) -> Result<bool, Error> {
    Ok(owed(repository)?.is_some())
}

/// The line in the journal, if clients saw the change, and whether that is unsure.
fn owed(repository: &Repository) -> Result<Option<(Prepared, bool)>, Error> {
    let Some((prepared, shown)) = Journal::of(repository).owed()? else { return Ok(None) };
    let storage = &**repository.storage();
    let is = |found: Option<&Vec<u8>>, ours: &str| found.is_some_and(|found| log::sha256(found) == ours);
    let unsure = match (&shown.timestamp, &shown.root) {
        (Some(ours), _) => {
            let found = timestamp(storage)?;
            let after = prepared.entry.after().map_or(0, |after| after.version);
            let is_newer = found.as_deref().and_then(version).is_some_and(|version| version > after);
            match (is(found.as_ref(), ours), is_newer) {
                (true, _) => false,
                // Another machine has published since, on top of this or in its place.
                (false, true) => true,
                (false, false) => return Ok(None),
            }
        }
        (None, Some((path, ours))) => match is(storage.read(path, ROOT_LIMIT)?.as_ref(), ours) {
            true => false,
            false => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    Ok(Some((prepared, unsure)))
}
