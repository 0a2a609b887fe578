//! The key that takes over: one that was made elsewhere, or one that is made beside the old one and like it.

use std::path::{Path, PathBuf};

use tuf_core::{Key, PublicKey};

use super::state::{Rotation, Rotations};
use super::survey::{Grant, Wanted, free_name};
use super::{DEFAULT_OVERLAP, Rotate, RotateError};
use crate::config::Period;
use crate::error::Error;
use crate::init::copy_public;
use crate::keys::usage::PublishedRoots;
use crate::keys::{self, Algorithm, KeyError, KeyUri, Passphrases, file};
use crate::log::{self, Did, Entry};
use crate::repository::Repository;

/// The new key of a rotation: decided and noted before it is made, so that it is made once.
pub(super) fn successor(
    repository: &Repository,
    passphrases: &mut Passphrases,
    request: &Rotate,
    grants: &[Grant],
    old: &Wanted,
    to: Option<&KeyUri>,
) -> Result<(KeyUri, Key), Error> {
    let mut noted = Rotations::load(repository);
    // One that is over is of an earlier life of the key.
    let before = noted.of(&old.key).filter(|rotation| rotation.until.is_none()).cloned();
    if let (Some(before), Some(to)) = (&before, to)
        && before.by != *to
    {
        let (key, by) = (old.name.clone(), before.by.to_string());
        return Err(RotateError::Begun { key, by }.into());
    }
    let uri = match (&before, to) {
        (Some(before), _) => before.by.clone(),
        (None, Some(to)) => {
            let new = public(repository, passphrases, to)?;
            if new.public() == old.key.public() {
                return Err(RotateError::Same { key: old.name.clone() }.into());
            }
            never_replaced(repository, grants, old, to, &new)?;
            to.clone()
        }
        (None, None) => place(repository, request, old)?,
    };
    let (overlap, name) = (request.overlap, old.name.clone());
    let known = before.as_ref().map(|before| before.overlap);
    let rotation = Rotation {
        name,
        by: uri.clone(),
        overlap: overlap.or(known).unwrap_or(Period(DEFAULT_OVERLAP)),
        until: None,
    };
    if to.is_none() {
        // Asked for before anything is written.
        let make = to_make(repository, request, &uri);
        let passphrase = match &make {
            Some(path) if !path.exists() && is_encrypted(repository, request, old)? => {
                Some(passphrases.choose(&uri.name())?)
            }
            _ => None,
        };
        if before.as_ref() != Some(&rotation) {
            noted.begin(&old.key, rotation);
            noted.save(repository)?;
        }
        if let Some(path) = make {
            if !path.exists() {
                let key = file::generate(&path, like(&old.key), passphrase.as_ref())?;
                let entry = Entry::of_key(Did::KeyGenerate, &uri.name(), &key);
                log::append(repository, &entry.because(request.reason.as_deref()))?;
            } else if !file::public_path(&path).exists() {
                file::complete(&path, passphrases)?;
            }
            if let KeyUri::Public(public) = &uri {
                let here = repository.directory().join(public);
                if !here.exists() {
                    copy_public(&path, &here)?;
                }
            }
        }
    } else if before.as_ref() != Some(&rotation) {
        noted.begin(&old.key, rotation);
        noted.save(repository)?;
    }
    let key = public(repository, passphrases, &uri)?;
    Ok((uri, key))
}

/// A key that was replaced in a role would count as one that still signs for the sake of an old root.
fn never_replaced(
    repository: &Repository,
    grants: &[Grant],
    old: &Wanted,
    to: &KeyUri,
    new: &Key,
) -> Result<(), Error> {
    let uses = PublishedRoots::read(&**repository.storage())?.uses(new);
    for grant in grants.iter().filter(|grant| grant.id_of(&old.key).is_some() && grant.id_of(new).is_none()) {
        if let Some(root) = uses.get(grant.role.as_str()).and_then(|roots| roots.last()) {
            let (key, role) = (to.to_string(), grant.role.clone());
            return Err(RotateError::Replaced { key, role, root: *root }.into());
        }
    }
    Ok(())
}

/// Where a new key comes to be.
fn place(repository: &Repository, request: &Rotate, old: &Wanted) -> Result<KeyUri, Error> {
    let keys = Path::new("keys");
    match (&old.uri, &request.offline_keys) {
        // A key that is used here is replaced here.
        (Some(KeyUri::File(path)), _) if repository.directory().join(path).exists() => {
            let beside = path.parent().unwrap_or(keys);
            let name = free_name(&old.name, &[&repository.directory().join(beside)]);
            Ok(KeyUri::File(beside.join(format!("{name}.pem"))))
        }
        (_, Some(away)) => {
            let name = free_name(&old.name, &[&repository.directory().join(keys), away]);
            Ok(KeyUri::Public(keys.join(format!("{name}.pub.json"))))
        }
        _ => Err(RotateError::Where { key: old.name.clone() }.into()),
    }
}

/// The file of the private key that is to be made here, if it is one.
fn to_make(repository: &Repository, request: &Rotate, uri: &KeyUri) -> Option<PathBuf> {
    match (uri, &request.offline_keys) {
        (KeyUri::File(path), _) => Some(repository.directory().join(path)),
        (KeyUri::Public(_), Some(away)) => Some(away.join(format!("{}.pem", uri.name()))),
        _ => None,
    }
}

/// A new key is protected as the old one is, if that is here.
fn is_encrypted(repository: &Repository, request: &Rotate, old: &Wanted) -> Result<bool, Error> {
    if !request.encrypted {
        return Ok(false);
    }
    let path = old.uri.as_ref().and_then(|uri| uri.path(repository.directory()));
    match path.filter(|path| path.exists()) {
        Some(path) => Ok(file::is_encrypted(&path)?),
        None => Ok(true),
    }
}

/// The kind of the old key, where this tool makes such keys in files.
fn like(old: &Key) -> Algorithm {
    match old.public() {
        Some(PublicKey::EcdsaP256(_)) => Algorithm::EcdsaP256,
        Some(PublicKey::EcdsaP384(_)) => Algorithm::EcdsaP384,
        _ => Algorithm::Ed25519,
    }
}

/// The public half; of a key that has none to read, unlocked.
fn public(repository: &Repository, passphrases: &mut Passphrases, uri: &KeyUri) -> Result<Key, Error> {
    match keys::public(uri, repository.directory()) {
        Err(KeyError::PublicLocked { .. }) => {
            Ok(keys::open(uri, repository.directory(), passphrases)?.public().clone())
        }
        public => Ok(public?),
    }
}
