//! The built binary, killed with SIGKILL at every system call that touches a file or a descriptor: the next run works, nothing
//! that was trusted is forgotten, and nothing is left lying around.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tuf_client::durable::write_atomic;

use crate::common::{Files, Repo};

/// `all`: every call. Otherwise a sample.
const EVERY: &str = "TUF_CRASH";
/// Calls that change something: one in so many is in the sample.
const SAMPLE: usize = 4;
/// Of all others, so many of each scenario.
const OTHERS: usize = 3;
/// Each thread counts its calls by name, so that a call that only the writing thread makes has a number of its own.
const CHANGING: [&str; 14] = [
    "flock",
    "fsync",
    "ftruncate",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "write",
    "fchmod",
];
const LOOKING: [&str; 6] = ["openat", "read", "close", "statx", "lseek", "getdents64"];

#[derive(Clone, Copy, Debug)]
enum Scenario {
    FirstRun,
    RootRotations,
    FourRoles,
    Download,
}

impl Scenario {
    const ALL: [Self; 4] = [Self::FirstRun, Self::RootRotations, Self::FourRoles, Self::Download];

    /// The version of the online roles, and of root, that is stored before, and in the repository.
    const fn versions(self) -> [(u64, u64); 2] {
        match self {
            Self::FirstRun => [(0, 0), (1, 1)],
            Self::RootRotations => [(1, 1), (1, 4)],
            Self::FourRoles => [(1, 4), (2, 5)],
            Self::Download => [(2, 5), (2, 5)],
        }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Download => &["download", "packages/six.whl", "--output", "out"],
            _ => &["refresh"],
        }
    }
}

/// The files of the repository at its three states.
fn published() -> BTreeMap<(u64, u64), Files> {
    let mut repo = Repo::new();
    let mut files = repo.build();
    let mut states = BTreeMap::from([((1, 1), files.clone())]);
    for root in 2..=5 {
        repo.root.header.version = root;
        if root == 5 {
            repo.version = 2;
        }
        files.extend(repo.build());
        states.insert((repo.version, root), files.clone());
    }
    states
}

/// A directory with `repo`, `store` and `out`.
struct Place(TempDir);

impl Place {
    /// In memory if there is a file system for that: a killed process loses nothing that it wrote, synced or not.
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        Self(if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &str, before: &[String], arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(before).args(["--root", "repo/metadata/1.root.json", "--url"]).arg(self.path("repo"));
        command.args(["--store", "store"]).args(arguments).current_dir(self.0.path()).env_clear();
        // One thread that works, one that waits for the disk: fewer places for the same call.
        command.env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_tuf-client"), &[], arguments).output().unwrap()
    }

    fn trace(&self, options: &[String], arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_tuf-client").to_owned();
        let before = [&["-f".to_owned(), "-qq".to_owned()], options, &[program]];
        let path = tuf_client::env::var("PATH").unwrap_or_default();
        self.command("strace", &before.concat(), arguments).env("PATH", path).output().unwrap()
    }

    /// As after the run of the scenario before.
    fn set_up(&self, files: &Files) {
        for name in ["repo", "store", "out"] {
            fs::remove_dir_all(self.path(name)).ok();
        }
        copy(&self.path("before"), &self.path("store"));
        for (name, bytes) in files {
            write_atomic(&self.path("repo").join(name), bytes).unwrap();
        }
    }

    fn version(&self, name: &str) -> u64 {
        let Ok(bytes) = fs::read(self.path("store/metadata").join(name)) else { return 0 };
        let value: Value =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("torn {name}: {error}"));
        value["signed"]["version"].as_u64().unwrap()
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}

/// How often each call is made by the thread that makes it most often.
fn count(place: &Place, scenario: Scenario) -> BTreeMap<&'static str, usize> {
    let log = place.path("log");
    let options = [
        "-o".to_owned(),
        log.display().to_string(),
        "-e".to_owned(),
        format!("trace=?{}", [&CHANGING[..], &LOOKING].concat().join(",?")),
    ];
    let output = place.trace(&options, scenario.arguments());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut counts: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start().split('(').next().unwrap();
        if let Some(call) = CHANGING.iter().chain(&LOOKING).find(|known| **known == call) {
            *counts.entry((thread.to_owned(), call)).or_default() += 1;
        }
    }
    fs::remove_file(log).unwrap();
    let mut most = BTreeMap::new();
    for ((_, call), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    most
}

fn kill_at(place: &Place, scenario: Scenario, (call, number): (&str, usize), published: &Files) -> bool {
    let what = format!("{scenario:?}, {call} {number}");
    place.set_up(published);
    let inject = format!("inject={call}:signal=KILL:when={number}");
    let options = [
        "-e".to_owned(),
        format!("trace={call}"),
        "-e".to_owned(),
        inject,
        "-o".to_owned(),
        "/dev/null".to_owned(),
    ];
    let killed = place.trace(&options, scenario.arguments()).status;
    let killed = killed.signal() == Some(9) || killed.code() == Some(128 + 9);

    let [(stored_version, stored_root), (version, root)] = scenario.versions();
    for name in ["timestamp.json", "floor/timestamp.json", "snapshot.json", "floor/snapshot.json"] {
        let found = place.version(name);
        assert!(found >= stored_version, "{what}: {name} {found}");
    }
    for kept in 2..=stored_root {
        assert_eq!(place.version(&format!("root_history/{kept}.root.json")), kept, "{what}");
    }
    if let Ok(bytes) = fs::read(place.path("out/packages/six.whl")) {
        assert_eq!(bytes, b"six", "{what}: half a file");
    }

    let next = place.run(scenario.arguments());
    let stderr = String::from_utf8_lossy(&next.stderr);
    assert!(next.status.success() && stderr.is_empty(), "{what}: {stderr}");
    for name in ["timestamp.json", "floor/timestamp.json", "snapshot.json", "targets.json"] {
        assert_eq!(place.version(name), version, "{what}: {name}");
    }
    for kept in 2..=root {
        assert_eq!(place.version(&format!("root_history/{kept}.root.json")), kept, "{what}");
    }
    // Downloads go to a directory of the user's, which others use too: only what is old is swept there.
    let left = files(&place.path("store"));
    let left: Vec<_> = left.iter().filter(|path| path.to_str().unwrap().contains(".tmp-")).collect();
    assert!(left.is_empty() && !place.path("store/damaged").exists(), "{what}: {left:?}");
    killed
}

#[test]
fn killed_at_any_system_call_the_next_run_works_and_forgets_nothing() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: there is no strace, which does the killing");
        assert!(tuf_client::env::var("CI").is_none_or(|value| value != "true"), "strace is missing");
        return;
    }
    let all = tuf_client::env::var(EVERY).is_some_and(|value| value == "all");
    let published = published();
    // One place for all, because a store is for one URL.
    let (place, mut total) = (Place::new(), 0);
    for scenario in Scenario::ALL {
        let [_, now] = scenario.versions();
        place.set_up(&published[&now]);
        let counts = count(&place, scenario);
        let after = place.path("after");
        copy(&place.path("store"), &after);
        let points = |calls: &[&'static str]| -> Vec<(&'static str, usize)> {
            let counts = counts.iter().filter(|(call, _)| calls.contains(call));
            counts.flat_map(|(call, count)| (1..=*count).map(move |number| (*call, number))).collect()
        };
        let (changing, looking) = (points(&CHANGING), points(&LOOKING));
        let steps = if all { (1, 1) } else { (SAMPLE, looking.len().div_ceil(OTHERS)) };
        let chosen = changing.iter().step_by(steps.0).chain(looking.iter().step_by(steps.1));
        let killed = chosen.filter(|point| kill_at(&place, scenario, **point, &published[&now])).count();
        let all = changing.len() + looking.len();
        println!("{scenario:?}: {all} points, {} of them changes; killed at {killed}", changing.len());
        assert!(killed > 0, "{scenario:?}");
        total += killed;
        fs::remove_dir_all(place.path("before")).ok();
        copy(&after, &place.path("before"));
        fs::remove_dir_all(after).unwrap();
    }
    println!("killed at {total} points");
    assert!(!all || total >= 750, "{total}");
}
