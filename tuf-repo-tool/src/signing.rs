//! Signing with the keys that `tuf-repo.toml` names for a role.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;

use tuf_core::{Draft, Key, Keys, Metadata, RoleKeys, RoleName};

use crate::config::RoleKind;
use crate::edit::Keyring;
use crate::error::Error;
use crate::keys::{self, KeyUri, Passphrases, Signer};
use crate::repository::Repository;

/// The keys of a repository, unlocked when they are first used.
pub(crate) struct Signers<'a> {
    repository: &'a Repository,
    passphrases: &'a mut Passphrases,
    open: BTreeMap<String, Box<dyn Signer>>,
    keyring: Keyring<'a>,
}

impl fmt::Debug for Signers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signers").field("open", &self.open.keys()).finish_non_exhaustive()
    }
}

impl<'a> Signers<'a> {
    /// The keys of this repository; none is unlocked yet.
    #[must_use]
    pub(crate) const fn new(repository: &'a Repository, passphrases: &'a mut Passphrases) -> Self {
        Self { repository, passphrases, open: BTreeMap::new(), keyring: Keyring::new(repository) }
    }

    fn signer(&mut self, uri: &KeyUri) -> Result<&dyn Signer, Error> {
        match self.open.entry(uri.to_string()) {
            Entry::Occupied(open) => Ok(&**open.into_mut()),
            Entry::Vacant(place) => {
                let signer = keys::open(uri, self.repository.directory(), self.passphrases)?;
                Ok(&**place.insert(signer))
            }
        }
    }

    /// Signs with those keys of a role that are on this machine, each signature verified as it is made and filed under
    /// the key ID that its delegator has for it.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Signature`]; [`Error::Edit`] if too few of the keys are here.
    pub(crate) fn sign_as<T: Metadata>(
        &mut self,
        value: T,
        role: &RoleName,
        uris: &[KeyUri],
        authority: Option<(&Keys, &RoleKeys)>,
    ) -> Result<Vec<u8>, Error> {
        let holders = match authority {
            Some(authority) => self.keyring.signers(role, authority)?,
            None => Vec::new(),
        };
        let mut draft = Draft::new(value);
        for uri in uris {
            let listed = holders.iter().find(|holder| holder.uri.as_ref() == Some(uri));
            // While a root changes, top-level roles are signed with the keys of both.
            let wanted = listed.is_some() || authority.is_none() || role.top_level().is_some();
            if !wanted || !self.keyring.is_here(uri) {
                continue;
            }
            let signer = self.signer(uri)?;
            let key = signer.public();
            let id = listed.map_or_else(|| key.id(), |holder| holder.id.clone());
            let signature = signer.sign(draft.payload().as_bytes())?;
            draft
                .attach(&id, key, &signature)
                .map_err(|source| Error::Signature { role: role.to_string(), source })?;
        }
        Ok(draft.finish().into_bytes())
    }

    /// Signs with every key of a role, each signature verified as it is made.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Signature`].
    pub(crate) fn sign<T: Metadata>(&mut self, value: T, kind: RoleKind) -> Result<Vec<u8>, Error> {
        let repository = self.repository;
        let mut draft = Draft::new(value);
        for uri in &repository.config.role(kind)?.keys {
            let signer = self.signer(uri)?;
            let signature = signer.sign(draft.payload().as_bytes())?;
            draft
                .attach(&signer.public().id(), signer.public(), &signature)
                .map_err(|source| Error::Signature { role: kind.to_string(), source })?;
        }
        Ok(draft.finish().into_bytes())
    }
}

/// The public keys of a role, from the files beside the private ones.
///
/// # Errors
/// [`Error::Key`], [`Error::TooFewKeys`].
pub(crate) fn public_keys(repository: &Repository, kind: RoleKind) -> Result<Vec<Key>, Error> {
    let role = repository.config.role(kind)?;
    let keys: Vec<Key> =
        role.keys.iter().map(|uri| keys::public(uri, repository.directory())).collect::<Result<_, _>>()?;
    let distinct: std::collections::BTreeSet<_> = keys.iter().filter_map(Key::public).collect();
    if usize::try_from(role.threshold).is_ok_and(|threshold| distinct.len() < threshold) {
        return Err(Error::TooFewKeys {
            role: kind.to_string(),
            threshold: role.threshold,
            keys: distinct.len(),
        });
    }
    Ok(keys)
}

/// Keys and threshold of a role as metadata lists them.
///
/// # Errors
/// As [`public_keys`].
pub(crate) fn role_keys(repository: &Repository, kind: RoleKind) -> Result<(RoleKeys, Keys), Error> {
    let keys = public_keys(repository, kind)?;
    let role = RoleKeys::new(keys.iter().map(Key::id).collect(), repository.config.role(kind)?.threshold);
    Ok((role, keys.into_iter().map(|key| (key.id(), key)).collect()))
}
