//! While clients still come with the root before: its keys of timestamp and snapshot go on signing beside the new ones.
//!
//! Nothing but `tuf-repo.toml` says whether they do: a key that is named there for the role, and that an earlier root
//! lists and the published one does not, signs too. When the overlap is over it is taken out of there.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::{Envelope, Key, Limits, Root, TopLevel, read_unverified};

use super::DEFAULT_OVERLAP;
use super::state::{Rotation, Rotations};
use crate::config::{Config, Period, RoleKind, SettingsFile};
use crate::error::Error;
use crate::keys::{self, KeyUri};
use crate::publish::Listed;
use crate::repository::{Lock, Published, Repository};

/// No client comes with an older root than this many before the published one and expects today's timestamp.
const ROOTS: u64 = 16;

/// The roles that every client verifies by the root that it has just got.
const ROLES: [(TopLevel, RoleKind); 2] =
    [(TopLevel::Snapshot, RoleKind::Snapshot), (TopLevel::Timestamp, RoleKind::Timestamp)];

/// A key that was replaced and still signs beside the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Overlap {
    /// The role.
    pub role: RoleKind,
    /// Where the key is.
    pub key: KeyUri,
    /// Until when, if that is known.
    pub until: Option<DateTime<Utc>>,
}

/// A key that signs for the sake of an earlier root.
struct Old {
    uri: KeyUri,
    key: Key,
    listed: Listed,
}

/// Who else is to sign a role for clients that have not got the published root yet. Reads roots only while more keys than
/// one are configured, of which one is in no published root or no longer.
///
/// # Errors
/// [`Error::Storage`].
pub(crate) fn overlapping(
    repository: &Repository,
    root: &Root,
    role: TopLevel,
) -> Result<Vec<Listed>, Error> {
    Ok(old_keys(repository, root, role)?.into_iter().map(|old| old.listed).collect())
}

fn old_keys(repository: &Repository, root: &Root, role: TopLevel) -> Result<Vec<Old>, Error> {
    let kind = ROLES.iter().find(|(top, _)| *top == role).map(|(_, kind)| kind);
    let Some(config) = kind.and_then(|kind| repository.config.roles.get(kind)) else { return Ok(Vec::new()) };
    if config.keys.len() < 2 {
        return Ok(Vec::new());
    }
    let (now, mut found) = (Listed::of_root(root, role), Vec::new());
    let public = |uri: &KeyUri| Some((uri.clone(), keys::public(uri, repository.directory()).ok()?));
    let mut left: Vec<(KeyUri, Key)> = config.keys.iter().filter_map(public).collect();
    left.retain(|(_, key)| now.ids_of(key).next().is_none());
    let newest = root.header.version;
    for version in (newest.saturating_sub(ROOTS).max(1)..newest).rev() {
        if left.is_empty() {
            break;
        }
        // Chained to the first root when what is published was read; what it says here is only whom else to sign for.
        let Some(bytes) = repository.read_metadata(&format!("{version}.root.json"))? else { continue };
        let limits = Limits::default();
        let read = Envelope::parse(bytes, &limits).and_then(|file| read_unverified::<Root>(&file, &limits));
        let Ok(before) = read else { continue };
        let listed = Listed::of_root(&before, role);
        let gone = left.extract_if(.., |(_, key)| listed.ids_of(key).next().is_some());
        found.extend(gone.map(|(uri, key)| Old { uri, key, listed: listed.clone() }));
    }
    Ok(found)
}

/// Every key that was replaced and still signs.
///
/// # Errors
/// [`Error::Storage`].
pub fn overlaps(repository: &Repository, published: &Published) -> Result<Vec<Overlap>, Error> {
    let (root, noted) = (published.set().root().value(), Rotations::load(repository));
    let mut overlaps = Vec::new();
    for (top, role) in ROLES {
        for Old { uri, key, .. } in old_keys(repository, root, top)? {
            let until = noted.of(&key).and_then(|rotation| rotation.until);
            overlaps.push(Overlap { role, key: uri, until });
        }
    }
    Ok(overlaps)
}

/// The keys that are to take over in roles of the settings and may not sign yet, with the names of those that they replace.
pub(crate) fn begun(repository: &Repository) -> Vec<(RoleKind, KeyUri, String)> {
    let noted = Rotations::load(repository);
    let named = |uri: &KeyUri| noted.pending().find(|rotation| rotation.by == *uri);
    let roles = repository.config.roles.iter();
    let keys = roles.flat_map(|(kind, role)| role.keys.iter().map(move |uri| (*kind, uri)));
    keys.filter_map(|(kind, uri)| Some((kind, uri.clone(), named(uri)?.name.clone()))).collect()
}

/// Takes keys out of `tuf-repo.toml` whose overlap is over, or all that were replaced if it is to end `now`, and then what
/// waits for a root need wait no longer; of keys that stay, notes until when if that is not known. Gives what was taken out, and the settings as they are then.
///
/// # Errors
/// [`Error::Storage`], [`Error::Config`], [`Error::File`].
pub fn end_overlaps(
    repository: &Repository,
    _lock: &Lock,
    now: bool,
) -> Result<(Vec<Overlap>, Option<Config>), Error> {
    if now {
        let mut noted = Rotations::load(repository);
        noted.end_graces(repository.now());
        noted.save(repository)?;
    }
    let several = |kind: &RoleKind| repository.config.roles.get(kind).is_some_and(|role| role.keys.len() > 1);
    if !ROLES.iter().any(|(_, kind)| several(kind)) {
        return Ok((Vec::new(), None));
    }
    let Some(published) = repository.published()? else { return Ok((Vec::new(), None)) };
    let (root, time) = (published.set().root().value(), repository.now());
    let before = Rotations::load(repository);
    let (mut noted, mut over, mut gone) = (before.clone(), Vec::new(), Vec::new());
    for (top, role) in ROLES {
        for Old { uri, key, .. } in old_keys(repository, root, top)? {
            let unknown = || Rotation {
                name: uri.name(),
                by: uri.clone(),
                overlap: Period(DEFAULT_OVERLAP),
                until: None,
            };
            let until = noted.until(&key, unknown, time);
            if now || until <= time {
                over.push(Overlap { role, key: uri, until: Some(until) });
                gone.push(key);
            }
        }
    }
    if over.is_empty() {
        if noted != before {
            noted.save(repository)?;
        }
        return Ok((over, None));
    }
    let mut settings = SettingsFile::open(repository.directory())?;
    for overlap in &over {
        settings.remove_key(overlap.role.name(), &overlap.key);
    }
    let config = settings.save()?;
    gone.iter().for_each(|key| noted.end(key));
    noted.save(repository)?;
    Ok((over, Some(config)))
}

/// What every publish does when it is done: a failure only means that the next one does it.
pub(crate) fn after_publish(repository: &Repository, lock: &Lock) {
    match end_overlaps(repository, lock, false) {
        Ok((over, _)) => {
            for Overlap { role, key, .. } in over {
                tracing::warn!("the overlap is over: {key} signs {role} no longer, and may be destroyed");
            }
        }
        Err(error) => {
            let error = tuf_client::chain(&error);
            tracing::warn!("keys that were replaced are still named in tuf-repo.toml: {error}");
        }
    }
}
