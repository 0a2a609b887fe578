//! What a daemon says of itself.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::Round;
use crate::health::{Freshness, PendingEvent, Problem, problems};
use crate::publish::Outcome;
use crate::repository::Repository;
use crate::status::Status;

/// For how long rounds may fail before somebody has to look, unless rounds are rare: three times as long as between two.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// How long caches may serve what was there before.
const SERVED_WITHIN: TimeDelta = TimeDelta::minutes(5);

/// What a daemon has done, and what it saw last.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    repository: Repository,
    every: TimeDelta,
    started: DateTime<Utc>,
    /// What is published and pending, as the last round that could read it saw it.
    pub status: Option<Status>,
    /// Who works on the repository, if this daemon stands by.
    pub standby: Option<String>,
    /// How many rounds there were.
    pub rounds: u64,
    /// How many of them failed, those included that were busy.
    pub failures: u64,
    /// How many failed because another command or publisher was at work.
    pub busy: u64,
    /// How many published something.
    pub renewals: u64,
    /// When a round ended well.
    pub last_success: Option<DateTime<Utc>>,
    /// When a round ended well, or only because another command was at work: a long one is no alarm before a role is late.
    last_alive: Option<DateTime<Utc>>,
    /// What went wrong in the last round.
    pub errors: Vec<String>,
    /// Roles that are due and were not signed in the last round, and why.
    pub postponed: Vec<String>,
    /// Since when something is published that `public_url` does not serve.
    pub unserved_since: Option<DateTime<Utc>>,
}

/// Whether all is well, for a monitor.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether it is.
    pub healthy: bool,
    /// Whether another daemon works on the repository.
    pub standby: bool,
    /// Why it is not healthy.
    pub reasons: Vec<String>,
    /// What somebody should know, and that breaks nothing yet.
    pub notes: Vec<String>,
    /// When a round ended well.
    pub last_success: Option<DateTime<Utc>>,
    /// What is expired or late.
    pub problems: Vec<Problem>,
    /// Every role: when clients begin to refuse it, and when it is signed again.
    pub roles: Vec<RoleTimes>,
    /// Events that wait for signatures.
    pub events: Vec<PendingEvent>,
}

/// The times of a role.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RoleTimes {
    /// The role; hash bins together.
    pub role: String,
    /// The highest version published.
    pub version: u64,
    /// When clients begin to refuse the first of them.
    pub expires: DateTime<Utc>,
    /// When the first of them is signed again, if this machine does.
    pub renews: Option<DateTime<Utc>>,
    /// Where it is on its way from one to the other.
    pub state: Freshness,
}

impl Report {
    pub(super) fn new(repository: Repository, every: TimeDelta) -> Self {
        let started = repository.now();
        Self {
            repository,
            every,
            started,
            status: None,
            standby: None,
            rounds: 0,
            failures: 0,
            busy: 0,
            renewals: 0,
            last_success: None,
            last_alive: None,
            errors: Vec::new(),
            postponed: Vec::new(),
            unserved_since: None,
        }
    }

    pub(super) fn note(
        &mut self,
        round: &Round,
        status: Option<Status>,
        repository: &Repository,
        unserved: bool,
    ) {
        let now = repository.now();
        self.repository = repository.clone();
        self.rounds += 1;
        self.standby.clone_from(&round.standby);
        if status.is_some() {
            self.status = status;
        }
        self.errors = round.errors.iter().map(|error| tuf_client::chain(error)).collect();
        match (round.errors.is_empty(), round.is_busy()) {
            (true, _) => self.last_success = Some(now),
            (false, busy) => {
                self.failures += 1;
                self.busy += u64::from(busy);
            }
        }
        if round.errors.is_empty() || round.is_busy() {
            self.last_alive = Some(now);
        }
        if let Some(renewed) = &round.renewed {
            let published = renewed.root.is_some() || matches!(renewed.outcome, Outcome::Published(_));
            self.renewals += u64::from(published);
            self.postponed = renewed.postponed.iter().map(|error| tuf_client::chain(error)).collect();
        }
        self.unserved_since = unserved.then(|| self.unserved_since.unwrap_or(now));
    }

    /// The present of the repository's clock.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.repository.now()
    }

    /// How it is now.
    #[must_use]
    pub fn health(&self) -> Health {
        let now = self.now();
        let problems = self.status.as_ref().map(|status| problems(status, now, None)).unwrap_or_default();
        let mut reasons: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
        let patience = PATIENCE.max(self.every * 3);
        match self.last_alive {
            None if self.errors.is_empty() && now - self.started < patience => {
                reasons.push("no round has ended yet".to_owned());
            }
            None => reasons.push(format!("no round has ended well since the start at {}", self.started)),
            Some(last) if now - last >= patience => {
                reasons.push(format!("no round has ended well since {last}"));
            }
            Some(_) => {}
        }
        if let Some(since) = self.unserved_since.filter(|since| now - *since >= SERVED_WITHIN) {
            reasons.push(format!("public_url does not serve what was published at {since}"));
        }
        let status = self.status.as_ref();
        if status.is_some_and(|status| status.roles.iter().all(|role| role.expires.is_none())) {
            reasons.push("nothing is published".to_owned());
        }
        let roles = status.into_iter().flat_map(|status| &status.roles).filter_map(|role| {
            let (role, version, expires, renews) =
                (role.role.clone(), role.version, role.expires?, role.renews);
            Some(RoleTimes { role, version, expires, renews, state: Freshness::at(now, expires, renews) })
        });
        Health {
            healthy: reasons.is_empty(),
            standby: self.standby.is_some(),
            notes: self.notes(),
            last_success: self.last_success,
            roles: roles.collect(),
            events: self.events(now),
            reasons,
            problems,
        }
    }

    fn notes(&self) -> Vec<String> {
        let standby = self.standby.iter().map(|holder| format!("standing by: {holder} renews"));
        let errors = self.errors.iter().map(|error| format!("the last round: {error}"));
        let postponed = self.postponed.iter().map(|error| format!("due and not signed: {error}"));
        standby.chain(errors).chain(postponed).collect()
    }

    /// The events that are pending, with their age now.
    pub(super) fn events(&self, now: DateTime<Utc>) -> Vec<PendingEvent> {
        let events = self.status.iter().flat_map(|status| status.events.iter().cloned());
        events
            .map(|event| PendingEvent { age_seconds: (now - event.opened).num_seconds(), ..event })
            .collect()
    }
}
