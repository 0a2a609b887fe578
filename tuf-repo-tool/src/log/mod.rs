//! The log of a repository: one line for every change, each with the hash of the line before (`specs/log.md`).
//!
//! `log.ndjson` lies beside `tuf-repo.toml`, one for each machine, and is only appended to. Who changed something that clients see is
//! told by the signatures in the files that were published, so that it is true for what was signed elsewhere as well.
//! Whoever can write the file can write all of it anew: what bounds that is a hash that was noted elsewhere, and what is published.

mod chain;
mod finding;
mod history;
mod line;
mod read;
mod signers;
mod tail;
mod verify;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tuf_client::durable::{Access, Appended};
use tuf_core::Key;

use crate::error::Error;
use crate::repository::Repository;

pub use finding::{Finding, Kind};
pub(crate) use line::sha256;
pub use line::{Line, NOTHING, Point, Signed};
pub use read::{End, Found, read};
pub(crate) use signers::signers;
pub use verify::{LogReport, Report, verify};

/// How long one command waits for another that writes a line.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How far back the last publish is looked for, in bytes.
const LOOK_BACK: u64 = 1 << 20;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Did {
    /// A backup was made.
    Backup,
    /// An event was given up.
    EventAbort,
    /// An event was finished: what its signers had signed is published.
    EventFinish,
    /// Signatures came back.
    EventImport,
    /// An event was opened.
    EventOpen,
    /// Files that no kept state needs were removed.
    Gc,
    /// An existing repository was taken over.
    Import,
    /// A repository was made.
    Init,
    /// A key was generated.
    KeyGenerate,
    /// A key, or the public half of one, was taken in.
    KeyImport,
    /// What was staged, or what was given, was published.
    Publish,
    /// Working state was made again from what is published.
    Rebuild,
    /// A repository was recovered from a compromise.
    Recover,
    /// Roles were signed again for their age.
    Renew,
    /// A copy was put back.
    Restore,
    /// A key was replaced.
    Rotate,
    /// Settings of this machine were changed by a command.
    Settings,
}

impl Did {
    /// Its name in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::EventAbort => "event-abort",
            Self::EventFinish => "event-finish",
            Self::EventImport => "event-import",
            Self::EventOpen => "event-open",
            Self::Gc => "gc",
            Self::Import => "import",
            Self::Init => "init",
            Self::KeyGenerate => "key-generate",
            Self::KeyImport => "key-import",
            Self::Publish => "publish",
            Self::Rebuild => "rebuild",
            Self::Recover => "recover",
            Self::Renew => "renew",
            Self::Restore => "restore",
            Self::Rotate => "rotate",
            Self::Settings => "settings",
        }
    }
}

/// A change, as the log is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Entry {
    did: Did,
    why: Option<String>,
    what: BTreeMap<String, Value>,
    at: Option<DateTime<Utc>>,
    signed: BTreeMap<String, Signed>,
    before: Option<Point>,
    after: Option<Point>,
}

impl Entry {
    /// A change of this kind; [`append`] adds when and who.
    pub const fn new(did: Did) -> Self {
        Self {
            did,
            why: None,
            what: BTreeMap::new(),
            at: None,
            signed: BTreeMap::new(),
            before: None,
            after: None,
        }
    }

    /// A key that was generated or taken in.
    pub fn of_key(did: Did, name: &str, key: &Key) -> Self {
        Self::new(did).with("key", name).with("keyid", key.id().as_str())
    }

    /// Why, in the words of who did it.
    pub fn because(mut self, why: Option<&str>) -> Self {
        self.why = why.map(str::to_owned);
        self
    }

    /// A figure or a name to go with it: `("event", "root-20300131")`.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.what.insert(name.to_owned(), value.into());
        self
    }

    /// A role that was signed, and by which keys.
    pub(crate) fn signed(
        mut self,
        section: &str,
        version: u64,
        by: impl IntoIterator<Item = String>,
    ) -> Self {
        let signed = self.signed.entry(section.to_owned()).or_default();
        signed.files += 1;
        signed.version = signed.version.max(version);
        signed.by.extend(by);
        signed.by.sort_unstable();
        signed.by.dedup();
        self
    }

    /// What was published, before and after, and when it was signed.
    pub(crate) fn published(
        mut self,
        before: Option<Point>,
        after: Option<Point>,
        at: DateTime<Utc>,
    ) -> Self {
        (self.before, self.after, self.at) = (before, after, Some(at));
        self
    }

    /// What was found published, whoever published it: this machine goes on from there.
    pub(crate) fn adopted(mut self, root: u64, timestamp: Point) -> Self {
        self.after = Some(timestamp);
        self.with("root", root)
    }

    /// The timestamp after the change.
    pub(crate) const fn after(&self) -> Option<&Point> {
        self.after.as_ref()
    }

    /// Whether this is the line of it.
    fn is_in(&self, line: &Line) -> bool {
        match &self.after {
            Some(_) => self.after == line.after,
            None => {
                self.signed == line.signed && self.at.is_some_and(|at| at.timestamp() == line.at.timestamp())
            }
        }
    }
}

/// The log of the repository in `directory`, on this machine.
#[must_use]
pub fn path(directory: &Path) -> PathBuf {
    directory.join("log.ndjson")
}

/// Adds a line; when this returns, it is on the disk. For changes that are done: what cannot be written is an error, but the
/// change is made all the same.
///
/// # Errors
/// [`Error::Unlogged`].
pub fn append(repository: &Repository, entry: &Entry) -> Result<Line, Error> {
    append_at(repository.directory(), repository.now(), entry)
}

/// As [`append`], where the rest of the repository in `directory` is not needed.
///
/// # Errors
/// [`Error::Unlogged`].
pub fn append_at(directory: &Path, now: DateTime<Utc>, entry: &Entry) -> Result<Line, Error> {
    write(directory, now, entry, None)
}

/// How many bytes the log has: a line that is written from now on is behind them.
pub(crate) fn length(repository: &Repository) -> u64 {
    std::fs::metadata(path(repository.directory())).map_or(0, |found| found.len())
}

/// Adds the line of a publisher that died, unless it has written it behind the first `from` bytes; whether it was added.
///
/// # Errors
/// [`Error::Unlogged`].
pub(crate) fn append_late(
    repository: &Repository,
    entry: &Entry,
    from: u64,
    unsure: bool,
) -> Result<bool, Error> {
    let failed = |source| Error::unlogged(entry.did, source);
    let path = path(repository.directory());
    {
        let mut log = Appended::open(&path, Access::Private, LOCK_WAIT).map_err(failed)?;
        let since = log.read_from(from.min(log.length())).map_err(|error| failed(error.into()))?;
        let mut lines = since.split(|byte| *byte == b'\n').filter_map(|text| Line::parse(text).ok());
        if lines.any(|line| entry.is_in(&line)) {
            // It may have died before this.
            log.sync().map_err(|error| failed(error.into()))?;
            return Ok(false);
        }
    }
    write(repository.directory(), repository.now(), entry, Some(unsure))?;
    Ok(true)
}

/// `late`: by another command than the one that did it, and whether it is unsure that clients saw it.
fn write(directory: &Path, now: DateTime<Utc>, entry: &Entry, late: Option<bool>) -> Result<Line, Error> {
    let failed = |source| Error::unlogged(entry.did, source);
    let mut log = Appended::open(&path(directory), Access::Private, LOCK_WAIT).map_err(failed)?;
    let end = tail::tail(log.length(), |start| log.read_from(start)).map_err(|error| failed(error.into()))?;
    let line = Line {
        after: entry.after.clone(),
        at: entry.at.unwrap_or(now),
        before: entry.before.clone(),
        did: entry.did.name().to_owned(),
        late: late.map(|_| now),
        n: end.n + 1,
        previous: end.previous,
        signed: entry.signed.clone(),
        torn: end.torn,
        unsure: late.unwrap_or_default(),
        user: user(),
        what: entry.what.clone(),
        why: entry.why.clone(),
    };
    let text = line.text();
    let text = if end.open { format!("\n{text}\n") } else { format!("{text}\n") };
    log.append(text.as_bytes()).map_err(|error| failed(error.into()))?;
    Ok(line)
}

/// The last line of a publish by this machine, as far as it is near the end.
pub(crate) fn last_publish(repository: &Repository) -> Option<Line> {
    let mut file = File::open(path(repository.directory())).ok()?;
    let length = file.metadata().ok()?.len();
    let read = |start| -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    tail::latest(length, LOOK_BACK, read, |line| {
        (line.after.is_some() && !line.is_adopted()).then(|| line.clone())
    })
    .ok()?
}

/// The operating system's user, and this machine.
fn user() -> String {
    format!("{}@{}", account(), crate::publish::machine())
}

#[cfg(unix)]
fn account() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read(Path::new("/etc/passwd")).unwrap_or_default();
    let accounts = String::from_utf8_lossy(&accounts).into_owned();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {id}"))
}

#[cfg(not(unix))]
fn account() -> String {
    tuf_client::env::var("USERNAME").unwrap_or_else(|| "somebody".to_owned())
}

#[cfg(test)]
mod tests;
