//! Processes that stage and publish in one repository at once, while a client polls: each version is published once, and
//! nothing that was staged is lost.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tuf_core::{Hashes, TargetFile, TargetPath};
use tuf_repo_tool::State;
use tuf_repo_tool::publish::Changes;

use crate::publish_crash::poll;
use crate::support::{Sandbox, write};

/// `PROCESSESxTIMES`, such as `8x200`.
const HOW_MANY: &str = "TUF_RACES";
const FEWER: (usize, usize) = (4, 4);

/// How many publishers, and how often each publishes.
pub(crate) fn how_many(fewer: (usize, usize)) -> (usize, usize) {
    let Some(text) = tuf_client::env::var(HOW_MANY) else { return fewer };
    let (processes, times) = text.split_once('x').expect("PROCESSESxTIMES");
    (processes.parse().unwrap(), times.parse().unwrap())
}

/// Stages a small file as a target of this name.
fn stage(sandbox: &Sandbox, name: &str) {
    let (path, hashes) = (TargetPath::new(name).unwrap(), Hashes::of(name.as_bytes()));
    write(&sandbox.public("targets").join(path.remote(Some(&hashes))), name);
    let mut changes = Changes::default();
    changes.set(path, TargetFile::new(u64::try_from(name.len()).unwrap(), hashes));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let state = State::open(None, &sandbox.repo().join("state")).await.unwrap();
        state.stage(&changes).await.unwrap();
    });
}

#[test]
fn of_processes_that_race_each_version_is_published_once_and_nothing_that_was_staged_is_lost() {
    let (processes, times) = how_many(FEWER);
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    stage(&sandbox, "first");
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.anchor();
    let (versions, busy) = (Mutex::new(Vec::new()), Mutex::new(0));
    let stop = AtomicBool::new(false);
    let polled = std::thread::scope(|scope| {
        let polling = poll(scope, &sandbox, &stop);
        std::thread::scope(|racing| {
            for process in 0..processes {
                let (sandbox, versions, busy) = (&sandbox, &versions, &busy);
                racing.spawn(move || {
                    for number in 0..times {
                        stage(sandbox, &format!("{process}/{number}"));
                        loop {
                            let run = sandbox.tuf_repo(&["publish", "--json", "--retry", "1"]);
                            if run.code == Some(0) {
                                versions.lock().unwrap().extend(run.json()["timestamp"].as_u64());
                                break;
                            }
                            // Whoever waited in vain is told for whom, and tries again.
                            let run = run.code(1);
                            let told = run.stderr.contains("in use by") || run.stderr.contains("was faster");
                            assert!(told && run.stderr.contains("hint: "), "{run:?}");
                            *busy.lock().unwrap() += 1;
                        }
                    }
                });
            }
        });
        stop.store(true, Ordering::SeqCst);
        polling.join().unwrap()
    });
    let mut versions = versions.into_inner().unwrap();
    versions.sort_unstable();
    let last = versions.last().copied().unwrap();
    assert_eq!(versions, (2..=last).collect::<Vec<_>>(), "each version once, by one process");
    let expected: BTreeSet<String> = (0..processes)
        .flat_map(|process| (0..times).map(move |number| format!("{process}/{number}")))
        .chain(["first".to_owned()])
        .collect();
    assert_eq!(sandbox.targets().into_iter().collect::<BTreeSet<_>>(), expected);
    sandbox.verify();
    let busy = busy.into_inner().unwrap();
    println!(
        "{processes} x {times}: {} publishes, {busy} were told to try again, polled {polled} times",
        versions.len()
    );
}
