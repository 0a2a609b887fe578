//! One line of the log: what it says, and its text.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Did;

/// What the first line of a log has as the one before it.
pub const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A timestamp: what was published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Point {
    /// The sha256 of the file, in hex.
    pub sha256: String,
    /// Its version.
    pub version: u64,
}

impl Point {
    /// The point of a timestamp's bytes.
    #[must_use]
    pub fn of(timestamp: &[u8], version: u64) -> Self {
        Self { sha256: sha256(timestamp), version }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timestamp {} ({})", self.version, short(&self.sha256))
    }
}

/// The files of one role, or of hash bins that have their keys in common, that were signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signed {
    /// The IDs of the keys whose signatures are in the files, sorted.
    pub by: Vec<String>,
    /// How many files.
    pub files: u64,
    /// The highest version.
    pub version: u64,
}

/// A line of the log. Fields are written in the order of their names; what is empty is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Line {
    /// The timestamp after this change, if it is one that clients see by a new timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Point>,
    /// When it was done.
    #[serde(with = "seconds")]
    pub at: DateTime<Utc>,
    /// The timestamp that it was built on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Point>,
    /// What was done, as [`super::Did`] names it.
    pub did: String,
    /// When this line was written, if that was by a later command: the one that did it was killed, or its disk was full.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_seconds")]
    pub late: Option<DateTime<Utc>>,
    /// The number of this line, from 1 on.
    pub n: u64,
    /// The sha256 of the line before, in hex, with what a crash left after it; of the first line: [`NOTHING`].
    pub previous: String,
    /// The roles that were signed, and by which keys; hash bins together as `bin-n` or `NAME-bin-n`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signed: BTreeMap<String, Signed>,
    /// How many bytes lie between this line and the one before: a line that was not written to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<u64>,
    /// Whether it is not known that clients ever saw it: this machine was killed, and another has published since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
    /// The operating system's user and the machine.
    pub user: String,
    /// What else there is to say of it: figures, names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub what: BTreeMap<String, Value>,
    /// Why, in the words of who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Line {
    /// Whether it says what was found published, and not that something was: an import, a restore, a rebuild.
    pub(crate) fn is_adopted(&self) -> bool {
        let adopts = [Did::Import, Did::Rebuild, Did::Restore].iter().any(|did| did.name() == self.did);
        adopts && self.before.is_none() && self.signed.is_empty()
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// Why it is none: its text must be the one that is written for what it says.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if serde_json::to_string(&value).is_ok_and(|written| written.as_bytes() != text) {
            return Err("it is not written as this program writes".to_owned());
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// Its text, without its end.
    #[must_use]
    pub fn text(&self) -> String {
        // Names and numbers only: it does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The sha256 of some bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The first digits, for people.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

mod seconds {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};
    use tuf_client::text::utc;

    pub(super) fn serialize<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&utc(time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(from)
    }
}

mod maybe_seconds {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::seconds::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<DateTime<Utc>>::deserialize(from)
    }
}
