//! Many programs on one store, while the repository goes on publishing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use tuf_client::durable::write_atomic;

use crate::common::Repo;

/// How long, in seconds.
const SECONDS: &str = "TUF_CONCURRENCY_SECONDS";
const PROCESSES: usize = 16;
const PUBLISH: Duration = Duration::from_millis(50);
/// Between two looks at what is on disk.
const LOOK: Duration = Duration::from_millis(2);

fn refresh(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuf-client"));
    command.arg("--store").arg(directory.join("store")).arg("--quiet").arg("refresh").env_clear();
    command.stdout(Stdio::null());
    command
}

/// All of it, with the timestamp last.
fn publish(repo: &Repo, directory: &Path) {
    let mut files = repo.build();
    let timestamp = files.remove_entry("metadata/timestamp.json").unwrap();
    for (name, bytes) in files.into_iter().chain([timestamp]) {
        if name.starts_with("metadata/") {
            write_atomic(&directory.join("repo").join(name), &bytes).unwrap();
        }
    }
}

/// The versions on disk, by file. Each file is read as whoever holds no lock reads it.
fn look(directory: &Path, last: &mut BTreeMap<PathBuf, u64>) -> u64 {
    let mut looks = 0;
    for name in ["timestamp", "snapshot", "targets", "floor/timestamp", "floor/snapshot"] {
        let path = directory.join(format!("store/metadata/{name}.json"));
        let Ok(bytes) = fs::read(&path) else { continue };
        let value: Value =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("torn {name}: {error}"));
        let version = value["signed"]["version"].as_u64().unwrap();
        let before = last.insert(path, version).unwrap_or(0);
        assert!(version >= before, "{name} went from {before} back to {version}");
        looks += 1;
    }
    looks
}

#[test]
fn many_programs_on_one_store_never_fail_and_never_go_back() {
    let seconds: u64 = tuf_client::env::var(SECONDS).map_or(3, |value| value.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut repo = Repo::new();
    repo.targets.targets = Default::default();
    publish(&repo, directory);
    let root = directory.join("repo/metadata/1.root.json");
    let init =
        refresh(directory).args(["--root"]).arg(&root).arg("--url").arg(directory.join("repo")).output();
    assert!(init.unwrap().status.success());

    let (over, runs, looks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let end = Instant::now() + Duration::from_secs(seconds);
    let published = scope(|scope| {
        for _ in 0..PROCESSES {
            scope.spawn(|| {
                while Instant::now() < end {
                    let output = refresh(directory).stderr(Stdio::piped()).output().unwrap();
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
                    runs.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut last = BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                looks.fetch_add(look(directory, &mut last), Ordering::Relaxed);
                sleep(LOOK);
            }
        });
        while Instant::now() < end {
            let next = Instant::now() + PUBLISH;
            repo.version += 1;
            publish(&repo, directory);
            sleep(next.saturating_duration_since(Instant::now()));
        }
        over.store(true, Ordering::Relaxed);
        repo.version
    });
    assert!(refresh(directory).status().unwrap().success());
    let mut last = BTreeMap::new();
    look(directory, &mut last);
    assert_eq!(last.values().copied().collect::<Vec<_>>(), [published; 5]);
    let [runs, looks] = [runs, looks].map(AtomicU64::into_inner);
    println!(
        "{PROCESSES} processes, {seconds} s: {published} versions, {runs} runs, {looks} files read meanwhile"
    );
    assert!(runs > 16 && looks > 100);
}

/// `kill -9` of whoever holds the lock lets the next one in.
#[test]
fn killing_the_holder_of_the_lock_lets_the_others_in() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    publish(&Repo::new(), directory);
    let root = directory.join("repo/metadata/1.root.json");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // A server that never answers keeps its client in the middle of a refresh.
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut holder = refresh(directory).args(["--root"]).arg(&root).args(["--url", &url]).spawn().unwrap();
    let (_connection, _) = listener.accept().unwrap();
    let lock = directory.join("store/lock");
    assert!(fs::read_to_string(&lock).unwrap().starts_with(&format!("process {} ", holder.id())));
    let mut waiting = refresh(directory).spawn().unwrap();
    sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none(), "it waits for the lock");
    holder.kill().unwrap();
    holder.wait().unwrap();
    // It is let in: it asks the server, and has signed the lock.
    let (_connection, _) = listener.accept().unwrap();
    assert!(fs::read_to_string(&lock).unwrap().starts_with(&format!("process {} ", waiting.id())));
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}
