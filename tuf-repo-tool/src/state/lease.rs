//! Leases: of all machines that share a state database, one publishes at a time, and one watches.
//!
//! The row of a lease holds who has it, until when, and a fencing number that rises each time it is taken.
//! Only the database's clock decides when it has run out, so that machines with wrong clocks cannot take it from
//! each other; how long it lasts at least, the holder knows from its own clocks ([`Lease::remaining`]). A holder that
//! slept meanwhile is found out by its number: what it says to the database is refused.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use tuf_client::clock;

use super::State;
use super::error::StateError;

/// What a lease is the right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Right {
    /// To publish.
    Publish,
    /// To renew what is due, as the one of several daemons that is not standing by. It guards nothing: whoever renews takes
    /// the right to publish for that.
    Watch,
}

impl Right {
    /// Its name in the database.
    const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Watch => "watch",
        }
    }
}

/// A right that one process has, for a time.
#[derive(Debug)]
pub struct Lease {
    state: State,
    right: Right,
    fence: i64,
    until: Until,
}

/// When a lease has run out at the latest that this process may believe. Counted from before the request was sent, on two
/// clocks: the monotonic one stands still while a machine is suspended, the other one may be set back.
#[derive(Clone, Copy, Debug)]
struct Until {
    monotonic: Instant,
    wall: DateTime<Utc>,
}

impl Until {
    /// A hundredth less than was asked for: the database's clock may run faster.
    fn after(duration: Duration) -> Self {
        let sure = duration - duration / 100;
        let delta = TimeDelta::from_std(sure).unwrap_or(TimeDelta::MAX);
        let wall = clock::now();
        Self { monotonic: Instant::now() + sure, wall: wall.checked_add_signed(delta).unwrap_or(wall) }
    }

    fn remaining(self, monotonic: Instant, wall: DateTime<Utc>) -> Duration {
        let by_wall = (self.wall - wall).to_std().unwrap_or_default();
        self.monotonic.saturating_duration_since(monotonic).min(by_wall)
    }
}

/// The longest time a lease is granted for: a dead publisher must not stop the others for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Fencing numbers start at 1 and only rise.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

impl Lease {
    /// Takes the lease for `duration` (a day at most) if nobody has it, or if who had it did not renew it in time.
    /// `holder` is shown to others who want it.
    ///
    /// # Errors
    /// [`StateError::Held`] naming who has it; those of the database.
    pub async fn acquire(
        state: &State,
        right: Right,
        holder: &str,
        duration: Duration,
    ) -> Result<Self, StateError> {
        let duration = duration.min(LONGEST);
        let until = Until::after(duration);
        let now = state.dialect.now();
        let take = format!(
            "insert into tuf_lease (repository, name, fence, holder, expires, announced) values ($1, $2, 1, $3, {now} + $4, 0)
             on conflict (repository, name) do update
             set fence = tuf_lease.fence + 1, holder = excluded.holder, expires = excluded.expires
             where tuf_lease.expires <= {now}
             returning fence"
        );
        let taken = sqlx::query(AssertSqlSafe(take))
            .bind(state.repository)
            .bind(right.name())
            .bind(holder)
            .bind(milliseconds(duration))
            .fetch_optional(&state.pool)
            .await
            .map_err(|error| state.failed(error))?;
        match taken {
            Some(row) => {
                let fence = row.try_get("fence").map_err(|error| state.failed(error))?;
                Ok(Self { state: state.clone(), right, fence, until })
            }
            None => {
                let (holder, fence, left) = row(state, right).await?;
                Err(StateError::Held {
                    holder,
                    fence: unsigned(fence),
                    seconds: unsigned(left).div_ceil(1000),
                })
            }
        }
    }

    /// The fencing number: higher than that of every lease of this repository before.
    #[must_use]
    pub fn fence(&self) -> u64 {
        unsigned(self.fence)
    }

    /// How long nobody else can have the lease, at least; nothing once that is not certain.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.remaining(Instant::now(), clock::now())
    }

    /// Keeps the lease for `duration` from now. Also one that ran out, as long as nobody took it meanwhile.
    ///
    /// # Errors
    /// [`StateError::Lost`] if somebody did, or if it was released; those of the database.
    pub async fn renew(&mut self, duration: Duration) -> Result<(), StateError> {
        let duration = duration.min(LONGEST);
        let until = Until::after(duration);
        let renew = format!(
            "update tuf_lease set expires = {} + $4
             where repository = $1 and name = $2 and fence = $3 and expires > 0 returning fence",
            self.state.dialect.now()
        );
        self.guarded(&renew, milliseconds(duration), None).await?;
        self.until = until;
        Ok(())
    }

    /// Says that this publisher is about to put this timestamp in place, of this version. Refused if the lease is not
    /// this publisher's any more, or if a version as high was announced already: then another publisher's timestamp is
    /// or will be there.
    ///
    /// # Errors
    /// [`StateError::Lost`]; those of the database.
    pub async fn announce(&self, version: u64, timestamp: &str) -> Result<(), StateError> {
        let announce = format!(
            "update tuf_lease set announced = $4, timestamp = $5
             where repository = $1 and name = $2 and fence = $3 and expires > {} and announced < $4 returning fence",
            self.state.dialect.now()
        );
        // Versions beyond this do not fit into the database; no publisher gets there.
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        self.guarded(&announce, version, Some(timestamp)).await
    }

    /// Gives the lease back, so that the next publisher need not wait. One that was lost stays lost.
    ///
    /// # Errors
    /// Those of the database; then it runs out by itself.
    pub async fn release(self) -> Result<(), StateError> {
        let release = "update tuf_lease set expires = 0 where repository = $1 and name = $2 and fence = $3";
        let released =
            sqlx::query(release).bind(self.state.repository).bind(self.right.name()).bind(self.fence);
        released.execute(&self.state.pool).await.map(drop).map_err(|error| self.state.failed(error))
    }

    /// Runs an update that must find the row with this fence.
    async fn guarded(&self, update: &str, value: i64, text: Option<&str>) -> Result<(), StateError> {
        let update = sqlx::query(AssertSqlSafe(update.to_owned()));
        let mut update =
            update.bind(self.state.repository).bind(self.right.name()).bind(self.fence).bind(value);
        if let Some(text) = text {
            update = update.bind(text);
        }
        let updated =
            update.fetch_optional(&self.state.pool).await.map_err(|error| self.state.failed(error))?;
        if updated.is_some() {
            return Ok(());
        }
        let (holder, fence, left) = row(&self.state, self.right).await?;
        let reason = if fence != self.fence {
            format!("{holder} took it with fence {fence}")
        } else if left <= 0 {
            "it ran out".to_owned()
        } else {
            let announced = self.state.announced().await?.map_or(0, |(version, _)| version);
            format!("timestamp {announced} was announced already")
        };
        Err(StateError::Lost { fence: self.fence(), reason })
    }
}

/// Who has or had the lease, its fence, and how many milliseconds are left of it.
async fn row(state: &State, right: Right) -> Result<(String, i64, i64), StateError> {
    let select = format!(
        "select holder, fence, expires - {} as left_over from tuf_lease where repository = $1 and name = $2",
        state.dialect.now()
    );
    let read = |row: AnyRow| Ok((row.try_get("holder")?, row.try_get("fence")?, row.try_get("left_over")?));
    let found = sqlx::query(AssertSqlSafe(select))
        .bind(state.repository)
        .bind(right.name())
        .fetch_one(&state.pool)
        .await;
    found.and_then(read).map_err(|error| state.failed(error))
}

impl State {
    /// The newest timestamp that a publisher announced ([`Lease::announce`]), with its version; `None` before the first.
    /// A published timestamp that is older was put in place by a publisher that had lost its lease.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn announced(&self) -> Result<Option<(u64, String)>, StateError> {
        let read = async {
            let select = "select announced, timestamp from tuf_lease where repository = $1 and name = $2 and timestamp is not null";
            let select = sqlx::query(select).bind(self.repository).bind(Right::Publish.name());
            let found = select.fetch_optional(&self.pool).await?;
            found.map(|row| Ok((row.try_get("announced")?, row.try_get("timestamp")?))).transpose()
        };
        let announced: Option<(i64, String)> = read.await.map_err(|error| self.failed(error))?;
        Ok(announced.map(|(version, timestamp)| (unsigned(version), timestamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_cautious_clock_decides() {
        let second = Duration::from_secs(1);
        let (monotonic, wall) = (Instant::now(), clock::now());
        let until = Until { monotonic: monotonic + 60 * second, wall: wall + TimeDelta::seconds(60) };
        for (what, slept, passed, left) in [
            ("at first", 0, 0, 60),
            ("both go on", 20, 20, 40),
            ("the machine was suspended", 1, 50, 10),
            ("the clock was set back", 50, -3600, 10),
            ("the clock was set far back and the time is over", 61, -3600, 0),
            ("over", 60, 60, 0),
            ("long over", 6000, 6000, 0),
        ] {
            let now = until.remaining(monotonic + slept * second, wall + TimeDelta::seconds(passed));
            assert_eq!(now, left * second, "{what}");
        }
    }
}
