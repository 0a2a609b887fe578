//! Project names.

use std::fmt;

/// The longest project name taken, in bytes: what still fits one file name.
const MAX_BYTES: usize = 255;

/// The name of a project, normalised after PEP 503: lower case, and every run of `-`, `_` and `.` is one `-`.
///
/// Two spellings of one project compare equal, and the name is safe as one segment of a path or a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectName(Box<str>);

impl ProjectName {
    /// Takes any spelling that the name grammar of PEP 508 allows, and normalises it.
    ///
    /// # Errors
    /// [`NameError`] if `raw` is empty, too long, or breaks the grammar.
    pub fn new(raw: &str) -> Result<Self, NameError> {
        if raw.len() > MAX_BYTES {
            return Err(NameError::TooLong { found: raw.len(), limit: MAX_BYTES });
        }
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = raw.as_bytes();
        let inner = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || is_separator(*byte));
        if !inner || !edge(bytes.first()) || !edge(bytes.last()) {
            return Err(NameError::Grammar { found: raw.to_owned() });
        }
        Ok(Self(normalise(raw).into()))
    }

    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `raw` is a project name that is spelled in its normalised form already.
    #[must_use]
    pub fn is_normalised(raw: &str) -> bool {
        Self::new(raw).is_ok_and(|name| name.as_str() == raw)
    }

    /// Whether `raw` is some spelling of this project's name.
    #[must_use]
    pub fn is_spelled(&self, raw: &str) -> bool {
        Self::new(raw).is_ok_and(|name| name == *self)
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'.')
}

fn normalise(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for character in raw.chars() {
        match character {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            other => out.push(other.to_ascii_lowercase()),
        }
    }
    out
}

/// Why a text is no project name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not in the grammar.
    #[error(
        "{found:?} is not a project name: expected ASCII letters, digits, '-', '_' and '.', with a letter or digit \
         at both ends (PEP 508)"
    )]
    #[non_exhaustive]
    Grammar {
        /// The text.
        found: String,
    },
    /// Longer than a file name may be.
    #[error("a project name of {found} bytes: expected at most {limit}")]
    #[non_exhaustive]
    TooLong {
        /// Length in bytes.
        found: usize,
        /// The most that is taken, in bytes.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_normalises_to_one_name() {
        for (raw, normalised) in [
            ("demo", "demo"),
            ("Friendly-Bard", "friendly-bard"),
            ("FRIENDLY.BARD", "friendly-bard"),
            ("friendly__bard", "friendly-bard"),
            ("FrIeNdLy-._.-bArD", "friendly-bard"),
            ("3", "3"),
        ] {
            assert_eq!(ProjectName::new(raw).unwrap().as_str(), normalised);
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        let long = "a".repeat(256);
        for raw in ["", "-a", "a-", ".", "..", "a b", "a/b", "é", "a\0b", "a%2f", long.as_str()] {
            assert!(ProjectName::new(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn only_the_normalised_spelling_is_normalised() {
        assert!(ProjectName::is_normalised("a-b"));
        for raw in ["A-b", "a_b", "a--b", "a.b", "-a"] {
            assert!(!ProjectName::is_normalised(raw), "{raw:?}");
        }
    }
}
