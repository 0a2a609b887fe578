//! What a publisher is about to write, kept on this machine until it is done, so that the next one can go on where it died.
//!
//! One file, `state/journal/publish`: a line of JSON that names every file with length and sha256, then the bytes of all of
//! them in that order. Under the repository's lock there is one publisher, so there is one entry. Another machine has
//! none, and need not: it skips what it finds.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ring::digest;
use serde::{Deserialize, Serialize};
use tuf_client::durable::{Access, Placed};
use tuf_core::Hashes;

use super::Summary;
use super::commit::{Commit, Visible};
use super::logged::{Prepared, Shown};
use crate::error::Error;
use crate::repository::Repository;
use crate::storage::NewFile;

const FORMAT: u32 = 1;

/// The journal of one repository.
#[derive(Debug)]
pub(super) struct Journal(PathBuf);

/// A publish that began and did not end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What was to be published, as [`fingerprint`] has it.
    pub(super) asked: String,
    pub(super) commit: Commit,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    asked: String,
    /// The sha256 of the timestamp that this publish replaces; absent before the first.
    expected: Option<String>,
    files: Vec<Listed>,
    /// How many of the files, counted from the end, are roots.
    roots: usize,
    timestamp: Option<Listed>,
    summary: Summary,
    /// The line that the log gets when this is visible.
    line: Option<Prepared>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    path: String,
    length: usize,
    sha256: String,
}

impl Listed {
    fn of(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), length: bytes.len(), sha256: sha256(bytes) }
    }
}

impl Journal {
    pub(super) fn of(repository: &Repository) -> Self {
        Self(repository.state().join("journal").join("publish"))
    }

    /// Says durably what is to be written, in place of what was said before.
    pub(super) fn open(&self, asked: &str, commit: &Commit, line: &Prepared) -> Result<(), Error> {
        let files = || commit.files.iter().chain(&commit.visible.roots);
        let timestamp = commit.visible.timestamp.as_deref();
        let header = Header {
            format: FORMAT,
            asked: asked.to_owned(),
            expected: commit.expected.as_deref().map(sha256),
            files: files().map(|file| Listed::of(&file.path, &file.bytes)).collect(),
            roots: commit.visible.roots.len(),
            timestamp: timestamp.map(|bytes| Listed::of(super::TIMESTAMP, bytes)),
            summary: commit.summary.clone(),
            line: Some(line.clone()),
        };
        let mut line = serde_json::to_vec(&header)
            .map_err(|error| Error::io("write", &self.0, std::io::Error::other(error)))?;
        line.push(b'\n');
        let mut placed = Placed::create(&self.0, Access::Private)?;
        placed.append(&line)?;
        for bytes in files().map(|file| &*file.bytes).chain(timestamp) {
            placed.append(bytes)?;
        }
        Ok(placed.finish()?)
    }

    /// The publish that did not end, if it was one that replaces `expected`. What cannot be read is as good as none: its files are
    /// skipped.
    pub(super) fn read(&self, expected: Option<&[u8]>) -> Result<Option<Entry>, Error> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &self.0, error)),
        };
        Ok(parse(&bytes, expected))
    }

    /// The line that the log gets of the publish that did not end, and by what it is seen whether clients see it.
    pub(super) fn owed(&self) -> Result<Option<(Prepared, Shown)>, Error> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &self.0, error)),
        };
        let mut line = Vec::new();
        let read = BufReader::new(file).read_until(b'\n', &mut line);
        read.map_err(|error| Error::io("read", &self.0, error))?;
        let Ok(mut header) = serde_json::from_slice::<Header>(&line) else { return Ok(None) };
        let root = header.files.pop().filter(|_| header.roots > 0);
        let root = root.map(|listed| (listed.path, listed.sha256));
        let shown = Shown { root, timestamp: header.timestamp.map(|listed| listed.sha256) };
        Ok(header.line.map(|line| (line, shown)))
    }

    /// Forgets the publish: it is done, or given up. Not synced: what comes back was done already, which can be seen.
    pub(super) fn close(&self) -> Result<(), Error> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.0, error))
            }
            _ => Ok(()),
        }
    }
}

fn parse(bytes: &[u8], expected: Option<&[u8]>) -> Option<Entry> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, mut rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    let header: Header = serde_json::from_slice(line).ok()?;
    if header.format != FORMAT || header.expected != expected.map(sha256) {
        return None;
    }
    let mut take = |listed: Listed| -> Option<NewFile> {
        let (bytes, others) = rest.split_at_checked(listed.length)?;
        rest = others;
        (sha256(bytes) == listed.sha256).then(|| NewFile { path: listed.path, bytes: bytes.to_vec() })
    };
    let mut files = header.files.into_iter().map(&mut take).collect::<Option<Vec<_>>>()?;
    let timestamp = match header.timestamp {
        Some(listed) => Some(take(listed)?.bytes),
        None => None,
    };
    let roots = files.split_off(files.len().checked_sub(header.roots)?);
    let commit = Commit {
        files,
        visible: Visible { roots, timestamp },
        expected: expected.map(<[u8]>::to_vec),
        summary: header.summary,
    };
    rest.is_empty().then_some(Entry { asked: header.asked, commit })
}

fn sha256(bytes: &[u8]) -> String {
    Hashes::of(bytes).sha256().map(|sum| HEXLOWER.encode(sum)).unwrap_or_default()
}

/// The sha256 of everything that a publish depends on. Of another one, a dead publisher's work is not finished: its operator
/// may have changed their mind.
pub(super) fn fingerprint(asked: &impl fmt::Debug) -> String {
    /// `Debug` writes a few bytes at a time, of a million changes; they are hashed together.
    struct Sink(digest::Context, String);
    impl fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.1.push_str(text);
            if self.1.len() >= 1 << 14 {
                self.0.update(self.1.as_bytes());
                self.1.clear();
            }
            Ok(())
        }
    }
    let mut sink = Sink(digest::Context::new(&digest::SHA256), String::new());
    // Neither the sink nor a derived `Debug` fails.
    let _ = write!(sink, "{asked:?}");
    sink.0.update(sink.1.as_bytes());
    HEXLOWER.encode(sink.0.finish().as_ref())
}
