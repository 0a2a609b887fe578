//! Snapshot metadata (spec 4.4): the version of every targets role, so that a client never puts
//! files of different times together.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::error::{Error, ErrorKind};
use crate::hashes::{Checker, Hashes};
use crate::json::Extra;
use crate::keys::at_most;
use crate::limits::Limits;
use crate::metadata::{Header, Metadata, sealed};
use crate::reader::{Field, FieldError, Reader, required, write_object};
use crate::role::{RoleName, TopLevel};
use crate::sorted::{Entry, Sorted};

/// What a signed file says of another metadata file: its version, and maybe its length and hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaFile {
    /// The version.
    pub version: u64,
    /// The length in bytes.
    pub length: Option<u64>,
    /// The hashes of the bytes.
    pub hashes: Option<Hashes>,
    /// Unknown fields.
    pub extra: Extra,
}

impl MetaFile {
    /// Only a version: what a snapshot says of hash bins, to stay small.
    #[must_use]
    pub const fn version(version: u64) -> Self {
        Self { version, length: None, hashes: None, extra: Extra::new() }
    }

    /// Version, length and sha256 of a file.
    #[must_use]
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self {
            version,
            length: u64::try_from(bytes.len()).ok(),
            hashes: Some(Hashes::of(bytes)),
            extra: Extra::new(),
        }
    }

    /// Checks received bytes against length and hashes, where they are given (spec 5.5.2, 5.6.2).
    ///
    /// # Errors
    /// [`ErrorKind::Length`], [`ErrorKind::Hash`], [`ErrorKind::NoKnownHash`].
    pub fn check(&self, bytes: &[u8]) -> Result<(), Error> {
        match &self.hashes {
            Some(hashes) => Checker::check(hashes, self.length, bytes),
            None => {
                let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                match self.length {
                    Some(expected) if expected != found => Err(ErrorKind::Length { expected, found }.into()),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl Entry for MetaFile {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
        let (mut version, mut length, mut hashes, mut extra) = (None, None, None, Extra::new());
        reader.object(|key, reader| {
            match &*key {
                "version" => version = Some(reader.version()?),
                "length" => length = Some(reader.integer()?),
                "hashes" => hashes = Some(Hashes::read(reader)?),
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        Ok(Self { version: required(version, "version")?, length, hashes, extra })
    }

    fn write(&self, out: &mut String) {
        let hashes = |out: &mut String| {
            if let Some(hashes) = &self.hashes {
                hashes.write(out);
            }
        };
        let length = |out: &mut String| out.push_str(&self.length.unwrap_or_default().to_string());
        let version = |out: &mut String| out.push_str(&self.version.to_string());
        let mut fields: Vec<Field<'_>> = Vec::with_capacity(3);
        if self.hashes.is_some() {
            fields.push(("hashes", &hashes));
        }
        if self.length.is_some() {
            fields.push(("length", &length));
        }
        fields.push(("version", &version));
        write_object(out, &self.extra, &fields);
    }
}

/// The `meta` of a snapshot: one entry for every targets role, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta(Sorted<MetaFile>);

impl Meta {
    /// The entry of a file, such as `targets.json`.
    #[must_use]
    pub fn get(&self, file: &str) -> Option<MetaFile> {
        self.0.get(file)
    }

    /// Adds or replaces an entry. For many, [`Extend`] is far cheaper.
    pub fn insert(&mut self, file: &str, meta: MetaFile) {
        self.0.insert(file, &meta);
    }

    /// All entries by name.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, MetaFile)> {
        self.0.iter()
    }

    /// The number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Adds or replaces the entries of many roles, in any order; of two for one role the later one counts.
impl Extend<(RoleName, MetaFile)> for Meta {
    fn extend<T: IntoIterator<Item = (RoleName, MetaFile)>>(&mut self, entries: T) {
        self.0.extend(entries.into_iter().map(|(role, meta)| (role.snapshot_entry().into(), meta)));
    }
}

impl FromIterator<(RoleName, MetaFile)> for Meta {
    fn from_iter<T: IntoIterator<Item = (RoleName, MetaFile)>>(entries: T) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

/// Snapshot metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The common fields.
    pub header: Header,
    /// Every targets role.
    pub meta: Meta,
    /// Unknown fields.
    pub extra: Extra,
}

impl Snapshot {
    /// An empty snapshot, version 1.
    #[must_use]
    pub fn new(expires: DateTime<Utc>) -> Self {
        Self { header: Header::new(expires), meta: Meta::default(), extra: Extra::new() }
    }

    /// The entry of a targets role.
    #[must_use]
    pub fn role(&self, role: &RoleName) -> Option<MetaFile> {
        self.meta.get(&role.snapshot_entry())
    }

    /// Adds or replaces the entry of a targets role.
    pub fn set_role(&mut self, role: &RoleName, meta: MetaFile) {
        self.meta.insert(&role.snapshot_entry(), meta);
    }
}

impl Metadata for Snapshot {
    const KIND: TopLevel = TopLevel::Snapshot;

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

impl sealed::Sealed for Snapshot {
    type Parts = Option<Meta>;

    fn read_field(
        parts: &mut Self::Parts,
        key: &str,
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<bool, FieldError> {
        if key != "meta" {
            return Ok(false);
        }
        // Every delegation, targets.json, and what is left of roles that are gone.
        let limit = limits.delegations.saturating_mul(2);
        *parts = Some(Meta(Sorted::read(reader, |count| at_most(count, limit, "roles"))?));
        Ok(true)
    }

    fn build(header: Header, parts: Self::Parts, extra: Extra) -> Result<Self, FieldError> {
        Ok(Self { header, meta: required(parts, "meta")?, extra })
    }

    fn write_fields<'a>(&'a self) -> Vec<sealed::OwnField<'a>> {
        vec![("meta", Box::new(|out| out.push_str(self.meta.0.as_canonical())))]
    }

    fn extra(&self) -> &Extra {
        &self.extra
    }
}
