//! A map from names to values as metadata lists them: a sorted vector, because a snapshot of 16,384 bins or a targets
//! file of thousands is read in order, looked up in, and seldom changed.

/// Entries by name, each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sorted<V>(Vec<(Box<str>, V)>);

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Sorted<V> {
    /// Entries that are in order already, as canonical form has them.
    pub(crate) const fn from_canonical(entries: Vec<(Box<str>, V)>) -> Self {
        Self(entries)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        let index = self.position(name).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// Adds or replaces one entry. A new one moves all after it: see [`Sorted::extend`].
    pub(crate) fn insert(&mut self, name: &str, value: V) -> Option<V> {
        match self.position(name) {
            Ok(index) => self.0.get_mut(index).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(index) => {
                self.0.insert(index, (name.into(), value));
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<V> {
        self.position(name).ok().map(|index| self.0.remove(index).1)
    }

    /// Adds or replaces many, in any order; of two with one name the later one counts. The cost is that of one sort.
    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = (Box<str>, V)>) {
        self.0.extend(entries);
        // Stable: entries of one name stay in the order in which they came.
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

#[cfg(test)]
mod tests {
    use super::Sorted;

    #[test]
    fn many_at_once_are_as_one_after_the_other() {
        let entries = [("b", 1), ("a", 2), ("c", 3), ("a", 4), ("b", 5), ("a", 6)];
        let (mut single, mut bulk) = (Sorted::default(), Sorted::default());
        for (name, value) in [("b", 0), ("d", 0)] {
            single.insert(name, value);
            bulk.insert(name, value);
        }
        for (name, value) in entries {
            single.insert(name, value);
        }
        bulk.extend(entries.map(|(name, value)| (name.into(), value)));
        assert_eq!(bulk, single);
        assert_eq!(bulk.iter().collect::<Vec<_>>(), [("a", &6), ("b", &5), ("c", &3), ("d", &0)]);
    }
}
