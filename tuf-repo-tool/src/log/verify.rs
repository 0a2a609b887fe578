//! Verifying logs: each by itself, all together, and against what is published.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tuf_core::{Envelope, Limits, Root, TopLevel, read_unverified};

use super::finding::{Finding, Kind};
use super::history::{self, Named, State};
use super::line::{NOTHING, Point};
use super::read::read;
use super::{chain, path, signers};
use crate::error::Error;
use crate::publish::owes_a_line;
use crate::repository::{Published, Repository};

/// What was found in some logs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Each log.
    pub logs: Vec<LogReport>,
    /// What is published, if that was looked at.
    pub published: Option<Point>,
    /// What is wrong, and what an operator should know.
    pub findings: Vec<Finding>,
}

/// One log.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LogReport {
    /// Its file.
    pub file: PathBuf,
    /// How many lines it has.
    pub lines: usize,
    /// The sha256 of its last line.
    pub head: String,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        !self.findings.iter().any(Finding::is_fault)
    }
}

/// Verifies the log of a repository together with those of its other machines (`others`), or the latter alone; `heads` are hashes
/// that were noted before: each must be that of a line.
///
/// # Errors
/// [`Error::Io`], and those of reading what is published. What is wrong with a log is in the report.
pub fn verify(
    repository: Option<&Repository>,
    others: &[PathBuf],
    heads: &[String],
) -> Result<Report, Error> {
    let own = repository.map(|repository| path(repository.directory()));
    let mut report = Report { logs: Vec::new(), published: None, findings: Vec::new() };
    let mut logs = Vec::new();
    for file in own.iter().chain(others) {
        let log = load(file, own.as_ref() == Some(file), &mut report)?;
        logs.push(log);
    }
    for head in heads {
        if !logs.iter().any(|log| chain::has(&log.lines, head)) {
            let message =
                "no line has the hash that was noted: the log was cut off before it, or written anew";
            report.findings.push(Finding::new(Kind::CutOff, message).but(head, "no such line"));
        }
    }
    let state = match repository {
        Some(repository) => state(repository)?,
        None => State::default(),
    };
    // In a directory, nobody else can publish.
    let local = repository.is_some_and(|repository| repository.storage().local().is_some());
    let mut found = history::check(&logs, &state, local || !others.is_empty());
    if repository.is_none() {
        // Nothing to hold them against.
        found.retain(|finding| finding.kind != Kind::Rollback);
    }
    report.findings.extend(found);
    report.published = state.timestamp;
    Ok(report)
}

fn load(file: &Path, own: bool, report: &mut Report) -> Result<Named, Error> {
    let name = file.display().to_string();
    let mut lines = Vec::new();
    let mut head = NOTHING.to_owned();
    match File::open(file) {
        Ok(opened) => {
            let end = read(BufReader::new(opened), |found| {
                lines.push(found);
                Ok::<_, std::io::Error>(())
            });
            let end = end.map_err(|error| Error::io("read", file, error))?;
            report.findings.extend(chain::check(&name, &lines, &end));
            head = end.head;
        }
        // Of this machine, there may be none yet: it is held against what is published.
        Err(error) if own && error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("read", file, error)),
    }
    report.logs.push(LogReport { file: file.to_owned(), lines: lines.len(), head });
    Ok(Named { name, lines })
}

fn state(repository: &Repository) -> Result<State, Error> {
    let mut state = State { owed: owes_a_line(repository)?, ..State::default() };
    let Some(published) = repository.published()? else { return Ok(state) };
    let timestamp = published.set().timestamp();
    state.timestamp = Some(Point::of(timestamp.bytes(), timestamp.header.version));
    for (version, bytes) in roots(repository, &published)? {
        state.roots.insert(version, signers(&bytes));
        let limits = Limits::default();
        let parse = || -> Result<Root, tuf_core::Error> {
            read_unverified(&Envelope::parse(bytes.as_slice(), &limits)?, &limits)
        };
        let root = parse().map_err(Error::Published)?;
        for role in [TopLevel::Targets, TopLevel::Snapshot, TopLevel::Timestamp] {
            let known = state.keys.entry(role.name().to_owned()).or_default();
            known.extend(root.role(role).keyids.iter().map(|id| id.as_str().to_owned()));
        }
    }
    Ok(state)
}

/// Every root that is published.
fn roots(repository: &Repository, published: &Published) -> Result<BTreeMap<u64, Vec<u8>>, Error> {
    let newest = published.set().root().header.version;
    let root = |version| {
        let name = TopLevel::Root.role().file_name(Some(version));
        Ok((version, repository.require_metadata(&name)?))
    };
    (1..=newest).map(root).collect()
}
