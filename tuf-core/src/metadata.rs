//! What the four kinds of metadata share: the header fields, and how `signed` is read and written.

use chrono::{DateTime, Utc};

use crate::canonical::write_string;
use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind};
use crate::json::Extra;
use crate::limits::Limits;
use crate::reader::{Field, FieldError, Reader, required, shorten, write_object, write_time};
use crate::role::TopLevel;

/// The version of the specification that the builders write.
pub const SPEC_VERSION: &str = "1.0.34";

/// The fields that every kind of metadata has (spec 4.3): `spec_version`, `version`, `expires`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The specification followed, `1.x`.
    pub spec_version: String,
    /// The version of this file, from 1.
    pub version: u64,
    /// When it stops being valid.
    pub expires: DateTime<Utc>,
}

impl Header {
    pub(crate) fn new(expires: DateTime<Utc>) -> Self {
        Self { spec_version: SPEC_VERSION.to_owned(), version: 1, expires }
    }
}

/// One kind of metadata. Sealed: the four kinds are those of the specification.
pub trait Metadata: sealed::Sealed + Clone + PartialEq + Send + Sync + 'static {
    /// Its `_type`.
    const KIND: TopLevel;

    /// The common fields.
    fn header(&self) -> &Header;

    /// The common fields, to edit.
    fn header_mut(&mut self) -> &mut Header;
}

pub(crate) mod sealed {
    use super::{Extra, FieldError, Header, Limits, Reader};

    /// The name of a field, and what writes its value.
    pub(crate) type OwnField<'a> = (&'static str, Box<dyn Fn(&mut String) + 'a>);

    /// Reading and writing the fields that are not common.
    #[expect(unnameable_types, reason = "seals `Metadata`")]
    pub trait Sealed: Sized {
        /// Reads one field of `signed`; `false` if it is unknown.
        #[doc(hidden)]
        fn read_field(
            parts: &mut Self::Parts,
            key: &str,
            reader: &mut Reader<'_>,
            limits: &Limits,
        ) -> Result<bool, FieldError>;

        /// Puts the parts together.
        #[doc(hidden)]
        fn build(header: Header, parts: Self::Parts, extra: Extra) -> Result<Self, FieldError>;

        /// Fields besides the common ones, sorted by name.
        #[doc(hidden)]
        fn write_fields<'a>(&'a self) -> Vec<OwnField<'a>>;

        #[doc(hidden)]
        fn extra(&self) -> &Extra;

        /// What has been read so far.
        #[doc(hidden)]
        type Parts: Default;
    }
}

/// Reads a typed value from the canonical `signed` of an envelope.
pub(crate) fn read<T: Metadata>(envelope: &Envelope, limits: &Limits) -> Result<T, Error> {
    let mut parts = T::Parts::default();
    let (mut kind, mut spec_version, mut version, mut expires) = (None, None, None, None);
    let mut extra = Extra::new();
    let read = envelope.reader().object(|key, reader| {
        match &*key {
            "_type" => kind = Some(reader.owned_string()?),
            "spec_version" => spec_version = Some(reader.owned_string()?),
            "version" => version = Some(reader.version()?),
            "expires" => expires = Some(reader.time()?),
            _ => {
                if !T::read_field(&mut parts, &key, reader, limits)? {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
        }
        Ok(())
    });
    // Another kind or major version may have anything: that it is one is then the better reason.
    if read.is_err() {
        kind_and_spec_version::<T>(envelope)?;
    }
    read?;
    check_kind::<T>(kind)?;
    let header = Header {
        spec_version: check_spec_version(spec_version)?,
        version: required(version, "version")?,
        expires: required(expires, "expires")?,
    };
    Ok(T::build(header, parts, extra)?)
}

/// Checks only the two fields that decide how the others are to be read.
fn kind_and_spec_version<T: Metadata>(envelope: &Envelope) -> Result<(), Error> {
    let (mut kind, mut spec_version) = (None, None);
    envelope.reader().object(|key, reader| {
        match &*key {
            "_type" => kind = Some(reader.owned_string()?),
            "spec_version" => spec_version = Some(reader.owned_string()?),
            _ => {
                reader.raw();
            }
        }
        Ok(())
    })?;
    check_kind::<T>(kind)?;
    check_spec_version(spec_version).map(|_| ())
}

fn check_kind<T: Metadata>(kind: Option<String>) -> Result<(), Error> {
    let found = required(kind, "_type")?;
    if found == T::KIND.name() {
        return Ok(());
    }
    Err(ErrorKind::Type { expected: T::KIND.name(), found: shorten(&found) }.into())
}

fn check_spec_version(text: Option<String>) -> Result<String, Error> {
    let text = required(text, "spec_version")?;
    if readable_spec_version(&text) { Ok(text) } else { Err(ErrorKind::SpecVersion(shorten(&text)).into()) }
}

/// `1.x` or `1.x.y` (spec 4.3; TAP 6: the major version must be the client's).
fn readable_spec_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let numeric = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    numeric && (2..=3).contains(&parts.len()) && parts.first() == Some(&"1")
}

/// The canonical `signed` of a typed value.
pub(crate) fn write<T: Metadata>(value: &T) -> String {
    let header = value.header();
    let kind = |out: &mut String| write_string(out, T::KIND.name());
    let spec_version = |out: &mut String| write_string(out, &header.spec_version);
    let version = |out: &mut String| out.push_str(&header.version.to_string());
    let expires = |out: &mut String| write_time(out, &header.expires);
    let own = value.write_fields();
    let mut fields: Vec<Field<'_>> =
        vec![("_type", &kind), ("expires", &expires), ("spec_version", &spec_version), ("version", &version)];
    fields.extend(own.iter().map(|(name, write)| (*name, &**write)));
    fields.sort_by_key(|(name, _)| *name);
    let mut out = String::new();
    write_object(&mut out, value.extra(), &fields);
    out
}

#[cfg(test)]
mod tests {
    use super::readable_spec_version;

    #[test]
    fn only_major_version_one_is_read() {
        for text in ["1.0", "1.0.0", "1.0.34", "1.1", "1.12.3"] {
            assert!(readable_spec_version(text), "{text}");
        }
        for text in ["2.0.0", "1", "", "1.", "1.0.x", "0.9.0", "1.0.0.0", "-1.0"] {
            assert!(!readable_spec_version(text), "{text}");
        }
    }
}
