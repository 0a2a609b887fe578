//! The keys that come in place of those that are replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tuf_core::{Key, PublicKey, RoleName};

use super::record::NewKey;
use super::survey::{Replaced, Survey};
use super::{MissingKey, RecoverError};
use crate::config::{Config, RoleKind, SettingsFile};
use crate::error::Error;
use crate::event::{KeyChanges, NamedKey};
use crate::keys::{self, Algorithm, KeyUri, Passphrases, file};
use crate::log::{self, Did, Entry};
use crate::publish::Listed;
use crate::repository::{Published, Repository};

/// Chooses a successor for every key that is replaced: the one that is named, else a file beside the old one. Makes none yet. Also
/// says which have none.
///
/// # Errors
/// [`RecoverError::Role`].
pub(super) fn choose(survey: &Survey<'_>) -> Result<(Vec<NewKey>, Vec<MissingKey>), Error> {
    let repository = survey.evidence.repository;
    let mut given: BTreeMap<&str, Vec<&KeyUri>> = BTreeMap::new();
    for (role, uri) in &survey.request.new_keys {
        // Fails if there is no such role.
        survey.listed_of(role)?;
        given.entry(role).or_default().push(uri);
    }
    given.values_mut().for_each(|uris| uris.reverse());
    // A key that several roles share has one successor, unless they are given others.
    let mut shared: BTreeMap<&PublicKey, KeyUri> = BTreeMap::new();
    let (mut chosen, mut missing): (Vec<NewKey>, Vec<MissingKey>) = Default::default();
    for Replaced { section, id, key } in &survey.replaced {
        let old_uri = uri_of(repository, section, key);
        let uri = match (
            given.get_mut(section.as_str()).and_then(Vec::pop),
            key.public().and_then(|key| shared.get(key)),
        ) {
            (Some(given), _) => given.clone(),
            (None, Some(same)) => same.clone(),
            (None, None) => {
                let taken: BTreeSet<PathBuf> =
                    chosen.iter().filter_map(|new| new.uri.path(Path::new(""))).collect();
                let new = match &old_uri {
                    Some(KeyUri::File(path)) => beside(repository, path, &taken),
                    _ => None,
                };
                let Some(path) = new else {
                    let key = old_uri.as_ref().map_or_else(|| id.short(), KeyUri::name);
                    missing.push(MissingKey { role: section.clone(), key });
                    continue;
                };
                let uri = KeyUri::File(path);
                shared.extend(key.public().map(|key| (key, uri.clone())));
                uri
            }
        };
        chosen.push(NewKey { role: section.clone(), old: Some(id.as_str().to_owned()), old_uri, uri });
    }
    for (role, uris) in given {
        let more = uris.into_iter().rev();
        chosen.extend(more.map(|uri| NewKey {
            role: role.to_owned(),
            old: None,
            old_uri: None,
            uri: uri.clone(),
        }));
    }
    Ok((chosen, missing))
}

/// Where the settings say that a key is.
fn uri_of(repository: &Repository, section: &str, key: &Key) -> Option<KeyUri> {
    let terms = repository.config.terms(&RoleName::new(section).ok()?)?;
    let same = |uri: &&KeyUri| {
        keys::public(uri, repository.directory())
            .is_ok_and(|known| known.public().is_some() && known.public() == key.public())
    };
    terms.keys.iter().find(same).cloned()
}

/// `keys/timestamp-2.pem` beside `keys/timestamp.pem`: the first number that no key has.
fn beside(repository: &Repository, path: &Path, taken: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let name = path.file_stem()?.to_str()?;
    let base = match name.rsplit_once('-') {
        Some((base, number)) if number.parse::<u32>().is_ok() => base,
        _ => name,
    };
    let is_free = |path: &PathBuf| {
        let at = repository.directory().join(path);
        !at.exists() && !file::public_path(&at).exists() && !taken.contains(path)
    };
    (2_u32..10_000).map(|number| path.with_file_name(format!("{base}-{number}.pem"))).find(is_free)
}

/// Makes the keys that are files of this machine and not there yet, each as well protected as the one that it replaces.
pub(super) fn make(survey: &Survey<'_>, keys: &[NewKey], passphrases: &mut Passphrases) -> Result<(), Error> {
    let directory = survey.evidence.repository.directory();
    for new in keys {
        let Some(path) = new.uri.path(directory) else { continue };
        if path.exists() {
            if !file::public_path(&path).exists() {
                file::complete(&path, passphrases)?;
            }
            continue;
        }
        let old = survey
            .replaced
            .iter()
            .find(|old| old.section == new.role && Some(old.id.as_str()) == new.old.as_deref());
        let algorithm = match old.and_then(|old| old.key.public()) {
            Some(PublicKey::EcdsaP256(_)) => Algorithm::EcdsaP256,
            Some(PublicKey::EcdsaP384(_)) => Algorithm::EcdsaP384,
            _ => Algorithm::Ed25519,
        };
        let old = new.old_uri.as_ref().and_then(|uri| uri.path(directory));
        let encrypted = old.is_none_or(|old| file::is_encrypted(&old).unwrap_or(true));
        let passphrase = if encrypted { Some(passphrases.choose(&new.uri.name())?) } else { None };
        let key = file::generate(&path, algorithm, passphrase.as_ref())?;
        let entry = Entry::of_key(Did::KeyGenerate, &new.uri.name(), &key);
        log::append(survey.evidence.repository, &entry.because(Some(&survey.request.reason)))?;
    }
    Ok(())
}

/// What changes of the keys of these roles.
///
/// # Errors
/// [`RecoverError::OldKey`], [`Error::Key`].
pub(super) fn changes(survey: &Survey<'_>, keys: &[NewKey], roles: &[String]) -> Result<KeyChanges, Error> {
    let mut changes = KeyChanges::default();
    for new in keys.iter().filter(|new| roles.contains(&new.role)) {
        let key = keys::public(&new.uri, survey.evidence.repository.directory())?;
        if survey.replaced.iter().any(|old| old.key.public() == key.public()) {
            return Err(RecoverError::OldKey { role: new.role.clone(), uri: new.uri.to_string() }.into());
        }
        changes.add.push((new.role.clone(), NamedKey::new(new.uri.name(), key)));
        changes.remove.extend(new.old.iter().map(|old| (new.role.clone(), old.clone())));
    }
    Ok(changes)
}

/// The settings with the new keys in place of the old ones.
pub(super) fn settings(config: &Config, keys: &[NewKey]) -> Config {
    let mut changed = config.clone();
    let roles: BTreeSet<&str> = keys.iter().map(|new| new.role.as_str()).collect();
    for role in roles {
        let Ok(name) = RoleName::new(role) else { continue };
        let Some(terms) = config.terms(&name) else { continue };
        let mut uris = terms.keys.to_vec();
        for new in keys.iter().filter(|new| new.role == role) {
            uris.retain(|uri| *uri != new.uri);
            match uris.iter_mut().find(|uri| new.old_uri.as_ref() == Some(*uri)) {
                Some(old) => *old = new.uri.clone(),
                None => uris.push(new.uri.clone()),
            }
        }
        changed.set_keys(&name, uris);
    }
    changed
}

/// Writes the settings with the new keys into `tuf-repo.toml`. Of a role that got one, a key that may not sign it any more goes, also
/// one that a rotation left there: it would go on signing for an old root, and may be stolen too. `published` is what is
/// published by now.
///
/// # Errors
/// [`Error::Config`], [`Error::File`].
pub(super) fn save_settings(
    repository: &Repository,
    published: Option<&Published>,
    keys: &[NewKey],
) -> Result<(), Error> {
    let directory = repository.directory();
    let mut file = SettingsFile::open(directory)?;
    let changed = settings(&repository.config, keys);
    let roles: BTreeSet<&str> = keys.iter().map(|new| new.role.as_str()).collect();
    for role in roles {
        let Ok(name) = RoleName::new(role) else { continue };
        let uris_of = |config: &Config| config.terms(&name).map(|terms| terms.keys.to_vec());
        let (before, mut after) =
            (uris_of(&repository.config).unwrap_or_default(), uris_of(&changed).unwrap_or_default());
        let kind = RoleKind::ALL.into_iter().find(|kind| kind.name() == role);
        if let Some(listed) = kind.and_then(|kind| listed(published?, kind)) {
            let new = |uri: &KeyUri| keys.iter().any(|new| new.role == role && new.uri == *uri);
            let may = |uri: &KeyUri| {
                keys::public(uri, directory).is_ok_and(|key| listed.ids_of(&key).next().is_some())
            };
            after.retain(|uri| new(uri) || may(uri));
        }
        after.iter().for_each(|uri| file.add_key(role, uri));
        before.iter().filter(|uri| !after.contains(uri)).for_each(|uri| file.remove_key(role, uri));
    }
    file.save().map(drop)
}

fn listed(published: &Published, kind: RoleKind) -> Option<Listed> {
    let role = published.role_keys(kind)?;
    let set = published.set();
    let keys = match kind {
        RoleKind::Bins => &set.targets().delegations.as_ref()?.keys,
        RoleKind::BinN => &published.bins()?.0.delegations.as_ref()?.keys,
        _ => &set.root().keys,
    };
    Some(Listed::of((keys, &role)))
}
