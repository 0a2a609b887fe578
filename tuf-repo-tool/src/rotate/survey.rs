//! Who may sign for what, by what is published, and which key an operator means.

use std::path::Path;

use tuf_core::trust::Authority;
use tuf_core::{Envelope, Key, KeyId, Keys, Limits, RoleKeys, RoleName, TopLevel};

use super::RotateError;
use super::follow::known_uris;
use crate::edit::Tree;
use crate::error::Error;
use crate::event::named;
use crate::keys::{self, KeyUri};
use crate::repository::{Published, Repository};

/// The shortest start of a key ID that stands for a key.
const SHORTEST: usize = 6;

/// Who may sign for a role.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The role; hash bins are one.
    pub(super) role: String,
    /// By the IDs that the file gives them that names the role.
    pub(super) keys: Vec<(KeyId, Key)>,
    threshold: u32,
}

impl Grant {
    fn new(role: String, keys: &Keys, listed: &RoleKeys) -> Self {
        let keys = listed.keyids.iter().filter_map(|id| Some((id.clone(), keys.get(id)?.clone())));
        Self { role, keys: keys.collect(), threshold: listed.threshold() }
    }

    /// The ID of a key here.
    pub(super) fn id_of(&self, key: &Key) -> Option<&KeyId> {
        let same = |(_, listed): &&(KeyId, Key)| key.public().is_some() && listed.public() == key.public();
        self.keys.iter().find(same).map(|(id, _)| id)
    }

    /// Whether the published targets hold without the signatures of these keys.
    pub(super) fn targets_hold_without(&self, gone: &[&Key], published: &Published) -> Result<bool, Error> {
        let set = published.set();
        let file = Envelope::parse(std::sync::Arc::clone(set.targets().bytes()), &Limits::default())
            .map_err(Error::Published)?;
        let stays = |(_, key): &&(KeyId, Key)| gone.iter().all(|gone| gone.public() != key.public());
        let ids = self.keys.iter().filter(stays).map(|(id, _)| id.clone()).collect();
        let (by, role) = (set.root().role_name(), RoleKeys::new(ids, self.threshold));
        Ok(Authority::new(by, set.root().header.version, &set.root().keys, &role).check(&file).is_met())
    }
}

/// Every role with its keys, hash bins once.
pub(super) fn grants(published: &Published) -> Result<Vec<Grant>, Error> {
    let root = published.set().root();
    let of_root = |role: TopLevel| Grant::new(role.name().to_owned(), &root.keys, root.role(role));
    let mut grants: Vec<Grant> = TopLevel::ALL.into_iter().map(of_root).collect();
    let mut tree = Tree::new(published);
    for visit in tree.branches()? {
        let node = tree.find(&visit.role)?;
        let Some(delegations) = node.value().and_then(|value| value.delegations.as_ref()) else { continue };
        grants.extend(
            named(delegations).into_iter().map(|(role, keys)| Grant::new(role, &delegations.keys, &keys)),
        );
    }
    Ok(grants)
}

/// A key that an operator means, and what it is called.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) key: Key,
    /// Where the settings, or `keys/`, say it is.
    pub(super) uri: Option<KeyUri>,
}

/// The key that a name, a URI or the start of a key ID stands for.
pub(super) fn find(repository: &Repository, grants: &[Grant], text: &str) -> Result<Wanted, Error> {
    let known: Vec<(KeyUri, Key)> = known_uris(repository)
        .into_iter()
        .filter_map(|uri| keys::public(&uri, repository.directory()).ok().map(|key| (uri, key)))
        .collect();
    let uri_of = |key: &Key| known.iter().find(|(_, known)| known.public() == key.public());
    let mut found: Vec<Wanted> = Vec::new();
    if KeyUri::is_uri(text) {
        let uri: KeyUri = text.parse()?;
        let key = keys::public(&uri, repository.directory())?;
        found.push(Wanted { name: uri.name(), key, uri: Some(uri) });
    } else {
        let named = known.iter().filter(|(uri, _)| uri.name() == text);
        found.extend(named.map(|(uri, key)| Wanted {
            name: uri.name(),
            key: key.clone(),
            uri: Some(uri.clone()),
        }));
    }
    if found.is_empty() && text.len() >= SHORTEST {
        let listed = grants.iter().flat_map(|grant| &grant.keys);
        for (id, key) in listed.filter(|(id, _)| id.as_str().starts_with(text)) {
            let uri = uri_of(key).map(|(uri, _)| uri.clone());
            let name = uri.as_ref().map_or_else(|| id.short(), KeyUri::name);
            found.push(Wanted { name, key: key.clone(), uri });
        }
    }
    found.sort_by_key(|wanted| wanted.key.id());
    found.dedup_by(|one, other| one.key.public() == other.key.public());
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(RotateError::Unknown { key: text.to_owned(), known: names(&known, grants) }.into()),
        _ => {
            let ids = found.iter().map(|wanted| wanted.key.id().to_string()).collect();
            Err(RotateError::Ambiguous { key: text.to_owned(), ids }.into())
        }
    }
}

/// What the keys that may sign are called.
fn names(known: &[(KeyUri, Key)], grants: &[Grant]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for grant in grants {
        for (id, key) in &grant.keys {
            let uri = known.iter().find(|(_, known)| known.public() == key.public());
            let name = uri.map_or_else(|| id.short(), |(uri, _)| uri.name());
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The first free name in a directory: `timestamp-2` after `timestamp`, `root-4` where there are three.
pub(super) fn free_name(old: &str, directories: &[&Path]) -> String {
    let base = match old.rsplit_once('-') {
        Some((base, number)) if !base.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) => base,
        _ => old,
    };
    let taken = |name: &str| {
        directories.iter().any(|directory| {
            ["pem", "pub.json"].iter().any(|end| directory.join(format!("{name}.{end}")).exists())
        })
    };
    (2_u64..).map(|number| format!("{base}-{number}")).find(|name| !taken(name)).unwrap_or_default()
}

/// Whether a role is one that root names.
pub(super) fn is_top(role: &str) -> bool {
    RoleName::new(role).is_ok_and(|role| role.top_level().is_some())
}
