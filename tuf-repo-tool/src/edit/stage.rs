//! Whether an edit can be staged on top of what is published and what is staged already.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::{Delegated, RoleName, Scope, Strings, TopLevel};

use super::{Edit, EditError, Keyring, NamedBins, Tree, Visit, warnings};
use crate::config::section;
use crate::error::Error;
use crate::publish::{Listed, NeedKey, first_tree};
use crate::repository::{Published, Repository};

/// An edit that can be staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// What had better be otherwise.
    pub warnings: Vec<String>,
    /// The command that makes it so: `tuf-repo publish`, or one that opens an event for keys that are elsewhere.
    pub next: String,
}

/// Checks an edit after those that are staged.
///
/// # Errors
/// [`EditError`] if it cannot be.
pub fn stage(repository: &Repository, staged: &[Edit], edit: &Edit) -> Result<Checked, Error> {
    let published = repository.published()?;
    let mut tree = edited(repository, published.as_ref(), staged)?;
    let delegator = edit.delegator();
    if delegator.top_level() == Some(TopLevel::Root) {
        return Err(EditError::Root { role: edit.role().clone() }.into());
    }
    tree.find(delegator)?;
    let delegator_here = signed_here(repository, published.as_ref(), &tree, delegator);
    let above = tree.delegator(delegator).and_then(|above| scope_of(&tree, above, delegator));
    tree.edit(edit, repository.now())?;
    let here = delegator_here
        && (!tree.is_loaded(edit.role()) || signed_here(repository, published.as_ref(), &tree, edit.role()));
    if !here && published.is_none() {
        return Err(EditError::Unpublished { role: edit.role().clone() }.into());
    }
    let all = [staged, std::slice::from_ref(edit)].concat();
    let next = match event_for(&all, delegator).filter(|_| !here) {
        Some(role) => format!("tuf-repo event open {role} --staged"),
        None => "tuf-repo publish".to_owned(),
    };
    Ok(Checked { warnings: warnings(edit, above.as_ref()), next })
}

/// The role whose event takes the staged edits because of which a role must be signed: who lists what changes, or, if that
/// is new as well, who delegates to it.
pub(crate) fn event_for(staged: &[Edit], role: &RoleName) -> Option<RoleName> {
    let by = staged.iter().find(|edit| edit.delegator() == role);
    let mut found = by.or_else(|| staged.iter().find(|edit| edit.role() == role))?.delegator();
    for _ in staged {
        let adds = |edit: &&Edit| matches!(edit, Edit::AddDelegation(_)) && edit.role() == found;
        found = staged.iter().find(adds).map_or(found, Edit::delegator);
    }
    Some(found.clone())
}

/// The roles with what is staged made in them.
pub(super) fn edited<'a>(
    repository: &Repository,
    published: Option<&'a Published>,
    staged: &[Edit],
) -> Result<Tree<'a>, Error> {
    let mut tree = match published {
        Some(published) => Tree::new(published),
        None => first_tree(repository, 0)?,
    };
    for edit in staged {
        tree.edit(edit, repository.now())?;
    }
    Ok(tree)
}

/// A delegated role, as it is published and as it will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Standing {
    /// The role; hash bins together as `bin-n` or `NAME-bin-n`.
    pub role: String,
    /// Who delegates to it.
    pub delegator: String,
    /// How many delegations there are from `targets` to it.
    pub depth: usize,
    /// Its place in the order, from 1.
    pub place: usize,
    /// How many roles this is: one, or as many as there are hash bins.
    pub count: u32,
    /// The patterns it may sign for.
    pub paths: Option<Vec<String>>,
    /// The hash prefixes it may sign for.
    pub path_hash_prefixes: Option<Vec<String>>,
    /// The keys that may sign for it.
    pub keys: Vec<NeedKey>,
    /// How many must.
    pub threshold: u32,
    /// Whether no later role is asked for these paths.
    pub terminating: bool,
    /// Its published version.
    pub version: Option<u64>,
    /// When that expires.
    pub expires: Option<DateTime<Utc>>,
    /// How many targets it lists.
    pub targets: Option<usize>,
    /// What is staged of it: `+` it is new, `~` its delegation changes, `-` it goes.
    pub staged: Option<char>,
}

/// All delegated roles as they will be, each after its delegator and in the order in which clients ask them; then those
/// that go.
///
/// # Errors
/// As [`stage`].
pub fn standing(repository: &Repository, staged: &[Edit]) -> Result<Vec<Standing>, Error> {
    let published = repository.published()?;
    let mut tree = edited(repository, published.as_ref(), staged)?;
    let mut keyring = Keyring::new(repository);
    let mut standing: Vec<Standing> = Vec::new();
    for Visit { role, .. } in tree.branches()? {
        let depth = standing.iter().find(|above| above.role == role.as_str()).map_or(0, |above| above.depth);
        let node = tree.find(&role)?;
        // Filled in now that the role is read.
        if let Some(row) = standing.iter_mut().find(|row| row.role == role.as_str()) {
            let base = node.base();
            row.version = base.map(|base| base.header.version);
            row.expires = base.map(|base| base.header.expires);
            row.targets = node.value().map(|value| value.targets.len());
        }
        let Some(delegations) = node.value().and_then(|value| value.delegations.as_ref()) else { continue };
        let Delegated::Roles(roles) = &delegations.roles else { continue };
        let bins = node.bins();
        let shown = if bins.is_some() { 1 } else { roles.len() };
        for (index, delegation) in roles.iter().take(shown).enumerate() {
            let strings = |strings: &Strings| strings.iter().map(Cow::into_owned).collect::<Vec<_>>();
            let (paths, prefixes) = match &delegation.scope {
                Scope::Paths(patterns) => (Some(strings(patterns)), None),
                Scope::PathHashPrefixes(_) if bins.is_some() => (None, None),
                Scope::PathHashPrefixes(prefixes) => (None, Some(strings(prefixes))),
                _ => (None, None),
            };
            let holders =
                keyring.holders(&delegation.name, &Listed::of((&delegations.keys, &delegation.keys)));
            standing.push(Standing {
                role: section_if(bins.is_some(), &delegation.name),
                delegator: role.to_string(),
                depth: depth + 1,
                place: index + 1,
                count: bins.map_or(1, NamedBins::count),
                paths,
                path_hash_prefixes: prefixes,
                keys: holders.into_iter().map(NeedKey::from).collect(),
                threshold: delegation.keys.threshold(),
                terminating: delegation.terminating,
                version: None,
                expires: None,
                targets: None,
                staged: mark(staged, &delegation.name),
            });
        }
    }
    standing.extend(staged.iter().filter_map(going).filter(|(_, role)| !tree.is_loaded(role)).map(
        |(delegator, role)| Standing {
            role: role.to_string(),
            delegator: delegator.to_string(),
            depth: 1,
            place: 0,
            count: 1,
            paths: None,
            path_hash_prefixes: None,
            keys: Vec::new(),
            threshold: 0,
            terminating: false,
            version: None,
            expires: None,
            targets: None,
            staged: Some('-'),
        },
    ));
    Ok(in_order(standing))
}

fn section_if(bins: bool, role: &RoleName) -> String {
    if bins { section(role).into_owned() } else { role.as_str().to_owned() }
}

fn going(edit: &Edit) -> Option<(&RoleName, &RoleName)> {
    matches!(edit, Edit::RemoveDelegation { .. }).then(|| (edit.delegator(), edit.role()))
}

fn mark(staged: &[Edit], role: &RoleName) -> Option<char> {
    staged.iter().rev().find(|edit| edit.role() == role).map(|edit| match edit {
        Edit::AddDelegation(_) => '+',
        Edit::EditDelegation(_) | Edit::EditBins(_) => '~',
        Edit::RemoveDelegation { .. } => '-',
    })
}

/// Each role followed by those below it.
fn in_order(mut rows: Vec<Standing>) -> Vec<Standing> {
    let mut ordered = Vec::with_capacity(rows.len());
    let mut pending = vec!["targets".to_owned()];
    while let Some(delegator) = pending.pop() {
        if let Some(at) = rows.iter().position(|row| row.role == delegator) {
            ordered.push(rows.remove(at));
        }
        pending
            .extend(rows.iter().rev().filter(|row| row.delegator == delegator).map(|row| row.role.clone()));
    }
    ordered.extend(rows);
    ordered
}

/// Who delegates to a role, as things will be.
///
/// # Errors
/// [`EditError::NoRole`].
pub fn delegator_of(repository: &Repository, staged: &[Edit], role: &RoleName) -> Result<RoleName, Error> {
    if role.top_level().is_some() {
        return Ok(TopLevel::Root.role());
    }
    let published = repository.published()?;
    let mut tree = edited(repository, published.as_ref(), staged)?;
    tree.find(role)?;
    Ok(tree.delegator(role).cloned().ok_or_else(|| EditError::NoRole { role: role.clone() })?)
}

/// Whether this machine has enough keys to sign a role.
fn signed_here(
    repository: &Repository,
    published: Option<&Published>,
    tree: &Tree<'_>,
    role: &RoleName,
) -> bool {
    let authority = match (tree.delegator(role), published) {
        (Some(above), _) => tree.authority(above, role),
        (None, Some(published)) => Some(Listed::of_root(published.set().root(), TopLevel::Targets)),
        // Until something is published, the keys of the settings are the ones.
        (None, None) => None,
    };
    authority.is_none_or(|authority| Keyring::new(repository).signers(role, &authority).is_ok())
}

fn scope_of(tree: &Tree<'_>, delegator: &RoleName, role: &RoleName) -> Option<Scope> {
    tree.delegation(delegator, role).map(|delegation| delegation.scope)
}
