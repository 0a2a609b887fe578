//! Whether each line follows from the one before.

use std::collections::HashMap;

use chrono::TimeDelta;

use super::finding::{Finding, Kind};
use super::line::NOTHING;
use super::read::{End, Found};

/// How far times may go back before it is worth a word.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// What is wrong with the chain of one log.
pub(super) fn check(log: &str, lines: &[Found], end: &End) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Where a line is whose hash, with what follows it, is this one.
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let (mut last, mut index) = (None::<&Found>, 0);
    while let Some(found) = lines.get(index) {
        let next = lines.get(index + 1);
        let wanted = last.map_or(1, |last| last.line.n.saturating_add(1));
        let follows = found.line.previous == found.before && found.line.torn == found.torn;
        if index > 0 {
            seen.insert(&found.before, index - 1);
        }
        index += 1;
        if follows && found.line.n == wanted {
            findings.extend(notes(log, last, found));
            last = Some(found);
            continue;
        }
        let (number, line) = (found.number, &found.line);
        let at = |kind, message: String| Finding::new(kind, message).at(log, number);
        let before = last.map_or_else(|| "the beginning".to_owned(), |last| format!("line {}", last.number));
        let earlier = seen.get(line.previous.as_str()).filter(|earlier| **earlier + 2 < index);
        if let Some(origin) = earlier.and_then(|earlier| lines.get(*earlier)) {
            let message = format!("it follows from line {}: what is between was put in", origin.number);
            findings.push(at(Kind::Inserted, message));
        } else if next.is_some_and(|next| next.line.previous == found.before && next.line.n == wanted) {
            // What comes after follows from the line before: the chain goes on there.
            let message = format!("it was put in: the next line follows from {before}");
            findings.push(at(Kind::Inserted, message).but(&found.before, &line.previous));
            if let Some(next) = next {
                last = Some(next);
                index += 1;
            }
            continue;
        } else if found.torn.is_some() && line.torn.is_none() {
            let bytes = found.torn.unwrap_or_default();
            let message =
                format!("between {before} and it are {bytes} bytes that are no line: one was changed");
            findings.push(at(Kind::Changed, message).but(&line.previous, &found.before));
        } else if line.n > wanted {
            let message = format!("{} lines after {before} are gone", line.n - wanted);
            findings.push(at(Kind::Removed, message).but(format!("n {wanted}"), format!("n {}", line.n)));
        } else if line.n < wanted {
            let message = format!("it comes after {before}, and is older: it was put in, or moved");
            findings.push(at(Kind::Inserted, message).but(format!("n {wanted}"), format!("n {}", line.n)));
        } else {
            let message = format!("{before} was changed, or what this line says of it");
            findings.push(at(Kind::Changed, message).but(&line.previous, &found.before));
        }
        last = Some(found);
    }
    if let Some(bytes) = end.torn {
        let message = format!(
            "after the last line are {bytes} bytes that are no line, as a crash leaves them; the next line says so"
        );
        findings.push(Finding::new(Kind::Note, message).of(log));
    }
    findings
}

fn notes(log: &str, last: Option<&Found>, found: &Found) -> Vec<Finding> {
    let mut notes = Vec::new();
    if let Some(bytes) = found.torn {
        let message = format!("before it are {bytes} bytes that are no line, as a crash leaves them");
        notes.push(Finding::new(Kind::Note, message).at(log, found.number));
    }
    let since = last.map(|last| found.line.at - last.line.at);
    if since.is_some_and(|since| since < -TOLERANCE) && found.line.late.is_none() {
        let message = "it is older than the line before by its clock";
        notes.push(Finding::new(Kind::Note, message).at(log, found.number));
    }
    notes
}

/// Whether a hash that was noted elsewhere, or the beginning of it, is that of a line.
pub(super) fn has(lines: &[Found], head: &str) -> bool {
    head == NOTHING || lines.iter().any(|found| found.hash.starts_with(head))
}
