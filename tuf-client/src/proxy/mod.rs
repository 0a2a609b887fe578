//! The verifying proxy: unmodified pip and uv install from it and cannot be given anything that was not signed.
//!
//! Installers check little of what an index says, and old ones nothing at all (uv before 0.13 installs a wheel
//! whose hash differs from the index). So the proxy verifies every byte it serves: pages against the signed
//! snapshot, files against the signed page. It serves one pinned snapshot at a time, over HTTP/1.1 on this machine.
//!
//! | Request | Answer |
//! |---|---|
//! | `/simple/<project>/` | the signed page, as PEP 691 JSON or PEP 503 HTML by `Accept` |
//! | `/files/<project>/<sha256>/packages/…` | a file of that page; `….metadata` beside it (PEP 658) |
//! | `/-/status` | the view, its expiry, and everything refused so far, as JSON |
//! | `CONNECT`, `GET http://other/…` | 403, unless the host was allowed |
//!
//! What is refused, and in which form each installer shows it, is in [`Refusal`]'s module.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

mod accept;
mod body;
mod files;
mod forward;
mod pages;
mod refusal;
mod server;
mod socket;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod views;

pub use forward::{DirectHost, NotAHost};
pub use refusal::{Kind, Refusal, Refusals};

use self::files::{Failed, Verdicts};
use self::refusal::Failure;
use self::server::State;
use self::source::{Snapshot, Upstream};
use self::views::Views;
use crate::{Client, View};

/// What the operator can choose.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// Hosts that may be reached without verification. Default: none.
    pub allow_direct: Vec<DirectHost>,
    /// Further `Host` values (with the port) by which clients may name this proxy. Default: none.
    pub hosts: Vec<String>,
    /// How long a replaced view still serves its files. Default: 15 minutes.
    pub keep_older: Duration,
    /// The longest time between two refreshes. Default: 10 minutes.
    pub refresh_every: Duration,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            allow_direct: Vec::new(),
            hosts: Vec::new(),
            keep_older: Duration::from_secs(15 * 60),
            refresh_every: Duration::from_secs(10 * 60),
        }
    }
}

impl ProxyOptions {
    /// Opens these hosts.
    #[must_use]
    pub fn with_allow_direct(mut self, hosts: Vec<DirectHost>) -> Self {
        self.allow_direct = hosts;
        self
    }

    /// Answers to these names too.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Vec<String>) -> Self {
        self.hosts = hosts;
        self
    }
}

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The listener has no address.
    #[error("the proxy cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// The first refresh failed: there is nothing verified to serve.
    #[error("the first refresh failed: {reason}")]
    Refresh {
        /// Whether verification failed, as opposed to the mirror not being reached.
        is_refusal: bool,
        /// What the client said.
        reason: String,
    },
}

/// A proxy that has something verified to serve, but is not listening yet.
pub struct Proxy {
    first: Arc<dyn Snapshot>,
    upstream: Option<Box<dyn Upstream>>,
    options: ProxyOptions,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Proxy")
            .field("snapshot", &self.first.version())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy that refreshes now, and then as long as it lives.
    ///
    /// # Errors
    /// The first refresh failed.
    pub async fn following(client: Client, options: ProxyOptions) -> Result<Self, ProxyError> {
        Self::from_upstream(Box::new(client), options).await
    }

    /// A proxy that serves this one view, until that expires.
    #[must_use]
    pub fn pinned(view: View, options: ProxyOptions) -> Self {
        Self::from_snapshot(Arc::new(view), options)
    }

    pub(crate) async fn from_upstream(
        upstream: Box<dyn Upstream>,
        options: ProxyOptions,
    ) -> Result<Self, ProxyError> {
        let refused = |failure: Failure| ProxyError::Refresh {
            is_refusal: failure.kind == Kind::Verification,
            reason: failure.why,
        };
        let first = upstream.refresh().await.map_err(refused)?;
        Ok(Self { first, upstream: Some(upstream), options })
    }

    pub(crate) fn from_snapshot(first: Arc<dyn Snapshot>, options: ProxyOptions) -> Self {
        Self { first, upstream: None, options }
    }

    /// Starts to serve on this listener, in tasks of their own.
    ///
    /// # Errors
    /// The listener does not know its address.
    pub fn start(self, listener: TcpListener) -> Result<RunningProxy, ProxyError> {
        let address = listener.local_addr()?;
        let Self { first, upstream, options } = self;
        let state = Arc::new(State {
            views: Views::new(first, upstream, options.refresh_every, options.keep_older),
            refusals: Refusals::default(),
            failed: Failed::default(),
            verdicts: Verdicts::default(),
            direct: options.allow_direct,
            hosts: server::own_hosts(address, &options.hosts),
        });
        let serving = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let following = Arc::clone(&state);
            let follow = async move {
                following.views.follow().await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                error = server::serve(listener, state) => error,
                () = follow => io::Error::other("the refresh loop ended"),
            }
        });
        Ok(RunningProxy { address, state: serving, task })
    }
}

/// A proxy at work. Dropping it stops it and closes its connections.
pub struct RunningProxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<io::Error>,
}

impl std::fmt::Debug for RunningProxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RunningProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl RunningProxy {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything refused so far.
    #[must_use]
    pub fn refusals(&self) -> &Refusals {
        &self.state.refusals
    }

    /// Waits, for a bounded time, until files that an installer stopped reading have been judged all the same.
    pub async fn settled(&self) {
        self.state.verdicts.settled().await;
    }

    /// Waits until the listener dies, which it does not do by itself; says of what. Call it once.
    pub async fn died(&mut self) -> io::Error {
        (&mut self.task).await.unwrap_or_else(io::Error::other)
    }

    #[cfg(test)]
    pub(crate) fn abort(&self) {
        self.task.abort();
    }

    /// Stops listening and closes every connection; a file in transit is cut short.
    pub async fn shutdown(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
