//! `tuf-repo renew`, once or for as long as it runs.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;

use serde_json::json;
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::{Changes, Options, Outcome, Renewed, renew};
use tuf_repo_tool::watch::{self, Daemon, Round};
use tuf_repo_tool::{Error, Period, Repository};

use super::log::Signing;
use super::publish::{document, report, served, text};
use super::serve::{listen, stop_signal};
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on until stopped, and sign again whatever falls due
    #[arg(long)]
    watch: bool,
    /// Answer monitors there, at /healthz and /metrics; a PORT alone is of this machine only
    #[arg(long, value_name = "[ADDR:]PORT", requires = "watch")]
    listen: Option<Listen>,
    /// How often to look at least
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "watch")]
    every: Period,
    #[command(flatten)]
    signing: Signing,
}

/// An address, or a port of the loopback.
#[derive(Clone, Copy, Debug)]
struct Listen(SocketAddr);

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = || Some(SocketAddr::from(([127, 0, 0, 1], text.parse().ok()?)));
        let address = text.parse().ok().or_else(port);
        address.map(Self).ok_or_else(|| "expected an address and a port, or a port".to_owned())
    }
}

pub(crate) async fn run(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    if args.watch {
        return watch(args, repository, output).await;
    }
    let options = args.signing.options();
    let renewed = renew(repository, &mut Passphrases::from_environment(), &options).await?;
    let mut result = document(&renewed.outcome);
    super::mirror::extend(&mut result, json!({ "root": renewed.root }));
    output.result(&result, &words(&renewed));
    let unserved = served(repository, &renewed.outcome, &Changes::default(), &options).await;
    for error in &renewed.postponed {
        output.complain(&tuf_client::chain(error), error.hint().as_deref());
    }
    report(unserved, output)?;
    match renewed.postponed.as_slice() {
        [] => Ok(()),
        postponed if postponed.iter().all(Error::needs_signatures) => {
            Err(Failure::Reported(ExitCode::from(3)))
        }
        _ => Err(Failure::Reported(ExitCode::FAILURE)),
    }
}

async fn watch(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let daemon = daemon(repository, args.every, args.signing.options(), output)?;
    let mut said = format!("watching {}, every {}", repository.directory().display(), args.every);
    let mut url = None;
    if let Some(Listen(address)) = args.listen {
        let listener = listen(address).await?;
        let address = listener.local_addr().map_err(|error| Failure::Message(error.to_string(), None))?;
        said.push_str(&format!("; http://{address}/healthz and /metrics"));
        url = Some(format!("http://{address}"));
        tokio::spawn(watch::serve(daemon.report(), listener));
    }
    output.result(&json!({ "watching": repository.directory(), "url": url }), &said);
    let mut teller = Teller::default();
    watch::run(daemon, stop_signal(), |round| teller.tell(round, output)).await;
    output.say("stopped");
    Ok(())
}

/// A daemon that knows all passphrases.
pub(crate) fn daemon(
    repository: &Repository,
    every: Period,
    options: Options,
    output: &Output,
) -> Result<Daemon, Failure> {
    let mut passphrases = Passphrases::from_environment();
    let failed = tokio::task::block_in_place(|| watch::unlock(repository, &mut passphrases))?;
    for error in failed {
        output.warn(&format!("will not sign: {}", tuf_client::chain(&error)));
    }
    Ok(Daemon::new(repository.clone(), passphrases, options, every.delta()))
}

/// Says what is new: not in each round what was said in the one before.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    standby: Option<String>,
    failing: Vec<String>,
}

impl Teller {
    pub(crate) fn tell(&mut self, round: &Round, output: &Output) {
        if round.standby != self.standby {
            match &round.standby {
                Some(holder) => output.say(&format!("standing by: {holder} renews")),
                None => output.say("this daemon renews now"),
            }
            self.standby.clone_from(&round.standby);
        }
        if let Some(renewed) = &round.renewed
            && (renewed.root.is_some() || matches!(renewed.outcome, Outcome::Published(_)))
        {
            output.say(&format!("renewed: {}", words(renewed)));
        }
        let postponed = round.renewed.iter().flat_map(|renewed| &renewed.postponed);
        let errors: Vec<&Error> = round.errors.iter().chain(postponed).collect();
        let failing: Vec<String> = errors.iter().map(|error| tuf_client::chain(*error)).collect();
        for (error, text) in errors.iter().zip(&failing).filter(|(_, text)| !self.failing.contains(text)) {
            output.warn(text);
            if let Some(hint) = error.hint() {
                output.say(&format!("hint: {hint}"));
            }
        }
        if failing.is_empty() && !self.failing.is_empty() {
            output.say("all is well again");
        }
        self.failing = failing;
    }
}

/// What was renewed, for people.
fn words(renewed: &Renewed) -> String {
    let root = renewed.root.map(|version| format!("published root {version}"));
    match root {
        Some(root) => format!("{root}\n{}", text(&renewed.outcome, "nothing else is due")),
        None => text(&renewed.outcome, "nothing is due"),
    }
}
