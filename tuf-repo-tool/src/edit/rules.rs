//! What a delegation must be like, and what it had better be like.

use std::collections::BTreeSet;

use tuf_core::bins::HashBins;
use tuf_core::{Key, RoleName, Scope, pattern};

use super::{AddBins, AddDelegation, Edit, EditBins, EditDelegation, EditError, EditScope, NamedBins};

/// A name of at most this many bytes leaves room for those of hash bins below it, and for a version and an
/// extension in a file name of 255 bytes.
const LONGEST_NAME: usize = 200;

/// Checks what can be checked of an edit alone.
pub(super) fn check(edit: &Edit) -> Result<(), EditError> {
    let delegator = edit.delegator();
    if NamedBins::split(delegator).is_some() {
        return Err(EditError::HashBins { delegator: delegator.clone() });
    }
    match edit {
        Edit::AddDelegation(AddDelegation { role, keys, threshold, scope, bins, .. }) => {
            check_name(role)?;
            check_keys(role, keys, *threshold)?;
            check_scope(role, scope)?;
            if let Some(AddBins { count, keys, threshold }) = bins {
                check_count(role, *count)?;
                check_keys(role, keys, *threshold)?;
            }
        }
        Edit::EditDelegation(EditDelegation { role, keys, threshold, scope, .. }) => {
            if let Some(keys) = keys {
                check_keys(role, keys, threshold.unwrap_or(1))?;
            }
            if *threshold == Some(0) {
                return Err(EditError::Threshold { role: role.clone(), threshold: 0, keys: 0 });
            }
            if let Some(scope) = scope {
                check_scope(role, scope)?;
            }
        }
        Edit::RemoveDelegation { .. } => {}
        Edit::EditBins(EditBins { delegator, count, .. }) => {
            count.map_or(Ok(()), |count| check_count(delegator, count).map(drop))?;
        }
    }
    Ok(())
}

pub(super) fn check_count(role: &RoleName, count: u32) -> Result<HashBins, EditError> {
    HashBins::new(count).map_err(|_| EditError::BinCount { role: role.clone(), count })
}

fn check_name(role: &RoleName) -> Result<(), EditError> {
    let name = role.as_str();
    let reason = if role.top_level().is_some() {
        "it is a top-level role"
    } else if name == "bins" {
        "it is the role above the repository's hash bins"
    } else if name.starts_with("bin-") || name.ends_with("-bin-n") || NamedBins::split(role).is_some() {
        "hash bins have such names"
    } else if name.len() > LONGEST_NAME {
        "it is longer than 200 bytes"
    } else if name.chars().any(char::is_control) {
        "it holds a control character"
    } else {
        return Ok(());
    };
    Err(EditError::Name { name: name.to_owned(), reason })
}

/// Threshold and keys: every key can be used, and as many distinct ones are there as must sign.
pub(super) fn check_keys(role: &RoleName, keys: &[Key], threshold: u32) -> Result<(), EditError> {
    if let Some(key) = keys.iter().find(|key| key.public().is_none()) {
        let (keyid, scheme) = (key.id().short(), key.scheme().to_owned());
        return Err(EditError::Key { role: role.clone(), keyid, scheme });
    }
    let distinct: BTreeSet<_> = keys.iter().filter_map(Key::public).collect();
    check_threshold(role, threshold, distinct.len())
}

pub(super) fn check_threshold(role: &RoleName, threshold: u32, keys: usize) -> Result<(), EditError> {
    match usize::try_from(threshold) {
        Ok(wanted) if wanted >= 1 && wanted <= keys => Ok(()),
        _ => Err(EditError::Threshold { role: role.clone(), threshold, keys }),
    }
}

fn check_scope(role: &RoleName, scope: &EditScope) -> Result<(), EditError> {
    let bad = |pattern: &str, reason| EditError::Pattern {
        role: role.clone(),
        pattern: pattern.to_owned(),
        reason,
    };
    let values = match scope {
        EditScope::Paths(values) | EditScope::PathHashPrefixes(values) => values,
    };
    if values.is_empty() {
        return Err(bad("", "is no scope: name at least one pattern or prefix"));
    }
    for value in values {
        let problem = match scope {
            EditScope::Paths(_) => pattern::problem(value),
            EditScope::PathHashPrefixes(_) => {
                let hex = value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                (!hex || value.is_empty() || value.len() > 64)
                    .then_some("is no prefix of 1 to 64 lower-case hex digits")
            }
        };
        if let Some(problem) = problem {
            return Err(bad(value, problem));
        }
    }
    Ok(())
}

/// What is allowed and yet seldom meant, in words for the operator. `above` is what the delegator itself may sign
/// for; `None` if that is everything.
#[must_use]
pub fn warnings(edit: &Edit, above: Option<&Scope>) -> Vec<String> {
    let scope = match edit {
        Edit::AddDelegation(edit) => Some(&edit.scope),
        Edit::EditDelegation(edit) => edit.scope.as_ref(),
        Edit::RemoveDelegation { .. } | Edit::EditBins(_) => None,
    };
    let Some(EditScope::Paths(patterns)) = scope else { return Vec::new() };
    let mut warnings = Vec::new();
    for pattern in patterns {
        let shallow = pattern == "*" || pattern.ends_with("/*");
        // Who names one folder more, or less, knows.
        let deeper = format!("{pattern}/");
        let knows = |other: &String| other.starts_with(&deeper) || pattern.strip_suffix("/*") == Some(other);
        if shallow && !patterns.iter().any(knows) {
            warnings.push(format!(
                "{pattern:?} matches no file in a folder below, as * does not match /; add {:?} for those",
                format!("{pattern}/*")
            ));
        }
        if let Some(Scope::Paths(above)) = above
            && !above.iter().any(|above| may_overlap(&above, pattern))
        {
            warnings.push(format!(
                "{pattern:?} matches no path that role {} may sign for: clients will not ask for it",
                edit.delegator()
            ));
        }
    }
    warnings
}

/// Whether two patterns may match one path; what is not plain text in both is taken to match.
fn may_overlap(one: &str, other: &str) -> bool {
    let plain = |segment: &str| !segment.contains(['*', '?', '[']);
    one.split('/').count() == other.split('/').count()
        && one.split('/').zip(other.split('/')).all(|(one, other)| match (plain(one), plain(other)) {
            (true, true) => one == other,
            (true, false) => pattern::matches(other, one),
            (false, true) => pattern::matches(one, other),
            (false, false) => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_one_path_may_match_both() {
        for (one, other, overlap) in [
            ("x/*", "x/a", true),
            ("x/*", "x/*/*", false),
            ("x/*", "y/*", false),
            ("*/a", "x/[a-c]", true),
            ("x/a?", "x/b1", false),
        ] {
            assert_eq!(may_overlap(one, other), overlap, "{one} {other}");
            assert_eq!(may_overlap(other, one), overlap, "{other} {one}");
        }
    }
}
