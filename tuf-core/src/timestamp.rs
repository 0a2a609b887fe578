//! Timestamp metadata (spec 4.6): which snapshot is current. Small, short-lived, signed often.

use chrono::{DateTime, Utc};

use crate::json::Extra;
use crate::limits::Limits;
use crate::metadata::{Header, Metadata, sealed};
use crate::reader::{FieldError, Reader, required, write_object};
use crate::role::TopLevel;
use crate::snapshot::MetaFile;
use crate::sorted::Entry;

/// Timestamp metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timestamp {
    /// The common fields.
    pub header: Header,
    /// The current snapshot.
    pub snapshot: MetaFile,
    /// Unknown entries of `meta`.
    pub meta_extra: Extra,
    /// Unknown fields.
    pub extra: Extra,
}

impl Timestamp {
    /// A timestamp, version 1, for a snapshot.
    #[must_use]
    pub fn new(expires: DateTime<Utc>, snapshot: MetaFile) -> Self {
        Self { header: Header::new(expires), snapshot, meta_extra: Extra::new(), extra: Extra::new() }
    }
}

impl Metadata for Timestamp {
    const KIND: TopLevel = TopLevel::Timestamp;

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

impl sealed::Sealed for Timestamp {
    type Parts = (Option<MetaFile>, Extra);

    fn read_field(
        parts: &mut Self::Parts,
        key: &str,
        reader: &mut Reader<'_>,
        _limits: &Limits,
    ) -> Result<bool, FieldError> {
        if key != "meta" {
            return Ok(false);
        }
        reader.object(|name, reader| {
            if name == "snapshot.json" {
                parts.0 = Some(MetaFile::read(reader)?);
            } else {
                parts.1.insert(name.into_owned(), reader.json());
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn build(header: Header, parts: Self::Parts, extra: Extra) -> Result<Self, FieldError> {
        let snapshot = required(parts.0, "snapshot.json").map_err(|error| error.at("meta"))?;
        Ok(Self { header, snapshot, meta_extra: parts.1, extra })
    }

    fn write_fields<'a>(&'a self) -> Vec<sealed::OwnField<'a>> {
        vec![(
            "meta",
            Box::new(|out| {
                write_object(out, &self.meta_extra, &[("snapshot.json", &|out| self.snapshot.write(out))]);
            }),
        )]
    }

    fn extra(&self) -> &Extra {
        &self.extra
    }
}
