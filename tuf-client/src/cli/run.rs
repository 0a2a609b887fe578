//! `run`: one command behind the proxy.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use tuf_client::proxy::{DirectHost, ProxyOptions};
use tuf_client::run::{RunError, RunOptions};

use super::Global;
use super::error::Failure;
use super::output::{ERROR, Output};
use super::{open, proxy};

pub(crate) async fn run(
    global: &Global,
    listen: SocketAddr,
    allow_direct: Vec<DirectHost>,
    command: Vec<OsString>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let view = open::client(global)?.refresh().await?;
    open::announce(&view, out);
    let options = RunOptions::new(command)
        .with_listen(listen)
        .with_proxy(ProxyOptions::default().with_allow_direct(allow_direct));
    let outcome = tuf_client::run::run(view, options).await.map_err(|error| match error {
        RunError::Proxy(error) => proxy::failure(error),
        error => Failure::new(tuf_client::chain(&error)),
    })?;
    for refusal in &outcome.refusals {
        // Most reasons end with the attack already.
        let unnamed = refusal.attack.filter(|attack| !refusal.why.contains(attack));
        let attack = unnamed.map(|attack| format!(" ({attack})")).unwrap_or_default();
        let times = if refusal.times > 1 { format!(", {} times", refusal.times) } else { String::new() };
        let (what, why) = (&refusal.what, &refusal.why);
        out.insist(&format!("{ERROR}refused:{ERROR:#} {what}: {why}{attack}{times}"));
    }
    if outcome.refusals_not_kept > 0 {
        out.insist(&format!("and {} more refusals", outcome.refusals_not_kept));
    }
    if let Some(reason) = &outcome.listener_died {
        out.insist(&format!(
            "{ERROR}error:{ERROR:#} the proxy's listener died, the command was ended: {reason}"
        ));
    }
    Ok(ExitCode::from(u8::try_from(outcome.exit_code()).unwrap_or(1)))
}
