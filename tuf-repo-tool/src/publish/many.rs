//! The next file of a targets role, and thousands of them at once: where the keys of hash bins are in this process, every core
//! signs. What comes of it is the same, in the same order, as if they were signed one after the other.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use tuf_core::{RoleName, Snapshot, TargetFile, TargetMap, TargetPath, Targets};

use super::spread;
use crate::edit::{NamedBins, Node, Tree, Visit};
use crate::error::Error;
use crate::repository::Repository;
use crate::signing::Team;

/// Requests to a server at the same time.
const REQUESTS: usize = 16;
/// A thread for fewer would cost more than it saves.
const SHARE: usize = 8;

/// A role that may have to be signed: it is due, or these targets of it change.
pub(super) struct Wish<'c> {
    pub(super) visit: Visit,
    pub(super) changes: Vec<(&'c TargetPath, Option<&'c TargetFile>)>,
    pub(super) is_due: bool,
}

/// What a file comes after.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) repository: &'a Repository,
    pub(super) snapshot: Snapshot,
    /// Paths of metadata files that are there although they are not published.
    pub(super) taken: &'a BTreeSet<String>,
    pub(super) now: DateTime<Utc>,
}

/// The next file of a role.
pub(super) struct Next {
    pub(super) value: Targets,
    pub(super) gist: Gist,
}

/// What is to be remembered of a file.
pub(super) struct Gist {
    pub(super) version: u64,
    pub(super) expires: DateTime<Utc>,
    pub(super) targets: usize,
    /// The targets as they were.
    pub(super) before: TargetMap,
    /// How many targets change.
    pub(super) set: usize,
    pub(super) removed: usize,
    /// Whether it is signed because something changes, and not only because it is due.
    pub(super) wanted: bool,
}

impl Desk<'_> {
    /// The next file of a role, if it has to be signed.
    pub(super) fn next(&self, node: Node, wish: &Wish<'_>) -> Option<Next> {
        let edited = node.is_edited();
        let mut value = node.into_value()?;
        let before = value.targets.clone();
        let (set, removed) = apply(&mut value, &wish.changes);
        let wanted = set > 0 || removed > 0 || edited;
        if !(wanted || wish.is_due) {
            return None;
        }
        let role = &wish.visit.role;
        // A name that was used before and removed goes on above its old version, as the snapshot still has that.
        let last = self.snapshot.role(role).map_or(0, |meta| meta.version);
        let version = self.free_version(role, last.saturating_add(1));
        let terms = self.repository.config.terms(role);
        let period = terms.map_or(TimeDelta::days(365), |terms| terms.expires);
        let expires = spread::expires(self.now, period, role);
        value.header.version = version;
        value.header.expires = expires;
        let targets = value.targets.len();
        Some(Next { value, gist: Gist { version, expires, targets, before, set, removed, wanted } })
    }

    /// No role gets a lower version.
    pub(super) fn least(&self) -> u64 {
        self.repository.config.min_version.unwrap_or(0)
    }

    /// Whether clients may have seen a higher version than this one.
    pub(super) fn is_below(&self, version: u64) -> bool {
        version < self.least()
    }

    /// The first version from `version` on that is not known to be taken.
    pub(super) fn free_version(&self, role: &RoleName, version: u64) -> u64 {
        let version = version.max(self.least());
        let is_free =
            |version: &u64| !self.taken.contains(&Repository::metadata_path(&role.file_name(Some(*version))));
        (version..=u64::MAX).find(is_free).unwrap_or(version)
    }
}

/// Makes changes of targets; says how many are set and how many removed.
fn apply(value: &mut Targets, changes: &[(&TargetPath, Option<&TargetFile>)]) -> (usize, usize) {
    let (mut set, mut removed) = (Vec::new(), 0);
    for (path, file) in changes {
        match file {
            Some(file) if value.targets.get(path).as_ref() == Some(*file) => {}
            Some(file) => set.push(((*path).clone(), (*file).clone())),
            None => removed += usize::from(value.targets.remove(path).is_some()),
        }
    }
    let count = set.len();
    if count > 0 {
        value.targets.extend(set);
    }
    (count, removed)
}

/// Wishes, in runs of hash bins of one delegator that may be signed together; another role is a run of its own.
pub(super) fn runs(wishes: Vec<Wish<'_>>) -> Vec<Vec<Wish<'_>>> {
    let is_bin = |wish: &Wish<'_>| NamedBins::split(&wish.visit.role).is_some();
    let mut runs: Vec<Vec<Wish<'_>>> = Vec::new();
    for wish in wishes {
        let beside = |last: &Wish<'_>| is_bin(last) && last.visit.delegator == wish.visit.delegator;
        match runs.last_mut() {
            Some(run) if is_bin(&wish) && run.last().is_some_and(beside) => run.push(wish),
            _ => runs.push(vec![wish]),
        }
    }
    runs
}

/// The files that a run of wishes comes to, in its order; none where nothing has to be signed.
pub(super) fn sign(
    desk: &Desk<'_>,
    tree: &mut Tree<'_>,
    team: &Team<'_>,
    run: Vec<Wish<'_>>,
) -> Result<Vec<(Visit, Gist, Vec<u8>)>, Error> {
    let tasks: Vec<_> = run.into_iter().map(|wish| (tree.take_loaded(&wish.visit.role), wish)).collect();
    let tree = &*tree;
    let one = |(node, wish): (Option<Node>, Wish<'_>)| {
        let read = || tree.read(&wish.visit.role, wish.visit.delegator.as_ref());
        let Some(next) = desk.next(node.map_or_else(read, Ok)?, &wish) else { return Ok(None) };
        let bytes = team.sign(next.value, &wish.visit.role)?;
        Ok(Some((wish.visit, next.gist, bytes)))
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    // A disk has nothing to wait for.
    let workers = if desk.repository.storage().local().is_some() { cores } else { cores.max(REQUESTS) };
    let share = tasks.len().div_ceil(workers).max(SHARE);
    if share >= tasks.len() {
        return tasks.into_iter().filter_map(|task| one(task).transpose()).collect();
    }
    let mut tasks = tasks.into_iter();
    let parts = std::iter::from_fn(|| Some(tasks.by_ref().take(share).collect::<Vec<_>>()));
    thread::scope(|scope| {
        let work = |part: Vec<_>| {
            let one = &one;
            scope.spawn(move || {
                part.into_iter().filter_map(|task| one(task).transpose()).collect::<Result<Vec<_>, _>>()
            })
        };
        let workers: Vec<_> = parts.take_while(|part| !part.is_empty()).map(work).collect();
        let mut signed = Vec::new();
        for worker in workers {
            signed.append(&mut worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(signed)
    })
}
