//! A list of strings as metadata has it, kept as one canonical text: a file may list half a million patterns, or 16,384
//! roles with a few prefixes each, and few of them are ever looked at.

use std::borrow::Cow;
use std::fmt;

use crate::canonical::write_string;
use crate::keys::at_most;
use crate::reader::{FieldError, Reader, write_array};

/// Strings in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Strings {
    /// A canonical array.
    text: Box<str>,
    count: usize,
}

impl Strings {
    /// Reads and checks all of them, at most `limit`; `what` they are, for the message.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        limit: usize,
        what: &'static str,
    ) -> Result<Self, FieldError> {
        let (from, mut count) = (reader.position(), 0_usize);
        reader.array(|reader| {
            reader.string()?;
            count += 1;
            at_most(count, limit, what)
        })?;
        Ok(Self { text: reader.since(from).into(), count })
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut reader = Reader::new(&self.text);
        std::iter::from_fn(move || reader.next_string())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn write(&self, out: &mut String) {
        out.push_str(&self.text);
    }
}

impl<T: AsRef<str>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(strings: I) -> Self {
        let (mut text, mut count) = (String::new(), 0);
        let strings = strings.into_iter().inspect(|_| count += 1);
        write_array(&mut text, strings, |out, string| write_string(out, string.as_ref()));
        Self { text: text.into(), count }
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Strings {
    fn from(strings: Vec<T>) -> Self {
        strings.into_iter().collect()
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Strings;
    use crate::reader::Reader;

    #[test]
    fn strings_are_what_they_were() {
        for strings in [vec![], vec![""], vec!["a", "b\"\\c", "\n", "😀"], vec!["]", ",", "\""]] {
            let list = Strings::from(strings.clone());
            assert_eq!(list.iter().collect::<Vec<_>>(), strings);
            assert_eq!((list.len(), list.is_empty()), (strings.len(), strings.is_empty()));
            let mut text = String::new();
            list.write(&mut text);
            let read = |limit| Strings::read(&mut Reader::new(&text), limit, "strings");
            assert_eq!(read(strings.len()).unwrap(), list);
            assert!(strings.is_empty() || read(strings.len() - 1).is_err());
            assert_eq!(format!("{list:?}"), text);
        }
        assert!(Strings::read(&mut Reader::new("[1]"), 9, "strings").is_err());
    }
}
