//! What was published of a role since all was well, against what was published then. One role is in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tuf_core::trust::Authentic;
use tuf_core::{Envelope, RoleName, Snapshot, TargetFile, TargetPath, Targets, pattern, read_unverified};

use super::survey::{Branch, Survey};
use crate::config::section;
use crate::error::Error;

/// What became of one target after the good snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The target.
    pub path: String,
    /// The role that lists it.
    pub role: String,
    /// What happened to it.
    pub kind: DifferenceKind,
    /// What was signed of it when all was well; absent: nothing.
    pub good: Option<FileFacts>,
    /// What was signed of it later, in the order of snapshots.
    pub seen: Vec<Seen>,
    /// Whether it stays as it is now, as the operator wants it.
    pub kept: bool,
}

/// How a target differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// It was not there.
    Added,
    /// It was another file.
    Changed,
    /// It was there, and was taken away.
    Removed,
}

/// One state of a target, and when clients got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Seen {
    /// What was signed; absent: it was no target.
    pub file: Option<FileFacts>,
    /// The first snapshot with it.
    pub first_snapshot: u64,
    /// The last snapshot with it.
    pub last_snapshot: u64,
    /// Whether it is in what is published now.
    pub published: bool,
}

/// Length and hashes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileFacts {
    /// In bytes.
    pub length: u64,
    /// By algorithm, in hex.
    pub hashes: BTreeMap<String, String>,
}

impl From<&TargetFile> for FileFacts {
    fn from(file: &TargetFile) -> Self {
        let hashes = file.hashes.iter().map(|(algorithm, sum)| (algorithm.to_owned(), sum)).collect();
        Self { length: file.length, hashes }
    }
}

/// The versions of every role that is lost, in the order of snapshots.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By role: from which snapshot on it had which version; 0: none.
    changes: BTreeMap<RoleName, Vec<(u64, u64)>>,
    /// Snapshots that can be read, in order.
    pub(super) snapshots: Vec<u64>,
    /// The snapshot that is published.
    published: Option<u64>,
    /// Roles that only later snapshots list.
    pub(super) foreign: BTreeSet<String>,
    /// Files that could not be read, and why.
    pub(super) unreadable: Vec<String>,
    /// When each snapshot expires, in seconds since 1970.
    pub(super) expires: BTreeMap<u64, chrono::DateTime<chrono::Utc>>,
}

/// One role, compared.
#[derive(Debug)]
pub(super) struct Compared {
    /// As it will be signed: as it was, but for what is kept.
    pub(super) value: Targets,
    pub(super) differences: Vec<Difference>,
    /// What was signed of each target that differs, as it will be.
    pub(super) restored: Vec<(TargetPath, TargetFile)>,
    pub(super) unreadable: Vec<String>,
}

impl History {
    pub(super) fn read(survey: &Survey<'_>) -> Self {
        let mut history = Self {
            published: survey.found.snapshot.as_ref().map(|found| found.header.version),
            ..Self::default()
        };
        let mut last: BTreeMap<RoleName, u64> = BTreeMap::new();
        history.add(survey, &survey.good, &mut last);
        for version in &survey.later {
            match survey.evidence.snapshot(*version) {
                Ok((snapshot, _)) => history.add(survey, &snapshot, &mut last),
                Err(error) => history.unreadable.push(tuf_client::chain(&error)),
            }
        }
        history
    }

    fn add(
        &mut self,
        survey: &Survey<'_>,
        snapshot: &Authentic<Snapshot>,
        last: &mut BTreeMap<RoleName, u64>,
    ) {
        let version = snapshot.header.version;
        self.snapshots.push(version);
        self.expires.insert(version, snapshot.header.expires);
        for (file, meta) in snapshot.meta.iter() {
            let Some(role) = file.strip_suffix(".json").and_then(|name| RoleName::new(name).ok()) else {
                continue;
            };
            if survey.good.role(&role).is_none() && survey.branch(&role).is_none() {
                self.foreign.insert(role.to_string());
            }
            if !survey.lost.contains_key(&*section(&role)) || last.get(&role) == Some(&meta.version) {
                continue;
            }
            self.changes.entry(role.clone()).or_default().push((version, meta.version));
            last.insert(role, meta.version);
        }
    }

    /// Whether no later snapshot has another version of a role, so that it need not be read.
    pub(super) fn is_untouched(&self, survey: &Survey<'_>, role: &RoleName) -> bool {
        survey.evidence.archive.is_none() && self.changes.get(role).is_some_and(|changes| changes.len() == 1)
    }

    /// The last snapshot before the one in which something else began.
    fn before(&self, next: Option<u64>) -> u64 {
        let earlier = |version: &&u64| next.is_none_or(|next| **version < next);
        self.snapshots.iter().rev().find(earlier).copied().unwrap_or_default()
    }

    /// Compares a role that is lost; `good` is its file of then, absent if there was none.
    pub(super) fn compare(
        &self,
        survey: &Survey<'_>,
        role: &RoleName,
        good: &Targets,
    ) -> Result<Compared, Error> {
        let mut compared = Compared {
            value: good.clone(),
            differences: Vec::new(),
            restored: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut states: BTreeMap<String, Vec<(Option<TargetFile>, u64, u64)>> = BTreeMap::new();
        let changes = self.changes.get(role).map(Vec::as_slice).unwrap_or_default();
        for (index, (from, version)) in changes.iter().enumerate() {
            let until = self.before(changes.get(index + 1).map(|(next, _)| *next));
            let name = role.file_name(Some(*version));
            // Whoever could write to the storage may have put another file under the name of the good one.
            if *version == good.header.version && survey.evidence.archive.is_none() {
                continue;
            }
            let read = survey.evidence.seen(&name)?.and_then(|bytes| {
                let envelope = Envelope::parse(bytes, survey.limits()).ok()?;
                read_unverified::<Targets>(&envelope, survey.limits()).ok()
            });
            let Some(then) = read else {
                compared
                    .unreadable
                    .push(format!("{name}, which snapshot {from} lists, is missing or no targets file"));
                continue;
            };
            for (path, file) in then.targets.iter() {
                let was = TargetPath::new(&*path).ok().and_then(|path| good.targets.get(&path));
                if was.as_ref() != Some(&file) {
                    states.entry(path.into_owned()).or_default().push((Some(file), *from, until));
                }
            }
            for (path, _) in good.targets.iter() {
                let gone = TargetPath::new(&*path).is_ok_and(|path| then.targets.get(&path).is_none());
                if gone {
                    states.entry(path.into_owned()).or_default().push((None, *from, until));
                }
            }
        }
        for (path, states) in states {
            self.conclude(survey, role, path, &states, &mut compared);
        }
        Ok(compared)
    }

    fn conclude(
        &self,
        survey: &Survey<'_>,
        role: &RoleName,
        path: String,
        states: &[(Option<TargetFile>, u64, u64)],
        compared: &mut Compared,
    ) {
        let Ok(target) = TargetPath::new(&path) else { return };
        let good = compared.value.targets.get(&target);
        let mut seen: Vec<Seen> = Vec::new();
        for (file, from, until) in states {
            let file = file.as_ref().map(FileFacts::from);
            let published = self.published.is_some_and(|now| (*from..=*until).contains(&now));
            match seen.last_mut().filter(|last| last.file == file) {
                Some(last) => {
                    last.last_snapshot = *until;
                    last.published |= published;
                }
                None => seen.push(Seen { file, first_snapshot: *from, last_snapshot: *until, published }),
            }
        }
        let wanted = survey.request.keep.iter().any(|keep| *keep == path || pattern::matches(keep, &path));
        let last = states.last().filter(|_| wanted && seen.last().is_some_and(|last| last.published));
        match last {
            Some((Some(file), ..)) => {
                compared.value.targets.insert(&target, file.clone());
                compared.restored.push((target, file.clone()));
            }
            Some((None, ..)) => drop(compared.value.targets.remove(&target)),
            None => compared.restored.extend(good.clone().map(|good| (target, good))),
        }
        let kind = match (&good, seen.iter().any(|seen| seen.file.is_some())) {
            (None, _) => DifferenceKind::Added,
            (Some(_), true) => DifferenceKind::Changed,
            (Some(_), false) => DifferenceKind::Removed,
        };
        let good = good.as_ref().map(FileFacts::from);
        compared.differences.push(Difference {
            path,
            role: role.to_string(),
            kind,
            good,
            seen,
            kept: last.is_some(),
        });
    }
}

/// The roles that are compared: those that are lost, delegators first.
pub(super) fn lost_roles<'s>(survey: &'s Survey<'_>) -> impl Iterator<Item = (&'s Branch, RoleName)> {
    survey.branches.iter().flat_map(move |branch| {
        let itself = survey.lost.contains_key(branch.role.as_str()).then(|| (branch, branch.role.clone()));
        let bins = super::survey::bins_section(branch).filter(|bins| survey.lost.contains_key(bins));
        let bins = bins.into_iter().flat_map(move |_| Survey::bins_of(branch)).map(move |bin| (branch, bin));
        itself.into_iter().chain(bins)
    })
}

/// The good content of a role that is lost; empty if it is younger.
pub(super) fn good_value(survey: &Survey<'_>, branch: &Branch, role: &RoleName) -> Result<Targets, Error> {
    if branch.role == *role {
        return Ok(match branch.is_good {
            true => branch.file.value().clone(),
            false => {
                let mut empty = branch.file.value().clone();
                empty.targets = tuf_core::TargetMap::default();
                empty
            }
        });
    }
    let good = survey.good_file(role, Some(&branch.file))?;
    Ok(good.map_or_else(|| Targets::new(survey.evidence.repository.now()), |file| file.value().clone()))
}
