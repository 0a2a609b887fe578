//! Signing with the keys that `tuf-repo.toml` names for a role.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::io::ErrorKind;

use tuf_core::{Draft, Key, KeyId, Keys, Metadata, RoleKeys, RoleName};

use crate::config::RoleKind;
use crate::edit::EditError;
use crate::error::Error;
use crate::keys::{self, KeyError, KeyUri, Passphrases, Signer};
use crate::publish::Listed;
use crate::repository::Repository;

/// The keys of a repository, unlocked when they are first used.
pub(crate) struct Signers<'a> {
    repository: &'a Repository,
    passphrases: &'a mut Passphrases,
    open: BTreeMap<String, Box<dyn Signer>>,
    public: BTreeMap<String, Key>,
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
        Self { repository, passphrases, open: BTreeMap::new(), public: BTreeMap::new() }
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

    fn public(&mut self, uri: &KeyUri) -> Result<Key, Error> {
        match self.public.entry(uri.to_string()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(place) => Ok(place.insert(keys::public(uri, self.repository.directory())?).clone()),
        }
    }

    /// Signs with every one of these keys that one of `listed` lists, under the ID that it has there; each signature is
    /// verified as it is made. During a rotation both roots list keys, of which the first must be satisfied here; a key that
    /// nobody lists is not used. One whose private half is elsewhere, or that fails, is passed over where the others are
    /// enough.
    ///
    /// # Errors
    /// [`Error::Edit`] if too few of the keys are here, [`Error::Key`], [`Error::Signature`].
    pub(crate) fn sign<T: Metadata>(
        &mut self,
        value: T,
        role: &RoleName,
        uris: &[KeyUri],
        listed: &[Listed],
    ) -> Result<Vec<u8>, Error> {
        let mut draft = Draft::new(value);
        let (mut signed, mut failed) = (Vec::new(), None);
        for uri in uris {
            match self.sign_with(&mut draft, role, uri, listed) {
                Ok(key) => signed.extend(key),
                Err(Error::Key(error)) if is_elsewhere(&error) => {}
                Err(error @ Error::Key(_)) => drop(failed.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        match (listed.first().filter(|listed| is_short(listed, &signed)), failed) {
            (None, None) => {}
            (None, Some(error)) => {
                tracing::warn!("role {role} is signed without a key: {}", tuf_client::chain(&error));
            }
            (Some(_), Some(error)) => return Err(error),
            (Some(short), None) => {
                let missing = short.role.keyids.iter().filter(|id| {
                    let key = short.keys.get(id).and_then(Key::public);
                    !signed.iter().any(|signed| signed.public() == key)
                });
                let name = |id: &KeyId| self.name_of(short.keys.get(id), uris).unwrap_or_else(|| id.short());
                return Err(EditError::SignedElsewhere {
                    role: role.clone(),
                    threshold: short.role.threshold(),
                    here: count(short, &signed),
                    missing: missing.map(name).collect(),
                    staged: None,
                }
                .into());
            }
        }
        Ok(draft.finish().into_bytes())
    }

    /// The URI of a key, if it is one of these.
    fn name_of(&self, key: Option<&Key>, uris: &[KeyUri]) -> Option<String> {
        let key = key?.public()?;
        let is_it = |uri: &&KeyUri| {
            self.public.get(&uri.to_string()).and_then(Key::public).is_some_and(|known| known == key)
        };
        uris.iter().find(is_it).map(ToString::to_string)
    }

    /// Signs with one key; `None` if nobody lists it.
    fn sign_with<T: Metadata>(
        &mut self,
        draft: &mut Draft<T>,
        role: &RoleName,
        uri: &KeyUri,
        listed: &[Listed],
    ) -> Result<Option<Key>, Error> {
        let key = self.public(uri)?;
        if !is_listed(&key, listed) {
            return Ok(None);
        }
        attach(draft, role, self.signer(uri)?, &key, listed)?;
        Ok(Some(key))
    }

    /// Opens these keys, so that they can sign many roles for which `listed` is the same on many threads at once. `None` if one
    /// of them cannot be had or does not sign in this process: then each role is signed by [`Signers::sign`], which says what is wrong.
    pub(crate) fn team<'s>(&'s mut self, uris: &[KeyUri], listed: &'s [Listed]) -> Option<Team<'s>> {
        let mut keys = Vec::new();
        for uri in uris {
            let key = self.public(uri).ok()?;
            if is_listed(&key, listed) {
                if !self.signer(uri).ok()?.in_process() {
                    return None;
                }
                keys.push((uri.to_string(), key));
            }
        }
        let members = keys.into_iter().map(|(uri, key)| Some((&**self.open.get(&uri)?, key)));
        let team = Team { members: members.collect::<Option<_>>()?, listed };
        let keys: Vec<_> = team.members.iter().map(|(_, key)| key.clone()).collect();
        let enough = listed.first().is_some_and(|listed| !is_short(listed, &keys));
        enough.then_some(team)
    }
}

/// Unlocked keys that can sign on many threads at once, and that are enough.
#[derive(Debug)]
pub(crate) struct Team<'s> {
    members: Vec<(&'s dyn Signer, Key)>,
    listed: &'s [Listed],
}

impl Team<'_> {
    /// As [`Signers::sign`], byte for byte.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Signature`].
    pub(crate) fn sign<T: Metadata>(&self, value: T, role: &RoleName) -> Result<Vec<u8>, Error> {
        let mut draft = Draft::new(value);
        for (signer, key) in &self.members {
            attach(&mut draft, role, *signer, key, self.listed)?;
        }
        Ok(draft.finish().into_bytes())
    }
}

fn is_listed(key: &Key, listed: &[Listed]) -> bool {
    listed.iter().any(|listed| listed.ids_of(key).next().is_some())
}

/// How many of the keys that signed one file lists.
fn count(listed: &Listed, signed: &[Key]) -> usize {
    let mut keys: Vec<_> = signed.iter().filter(|key| listed.ids_of(key).next().is_some()).collect();
    keys.dedup_by(|one, other| one.public() == other.public());
    keys.len()
}

fn is_short(listed: &Listed, signed: &[Key]) -> bool {
    usize::try_from(listed.role.threshold()).is_ok_and(|threshold| count(listed, signed) < threshold)
}

/// Signs once, under every ID that the key has.
fn attach<T: Metadata>(
    draft: &mut Draft<T>,
    role: &RoleName,
    signer: &dyn Signer,
    key: &Key,
    listed: &[Listed],
) -> Result<(), Error> {
    let signature = signer.sign(draft.payload().as_bytes())?;
    let ids: BTreeSet<&KeyId> = listed.iter().flat_map(|listed| listed.ids_of(key)).collect();
    for id in ids {
        draft
            .attach(id, key, &signature)
            .map_err(|source| Error::Signature { role: role.to_string(), source })?;
    }
    Ok(())
}

/// The private half is not on this machine.
pub(crate) fn is_elsewhere(error: &KeyError) -> bool {
    match error {
        KeyError::Elsewhere { .. } => true,
        KeyError::Io { source, .. } => source.kind() == ErrorKind::NotFound,
        _ => false,
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
    let distinct: BTreeSet<_> = keys.iter().filter_map(Key::public).collect();
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
