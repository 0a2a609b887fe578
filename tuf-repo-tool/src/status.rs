//! What a repository is, and what needs doing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::{Delegated, KeyId, RoleKeys};

use crate::config::{RoleKind, section};
use crate::edit::{NamedBins, Tree, is_here};
use crate::error::Error;
use crate::health::{self, Freshness, PendingEvent};
use crate::keys::{self, KeyUri};
use crate::publish::{Changes, Expiries};
use crate::repository::{Published, Repository};
use crate::rotate::{Overlap, begun, overlaps};
use crate::signing::role_keys;

/// The state of a repository.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// One row for each kind of role and each delegated one, hash bins together in one; what clients refuse first comes
    /// first.
    pub roles: Vec<RoleStatus>,
    /// Events that wait for signatures, the oldest first.
    pub events: Vec<PendingEvent>,
    /// The number of targets signed for.
    pub targets: usize,
    /// Staged changes that are not published.
    pub staged: usize,
    /// What needs doing, most urgent first.
    pub todo: Vec<String>,
    /// Whether keys lie unencrypted on this disk.
    pub demonstration: bool,
}

/// The state of a role.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RoleStatus {
    /// The kind of role, or the name of a delegated one; hash bins together as `bin-n` or `NAME-bin-n`.
    pub role: String,
    /// How many roles of this kind there are.
    pub count: usize,
    /// The highest version published.
    pub version: u64,
    /// When the first of them expires: from then on clients refuse it.
    pub expires: Option<DateTime<Utc>>,
    /// When `renew` signs the first of them again; `None` if another machine does.
    pub renews: Option<DateTime<Utc>>,
    /// Where it is on its way from one to the other; `None` if it is not published.
    pub state: Option<Freshness>,
    /// Whether this machine has the keys that it takes.
    pub here: bool,
    /// The names of its keys.
    pub keys: Vec<String>,
    /// How many must sign.
    pub threshold: u32,
}

/// Reads the state of a repository. Needs no key and no lock.
///
/// # Errors
/// [`Error::Published`] if what is published is damaged.
pub fn status(repository: &Repository, staged: &Changes) -> Result<Status, Error> {
    let published = repository.published()?;
    let mut listing = Summary::default();
    let mut delegated: BTreeMap<String, Summary> = BTreeMap::new();
    let mut authority: BTreeMap<String, RoleKeys> = BTreeMap::new();
    let mut targets = 0;
    if let Some(published) = &published {
        // Hash bins may be thousands: what was noted of them when they were signed is enough.
        let known = Some(Expiries::load(repository)).filter(|known| known.is_of(published));
        let mut tree = Tree::new(published);
        for visit in tree.all()? {
            let (role, kind) = (&visit.role, section(&visit.role));
            let is_bin = NamedBins::split(role).is_some();
            let row = known.as_ref().filter(|_| is_bin).and_then(|known| known.row(&visit));
            let (version, expires, count) = match row.and_then(|row| Some((row, row.expires()?))) {
                Some((row, expires)) => {
                    (row.version, expires, usize::try_from(row.targets).unwrap_or(usize::MAX))
                }
                None => {
                    let node = tree.take(role, visit.delegator.as_ref())?;
                    let Some(role) = node.base() else { continue };
                    if let Some(Delegated::Roles(roles)) =
                        role.delegations.as_ref().map(|delegations| &delegations.roles)
                    {
                        for below in roles.iter() {
                            authority.entry(section(&below.name).into_owned()).or_insert(below.keys);
                        }
                    }
                    (role.header.version, role.header.expires, role.targets.len())
                }
            };
            targets += count;
            if kind == RoleKind::BinN.name() {
                listing.add(version, expires);
            } else if role.top_level().is_none() && role.as_str() != "bins" {
                delegated.entry(kind.into_owned()).or_default().add(version, expires);
            }
        }
    }
    let now = repository.now();
    let (mut roles, mut todo) = (Vec::new(), Vec::new());
    let overlaps = published.as_ref().map(|published| overlaps(repository, published)).transpose()?;
    let overlaps = overlaps.unwrap_or_default();
    for Overlap { role, key, until, .. } in &overlaps {
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        todo.push(format!(
            "{role}: {key} was replaced and signs beside the new key{until}; the first publish or renew after that ends it, \
             `tuf-repo rotate --end` at once"
        ));
    }
    let begun = begun(repository);
    for (role, key, old) in &begun {
        todo.push(format!("{role}: {key} is to take over; `tuf-repo rotate {old}` goes on"));
    }
    for (kind, config) in &repository.config.roles {
        let summary = match (&published, kind) {
            (None, _) => Summary::default(),
            (Some(_), RoleKind::BinN) => listing.clone(),
            (Some(published), kind) => Summary::of(published, *kind),
        };
        if let Some(published) = &published
            && overlaps.iter().all(|overlap| overlap.role != *kind)
            && begun.iter().all(|(role, ..)| role != kind)
            && published.role_keys(*kind).is_some_and(|signed| differs(repository, *kind, &signed))
        {
            todo.push(format!(
                "{kind}: published metadata names other keys or another threshold than tuf-repo.toml; clients follow what is published"
            ));
        }
        let renews = summary
            .expires
            .map(|expires| health::renews(expires, config.expires.delta(), config.renew_after(), now));
        roles.push(RoleStatus {
            role: kind.to_string(),
            count: summary.count,
            version: summary.version,
            expires: summary.expires,
            renews,
            state: summary.expires.map(|expires| Freshness::at(now, expires, renews)),
            here: are_here(repository, &config.keys, config.threshold),
            keys: config.keys.iter().map(KeyUri::name).collect(),
            threshold: config.threshold,
        });
    }
    for (role, summary) in delegated {
        let config = repository.config.delegations.get(&role);
        let expires = summary.expires;
        let renews = config
            .and_then(|role| Some(health::renews(expires?, role.expires.delta(), role.renew_after(), now)));
        let ids = authority.get(&role);
        let keys = match config {
            Some(config) => config.keys.iter().map(KeyUri::name).collect(),
            None => ids.into_iter().flat_map(|keys| keys.keyids.iter().map(KeyId::short)).collect(),
        };
        let threshold = ids.map_or(0, RoleKeys::threshold);
        let (count, version) = (summary.count, summary.version);
        let state = expires.map(|expires| Freshness::at(now, expires, renews));
        let here = config.is_some_and(|config| are_here(repository, &config.keys, threshold));
        roles.push(RoleStatus { role, count, version, expires, renews, state, here, keys, threshold });
    }
    roles.sort_by_key(|role| (role.expires.is_none(), role.expires));
    let events = health::pending(repository).unwrap_or_else(|error| {
        todo.push(format!("pending events cannot be read: {}", tuf_client::chain(&error)));
        Vec::new()
    });
    todo.splice(0..0, health::todo(&roles, &events));
    if published.is_none() {
        todo.push("nothing is published yet: run `tuf-repo publish`".to_owned());
    }
    if !staged.is_empty() {
        todo.push(format!("{} staged changes are not published: run `tuf-repo publish`", staged.len()));
    }
    let demonstration = has_plain_key(repository);
    if demonstration {
        todo.push(
            "keys lie unencrypted in this repository: it is a demonstration, not to be relied on".to_owned(),
        );
    }
    Ok(Status { roles, events, targets, staged: staged.len(), todo, demonstration })
}

/// Whether this machine has as many of these keys as must sign.
fn are_here(repository: &Repository, keys: &[KeyUri], threshold: u32) -> bool {
    let here = keys.iter().filter(|key| is_here(key, repository)).count();
    usize::try_from(threshold).is_ok_and(|threshold| here >= threshold)
}

/// Whether the settings of a role are not those that were signed. A key that is elsewhere tells nothing.
pub(crate) fn differs(repository: &Repository, kind: RoleKind, signed: &RoleKeys) -> bool {
    let ids = |role: &RoleKeys| role.keyids.iter().cloned().collect::<BTreeSet<_>>();
    match role_keys(repository, kind) {
        Ok((wanted, _)) => wanted.threshold() != signed.threshold() || ids(&wanted) != ids(signed),
        Err(Error::TooFewKeys { .. }) => true,
        Err(_) => false,
    }
}

/// Whether a key lies here unencrypted. One that this user cannot read is not at risk from here.
fn has_plain_key(repository: &Repository) -> bool {
    let uris = repository.config.roles.values().flat_map(|role| &role.keys);
    // A key that is elsewhere is not at risk here.
    let mut paths = uris.filter_map(|key| key.path(repository.directory())).filter(|path| path.exists());
    paths.any(|path| keys::file::is_encrypted(&path).is_ok_and(|encrypted| !encrypted))
}

#[derive(Clone, Default)]
struct Summary {
    count: usize,
    version: u64,
    expires: Option<DateTime<Utc>>,
}

impl Summary {
    fn add(&mut self, version: u64, expires: DateTime<Utc>) {
        self.count += 1;
        self.version = self.version.max(version);
        self.expires = Some(self.expires.map_or(expires, |first| first.min(expires)));
    }

    fn of(published: &Published, kind: RoleKind) -> Self {
        let mut summary = Self::default();
        let set = published.set();
        let header = match (kind, published.bins()) {
            (RoleKind::Root, _) => &set.root().header,
            (RoleKind::Timestamp, _) => &set.timestamp().header,
            (RoleKind::Snapshot, _) => &set.snapshot().header,
            (RoleKind::Targets, _) => &set.targets().header,
            (RoleKind::Bins, Some((bins, _))) => &bins.header,
            (RoleKind::Bins | RoleKind::BinN, _) => return summary,
        };
        summary.add(header.version, header.expires);
        summary
    }
}
