//! One thing found.

use serde::Serialize;
use tuf_client::Url;
use tuf_client::audit::{Finding as Audited, Severity};

use crate::error::Error;

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which rule found it, see [`tuf_client::audit`]; never renamed.
    pub id: &'static str,
    /// The role it is about.
    pub role: Option<String>,
    /// That role's version, where it is known.
    pub version: Option<u64>,
    /// What was found, in words.
    pub message: String,
    /// What was to be there, where the words do not say it.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    fn new(severity: Severity, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity,
            id,
            role: None,
            version: None,
            message: message.into(),
            expected: None,
            found: None,
            hint: None,
        }
    }

    pub(super) fn error(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, message)
    }

    pub(super) fn warning(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, message)
    }

    /// An error of this program, as a finding.
    pub(super) fn of(id: &'static str, error: &Error) -> Self {
        let mut finding = Self::error(id, tuf_client::chain(error));
        finding.hint = error.hint();
        finding
    }

    pub(super) fn about(mut self, role: &str, version: Option<u64>) -> Self {
        self.role = Some(role.to_owned());
        self.version = version;
        self
    }

    pub(super) fn compare(mut self, expected: String, found: String) -> Self {
        (self.expected, self.found) = (Some(expected), Some(found));
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, of what a server gives.
    pub(super) fn through(mut self, url: &Url) -> Self {
        self.message = format!("through {}: {}", tuf_client::transport::redact(url), self.message);
        self
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.role == other.role
            && self.version == other.version
            && self.message == other.message
    }
}

impl From<&Audited> for Finding {
    fn from(found: &Audited) -> Self {
        let mut finding = Self::new(found.severity, found.id, found.message.clone());
        (finding.role, finding.version) = (found.role.clone(), found.version);
        finding.hint = found.hint.map(str::to_owned);
        finding
    }
}
