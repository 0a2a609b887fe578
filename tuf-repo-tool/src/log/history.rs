//! Whether the lines of one or several logs tell the history of what is published.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Did;
use super::finding::{Finding, Kind};
use super::line::{Point, Signed};
use super::read::Found;

/// What is published, as far as logs are held against it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The timestamp.
    pub(super) timestamp: Option<Point>,
    /// Every root: its version, and the key IDs of its signatures.
    pub(super) roots: BTreeMap<u64, Vec<String>>,
    /// The key IDs that any root lists, by top-level role.
    pub(super) keys: BTreeMap<String, BTreeSet<String>>,
    /// Whether a publisher died after it published and before it wrote its line.
    pub(super) owed: bool,
}

/// A log by the name of its file.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) lines: Vec<Found>,
}

/// `complete`: whether everything that was published must be in one of these logs.
pub(super) fn check(logs: &[Named], state: &State, complete: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let all = || logs.iter().flat_map(|log| log.lines.iter().map(move |found| (log, found)));
    let mut built: Built<'_> = HashMap::new();
    let mut versions: BTreeMap<u64, (&Named, &Found, &Point)> = BTreeMap::new();
    for (log, found) in all() {
        let Some(after) = &found.line.after else { continue };
        if !found.line.is_adopted() {
            built.insert(&after.sha256, (found.line.before.as_ref(), recovers(found)));
        }
        if found.line.unsure {
            continue;
        }
        let (first, other, point) = *versions.entry(after.version).or_insert((log, found, after));
        if point != after {
            let message =
                format!("{} line {} has another timestamp of this version", first.name, other.number);
            let fork = Finding::new(Kind::Fork, message).at(&log.name, found.number);
            findings.push(fork.but(&point.sha256, &after.sha256));
        }
    }
    for log in logs {
        findings.extend(sequence(log, &built, complete));
        findings.extend(keys(log, state));
    }
    let newest = versions.values().next_back().map(|(_, _, point)| *point);
    findings.extend(published(newest, state, complete));
    let mut roots = BTreeMap::new();
    for (log, found) in all() {
        if let Some(signed) = found.line.signed.get("root") {
            roots.entry(signed.version).or_insert((log, found, signed));
        }
    }
    // What was published before somebody took it over need not be in a log.
    let adopted = all().filter(|(_, found)| found.line.is_adopted());
    let adopted = adopted.filter_map(|(_, found)| found.line.what.get("root")?.as_u64()).max();
    findings.extend(root_lines(&roots, state, complete, adopted.unwrap_or_default()));
    findings
}

/// By the hash of each timestamp: the one before it, and whether it is of a recovery, which goes on from whatever is there.
type Built<'a> = HashMap<&'a str, (Option<&'a Point>, bool)>;

fn recovers(found: &Found) -> bool {
    found.line.did == Did::Recover.name()
}

/// Whether each publish of one log was built on the one before, or on what the other logs say was between.
fn sequence(log: &Named, built: &Built<'_>, complete: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last: Option<&Point> = None;
    for found in log.lines.iter().filter(|found| !found.line.unsure) {
        let Some(after) = &found.line.after else { continue };
        let at = |kind, message: &str| Finding::new(kind, message).at(&log.name, found.number);
        let before = found.line.before.as_ref();
        if recovers(found) {
            // Whoever had the keys wrote no line, and may have written any version.
            if let Some(before) = before.filter(|before| !built.contains_key(before.sha256.as_str())) {
                findings
                    .push(at(Kind::Note, &format!("a recovery in place of {before}, which is in no log")));
            }
            last = Some(after);
            continue;
        }
        if before.is_some_and(|before| before.version >= after.version) {
            let changed = at(Kind::Changed, "the version of the timestamp did not rise");
            findings.push(changed.but("a higher version", after.version));
        }
        match (last, before) {
            _ if found.line.is_adopted() => {
                findings.extend(last.and_then(|last| adopted(log, found, last, built)))
            }
            (Some(last), Some(before)) if last == before => {}
            (Some(last), Some(before)) if last.version < before.version => {
                if let Some(missing) = uncovered(last, before, built) {
                    let message = format!("timestamps {} to {missing} are in no log", last.version + 1);
                    findings.push(match complete {
                        true => at(Kind::Gap, &message).but(last, before),
                        false => {
                            at(Kind::Note, &format!("{message} that was given: another machine published"))
                        }
                    });
                }
            }
            (Some(last), before) => {
                let before = before.map_or_else(|| "nothing".to_owned(), ToString::to_string);
                findings
                    .push(at(Kind::Fork, "it was not built on what was published last").but(last, before));
            }
            (None, Some(before)) => {
                // Another log, or none: where this one begins is no fault.
                if !built.contains_key(before.sha256.as_str()) {
                    let message = format!("the log begins after {before}: what was before is in no log");
                    findings.push(at(Kind::Note, &message));
                }
            }
            (None, None) => {}
        }
        last = Some(after);
    }
    findings
}

/// What a line says was found published, against what this log says was published last before.
fn adopted(log: &Named, found: &Found, last: &Point, built: &Built<'_>) -> Option<Finding> {
    let (after, did) = (found.line.after.as_ref()?, &found.line.did);
    let at = |kind, message: &str| Finding::new(kind, message).at(&log.name, found.number);
    if last.version > after.version || (last.version == after.version && last != after) {
        let message = format!("this {did} went on from older files than the log says");
        return Some(at(Kind::Rollback, &message).but(last, after));
    }
    let missing = uncovered(last, after, built)?;
    let message = format!(
        "timestamps {} to {missing} are in no log: this {did} found them published",
        last.version + 1
    );
    Some(at(Kind::Note, &message))
}

/// From `before` back to `last`, as all logs together say it; the first version that is missing.
fn uncovered(last: &Point, before: &Point, built: &Built<'_>) -> Option<u64> {
    let mut point = before;
    while point != last {
        match built.get(point.sha256.as_str()) {
            // Versions fall: this ends.
            Some((_, true)) => return None,
            Some((Some(below), false)) if below.version < point.version => point = below,
            _ => return Some(point.version),
        }
    }
    None
}

fn published(newest: Option<&Point>, state: &State, complete: bool) -> Option<Finding> {
    let finding = |kind, message: &str| Finding::new(kind, message);
    match (newest, &state.timestamp) {
        (None, None) => None,
        (Some(newest), Some(found)) if newest == found => None,
        (Some(newest), found) if found.as_ref().is_none_or(|found| found.version < newest.version) => {
            let found = found.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            Some(finding(Kind::Rollback, "older files are published than the log says").but(newest, found))
        }
        (Some(newest), Some(found)) if found.version == newest.version => {
            Some(finding(Kind::Fork, "another timestamp of this version is published").but(newest, found))
        }
        (_, Some(found)) if state.owed => {
            let message = format!(
                "{found} is published; its publisher was killed before it wrote the line: the next publish or renew does"
            );
            Some(finding(Kind::Note, &message))
        }
        (newest, Some(found)) if complete => {
            let newest = newest.map_or_else(|| "no publish".to_owned(), ToString::to_string);
            let message = "the end is gone, or somebody else published: no log has what is published";
            Some(finding(Kind::CutOff, message).but(found, newest))
        }
        (_, Some(found)) => {
            let message = format!("another machine has published since: {found}; its log says more");
            Some(finding(Kind::Note, &message))
        }
        (Some(_), None) => None,
    }
}

fn keys(log: &Named, state: &State) -> Vec<Finding> {
    let mut findings = Vec::new();
    for found in &log.lines {
        for (role, signed) in &found.line.signed {
            let Some(known) = state.keys.get(role) else { continue };
            for key in signed.by.iter().filter(|key| !known.contains(*key)) {
                let message = format!("no root ever let key {key} sign {role}");
                findings.push(Finding::new(Kind::Key, message).at(&log.name, found.number));
            }
        }
    }
    findings
}

type RootLines<'a> = BTreeMap<u64, (&'a Named, &'a Found, &'a Signed)>;

fn root_lines(lines: &RootLines<'_>, state: &State, complete: bool, adopted: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (version, (log, found, signed)) in lines {
        let at = |kind, message: String| Finding::new(kind, message).at(&log.name, found.number);
        match state.roots.get(version) {
            Some(by) if *by == signed.by => {}
            Some(by) => {
                let message = format!("other keys signed root {version} than the line says");
                findings.push(at(Kind::Key, message).but(by.join(" "), signed.by.join(" ")));
            }
            None if state.roots.is_empty() => {}
            None => findings.push(at(Kind::Rollback, format!("root {version} is not published"))),
        }
    }
    let Some(first) = lines.keys().next() else { return findings };
    for version in state.roots.range(first..).map(|(version, _)| version) {
        if !lines.contains_key(version) && !state.owed {
            let message = format!("root {version} is published, and in no log");
            let kind = if complete && version > &adopted { Kind::Gap } else { Kind::Note };
            findings.push(Finding::new(kind, message));
        }
    }
    findings
}
