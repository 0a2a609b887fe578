//! When roles expire and fall due, so that thousands of hash bins neither fall due together nor one by one: together,
//! all of them would be signed in one publish, and fetched by every client after it; one by one, each would bring a new
//! snapshot, which every client fetches.

use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use tuf_core::RoleName;

use crate::edit::NamedBins;

/// Hash bins expire over this part of their period.
const SPREAD: i32 = 6;
/// Those that fall due within this part of their period from now are signed with those that are due.
const AHEAD: i32 = 60;
/// Into so many steps the spread is divided.
const STEPS: i64 = 1000;

/// When a role expires that is signed at `now`: of hash bins, each at a time of its own up to a sixth of the period earlier.
pub(crate) fn expires(now: DateTime<Utc>, period: TimeDelta, role: &RoleName) -> DateTime<Utc> {
    now + period - TimeDelta::seconds((period / SPREAD).num_seconds() * share(role) / STEPS)
}

/// How many thousandths of a sixth of its period a role expires early.
pub(crate) fn share(role: &RoleName) -> i64 {
    if NamedBins::split(role).is_none() {
        return 0;
    }
    // Bins have much the same names: only a good hash spreads them.
    let hash = digest(&SHA256, role.as_str().as_bytes());
    hash.as_ref().iter().take(4).fold(0_i64, |share, byte| share << 8 | i64::from(*byte)) % STEPS
}

/// Whether a role that expires in `left` is to be signed again for its age. One that is valid for longer than its period was
/// signed before that was shortened.
pub(super) fn is_due(left: TimeDelta, expires: TimeDelta, renew_after: TimeDelta) -> bool {
    left <= expires - renew_after || left > expires
}

/// How long before it falls due a role may be signed, if others are due.
pub(super) fn ahead(role: &RoleName, expires: TimeDelta) -> TimeDelta {
    NamedBins::split(role).map_or(TimeDelta::zero(), |_| expires / AHEAD)
}

/// When a role is signed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ripeness {
    /// Not yet.
    Unripe,
    /// If others are.
    Nearly,
    /// Yes.
    Ripe,
}

impl Ripeness {
    /// Of a role that expires in `left`; `ahead` is how long before it falls due it may be signed.
    pub(super) fn of(left: TimeDelta, ahead: TimeDelta, expires: TimeDelta, renew_after: TimeDelta) -> Self {
        match is_due(left, expires, renew_after) {
            true => Self::Ripe,
            false if is_due(left - ahead, expires, renew_after) => Self::Nearly,
            false => Self::Unripe,
        }
    }
}

/// The roles to sign again: those that are due and, if there are any, those that nearly are.
pub(super) fn pick<T>(roles: impl IntoIterator<Item = (T, Ripeness)>) -> Vec<T> {
    let mut candidates: Vec<_> =
        roles.into_iter().filter(|(_, ripeness)| *ripeness != Ripeness::Unripe).collect();
    if !candidates.iter().any(|(_, ripeness)| *ripeness == Ripeness::Ripe) {
        candidates.clear();
    }
    candidates.into_iter().map(|(role, _)| role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use tuf_core::bins::HashBins;

    /// What happened to hash bins in simulated time.
    #[derive(Debug, Default)]
    struct Course {
        publishes: u32,
        largest: usize,
        least_left: Option<TimeDelta>,
    }

    /// Hash bins that are signed together, and renewed by the hour from then on.
    fn course(count: u32, period: TimeDelta, hours: i64) -> Course {
        let names: Vec<_> = HashBins::new(count).unwrap().roles().map(|(name, _)| name).collect();
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let mut bins: Vec<_> = names.iter().map(|name| (name, expires(start, period, name))).collect();
        let mut course = Course::default();
        for hour in 1..=hours {
            let now = start + TimeDelta::hours(hour);
            let least = bins.iter().map(|(_, expires)| *expires - now).min();
            course.least_left = course.least_left.min(least).or(least);
            if !least.is_some_and(|left| is_due(left, period, period / 2)) {
                continue;
            }
            let ripe = |(at, (name, expires)): (usize, &(&RoleName, DateTime<Utc>))| {
                (at, Ripeness::of(*expires - now, ahead(name, period), period, period / 2))
            };
            let picked = pick(bins.iter().enumerate().map(ripe));
            course.publishes += u32::from(!picked.is_empty());
            course.largest = course.largest.max(picked.len());
            for at in picked {
                let (name, _) = bins[at];
                bins[at] = (name, expires(now, period, name));
            }
        }
        course
    }

    #[test]
    fn bins_neither_fall_due_together_nor_one_by_one() {
        // As many as PEP 458 has, for three months; fewer for longer.
        for (count, days, hours) in [(16_384, 30, 24 * 90), (256, 30, 24 * 730), (64, 7, 24 * 365)] {
            let period = TimeDelta::days(days);
            let course = course(count, period, hours);
            let share = f64::from(u32::try_from(course.largest).unwrap()) / f64::from(count);
            println!("{count} bins of {days} days: {course:?}, at most {share:.3} of all in one publish");
            // Which meet by chance is another matter with few of them.
            assert!(share < 0.4, "{count}: {course:?}");
            // A publish for bins at most for each part of the period that is looked ahead.
            let most = hours * i64::from(AHEAD) / (24 * days);
            assert!(i64::from(course.publishes) <= most, "{count}: {course:?}, expected at most {most}");
            assert!(course.least_left.is_some_and(|left| left > period / 4), "{count}: {course:?}");
        }
    }

    #[test]
    fn what_is_nearly_due_waits_for_what_is() {
        use Ripeness::{Nearly, Ripe, Unripe};
        let (day, bin, other) =
            (TimeDelta::days(1), RoleName::new("bin-4-0").unwrap(), RoleName::new("docs").unwrap());
        for (hours, of_bin, of_other) in [
            (16 * 24, Unripe, Unripe),
            (15 * 24 + 13, Unripe, Unripe),
            (15 * 24 + 12, Nearly, Unripe),
            (15 * 24, Ripe, Ripe),
            (-1, Ripe, Ripe),
            (30 * 24 + 1, Ripe, Ripe),
        ] {
            let left = TimeDelta::hours(hours);
            assert_eq!(
                Ripeness::of(left, ahead(&bin, day * 30), day * 30, day * 15),
                of_bin,
                "{hours} hours"
            );
            assert_eq!(
                Ripeness::of(left, ahead(&other, day * 30), day * 30, day * 15),
                of_other,
                "{hours} hours"
            );
        }
        for (roles, expected) in [
            (vec![], vec![]),
            (vec![(1, Nearly), (2, Unripe)], vec![]),
            (vec![(1, Nearly), (2, Unripe), (3, Ripe)], vec![1, 3]),
        ] {
            assert_eq!(pick(roles), expected);
        }
    }
}
