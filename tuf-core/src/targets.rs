//! Targets metadata (spec 4.5): lengths and hashes of files, and delegations.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::delegation::Delegations;
use crate::hashes::Hashes;
use crate::json::{Extra, Json};
use crate::limits::Limits;
use crate::metadata::{Header, Metadata, sealed};
use crate::reader::{Field, FieldError, Reader, required, write_object};
use crate::role::TopLevel;
use crate::sorted::{Entry, Sorted};
use crate::target_path::TargetPath;

/// What is signed of one target file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetFile {
    /// The length in bytes.
    pub length: u64,
    /// The hashes.
    pub hashes: Hashes,
    /// `custom`: opaque here, and never part of a trust decision.
    pub custom: Option<Json>,
    /// Unknown fields.
    pub extra: Extra,
}

impl TargetFile {
    /// A target of this length and these hashes.
    #[must_use]
    pub const fn new(length: u64, hashes: Hashes) -> Self {
        Self { length, hashes, custom: None, extra: Extra::new() }
    }
}

impl Entry for TargetFile {
    fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
        let (mut length, mut hashes, mut custom, mut extra) = (None, None, None, Extra::new());
        reader.object(|key, reader| {
            match &*key {
                "length" => length = Some(reader.integer()?),
                "hashes" => hashes = Some(Hashes::read(reader)?),
                "custom" => custom = Some(reader.json()),
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        Ok(Self { length: required(length, "length")?, hashes: required(hashes, "hashes")?, custom, extra })
    }

    fn write(&self, out: &mut String) {
        let custom = |out: &mut String| {
            if let Some(custom) = &self.custom {
                out.push_str(custom.as_canonical());
            }
        };
        let hashes = |out: &mut String| self.hashes.write(out);
        let length = |out: &mut String| out.push_str(&self.length.to_string());
        let fields: [Field<'_>; 3] = [("custom", &custom), ("hashes", &hashes), ("length", &length)];
        let skip = usize::from(self.custom.is_none());
        write_object(out, &self.extra, fields.get(skip..).unwrap_or_default());
    }
}

/// The targets of one role, sorted by path. Paths are kept as signed: a name that this program would
/// not write to disk spoils only itself, not the file that lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMap(Sorted<TargetFile>);

impl TargetMap {
    /// The entry for a path.
    #[must_use]
    pub fn get(&self, path: &TargetPath) -> Option<TargetFile> {
        self.0.get(path.as_str())
    }

    /// Adds or replaces an entry; gives back the one replaced. For many, [`Extend`] is far cheaper.
    pub fn insert(&mut self, path: &TargetPath, file: TargetFile) -> Option<TargetFile> {
        self.0.insert(path.as_str(), &file)
    }

    /// Removes an entry and gives it back.
    pub fn remove(&mut self, path: &TargetPath) -> Option<TargetFile> {
        self.0.remove(path.as_str())
    }

    /// All entries by path, as signed.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, TargetFile)> {
        self.0.iter()
    }

    /// The number of targets.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no target.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Adds or replaces many entries, in any order; of two for one path the later one counts.
impl Extend<(TargetPath, TargetFile)> for TargetMap {
    fn extend<T: IntoIterator<Item = (TargetPath, TargetFile)>>(&mut self, entries: T) {
        self.0.extend(entries.into_iter().map(|(path, file)| (path.as_str().into(), file)));
    }
}

impl FromIterator<(TargetPath, TargetFile)> for TargetMap {
    fn from_iter<T: IntoIterator<Item = (TargetPath, TargetFile)>>(entries: T) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

/// Targets metadata, of the top-level role or of a delegated one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Targets {
    /// The common fields.
    pub header: Header,
    /// The files.
    pub targets: TargetMap,
    /// Who else may sign for some paths.
    pub delegations: Option<Delegations>,
    /// Unknown fields.
    pub extra: Extra,
}

impl Targets {
    /// Empty targets, version 1.
    #[must_use]
    pub fn new(expires: DateTime<Utc>) -> Self {
        Self {
            header: Header::new(expires),
            targets: TargetMap::default(),
            delegations: None,
            extra: Extra::new(),
        }
    }
}

impl Metadata for Targets {
    const KIND: TopLevel = TopLevel::Targets;

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

impl sealed::Sealed for Targets {
    type Parts = (Option<TargetMap>, Option<Delegations>);

    fn read_field(
        parts: &mut Self::Parts,
        key: &str,
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<bool, FieldError> {
        match key {
            "targets" => parts.0 = Some(TargetMap(Sorted::read(reader, |_| Ok(()))?)),
            "delegations" => parts.1 = Some(Delegations::read(reader, limits)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn build(header: Header, parts: Self::Parts, extra: Extra) -> Result<Self, FieldError> {
        Ok(Self { header, targets: required(parts.0, "targets")?, delegations: parts.1, extra })
    }

    fn write_fields<'a>(&'a self) -> Vec<sealed::OwnField<'a>> {
        let mut fields: Vec<sealed::OwnField<'a>> = Vec::new();
        if let Some(delegations) = &self.delegations {
            fields.push(("delegations", Box::new(|out| delegations.write(out))));
        }
        fields.push(("targets", Box::new(|out| out.push_str(self.targets.0.as_canonical()))));
        fields
    }

    fn extra(&self) -> &Extra {
        &self.extra
    }
}
