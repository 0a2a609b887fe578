//! `tuf-repo rebuild` and `tuf-repo import`.

use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use tuf_client::clock;
use tuf_repo_tool::adopt::{self, AdoptedRole, Given, ImportOptions, RebuildOptions, Source};
use tuf_repo_tool::keys::{KeyUri, Passphrases};
use tuf_repo_tool::state::StateUrl;
use url::Url;

use super::init::state_url;
use super::log::Reason;
use super::{Failure, Output};

/// What published metadata does not say.
#[derive(Debug, clap::Args)]
pub(crate) struct GivenArgs {
    /// Where published files are, s3://BUCKET/PREFIX [default: what the settings say, or the directory public/]
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// The database that several machines share, postgres://USER@HOST/DATABASE [default: a file in state/]
    #[arg(long, value_name = "URL", value_parser = state_url)]
    state: Option<StateUrl>,
    /// Where clients get what is published
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
    /// A key of the repository that is not in its keys/; may be given several times
    #[arg(long = "key", value_name = "URI")]
    keys: Vec<KeyUri>,
}

impl GivenArgs {
    fn given(&self) -> Given {
        let mut given = Given::default();
        given.storage.clone_from(&self.storage);
        given.state.clone_from(&self.state);
        given.public_url.clone_from(&self.public_url);
        given.keys.clone_from(&self.keys);
        given
    }

    /// Whether anything is for settings only.
    fn has_settings(&self) -> bool {
        self.storage.is_some() || self.state.is_some() || self.public_url.is_some() || !self.keys.is_empty()
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    /// Make tuf-repo.toml anew as well, although there is one; the old one is kept in state/aside/
    #[arg(long)]
    settings: bool,
    /// Only say what would be done, and print the settings
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    reason: Reason,
}

pub(crate) async fn rebuild(args: &RebuildArgs, repo: &Path, output: &Output) -> Result<(), Failure> {
    let has_settings = repo.join("tuf-repo.toml").exists();
    if has_settings && !args.settings && args.given.has_settings() {
        return Err(Failure::Usage(
            "there are settings: --storage, --state, --public-url and --key need --settings",
        ));
    }
    let mut options = RebuildOptions::default();
    options.settings = args.settings;
    options.dry_run = args.dry_run;
    options.given = args.given.given();
    options.why = args.reason.text().map(str::to_owned);
    let rebuilt = adopt::rebuild(repo, &options, clock::now(), &mut Passphrases::from_environment()).await?;
    let mut text = format!(
        "{} from root {} and timestamp {}, which list {} targets\n",
        if args.dry_run { "would be rebuilt" } else { "rebuilt" },
        rebuilt.root,
        rebuilt.timestamp,
        rebuilt.targets
    );
    text.push_str(&roles_text(&rebuilt.roles));
    for path in &rebuilt.written {
        text.push_str(&format!("written: {}\n", path.display()));
    }
    for (path, copy) in &rebuilt.aside {
        text.push_str(&format!("kept: {} as {}\n", path.display(), copy.display()));
    }
    if let Some(settings) = rebuilt.settings.as_ref().filter(|_| args.dry_run) {
        text.push_str(&format!("\n{settings}"));
    }
    rebuilt.notes.iter().for_each(|note| output.warn(note));
    output.result(&rebuilt, &text);
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// What to take over: a directory, an https://, http:// or file:// URL, or s3://BUCKET/PREFIX, with metadata/ and targets/
    /// below it
    source: String,
    /// The directory of the new repository
    directory: PathBuf,
    /// A root that is known to be the repository's; without it, compare the sha256 that is printed
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Where metadata is, if not in metadata/ below the source
    #[arg(long, value_name = "URL")]
    metadata_url: Option<tuf_client::Url>,
    /// Where targets are, if not in targets/ below the source
    #[arg(long, value_name = "URL")]
    targets_url: Option<tuf_client::Url>,
    /// Fetch no files of targets: they are in the storage already
    #[arg(long)]
    metadata_only: bool,
    #[command(flatten)]
    given: GivenArgs,
    #[command(flatten)]
    reason: Reason,
}

pub(crate) async fn import(args: &ImportArgs, output: &Output) -> Result<(), Failure> {
    let source = Source::open(&args.source, args.metadata_url.as_ref(), args.targets_url.as_ref())?;
    let mut options = ImportOptions::default();
    options.given = args.given.given();
    options.anchor.clone_from(&args.root);
    options.metadata_only = args.metadata_only;
    options.why = args.reason.text().map(str::to_owned);
    let mut passphrases = Passphrases::from_environment();
    let imported = adopt::import(&source, &args.directory, &options, clock::now(), &mut passphrases).await?;
    let directory = args.directory.display();
    let text = format!(
        "{directory} is a repository with root {} and timestamp {}: {} targets, {} files fetched ({})\n{}first root: sha256 {}\n\
         Next: tuf-repo --repo {directory} status",
        imported.root,
        imported.timestamp,
        imported.targets,
        imported.files,
        super::output::size(imported.bytes),
        roles_text(&imported.roles),
        imported.first_root,
    );
    if !imported.anchored {
        output.warn(
            "no root was given to compare with: that this is the right repository rests on the sha256 of its first root",
        );
    }
    imported.notes.iter().for_each(|note| output.warn(note));
    output.result(&imported, &text);
    Ok(())
}

/// How each role is signed, as a table.
fn roles_text(roles: &[AdoptedRole]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["ROLE", "COUNT", "VERSION", "KEYS HERE", "THRESHOLD", "VALID FOR", "KEYS"]);
    for role in roles {
        let assumed = if role.period_seen { "" } else { " (assumed)" };
        table.add_row([
            role.role.clone(),
            role.count.to_string(),
            role.version.to_string(),
            role.here.to_string(),
            format!("{} of {}", role.threshold, role.keys.len()),
            format!("{}{assumed}", role.period),
            role.keys.join(" "),
        ]);
    }
    if roles.is_empty() { String::new() } else { format!("{table}\n") }
}
