//! `tuf-repo status` for cron and Nagios.

use std::thread::sleep;
use std::time::Duration;

use crate::event::Ceremony;
use crate::support::Sandbox;

#[test]
fn status_fails_when_something_breaks_soon_or_renewing_is_late() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    sandbox.tuf_repo(&["status"]).ok().says("nothing is published");
    sandbox.tuf_repo(&["status", "--fail-within", "1h"]).code(4).says("FAIL: nothing is published");
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.tuf_repo(&["status", "--fail-within", "1h"]).ok().says("OK: ");
    sandbox.tuf_repo(&["status", "--fail-within", "2d"]).code(4).says("FAIL: timestamp expires at");
    sandbox.tuf_repo(&["status", "--fail-within", "soon"]).code(2);
    let status = sandbox.tuf_repo(&["--json", "status", "--fail-within", "8d"]).code(4).json();
    let names = |field: &str| -> Vec<String> {
        let rows = status[field].as_array().unwrap().iter();
        rows.map(|row| row["role"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("problems"), ["timestamp", "snapshot"], "{status:#}");
    assert_eq!(names("roles")[..3], ["timestamp", "snapshot", "bin-n"], "what breaks first comes first");
    for role in status["roles"].as_array().unwrap() {
        assert_eq!(role["state"], "fresh", "{role}");
        assert!(role["renews"].as_str() < role["expires"].as_str(), "{role}");
    }
    // Signed for a second, to be renewed at once: late half of a second later, then expired.
    sandbox.set_periods(&["timestamp"], "4s", "1s");
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.set_periods(&["timestamp"], "1d", "12h");
    sandbox.tuf_repo(&["status", "--fail-within", "1s"]).code(4).says("LATE").says("renewing is late");
    sleep(Duration::from_millis(4100));
    let said = sandbox.tuf_repo(&["status", "--fail-within", "1s"]).code(4);
    said.says("EXPIRED").says("clients refuse this repository");
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.tuf_repo(&["status", "--fail-within", "1h"]).ok();
}

#[test]
fn status_names_pending_events_their_age_and_who_is_missing() {
    let ceremony = Ceremony::new();
    let id = ceremony.open(&["root"]);
    ceremony.sign(&ceremony.bundle(&id), &["root-1"]).ok();
    let sandbox = &ceremony.sandbox;
    let run = sandbox.tuf_repo(&["status"]).ok();
    run.says(&format!("event {id}, opened ")).says("root has 1 of 2").says("missing root-2");
    let status = sandbox.tuf_repo(&["--json", "status"]).ok().json();
    let event = &status["events"][0];
    assert_eq!((&event["id"], &event["reason"]), (&id.into(), &"because".into()), "{event}");
    assert!(event["age_seconds"].as_i64().is_some_and(|age| (0..600).contains(&age)), "{event}");
    // One that cannot be read hides nothing else.
    let damaged = ceremony.sandbox.repo().join("state/events/x.tufsign");
    crate::support::write(&damaged, "{}");
    sandbox.tuf_repo(&["status", "--fail-within", "1h"]).ok().says("pending events cannot be read");
}
