//! `tuf-repo renew --watch`: renews what is due, for as long as it runs, and says how it is.
//!
//! [`Schedule`] decides when a round is, told the time; [`Daemon`] carries rounds out; [`run`] is what joins them to the
//! clock. A round does what `tuf-repo renew` does: whatever fails in one is told, counted and tried again, and ends
//! nothing. What a person must know is in [`Report`], which `/healthz` and `/metrics` show ([`serve`]).

mod http;
mod metrics;
mod report;
mod schedule;
mod turn;
mod unlock;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::block_in_place;

use crate::config::Config;
use crate::error::Error;
use crate::health::problems;
use crate::keys::Passphrases;
use crate::publish::{Changes, Options, Outcome, Renewed, Summary, read_back, renew};
use crate::repository::Repository;
use crate::state::StateError;
use crate::status::{Status, status};

pub use http::serve;
pub use report::{Health, Report, RoleTimes};
pub use schedule::{Next, Schedule};
pub use unlock::unlock;

use turn::Turn;

/// How often the clock is looked at while nothing is to be done: it may be set, and a machine may be suspended.
const LOOK: Duration = Duration::from_secs(5);

/// How often whoever stands by looks whether it is still to.
const STAND_BY: TimeDelta = TimeDelta::seconds(5);

/// Renews a repository again and again.
#[derive(Debug)]
pub struct Daemon {
    repository: Repository,
    passphrases: Passphrases,
    options: Options,
    schedule: Schedule,
    turn: Turn,
    /// What was published and not yet seen at `public_url`.
    unserved: Option<Summary>,
    report: SharedReport,
}

/// The report of a daemon that goes on meanwhile.
#[derive(Clone, Debug)]
pub struct SharedReport(Arc<Mutex<Report>>);

impl SharedReport {
    fn lock(&self) -> MutexGuard<'_, Report> {
        // Every change of it is whole: one that panicked left it as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report as it is now.
    #[must_use]
    pub fn get(&self) -> Report {
        self.lock().clone()
    }
}

/// How a round ended.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Round {
    /// What was renewed; `None` if nothing was tried, or if it failed.
    pub renewed: Option<Renewed>,
    /// Who works on the repository, if this daemon stands by.
    pub standby: Option<String>,
    /// What went wrong. All else was done.
    pub errors: Vec<Error>,
}

impl Round {
    /// Whether another command or another publisher was at work, and nothing else was wrong.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.errors.is_empty() && self.errors.iter().all(is_busy)
    }
}

/// Whether it only says that somebody else is at work.
const fn is_busy(error: &Error) -> bool {
    matches!(
        error,
        Error::Busy { .. }
            | Error::Conflict { .. }
            | Error::LeaseHeld { .. }
            | Error::State(StateError::Held { .. })
    )
}

impl Daemon {
    /// A daemon that looks at least so often. It has done nothing yet.
    #[must_use]
    pub fn new(repository: Repository, passphrases: Passphrases, options: Options, every: TimeDelta) -> Self {
        let report = Report::new(repository.clone(), every);
        Self {
            repository,
            passphrases,
            options,
            schedule: Schedule::new(every),
            turn: Turn::default(),
            unserved: None,
            report: SharedReport(Arc::new(Mutex::new(report))),
        }
    }

    /// What it says of itself, now and later.
    #[must_use]
    pub fn report(&self) -> SharedReport {
        self.report.clone()
    }

    /// What it does now.
    #[must_use]
    pub fn next(&self) -> Next {
        self.schedule.next(self.repository.now())
    }

    /// One round: settings are read again, what is due is signed, and the report is brought up to date. It does not fail.
    pub async fn round(&mut self) -> Round {
        let mut round = Round::default();
        match self.reload() {
            Ok(()) => self.work(&mut round).await,
            // Whoever edits the settings makes a mistake now and then. Those of before are good for what is due.
            Err(error @ Error::Config { .. }) => {
                round.errors.push(error);
                self.work(&mut round).await;
            }
            Err(error) => round.errors.push(error),
        }
        let status = match block_in_place(|| self.look()) {
            Ok(status) => Some(status),
            Err(error) => {
                let text = tuf_client::chain(&error);
                if round.errors.iter().all(|known| tuf_client::chain(known) != text) {
                    round.errors.push(error);
                }
                None
            }
        };
        self.plan(&round, status.as_ref());
        let unserved = self.unserved.is_some();
        self.report.lock().note(&round, status, &self.repository, unserved);
        round
    }

    /// What is published and what is pending, whoever has done it.
    fn look(&self) -> Result<Status, Error> {
        // Where nothing is at all, the storage is away.
        self.repository.first_root()?;
        status(&self.repository, &Changes::default())
    }

    /// Takes new settings, if there are any; the old ones stay if they cannot be read.
    fn reload(&mut self) -> Result<(), Error> {
        let config = Config::load(self.repository.directory())?;
        match config == self.repository.config {
            // An open connection to the storage is worth keeping.
            true => Ok(()),
            false => block_in_place(|| self.repository.reload()),
        }
    }

    async fn work(&mut self, round: &mut Round) {
        match self.turn.look(&self.repository).await {
            // Whoever has the turn may hang, or fail for reasons of its own.
            Ok(Some(holder)) if !self.is_late() => {
                round.standby = Some(holder);
                return;
            }
            Ok(_) => {}
            Err(error) => round.errors.push(error),
        }
        match renew(&self.repository, &mut self.passphrases, &self.options).await {
            Ok(renewed) => {
                if let Outcome::Published(summary) = &renewed.outcome {
                    self.unserved = Some(summary.clone());
                }
                round.renewed = Some(renewed);
            }
            Err(error) => round.errors.push(error),
        }
        self.look_at_public_url().await;
    }

    /// Whether something published is late by what the last round saw.
    fn is_late(&self) -> bool {
        let (report, now) = (self.report.lock(), self.repository.now());
        report.status.as_ref().is_some_and(|status| {
            problems(status, now, None).iter().any(|problem| {
                status
                    .roles
                    .iter()
                    .any(|role| role.role == problem.role && role.here && role.renews.is_some())
            })
        })
    }

    /// Whether clients get what was published; asked in each round until they do, and not waited for.
    async fn look_at_public_url(&mut self) {
        let (Some(summary), Some(url)) = (&self.unserved, &self.repository.config.public_url) else {
            self.unserved = None;
            return;
        };
        let mut options = self.options.clone();
        options.served_within = Duration::ZERO;
        match read_back(&self.repository, url.as_str(), summary, &Changes::default(), &options).await {
            Ok(()) => self.unserved = None,
            Err(error) => tracing::debug!("not served yet: {}", tuf_client::chain(&error)),
        }
    }

    fn plan(&mut self, round: &Round, status: Option<&Status>) {
        let now = self.repository.now();
        if !round.errors.is_empty() {
            return self.schedule.failed(now);
        }
        let roles = status.into_iter().flat_map(|status| &status.roles);
        let due = roles.filter_map(|role| role.renews);
        let standby = round.standby.as_ref().map(|_| now + STAND_BY);
        self.schedule.succeeded(now, due.chain(standby));
    }

    /// Gives the turn to a daemon that stands by.
    pub async fn end(self) {
        self.turn.end().await;
    }
}

/// Rounds until `stop` is ready; one that is under way then is finished. `told` hears of each.
pub async fn run(mut daemon: Daemon, stop: impl Future<Output = ()>, mut told: impl FnMut(&Round)) {
    let mut stop = std::pin::pin!(stop);
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = tokio::time::sleep(wait) => {}
        }
        wait = match daemon.next() {
            Next::Round => {
                told(&daemon.round().await);
                Duration::ZERO
            }
            Next::Wait(wait) => wait.min(LOOK),
        };
    }
    daemon.end().await;
}
