//! Rotations that meet other work, and what other commands say of them.

use super::{publish_one_more, uris};
use crate::support::Sandbox;

/// A repository whose keys of root, targets and bins are elsewhere.
fn offline() -> Sandbox {
    let sandbox = Sandbox::new();
    let keys = sandbox.path("offline").display().to_string();
    sandbox.init(&["--preset", "offline-root", "--offline-keys", &keys, "--bins", "2"]).ok();
    sandbox
}

#[test]
fn a_rotation_that_another_event_stands_in_the_way_of_leaves_the_settings_alone() {
    let sandbox = offline();
    sandbox.tuf_repo(&["rotate", "timestamp"]).code(3);
    let settings = std::fs::read(sandbox.repo().join("tuf-repo.toml")).unwrap();
    sandbox.tuf_repo(&["rotate", "snapshot"]).code(1).says("is pending already");
    assert_eq!(std::fs::read(sandbox.repo().join("tuf-repo.toml")).unwrap(), settings);
    assert_eq!(uris(&sandbox, "snapshot"), ["file:keys/snapshot.pem"]);
}

#[test]
fn a_rotation_on_its_way_is_no_fault_of_the_settings() {
    let differs = "names other keys";
    let quiet = |sandbox: &Sandbox| {
        for command in ["doctor", "status"] {
            let run = sandbox.tuf_repo(&[command]).ok();
            assert!(!run.stdout.contains(differs), "{run:#?}");
        }
    };
    let sandbox = offline();
    sandbox.tuf_repo(&["rotate", "timestamp", "bin-n"]).code(3);
    quiet(&sandbox);
    let goes_on = "timestamp: file:keys/timestamp-2.pem is to take over; `tuf-repo rotate timestamp` goes on";
    sandbox.tuf_repo(&["status"]).ok().says(goes_on);
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    publish_one_more(&sandbox, "a");
    sandbox.tuf_repo(&["rotate", "timestamp"]).ok();
    quiet(&sandbox);
    // What nobody is about to do is said as before.
    let settings = sandbox.repo().join("tuf-repo.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    crate::support::write(&settings, text.replace("keys/snapshot.pem", "keys/targets.pem"));
    sandbox.tuf_repo(&["doctor"]).says(differs);
}
