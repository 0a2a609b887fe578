//! Hash bins by name: those of the repository (`bin-16-3`) and those below a delegated role (`x-bin-16-3`).

use std::ops::Deref;

use chrono::{DateTime, Utc};
use tuf_core::bins::HashBins;
use tuf_core::trust::Authentic;
use tuf_core::{Delegated, Delegation, Delegations, RoleKeys, RoleName, TargetPath, Targets};

use super::EditError;
use crate::error::Error;
use crate::publish::bins_role;

use super::Visit;

/// The hash bins that one role delegates to. Those of the role `bins` have no prefix; as snapshots list all roles
/// by one name, those of another role begin with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedBins {
    prefix: String,
    bins: HashBins,
}

impl NamedBins {
    /// The bins that `delegator` is to have.
    pub(crate) fn new(delegator: &RoleName, bins: HashBins) -> Self {
        let prefix = match delegator.as_str() {
            "bins" => String::new(),
            other => format!("{other}-"),
        };
        Self { prefix, bins }
    }

    /// Recognises the bins of a role by their number and the names of the first and the last of them.
    pub(crate) fn of(delegator: &RoleName, delegations: &Delegations) -> Option<Self> {
        let Delegated::Roles(roles) = &delegations.roles else { return None };
        let ends = [roles.iter().next()?.name, roles.iter().last()?.name];
        let (_, first) = Self::split(&ends[0])?;
        let named = Self::new(delegator, HashBins::from_role(&RoleName::new(first).ok()?)?);
        let mut wanted = named.bins.roles().map(|(name, _)| named.named(&name));
        let count = usize::try_from(named.bins.count()).ok()?;
        let (first, last) = (wanted.next()?, wanted.last());
        let expected = [&first, last.as_ref().unwrap_or(&first)];
        (roles.len() == count && ends.each_ref() == expected).then_some(named)
    }

    /// All bins of the delegator of one of them.
    pub(crate) fn beside(visit: &Visit) -> Option<Self> {
        let (_, bin) = Self::split(&visit.role)?;
        let named = Self::new(visit.delegator.as_ref()?, HashBins::from_role(&RoleName::new(bin).ok()?)?);
        named.index_of(&visit.role).map(|_| named)
    }

    /// If this is the name of a hash bin: what stands before it, without the hyphen, and the bin's own name.
    pub(crate) fn split(role: &RoleName) -> Option<(&str, &str)> {
        let name = role.as_str();
        let (above, bin) = match name.rfind("bin-") {
            Some(0) => ("", name),
            Some(at) => (name.get(..at)?.strip_suffix('-')?, name.get(at..)?),
            None => return None,
        };
        let (count, _) = bin.strip_prefix("bin-")?.split_once('-')?;
        HashBins::new(count.parse().ok()?).ok().map(|_| (above, bin))
    }

    fn named(&self, bin: &RoleName) -> RoleName {
        if self.prefix.is_empty() {
            return bin.clone();
        }
        // The delegator's name was short enough for this when its bins were made.
        RoleName::new(&format!("{}{}", self.prefix, bin.as_str())).unwrap_or_else(|_| bin.clone())
    }

    /// Whether this is one of them.
    pub(crate) fn has(&self, role: &RoleName) -> bool {
        let bin = Self::split(role).and_then(|(_, bin)| RoleName::new(bin).ok());
        bin.is_some_and(|bin| HashBins::from_role(&bin) == Some(self.bins) && self.named(&bin) == *role)
    }

    /// The bins of these that own the paths which a bin owned or will own, of other bins below the same role.
    pub(crate) fn overlapping(&self, role: &RoleName) -> Vec<RoleName> {
        let bin = Self::split(role).and_then(|(_, bin)| RoleName::new(bin).ok());
        bin.iter().flat_map(|bin| self.bins.overlapping(bin)).map(|bin| self.named(&bin)).collect()
    }

    /// The role that delegates to a bin.
    pub(crate) fn above(role: &RoleName) -> Option<RoleName> {
        match Self::split(role)?.0 {
            "" => Some(bins_role()),
            above => RoleName::new(above).ok(),
        }
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> u32 {
        self.bins.count()
    }

    /// The bin that owns a path.
    pub(crate) fn role_of(&self, path: &TargetPath) -> RoleName {
        self.named(&self.bins.role_of(path))
    }

    /// The place of a bin in that order, if it is one of these.
    pub(crate) fn index_of(&self, role: &RoleName) -> Option<usize> {
        let (above, bin) = Self::split(role)?;
        let (count, first) = bin.strip_prefix("bin-")?.split_once('-')?;
        if self.prefix.strip_suffix('-').unwrap_or_default() != above || count.parse() != Ok(self.count()) {
            return None;
        }
        // As `HashBins` names them.
        let digits = self.count().ilog2().div_ceil(4).max(1);
        let plain = first.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if first.len() != usize::try_from(digits).ok()? || !plain {
            return None;
        }
        let each = 16_u32.checked_pow(digits)? / self.count();
        let first = u32::from_str_radix(first, 16).ok()?;
        usize::try_from(first / each).ok().filter(|_| first % each == 0)
    }

    /// The names of all bins, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = RoleName> {
        self.bins.roles().map(|(name, _)| self.named(&name))
    }

    /// The delegations to all bins, with the same keys for each.
    pub(crate) fn delegations(&self, keys: &RoleKeys) -> Vec<Delegation> {
        let mut delegations = self.bins.delegations(keys);
        for delegation in &mut delegations {
            delegation.name = self.named(&delegation.name);
        }
        delegations
    }
}

/// A bin as it will be, made of the published ones that share paths with it.
pub(crate) fn remade<T: Deref<Target = Authentic<Targets>>>(
    role: &RoleName,
    bins: &NamedBins,
    made_of: &NamedBins,
    read: impl Fn(&RoleName) -> Result<T, Error>,
) -> Result<Targets, Error> {
    let (mut targets, mut expires) = (Vec::new(), DateTime::<Utc>::MIN_UTC);
    for old in made_of.overlapping(role) {
        let bin = read(&old)?;
        for (path, file) in bin.targets.iter() {
            let path = TargetPath::new(&*path).map_err(|error| EditError::NotAPath {
                role: old.clone(),
                path: path.to_string(),
                reason: error.to_string(),
            })?;
            if bins.role_of(&path) == *role {
                targets.push((path, file));
            }
        }
        expires = expires.max(bin.header.expires);
    }
    let mut value = Targets::new(expires);
    value.targets.extend(targets);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_known_by_their_names() {
        for (name, split) in [
            ("bin-16-3", Some(("", "bin-16-3"))),
            ("x-bin-16-3", Some(("x", "bin-16-3"))),
            ("a-bin-x-bin-2-8", Some(("a-bin-x", "bin-2-8"))),
            ("xbin-16-3", None),
            ("x", None),
            ("bin-n", None),
            ("bin-3-0", None),
            ("bins", None),
        ] {
            assert_eq!(NamedBins::split(&RoleName::new(name).unwrap()), split, "{name}");
        }
    }

    #[test]
    fn delegations_to_bins_are_recognised_whole_and_not_in_part() {
        for (delegator, count) in [("bins", 1), ("bins", 16), ("x", 2)] {
            let delegator = RoleName::new(delegator).unwrap();
            let bins = NamedBins::new(&delegator, HashBins::new(count).unwrap());
            let roles = bins.delegations(&RoleKeys::new(Vec::new(), 1));
            let of = |roles: &[Delegation]| {
                let roles = Delegated::Roles(roles.to_vec().into());
                NamedBins::of(&delegator, &Delegations::new(tuf_core::Keys::new(), roles))
            };
            assert_eq!(of(&roles), Some(bins.clone()));
            assert_eq!(of(&roles[1..]), None);
            let path = TargetPath::new("a/b").unwrap();
            assert!(bins.names().any(|name| name == bins.role_of(&path)));
            assert!(bins.names().enumerate().all(|(index, name)| bins.index_of(&name) == Some(index)));
            for other in ["bin-32-00", "y-bin-2-8", "bin-2-4", "bins", "bin-16-100", "bin-16-F", "x-bin-2-08"]
            {
                assert_eq!(bins.index_of(&RoleName::new(other).unwrap()), None, "{other}");
            }
            let other = RoleName::new("y").unwrap();
            let other = NamedBins::of(
                &other,
                &Delegations::new(tuf_core::Keys::new(), Delegated::Roles(roles.into())),
            );
            assert_eq!(other, None);
        }
    }
}
