//! Of several daemons for one repository, one works and the others stand by: on one machine by a file lock, which the
//! system takes from a process that dies; between machines that share a database by a lease in it, which runs out.
//!
//! This only saves work. What keeps two publishers apart is the transaction itself, so that whoever is in doubt may go on.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tuf_client::durable::{self, Access, FileLock, LockError};

use crate::error::Error;
use crate::publish::holder;
use crate::repository::Repository;
use crate::state::{Lease, Right, StateError, StateUrl};

/// How long the lease of a daemon that died stops the others.
const LEASE: Duration = Duration::from_secs(60);
/// How often it is kept.
const BEAT: Duration = Duration::from_secs(15);

/// Whose turn it is, as far as it is known here.
#[derive(Debug, Default)]
pub(super) struct Turn {
    file: Option<FileLock>,
    lease: Option<Kept>,
    /// Who had the lease when the database was asked last.
    other: Option<String>,
}

/// A lease that a task keeps.
#[derive(Debug)]
struct Kept {
    /// The database that it is in.
    url: StateUrl,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Turn {
    /// Takes the turn if nobody has it; `Some`: another daemon does.
    pub(super) async fn look(&mut self, repository: &Repository) -> Result<Option<String>, Error> {
        if self.file.is_none() {
            match lock(repository) {
                Ok(file) => self.file = Some(file),
                Err(LockError::Busy { holder, .. }) => return Ok(Some(holder)),
                Err(source) => return Err(Error::Busy { path: repository.directory().to_owned(), source }),
            }
        }
        let url = repository.config.state.as_ref();
        if let Some(kept) = self.lease.take_if(|kept| kept.task.is_finished() || Some(&kept.url) != url) {
            kept.end().await;
        }
        let (Some(url), None) = (url, &self.lease) else { return Ok(None) };
        match acquire(repository).await {
            Ok(lease) => {
                self.lease = Some(Kept::new(url.clone(), lease));
                self.other = None;
            }
            Err(Error::State(StateError::Held { holder, .. })) => self.other = Some(holder),
            // It cannot be asked: as it was.
            Err(Error::State(StateError::Unreachable { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(self.other.clone())
    }

    /// Gives the turn to whoever waits.
    pub(super) async fn end(self) {
        if let Some(kept) = self.lease {
            kept.end().await;
        }
    }
}

fn lock(repository: &Repository) -> Result<FileLock, LockError> {
    durable::create_dirs(&repository.state(), Access::Private)?;
    FileLock::acquire(&repository.state().join("watch.lock"), Duration::ZERO)
}

async fn acquire(repository: &Repository) -> Result<Lease, Error> {
    let state = repository.open_state().await?;
    Ok(Lease::acquire(&state, Right::Watch, &holder(), LEASE).await?)
}

impl Kept {
    fn new(url: StateUrl, lease: Lease) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { url, stop, task: tokio::spawn(keep(lease, stopped)) }
    }

    async fn end(self) {
        // It may have ended by itself, because the lease was lost.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Keeps a lease until it is lost or given back.
async fn keep(mut lease: Lease, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(BEAT) => {}
        }
        match lease.renew(LEASE).await {
            Ok(()) => {}
            Err(error @ StateError::Lost { .. }) => {
                tracing::warn!("{error}");
                return;
            }
            // As long as nobody takes it, it can be kept when the database is back.
            Err(error) => tracing::warn!("the lease is not kept: {}", tuf_client::chain(&error)),
        }
    }
    if let Err(error) = lease.release().await {
        tracing::warn!("the lease runs out by itself: {}", tuf_client::chain(&error));
    }
}
