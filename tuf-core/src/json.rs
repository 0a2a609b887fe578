//! JSON values that are carried, not interpreted.

use std::collections::BTreeMap;
use std::fmt;

use crate::canonical::{JsonError, canonicalize, to_wire};

/// A JSON value this program does not interpret, kept in canonical form, so that it survives a
/// read-edit-write to the last digit.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

/// The members of an object that this program does not know (spec 4.1: unknown fields are kept).
pub type Extra = BTreeMap<String, Json>;

impl Json {
    pub(crate) fn from_canonical(text: &str) -> Self {
        Self(text.into())
    }

    /// Reads one JSON text.
    ///
    /// # Errors
    /// [`JsonError`] as for [`canonicalize`].
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        Ok(Self(canonicalize(text, 64)?.into()))
    }

    /// Takes over a `serde_json` value.
    ///
    /// # Errors
    /// [`JsonError`] if it holds a float.
    pub fn from_value(value: &serde_json::Value) -> Result<Self, JsonError> {
        Self::parse(value.to_string().as_bytes())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_canonical(&self) -> &str {
        &self.0
    }

    /// As a `serde_json` value. Integers beyond 64 bits become floats there; the canonical text keeps
    /// them.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&to_wire(&self.0)).unwrap_or(serde_json::Value::Null)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
