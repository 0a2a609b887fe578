//! The delegated roles of one file, kept as the canonical text they were verified in: of 16,384 hash bins one is wanted.
//! All are checked when the file is read, and become values when asked for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use data_encoding::HEXLOWER;

use crate::delegation::{Delegation, read_name};
use crate::keys::{RoleKeysReader, at_most};
use crate::limits::Limits;
use crate::pattern;
use crate::reader::{FieldError, Reader};
use crate::role::RoleName;
use crate::shape::Repeats;
use crate::target_path::TargetPath;
use crate::text::Text;

/// Delegations in order of priority.
#[derive(Clone)]
pub struct RoleList {
    /// A canonical array.
    text: Text,
    /// Where each element starts.
    starts: Vec<usize>,
    order: Order,
}

/// In which order the elements happen to be, so that one can be found without a look at all of them.
#[derive(Clone, Copy)]
struct Order {
    /// Each name is greater than the one before.
    names: bool,
    /// The length of all hash prefixes of all roles, if each is greater than the one before: a digest has one of them at
    /// most, in the last role whose first prefix is not greater.
    prefixes: Option<usize>,
}

impl RoleList {
    /// Reads and checks all of them.
    pub(crate) fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, FieldError> {
        let from = reader.position();
        let (mut starts, mut ordered) = (Vec::new(), Ordered::default());
        let (mut keys, mut repeats) = (RoleKeysReader::default(), Repeats::of_any_strings());
        // Of the element whose shape was learned.
        let mut learned = Parts::default();
        reader.array(|reader| {
            let start = reader.position();
            if let Some(length) = repeats.pass(reader.rest()) {
                let text = reader.skip(length);
                // The only string of which more is asked.
                read_name(&mut Reader::new(text.get(learned.name.clone()).unwrap_or_default()))
                    .map_err(|error| error.at("name"))?;
                ordered.add(text, &learned);
            } else {
                Delegation::read(reader, &mut keys, limits)?;
                let text = reader.since(start);
                let parts = Parts::of(text);
                ordered.add(text, &parts);
                if repeats.learn(text) {
                    learned = parts;
                }
            }
            starts.push(start - from);
            at_most(starts.len(), limits.delegations, "delegated roles")
        })?;
        let roles = Self { text: reader.kept_since(from), starts, order: ordered.order() };
        match roles.name_given_twice() {
            Some(name) => Err(FieldError::new("every delegated role once", format!("{name} twice"))),
            None => Ok(roles),
        }
    }

    fn name_given_twice(&self) -> Option<Cow<'_, str>> {
        if self.order.names {
            return None;
        }
        let mut names: Vec<_> = (0..self.len()).map(|index| self.name(index)).collect();
        names.sort_unstable();
        names.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(one.clone()),
            _ => None,
        })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Delegation> {
        let mut keys = RoleKeysReader::default();
        let read = move |text| Delegation::read(&mut Reader::new(text), &mut keys, &Limits::none()).ok();
        (0..self.len()).map(|index| self.element(index)).filter_map(read)
    }

    /// The delegation to a role.
    #[must_use]
    pub fn get(&self, role: &RoleName) -> Option<Delegation> {
        let index = if self.order.names {
            let index = self.partition(|index| *self.name(index) < *role.as_str());
            (index < self.len() && self.name(index) == role.as_str()).then_some(index)
        } else {
            (0..self.len()).find(|index| self.name(*index) == role.as_str())
        };
        let mut reader = Reader::new(self.element(index?));
        Delegation::read(&mut reader, &mut RoleKeysReader::default(), &Limits::none()).ok()
    }

    /// Adds one after the others.
    pub fn push(&mut self, delegation: &Delegation) {
        let first = self.is_empty();
        let text = self.text.edit();
        text.pop();
        if !first {
            text.push(',');
        }
        let start = text.len();
        delegation.write(text);
        text.push(']');
        self.starts.push(start);
        let mut ordered = Ordered::default();
        for text in (self.len().saturating_sub(2)..self.len()).map(|index| self.element(index)) {
            ordered.add(text, &Parts::of(text));
        }
        let pair = ordered.order();
        self.order.names &= pair.names;
        self.order.prefixes = pair.prefixes.filter(|length| first || self.order.prefixes == Some(*length));
    }

    /// The roles that may sign for a path, each with its `terminating`.
    pub(crate) fn covering(&self, path: &TargetPath) -> Vec<(RoleName, bool)> {
        let digest = HEXLOWER.encode(&path.digest());
        let candidates = match self.order.prefixes {
            Some(length) => {
                let Some(prefix) = digest.get(..length) else { return Vec::new() };
                let after = self.partition(|index| {
                    let text = self.element(index);
                    let first = Parts::of(text).prefixes.first().cloned();
                    unquoted(text, &first.unwrap_or_default()) <= prefix
                });
                after.saturating_sub(1)..after
            }
            None => 0..self.len(),
        };
        candidates.filter_map(|index| covers(self.element(index), path.as_str(), &digest)).collect()
    }

    pub(crate) fn as_canonical(&self) -> &str {
        self.text.as_str()
    }

    /// The first index for which `before` does not hold.
    fn partition(&self, before: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn element(&self, index: usize) -> &str {
        let start = self.starts.get(index).copied().unwrap_or(self.text.len());
        // A comma follows, or the bracket.
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| *next) - 1;
        self.text.slice(start..end)
    }

    fn name(&self, index: usize) -> Cow<'_, str> {
        let text = self.element(index);
        let name = text.get(Parts::of(text).name).unwrap_or_default();
        Reader::new(name).string().unwrap_or_default()
    }
}

/// Where parts of an element stand in its text, quotation marks included.
#[derive(Default)]
struct Parts {
    name: Range<usize>,
    prefixes: Vec<Range<usize>>,
}

impl Parts {
    fn of(text: &str) -> Self {
        let mut parts = Self::default();
        // The element has been read before.
        let _ = Reader::new(text).object(|key, reader| {
            let passed = |reader: &mut Reader<'_>| {
                let start = reader.position();
                reader.raw();
                start..reader.position()
            };
            match &*key {
                "name" => parts.name = passed(reader),
                "path_hash_prefixes" => {
                    return reader.array(|reader| {
                        parts.prefixes.push(passed(reader));
                        Ok(())
                    });
                }
                _ => drop(passed(reader)),
            }
            Ok(())
        });
        parts
    }
}

/// The inside of a string that has no escapes.
fn unquoted<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.start + 1..range.end.saturating_sub(1)).unwrap_or_default()
}

/// What is known of the order of the elements so far.
struct Ordered<'a> {
    names: bool,
    prefixes: bool,
    name: &'a str,
    prefix: &'a str,
    count: usize,
}

impl Default for Ordered<'_> {
    fn default() -> Self {
        Self { names: true, prefixes: true, name: "", prefix: "", count: 0 }
    }
}

impl<'a> Ordered<'a> {
    fn add(&mut self, text: &'a str, parts: &Parts) {
        let name = unquoted(text, &parts.name);
        // With an escape in it, what is compared here would not be the name.
        self.names &= (self.count == 0 || self.name < name) && !name.contains('\\');
        self.name = name;
        self.prefixes &= !parts.prefixes.is_empty();
        if self.prefixes {
            for range in &parts.prefixes {
                let prefix = unquoted(text, range);
                let first = self.prefix.is_empty() && self.count == 0;
                let fits = first || prefix.len() == self.prefix.len() && self.prefix < prefix;
                self.prefixes &= fits && !prefix.is_empty() && !prefix.contains('\\');
                self.prefix = prefix;
            }
        }
        self.count += 1;
    }

    fn order(&self) -> Order {
        Order { names: self.names, prefixes: self.prefixes.then_some(self.prefix.len()) }
    }
}

/// The role of an element and its `terminating`, if it covers a path.
fn covers(text: &str, path: &str, digest: &str) -> Option<(RoleName, bool)> {
    let (mut name, mut terminating, mut covers) = (None, false, false);
    let read = Reader::new(text).object(|key, reader| {
        match &*key {
            "name" => name = Some(read_name(reader)?),
            "terminating" => terminating = reader.boolean()?,
            "paths" => {
                covers |= any(reader.raw(), |wanted| pattern::matches(wanted, path));
            }
            "path_hash_prefixes" => covers |= any(reader.raw(), |prefix| digest.starts_with(prefix)),
            _ => drop(reader.raw()),
        }
        Ok(())
    });
    read.ok()?;
    Some((name?, terminating)).filter(|_| covers)
}

fn any(list: &str, mut wanted: impl FnMut(&str) -> bool) -> bool {
    let mut reader = Reader::new(list);
    std::iter::from_fn(|| reader.next_string()).any(|text| wanted(&text))
}

impl Default for RoleList {
    fn default() -> Self {
        Self { text: Text::Own("[]".to_owned()), starts: Vec::new(), order: Ordered::default().order() }
    }
}

impl FromIterator<Delegation> for RoleList {
    fn from_iter<T: IntoIterator<Item = Delegation>>(delegations: T) -> Self {
        let mut list = Self::default();
        delegations.into_iter().for_each(|delegation| list.push(&delegation));
        list
    }
}

impl From<Vec<Delegation>> for RoleList {
    fn from(delegations: Vec<Delegation>) -> Self {
        delegations.into_iter().collect()
    }
}

/// Canonical text is the same for the same delegations.
impl PartialEq for RoleList {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for RoleList {}

impl fmt::Debug for RoleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ordered, Parts, RoleList};
    use crate::delegation::{Delegation, Scope};
    use crate::keys::RoleKeys;
    use crate::limits::Limits;
    use crate::reader::Reader;
    use crate::role::{KeyId, RoleName};
    use crate::target_path::TargetPath;

    fn delegation(name: &str, scope: Scope, terminating: bool) -> Delegation {
        let keys = RoleKeys::new(vec![KeyId::new("k")], 1);
        let mut delegation = Delegation::new(RoleName::new(name).unwrap(), keys, scope);
        delegation.terminating = terminating;
        delegation
    }

    fn read(text: &str) -> Result<RoleList, String> {
        RoleList::read(&mut Reader::new(text), &Limits::default()).map_err(|error| error.to_string())
    }

    /// Prefixes of one digit, some of them in order; names likewise.
    fn lists() -> impl Strategy<Value = Vec<Delegation>> {
        let prefixes = prop_oneof![
            prop::collection::btree_set("[0-9a-f]", 0..4).prop_map(|set| set.into_iter().collect::<Vec<_>>()),
            prop::collection::vec("[0-9a-f\"]{0,2}", 0..4),
        ];
        let scope = prop_oneof![
            4 => prefixes.prop_map(|prefixes| Scope::PathHashPrefixes(prefixes.into())),
            1 => prop::collection::vec("[ab*]{1,2}", 1..3).prop_map(|patterns| Scope::Paths(patterns.into())),
        ];
        let role = ("[a-c\"é]{1,2}", scope, any::<bool>());
        let free = prop::collection::vec(role, 0..8).prop_map(|roles| {
            roles.into_iter().map(|(name, scope, end)| delegation(&name, scope, end)).collect()
        });
        let bins = (1..64_u32, 0..3_u32).prop_map(|(count, gap)| {
            let bin = |number: u32| {
                let prefixes = (0..2).map(|part| format!("{:03x}", number * (2 + gap) + part));
                delegation(
                    &format!("bin-{number:02}"),
                    Scope::PathHashPrefixes(prefixes.collect()),
                    number.is_multiple_of(2),
                )
            };
            (0..count).map(bin).collect()
        });
        prop_oneof![free, bins]
    }

    proptest! {
        #[test]
        fn is_a_list_in_which_names_and_paths_are_found(all in lists(), numbers in prop::collection::vec(0..9999_u32, 20)) {
            let list: RoleList = all.iter().cloned().collect();
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), all.clone());
            prop_assert_eq!(list.len(), all.len());
            for delegation in &all {
                let first = all.iter().find(|other| other.name == delegation.name);
                let found = list.get(&delegation.name);
                prop_assert_eq!(found.as_ref(), first);
            }
            prop_assert_eq!(list.get(&RoleName::new("other").unwrap()), None);
            for path in numbers.iter().map(|number| TargetPath::new(format!("{number}")).unwrap())
                .chain(["a", "b", "ab"].map(|path| TargetPath::new(path).unwrap())) {
                let expected: Vec<_> = all
                    .iter()
                    .filter(|delegation| delegation.scope.covers(&path))
                    .map(|delegation| (delegation.name.clone(), delegation.terminating))
                    .collect();
                prop_assert_eq!(list.covering(&path), expected);
            }
            let names: std::collections::BTreeSet<_> = all.iter().map(|delegation| &delegation.name).collect();
            match read(list.as_canonical()) {
                Ok(again) => {
                    prop_assert_eq!(names.len(), all.len());
                    prop_assert_eq!(&again, &list);
                    prop_assert_eq!(&again.starts, &list.starts);
                    prop_assert_eq!((again.order.names, again.order.prefixes), (list.order.names, list.order.prefixes));
                }
                Err(error) => prop_assert!(names.len() < all.len() && error.contains("twice"), "{}", error),
            }
        }
    }

    #[test]
    fn bins_are_found_by_their_order() {
        let bin = |number: u32| {
            let prefixes = [number * 2, number * 2 + 1].map(|prefix| format!("{prefix:02x}"));
            delegation(&format!("bin-{number:02x}"), Scope::PathHashPrefixes(prefixes.iter().collect()), true)
        };
        let list: RoleList = (0..128).map(bin).collect();
        assert_eq!((list.order.names, list.order.prefixes), (true, Some(2)));
        let mut ordered = Ordered::default();
        (0..128).for_each(|index| ordered.add(list.element(index), &Parts::of(list.element(index))));
        assert!(ordered.names && ordered.prefixes);
        let mixed: RoleList =
            list.iter().chain([delegation("a", Scope::Paths(vec!["*"].into()), false)]).collect();
        assert_eq!((mixed.order.names, mixed.order.prefixes), (false, None));
    }

    #[test]
    fn a_role_of_the_shape_of_others_is_still_checked() {
        let element = |name: &str| {
            format!(r#"{{"keyids":["k"],"name":"{name}","paths":["*"],"terminating":true,"threshold":1}}"#)
        };
        let names = |last: &str| {
            (0..20).map(|number| format!("role-{number:02}")).chain([last.to_owned(), "zzzzzzz".to_owned()])
        };
        let list = |last: &str| {
            format!("[{}]", names(last).map(|name| element(&name)).collect::<Vec<_>>().join(","))
        };
        assert_eq!(read(&list("role-20")).unwrap().len(), 22);
        for (last, why) in [
            ("targets", "field name: expected a name that is no top-level role's"),
            ("role-07", "role-07 twice"),
        ] {
            assert!(read(&list(last)).unwrap_err().contains(why), "{last}");
        }
        let text =
            list("role-20").replace("\"name\":\"role-20\"", "\"name\":\"role-2\"").replace("zzzzzzz", "z");
        assert_eq!(read(&text).unwrap().len(), 22);
    }
}
