//! What is due, late and broken when.

use super::*;

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::hours(hours)
}

fn role(name: &str, renews: Option<i64>, expires: i64, here: bool) -> RoleStatus {
    let (renews, expires) = (renews.map(at), at(expires));
    RoleStatus {
        role: name.to_owned(),
        count: 1,
        version: 7,
        expires: Some(expires),
        renews,
        state: Some(Freshness::at(at(0), expires, renews)),
        here,
        keys: Vec::new(),
        threshold: 1,
    }
}

fn event(of: &str, age: i64) -> PendingEvent {
    PendingEvent {
        id: format!("{of}-2-abc"),
        opened: at(0) - TimeDelta::seconds(age),
        age_seconds: age,
        reason: "because".to_owned(),
        roles: vec![of.to_owned()],
        missing: vec![format!("{of} has 1 of 2 by root 1 (published), missing key-2")],
        outdated: None,
        next: format!("tuf-repo event sign {of}-2-abc.tufsign"),
    }
}

fn status(roles: Vec<RoleStatus>, events: Vec<PendingEvent>) -> Status {
    Status { roles, events, targets: 0, staged: 0, todo: Vec::new(), demonstration: false }
}

#[test]
fn a_role_is_due_at_its_time_late_at_half_of_the_rest_and_expired_at_its_expiry() {
    let (renews, expires) = (at(12), at(24));
    for (seconds, expected) in [
        (0, Freshness::Fresh),
        (12 * 3600 - 1, Freshness::Fresh),
        (12 * 3600, Freshness::Due),
        (18 * 3600 - 1, Freshness::Due),
        (18 * 3600, Freshness::Late),
        (24 * 3600 - 1, Freshness::Late),
        (24 * 3600, Freshness::Expired),
        (99 * 3600, Freshness::Expired),
    ] {
        let now = at(0) + TimeDelta::seconds(seconds);
        assert_eq!(Freshness::at(now, expires, Some(renews)), expected, "{seconds} s");
        let elsewhere = if expected == Freshness::Expired { expected } else { Freshness::Fresh };
        assert_eq!(Freshness::at(now, expires, None), elsewhere, "{seconds} s, signed elsewhere");
    }
}

#[test]
fn a_role_that_is_valid_for_longer_than_its_period_is_renewed_at_once() {
    let (day, half) = (TimeDelta::days(1), TimeDelta::hours(12));
    assert_eq!(renews(at(20), day, half, at(0)), at(8));
    assert_eq!(renews(at(24), day, half, at(0)), at(12));
    assert_eq!(renews(at(25), day, half, at(0)), at(0), "its period was shortened");
}

#[test]
fn what_fails_within_a_time_is_found_in_the_order_in_which_it_breaks() {
    let all = || {
        vec![
            role("root", Some(-50), -1, false),
            role("snapshot", Some(-10), 5, true),
            role("timestamp", Some(-1), 11, true),
            role("docs", None, 20, false),
            role("targets", Some(-1), 1000, false),
        ]
    };
    for (within, expected) in [
        (None, &["root", "snapshot"][..]),
        (Some(0), &["root", "snapshot"]),
        (Some(10), &["root", "snapshot"]),
        (Some(11), &["root", "snapshot", "timestamp"]),
        (Some(24), &["root", "snapshot", "timestamp", "docs"]),
        (Some(24 * 365), &["root", "snapshot", "timestamp", "docs", "targets"]),
    ] {
        let found = problems(&status(all(), Vec::new()), at(0), within.map(TimeDelta::hours));
        let names: Vec<&str> = found.iter().map(|problem| problem.role.as_str()).collect();
        assert_eq!(names, expected, "within {within:?} hours");
    }
    let sound = status(vec![role("timestamp", Some(1), 12, true)], Vec::new());
    assert_eq!(problems(&sound, at(0), None), []);
    // What was read once gets late by itself.
    assert_eq!(problems(&sound, at(7), None).len(), 1);
}

#[test]
fn the_line_of_each_role_says_what_to_do() {
    for (role, events, expected) in [
        (role("timestamp", Some(5), 12, true), vec![], None),
        (role("timestamp", Some(-1), 12, true), vec![], Some("run `tuf-repo renew`")),
        (role("timestamp", Some(-20), 12, true), vec![], Some("renewing is late, due since")),
        (
            role("timestamp", Some(-20), -1, true),
            vec![],
            Some("clients refuse this repository; run `tuf-repo renew`"),
        ),
        (role("bin-n", Some(-20), -1, true), vec![], Some("clients refuse its targets; run")),
        (
            role("root", Some(-1), 99, false),
            vec![],
            Some("its keys are elsewhere: run `tuf-repo event open root`"),
        ),
        // No event is of use to it.
        (role("timestamp", Some(-1), 99, false), vec![], Some("nothing is renewed without them")),
        (role("root", Some(-1), 99, false), vec![event("root", 60)], Some("event root-2-abc waits")),
        (
            role("targets", Some(-1), 99, false),
            vec![event("root", 60)],
            Some("run `tuf-repo event open targets`"),
        ),
        (role("docs", None, -1, false), vec![], Some("clients refuse its targets; another machine signs it")),
    ] {
        let lines = todo(std::slice::from_ref(&role), &events);
        let found = lines.iter().find(|line| line.starts_with(&role.role));
        assert_eq!(found.is_some(), expected.is_some(), "{lines:?}");
        assert!(
            expected.is_none_or(|expected| found.is_some_and(|line| line.contains(expected))),
            "{lines:?}"
        );
    }
}

#[test]
fn the_worst_comes_first_and_events_say_their_age_and_who_is_missing() {
    let roles = [
        role("snapshot", Some(-1), 30, true),
        role("bin-n", Some(-60), 40, true),
        role("root", Some(-900), -5, false),
    ];
    let lines = todo(&roles, &[event("root", 12 * 86_400 + 5)]);
    let first: Vec<&str> = lines.iter().filter_map(|line| line.split([' ', ',']).next()).collect();
    assert_eq!(first, ["root", "bin-n", "snapshot", "event"]);
    let last = lines.last().unwrap();
    assert!(last.contains("opened 12 days ago") && last.contains("missing key-2"), "{last}");
}

#[test]
fn spans_are_told_in_their_largest_unit() {
    for (seconds, expected) in [
        (0, "0 seconds"),
        (1, "1 second"),
        (61, "1 minute"),
        (7200, "2 hours"),
        (86_399, "23 hours"),
        (86_400, "1 day"),
        (100 * 86_400, "100 days"),
    ] {
        assert_eq!(span(TimeDelta::seconds(seconds)), expected);
    }
}
