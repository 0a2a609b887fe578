//! The clock: time is one value for a whole refresh, and whatever it does between two, nothing older is believed and
//! nothing expired. That it does not move during one is shown in `tuf-client/tests/suite/clock.rs`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::support::{Client, Repo, Want, assert_refused, kind_name, now, warm};

/// Seconds.
const JUMPS: [i64; 10] = {
    let (hour, day, year) = (3_600, 86_400, 31_557_600);
    [-30 * year, -year, -day, -hour, -1, 1, hour, day, year, 30 * year]
};

/// All roles expire one hour and one second from the time of the tests.
fn short() -> Repo {
    let mut repo = Repo::new();
    for role in ["timestamp", "snapshot", "targets", "dele", "root"] {
        repo.get(role)["expires"] = json!("2030-01-01T01:00:01Z");
    }
    repo.publish();
    repo
}

/// The next update finds the clock elsewhere: what expired is refused, what did not is taken, whichever way it jumped.
#[test]
fn a_jump_between_two_updates_changes_no_more_than_what_has_expired() {
    for jump in JUMPS {
        let mut repo = short();
        let mut client = warm(&repo);
        client.now += TimeDelta::seconds(jump);
        for new in [false, true] {
            if new {
                repo.release("dele");
            }
            let outcome = client.refresh(&repo.files);
            if jump <= 3_600 {
                assert!(outcome.result.is_ok(), "{jump} s");
                assert_eq!(outcome.batch.is_empty(), !new, "{jump} s");
            } else {
                assert_refused(&outcome.result.unwrap_err(), Want("Expired", "root", Some("freeze")), "");
                assert!(outcome.batch.is_empty(), "{jump} s");
            }
        }
        // And back again: nothing is broken for good.
        client.now = now();
        assert!(client.get(&repo.files, "d/x.txt").0.unwrap().is_some(), "{jump} s");
    }
}

/// A clock that went back brings nothing back: floors are versions, not times.
#[test]
fn a_jump_makes_nothing_older_acceptable() {
    for jump in JUMPS {
        let mut repo = Repo::new();
        for role in ["timestamp", "snapshot", "targets", "dele", "root"] {
            repo.get(role)["expires"] = json!("2099-01-01T00:00:00Z");
        }
        repo.publish();
        let old = repo.clone();
        repo.release("dele");
        let mut client = warm(&repo);
        let store = client.store.clone();
        client.now += TimeDelta::seconds(jump);
        let outcome = client.refresh(&old.files);
        assert_refused(&outcome.result.unwrap_err(), Want("Rollback", "timestamp", Some("rollback")), "");
        assert!(client.store == store, "{jump} s");
    }
}

fn with_expiry(expires: &str, now: DateTime<Utc>) -> Result<(), String> {
    let mut repo = Repo::new();
    repo.get("timestamp")["expires"] = json!(expires);
    for role in ["snapshot", "targets", "root"] {
        repo.get(role)["expires"] = json!("9999-12-31T23:59:59Z");
    }
    repo.publish();
    let mut client = Client { now, ..repo.client() };
    client.refresh(&repo.files).result.map(drop).map_err(|error| kind_name(error.kind()))
}

#[test]
fn the_second_of_expiry_is_expired_and_odd_dates_are_judged() {
    let end = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let rows = [
        ("one second left", "2030-01-01T00:00:01Z", now(), None),
        ("expires now", "2030-01-01T00:00:00Z", now(), Some("Expired")),
        ("one second late", "2029-12-31T23:59:59Z", now(), Some("Expired")),
        ("half a second left", "2030-01-01T00:00:00.5Z", now(), None),
        ("a nanosecond left", "2030-01-01T00:00:00Z", now() - TimeDelta::nanoseconds(1), None),
        ("the last year", "9999-12-31T23:59:59Z", now(), None),
        ("the last year, in its last second", "9999-12-31T23:59:59Z", end("9999-12-31T23:59:58Z"), None),
        ("the last year, over", "9999-12-31T23:59:59Z", end("9999-12-31T23:59:59Z"), Some("Expired")),
        ("a clock beyond all dates", "9999-12-31T23:59:59Z", DateTime::<Utc>::MAX_UTC, Some("Expired")),
        ("a clock before all dates", "2030-01-01T00:00:00Z", DateTime::<Utc>::MIN_UTC, None),
        ("a clock at its beginning", "2030-01-01T00:00:00Z", DateTime::UNIX_EPOCH, None),
        ("five digits of a year", "10000-01-01T00:00:00Z", now(), Some("Field")),
        ("a signed year", "+2031-01-01T00:00:00Z", now(), Some("Field")),
        ("the year 0", "0000-01-01T00:00:00Z", now(), Some("Expired")),
        ("a leap day", "2032-02-29T00:00:00Z", now(), None),
        ("no leap day", "2031-02-29T00:00:00Z", now(), Some("Field")),
        ("the hour 24", "2031-01-01T24:00:00Z", now(), Some("Field")),
        ("the second 61", "2031-01-01T00:00:61Z", now(), Some("Field")),
        // Python's dates, with which most repositories are written, have no leap seconds either.
        ("a leap second", "2030-06-30T23:59:60Z", now(), Some("Field")),
        (
            "the second after a leap second",
            "2030-07-01T00:00:00Z",
            end("2030-07-01T00:00:00Z"),
            Some("Expired"),
        ),
    ];
    for (name, expires, now, expected) in rows {
        assert_eq!(with_expiry(expires, now).err().as_deref(), expected, "{name}");
    }
}
