//! Canonical text that was verified: where it stands in the file, not copied, until it is edited.

use std::ops::Range;
use std::sync::Arc;

/// Text of a file, or of one's own.
#[derive(Clone)]
pub(crate) enum Text {
    /// A part of a file, which is UTF-8.
    Shared(Arc<[u8]>, Range<usize>),
    Own(String),
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        self.slice(0..self.len())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shared(_, range) => range.len(),
            Self::Own(text) => text.len(),
        }
    }

    /// A part of it; nothing if it has no such part.
    pub(crate) fn slice(&self, part: Range<usize>) -> &str {
        match self {
            Self::Shared(bytes, range) => bytes
                .get(range.clone())
                .and_then(|bytes| bytes.get(part))
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            Self::Own(text) => text.get(part).unwrap_or_default(),
        }
    }

    /// To edit it.
    pub(crate) fn edit(&mut self) -> &mut String {
        if let Self::Own(text) = self {
            return text;
        }
        *self = Self::Own(self.as_str().to_owned());
        self.edit()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}
