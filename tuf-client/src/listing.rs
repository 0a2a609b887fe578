//! What a repository offers: the targets that a client would find.

use std::collections::{BTreeMap, HashMap, HashSet};

use tuf_core::trust::Trusted;
use tuf_core::{Delegated, RoleName, TargetFile, TargetPath, Targets, pattern};

use crate::reach::Reach;

/// Every target of these roles, as [`crate::View::roles`] gives them, with the role that signed for it. A path
/// that several roles list counts for the first. Left out are names that are no safe path, and what no
/// delegation to its role covers: no client would find that.
#[must_use]
pub fn targets(roles: &[Trusted<Targets>]) -> BTreeMap<TargetPath, (RoleName, TargetFile)> {
    let names: HashSet<&RoleName> = roles.iter().map(|role| role.role_name()).collect();
    let mut reach: HashMap<RoleName, Vec<Reach<'_>>> = HashMap::new();
    for delegations in roles.iter().filter_map(|role| role.delegations.as_ref()) {
        if let Delegated::Roles(delegated) = &delegations.roles {
            for delegation in delegated.iter() {
                reach.entry(delegation.name).or_default().push(Reach::Scope(delegation.scope));
            }
        } else {
            for name in &names {
                if let Some(bin) = Reach::of(delegations, name) {
                    reach.entry((*name).clone()).or_default().push(bin);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    for role in roles {
        let name = role.role_name();
        let reach = reach.get(name).map(Vec::as_slice).unwrap_or_default();
        let reachable =
            |path: &TargetPath| name.top_level().is_some() || reach.iter().any(|reach| reach.covers(path));
        for (path, file) in role.targets.iter() {
            let Ok(path) = TargetPath::new(path) else { continue };
            if reachable(&path) {
                found.entry(path).or_insert_with(|| (name.clone(), file.clone()));
            }
        }
    }
    found
}

/// Whether a user's pattern selects a path: as a path pattern if it holds `*`, `?` or `[`, else as a part of it.
#[must_use]
pub fn selects(wanted: &str, path: &TargetPath) -> bool {
    match wanted.contains(['*', '?', '[']) {
        true => pattern::matches(wanted, path.as_str()),
        false => path.as_str().contains(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_pattern_or_a_part() {
        let path = TargetPath::new("simple/six/index.json").unwrap();
        for (wanted, expected) in [
            ("six", true),
            ("seven", false),
            ("*", false),
            ("*/*/*", true),
            ("simple/s?x/*.json", true),
            ("", true),
        ] {
            assert_eq!(selects(wanted, &path), expected, "{wanted}");
        }
    }
}
