//! What a publish would do: the same transaction, measured instead of signed. Needs no private key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tuf_core::{RoleName, TopLevel};

use super::pen::{Need, Pen};
use super::transaction::{Staged, Transaction};
use super::{Changes, Renewal};
use crate::edit::{Edit, Keyring, NamedBins, event_for};
use crate::error::Error;
use crate::repository::{Published, Repository};

/// Sizes in bytes over which a client refuses a file, and which clients those are by default.
const LIMITS: [(&str, u64, &str); 4] = [
    ("timestamp", 16_384, "python-tuf, go-tuf, tuf-js, tuf-client"),
    ("snapshot", 1 << 20, "tough"),
    ("snapshot", 2_000_000, "python-tuf, go-tuf, tuf-js, tuf-client"),
    ("targets", 5_000_000, "python-tuf, go-tuf, tuf-js, tuf-client"),
];

/// What a publish would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The edits of roles.
    pub edits: Vec<String>,
    /// The targets that change, by path.
    pub targets: Vec<PlannedTarget>,
    /// The targets roles that are signed.
    pub roles: Vec<PlannedRole>,
    /// How many of those are hash bins.
    pub bins: usize,
    /// Whether the snapshot is signed.
    pub snapshot: bool,
    /// Whether the timestamp is signed; if not, there is nothing to publish.
    pub timestamp: bool,
    /// The files of metadata that are written.
    pub files: usize,
    /// Their length together. Signatures by ECDSA may make it a few bytes less.
    pub bytes: u64,
    /// The signatures needed, by role; hash bins with the same keys together.
    pub signatures: BTreeMap<String, Need>,
    /// What to do before this can be published: the events to open for keys that are elsewhere.
    pub next: Vec<String>,
    /// What clients will download of metadata.
    pub download: Download,
    /// Limits of clients that are exceeded.
    pub limits: Vec<Limit>,
}

/// A target that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedTarget {
    /// The path.
    pub path: String,
    /// The role that lists it.
    pub role: String,
    /// Its length before; `None`: it is new.
    pub before: Option<u64>,
    /// Its length after; `None`: it goes.
    pub after: Option<u64>,
}

/// A targets role that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedRole {
    /// The role.
    pub role: String,
    /// The version that it gets.
    pub version: u64,
    /// The length of its file.
    pub bytes: usize,
    /// Whether only its age is the reason.
    pub due: bool,
}

/// Bytes of metadata that clients will download: to refresh, and besides for one of the targets that change, if it
/// is the one that costs most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Download {
    /// A client that has only the first root, to refresh.
    pub new_refresh: u64,
    /// The same client, for one target.
    pub new_target: u64,
    /// A client that has everything published before, to refresh.
    pub returning_refresh: u64,
    /// The same client, for one target.
    pub returning_target: u64,
}

/// A limit that a file exceeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Limit {
    /// The file.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The limit.
    pub limit: u64,
    /// Which clients have it.
    pub clients: &'static str,
}

impl Plan {
    /// Whether keys of other machines must sign before this can be published.
    #[must_use]
    pub fn needs_signatures(&self) -> bool {
        self.signatures.values().any(|need| !need.is_met())
    }
}

/// Says what publishing these changes would do.
///
/// # Errors
/// What publishing would fail with, but for keys.
pub fn plan(repository: &Repository, changes: &Changes) -> Result<Plan, Error> {
    let published = repository.published()?;
    let published = published.as_ref();
    let pen = Pen::Measure(Keyring::new(repository), BTreeMap::new());
    let none = BTreeSet::new();
    let mut transaction = Transaction::new(repository, published, pen, &none);
    transaction.told = Some(Vec::new());
    let staged = transaction.sign_all(changes, Renewal::Online)?;
    let mut plan = Plan { edits: changes.edits().iter().map(Edit::describe).collect(), ..Plan::default() };
    let Some(staged) = staged else { return Ok(plan) };
    let told = transaction.told.take().unwrap_or_default();
    for signed in &told {
        let role = signed.visit.role.to_string();
        plan.bins += usize::from(NamedBins::split(&signed.visit.role).is_some());
        let target = |path: &tuf_core::TargetPath, before, after| PlannedTarget {
            path: path.to_string(),
            role: role.clone(),
            before,
            after,
        };
        let set = signed.set.iter().map(|(path, before, after)| {
            target(path, before.as_ref().map(|file| file.length), Some(after.length))
        });
        plan.targets.extend(set);
        let removed = signed.removed.iter().map(|(path, before)| target(path, Some(before.length), None));
        plan.targets.extend(removed);
        plan.roles.push(PlannedRole {
            role: role.clone(),
            version: signed.version,
            bytes: signed.bytes,
            due: signed.due,
        });
    }
    plan.targets.sort_by(|one, other| one.path.cmp(&other.path));
    plan.timestamp = true;
    plan.snapshot = staged.summary.signed.iter().any(|(name, _)| name.ends_with(".snapshot.json"));
    plan.files = staged.summary.signed.len();
    plan.bytes = staged.summary.signed.iter().map(|(_, length)| length_of(*length)).sum();
    if let Pen::Measure(_, needs) = transaction.pen {
        plan.signatures = needs;
        let short = plan.signatures.iter().filter(|(_, need)| !need.is_met());
        let events: BTreeSet<String> = short.map(|(role, _)| event(changes.edits(), role)).collect();
        plan.next = events.into_iter().collect();
    }
    let written = staged.files.iter().filter_map(|file| {
        let name = file.path.rsplit('/').next()?;
        Some((name.split_once('.')?.1, length_of(file.bytes.len())))
    });
    let written = written.collect();
    let sizes = Sizes { repository, published, staged: &staged, written };
    plan.download = sizes.download(&told.iter().map(|signed| &signed.visit.role).collect::<Vec<_>>());
    plan.limits = sizes.limits(&plan.roles);
    Ok(plan)
}

/// The command that opens the event by which a role is signed.
fn event(edits: &[Edit], role: &str) -> String {
    match RoleName::new(role).ok().and_then(|role| event_for(edits, &role)) {
        Some(above) => format!("tuf-repo event open {above} --staged"),
        None => format!("tuf-repo event open {role}"),
    }
}

fn length_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How long the files are that clients will see.
struct Sizes<'a> {
    repository: &'a Repository,
    published: Option<&'a Published>,
    staged: &'a Staged,
    /// The lengths of what is written, by name without version.
    written: BTreeMap<&'a str, u64>,
}

impl Sizes<'_> {
    /// What is written of a role, if anything is.
    fn written(&self, role: &RoleName) -> Option<u64> {
        self.written.get(&*role.file_name(None)).copied()
    }

    /// The length of a role's file as it is published.
    fn before(&self, role: &RoleName, version: Option<u64>) -> u64 {
        let version = version.or_else(|| {
            let published = self.published?;
            match role.top_level() {
                Some(TopLevel::Snapshot) => Some(published.set().timestamp().snapshot.version),
                _ => published.set().snapshot().role(role).map(|meta| meta.version),
            }
        });
        let path = Repository::metadata_path(&role.file_name(version));
        self.repository.storage().length(&path).ok().flatten().unwrap_or(0)
    }

    fn download(&self, roles: &[&RoleName]) -> Download {
        let root = TopLevel::Root.role();
        let newest = self.published.map_or(1, |published| published.set().root().header.version);
        let roots: u64 = (2..=newest).map(|version| self.before(&root, Some(version))).sum();
        let mut download = Download { new_refresh: roots, ..Download::default() };
        let timestamp = length_of(self.staged.timestamp.len());
        download.new_refresh += timestamp;
        download.returning_refresh += timestamp;
        for role in [TopLevel::Snapshot.role(), TopLevel::Targets.role()] {
            let written = self.written(&role);
            download.new_refresh += written.unwrap_or_else(|| self.before(&role, None));
            download.returning_refresh += written.unwrap_or(0);
        }
        let above: BTreeMap<RoleName, RoleName> = self
            .staged
            .expiries
            .iter()
            .filter_map(|(visit, _)| Some((visit.role, visit.delegator?)))
            .collect();
        let mut known: BTreeMap<&RoleName, (u64, u64)> = BTreeMap::new();
        for role in roles {
            let (mut new, mut returning) = (0, 0);
            let mut next = Some(*role);
            let mut steps = 0;
            while let Some(role) = next.filter(|role| role.top_level().is_none() && steps <= above.len()) {
                let (all, changed) = *known.entry(role).or_insert_with(|| match self.written(role) {
                    Some(written) => (written, written),
                    None => (self.before(role, None), 0),
                });
                new += all;
                returning += changed;
                next = above.get(role);
                steps += 1;
            }
            download.new_target = download.new_target.max(new);
            download.returning_target = download.returning_target.max(returning);
        }
        download
    }

    fn limits(&self, roles: &[PlannedRole]) -> Vec<Limit> {
        let snapshot = TopLevel::Snapshot.role();
        let snapshot = self.written(&snapshot).unwrap_or_else(|| self.before(&snapshot, None));
        let mut files = vec![
            ("timestamp".to_owned(), "timestamp", length_of(self.staged.timestamp.len())),
            ("snapshot".to_owned(), "snapshot", snapshot),
        ];
        files.extend(roles.iter().map(|role| (role.role.clone(), "targets", length_of(role.bytes))));
        files.iter().flat_map(|(file, kind, bytes)| exceeded(file, kind, *bytes)).collect()
    }
}

/// The limits of clients that a file of this kind exceeds.
pub(crate) fn exceeded(file: &str, kind: &str, bytes: u64) -> Vec<Limit> {
    let over = LIMITS.iter().filter(|(limited, limit, _)| *limited == kind && bytes > *limit);
    over.map(|(_, limit, clients)| Limit { file: file.to_owned(), bytes, limit: *limit, clients }).collect()
}
