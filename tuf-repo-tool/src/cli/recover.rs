//! `tuf-repo recover`.

use std::path::PathBuf;

use serde_json::json;
use tuf_repo_tool::keys::{KeyUri, Passphrases};
use tuf_repo_tool::publish::{Changes, Outcome, read_back};
use tuf_repo_tool::recover::{
    self as library, Applied, Compromised, Difference, DifferenceKind, Plan, Request,
};
use tuf_repo_tool::{Error, Repository};

use super::log::Signing;
use super::publish::{document as outcome_document, report, text as outcome_text};
use super::{Failure, Output};

/// How many targets are shown; `--bulletin` has all.
const SHOWN: usize = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose keys are no longer trusted: targets, bins, bin-n, snapshot, timestamp, a delegated role, or root=KEYID
    #[arg(long, value_name = "ROLE[=KEYID]", num_args = 1.., required_unless_present = "apply", requires = "known_good")]
    compromised: Vec<Compromised>,
    /// The version of the last snapshot that is known to be good
    #[arg(long, value_name = "VERSION", requires = "compromised")]
    known_good: Option<u64>,
    /// A copy of the public directory from before: it is believed before what is published
    #[arg(long, value_name = "DIR", requires = "compromised")]
    archive: Option<PathBuf>,
    /// A target, or a pattern of targets, that stays as it is published now
    #[arg(long, value_name = "PATH", num_args = 1.., requires = "compromised")]
    keep: Vec<String>,
    /// The key that comes in place of one of ROLE [default: a new file beside the old one]
    #[arg(long, value_name = "ROLE=URI", value_parser = new_key, requires = "compromised")]
    new_key: Vec<(String, KeyUri)>,
    /// Write what happened to every target into this file, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with = "apply")]
    bulletin: Option<PathBuf>,
    /// Carry it out as far as it comes; without this, nothing is changed
    #[arg(long)]
    apply: bool,
    /// Only if what is published is what this plan was made for
    #[arg(long, value_name = "ID", requires = "apply")]
    plan: Option<String>,
    #[command(flatten)]
    signing: Signing,
}

fn new_key(text: &str) -> Result<(String, KeyUri), String> {
    let (role, uri) = text.split_once('=').filter(|(role, _)| !role.is_empty()).ok_or("expected ROLE=URI")?;
    Ok((role.to_owned(), uri.parse().map_err(|error: tuf_repo_tool::keys::KeyError| error.to_string())?))
}

impl Args {
    fn request(&self) -> Result<Option<Request>, Failure> {
        let Some(known_good) = self.known_good else { return Ok(None) };
        let roles: Vec<&str> = self.compromised.iter().map(|named| named.role.as_str()).collect();
        let reason = self
            .signing
            .text()
            .map_or_else(|| format!("Recovery from a compromise of {}", roles.join(", ")), str::to_owned);
        let mut request = Request::new(self.compromised.clone(), known_good, reason);
        request.keep.clone_from(&self.keep);
        request.new_keys.clone_from(&self.new_key);
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|error| Failure::Message(format!("cannot find {}: {error}", path.display()), None))
        };
        request.archive = self.archive.as_ref().map(absolute).transpose()?;
        Ok(Some(request))
    }
}

pub(crate) async fn run(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let request = args.request()?;
    match (args.apply, request) {
        (false, Some(request)) => tokio::task::block_in_place(|| plan(args, &request, repository, output)),
        (_, request) => apply(args, request.as_ref(), repository, output).await,
    }
}

fn plan(args: &Args, request: &Request, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let mut bulletin = args.bulletin.as_ref().map(|path| Bulletin::create(path)).transpose()?;
    let (mut shown, mut more) = (Vec::new(), 0_usize);
    let plan = library::plan(repository, request, |difference| {
        if let Some(bulletin) = &mut bulletin {
            bulletin.line(difference)?;
        }
        match shown.len() < SHOWN {
            true => shown.push(difference.clone()),
            false => more += 1,
        }
        Ok(())
    })?;
    if let Some(bulletin) = bulletin {
        bulletin.finish()?;
    }
    let mut document = serde_json::to_value(&plan).unwrap_or_default();
    if let Some(document) = document.as_object_mut() {
        document.insert("differences".to_owned(), serde_json::to_value(&shown).unwrap_or_default());
        document.insert("differences_left_out".to_owned(), more.into());
    }
    output.result(&document, &text(&plan, request, &shown, more));
    Ok(())
}

/// What happened to every target, as it is found: there may be millions.
struct Bulletin {
    file: tuf_client::durable::Placed,
}

impl Bulletin {
    fn create(path: &std::path::Path) -> Result<Self, Error> {
        Ok(Self { file: tuf_client::durable::Placed::create(path, tuf_client::durable::Access::Shared)? })
    }

    fn line(&mut self, difference: &Difference) -> Result<(), Error> {
        let mut line = serde_json::to_vec(difference).unwrap_or_default();
        line.push(b'\n');
        Ok(self.file.append(&line)?)
    }

    fn finish(self) -> Result<(), Error> {
        Ok(self.file.finish()?)
    }
}

async fn apply(
    args: &Args,
    request: Option<&Request>,
    repository: &Repository,
    output: &Output,
) -> Result<(), Failure> {
    let lock = repository.lock()?;
    let options = args.signing.options().guarded(repository).await?;
    let mut passphrases = Passphrases::from_environment();
    let applied =
        library::apply(repository, &lock, &mut passphrases, request, args.plan.as_deref(), &options).await?;
    match applied {
        Applied::Waiting(waiting) => {
            let mut lines = vec![format!("event {} is open: {}", waiting.id, waiting.bundle.display())];
            lines.push(format!("check phrase: {}", waiting.phrase));
            lines.push("send the bundle to those who sign, import what they send back, then: tuf-repo recover --apply".to_owned());
            let document = json!({
                "event": waiting.id, "bundle": waiting.bundle, "missing": waiting.missing, "phrase": waiting.phrase,
            });
            output.result(&document, &lines.join("\n"));
            output.complain(&format!("more signatures are needed: {}", waiting.missing.join("; ")), None);
            Err(Failure::Reported(std::process::ExitCode::from(3)))
        }
        Applied::Published(finished) => {
            let mut lines = vec![format!("recovered; event {} is finished", finished.id)];
            let published = outcome_text(&finished.outcome, "");
            lines.extend(Some(published).filter(|text| !text.is_empty()));
            if let Some(version) = finished.root {
                let copy = repository.directory().join("root.json");
                lines.push(format!("published root {version}; {} is a copy of it", copy.display()));
            }
            let document = json!({
                "event": finished.id, "root": finished.root, "published": outcome_document(&finished.outcome),
            });
            output.result(&document, &lines.join("\n"));
            let url = repository.config.public_url.as_ref();
            let unserved = match (&finished.outcome, url) {
                (Outcome::Published(summary), Some(url)) => {
                    read_back(repository, url.as_str(), summary, &Changes::default(), &options).await.err()
                }
                _ => None,
            };
            report(unserved, output)
        }
    }
}

fn text(plan: &Plan, request: &Request, shown: &[Difference], more: usize) -> String {
    let time = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M UTC").to_string();
    let version = |role: &str| plan.versions.get(role).copied().unwrap_or_default();
    let good = &plan.known_good;
    let mut lines = vec![
        format!("plan {}, bound to timestamp.json {}", plan.id, plan.timestamp),
        format!(
            "back to snapshot {}, signed about {}, SHA-256 {}",
            good.version,
            time(good.signed_about),
            good.sha256.as_deref().unwrap_or_default()
        ),
    ];
    match (&plan.problem, plan.published) {
        (Some(problem), _) => lines.push(format!("clients refuse what is published now: {problem}")),
        (None, published) => {
            lines.push(format!("published now is snapshot {}", published.unwrap_or_default()))
        }
    }
    lines.push("not trusted any more:".to_owned());
    lines.extend(plan.lost.iter().map(|lost| format!("  {}: {}", lost.role, lost.because)));

    lines.push(format!("\n1. root {} replaces keys, without dual signatures", version("root")));
    for key in &plan.keys {
        let made = if key.exists { "" } else { " (--apply makes it)" };
        let gone = key.old_uri.clone().or_else(|| key.old.as_ref().map(|id| id.chars().take(8).collect()));
        let gone = gone.map_or_else(|| "besides".to_owned(), |old| format!("in place of {old}"));
        lines.push(format!("  {}: {}{made} {gone}", key.role, key.new_uri));
    }
    for missing in &plan.missing_keys {
        lines.push(format!(
            "  {missing}: to be made by its holder, and named with --new-key {}=URI",
            missing.role
        ));
    }
    lines.push("\n2. people sign".to_owned());
    for signing in &plan.signing {
        let (old, new) = signing.versions;
        let known = signing.now.keys.iter().map(|key| {
            let name = key.uri.clone().unwrap_or_else(|| key.keyid.chars().take(8).collect());
            format!("{name}{}", if key.here { " (here)" } else { "" })
        });
        let keys: Vec<String> = known.chain(signing.new.iter().map(|name| format!("{name} (new)"))).collect();
        lines.push(format!(
            "  {} {old} → {new}: {} of {}",
            signing.role,
            signing.now.threshold,
            keys.join(", ")
        ));
    }
    let targets = &plan.targets;
    lines.push(format!(
        "\n3. targets that were different after snapshot {}: {} added, {} changed, {} removed; of these {} are kept",
        good.version, targets.added, targets.changed, targets.removed, targets.kept
    ));
    for difference in shown {
        lines.extend(difference_lines(difference));
    }
    if more > 0 {
        lines.push(format!("  and {more} more: --bulletin FILE has all of them"));
    }
    lines
        .extend(plan.foreign.iter().map(|role| format!("  role {role} is in later snapshots only: it goes")));
    lines.extend(plan.unreadable.iter().map(|reason| format!("  not known: {reason}")));

    lines.push(format!(
        "\n4. {} hash bins are signed anew: new keys, higher versions, new expiries",
        plan.bins
    ));
    lines.push(format!(
        "5. snapshot {} and timestamp {} are published right after root {}",
        version("snapshot"),
        version("timestamp"),
        version("root")
    ));
    lines.push(
        "\nClients that get the new root forget the versions of timestamp and snapshot that they saw, and accept nothing more that \
         the old keys signed."
            .to_owned(),
    );
    lines.push(match &plan.event {
        Some(event) => format!("event {event} is open; `tuf-repo recover --apply` goes on"),
        None => format!(
            "nothing was changed; to carry it out: the same command with --apply --plan {}{}",
            plan.id,
            if request.keep.is_empty() && targets.added > 0 {
                ", and --keep PATH for uploads that were legitimate"
            } else {
                ""
            }
        ),
    });
    lines.join("\n")
}

fn difference_lines(difference: &Difference) -> Vec<String> {
    let sign = match difference.kind {
        DifferenceKind::Added => "+",
        DifferenceKind::Removed => "-",
        _ => "~",
    };
    let kept = if difference.kept { ", kept" } else { "" };
    let mut lines = vec![format!("  {sign} {:?} in {}{kept}", difference.path, difference.role)];
    let facts = |file: &library::FileFacts| {
        let hashes: Vec<String> = file.hashes.iter().map(|(name, sum)| format!("{name} {sum}")).collect();
        format!("{} bytes, {}", file.length, hashes.join(", "))
    };
    lines.extend(difference.good.as_ref().map(|good| format!("      was {}", facts(good))));
    for seen in &difference.seen {
        let now = if seen.published { ", published now" } else { "" };
        let what = seen.file.as_ref().map_or_else(|| "no target".to_owned(), facts);
        lines.push(format!("      snapshots {}–{}{now}: {what}", seen.first_snapshot, seen.last_snapshot));
    }
    lines
}
