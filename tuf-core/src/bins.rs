//! Hash bins: many small delegated roles, each for the target paths whose SHA-256 starts with its
//! prefixes (spec 4.5; PEP 458 uses 16,384). Two ways to write them: `path_hash_prefixes`, which every
//! client reads, and succinct roles (TAP 15).

use crate::canonical::write_string;
use crate::delegation::{Delegation, Scope, read_name};
use crate::json::Extra;
use crate::keys::{RoleKeys, RoleKeysReader};
use crate::limits::Limits;
use crate::reader::{FieldError, Reader, required, write_object};
use crate::role::RoleName;
use crate::target_path::TargetPath;

/// The hash bins of a repository: a power of two of them, named `bin-<count>-<first prefix>`, so that
/// a resize never uses a name again.
///
/// ```
/// use tuf_core::{TargetPath, bins::HashBins};
/// let bins = HashBins::new(32)?;
/// let six = TargetPath::new("simple/six/index.json")?;
/// assert_eq!(bins.role_of(&six).as_str(), "bin-32-10");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashBins {
    bits: u32,
}

/// A number of bins that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number of hash bins must be a power of two from 1 to 65536, not {0}")]
pub struct BinCountError(u64);

impl HashBins {
    /// This many bins.
    ///
    /// # Errors
    /// [`BinCountError`] unless `count` is a power of two up to 65,536.
    pub const fn new(count: u32) -> Result<Self, BinCountError> {
        if count.is_power_of_two() && count <= 65_536 {
            Ok(Self { bits: count.trailing_zeros() })
        } else {
            // A u32 always fits; `From` is not const.
            #[expect(clippy::as_conversions, reason = "widening in a const fn")]
            Err(BinCountError(count as u64))
        }
    }

    /// The number of bins for so many targets: the next power of two that leaves at most 64 in each.
    /// A bin of 64 targets takes about 14 kB.
    #[must_use]
    pub fn for_targets(targets: u64) -> Self {
        let wanted = targets.div_ceil(64).clamp(1, 65_536).next_power_of_two();
        Self { bits: wanted.trailing_zeros() }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        1 << self.bits
    }

    /// The number of hex digits in a prefix.
    const fn prefix_length(self) -> u32 {
        // One digit at least: an empty prefix is not in the specification's examples and some clients
        // refuse it.
        if self.bits == 0 { 1 } else { self.bits.div_ceil(4) }
    }

    /// The number of prefixes in each bin.
    const fn prefixes_per_bin(self) -> u32 {
        1 << (4 * self.prefix_length() - self.bits)
    }

    fn name(self, index: u32) -> RoleName {
        let width = usize::try_from(self.prefix_length()).unwrap_or(4);
        let first = index * self.prefixes_per_bin();
        // The count in the name makes it non-empty and short, so this cannot fail.
        RoleName::new(&format!("bin-{}-{first:0width$x}", self.count()))
            .unwrap_or_else(|_| crate::role::TopLevel::Targets.role())
    }

    /// The bin that owns a path.
    #[must_use]
    pub fn role_of(self, path: &TargetPath) -> RoleName {
        self.name(leading_bits(&path.digest(), self.bits))
    }

    /// All bins in order: name and prefixes.
    pub fn roles(self) -> impl Iterator<Item = (RoleName, Vec<String>)> {
        let width = usize::try_from(self.prefix_length()).unwrap_or(4);
        let per_bin = self.prefixes_per_bin();
        (0..self.count()).map(move |index| {
            let first = index * per_bin;
            (self.name(index), (first..first + per_bin).map(|prefix| format!("{prefix:0width$x}")).collect())
        })
    }

    /// The delegations to all bins, with the same keys for each.
    #[must_use]
    pub fn delegations(self, keys: &RoleKeys) -> Vec<Delegation> {
        self.roles()
            .map(|(name, prefixes)| {
                Delegation::new(name, keys.clone(), Scope::PathHashPrefixes(prefixes.into()))
            })
            .collect()
    }

    /// The bins that own the paths which a bin of any scheme owns: one, or several smaller ones in order. Empty if
    /// that is no bin.
    pub fn overlapping(self, bin: &RoleName) -> impl Iterator<Item = RoleName> {
        let found = Self::from_role(bin).and_then(|other| Some((other, other.index_of(bin)?)));
        let range = match found {
            Some((other, index)) if self.bits >= other.bits => {
                let finer = self.bits - other.bits;
                index << finer..(index + 1) << finer
            }
            Some((other, index)) => {
                let index = index >> (other.bits - self.bits);
                index..index + 1
            }
            None => 0..0,
        };
        range.map(move |index| self.name(index))
    }

    fn index_of(self, bin: &RoleName) -> Option<u32> {
        let (_, first) = bin.as_str().strip_prefix("bin-")?.split_once('-')?;
        let index = u32::from_str_radix(first, 16).ok()? / self.prefixes_per_bin();
        (self.name(index) == *bin).then_some(index)
    }

    /// Recognises the bins of this scheme by the name of one of them.
    #[must_use]
    pub fn from_role(role: &RoleName) -> Option<Self> {
        let (count, _) = role.as_str().strip_prefix("bin-")?.split_once('-')?;
        Self::new(count.parse().ok()?).ok()
    }
}

/// The first `bits` (at most 32) of a digest.
fn leading_bits(digest: &[u8; 32], bits: u32) -> u32 {
    let [first, second, third, fourth, ..] = *digest;
    u32::from_be_bytes([first, second, third, fourth]).checked_shr(32 - bits).unwrap_or(0)
}

/// Succinct hash bin delegations (TAP 15): 2^`bit_length` roles `PREFIX-<hex number>` with the same
/// keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuccinctBins {
    /// Keys and threshold of every bin.
    pub keys: RoleKeys,
    bit_length: u32,
    name_prefix: String,
    /// Unknown fields.
    pub extra: Extra,
}

impl SuccinctBins {
    /// 2^`bit_length` bins.
    ///
    /// # Errors
    /// [`BinCountError`] unless `bit_length` is from 1 to 32.
    pub fn new(keys: RoleKeys, bit_length: u32, name_prefix: &str) -> Result<Self, BinCountError> {
        if !(1..=32).contains(&bit_length) {
            return Err(BinCountError(1_u64.checked_shl(bit_length).unwrap_or(0)));
        }
        Ok(Self { keys, bit_length, name_prefix: name_prefix.to_owned(), extra: Extra::new() })
    }

    fn suffix_length(&self) -> usize {
        usize::try_from(self.bit_length.div_ceil(4)).unwrap_or(8)
    }

    fn name(&self, number: u64) -> Option<RoleName> {
        RoleName::new(&format!("{}-{number:0width$x}", self.name_prefix, width = self.suffix_length())).ok()
    }

    /// The bin that owns a path.
    #[must_use]
    pub fn role_of(&self, path: &TargetPath) -> Option<RoleName> {
        self.name(leading_bits(&path.digest(), self.bit_length).into())
    }

    /// Whether there is a bin of this name (GHSA-77hh-43cm-v8j6: a name that only looks like one is
    /// none).
    #[must_use]
    pub fn contains(&self, role: &RoleName) -> bool {
        let suffix = role.as_str().strip_prefix(&*self.name_prefix).and_then(|rest| rest.strip_prefix('-'));
        let number = suffix
            .filter(|suffix| suffix.len() == self.suffix_length())
            .filter(|suffix| suffix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
            .and_then(|suffix| u64::from_str_radix(suffix, 16).ok());
        number.is_some_and(|number| number < 1 << self.bit_length)
    }

    /// The names of all bins, in order.
    pub fn role_names(&self) -> impl Iterator<Item = RoleName> {
        (0..1_u64 << self.bit_length).filter_map(|number| self.name(number))
    }

    pub(crate) fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, FieldError> {
        let (mut keys, mut bits, mut prefix, mut extra) =
            (RoleKeysReader::default(), None, None, Extra::new());
        reader.object(|key, reader| {
            match &*key {
                "bit_length" => bits = Some(reader.integer()?),
                "name_prefix" => prefix = Some(read_name(reader)?),
                key if keys.field(key, reader, limits)? => {}
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        let bits = required(bits, "bit_length")?;
        let name_prefix = required(prefix, "name_prefix")?;
        let bit_length = u32::try_from(bits)
            .ok()
            .filter(|bits| (1..=32).contains(bits))
            .ok_or_else(|| FieldError::new("a bit_length from 1 to 32", bits))?;
        let count = 1_u64 << bit_length;
        let few = usize::try_from(count).is_ok_and(|count| count <= limits.delegations);
        if !few {
            return Err(FieldError::new(format!("at most {} bins", limits.delegations), count));
        }
        Ok(Self {
            keys: keys.finish(Extra::new())?,
            bit_length,
            name_prefix: name_prefix.as_str().to_owned(),
            extra,
        })
    }

    pub(crate) fn write(&self, out: &mut String) {
        write_object(
            out,
            &self.extra,
            &[
                ("bit_length", &|out| out.push_str(&self.bit_length.to_string())),
                ("keyids", &|out| self.keys.write_keyids(out)),
                ("name_prefix", &|out| write_string(out, &self.name_prefix)),
                ("threshold", &|out| out.push_str(&self.keys.threshold().to_string())),
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_two_schemes_overlap_where_they_own_the_same_paths() {
        let counts = [1, 2, 4, 16, 32, 256];
        for (old, new) in counts.iter().flat_map(|old| counts.map(|new| (*old, new))) {
            let (old, new) = (HashBins::new(old).unwrap(), HashBins::new(new).unwrap());
            let mut seen = Vec::new();
            for (name, _) in new.roles() {
                let overlapping: Vec<_> = old.overlapping(&name).collect();
                assert_eq!(overlapping.len(), usize::try_from(old.count().div_ceil(new.count())).unwrap());
                seen.extend(overlapping);
            }
            seen.dedup();
            assert_eq!(seen, old.roles().map(|(name, _)| name).collect::<Vec<_>>());
            for number in 0..50 {
                let path = TargetPath::new(format!("packages/{number}")).unwrap();
                assert!(old.overlapping(&new.role_of(&path)).any(|name| name == old.role_of(&path)));
            }
        }
        for name in ["bins", "bin-4-5", "bin-4-00", "bin-3-0", "bin-32-11"] {
            let name = RoleName::new(name).unwrap();
            assert_eq!(HashBins::new(4).unwrap().overlapping(&name).count(), 0, "{name}");
        }
    }

    #[test]
    fn every_path_is_in_exactly_one_bin() {
        for count in [1, 2, 16, 32, 256, 16_384] {
            let bins = HashBins::new(count).unwrap();
            let roles: Vec<_> = bins.roles().collect();
            assert_eq!(roles.len(), usize::try_from(count).unwrap());
            for number in 0..50 {
                let path = TargetPath::new(format!("packages/{number}")).unwrap();
                let owners: Vec<_> = roles
                    .iter()
                    .filter(|(_, prefixes)| Scope::PathHashPrefixes(prefixes.clone().into()).covers(&path))
                    .map(|(name, _)| name.clone())
                    .collect();
                assert_eq!(owners, [bins.role_of(&path)], "{count} bins, {path}");
                assert_eq!(HashBins::from_role(&owners[0]), Some(bins));
            }
        }
        for count in [0, 3, 65_537, 131_072] {
            assert!(HashBins::new(count).is_err());
        }
    }

    #[test]
    fn the_count_follows_the_targets() {
        for (targets, count) in [(0, 1), (64, 1), (65, 2), (1_000_000, 16_384), (u64::MAX, 65_536)] {
            assert_eq!(HashBins::for_targets(targets).count(), count);
        }
    }

    #[test]
    fn succinct_names_are_exact() {
        let bins = SuccinctBins::new(RoleKeys::new(vec![], 1), 5, "bin").unwrap();
        assert_eq!(bins.role_names().count(), 32);
        for name in bins.role_names() {
            assert!(bins.contains(&name));
        }
        for name in ["bin-20", "bin-1", "bin-001", "bin-1F", "bin-+1", "bins-00", "bin00", "other"] {
            assert!(!bins.contains(&RoleName::new(name).unwrap()), "{name}");
        }
        for bits in [0, 33] {
            assert!(SuccinctBins::new(RoleKeys::new(vec![], 1), bits, "bin").is_err());
        }
    }
}
