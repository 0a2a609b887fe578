//! `tuf-repo renew --watch`: a month of it in simulated time, its bad days, and the real program with its monitors.

mod bad_days;
pub(crate) mod daemon;
mod docs;
mod monitors;
mod month;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::runtime::Runtime;
use tuf_repo_tool::Repository;
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::{Options, Outcome};
use tuf_repo_tool::watch::{Daemon, Next, Round};

/// A clock that only tests move.
#[derive(Clone, Debug)]
struct Simulated(Arc<AtomicI64>);

impl Simulated {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(tuf_client::clock::now().timestamp())))
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::SeqCst), 0).unwrap()
    }

    fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_seconds(), Ordering::SeqCst);
    }

    /// A function that tells this time.
    fn clock(&self) -> impl Fn() -> DateTime<Utc> + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }

    /// A repository that lives in this time.
    fn repository(&self, directory: &Path) -> Repository {
        Repository::open(directory).unwrap().with_clock(self.clock())
    }
}

/// A daemon in simulated time.
struct Simulation {
    clock: Simulated,
    runtime: Runtime,
    daemon: Daemon,
}

impl Simulation {
    fn new(directory: &Path, every: TimeDelta) -> Self {
        let clock = Simulated::new();
        let repository = clock.repository(directory);
        let daemon = Daemon::new(repository, Passphrases::from_environment(), Options::default(), every);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { clock, runtime, daemon }
    }

    fn round(&mut self) -> Round {
        self.runtime.block_on(self.daemon.round())
    }

    /// Lets so much time pass, with the rounds that fall into it.
    fn pass(&mut self, time: TimeDelta) -> Vec<Round> {
        let end = self.clock.now() + time;
        let mut rounds = Vec::new();
        loop {
            match self.daemon.next() {
                Next::Round => rounds.push(self.round()),
                Next::Wait(wait) => {
                    let left = end - self.clock.now();
                    let wait = TimeDelta::from_std(wait).unwrap().max(TimeDelta::seconds(1));
                    self.clock.advance(wait.min(left));
                    if wait > left {
                        return rounds;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Whether a round published something.
fn published(round: &Round) -> bool {
    round.renewed.as_ref().is_some_and(|renewed| matches!(renewed.outcome, Outcome::Published(_)))
}

/// What went wrong in rounds.
fn errors(rounds: &[Round]) -> Vec<String> {
    rounds.iter().flat_map(|round| &round.errors).map(|error| tuf_client::chain(error)).collect()
}
