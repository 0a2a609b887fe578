//! When the next round is: told the time and how rounds ended, it says how long to wait. No clock, no sleep, no I/O.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long after a first failure the next round is; twice as long after each further one.
const RETRY: TimeDelta = TimeDelta::seconds(5);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// A round.
    Round,
    /// Nothing for so long; asked earlier, it says the same.
    Wait(Duration),
}

/// When rounds are.
#[derive(Clone, Debug)]
pub struct Schedule {
    every: TimeDelta,
    planned: Option<Planned>,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    since: DateTime<Utc>,
    at: DateTime<Utc>,
}

impl Schedule {
    /// Rounds at least so often; the first at once.
    #[must_use]
    pub const fn new(every: TimeDelta) -> Self {
        Self { every, planned: None, failures: 0 }
    }

    /// What to do at `now`. A clock that was set back since the last round says nothing about how long ago that was: then
    /// there is one at once.
    #[must_use]
    pub fn next(&self, now: DateTime<Utc>) -> Next {
        match self.planned {
            Some(Planned { since, at }) if since <= now && now < at => {
                Next::Wait((at - now).to_std().unwrap_or_default())
            }
            _ => Next::Round,
        }
    }

    /// A round ended well at `now`. `due` are times at which roles fall due: the next round is at the first of them that is
    /// still to come. What was due and could not be signed does not make rounds more frequent.
    pub fn succeeded(&mut self, now: DateTime<Utc>, due: impl IntoIterator<Item = DateTime<Utc>>) {
        self.failures = 0;
        let wait = due.into_iter().map(|due| due - now).filter(|left| *left > TimeDelta::zero()).min();
        self.plan(now, wait.map_or(self.every, |wait| wait.min(self.every)));
    }

    /// A round failed at `now`: the next one is soon, and later each time.
    pub fn failed(&mut self, now: DateTime<Utc>) {
        let wait = RETRY.checked_mul(1_i32.checked_shl(self.failures.min(20)).unwrap_or(i32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.plan(now, wait.map_or(self.every, |wait| wait.min(self.every)));
    }

    /// How many rounds failed since the last one that did not.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// How often rounds are at least.
    #[must_use]
    pub const fn every(&self) -> TimeDelta {
        self.every
    }

    fn plan(&mut self, now: DateTime<Utc>, wait: TimeDelta) {
        self.planned = now.checked_add_signed(wait).map(|at| Planned { since: now, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn seconds(next: Next) -> Option<u64> {
        match next {
            Next::Round => None,
            Next::Wait(wait) => Some(wait.as_secs()),
        }
    }

    #[test]
    fn the_first_round_is_at_once() {
        assert_eq!(Schedule::new(TimeDelta::minutes(1)).next(at(0)), Next::Round);
    }

    #[test]
    fn the_next_round_is_when_something_falls_due_and_never_later_than_asked() {
        for (what, every, due, wait) in [
            ("nothing is known", 60, &[][..], 60),
            ("due later", 60, &[3600], 60),
            ("due sooner", 3600, &[1800, 900, 86_400], 900),
            ("due this moment, and not signed", 3600, &[0], 3600),
            ("due for long, and not signed", 3600, &[-86_400, -1], 3600),
            ("one that is not signed does not hide the next", 3600, &[-5, 50], 50),
        ] {
            let mut schedule = Schedule::new(TimeDelta::seconds(every));
            schedule.succeeded(at(0), due.iter().map(|due| at(*due)));
            assert_eq!(seconds(schedule.next(at(0))), Some(wait), "{what}");
            assert_eq!(seconds(schedule.next(at(0) + TimeDelta::seconds(5))), Some(wait - 5), "{what}");
            let then = at(0) + TimeDelta::from_std(Duration::from_secs(wait)).unwrap();
            assert_eq!(schedule.next(then), Next::Round, "{what}");
        }
    }

    #[test]
    fn a_clock_that_was_set_makes_a_round() {
        for (what, now, expected) in [
            ("back by a second", -1, None),
            ("back by a year", -31_536_000, None),
            ("forward by a year", 31_536_000, None),
            ("not at all", 0, Some(60)),
        ] {
            let mut schedule = Schedule::new(TimeDelta::minutes(1));
            schedule.succeeded(at(0), []);
            assert_eq!(seconds(schedule.next(at(now))), expected, "{what}");
        }
    }

    #[test]
    fn failures_are_tried_again_soon_and_then_less_often() {
        for (every, waits) in [
            (3600, &[5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600][..]),
            (60, &[5, 10, 20, 40, 60, 60]),
            (1, &[1, 1]),
        ] {
            let mut schedule = Schedule::new(TimeDelta::seconds(every));
            let mut now = at(0);
            for (failures, wait) in (1..).zip(waits) {
                schedule.failed(now);
                assert_eq!(seconds(schedule.next(now)), Some(*wait), "every {every} s, failure {failures}");
                assert_eq!(schedule.failures(), failures);
                now += TimeDelta::seconds(i64::try_from(*wait).unwrap());
                assert_eq!(schedule.next(now), Next::Round);
            }
            schedule.succeeded(now, []);
            assert_eq!(schedule.failures(), 0);
            schedule.failed(now);
            assert_eq!(seconds(schedule.next(now)), Some(waits[0]), "it begins anew");
        }
        let mut schedule = Schedule::new(TimeDelta::days(36_000));
        for _ in 0..100_000 {
            schedule.failed(at(0));
        }
        assert!(seconds(schedule.next(at(0))).is_some_and(|wait| wait > 86_400), "no overflow");
    }
}
