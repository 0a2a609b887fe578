//! `tuf-repo rotate`.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde_json::json;
use tuf_repo_tool::keys::{KeyUri, Passphrases};
use tuf_repo_tool::log::{self, Did, Entry};
use tuf_repo_tool::rotate::{Overlap, Rotate, Rotated, end_overlaps, rotate};
use tuf_repo_tool::{Period, PeriodError, Repository};

use super::log::Signing;
use super::publish::{document as outcome_document, text as outcome_text};
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The keys to replace, wherever published metadata names them: a name, a URI, or the start of a key ID
    #[arg(value_name = "KEY", required_unless_present = "end")]
    keys: Vec<String>,
    /// The key that takes over, once for each KEY [default: a new one beside the old one]
    #[arg(long, value_name = "URI")]
    to: Vec<KeyUri>,
    /// Sign with the keys in this directory, and make those there of which the old ones are not here: it is taken away
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    offline_keys: Option<PathBuf>,
    /// How long timestamp and snapshot are signed by both [default: 1h]
    #[arg(long, value_name = "PERIOD", value_parser = |text: &str| text.parse::<Period>().map_err(|error: PeriodError| error.to_string()))]
    overlap: Option<Period>,
    /// Nobody has the old keys of targets and bins any more: a root that lists both comes first
    #[arg(long)]
    discarded: bool,
    /// Leave new keys unencrypted: only their mode 0600 protects them then
    #[arg(long)]
    no_passphrase: bool,
    /// End all overlaps now
    #[arg(long, conflicts_with_all = ["keys", "to", "offline_keys", "overlap", "discarded"])]
    end: bool,
    #[command(flatten)]
    signing: Signing,
}

pub(crate) async fn run(args: Args, mut repository: Repository, output: &Output) -> Result<(), Failure> {
    let lock = repository.lock()?;
    repository.reload()?;
    if args.end {
        let (over, _) = end_overlaps(&repository, &lock, true)?;
        if !over.is_empty() {
            let keys: Vec<String> = over.iter().map(|over| over.key.to_string()).collect();
            let entry = Entry::new(Did::Settings).because(args.signing.text()).with("no_longer_sign", keys);
            log::append(&repository, &entry)?;
        }
        let lines: Vec<String> =
            over.iter().map(|over| format!("{} signs {} no longer", over.key, over.role)).collect();
        let text = if lines.is_empty() {
            "no key that was replaced signs any more".to_owned()
        } else {
            lines.join("\n")
        };
        output.result(&json!({ "ended": over }), &text);
        return Ok(());
    }
    let mut request = Rotate::new(args.keys);
    request.to = args.to;
    request.offline_keys = args.offline_keys;
    request.overlap = args.overlap;
    request.discarded = args.discarded;
    request.encrypted = !args.no_passphrase;
    request.reason = args.signing.text().map(str::to_owned);
    let options = args.signing.options().guarded(&repository).await?;
    let mut passphrases = Passphrases::from_environment();
    let rotated = rotate(&mut repository, &lock, &mut passphrases, &request, &options).await?;
    output.result(&document(&rotated), &text(&rotated));
    match rotated.missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::Reported(ExitCode::from(3))),
    }
}

fn document(rotated: &Rotated) -> serde_json::Value {
    let (event, bundle) = rotated.event.as_ref().map(|(id, path)| (id, path)).unzip();
    json!({
        "replaced": rotated.replaced,
        "event": event,
        "bundle": bundle,
        "missing": rotated.missing,
        "root": rotated.finished.as_ref().and_then(|finished| finished.root),
        "published": outcome_document(rotated.outcome()),
        "waits": rotated.waits,
        "overlaps": rotated.overlaps,
        "more": rotated.more,
    })
}

fn text(rotated: &Rotated) -> String {
    let mut lines = Vec::new();
    for replaced in &rotated.replaced {
        lines.push(format!(
            "{} ({}) → {} ({}) for {}",
            replaced.key,
            short(&replaced.keyid),
            replaced.by,
            short(&replaced.new_keyid),
            replaced.roles.join(", ")
        ));
    }
    if let Some((_, bundle)) = rotated.event.as_ref().filter(|_| !rotated.missing.is_empty()) {
        lines.extend(rotated.missing.iter().map(|missing| format!("still missing: {missing}")));
        lines.push(format!("the bundle is {}", bundle.display()));
        lines.push(
            "when it is signed (tuf-repo event sign, event import), the same command goes on".to_owned(),
        );
    }
    let published = outcome_text(rotated.outcome(), "");
    lines.extend(Some(published).filter(|text| !text.is_empty()));
    if let Some(version) = rotated.finished.as_ref().and_then(|finished| finished.root) {
        lines.push(format!("published root {version}"));
    }
    for Overlap { role, key, until, .. } in &rotated.overlaps {
        lines.push(format!("{key} also signs {role}{}", by(*until)));
    }
    match rotated.waits {
        Some(until) => lines.push(format!(
            "clients get this root until {}; from then on the same command goes on",
            time(until)
        )),
        None if rotated.more => {
            lines.push("the old keys are still listed: the same command takes them out".to_owned());
        }
        None => {}
    }
    lines.join("\n")
}

/// Until when, for people.
fn by(until: Option<DateTime<Utc>>) -> String {
    until.map(|until| format!(", until {}", time(until))).unwrap_or_default()
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
