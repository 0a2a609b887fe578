//! Who can sign for a role, and whether on this machine.

use std::collections::{BTreeMap, BTreeSet};

use tuf_core::{Key, KeyId, RoleName};

use super::EditError;
use crate::keys::{self, KeyUri};
use crate::publish::Listed;
use crate::repository::Repository;

/// A key that may sign for a role: where `tuf-repo.toml` says it is, and whether it can sign here and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: KeyId,
    pub(crate) key: Key,
    pub(crate) uri: Option<KeyUri>,
    pub(crate) here: bool,
}

/// The public halves behind the URIs of `tuf-repo.toml`, each read once.
#[derive(Debug)]
pub(crate) struct Keyring<'a> {
    repository: &'a Repository,
    known: BTreeMap<String, (Option<Key>, bool)>,
}

impl<'a> Keyring<'a> {
    pub(crate) const fn new(repository: &'a Repository) -> Self {
        Self { repository, known: BTreeMap::new() }
    }

    fn known(&mut self, uri: &KeyUri) -> &(Option<Key>, bool) {
        let directory = self.repository.directory();
        self.known
            .entry(uri.to_string())
            .or_insert_with(|| (keys::public(uri, directory).ok(), is_here(uri, self.repository)))
    }

    /// Every key that may sign for a role, and which of these URIs it is.
    pub(crate) fn holders_of(&mut self, uris: &[KeyUri], Listed { keys, role }: &Listed) -> Vec<Holder> {
        let mut holders = Vec::with_capacity(role.keyids.len());
        for id in role.keyids.iter() {
            let Some(key) = keys.get(id) else { continue };
            let mut holder = Holder { id: id.clone(), key: key.clone(), uri: None, here: false };
            for uri in uris {
                let (known, here) = self.known(uri);
                let same = known.as_ref().is_some_and(|known| known.public() == key.public());
                if same && key.public().is_some() {
                    holder.here = *here;
                    holder.uri = Some(uri.clone());
                    break;
                }
            }
            holders.push(holder);
        }
        holders
    }

    /// Every key that may sign for a role, and where the settings say it is.
    pub(crate) fn holders(&mut self, role: &RoleName, authority: &Listed) -> Vec<Holder> {
        let repository = self.repository;
        let uris = repository.config.terms(role).map_or(&[][..], |terms| terms.keys);
        self.holders_of(uris, authority)
    }

    /// Every key that may sign for a role, if enough of them are here.
    ///
    /// # Errors
    /// [`EditError::SignedElsewhere`].
    pub(crate) fn signers(&mut self, role: &RoleName, authority: &Listed) -> Result<Vec<Holder>, EditError> {
        let holders = self.holders(role, authority);
        let here: BTreeSet<_> =
            holders.iter().filter(|holder| holder.here).filter_map(|holder| holder.key.public()).collect();
        let threshold = authority.role.threshold();
        if usize::try_from(threshold).is_ok_and(|threshold| here.len() >= threshold) {
            return Ok(holders);
        }
        let name = |holder: &Holder| holder.uri.as_ref().map_or_else(|| holder.id.short(), KeyUri::to_string);
        let missing = holders.iter().filter(|holder| !holder.here).map(name).collect();
        let (role, here) = (role.clone(), here.len());
        Err(EditError::SignedElsewhere { role, threshold, here, missing, staged: None })
    }
}

/// A key whose file is not there, or whose public half alone is, is on another machine.
pub(crate) fn is_here(uri: &KeyUri, repository: &Repository) -> bool {
    match uri {
        KeyUri::File(_) => uri.path(repository.directory()).is_some_and(|path| path.exists()),
        KeyUri::Public(_) => false,
        _ => true,
    }
}
