//! The chain: what is written, what a crash leaves, and every kind of tampering.

use std::cell::Cell;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use tuf_client::durable::{Access, Appended};

use super::finding::{Finding, Kind};
use super::history::{self, Named, State};
use super::read::{End, Found, read};
use super::tail::{Tail, tail};
use super::*;

fn time(minutes: i64) -> DateTime<Utc> {
    "2030-01-31T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
}

fn point(version: u64) -> Point {
    Point::of(&version.to_be_bytes(), version)
}

/// A publish that goes from the timestamp of one version to that of another.
fn publish(from: u64, to: u64) -> Entry {
    let entry = Entry::new(Did::Publish).because(Some("naïve \"quotes\"")).with("set", 1);
    let entry = entry.signed("snapshot", to, ["aa".to_owned()]).signed("timestamp", to, ["bb".to_owned()]);
    let at = time(i64::try_from(to).unwrap());
    entry.published(Some(point(from)).filter(|_| from > 0), Some(point(to)), at)
}

/// A repository made, published three times, and with keys and an event in between.
fn entries() -> Vec<Entry> {
    vec![
        Entry::new(Did::Init).signed("root", 1, ["cc".to_owned()]),
        publish(0, 1),
        Entry::new(Did::KeyGenerate).with("key", "spare"),
        publish(1, 2),
        Entry::new(Did::EventOpen).because(Some("a new key")).with("event", "root-2"),
        publish(2, 3),
    ]
}

fn write_all(directory: &Path, entries: &[Entry]) -> Vec<Line> {
    let add = |(minute, entry): (usize, &Entry)| {
        append_at(directory, time(i64::try_from(minute).unwrap()), entry).unwrap()
    };
    entries.iter().enumerate().map(add).collect()
}

fn bytes(directory: &Path) -> Vec<u8> {
    std::fs::read(path(directory)).unwrap()
}

fn log() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    write_all(directory.path(), &entries());
    bytes(directory.path())
}

fn parse(bytes: &[u8]) -> (Vec<Found>, End) {
    let mut lines = Vec::new();
    let end = read(bytes, |found| {
        lines.push(found);
        Ok::<_, std::io::Error>(())
    });
    (lines, end.unwrap())
}

fn chain_of(bytes: &[u8]) -> Vec<Finding> {
    let (lines, end) = parse(bytes);
    chain::check("log", &lines, &end)
}

fn faults(findings: &[Finding]) -> Vec<Kind> {
    findings.iter().filter(|finding| finding.is_fault()).map(|finding| finding.kind).collect()
}

/// As `log verify` of a machine that publishes alone.
fn verified(lines: Vec<Found>, end: &End) -> Vec<Kind> {
    let mut kinds = faults(&chain::check("log", &lines, end));
    let state = State { timestamp: Some(point(3)), ..State::default() };
    let log = Named { name: "log".to_owned(), lines };
    kinds.extend(faults(&history::check(&[log], &state, true)));
    kinds
}

/// The lines of a log, with their ends.
fn lines(log: &[u8]) -> Vec<Vec<u8>> {
    log.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

#[test]
fn lines_are_numbered_chained_and_read_back_as_they_were_written() {
    let directory = tempfile::tempdir().unwrap();
    let written = write_all(directory.path(), &entries());
    let log = bytes(directory.path());
    let (found, end) = parse(&log);
    assert_eq!(found.iter().map(|found| found.line.clone()).collect::<Vec<_>>(), written);
    assert_eq!(written.iter().map(|line| line.n).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(written[0].previous, NOTHING);
    for (before, after) in lines(&log).iter().zip(&written[1..]) {
        assert_eq!(after.previous, sha256(before.strip_suffix(b"\n").unwrap()));
    }
    assert_eq!((end.torn, &end.head), (None, &sha256(lines(&log)[5].strip_suffix(b"\n").unwrap())));
    assert_eq!(chain_of(&log), []);
    assert_eq!(verified(found, &end), []);
    // Who reads it with other means finds fields in the order of their names.
    let text = String::from_utf8(lines(&log)[1].clone()).unwrap();
    assert!(
        text.starts_with(r#"{"after":{"sha256":""#) && text.ends_with("\"why\":\"naïve \\\"quotes\\\"\"}\n"),
        "{text}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = path(directory.path());
        assert_eq!(mode(&path), 0o600);
        // Whom an operator lets read it, may read it from then on.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        append_at(directory.path(), time(9), &Entry::new(Did::Gc)).unwrap();
        assert_eq!(mode(&path), 0o640);
    }
}

#[test]
fn each_kind_of_tampering_has_its_name_and_its_line() {
    let log = log();
    let all = lines(&log);
    let without = |gone: &[usize]| -> Vec<u8> {
        all.iter()
            .enumerate()
            .filter(|(index, _)| !gone.contains(index))
            .flat_map(|(_, line)| line.clone())
            .collect()
    };
    let with = |at: usize, line: &[u8]| -> Vec<u8> {
        let mut all = all.clone();
        all.insert(at, line.to_vec());
        all.concat()
    };
    let edited = |at: usize, from: &str, to: &str| -> Vec<u8> {
        let mut all = all.clone();
        let text = String::from_utf8(all[at].clone()).unwrap();
        assert!(text.contains(from));
        all[at] = text.replace(from, to).into_bytes();
        all.concat()
    };
    let swapped = [1, 0, 2, 3, 4, 5].map(|index: usize| all[index].clone()).concat();
    // One that goes on from the line before it, and one that does not.
    let mut chained = parse(&log).0[2].line.clone();
    chained.why = Some("nothing of note".to_owned());
    let chained = format!("{}\n", chained.text()).into_bytes();
    let foreign = format!("{}\n", Line { n: 77, ..parse(&log).0[3].line.clone() }.text()).into_bytes();
    for (what, tampered, kind, line) in [
        ("a word", edited(1, "naïve", "clever"), Kind::Changed, 3),
        ("a time", edited(2, "12:02:00Z", "11:02:00Z"), Kind::Changed, 4),
        ("a number", edited(2, "\"n\":3", "\"n\":9"), Kind::Removed, 3),
        ("the one before", edited(3, &parse(&log).0[3].before, NOTHING), Kind::Changed, 4),
        ("no line any more", edited(2, "{\"at\"", "{at"), Kind::Changed, 4),
        (
            "an empty line in place of one",
            edited(2, &String::from_utf8(all[2].clone()).unwrap(), "\n"),
            Kind::Changed,
            4,
        ),
        ("another way to write the same", edited(2, "\"n\":3", "\"n\": 3"), Kind::Changed, 4),
        ("a field twice", edited(2, "\"n\":3", "\"n\":3,\"n\":3"), Kind::Changed, 4),
        ("the first line gone", without(&[0]), Kind::Removed, 1),
        ("a line gone", without(&[2]), Kind::Removed, 3),
        ("two lines gone", without(&[2, 3]), Kind::Removed, 3),
        ("a copy put in", with(2, &all[1]), Kind::Inserted, 3),
        ("a copy put in later", with(5, &all[1]), Kind::Inserted, 6),
        ("one that follows put in", with(2, &chained), Kind::Inserted, 4),
        ("one that does not put in", with(2, &foreign), Kind::Inserted, 3),
        ("two swapped", swapped, Kind::Inserted, 1),
    ] {
        let findings = chain_of(&tampered);
        let first = findings.iter().find(|finding| finding.is_fault());
        let first = first.unwrap_or_else(|| panic!("{what}: not found"));
        assert_eq!((first.kind, first.line), (kind, Some(line)), "{what}: {findings:?}");
        assert!(first.to_string().starts_with(&format!("{}: log: line {line}: ", kind.name())), "{first}");
    }
}

/// What is done at one place of a file.
fn edits(log: &[u8], at: usize) -> Vec<Vec<u8>> {
    let (before, after) = log.split_at(at);
    let mut edited = vec![[before, b"\n", after].concat()];
    if let Some((byte, rest)) = after.split_first() {
        edited.push([before, rest].concat());
        edited.push([before, &[byte ^ 1], rest].concat());
    }
    edited
}

/// Every byte, every line, every length. With a head that was noted nothing escapes; without one, only what is at the end, and is no
/// publish: nothing that is published says of it.
#[test]
fn any_single_edit_removal_insertion_or_truncation_is_found() {
    let log = log();
    let all = lines(&log);
    let (whole, End { head, .. }) = parse(&log);
    let mut tampered: Vec<(String, usize, Vec<u8>)> = Vec::new();
    for at in 0..=log.len() {
        let edits = edits(&log, at).into_iter().map(|edited| (format!("an edit at {at}"), at, edited));
        tampered.extend(edits);
        tampered.push((format!("cut off at {at}"), at, log[..at].to_vec()));
    }
    for from in 0..all.len() {
        let start = all[..from].concat().len();
        for to in from + 1..=all.len() {
            let gone = [&all[..from], &all[to..]].concat().concat();
            tampered.push((format!("lines {from} to {to} gone"), start, gone));
        }
        for to in 0..=all.len() {
            let mut more = all.clone();
            more.insert(to, all[from].clone());
            tampered.push((format!("line {from} copied to {to}"), all[..to].concat().len(), more.concat()));
        }
    }
    let last = log.len() - all[5].len();
    let (mut found, mut harmless) = (0, 0);
    for (what, at, tampered) in &tampered {
        if *tampered == log {
            continue;
        }
        // The end of the last line gone, or more behind it than a line: what a crash leaves, and said so.
        let (now, end) = parse(tampered);
        let same = now == whole && (end.torn.is_some() || tampered.len() + 1 == log.len());
        let (noted, kinds) = (chain::has(&now, &head), verified(now, &end));
        assert_eq!(kinds.is_empty() && noted, same, "{what}: {kinds:?}");
        assert!(*at >= last || same || !kinds.is_empty(), "{what}, with no head");
        match same {
            true => harmless += 1,
            false => found += 1,
        }
    }
    // Behind the last line: three; and its end.
    assert!(found > 6_000 && harmless < 10, "{found} {harmless}");
}

#[test]
fn what_a_crash_leaves_of_a_line_is_kept_and_the_chain_goes_on_behind_it() {
    let log = log();
    let last = log.len() - lines(&log)[5].len();
    // Nothing, parts, all of it, and all but its end.
    let length = lines(&log)[5].len();
    let kept = (0..length).filter(|kept| kept % 31 == 0 || kept + 1 == length);
    let torn = kept.map(|kept| log[..last + kept].to_vec());
    // A file system may have given it the length and not the bytes.
    let zeros = [&log[..last], &[0; 700]].concat();
    let twice = [&log[..last + 10], b"\n{\"after\":{"].concat();
    for left in torn.chain([zeros, twice, b"{\"after".to_vec(), b"\n".to_vec()]) {
        let directory = tempfile::tempdir().unwrap();
        tuf_client::durable::write_private(&path(directory.path()), &left).unwrap();
        let (before, end) = parse(&left);
        let line = append_at(directory.path(), time(9), &Entry::new(Did::Gc)).unwrap();
        assert_eq!(line.n, before.last().map_or(0, |found| found.line.n) + 1);
        assert_eq!(line.torn, end.torn, "it says what is before it");
        append_at(directory.path(), time(9), &Entry::new(Did::Gc)).unwrap();
        let after = bytes(directory.path());
        assert!(after.starts_with(&left), "nothing of what was there is written again");
        assert_eq!(faults(&chain_of(&after)), []);
        let notes = chain_of(&after).len();
        assert_eq!(notes, usize::from(end.torn.is_some()));
        // What is kept cannot be changed unseen either.
        if end.torn.is_some_and(|torn| torn > 0) {
            let mut changed = after;
            changed[left.len() - 1] ^= 1;
            assert_ne!(faults(&chain_of(&changed)), []);
        }
    }
}

#[test]
fn a_line_costs_the_end_of_the_log_and_not_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let line = append_at(directory.path(), time(0), &publish(0, 1)).unwrap();
    let long = vec![format!("{}\n", line.text()); 20_000].concat();
    let count = |log: &str| -> (u64, usize, Tail) {
        let (bytes, calls) = (Cell::new(0), Cell::new(0));
        let length = u64::try_from(log.len()).unwrap();
        let read = |start: u64| -> Result<Vec<u8>, std::io::Error> {
            let found = log.as_bytes()[usize::try_from(start).unwrap()..].to_vec();
            bytes.set(bytes.get() + u64::try_from(found.len()).unwrap());
            calls.set(calls.get() + 1);
            Ok(found)
        };
        let found = tail(length, read).unwrap();
        (bytes.get(), calls.get(), found)
    };
    assert!(long.len() > 5_000_000);
    let (bytes, calls, end) = count(&long);
    assert_eq!((bytes, calls, end.n, end.torn, end.open), (8192, 1, 1, None, false));
    // A torn line of any length is read past.
    let (bytes, _, end) = count(&format!("{long}{}", "x".repeat(100_000)));
    assert!(bytes < 400_000, "{bytes}");
    assert_eq!((end.n, end.torn, end.open), (1, Some(100_000), true));
}

#[test]
fn a_second_writer_waits_and_lines_never_mix() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    append_at(directory.path(), time(0), &Entry::new(Did::Gc)).unwrap();
                }
            });
        }
    });
    let log = bytes(directory.path());
    assert_eq!((parse(&log).0.len(), chain_of(&log)), (100, vec![]));
    let held = Appended::open(&path(directory.path()), Access::Private, LOCK_WAIT).unwrap();
    let refused = Appended::open(&path(directory.path()), Access::Private, Duration::ZERO);
    assert!(refused.is_err());
    drop(held);
}

/// A machine's log, from its publishes.
fn machine(name: &str, publishes: &[(u64, u64)]) -> Named {
    let directory = tempfile::tempdir().unwrap();
    let entries: Vec<Entry> = publishes.iter().map(|(from, to)| publish(*from, *to)).collect();
    write_all(directory.path(), &entries);
    Named { name: name.to_owned(), lines: parse(&bytes(directory.path())).0 }
}

#[test]
fn logs_of_several_machines_cover_each_others_gaps() {
    let state = |version| State { timestamp: Some(point(version)), ..State::default() };
    let one = || machine("one", &[(0, 1), (1, 2), (4, 5)]);
    let other = || machine("other", &[(2, 3), (3, 4)]);
    let kinds = |logs: &[Named], published: u64, complete: bool| -> Vec<Kind> {
        history::check(logs, &state(published), complete).iter().map(|finding| finding.kind).collect()
    };
    assert_eq!(kinds(&[one(), other()], 5, true), []);
    assert_eq!(kinds(&[other(), one()], 5, true), []);
    // Alone, it is a word to the operator; where nobody else can publish, a line is gone.
    assert_eq!(kinds(&[one()], 5, false), [Kind::Note]);
    assert_eq!(kinds(&[one()], 5, true), [Kind::Gap]);
    assert_eq!(kinds(&[one(), machine("other", &[(2, 3)])], 5, true), [Kind::Gap]);
    // The end is gone from both, or from the only one.
    assert_eq!(kinds(&[one(), other()], 6, true), [Kind::CutOff]);
    assert_eq!(kinds(&[one(), other()], 6, false), [Kind::Note]);
    assert_eq!(kinds(&[], 6, true), [Kind::CutOff]);
    // Older files than the log knows.
    assert_eq!(kinds(&[one(), other()], 4, true), [Kind::Rollback]);
    let nothing = State::default();
    assert_eq!(faults(&history::check(&[one(), other()], &nothing, true)), [Kind::Rollback]);
    // A log that begins late.
    assert_eq!(kinds(&[machine("late", &[(2, 3)])], 3, true), [Kind::Note]);
    // Two histories.
    assert_eq!(kinds(&[machine("back", &[(0, 1), (1, 2), (1, 3)])], 3, true), [Kind::Fork]);
    let mut forged = machine("forged", &[(3, 4)]);
    forged.lines[0].line.after.as_mut().unwrap().sha256 = NOTHING.to_owned();
    assert_eq!(kinds(&[one(), other(), forged], 5, true), [Kind::Fork]);
    assert_eq!(kinds(&[machine("same", &[(0, 1), (1, 1)])], 1, true), [Kind::Changed]);
    // What nobody knows whether clients saw it says nothing by itself, and covers what others built on it.
    let mut unsure = machine("other", &[(2, 3), (3, 4)]);
    unsure.lines[1].line.unsure = true;
    assert_eq!(kinds(&[one(), unsure], 5, true), []);
    let mut unsure = machine("one", &[(0, 1), (1, 2)]);
    unsure.lines[1].line.unsure = true;
    assert_eq!(kinds(&[unsure], 1, true), []);
}

#[test]
fn what_was_taken_over_covers_what_is_in_no_log_and_hides_no_fork() {
    let state = |version| State { timestamp: Some(point(version)), ..State::default() };
    let taken = |version| Entry::new(Did::Restore).adopted(1, point(version));
    let kinds = |entries: &[Entry], published: u64| -> Vec<Kind> {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path(), entries);
        let log = Named { name: "log".to_owned(), lines: parse(&bytes(directory.path())).0 };
        history::check(&[log], &state(published), true).iter().map(|finding| finding.kind).collect()
    };
    assert_eq!(kinds(&[taken(5)], 5), []);
    assert_eq!(kinds(&[taken(5), publish(5, 6)], 6), []);
    assert_eq!(kinds(&[publish(0, 1), taken(1), publish(1, 50)], 50), []);
    assert_eq!(kinds(&[publish(0, 1), taken(3), publish(3, 4)], 4), [Kind::Note]);
    assert_eq!(kinds(&[publish(0, 1), publish(1, 2), taken(1)], 2), [Kind::Rollback]);
    assert_eq!(kinds(&[publish(0, 1), taken(3), publish(4, 5)], 5), [Kind::Note, Kind::Gap]);
    assert_eq!(kinds(&[publish(0, 1), taken(3), publish(1, 4)], 4), [Kind::Note, Kind::Fork]);
    assert_eq!(kinds(&[taken(5)], 6), [Kind::CutOff]);
    // A publish is one, whatever it is called.
    let mut publish = publish(4, 5);
    publish.did = Did::Restore;
    assert_eq!(kinds(&[taken(3), publish], 5), [Kind::Gap]);
    // Roots of before are in no log; those of later must be.
    let directory = tempfile::tempdir().unwrap();
    let root = |version| Entry::new(Did::EventFinish).signed("root", version, ["cc".to_owned()]);
    write_all(directory.path(), &[root(1), Entry::new(Did::Import).adopted(3, point(5)), root(5)]);
    let log = Named { name: "log".to_owned(), lines: parse(&bytes(directory.path())).0 };
    let mut state = state(5);
    state.roots = (1..=5).map(|version| (version, vec!["cc".to_owned()])).collect();
    assert_eq!(faults(&history::check(&[log], &state, true)), [Kind::Gap]);
}

#[test]
fn keys_and_roots_are_held_against_what_is_published() {
    let log = || {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path(), &entries());
        vec![Named { name: "log".to_owned(), lines: parse(&bytes(directory.path())).0 }]
    };
    let keys = |role: &str, id: &str| (role.to_owned(), [id.to_owned()].into());
    let state = State {
        timestamp: Some(point(3)),
        roots: [(1, vec!["cc".to_owned()])].into(),
        keys: [keys("snapshot", "aa"), keys("timestamp", "bb")].into(),
        owed: false,
    };
    assert_eq!(history::check(&log(), &state, true), []);
    let mut other = state.clone();
    other.keys.extend([keys("timestamp", "dd")]);
    assert_eq!(faults(&history::check(&log(), &other, true)), [Kind::Key; 3]);
    let mut other = state.clone();
    other.roots = [(1, vec!["dd".to_owned()])].into();
    assert_eq!(faults(&history::check(&log(), &other, true)), [Kind::Key]);
    let mut other = state.clone();
    other.roots.insert(2, vec!["cc".to_owned()]);
    assert_eq!(faults(&history::check(&log(), &other, true)), [Kind::Gap]);
    assert_eq!(faults(&history::check(&log(), &other, false)), []);
    other.owed = true;
    assert_eq!(faults(&history::check(&log(), &other, true)), []);
    let mut other = state;
    other.roots = [(2, vec!["cc".to_owned()])].into();
    assert_eq!(faults(&history::check(&log(), &other, true)), [Kind::Rollback, Kind::Gap]);
}

/// Somebody with the keys publishes, and a recovery goes back behind that.
#[test]
fn what_a_recovery_replaces_is_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let state = State { timestamp: Some(point(12)), ..State::default() };
    let logs = |stolen: u64, did: Did| {
        let recovery = Entry { did, ..publish(stolen, 11) };
        write_all(directory.path(), &[publish(0, 1), publish(1, 2), recovery, publish(11, 12)]);
        let own = Named { name: "own".to_owned(), lines: parse(&bytes(directory.path())).0 };
        std::fs::remove_file(path(directory.path())).unwrap();
        // Another machine slept through it.
        let other = Named { name: "other".to_owned(), lines: machine("other", &[(0, 1), (12, 13)]).lines };
        (own, other)
    };
    let kinds = |logs: &[Named], state: &State| -> Vec<Kind> {
        history::check(logs, state, true).iter().map(|finding| finding.kind).collect()
    };
    for stolen in [3, 1 << 40] {
        let (own, other) = logs(stolen, Did::Recover);
        assert_eq!(kinds(std::slice::from_ref(&own), &state), [Kind::Note], "{stolen}");
        let state = State { timestamp: Some(point(13)), ..State::default() };
        assert_eq!(kinds(&[own, other], &state), [Kind::Note], "{stolen}");
    }
    assert_eq!(kinds(&[logs(2, Did::Recover).0], &state), []);
    assert_eq!(kinds(&[logs(3, Did::Publish).0], &state), [Kind::Gap]);
}
