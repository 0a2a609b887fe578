//! `run`: one command, one pinned snapshot, and no other way out.
//!
//! The view is pinned before the command starts and never changes under it. The child's environment leads to
//! the proxy ([`child_environment`]); whatever goes elsewhere is refused there, listed, and turns the exit code to 4.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::View;
use crate::proxy::{Proxy, ProxyError, ProxyOptions, Refusal, RunningProxy};

mod environment;
pub use environment::{ChildEnvironment, child_environment};

/// How long a child may take to end by itself once the listener is gone.
const GRACE: Duration = Duration::from_secs(5);

/// The exit code for "something was refused as unsafe".
const REFUSED: i32 = 4;

/// What to run, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Where the proxy listens. Default: a free port on 127.0.0.1.
    pub listen: SocketAddr,
    /// The proxy's own options.
    pub proxy: ProxyOptions,
}

impl RunOptions {
    /// Runs this program with these arguments.
    #[must_use]
    pub fn new(command: Vec<OsString>) -> Self {
        Self { command, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), proxy: ProxyOptions::default() }
    }

    /// Listens here.
    #[must_use]
    pub fn with_listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Uses these proxy options.
    #[must_use]
    pub fn with_proxy(mut self, proxy: ProxyOptions) -> Self {
        self.proxy = proxy;
        self
    }
}

/// How it went.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOutcome {
    /// The child's code, or 128 + n if signal n ended it.
    pub child_code: i32,
    /// Why the proxy's listener died and the child was ended, if it was so.
    pub listener_died: Option<String>,
    /// Everything the proxy refused.
    pub refusals: Vec<Refusal>,
    /// How many more refusals there were than could be listed.
    pub refusals_not_kept: u64,
    /// The variables that were kept from the child.
    pub removed: Vec<String>,
}

impl RunOutcome {
    /// The exit code of `run`: 4 if verification failed or a way around was refused, 1 if the listener died, else the child's.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        if self.refusals_not_kept > 0 || self.refusals.iter().any(|refusal| refusal.kind.is_unsafe()) {
            REFUSED
        } else if self.listener_died.is_some() {
            1
        } else {
            self.child_code
        }
    }
}

/// Why nothing was run, or its end not seen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No program was named.
    #[error("no command to run")]
    Empty,
    /// The proxy cannot listen there.
    #[error("the proxy cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy did not start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The program cannot be started.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system did not say how the child ended, or takes no signal handlers.
    #[error("the command cannot be watched: {0}")]
    Watch(#[from] io::Error),
}

/// Runs a command behind a proxy that serves this view only.
///
/// # Errors
/// The command could not be started or watched. What the command itself did is in the outcome.
pub async fn run(view: View, options: RunOptions) -> Result<RunOutcome, RunError> {
    let RunOptions { command, listen, proxy } = options;
    run_behind(Proxy::pinned(view, proxy), listen, &command, &crate::env::vars()).await
}

async fn run_behind(
    proxy: Proxy,
    listen: SocketAddr,
    command: &[OsString],
    variables: &[(String, String)],
) -> Result<RunOutcome, RunError> {
    let (program, arguments) = command.split_first().ok_or(RunError::Empty)?;
    let listener =
        TcpListener::bind(listen).await.map_err(|source| RunError::Listen { address: listen, source })?;
    let mut proxy = proxy.start(listener)?;
    let ChildEnvironment { set, removed } = child_environment(variables, proxy.address());
    // Before the child starts: a signal that comes now must not end us alone.
    let mut signals = signals::Signals::new()?;
    let mut child = Command::new(program);
    child.args(arguments).kill_on_drop(true);
    for name in &removed {
        child.env_remove(name);
    }
    let mut child = child
        .envs(set)
        .spawn()
        .map_err(|source| RunError::Start { program: program.to_string_lossy().into_owned(), source })?;
    let (status, listener_died) = watch(&mut child, &mut proxy, &mut signals).await?;
    if listener_died.is_none() {
        proxy.settled().await;
    }
    let (refusals, refusals_not_kept) = (proxy.refusals().list(), proxy.refusals().not_kept());
    if listener_died.is_none() {
        proxy.shutdown().await;
    }
    Ok(RunOutcome { child_code: exit_code(status), listener_died, refusals, refusals_not_kept, removed })
}

/// Waits for the child, passing signals on; ends it if the listener dies.
async fn watch(
    child: &mut Child,
    proxy: &mut RunningProxy,
    signals: &mut signals::Signals,
) -> io::Result<(ExitStatus, Option<String>)> {
    loop {
        tokio::select! {
            status = child.wait() => return Ok((status?, None)),
            signal = signals.next() => signals::send(child, signal),
            error = proxy.died() => {
                tracing::error!("the proxy's listener died, ending the command: {error}");
                return Ok((end(child).await?, Some(error.to_string())));
            }
        }
    }
}

/// Asks the child to end, then makes it.
async fn end(child: &mut Child) -> io::Result<ExitStatus> {
    signals::terminate(child);
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}

/// The code a shell would report.
fn exit_code(status: ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal;
    }
    status.code().unwrap_or(1)
}

#[cfg(unix)]
mod signals {
    use std::io::{self, IsTerminal};

    use rustix::process::{Pid, Signal as Number, kill_process};
    use tokio::process::Child;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// The signals that are passed on.
    pub(super) struct Signals {
        hangup: Signal,
        interrupt: Signal,
        quit: Signal,
        terminate: Signal,
        /// The terminal sends Ctrl-C to the whole group, so the child has had it already; pip takes a second one badly.
        from_terminal: bool,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                hangup: signal(SignalKind::hangup())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                terminate: signal(SignalKind::terminate())?,
                from_terminal: io::stdin().is_terminal(),
            })
        }

        /// The next signal to pass on.
        pub(super) async fn next(&mut self) -> Number {
            loop {
                tokio::select! {
                    _ = self.hangup.recv() => return Number::HUP,
                    _ = self.terminate.recv() => return Number::TERM,
                    _ = self.interrupt.recv() => if !self.from_terminal { return Number::INT },
                    _ = self.quit.recv() => if !self.from_terminal { return Number::QUIT },
                }
            }
        }
    }

    pub(super) fn send(child: &Child, number: Number) {
        // `id` is there until the child was waited for, so this process ID is still the child's.
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, number)) {
            tracing::debug!("a signal did not reach the command: {error}");
        }
    }

    pub(super) fn terminate(child: &Child) {
        send(child, Number::TERM);
    }
}

#[cfg(not(unix))]
mod signals {
    use std::io;

    use tokio::process::Child;

    /// Elsewhere the console sends Ctrl-C to the child itself; we only must not end before it.
    pub(super) struct Signals;

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            drop(tokio::signal::ctrl_c().await);
        }
    }

    pub(super) fn send(_child: &Child, _signal: ()) {}

    pub(super) fn terminate(_child: &Child) {}
}

#[cfg(test)]
mod tests;
