//! A clock that is behind what was signed before: what it signs would be due, or over, at the wrong time.
//!
//! Metadata does not say when it was signed, only when it expires. Of what this machine published last, its log says it, whatever
//! became of the settings since. Of what another machine published, two roles say it together: expiry less period is the same time
//! for both only if they were signed at once and with these periods. If an operator changed a period, or only the timestamp was
//! renewed, the two differ and say nothing: then the clock is only held against this machine's own last publish.

use chrono::{DateTime, TimeDelta, Utc};

use super::Options;
use crate::config::RoleKind;
use crate::error::Error;
use crate::log;
use crate::repository::{Published, Repository};

/// Clocks of machines that are kept in step by NTP differ by far less.
pub(crate) const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

const OWN: &str = "by this machine, as its log says";

/// When something was signed, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    at: DateTime<Utc>,
    by: &'static str,
}

/// Refuses to sign what would be older than what is published; says so if all that is published has expired.
///
/// # Errors
/// [`Error::Clock`].
pub(super) fn check(
    repository: &Repository,
    published: Option<&Published>,
    options: &Options,
) -> Result<(), Error> {
    let now = repository.now();
    not_before(now, known(repository, published, own(repository).as_ref())?, options)?;
    if let Some(end) = published.map(end)
        && end < now
    {
        tracing::warn!(
            "all that is published has expired, the last of it at {end}, and it is {now}: if that cannot be, set the clock"
        );
    }
    Ok(())
}

/// As [`check`], before a recovery. What is published may say any time: of a machine that has published, its log says it, of another
/// one `good`, when by its settings the snapshot was signed that is gone back to.
///
/// # Errors
/// [`Error::Clock`].
pub(crate) fn check_recovery(
    repository: &Repository,
    good: DateTime<Utc>,
    options: &Options,
) -> Result<(), Error> {
    let own = own(repository).map(|(_, at)| Known { at, by: OWN });
    let good = Known { at: good, by: "as the expiry of the good snapshot says" };
    not_before(repository.now(), own.or(Some(good)), options)
}

fn not_before(now: DateTime<Utc>, known: Option<Known>, options: &Options) -> Result<(), Error> {
    let Some(Known { at, by }) = known.filter(|known| now < known.at - TOLERANCE) else { return Ok(()) };
    if !options.clock_is_right {
        return Err(Error::Clock { now, signed: at, by });
    }
    tracing::warn!("signing at {now}, although something was signed at {at} ({by})");
    Ok(())
}

/// When something was signed of which that is certain, and how far this machine's clock is behind that.
pub(crate) fn behind(repository: &Repository, published: &Published) -> Option<(DateTime<Utc>, TimeDelta)> {
    let known = known(repository, Some(published), own(repository).as_ref()).ok()??;
    Some((known.at, known.at - repository.now()))
}

/// The sha256 of the timestamp that this machine published last, and when.
fn own(repository: &Repository) -> Option<(String, DateTime<Utc>)> {
    let line = log::last_publish(repository)?;
    Some((line.after?.sha256, line.at))
}

/// The latest time of which it is certain that something was signed then.
fn known(
    repository: &Repository,
    published: Option<&Published>,
    own: Option<&(String, DateTime<Utc>)>,
) -> Result<Option<Known>, Error> {
    let own_time = own.map(|(_, at)| Known { at: *at, by: OWN });
    let Some(published) = published else { return Ok(own_time) };
    let set = published.set();
    if own.is_some_and(|(sha256, _)| *sha256 == log::sha256(set.timestamp().bytes())) {
        return Ok(own_time);
    }
    let period = |kind| repository.config.role(kind).map(|role| role.expires.delta());
    let timestamp = set.timestamp().header.expires - period(RoleKind::Timestamp)?;
    let snapshot = set.snapshot().header.expires - period(RoleKind::Snapshot)?;
    let by = "as the expiries of timestamp and snapshot say";
    let together = (timestamp == snapshot).then_some(Known { at: timestamp, by });
    Ok([own_time, together].into_iter().flatten().max_by_key(|known| known.at))
}

/// When the last of the top-level roles expires.
fn end(published: &Published) -> DateTime<Utc> {
    let set = published.set();
    let targets = set.root().header.expires.max(set.targets().header.expires);
    targets.max(set.snapshot().header.expires).max(set.timestamp().header.expires)
}
