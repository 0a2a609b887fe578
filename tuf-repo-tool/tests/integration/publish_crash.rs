//! The built `tuf-repo`, killed with SIGKILL, or told that the disk is full, at every system call that changes a file while it
//! publishes, and while it renews every role, root included. A client polls all the time.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

use tuf_client::store::MemoryStore;
use tuf_client::{Client, Url, blocking};

use crate::repository::{ALL_ROLES, mirrored, upstream};
use crate::support::{Sandbox, TUF_REPO, sdist};

/// `all`: every call. Otherwise one in so many of each scenario.
const EVERY: &str = "TUF_CRASH";
const SAMPLE: usize = 11;
/// Each thread counts its calls by name, so that a call that only the writing thread makes has a number of its own.
pub(crate) const CHANGING: [&str; 12] = [
    "fsync",
    "fdatasync",
    "ftruncate",
    "link",
    "linkat",
    "mkdir",
    "pwrite64",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "write",
];
/// Those of them that need space, and that the runtime does not use to wake its threads.
const FILLING: [&str; 5] = ["fsync", "link", "linkat", "mkdir", "pwrite64"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Killed,
    DiskFull,
}

fn client(sandbox: &Sandbox) -> blocking::Client {
    client_at(&fs::read(sandbox.anchor()).unwrap(), &sandbox.url())
}

/// A new client of what is published at `url`.
pub(crate) fn client_at(root: &[u8], url: &str) -> blocking::Client {
    let client = Client::builder(root.to_vec(), Url::parse(url).unwrap()).store(MemoryStore::new());
    blocking::Client::new(client.build().unwrap()).unwrap()
}

/// A client that refreshes again and again, until it is told to stop; how often it did.
pub(crate) fn poll<'scope>(
    scope: &'scope Scope<'scope, '_>,
    sandbox: &'scope Sandbox,
    stop: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, usize> {
    poll_at(scope, fs::read(sandbox.anchor()).unwrap(), sandbox.url(), stop)
}

/// As [`poll`], of what is published at `url`.
pub(crate) fn poll_at<'scope>(
    scope: &'scope Scope<'scope, '_>,
    root: Vec<u8>,
    url: String,
    stop: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, usize> {
    let returning = client_at(&root, &url);
    returning.refresh().unwrap();
    scope.spawn(move || {
        let mut times = 0;
        while !stop.load(Ordering::SeqCst) {
            returning.refresh().unwrap_or_else(|error| panic!("{}", tuf_client::chain(&error)));
            client_at(&root, &url).refresh().unwrap_or_else(|error| panic!("{}", tuf_client::chain(&error)));
            times += 1;
        }
        times
    })
}

pub(crate) fn trace(sandbox: &Sandbox, options: &[String], arguments: &[&str]) -> Output {
    let mut command: Command = sandbox.command("strace");
    command.args(["-f", "-qq"]).args(options).arg(TUF_REPO).arg("--repo").arg(sandbox.repo());
    command.args(arguments).output().unwrap()
}

/// How often each call is made by the thread that makes it most often.
pub(crate) fn count(sandbox: &Sandbox, arguments: &[&str]) -> BTreeMap<&'static str, usize> {
    let log = sandbox.path("log");
    let calls = format!("trace=?{}", CHANGING.join(",?"));
    let options = ["-o".to_owned(), log.display().to_string(), "-e".to_owned(), calls];
    let output = trace(sandbox, &options, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut counts: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start().split('(').next().unwrap();
        if let Some(call) = CHANGING.iter().find(|known| **known == call) {
            *counts.entry((thread.to_owned(), call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    most
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

fn timestamp(sandbox: &Sandbox) -> u64 {
    let file: serde_json::Value = serde_json::from_slice(&sandbox.timestamp()).unwrap();
    file["signed"]["version"].as_u64().unwrap()
}

/// `root.json` is a copy of the newest root.
fn assert_newest_root(sandbox: &Sandbox, context: &str) {
    let metadata = sandbox.public("metadata");
    let newest = (1..).take_while(|version| metadata.join(format!("{version}.root.json")).exists()).last();
    let newest = fs::read(metadata.join(format!("{}.root.json", newest.unwrap()))).unwrap();
    assert!(fs::read(sandbox.repo().join("root.json")).unwrap() == newest, "{context}: root.json is old");
}

/// What is published has one line in the log, and so has everything before; a root, too.
fn assert_logged(sandbox: &Sandbox, timestamp: u64, context: &str) {
    let verified = sandbox.tuf_repo(&["log", "verify"]);
    assert_eq!(verified.code, Some(0), "{context}: {verified:?}");
    let log = sandbox.tuf_repo(&["log", "--last", "1000", "--json"]).ok().json();
    let lines = log["lines"].as_array().unwrap();
    let of = lines.iter().filter(|line| line["after"]["version"] == timestamp).count();
    assert_eq!(of, 1, "{context}: {log}");
}

/// One point; whether the command was hit.
fn hit(sandbox: &Sandbox, arguments: &[&str], what: What, (call, number): (&str, usize)) -> bool {
    let context = format!("{arguments:?}, {what:?} at {call} {number}");
    copy(&sandbox.path("before"), &sandbox.repo());
    let before = timestamp(sandbox);
    let inject = match what {
        What::Killed => format!("inject={call}:signal=KILL:when={number}"),
        What::DiskFull => format!("inject={call}:error=ENOSPC:when={number}+"),
    };
    let calls = format!("trace={call}");
    let options = ["-e", &calls, "-e", &inject, "-o", "/dev/null"].map(str::to_owned);
    let stop = AtomicBool::new(false);
    let (status, next) = std::thread::scope(|scope| {
        let polling = poll(scope, sandbox, &stop);
        let status = trace(sandbox, &options, arguments).status;
        let found = timestamp(sandbox);
        assert!(found == before || found == before + 1, "{context}: timestamp {found}");
        let next = sandbox.tuf_repo(&[arguments, &["--json"]].concat());
        stop.store(true, Ordering::SeqCst);
        assert!(polling.join().unwrap() > 0, "{context}");
        (status, next)
    });
    // An event is finished once.
    let over = next.code == Some(1) && next.stderr.contains("it was finished");
    assert!(next.code == Some(0) || over, "{context}: {next:?}");
    assert_eq!(timestamp(sandbox), before + 1, "{context}: {next:?}");
    client(sandbox).refresh().unwrap();
    sandbox.assert_no_leftovers();
    assert_newest_root(sandbox, &context);
    assert!(!sandbox.repo().join("state/journal/publish").exists(), "{context}");
    assert_logged(sandbox, before + 1, &context);
    match what {
        What::Killed => status.signal() == Some(9) || status.code() == Some(128 + 9),
        What::DiskFull => status.code() == Some(1),
    }
}

/// How many points there are, and at how many the command was hit.
pub(crate) fn sweep(sandbox: &Sandbox, arguments: &[&str], expected_files: &[&str]) -> (usize, usize) {
    sweep_and(sandbox, arguments, expected_files, |_| {})
}

/// As [`sweep`]; `look` checks what more is so after each point.
pub(crate) fn sweep_and(
    sandbox: &Sandbox,
    arguments: &[&str],
    expected_files: &[&str],
    look: impl Fn(&Sandbox),
) -> (usize, usize) {
    let all = tuf_client::env::var(EVERY).is_some_and(|value| value == "all");
    sandbox.anchor();
    copy(&sandbox.repo(), &sandbox.path("before"));
    let counts = count(sandbox, arguments);
    let published = sandbox.tree(&sandbox.public("metadata"));
    for file in expected_files {
        assert!(published.iter().any(|found| found == file), "{file} is in {published:?}");
    }
    sandbox.verify();
    let points = |calls: &[&str], what| -> Vec<_> {
        let counts = counts.iter().filter(|(call, _)| calls.contains(call));
        counts.flat_map(|(call, count)| (1..=*count).map(move |number| (what, (*call, number)))).collect()
    };
    let points = [points(&CHANGING, What::Killed), points(&FILLING, What::DiskFull)].concat();
    let chosen = points.iter().step_by(if all { 1 } else { SAMPLE });
    let one = |(what, point): &&(What, (&str, usize))| {
        let was_hit = hit(sandbox, arguments, *what, *point);
        look(sandbox);
        was_hit
    };
    let hits = chosen.filter(one).count();
    let wanted = if all { points.len() } else { points.len() / SAMPLE };
    // Threads share the work anew each time: a few points are not reached.
    assert!(hits * 2 > wanted, "hit at {hits} of {wanted}");
    sandbox.verify();
    (points.len(), hits)
}

#[test]
fn a_publish_that_is_hit_at_any_system_call_leaves_the_old_state_or_the_new_one() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.tuf_repo(&["mirror", "sync", "--no-publish", "--upstream", &upstream.simple()]).ok();
    let (points, hits) = sweep(&sandbox, &["publish"], &["2.snapshot.json"]);
    println!("publish: {points} points; hit at {hits}");
    assert_eq!(sandbox.files("demo").len(), 2);
}

#[test]
fn a_renewal_of_every_role_that_is_hit_at_any_system_call_leaves_the_old_state_or_the_new_one() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    sandbox.set_periods(&ALL_ROLES, "90d", "60d");
    let files = ["2.root.json", "2.targets.json", "2.bins.json", "2.snapshot.json"];
    let (points, hits) = sweep(&sandbox, &["renew"], &files);
    println!("renew: {points} points; hit at {hits}");
}
