//! What an audit says, as values. They serialise to the JSON document that the module describes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::RoleName;

use crate::text::serialize_utc;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing; nothing to do, or not soon.
    Note,
    /// Works, but is weaker than it looks or will not work for long.
    Warning,
    /// A client would refuse, or would be fooled.
    Error,
}

impl Severity {
    /// From worst to least.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// The severity as one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Note => "note",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no severity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not error, warning or note")]
pub struct SeverityError(String);

impl FromStr for Severity {
    type Err = SeverityError;

    fn from_str(text: &str) -> Result<Self, SeverityError> {
        let found = Self::ALL.into_iter().find(|severity| severity.name() == text);
        found.ok_or_else(|| SeverityError(text.to_owned()))
    }
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which rule found it: kebab-case, never renamed.
    pub id: &'static str,
    /// The role it is about.
    pub role: Option<String>,
    /// That role's version, where it is known.
    pub version: Option<u64>,
    /// What was found, in words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

impl Finding {
    pub(super) fn new(severity: Severity, id: &'static str, message: impl Into<String>) -> Self {
        Self { severity, id, role: None, version: None, message: message.into(), hint: None }
    }

    pub(super) fn error(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, message)
    }

    pub(super) fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, message)
    }

    pub(super) fn note(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, id, message)
    }

    pub(super) fn about(mut self, role: &RoleName, version: Option<u64>) -> Self {
        self.role = Some(role.to_string());
        self.version = version;
        self
    }

    pub(super) const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// A key that may sign for a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyReport {
    /// Its ID in the file that delegates.
    pub id: String,
    /// `keytype`; absent if that file does not list the key.
    pub keytype: Option<String>,
    /// `scheme`; absent if that file does not list the key.
    pub scheme: Option<String>,
    /// Whether this program can verify with it.
    pub usable: bool,
}

/// One metadata file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RoleReport {
    /// The role.
    pub role: String,
    /// Who delegates to it; absent for top-level roles.
    pub delegator: Option<String>,
    /// The file's name below `metadata/`.
    pub file: String,
    /// Whether a client would accept it, expiry apart.
    pub accepted: bool,
    /// Its version; if it was not accepted, what it claims.
    pub version: Option<u64>,
    /// Its `expires`; absent if it was not accepted.
    pub expires: Option<String>,
    /// Seconds until then, negative if past.
    pub expires_in: Option<i64>,
    /// Its `spec_version`; absent if it was not accepted.
    pub spec_version: Option<String>,
    /// Its size in bytes.
    pub bytes: usize,
    /// How many distinct keys must sign.
    pub threshold: u32,
    /// The keys that may sign.
    pub keys: Vec<KeyReport>,
    /// IDs of keys with a valid signature.
    pub signed: Vec<String>,
    /// IDs of keys whose signature does not verify.
    pub invalid: Vec<String>,
    /// IDs of keys that may sign and did not.
    pub missing: Vec<String>,
    /// The number of targets it lists; absent for roles that list none by nature.
    pub targets: Option<usize>,
    /// The number of roles it delegates to; absent likewise.
    pub delegations: Option<u64>,
}

/// Where trust started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Anchor {
    /// Whether it was supplied; if not, `1.root.json` was taken from the repository itself.
    pub supplied: bool,
    /// The SHA-256 of the file, hex.
    pub sha256: String,
}

/// What fetching the targets came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FilesReport {
    /// How many files were fetched or tried.
    pub checked: u64,
    /// How many of them are missing or not what was signed.
    pub failed: u64,
    /// How many bytes came.
    pub bytes: u64,
}

/// What an audit found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// `tuf-client.audit/1`: changes when a field changes its meaning.
    pub format: &'static str,
    /// What was audited, without user name, password and query.
    pub url: String,
    /// The time that expiry was judged by.
    #[serde(serialize_with = "serialize_utc")]
    pub at: DateTime<Utc>,
    /// Where trust started.
    pub anchor: Anchor,
    /// Every root, oldest first.
    pub roots: Vec<RoleReport>,
    /// Every other file, once for each delegator: timestamp, snapshot, targets, then the delegated roles.
    pub roles: Vec<RoleReport>,
    /// The targets, if they were fetched.
    pub files: Option<FilesReport>,
    /// Everything found, in the order of trust.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings there are of one severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether there is a finding of this severity or a worse one.
    #[must_use]
    pub fn fails(&self, at: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= at)
    }

    /// The document described in [`crate::audit`].
    ///
    /// # Errors
    /// None in practice: all keys are strings.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self)
    }
}
