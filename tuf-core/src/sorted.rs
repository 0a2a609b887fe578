//! A map from names to values as metadata lists them, kept as the canonical text it was verified in. Of the 16,384
//! entries of a snapshot one or two are wanted: all are checked when the file is read, and become values when asked for.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use crate::canonical::write_string;
use crate::reader::{FieldError, Reader};
use crate::shape::Repeats;
use crate::text::Text;

/// A value that stands in canonical text.
pub(crate) trait Entry: Sized {
    /// Reads it.
    fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError>;

    /// Appends it.
    fn write(&self, out: &mut String);
}

/// Entries by name, each name once.
pub(crate) struct Sorted<V> {
    /// A canonical object.
    text: Text,
    /// Where each entry starts: at the quotation mark of its name.
    starts: Vec<usize>,
    values: PhantomData<fn() -> V>,
}

impl<V: Entry> Sorted<V> {
    const fn new(text: Text, starts: Vec<usize>) -> Self {
        Self { text, starts, values: PhantomData }
    }

    /// Reads and checks all entries; `each` is told how many there are so far.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        mut each: impl FnMut(usize) -> Result<(), FieldError>,
    ) -> Result<Self, FieldError> {
        let from = reader.position();
        let mut starts = Vec::new();
        let mut start = from + 1;
        let mut repeats = Repeats::without_strings();
        reader.object(|_, reader| {
            match repeats.pass(reader.rest()) {
                Some(length) => drop(reader.skip(length)),
                None => {
                    let from = reader.position();
                    V::read(reader)?;
                    repeats.learn(reader.since(from));
                }
            }
            starts.push(start - from);
            // After the comma.
            start = reader.position() + 1;
            each(starts.len())
        })?;
        Ok(Self::new(reader.kept_since(from), starts))
    }

    /// The map as it is signed.
    pub(crate) fn as_canonical(&self) -> &str {
        self.text.as_str()
    }

    pub(crate) const fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<V> {
        self.entry(self.position(name).ok()?).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, V)> {
        (0..self.len()).filter_map(|index| self.entry(index))
    }

    /// Adds or replaces one entry. What stands after it moves: for many, see [`Sorted::extend`].
    pub(crate) fn insert(&mut self, name: &str, value: &V) -> Option<V> {
        let mut entry = String::new();
        write_entry(&mut entry, name, value);
        match self.position(name) {
            Ok(index) => {
                let old = self.entry(index).map(|(_, value)| value);
                let range = self.start(index)..self.end(index);
                self.shift(index + 1, range.len(), entry.len());
                self.text.edit().replace_range(range, &entry);
                old
            }
            Err(index) => {
                let mut start = self.start(index);
                if index < self.len() {
                    entry.push(',');
                } else if index > 0 {
                    entry.insert(0, ',');
                }
                self.shift(index, 0, entry.len());
                self.text.edit().insert_str(start, &entry);
                start += usize::from(entry.starts_with(','));
                self.starts.insert(index, start);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<V> {
        let index = self.position(name).ok()?;
        let old = self.entry(index).map(|(_, value)| value);
        // With one comma: the one after it, or before it if it is the last.
        let range = match self.starts.get(index + 1) {
            Some(next) => self.start(index)..*next,
            None => self.start(index).saturating_sub(usize::from(index > 0))..self.end(index),
        };
        self.shift(index + 1, range.len(), 0);
        self.text.edit().replace_range(range, "");
        self.starts.remove(index);
        old
    }

    /// Adds or replaces many, in any order; of two with one name the later one counts. The cost is that of one sort and
    /// one copy.
    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = (Box<str>, V)>) {
        let mut entries: Vec<_> = entries.into_iter().collect();
        // Stable: entries of one name stay in the order in which they came.
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut merged = Self::new(Text::Own(String::with_capacity(self.text.len())), Vec::new());
        merged.text.edit().push('{');
        let mut kept = 0;
        let mut entries = entries.into_iter().peekable();
        while let Some((name, value)) = entries.next() {
            if entries.peek().is_some_and(|(next, _)| *next == name) {
                continue;
            }
            let (until, after) = match self.position(&name) {
                Ok(index) => (index, index + 1),
                Err(index) => (index, index),
            };
            merged.append_from(self, kept..until);
            merged.comma();
            merged.starts.push(merged.text.len());
            write_entry(merged.text.edit(), &name, &value);
            kept = after;
        }
        merged.append_from(self, kept..self.len());
        merged.text.edit().push('}');
        *self = merged;
    }

    /// Appends entries of another map; the closing brace is not there yet.
    fn append_from(&mut self, other: &Self, indices: std::ops::Range<usize>) {
        let Some(last) = indices.clone().next_back() else { return };
        self.comma();
        let (from, to) = (other.start(indices.start), self.text.len());
        let starts = other.starts.get(indices).unwrap_or_default();
        self.starts.extend(starts.iter().map(|start| start - from + to));
        self.text.edit().push_str(other.text.slice(from..other.end(last)));
    }

    fn comma(&mut self) {
        if !self.starts.is_empty() {
            self.text.edit().push(',');
        }
    }

    fn entry(&self, index: usize) -> Option<(Cow<'_, str>, V)> {
        let mut reader = self.reader(index)?;
        let name = reader.string().ok()?;
        reader.colon();
        Some((name, V::read(&mut reader).ok()?))
    }

    fn reader(&self, index: usize) -> Option<Reader<'_>> {
        Some(Reader::new(self.text.slice(*self.starts.get(index)?..self.end(index))))
    }

    /// Where the entry of a name is, or would be.
    fn position(&self, name: &str) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let found = self.reader(middle).and_then(|mut reader| reader.string().ok()).unwrap_or_default();
            match found.as_ref().cmp(name) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Where an entry starts; for the one after the last, at the closing brace.
    fn start(&self, index: usize) -> usize {
        self.starts.get(index).map_or(self.text.len() - 1, |start| *start)
    }

    /// Where an entry ends: at its comma, or at the closing brace.
    fn end(&self, index: usize) -> usize {
        self.starts.get(index + 1).map_or(self.text.len(), |next| *next) - 1
    }

    /// Entries from `index` on move, because before them `removed` bytes become `added` bytes.
    fn shift(&mut self, index: usize, removed: usize, added: usize) {
        for start in self.starts.iter_mut().skip(index) {
            *start = *start - removed + added;
        }
    }
}

fn write_entry<V: Entry>(out: &mut String, name: &str, value: &V) {
    write_string(out, name);
    out.push(':');
    value.write(out);
}

impl<V> Clone for Sorted<V> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), starts: self.starts.clone(), values: PhantomData }
    }
}

/// Nothing: `{}`.
impl<V: Entry> Default for Sorted<V> {
    fn default() -> Self {
        Self::new(Text::Own("{}".to_owned()), Vec::new())
    }
}

/// Canonical text is the same for the same entries.
impl<V> PartialEq for Sorted<V> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<V> Eq for Sorted<V> {}

impl<V> fmt::Debug for Sorted<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Entry, Sorted};
    use crate::reader::{FieldError, Reader};

    impl Entry for u64 {
        fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
            reader.integer()
        }

        fn write(&self, out: &mut String) {
            out.push_str(&self.to_string());
        }
    }

    fn assert_same(sorted: &Sorted<u64>, model: &BTreeMap<String, u64>) {
        let entries: Vec<_> = sorted.iter().map(|(name, value)| (name.into_owned(), value)).collect();
        assert_eq!(entries, model.clone().into_iter().collect::<Vec<_>>(), "{sorted:?}");
        let read = Sorted::<u64>::read(&mut Reader::new(sorted.as_canonical()), |_| Ok(())).unwrap();
        assert_eq!((&read, &read.starts), (sorted, &sorted.starts));
        assert!(model.iter().all(|(name, value)| sorted.get(name) == Some(*value)));
        assert_eq!(sorted.len(), model.len());
    }

    proptest! {
        #[test]
        fn is_a_map_in_canonical_form(
            steps in prop::collection::vec(
                (0..4_u8, prop::collection::vec(("[ab\"\\\\\n😀]{0,2}", 0..1000_u64), 0..6)),
                0..12,
            ),
        ) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
            for (kind, entries) in steps {
                match kind {
                    0 => sorted.extend(entries.iter().map(|(name, value)| (name.as_str().into(), *value))),
                    1 => entries.iter().for_each(|(name, _)| assert_eq!(sorted.remove(name), model.remove(name))),
                    _ => entries.iter().for_each(|(name, value)| {
                        assert_eq!(sorted.insert(name, value), model.insert(name.clone(), *value));
                    }),
                }
                if kind == 0 {
                    model.extend(entries);
                }
                assert_same(&sorted, &model);
            }
        }
    }
}
