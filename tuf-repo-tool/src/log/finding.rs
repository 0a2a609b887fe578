//! What is wrong with a log, in words.

use std::fmt;

use serde::Serialize;

/// What was done to a log, or what it does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A line was changed after it was written.
    Changed,
    /// Lines are gone from the middle or the beginning.
    Removed,
    /// Lines were put in, or moved.
    Inserted,
    /// Lines are gone from the end, or all of the log was written anew.
    CutOff,
    /// Something was published of which no line is there.
    Gap,
    /// Two histories: two states of one version, or one built on what was not the last.
    Fork,
    /// Older files are published than the log says.
    Rollback,
    /// A key that the roots do not list, or another one than signed.
    Key,
    /// Nothing is wrong, but the operator should know.
    Note,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::CutOff => "cut off",
            Self::Gap => "gap",
            Self::Fork => "fork",
            Self::Rollback => "rollback",
            Self::Key => "key",
            Self::Note => "note",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The file of the log, if it is about one.
    pub log: Option<String>,
    /// The line of that file, from 1 on.
    pub line: Option<u64>,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// What it means.
    pub message: String,
}

impl Finding {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, log: None, line: None, expected: None, found: None, message: message.into() }
    }

    pub(super) fn at(mut self, log: &str, line: u64) -> Self {
        (self.log, self.line) = (Some(log.to_owned()), Some(line));
        self
    }

    pub(super) fn of(mut self, log: &str) -> Self {
        self.log = Some(log.to_owned());
        self
    }

    pub(super) fn but(mut self, expected: impl ToString, found: impl ToString) -> Self {
        (self.expected, self.found) = (Some(expected.to_string()), Some(found.to_string()));
        self
    }

    /// Whether something is wrong.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.kind != Kind::Note
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind.name())?;
        if let Some(log) = &self.log {
            write!(f, "{log}: ")?;
        }
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.message)?;
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => write!(f, " (expected {expected}, found {found})"),
            _ => Ok(()),
        }
    }
}
