//! Lists of targets whose files are in place already: NDJSON or CSV, read line by line, a million rows and more.

use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use tuf_core::{Hashes, Json, RoleName, TargetFile, TargetPath};

use super::files::target_of;
use crate::error::Error;
use crate::publish::Change;
use crate::repository::Repository;
use crate::state::State;
use crate::storage::{Storage, verify_file};

/// The longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;

/// Rows that go from one thread to the other together.
const TOGETHER: usize = 1000;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object in each line: `path`, `length`, `sha256`, and optionally `custom`.
    Ndjson,
    /// Three or four fields in each line, in the same order; RFC 4180 without line breaks in fields. A first line of
    /// names is passed over.
    Csv,
}

/// A row of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// In which line it is, from 1.
    pub line: u64,
    /// The target.
    pub path: TargetPath,
    /// What is to be signed of it.
    pub file: TargetFile,
}

/// Why a manifest is refused; nothing of it is staged.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ManifestError {
    line: u64,
    reason: String,
    hint: Option<String>,
}

impl ManifestError {
    fn new(line: u64, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), hint: None }
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let nothing = "nothing was staged";
        Some(self.hint.as_ref().map_or_else(|| nothing.to_owned(), |hint| format!("{nothing}; {hint}")))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    path: String,
    length: u64,
    sha256: String,
    #[serde(default)]
    custom: Option<serde_json::Value>,
}

/// Reads the rows of a manifest, one at a time.
pub fn rows(input: impl BufRead, format: Format) -> impl Iterator<Item = Result<Row, ManifestError>> {
    let (mut input, mut number, mut ended) = (input, 0, false);
    let mut seen = HashSet::new();
    std::iter::from_fn(move || {
        while !ended {
            number += 1;
            let row = match next_line(&mut input, number) {
                Ok(None) => None,
                Ok(Some(line)) if line.trim().is_empty() || is_header(&line, number, format) => continue,
                Ok(Some(line)) => Some(read_row(&line, number, format, &mut seen)),
                Err(error) => Some(Err(error)),
            };
            ended = !matches!(row, Some(Ok(_)));
            return row;
        }
        None
    })
}

fn next_line(input: &mut impl BufRead, number: u64) -> Result<Option<String>, ManifestError> {
    let failed = |error: io::Error| ManifestError::new(number, format!("cannot be read: {error}"));
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() >= usize::try_from(LONGEST_LINE).unwrap_or(usize::MAX) {
        return Err(ManifestError::new(number, format!("longer than {LONGEST_LINE} bytes")));
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|error| ManifestError::new(number, format!("no UTF-8: {}", error.utf8_error())))
}

fn is_header(line: &str, number: u64, format: Format) -> bool {
    let line = line.trim();
    format == Format::Csv && number == 1 && matches!(line, "path,length,sha256" | "path,length,sha256,custom")
}

fn read_row(
    line: &str,
    number: u64,
    format: Format,
    seen: &mut HashSet<[u8; 16]>,
) -> Result<Row, ManifestError> {
    let failed = |reason: String| ManifestError::new(number, reason);
    let object = match format {
        Format::Ndjson => serde_json::from_str(line).map_err(|error| failed(format!("no row: {error}")))?,
        Format::Csv => read_csv(line).map_err(failed)?,
    };
    let path = target_of(&object.path).map_err(|error| failed(error.to_string()))?;
    let sum = HEXLOWER_PERMISSIVE.decode(object.sha256.as_bytes()).ok();
    let sum: [u8; 32] = sum.and_then(|sum| sum.try_into().ok()).ok_or_else(|| {
        failed(format!(
            "expected a sha256 of 64 hex digits, found {:?}",
            object.sha256.chars().take(80).collect::<String>()
        ))
    })?;
    if i64::try_from(object.length).is_err() {
        return Err(failed(format!("a length of {} bytes cannot be", object.length)));
    }
    let mut file = TargetFile::new(object.length, Hashes::sha256_only(sum));
    if let Some(custom) = object.custom {
        let custom = Json::from_value(&custom).map_err(|error| failed(format!("custom: {error}")))?;
        file.custom = Some(custom);
    }
    // Half of SHA-256: no two paths are taken for one, and a million take 16 MB.
    let mut half = [0; 16];
    half.iter_mut().zip(path.digest()).for_each(|(to, from)| *to = from);
    if !seen.insert(half) {
        return Err(failed(format!("target {path} is listed for the second time")));
    }
    Ok(Row { line: number, path, file })
}

fn read_csv(line: &str) -> Result<Object, String> {
    let mut fields = Vec::new();
    let mut rest = line.trim_end_matches(['\n', '\r']);
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err("a quotation mark inside a field without any around it".to_owned());
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => break,
            None => return Err("text after a closing quotation mark".to_owned()),
        }
    }
    let count = fields.len();
    let mut fields = fields.into_iter();
    let (Some(path), Some(length), Some(sha256), 3..=4) =
        (fields.next(), fields.next(), fields.next(), count)
    else {
        return Err(format!(
            "expected the fields path,length,sha256 and perhaps custom, found {count} fields"
        ));
    };
    let length = length.parse().map_err(|_| format!("expected a length in bytes, found {length:?}"))?;
    let custom = fields.next().filter(|custom| !custom.is_empty());
    let custom = custom
        .map(|custom| serde_json::from_str(&custom).map_err(|error| format!("custom is no JSON: {error}")))
        .transpose()?;
    Ok(Object { path, length, sha256, custom })
}

/// The field up to its closing quotation mark, and what follows.
fn read_quoted(mut rest: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    loop {
        let Some((text, after)) = rest.split_once('"') else {
            return Err("a quotation mark that is never closed".to_owned());
        };
        field.push_str(text);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}

/// What a manifest staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Staged {
    /// Rows.
    pub rows: u64,
    /// The bytes of their files.
    pub bytes: u64,
}

/// Stages the rows of a manifest, all or none. Their hashes are taken as given and the lengths of their files are
/// compared with what is in place; with `verify`, every file is read.
///
/// # Errors
/// [`Error::Manifest`] with the line; [`Error::State`].
pub async fn stage_manifest(
    repository: &Repository,
    state: &State,
    input: impl Read + Send + 'static,
    format: Format,
    role: Option<RoleName>,
    verify: bool,
) -> Result<Staged, Error> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<Vec<Row>, Error>>(4);
    let storage = Arc::clone(repository.storage());
    let reading = tokio::task::spawn_blocking(move || {
        let mut together = Vec::with_capacity(TOGETHER);
        for row in rows(io::BufReader::with_capacity(1 << 20, input), format) {
            let row = row.map_err(Error::from).and_then(|row| check(&*storage, &row, verify).map(|()| row));
            let failed = row.is_err();
            match row {
                Ok(row) => together.push(row),
                Err(error) => drop(sender.blocking_send(Err(error))),
            }
            let full = together.len() >= TOGETHER;
            if failed || (full && sender.blocking_send(Ok(std::mem::take(&mut together))).is_err()) {
                return;
            }
        }
        // Nobody listens only if staging failed, which is said there.
        drop(sender.blocking_send(Ok(together)));
    });
    let mut staging = state.staging().await?;
    let mut staged = Staged::default();
    while let Some(rows) = receiver.recv().await {
        for row in rows? {
            staged.rows += 1;
            staged.bytes += row.file.length;
            staging.push(&row.path, &Change { file: Some(row.file), role: role.clone() }).await?;
        }
    }
    // It ended well, or its error came by the channel; a panic must not look like the end of the manifest.
    reading.await.map_err(|error| ManifestError::new(staged.rows + 1, error.to_string()))?;
    staging.commit().await?;
    Ok(staged)
}

/// That the file of a row is in place. Of a storage elsewhere a publish asks for all lengths at once, so only `verify` asks here.
fn check(storage: &dyn Storage, row: &Row, verify: bool) -> Result<(), Error> {
    let stored = Repository::target(&row.path.remote(Some(&row.file.hashes)));
    let refused = |found: String| {
        let reason = format!(
            "target {}: expected a file of {} bytes at {}/{stored}, found {found}",
            row.path,
            row.file.length,
            storage.url()
        );
        let mut error = ManifestError::new(row.line, reason);
        error.hint = Some("files are put there before the manifest is added, named HASH.NAME".to_owned());
        Error::from(error)
    };
    if storage.local().is_some() || verify {
        match storage.length(&stored) {
            Ok(Some(found)) if found == row.file.length => {}
            Ok(Some(found)) => return Err(refused(format!("{found} bytes"))),
            Ok(None) => return Err(refused("none".to_owned())),
            Err(error) => return Err(refused(tuf_client::chain(&error))),
        }
    }
    if verify && verify_file(storage, &stored, &row.file)?.is_err() {
        return Err(refused("other bytes".to_owned()));
    }
    Ok(())
}
