//! Which snapshots are kept.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::Options;

/// How many snapshots above one are asked when it was replaced. The one right above may be of a publisher that died, which
/// replaced nothing.
const ASKED: usize = 3;

/// Of the snapshots that are there, by version, with the time at which each was written: those above the published one, which
/// somebody may be about to publish; the last of the others; and those that were replaced lately.
pub(super) fn kept(
    found: &[(u64, DateTime<Utc>)],
    published: u64,
    options: &Options,
    now: DateTime<Utc>,
) -> BTreeSet<u64> {
    let (older, newer): (Vec<_>, Vec<_>) =
        found.iter().copied().partition(|(version, _)| *version <= published);
    let last = older.len().saturating_sub(options.keep_last.max(1));
    let keep = options.keep.max(options.grace);
    let replaced = |index: usize| older.iter().skip(index + 1).take(ASKED).map(|(_, written)| *written).max();
    let is_kept =
        |index: usize| index >= last || replaced(index).is_none_or(|replaced| now - replaced <= keep);
    let older =
        older.iter().enumerate().filter(|(index, _)| is_kept(*index)).map(|(_, (version, _))| *version);
    older.chain(newer.iter().map(|(version, _)| *version)).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_last_those_replaced_lately_and_those_to_come_are_kept() {
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1000);
        // Written so many hours ago.
        let found = |hours: &[(u64, i64)]| -> Vec<_> {
            hours.iter().map(|(version, hours)| (*version, now - TimeDelta::hours(*hours))).collect()
        };
        let daily: Vec<_> =
            (1..=10).map(|version| (version, 24 * (11 - i64::try_from(version).unwrap()))).collect();
        for (snapshots, published, keep_last, hours, expected) in [
            (daily.clone(), 10, 1, 1, vec![10]),
            (daily.clone(), 10, 4, 1, vec![7, 8, 9, 10]),
            // 7 was replaced 72 hours ago, when 8 was written. 6 and 5 too, if a dead publisher left those between.
            (daily.clone(), 10, 1, 72, vec![5, 6, 7, 8, 9, 10]),
            (daily.clone(), 8, 1, 1, vec![8, 9, 10]),
            // Published a month ago and replaced now: clients are on their way with it.
            (vec![(1, 720), (2, 0)], 2, 1, 1, vec![1, 2]),
            // 2 was left by a publisher that died.
            (vec![(1, 720), (2, 700), (3, 0)], 3, 1, 1, vec![1, 2, 3]),
            (vec![(5, 100)], 5, 1, 1, vec![5]),
            (vec![], 5, 1, 1, vec![]),
        ] {
            let options = Options {
                keep_last,
                keep: TimeDelta::hours(hours),
                grace: TimeDelta::hours(1),
                ..Options::default()
            };
            let kept = kept(&found(&snapshots), published, &options, now);
            assert_eq!(
                kept.into_iter().collect::<Vec<_>>(),
                expected,
                "{snapshots:?} {published} {keep_last} {hours}"
            );
        }
    }
}
