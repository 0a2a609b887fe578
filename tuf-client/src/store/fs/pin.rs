//! What a store is pinned to: one root, one repository. There are two copies of both, so that no damage to a
//! single file takes a client's trust anchor away.

use std::path::Path;

use data_encoding::HEXLOWER;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::plain::{Plain, read};
use super::{acquire, set_aside};
use crate::durable::{self, Access, WriteBatch};
use crate::store::{DEFAULT_LOCK_WAIT, Recovered, StoreError, StoreErrorKind};
use crate::transport::redact;
use crate::url::Url;

pub(super) const RECORD: &str = "store.json";
pub(super) const ROOT: &str = "root.json";
/// Written before the others, so that an interrupted initialisation is none.
pub(super) const BACKUP: &str = "backup";
const RECORDS: [&str; 2] = [RECORD, "backup/store.json"];
const ROOTS: [&str; 2] = [ROOT, "backup/root.json"];
/// Far above any root or record; what is larger is damaged.
const MAX_OWN_FILE: u64 = 8 * 1024 * 1024;

/// `store.json`. The URL is kept whole, with credentials: the file is its owner's alone.
#[derive(Deserialize, Serialize)]
struct Record {
    /// In lower-case hex.
    root_sha256: String,
    url: String,
    /// Of the two, so that one flipped bit is noticed.
    check: String,
}

impl Record {
    fn new(root_sha256: String, url: String) -> Self {
        let check = sha256(format!("{root_sha256}\n{url}").as_bytes());
        Self { root_sha256, url, check }
    }
}

/// What is there of the four files.
#[derive(Default)]
struct Found {
    record: Option<(String, Url)>,
    /// The one that the record names.
    root: Option<Vec<u8>>,
    /// Without a record: hashes of what may be the root.
    witnesses: Vec<String>,
    /// Files that are there and wrong.
    damaged: Vec<(&'static str, &'static str)>,
    missing: bool,
}

impl Found {
    fn read(directory: &Path) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for name in RECORDS {
            match read(&durable::checked_join(directory, name)?, MAX_OWN_FILE)? {
                Plain::Missing => found.missing = true,
                Plain::Unusable(reason) => found.damaged.push((name, reason)),
                Plain::Bytes(bytes) => match parse(&bytes) {
                    None => found.damaged.push((name, "it does not say what it was written to say")),
                    record if found.record.is_none() => found.record = record,
                    record if found.record == record => {}
                    _ => found.damaged.push((name, "it is not a copy of store.json")),
                },
            }
        }
        for name in ROOTS {
            match read(&durable::checked_join(directory, name)?, MAX_OWN_FILE)? {
                Plain::Missing => found.missing = true,
                Plain::Unusable(reason) => found.damaged.push((name, reason)),
                Plain::Bytes(bytes) => match &found.record {
                    Some((expected, _)) if sha256(&bytes) == *expected => found.root = Some(bytes),
                    None if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() => {
                        found.witnesses.push(sha256(&bytes));
                    }
                    _ => found.damaged.push((name, "it is not the root that store.json names")),
                },
            }
        }
        Ok(found)
    }

    fn is_whole(&self) -> bool {
        self.record.is_some() && self.root.is_some() && self.damaged.is_empty() && !self.missing
    }

    /// An error if the store is for something else.
    fn check(&self, directory: &Path, root: &[u8], url: &Url) -> Result<(), StoreError> {
        let given = sha256(root);
        // Without a record, the roots themselves are the witnesses.
        let stored: Vec<&String> = match &self.record {
            Some((stored, _)) => vec![stored],
            None => self.witnesses.iter().collect(),
        };
        if let Some(first) = stored.first()
            && !stored.contains(&&given)
        {
            let stored = (*first).clone();
            return Err(StoreError::new(directory, StoreErrorKind::OtherRoot { given, stored }));
        }
        if let Some((_, stored)) = &self.record {
            let (given, stored) = (redact(url), redact(stored));
            if given != stored {
                return Err(StoreError::new(directory, StoreErrorKind::OtherUrl { given, stored }));
            }
        }
        Ok(())
    }
}

/// Pins the directory to this root and this repository, or makes sure that it is, and repairs what is damaged.
pub(super) fn init(directory: &Path, root: &[u8], url: &Url) -> Result<Vec<Recovered>, StoreError> {
    // The usual case needs no lock: these files change only here.
    let found = Found::read(directory)?;
    found.check(directory, root, url)?;
    if found.is_whole() {
        return Ok(Vec::new());
    }
    durable::create_dirs(directory, Access::Private)?;
    let mut lock = acquire(directory, DEFAULT_LOCK_WAIT)?;
    let found = Found::read(directory)?;
    found.check(directory, root, url)?;
    if found.is_whole() {
        return Ok(Vec::new());
    }
    lock.prepare_to_write()?;
    let stored_url = found.record.as_ref().map_or(url, |(_, stored)| stored);
    let recovered = found.damaged.iter().map(|(name, reason)| set_aside(directory, name, reason));
    let recovered = recovered.collect::<Result<_, _>>()?;
    let path = directory.join(RECORD);
    let record = serde_json::to_vec_pretty(&Record::new(sha256(root), stored_url.to_string()))
        .map_err(|error| StoreError::from_io(&path, error.into()))?;
    let mut batch = WriteBatch::new(Access::Private);
    for (root_name, record_name) in ROOTS.into_iter().zip(RECORDS).rev() {
        batch.write(&directory.join(root_name), root)?;
        batch.write(&directory.join(record_name), &record)?;
    }
    batch.commit()?;
    Ok(recovered)
}

/// What the directory is pinned to, repaired where one of two copies is damaged.
pub(super) fn existing(directory: &Path) -> Result<(Vec<u8>, Url, Vec<Recovered>), StoreError> {
    let found = Found::read(directory)?;
    let whole = found.is_whole();
    let damaged = |what| Err(StoreError::new(directory, StoreErrorKind::Damaged(what)));
    match (found.record, found.root) {
        (Some((_, url)), Some(root)) => {
            let recovered = if whole { Vec::new() } else { init(directory, &root, &url)? };
            Ok((root, url, recovered))
        }
        (Some(_), None) => damaged("root.json is not the root that store.json names"),
        (None, _) if found.damaged.is_empty() && found.witnesses.is_empty() => {
            Err(StoreError::new(directory, StoreErrorKind::NotInitialised))
        }
        (None, _) => damaged("store.json cannot be read"),
    }
}

/// The sha256 of the pinned root, and the repository's URL.
fn parse(bytes: &[u8]) -> Option<(String, Url)> {
    let record: Record = serde_json::from_slice(bytes).ok()?;
    let expected = Record::new(record.root_sha256, record.url);
    (record.check == expected.check).then_some(())?;
    Some((expected.root_sha256, Url::parse(&expected.url).ok()?))
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}
