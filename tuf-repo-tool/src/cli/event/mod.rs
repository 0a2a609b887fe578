//! `tuf-repo event`: threshold signing.

mod show;

use std::path::{Path, PathBuf};

use dialoguer::Confirm;
use std::io::IsTerminal;
use tuf_core::RoleName;
use tuf_repo_tool::event::{
    self, Consent, EventError, EventStatus, Events, KeyChanges, NamedKey, Opening, Review,
};
use tuf_repo_tool::keys::{self, KeyError, KeyUri, Passphrases, Signer};
use tuf_repo_tool::{Error, Period, PeriodError, Repository};

use super::key::public_half;
use super::log::{Reason, Signing};
use super::publish::{document as outcome_document, text as outcome_text};
use super::{Failure, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Draft a change to a role, as one file for those who sign
    Open(OpenArgs),
    /// Show what an event changes, who signed, and who is missing
    Show {
        /// A bundle, or the ID of a pending event
        #[arg(value_name = "FILE|ID")]
        event: String,
        /// The newest root that you know
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
    },
    /// Sign a bundle; needs no repository and no network
    Sign(SignArgs),
    /// Take over the signatures in bundles that came back
    Import {
        /// The bundles
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Say what is pending, and what to do next
    Status {
        /// One event; otherwise all
        id: Option<String>,
    },
    /// The same as status without an ID
    List,
    /// Give an event up
    Abort {
        /// The event
        id: String,
        #[command(flatten)]
        reason: Reason,
    },
    /// Publish an event to which no signature is missing
    Finish {
        /// The event; needless if only one is pending
        id: Option<String>,
        #[command(flatten)]
        signing: Signing,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    /// The role whose file changes: root, targets, bins, or a delegated one
    role: RoleArgument,
    /// Make the staged edits of its delegations (`delegate add`, `delegate edit`, `delegate remove`)
    #[arg(long, conflicts_with_all = ["add_key", "remove_key", "threshold"])]
    staged: bool,
    /// Let a key sign for a role that this one names: a key URI (pub:keys/NAME.pub.json), or the file of a public key
    #[arg(long, value_name = "ROLE=URI", value_parser = pair)]
    add_key: Vec<(String, String)>,
    /// No longer let a key sign: the start of its ID
    #[arg(long, value_name = "ROLE=KEYID", value_parser = pair)]
    remove_key: Vec<(String, String)>,
    /// How many keys must sign for a role that this one names; the hash bins are `bin-n`
    #[arg(long, value_name = "ROLE=N", value_parser = threshold)]
    threshold: Vec<(String, u32)>,
    /// How long the new file is valid: 365d, 12h [default: as tuf-repo.toml says]
    #[arg(long, value_name = "PERIOD", value_parser = |text: &str| text.parse::<Period>().map_err(|error: PeriodError| error.to_string()))]
    expires: Option<Period>,
    /// Why, for those who sign and for the log
    #[arg(long, visible_alias = "message", short = 'm', value_name = "REASON")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SignArgs {
    /// The bundle
    file: PathBuf,
    /// The key to sign with; a relative file starts at the current directory
    #[arg(long, required = true, value_name = "URI")]
    key: Vec<KeyUri>,
    /// The newest root that you know: the bundle must go on from it
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Do not ask: the change was looked at before
    #[arg(long, conflicts_with = "phrase")]
    yes: bool,
    /// The check phrase as you were told it; another bundle is refused
    #[arg(long)]
    phrase: Option<String>,
}

#[derive(Clone, Debug)]
struct RoleArgument(RoleName);

impl std::str::FromStr for RoleArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        RoleName::new(text).map(Self).map_err(|error| error.to_string())
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((role, value)) if !role.is_empty() && !value.is_empty() => {
            Ok((role.to_owned(), value.to_owned()))
        }
        _ => Err("expected ROLE=VALUE".to_owned()),
    }
}

fn threshold(text: &str) -> Result<(String, u32), String> {
    let (role, number) = pair(text)?;
    Ok((role, number.parse().map_err(|_| format!("{number:?} is no number of keys"))?))
}

pub(crate) async fn run(command: Command, repo: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Open(args) => open(args, &Repository::open(repo)?, output).await,
        Command::Show { event, root } => show(&event, root.as_deref(), repo, output),
        Command::Sign(args) => sign(&args, output),
        Command::Import { files, reason } => import(&files, &reason, &Repository::open(repo)?, output),
        Command::Status { id } => status(id.as_deref(), &Repository::open(repo)?, output),
        Command::List => status(None, &Repository::open(repo)?, output),
        Command::Abort { id, reason } => {
            let (kept, restaged) = event::abort(&Repository::open(repo)?, &id, reason.text()).await?;
            let mut text = format!("event {id} is given up; its bundle is kept in {}", kept.display());
            if restaged > 0 {
                text.push_str(&format!("\n{restaged} edits of delegations are staged again"));
            }
            let document = serde_json::json!({"id": id, "aborted": true, "kept": kept, "restaged": restaged});
            output.result(&document, &text);
            Ok(())
        }
        Command::Finish { id, signing } => finish(id, &signing, &Repository::open(repo)?, output).await,
    }
}

async fn open(args: OpenArgs, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let mut keys = KeyChanges::default();
    for (role, key) in args.add_key {
        keys.add.push((role, named_key(&key, repository)?));
    }
    keys.remove = args.remove_key;
    keys.thresholds = args.threshold;
    let mut opening = Opening::new(args.role.0, args.reason);
    opening.keys = keys;
    opening.expires = args.expires;
    let bundle = match args.staged {
        true => event::open_staged(repository, opening).await?,
        false => event::open(repository, &opening)?,
    };
    let review = Review::of(&bundle).map_err(Error::from)?;
    let path = Events::of(repository).path(bundle.id());
    let text = format!(
        "{}\nThe bundle is {}\nSend it to those who sign: tuf-repo event sign FILE --key URI",
        show::text(&review, true),
        path.display()
    );
    output.result(&serde_json::json!({"bundle": path, "event": review}), &text);
    Ok(())
}

/// A key by its URI or by the file of its public half, with its name.
fn named_key(text: &str, repository: &Repository) -> Result<NamedKey, Failure> {
    let key = public_half(text, repository.directory())?;
    let uri = if KeyUri::is_uri(text) { text.parse()? } else { KeyUri::Public(text.into()) };
    Ok(NamedKey::new(uri.name(), key))
}

fn show(event: &str, root: Option<&Path>, repo: &Path, output: &Output) -> Result<(), Failure> {
    let file = Path::new(event);
    let bundle =
        if file.exists() { event::read(file)? } else { Events::of(&Repository::open(repo)?).load(event)? };
    pin(&bundle, root)?;
    let review = Review::of(&bundle).map_err(Error::from)?;
    output.result(&review, &show::text(&review, root.is_none()));
    Ok(())
}

fn pin(bundle: &event::Bundle, root: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = root else { return Ok(()) };
    let known = std::fs::read(path)
        .map_err(|error| Failure::Message(format!("cannot read {}: {error}", path.display()), None))?;
    Ok(bundle.check_pin(&known).map_err(Error::from)?)
}

fn sign(args: &SignArgs, output: &Output) -> Result<(), Failure> {
    let bundle = event::read(&args.file)?;
    pin(&bundle, args.root.as_deref())?;
    let review = Review::of(&bundle).map_err(Error::from)?;
    output.say(&show::text(&review, args.root.is_none()));
    let consent = match (&args.phrase, args.yes) {
        (Some(phrase), _) => Consent::Phrase(phrase.clone()),
        (None, true) => Consent::Given,
        (None, false) => ask()?,
    };
    let mut passphrases = Passphrases::from_environment();
    let here = Path::new(".");
    let signers: Vec<Box<dyn Signer>> = args
        .key
        .iter()
        .map(|uri| keys::open(uri, here, &mut passphrases))
        .collect::<Result<_, KeyError>>()?;
    let names: Vec<String> = args.key.iter().map(KeyUri::name).collect();
    let (bundle, roles) = event::sign(&args.file, &bundle, &signers, &names, &consent)?;
    let review = Review::of(&bundle).map_err(Error::from)?;
    let roles: Vec<String> = roles.iter().map(RoleName::to_string).collect();
    let mut text = format!("{}: signed {} with {}", args.file.display(), roles.join(", "), names.join(", "));
    for missing in review.missing() {
        text.push_str(&format!("\nstill missing: {missing}"));
    }
    if review.complete {
        text.push_str(&format!(
            "\ncomplete: tuf-repo event import FILE, then tuf-repo event finish {}",
            review.id
        ));
    }
    output.result(&serde_json::json!({"signed": roles, "event": review}), &text);
    Ok(())
}

fn ask() -> Result<Consent, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::from(EventError::NotConfirmed("nobody could be asked")).into());
    }
    let question = "Is this the change, and the check phrase that the others have? Sign it?";
    let answer = Confirm::new().with_prompt(question).default(false).interact();
    if answer.unwrap_or(false) {
        Ok(Consent::Given)
    } else {
        Err(Error::from(EventError::NotConfirmed("you said no")).into())
    }
}

fn import(
    files: &[PathBuf],
    reason: &Reason,
    repository: &Repository,
    output: &Output,
) -> Result<(), Failure> {
    let events = Events::of(repository);
    let (mut documents, mut lines) = (Vec::new(), Vec::new());
    for file in files {
        let (bundle, new) = events.import(file, reason.text())?;
        let review = Review::of(&bundle).map_err(Error::from)?;
        lines.push(format!("{}: {new} new signatures for event {}", file.display(), bundle.id()));
        lines.extend(review.missing().into_iter().map(|missing| format!("still missing: {missing}")));
        if review.complete {
            lines.push(format!("complete: tuf-repo event finish {}", bundle.id()));
        }
        documents.push(serde_json::json!({"file": file, "new": new, "event": review}));
    }
    output.result(&documents, &lines.join("\n"));
    Ok(())
}

fn status(id: Option<&str>, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let pending = event::status(repository, id)?;
    let text = match (pending.as_slice(), id) {
        ([], _) => "no event is pending".to_owned(),
        ([event], Some(_)) => format!("{}\nnext: {}", show::text(&event.review, false), event.next),
        (events, _) => events.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    output.result(&pending, &text);
    Ok(())
}

fn line(event: &EventStatus) -> String {
    let review = &event.review;
    let mut text =
        format!("{}  opened {}  {}", review.id, review.opened.format("%Y-%m-%d %H:%M"), review.reason);
    match &event.outdated {
        Some(reason) => text.push_str(&format!("\n  {reason}")),
        None if review.complete => text.push_str("\n  complete"),
        None => text.extend(review.missing().iter().map(|missing| format!("\n  {missing}"))),
    }
    format!("{text}\n  next: {}", event.next)
}

async fn finish(
    id: Option<String>,
    signing: &Signing,
    repository: &Repository,
    output: &Output,
) -> Result<(), Failure> {
    let id = match id {
        Some(id) => id,
        None => Events::of(repository).only()?,
    };
    let lock = repository.lock()?;
    let options = signing.options().guarded(repository).await?;
    let mut passphrases = Passphrases::from_environment();
    let finished = event::finish(repository, &lock, &mut passphrases, &id, &options).await?;
    let mut lines = vec![format!("event {id} is finished")];
    let published = outcome_text(&finished.outcome, "");
    lines.extend(Some(published).filter(|text| !text.is_empty()));
    if let Some(version) = finished.root {
        let copy = repository.directory().join("root.json");
        lines.push(format!("published root {version}; {} is a copy of it", copy.display()));
    }
    if finished.follows {
        lines = lines.split_off(1);
        lines.push(format!("the other roles follow it: `tuf-repo event finish {id}` when clients have it"));
    }
    let document = serde_json::json!({
        "id": id,
        "root": finished.root,
        "follows": finished.follows,
        "published": outcome_document(&finished.outcome),
    });
    output.result(&document, &lines.join("\n"));
    Ok(())
}
