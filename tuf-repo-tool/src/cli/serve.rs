//! `tuf-repo serve`.

use std::net::SocketAddr;

use chrono::TimeDelta;
use tokio::net::TcpListener;
use tuf_repo_tool::publish::Options;
use tuf_repo_tool::{Period, Repository, watch};

use super::renew::{Teller, daemon};
use super::{Failure, Output};

/// How often `--renew` looks whether something is due.
const RENEW_EVERY: Period = Period::new(TimeDelta::minutes(1));

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Sign again what will expire, at half its life
    #[arg(long)]
    renew: bool,
}

pub(crate) async fn run(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let public = repository.public()?.display();
    let listener = listen(args.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::Message(error.to_string(), None))?;
    output.result(
        &serde_json::json!({ "url": format!("http://{address}") }),
        &format!("serving {public} at http://{address}"),
    );
    keep_serving(repository, listener, args.renew, output).await
}

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = "is another server running? --listen takes another address";
        Failure::Message(format!("cannot listen on {address}: {error}"), Some(hint.to_owned()))
    })
}

pub(crate) async fn keep_serving(
    repository: &Repository,
    listener: TcpListener,
    renew: bool,
    output: &Output,
) -> Result<(), Failure> {
    if !renew {
        return serve(repository, listener).await;
    }
    // Passphrases are asked for now, not in the night.
    let daemon = daemon(repository, RENEW_EVERY, Options::default(), output)?;
    let mut teller = Teller::default();
    tokio::select! {
        result = serve(repository, listener) => result,
        () = watch::run(daemon, std::future::pending(), |round| teller.tell(round, output)) => Ok(()),
    }
}

async fn serve(repository: &Repository, listener: TcpListener) -> Result<(), Failure> {
    tuf_repo_tool::serve(repository.public()?, listener, stop_signal())
        .await
        .map_err(|error| Failure::Message(format!("serving failed: {error}"), None))
}

/// Ctrl-C or SIGTERM.
pub(crate) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
