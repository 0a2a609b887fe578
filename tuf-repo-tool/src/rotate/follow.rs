//! `tuf-repo.toml` follows what an event has published: new keys whose place is known come, replaced ones go, thresholds
//! change.

use std::path::Path;

use tuf_core::Key;

use super::overlap::end_overlaps;
use crate::config::{Config, SettingsFile};
use crate::edit::Edit;
use crate::error::Error;
use crate::event::{Bundle, effects};
use crate::keys::{self, KeyUri};
use crate::publish::bins_role;
use crate::repository::{Lock, Repository};

/// Brings the settings up to what a finished event says; what they do not know stays unknown to them. Keys of timestamp
/// and snapshot stay until their overlap is over, which begins now.
///
/// # Errors
/// [`Error::Config`], [`Error::File`].
pub(crate) fn follow(repository: &Repository, lock: &Lock, bundle: &Bundle) -> Result<Config, Error> {
    let directory = repository.directory();
    let mut settings = SettingsFile::open(directory)?;
    for effect in effects(bundle) {
        let Some(uris) = uris_of(&repository.config, &effect.role) else { continue };
        for key in &effect.added {
            if let Some(uri) = place_of(repository, key) {
                settings.add_key(&effect.role, &uri);
            }
        }
        let stays = matches!(effect.role.as_str(), "timestamp" | "snapshot");
        for uri in uris.iter().filter(|_| !stays) {
            let public = keys::public(uri, directory).ok();
            let public = public.as_ref().and_then(Key::public);
            if public.is_some() && effect.removed.iter().any(|key| key.public() == public) {
                settings.remove_key(&effect.role, uri);
            }
        }
        if let Some(threshold) = effect.threshold {
            settings.set_threshold(&effect.role, threshold);
        }
    }
    let config = settings.save()?;
    let mut now = repository.clone();
    now.config = config;
    let (_, over) = end_overlaps(&now, lock, false)?;
    Ok(over.unwrap_or(now.config))
}

/// Brings the number of hash bins in the settings up to that which was published. A failure only means that `doctor` says so.
pub(crate) fn follow_bins(repository: &Repository, edits: &[Edit]) {
    let count = |edit: &Edit| match edit {
        Edit::EditBins(edit) if edit.delegator == bins_role() => edit.count,
        _ => None,
    };
    let Some(count) = edits.iter().filter_map(count).next_back() else { return };
    let saved = SettingsFile::open(repository.directory()).and_then(|mut settings| {
        settings.set_bins(count);
        settings.save()
    });
    if let Err(error) = saved {
        tracing::warn!("tuf-repo.toml still says another number of hash bins: {}", tuf_client::chain(&error));
    }
}

/// The keys that the settings name for a role.
pub(super) fn uris_of<'c>(config: &'c Config, role: &str) -> Option<&'c [KeyUri]> {
    let kind = config.roles.iter().find(|(kind, _)| kind.name() == role);
    let delegated = || config.delegations.get(role).map(|role| &*role.keys);
    kind.map(|(_, role)| &*role.keys).or_else(delegated)
}

/// Every key that the settings name, and each of which a half is in `keys/`.
pub(super) fn known_uris(repository: &Repository) -> Vec<KeyUri> {
    let config = &repository.config;
    let configured = config.roles.values().flat_map(|role| &role.keys);
    let delegated = config.delegations.values().flat_map(|role| &role.keys);
    let mut known: Vec<KeyUri> = configured.chain(delegated).cloned().collect();
    let listed = std::fs::read_dir(repository.directory().join("keys")).into_iter().flatten().flatten();
    let mut files: Vec<KeyUri> = listed
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let private = format!("{}.pem", name.strip_suffix(".pub.json")?);
            let keys = Path::new("keys");
            match repository.directory().join(keys).join(&private).exists() {
                true => Some(KeyUri::File(keys.join(private))),
                false => Some(KeyUri::Public(keys.join(name))),
            }
        })
        .collect();
    files.sort_by_key(ToString::to_string);
    for file in files {
        if !known.contains(&file) {
            known.push(file);
        }
    }
    known
}

/// Where a key is, if anything here says so: a place that can sign before one that cannot.
fn place_of(repository: &Repository, key: &Key) -> Option<KeyUri> {
    let same = |uri: &KeyUri| {
        keys::public(uri, repository.directory()).is_ok_and(|known| known.public() == key.public())
    };
    let mut known = known_uris(repository);
    known.sort_by_key(|uri| matches!(uri, KeyUri::Public(_)));
    known.into_iter().find(|uri| key.public().is_some() && same(uri))
}
