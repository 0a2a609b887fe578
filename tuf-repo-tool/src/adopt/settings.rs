//! `tuf-repo.toml` as it follows from published metadata and the keys that are here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::Key;

use super::keyring::Keyring;
use super::periods::guess;
use super::seen::{Section, Seen};
use crate::config::{Config, DelegationConfig, Mirror, RoleConfig, RoleKind};
use crate::error::Error;
use crate::keys::{KeyUri, Passphrases};
use crate::state::StateUrl;

/// How many sections for delegated roles are written at most.
const MAX_SECTIONS: usize = 512;

/// What published metadata does not say.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Given {
    /// Where published files are: `s3://BUCKET/PREFIX`; `None`: the directory `public/`.
    pub storage: Option<String>,
    /// The database that the machines share; `None`: a file of this one.
    pub state: Option<StateUrl>,
    /// Where clients get what is published.
    pub public_url: Option<url::Url>,
    /// Keys besides those in `keys/`.
    pub keys: Vec<KeyUri>,
}

/// How a role is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AdoptedRole {
    /// The role; hash bins together as in the settings.
    pub role: String,
    /// How many roles that is.
    pub count: usize,
    /// The highest version.
    pub version: u64,
    /// When the first of them expires.
    pub expires: DateTime<Utc>,
    /// How long it is valid once it is signed.
    pub period: String,
    /// Whether that was seen; else it is assumed.
    pub period_seen: bool,
    /// Where its keys are.
    pub keys: Vec<String>,
    /// How many of them can sign here.
    pub here: usize,
    /// How many must sign.
    pub threshold: u32,
}

/// Settings that were derived.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) config: Config,
    pub(crate) roles: Vec<AdoptedRole>,
    /// Public halves to write.
    pub(crate) public: Vec<(PathBuf, Key)>,
    /// What the operator should know.
    pub(crate) notes: Vec<String>,
}

/// Derives the settings of a repository in `directory`; `kept` are those that it has, for what metadata does not say.
///
/// # Errors
/// [`super::AdoptError::Key`], [`super::AdoptError::UnusedKey`].
pub(crate) fn derive(
    directory: &Path,
    seen: &Seen,
    given: &Given,
    kept: Option<&Config>,
    now: DateTime<Utc>,
    passphrases: &mut Passphrases,
) -> Result<Derived, Error> {
    let mut ring = Keyring::read(directory, &given.keys, passphrases)?;
    let mut notes = Vec::new();
    let (mut roles, mut table, mut delegations) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    // Top-level names come first where a key is named after a role.
    let kinds = RoleKind::ALL.iter().map(|kind| kind.name());
    let order = kinds.clone().chain(
        seen.sections.keys().map(String::as_str).filter(|name| !kinds.clone().any(|kind| kind == *name)),
    );
    for name in order {
        let Some(section) = seen.sections.get(name) else { continue };
        let kind = RoleKind::ALL.into_iter().find(|kind| kind.name() == name);
        let (keys, unknown) = keys_of(&mut ring, section, name);
        if unknown > 0 {
            notes.push(format!("{name}: {unknown} keys are of a kind that this program cannot use"));
        }
        let here = keys.iter().filter(|uri| is_here(uri, directory)).count();
        let usual =
            RoleConfig::new(kind.unwrap_or(RoleKind::Targets), KeyUri::Public(PathBuf::new())).expires;
        let period = guess(section.span, usual);
        let threshold = section.listed.iter().map(|listed| listed.role.threshold()).max().unwrap_or(1);
        table.push(AdoptedRole {
            role: name.to_owned(),
            count: section.roles,
            version: section.version,
            expires: section.expires,
            period: period.period.to_string(),
            period_seen: period.is_seen,
            keys: keys.iter().map(ToString::to_string).collect(),
            here,
            threshold,
        });
        match kind {
            Some(kind) => {
                let role = RoleConfig { keys, threshold, expires: period.period, renew_after: None };
                roles.insert(kind, role);
            }
            None if here > 0 => {
                delegations.insert(name.to_owned(), DelegationConfig::new(keys, period.period));
            }
            None => {}
        }
    }
    ring.all_used()?;
    if delegations.len() > MAX_SECTIONS {
        notes.push(format!(
            "{} delegated roles could be signed here; only {MAX_SECTIONS} of them got a section: add those that are needed",
            delegations.len()
        ));
        delegations = delegations.into_iter().take(MAX_SECTIONS).collect();
    }
    // A role of the name `bins` has the other one's section as well.
    if seen.has_bins() {
        for (have, lack) in [(RoleKind::Bins, RoleKind::BinN), (RoleKind::BinN, RoleKind::Bins)] {
            if let Some(role) = roles.get(&have).cloned() {
                roles.entry(lack).or_insert(role);
            }
        }
    }
    notes.extend(ring.unreadable.iter().map(|key| format!("a key cannot be read: {key}")));
    notes.extend(cannot(seen, &table, now));
    let mirror = kept.map_or_else(Mirror::default, |kept| kept.mirror.clone());
    let missing: Vec<_> = seen
        .projects
        .iter()
        .filter(|project| !mirror.projects.contains_key(*project))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        let first: Vec<_> = missing.iter().take(8).copied().collect();
        let more = if missing.len() > first.len() { " …" } else { "" };
        notes.push(format!(
            "{} projects are published that the settings do not mirror: what is to be selected of each, metadata does not say; \
             `tuf-repo mirror add {}{more}`",
            missing.len(),
            first.join(" ")
        ));
    }
    let config = Config {
        layout: seen.layout(),
        storage: given.storage.clone().or_else(|| kept?.storage.clone()),
        state: given.state.clone().or_else(|| kept?.state.clone()),
        public_url: given.public_url.clone().or_else(|| kept?.public_url.clone()),
        bins: kept.and_then(|kept| kept.bins),
        min_version: kept.and_then(|kept| kept.min_version),
        roles,
        delegations,
        mirror,
    };
    Ok(Derived { config, roles: table, public: ring.new, notes })
}

/// The keys of a role: those that signed first, in the order of their signatures, so that the next file has the same.
fn keys_of(ring: &mut Keyring, section: &Section, name: &str) -> (Vec<KeyUri>, usize) {
    let (mut uris, mut unknown, mut done) = (Vec::new(), 0, BTreeSet::new());
    for listed in &section.listed {
        let ids = listed.role.keyids.iter();
        let signed = section.signed_by.iter().filter(|id| ids.clone().any(|listed| listed == *id));
        for id in signed.chain(ids.clone()) {
            let Some(key) = listed.keys.get(id).filter(|_| done.insert(id.clone())) else { continue };
            match ring.find(key, name) {
                Some(uri) if !uris.contains(&uri) => uris.push(uri),
                Some(_) => {}
                None => unknown += 1,
            }
        }
    }
    (uris, unknown)
}

fn is_here(uri: &KeyUri, directory: &Path) -> bool {
    match uri {
        KeyUri::Public(_) => false,
        other => other.path(directory).is_none_or(|path| path.exists()),
    }
}

/// What cannot be carried on, and what needs doing first.
fn cannot(seen: &Seen, roles: &[AdoptedRole], now: DateTime<Utc>) -> Vec<String> {
    let mut notes = Vec::new();
    for role in roles {
        if role.expires <= now {
            notes.push(format!(
                "{} EXPIRED at {}: clients refuse it until it is signed again",
                role.role, role.expires
            ));
        }
    }
    for role in roles {
        if usize::try_from(role.threshold).is_ok_and(|threshold| role.here < threshold) {
            let how = match role.role.as_str() {
                "timestamp" | "snapshot" => {
                    "nothing can be published here before they are; --key URI names them"
                }
                "root" | "targets" | "bins" => "its next version needs an event (`tuf-repo event open`)",
                _ => "what it lists can be changed by an event only, or where its keys are",
            };
            notes.push(format!("{}: {} of {} keys are here; {how}", role.role, role.here, role.threshold));
        }
    }
    for role in &seen.succinct {
        notes.push(format!(
            "{role} delegates to succinct hash bins (TAP 15): they are served as they are and signed again where their keys are \
             here, but their number cannot be changed"
        ));
    }
    for role in &seen.absent {
        notes.push(format!(
            "{role} is delegated to and is not in the snapshot: no client gets it, and no search that comes to it ends well"
        ));
    }
    notes
}
