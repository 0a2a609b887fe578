//! What was published of a role since all was well, against what was published then. One role is in memory at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tuf_core::trust::Authentic;
use tuf_core::{Envelope, RoleName, Snapshot, TargetFile, TargetPath, Targets, pattern, read_unverified};

use super::survey::{Branch, Survey};
use crate::config::section;
use crate::edit::{NamedBins, remade};
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

/// The good content of a role.
#[derive(Debug)]
pub(super) struct Good<'s> {
    value: Targets,
    /// If it is a hash bin, and others were there then: those, and those of which it is one.
    remade: Option<(&'s NamedBins, &'s NamedBins)>,
}

impl Good<'_> {
    /// Whether a target of this role was listed by another, of which it is made.
    fn owns(&self, role: &RoleName, listed_by: &RoleName, path: &TargetPath) -> bool {
        self.remade.is_none_or(|(then, now)| {
            now.role_of(path) == *role && (listed_by == role || then.role_of(path) == *listed_by)
        })
    }
}

/// One version of a role, and the snapshots that list it.
#[derive(Clone, Debug)]
struct Span {
    role: RoleName,
    version: u64,
    from: u64,
    until: u64,
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
            if survey.good.role(&role).is_none() && survey.branch(&role).is_none() && !survey.is_bin(&role) {
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
    pub(super) fn is_untouched(&self, survey: &Survey<'_>, branch: &Branch, role: &RoleName) -> bool {
        survey.evidence.archive.is_none()
            && survey.other_bins(branch).is_none()
            && self.changes.get(role).is_some_and(|changes| changes.len() == 1)
    }

    /// The last snapshot before the one in which something else began.
    fn before(&self, next: Option<u64>) -> u64 {
        let earlier = |version: &&u64| next.is_none_or(|next| **version < next);
        self.snapshots.iter().rev().find(earlier).copied().unwrap_or_default()
    }

    fn spans(&self, role: &RoleName) -> impl Iterator<Item = Span> {
        let changes = self.changes.get(role).map(Vec::as_slice).unwrap_or_default();
        changes.iter().enumerate().map(|(index, (from, version))| Span {
            role: role.clone(),
            version: *version,
            from: *from,
            until: self.before(changes.get(index + 1).map(|(next, _)| *next)),
        })
    }

    /// What there was of a role after the good snapshot; of a hash bin that was not there then, also of the bins that it is made of.
    fn later(&self, survey: &Survey<'_>, role: &RoleName, good: &Good<'_>) -> Vec<Span> {
        // Whoever could write to the storage may have put another file under the name of the good one.
        let is_later = |span: &Span| {
            let good = survey.good.role(&span.role).map(|meta| meta.version);
            good != Some(span.version) || survey.evidence.archive.is_some()
        };
        let Some((then, _)) = good.remade else { return self.spans(role).filter(is_later).collect() };
        // What the good snapshot lists under this name is left from bins of an earlier day.
        let now: Vec<Span> = self.spans(role).filter(|span| span.from > survey.request.known_good).collect();
        let first = now.first().map(|span| span.from);
        let mut later = Vec::new();
        for bin in then.overlapping(role) {
            let spans = self.spans(&bin).filter(is_later);
            let spans = spans.filter(|span| first.is_none_or(|first| span.from < first));
            later.extend(spans.map(|span| Span { until: span.until.min(self.before(first)), ..span }));
        }
        later.extend(now);
        later
    }

    /// Compares a role that is lost with what it was.
    pub(super) fn compare(
        &self,
        survey: &Survey<'_>,
        role: &RoleName,
        good: &Good<'_>,
    ) -> Result<Compared, Error> {
        let mut compared = Compared {
            value: good.value.clone(),
            differences: Vec::new(),
            restored: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut states: BTreeMap<String, Vec<(Option<TargetFile>, u64, u64)>> = BTreeMap::new();
        for span in self.later(survey, role, good) {
            let name = span.role.file_name(Some(span.version));
            let read = survey.evidence.seen(&name)?.and_then(|bytes| {
                let envelope = Envelope::parse(bytes, survey.limits()).ok()?;
                read_unverified::<Targets>(&envelope, survey.limits()).ok()
            });
            let Some(then) = read else {
                let from = span.from;
                compared
                    .unreadable
                    .push(format!("{name}, which snapshot {from} lists, is missing or no targets file"));
                continue;
            };
            let mut add = |path: String, file| {
                states.entry(path).or_default().push((file, span.from, span.until));
            };
            for (path, file) in then.targets.iter() {
                let target = TargetPath::new(&*path).ok();
                let was = target.as_ref().and_then(|path| good.value.targets.get(path));
                let is_here = target.is_none_or(|path| good.owns(role, &span.role, &path));
                if is_here && was.as_ref() != Some(&file) {
                    add(path.into_owned(), Some(file));
                }
            }
            for (path, _) in good.value.targets.iter() {
                let gone = TargetPath::new(&*path).is_ok_and(|path| {
                    good.owns(role, &span.role, &path) && then.targets.get(&path).is_none()
                });
                if gone {
                    add(path.into_owned(), None);
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
pub(super) fn good_value<'s>(
    survey: &'s Survey<'_>,
    branch: &'s Branch,
    role: &RoleName,
) -> Result<Good<'s>, Error> {
    let as_it_was = |value| Good { value, remade: None };
    if branch.role == *role {
        let mut value = branch.file.value().clone();
        if !branch.is_good {
            value.targets = tuf_core::TargetMap::default();
        }
        return Ok(as_it_was(value));
    }
    let empty = || Targets::new(survey.evidence.repository.now());
    if let (Some(now), Some((by, then))) = (&branch.bins, survey.other_bins(branch)) {
        let missing = |bin: &RoleName| Error::from(survey.not_listed(bin));
        let read =
            |bin: &RoleName| survey.good_file(bin, Some(by))?.map(Box::new).ok_or_else(|| missing(bin));
        return Ok(Good { value: remade(role, now, then, read)?, remade: Some((then, now)) });
    }
    let good = survey.good_file(role, Some(&branch.file))?;
    Ok(as_it_was(good.map_or_else(empty, |file| file.value().clone())))
}
