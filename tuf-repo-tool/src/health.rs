//! What breaks when: for `tuf-repo status`, `/healthz` and `/metrics` alike.
//!
//! Clients refuse a role from the second on at which it expires. `renew` signs it again before; when half of the time that
//! it has for that is over, it is late: nobody runs it, it fails, or the keys are elsewhere and their holders have not signed.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::error::Error;
use crate::event;
use crate::repository::Repository;
use crate::status::{RoleStatus, Status};

/// Where a role is on its way to its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Freshness {
    /// Nothing is to be done.
    Fresh,
    /// The next `renew` signs it again.
    Due,
    /// It is due for so long that somebody has to look.
    Late,
    /// Clients refuse it.
    Expired,
}

impl Freshness {
    /// At `now`, of a role that expires, and that `renew` signs again from `renews` on, if this machine does.
    #[must_use]
    pub fn at(now: DateTime<Utc>, expires: DateTime<Utc>, renews: Option<DateTime<Utc>>) -> Self {
        match renews {
            _ if now >= expires => Self::Expired,
            Some(renews) if now >= renews && now - renews >= (expires - renews) / 2 => Self::Late,
            Some(renews) if now >= renews => Self::Due,
            _ => Self::Fresh,
        }
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Due => "due",
            Self::Late => "LATE",
            Self::Expired => "EXPIRED",
        })
    }
}

/// When a role is signed again: after its signing period, or at once if it is valid for longer than its settings say.
pub(crate) fn renews(
    expires: DateTime<Utc>,
    period: TimeDelta,
    renew_after: TimeDelta,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    if expires - now > period { now } else { expires - (period - renew_after) }
}

/// An event that waits for signatures.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PendingEvent {
    /// Its ID.
    pub id: String,
    /// When it was opened.
    pub opened: DateTime<Utc>,
    /// How long ago that was, in seconds.
    pub age_seconds: i64,
    /// Why, in the words of who opened it.
    pub reason: String,
    /// The roles that it changes.
    pub roles: Vec<String>,
    /// Who has not signed, a line for each threshold that is not met.
    pub missing: Vec<String>,
    /// Why it can no longer be finished.
    pub outdated: Option<String>,
    /// What to do next.
    pub next: String,
}

/// The events of a repository that wait for signatures, the oldest first.
///
/// # Errors
/// As [`event::status()`].
pub fn pending(repository: &Repository) -> Result<Vec<PendingEvent>, Error> {
    let now = repository.now();
    let mut events: Vec<_> = event::status(repository, None)?
        .into_iter()
        .map(|event| PendingEvent {
            age_seconds: (now - event.review.opened).num_seconds(),
            missing: event.review.missing(),
            roles: event.review.drafts.into_iter().map(|draft| draft.role).collect(),
            id: event.review.id,
            opened: event.review.opened,
            reason: event.review.reason,
            outdated: event.outdated,
            next: event.next,
        })
        .collect();
    events.sort_by_key(|event| event.opened);
    Ok(events)
}

/// Something that is broken for clients, or will be soon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The role.
    pub role: String,
    /// Where it is on its way to its expiry.
    pub state: Freshness,
    /// When clients begin to refuse it.
    pub expires: DateTime<Utc>,
    /// All of it, and what to do, in a line.
    pub message: String,
}

/// What is expired or late at `now`, or expires within a time from then; what breaks first comes first.
#[must_use]
pub fn problems(status: &Status, now: DateTime<Utc>, within: Option<TimeDelta>) -> Vec<Problem> {
    let problem = |role: &RoleStatus| {
        let expires = role.expires?;
        let state = Freshness::at(now, expires, role.renews);
        let soon = within.is_some_and(|within| expires - now <= within);
        (state >= Freshness::Late || soon).then(|| {
            let message = message(role, state, &status.events)
                .unwrap_or_else(|| format!("{} expires at {expires}", role.role));
            Problem { role: role.role.clone(), state, expires, message }
        })
    };
    status.roles.iter().filter_map(problem).collect()
}

/// What is to be done about roles and events, most urgent first.
pub(crate) fn todo(roles: &[RoleStatus], events: &[PendingEvent]) -> Vec<String> {
    let of_role = |role: &RoleStatus| Some((role.state?, message(role, role.state?, events)?));
    let mut lines: Vec<_> = roles.iter().filter_map(of_role).collect();
    // Roles come in the order of their expiry, which stays within each state.
    lines.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    lines.into_iter().map(|(_, line)| line).chain(events.iter().map(PendingEvent::line)).collect()
}

impl PendingEvent {
    /// The event, and who is missing.
    fn line(&self) -> String {
        let (id, age) = (&self.id, span(TimeDelta::seconds(self.age_seconds)));
        let what = match (&self.outdated, self.missing.as_slice()) {
            (Some(reason), _) => reason.clone(),
            (None, []) => "complete".to_owned(),
            (None, missing) => missing.join("; "),
        };
        format!("event {id}, opened {age} ago: {what}: {}", self.next)
    }
}

fn message(role: &RoleStatus, state: Freshness, events: &[PendingEvent]) -> Option<String> {
    let (name, expires) = (&role.role, role.expires?);
    // An expired top-level role stops every client; another one only hides what it lists.
    let refused = match name.as_str() {
        "root" | "timestamp" | "snapshot" | "targets" => "this repository",
        _ => "its targets",
    };
    let doing = match events.iter().find(|event| event.roles.contains(name)) {
        _ if role.renews.is_none() => "another machine signs it".to_owned(),
        _ if role.here => "run `tuf-repo renew`".to_owned(),
        Some(event) => format!("event {} waits for signatures", event.id),
        // No event signs what is signed every day.
        None if !role.here && matches!(name.as_str(), "timestamp" | "snapshot" | "bin-n") => {
            "its keys are not here, and nothing is renewed without them: `tuf-repo doctor` says which"
                .to_owned()
        }
        None => format!("its keys are elsewhere: run `tuf-repo event open {name}`"),
    };
    Some(match state {
        Freshness::Fresh => return None,
        Freshness::Due => format!("{name} expires at {expires}: {doing}"),
        Freshness::Late => {
            let due = role.renews.map(|renews| format!(", due since {renews}")).unwrap_or_default();
            format!("{name} expires at {expires}, and renewing is late{due}: {doing}")
        }
        Freshness::Expired => format!("{name} expired at {expires}: clients refuse {refused}; {doing}"),
    })
}

/// A span of time in its largest whole unit: `12 days`.
#[must_use]
pub fn span(time: TimeDelta) -> String {
    let (count, unit) = match (time.num_days(), time.num_hours(), time.num_minutes()) {
        (0, 0, 0) => (time.num_seconds(), "second"),
        (0, 0, minutes) => (minutes, "minute"),
        (0, hours, _) => (hours, "hour"),
        (days, ..) => (days, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
