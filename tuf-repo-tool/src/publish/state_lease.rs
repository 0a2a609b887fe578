//! The publisher's lease in the state database that several machines share.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::lease::{LEASE, PublishLease};
use crate::error::Error;
use crate::state::{Lease, Right, State, StateError};

/// A lease of this process.
#[derive(Debug)]
pub(super) struct StateLease {
    state: State,
    /// What others are told who want it.
    holder: String,
    held: Mutex<Option<Lease>>,
}

impl StateLease {
    pub(super) fn new(state: State) -> Self {
        Self { state, holder: holder(), held: Mutex::new(None) }
    }

    async fn take(&self, held: &mut Option<Lease>) -> Result<Duration, StateError> {
        if let Some(lease) = held {
            match lease.renew(LEASE).await {
                Err(StateError::Lost { .. }) => *held = None,
                kept => {
                    kept?;
                    return Ok(lease.remaining());
                }
            }
        }
        let lease = held.insert(Lease::acquire(&self.state, Right::Publish, &self.holder, LEASE).await?);
        Ok(lease.remaining())
    }
}

impl PublishLease for StateLease {
    fn hold(&self) -> BoxFuture<'_, Result<Duration, Error>> {
        Box::pin(async {
            let mut held = self.held.lock().await;
            self.take(&mut held).await.map_err(|error| match error {
                StateError::Held { holder, .. } => Error::LeaseHeld { holder },
                error => error.into(),
            })
        })
    }

    fn announced(&self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        Box::pin(async {
            let announced = self.state.announced().await?;
            Ok(announced.map(|(_, timestamp)| timestamp.into_bytes()))
        })
    }

    fn announce<'a>(&'a self, version: u64, timestamp: &'a [u8]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let held = self.held.lock().await;
            let text = String::from_utf8_lossy(timestamp);
            let expected =
                || format!("version {}, under the lease of {}", version.saturating_sub(1), self.holder);
            match held.as_ref() {
                Some(lease) => lease.announce(version, &text).await.map_err(|error| match error {
                    StateError::Lost { reason, .. } => {
                        Error::Conflict { expected: expected(), found: format!("not so: {reason}") }
                    }
                    error => error.into(),
                }),
                None => {
                    Err(Error::Conflict { expected: expected(), found: "not so: it has none".to_owned() })
                }
            }
        })
    }

    fn release(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            match self.held.lock().await.take() {
                Some(lease) => Ok(lease.release().await?),
                None => Ok(()),
            }
        })
    }
}

/// This process, as others are told who want what it has.
pub(crate) fn holder() -> String {
    format!("process {} on {}", std::process::id(), machine())
}

/// This machine's name, for people.
pub(crate) fn machine() -> String {
    #[cfg(unix)]
    return rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    return tuf_client::env::var("COMPUTERNAME").unwrap_or_else(|| "another machine".to_owned());
}
