//! How long a role is signed for, read from what was signed.
//!
//! Metadata says when it expires, not when it was signed. Its file was written right after that: from there to the expiry it
//! is the period less some seconds, and a round span that is that little longer is taken for it. A file that was copied later
//! tells only that the period is not shorter; then it is taken to be what this program uses unless told otherwise, or whole
//! days if that is shorter.

use chrono::TimeDelta;
use tuf_core::RoleName;

use crate::config::Period;
use crate::publish::spread_share;

/// Round spans, and how much shorter than one of them counts as it, in seconds.
const ROUND: [(i64, i64); 3] = [(86_400, 600), (3_600, 60), (60, 3)];

/// A longer span is a number of minutes by chance only, in seconds.
const LONGEST_IN_MINUTES: i64 = 2 * 86_400;

/// What is valid for longer was not signed to be renewed; in seconds.
const LONGEST: i64 = 36_000 * 86_400;

/// A period, and whether it was seen or only fits what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) period: Period,
    pub(super) is_seen: bool,
}

/// The span for which a role would have to be signed so that this much is left, given that bins expire a little
/// earlier than their period, each by its share of a sixth.
pub(super) fn unspread(left: TimeDelta, role: &RoleName) -> TimeDelta {
    let share = spread_share(role);
    TimeDelta::seconds(left.num_seconds().saturating_mul(6_000) / (6_000 - share))
}

/// The period of a role whose longest span between writing and expiry is `span`.
pub(super) fn guess(span: TimeDelta, usual: Period) -> Guess {
    let seconds = span.num_seconds().clamp(0, LONGEST);
    let up = |unit: i64| (seconds + unit - 1) / unit * unit;
    let period = |seconds| Period(TimeDelta::seconds(seconds));
    for (unit, slack) in ROUND {
        let is_usual = unit > 60 || seconds < LONGEST_IN_MINUTES;
        if is_usual && seconds > 0 && up(unit) - seconds <= slack {
            return Guess { period: period(up(unit)), is_seen: true };
        }
    }
    let assumed = if span <= usual.delta() { usual } else { period(up(86_400)) };
    Guess { period: assumed, is_seen: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_round_span_that_is_a_little_longer_than_what_was_left_when_it_was_written() {
        for (span, usual, expected, is_seen) in [
            // Written seconds, or for thousands of bins minutes, after it was signed.
            (86_398, "1d", "1d", true),
            (365 * 86_400 - 300, "365d", "365d", true),
            (12 * 86_400 - 1, "30d", "12d", true),
            (129_590, "1d", "36h", true),
            (1_799, "1d", "30m", true),
            (90 * 86_400, "7d", "90d", true),
            // Copied later.
            (80_000, "1d", "1d", false),
            (20 * 86_400 + 5_000, "30d", "30d", false),
            (40 * 86_400 + 5_000, "30d", "41d", false),
            (57_955 * 60 - 1, "7d", "41d", false),
            // Expired before it was copied.
            (0, "7d", "7d", false),
            (-86_400, "7d", "7d", false),
            // Never meant to be renewed.
            (i64::MAX / 1_000, "7d", "36000d", true),
        ] {
            let found = guess(TimeDelta::seconds(span), usual.parse().unwrap());
            assert_eq!((found.period.to_string().as_str(), found.is_seen), (expected, is_seen), "{span}");
        }
    }

    #[test]
    fn the_spread_of_bins_is_undone() {
        let period = TimeDelta::days(30);
        for bin in ["bin-16-3", "bin-16384-0a3f", "x-bin-2-8", "targets"] {
            let role = RoleName::new(bin).unwrap();
            let spread = TimeDelta::seconds(period.num_seconds() / 6 * spread_share(&role) / 1_000);
            let found = unspread(period - spread, &role);
            assert!((period - found).num_seconds().abs() <= 2, "{bin}: {found}");
        }
    }
}
