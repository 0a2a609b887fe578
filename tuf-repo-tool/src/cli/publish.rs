//! `tuf-repo publish`.

use std::process::ExitCode;

use serde_json::{Value, json};
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::{self as library, Changes, Check, Options, Outcome, read_back};
use tuf_repo_tool::{Error, Lock, Period, Repository};

use super::log::{Reason, Signing};
use super::output::size;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which clients try the new state before it is published: a new one (fresh), also one that knows the state before
    /// (default), also those with an old root or an expired cache (all)
    #[arg(long, value_name = "WHICH", default_value = "default")]
    check: CheckName,
    /// Read every byte of the targets that are set again, not only their length
    #[arg(long)]
    verify: bool,
    /// How often to begin anew when another publisher was faster or has the repository [default: 3, and 0]
    #[arg(long, value_name = "N")]
    retry: Option<u32>,
    /// How long to wait until public_url serves it, where tuf-repo.toml has one [default: 90s]
    #[arg(long, value_name = "TIME")]
    served_within: Option<Period>,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum CheckName {
    Fresh,
    Default,
    All,
}

impl Args {
    fn options(&self) -> Options {
        let mut options = self.signing.options();
        options.check = match self.check {
            CheckName::Fresh => Check::Fresh,
            CheckName::Default => Check::Default,
            CheckName::All => Check::All,
        };
        options.verify = self.verify;
        options.retry = self.retry.unwrap_or(options.retry);
        if let Some(within) = self.served_within.and_then(|period| period.delta().to_std().ok()) {
            options.served_within = within;
        }
        options
    }
}

pub(crate) async fn publish(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let lock = lock(repository, args.retry.unwrap_or(0))?;
    let (outcome, unserved) = publish_under(&lock, repository, &args.options()).await?;
    output.result(&document(&outcome), &text(&outcome, "nothing to publish"));
    report(unserved, output)
}

/// The lock, waited for so many times more.
fn lock(repository: &Repository, retry: u32) -> Result<Lock, Error> {
    let mut left = retry;
    loop {
        match repository.lock() {
            Err(Error::Busy { .. }) if left > 0 => left -= 1,
            result => return result,
        }
    }
}

/// Publishes what is staged, and what is due of the online roles. Also says if clients do not get it.
pub(crate) async fn publish_staged(
    repository: &Repository,
    reason: Reason,
) -> Result<(Outcome, Option<Error>), Error> {
    publish_under(&repository.lock()?, repository, &reason.into_options(Options::default())).await
}

async fn publish_under(
    lock: &Lock,
    repository: &Repository,
    options: &Options,
) -> Result<(Outcome, Option<Error>), Error> {
    let options = &options.clone().guarded(repository).await?;
    let state = repository.open_state().await?;
    let mut passphrases = Passphrases::from_environment();
    let (outcome, changes) =
        library::publish_staged(repository, lock, &mut passphrases, &state, options).await?;
    let unserved = served(repository, &outcome, &changes, options).await;
    Ok((outcome, unserved))
}

/// Why clients do not get what was published, where the settings say from where they do.
pub(crate) async fn served(
    repository: &Repository,
    outcome: &Outcome,
    changes: &Changes,
    options: &Options,
) -> Option<Error> {
    let (Outcome::Published(summary), Some(url)) = (outcome, &repository.config.public_url) else {
        return None;
    };
    read_back(repository, url.as_str(), summary, changes, options).await.err()
}

/// Something that was done all the same was not all.
pub(crate) fn report(error: Option<Error>, output: &Output) -> Result<(), Failure> {
    error.map_or(Ok(()), |error| {
        output.complain(&tuf_client::chain(&error), error.hint().as_deref());
        Err(Failure::Reported(ExitCode::FAILURE))
    })
}

/// What was published, for people.
pub(crate) fn text(outcome: &Outcome, nothing: &str) -> String {
    let Outcome::Published(summary) = outcome else { return nothing.to_owned() };
    let bytes: usize = summary.signed.iter().map(|(_, length)| length).sum();
    format!(
        "published snapshot {}, timestamp {}: {} targets set, {} removed, {} files signed ({})",
        summary.snapshot,
        summary.timestamp,
        summary.set,
        summary.removed,
        summary.signed.len(),
        size(u64::try_from(bytes).unwrap_or_default())
    )
}

/// What was published, for programs.
pub(crate) fn document(outcome: &Outcome) -> Value {
    let Outcome::Published(summary) = outcome else { return json!({ "published": false }) };
    let signed = summary.signed.iter().map(|(name, length)| json!({"file": name, "length": length}));
    json!({
        "published": true,
        "snapshot": summary.snapshot,
        "timestamp": summary.timestamp,
        "set": summary.set,
        "removed": summary.removed,
        "signed": signed.collect::<Vec<_>>(),
    })
}
