//! A recovery is killed at every system call that changes a file, and run again.

use std::os::unix::process::ExitStatusExt;

use super::thief::{FAR, Thief};
use super::{snapshot, upload};
use crate::publish_crash::{CHANGING, copy, count, trace};
use crate::support::Sandbox;

/// One in so many calls; all of them with `TUF_CRASH=all`.
const SAMPLE: usize = 13;

#[test]
fn a_recovery_that_is_killed_anywhere_goes_on_when_it_is_run_again() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    upload(&sandbox, "a", "a");
    sandbox.verify();
    let good = snapshot(&sandbox).to_string();
    Thief::new(&sandbox.repo()).publish(2, FAR, &[("a", None)]);
    copy(&sandbox.repo(), &sandbox.path("before"));
    let deceived = sandbox.path("store");
    sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]).ok();
    copy(&deceived, &sandbox.path("store-before"));
    let recover =
        ["recover", "--known-good", &good, "--apply", "--compromised", "timestamp", "snapshot", "bin-n"];
    let counts = count(&sandbox, &recover);
    let points: Vec<_> =
        counts.iter().flat_map(|(call, count)| (1..=*count).map(move |number| (*call, number))).collect();
    let all = tuf_client::env::var("TUF_CRASH").is_some_and(|value| value == "all");
    let chosen: Vec<_> = points.into_iter().step_by(if all { 1 } else { SAMPLE }).collect();
    let mut hits = 0;
    for (call, number) in &chosen {
        assert!(CHANGING.contains(call));
        copy(&sandbox.path("before"), &sandbox.repo());
        copy(&sandbox.path("store-before"), &deceived);
        let options = [
            "-e",
            &format!("trace={call}"),
            "-e",
            &format!("inject={call}:signal=KILL:when={number}"),
            "-o",
            "/dev/null",
        ]
        .map(str::to_owned);
        let status = trace(&sandbox, &options, &recover).status;
        hits += usize::from(status.signal() == Some(9) || status.code() == Some(128 + 9));
        // Killed while it told of it: all was done.
        let done = sandbox.public("metadata/2.root.json").exists()
            && !sandbox.repo().join("state/recovery.json").exists();
        let again = sandbox.tuf_repo(&recover);
        assert_eq!(again.code, Some(if done { 4 } else { 0 }), "{call} {number}: {again:#?}");
        if done {
            again.says("`tuf-repo log`");
        }
        assert_eq!(sandbox.targets(), ["a"], "{call} {number}");
        sandbox.verify();
        sandbox.assert_no_leftovers();
        assert!(!sandbox.repo().join("state/recovery.json").exists(), "{call} {number}");
        sandbox.tuf_repo(&["publish"]).ok();
    }
    println!("{hits} of {} points", chosen.len());
    assert!(hits * 2 > chosen.len(), "hit at {hits} of {}", chosen.len());
}
