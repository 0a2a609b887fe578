//! `tuf-repo delegate`.

use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;
use tuf_core::{Key, RoleName};
use tuf_repo_tool::edit::{
    AddBins, AddDelegation, Checked, Edit, EditDelegation, EditScope, Place, Standing, delegator_of, stage,
    stage_edit, staged_edits, standing,
};
use tuf_repo_tool::keys::{self, KeyUri};
use tuf_repo_tool::state::State;
use tuf_repo_tool::{DelegationConfig, Error, Period, Repository};

use super::add::role_name;
use super::{Failure, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Let another role sign for some paths
    Add(AddArgs),
    /// Change the keys, threshold, paths or order of a delegated role
    Edit(EditArgs),
    /// Delegate to a role no longer; the snapshot keeps its name
    Remove {
        /// The role
        #[arg(value_parser = role_name)]
        role: RoleName,
    },
    /// Show all delegated roles, published and staged
    List,
    /// Forget all staged edits of roles
    Reset,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The name of the new role
    #[arg(value_parser = role_name)]
    role: RoleName,
    #[command(flatten)]
    scope: ScopeArgs,
    /// A key that may sign for it; several times for several keys
    #[arg(long = "key", value_name = "URI", required = true)]
    keys: Vec<String>,
    /// How many of the keys must sign
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    threshold: u32,
    /// How long a signed file of the role is valid
    #[arg(long, value_name = "PERIOD", default_value = "90d")]
    expires: Period,
    /// The role that delegates to it
    #[arg(long, value_name = "ROLE", default_value = "targets", value_parser = role_name)]
    delegator: RoleName,
    /// No later role is asked for the paths of this one
    #[arg(long)]
    terminating: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// Spread its targets over so many hash bins
    #[arg(long, value_name = "COUNT")]
    bins: Option<u32>,
    /// A key that may sign for its hash bins [default: those of the role]
    #[arg(long = "bin-key", value_name = "URI", requires = "bins")]
    bin_keys: Vec<String>,
    /// How long a signed hash bin is valid
    #[arg(long, value_name = "PERIOD", default_value = "30d", requires = "bins")]
    bin_expires: Period,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ScopeArgs {
    /// Patterns of the paths it may sign for: * matches within one folder
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    paths: Vec<String>,
    /// Prefixes of the SHA-256 of the paths it may sign for
    #[arg(long, value_name = "HEX", num_args = 1..)]
    path_hash_prefixes: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// Its place in the order, 1 is asked first [default: before a role for all paths, or last]
    #[arg(long, value_name = "N", conflicts_with = "before")]
    position: Option<u32>,
    /// Ask it right before this role
    #[arg(long, value_name = "ROLE", value_parser = role_name)]
    before: Option<RoleName>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    /// The role
    #[arg(value_parser = role_name)]
    role: RoleName,
    /// Other patterns of the paths it may sign for
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "path_hash_prefixes")]
    paths: Vec<String>,
    /// Other prefixes of the SHA-256 of the paths it may sign for
    #[arg(long, value_name = "HEX", num_args = 1..)]
    path_hash_prefixes: Vec<String>,
    /// The keys that may sign for it from now on, all of them
    #[arg(long = "key", value_name = "URI")]
    keys: Vec<String>,
    /// How many of the keys must sign
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threshold: Option<u32>,
    /// Whether no later role is asked for the paths of this one
    #[arg(long, value_name = "BOOL")]
    terminating: Option<bool>,
    #[command(flatten)]
    place: PlaceArgs,
}

impl ScopeArgs {
    fn scope(self) -> EditScope {
        match self.paths.is_empty() {
            false => EditScope::Paths(self.paths),
            true => EditScope::PathHashPrefixes(self.path_hash_prefixes),
        }
    }
}

impl PlaceArgs {
    fn place(self) -> Option<Place> {
        self.before.map(Place::Before).or_else(|| self.position.map(Place::At))
    }
}

pub(crate) async fn run(command: Command, repo: &Path, output: &Output) -> Result<(), Failure> {
    let mut repository = Repository::open(repo)?;
    if let Command::List = command {
        let state = repository.open_state().await?;
        return list(&standing(&repository, &staged_edits(&state).await?)?, output);
    }
    let _lock = repository.lock()?;
    repository.reload()?;
    let state = repository.open_state().await?;
    match command {
        Command::Add(args) => add(args, &mut repository, &state, output).await,
        Command::Edit(args) => edit(args, &mut repository, &state, output).await,
        Command::Remove { role } => {
            let staged = staged_edits(&state).await?;
            let delegator = delegator_of(&repository, &staged, &role)?;
            let edit = Edit::RemoveDelegation { delegator, role: role.clone() };
            stage_one(&repository, &state, &staged, &edit, output).await?;
            // Its keys sign nothing any more; what another role has the same is in its own section.
            repository.config.delegations.remove(role.as_str());
            repository.config.delegations.remove(&format!("{}-bin-n", role.as_str()));
            Ok(repository.config.save(repository.directory())?)
        }
        Command::Reset => {
            let mark = state.mark().await?;
            let staged = staged_edits(&state).await?.len();
            state.clear_edits(mark).await?;
            output.result(&json!({ "forgotten": staged }), &format!("{staged} staged edits are forgotten"));
            Ok(())
        }
        Command::List => Ok(()),
    }
}

async fn add(
    args: AddArgs,
    repository: &mut Repository,
    state: &State,
    output: &Output,
) -> Result<(), Failure> {
    let (uris, public) = read_keys(&args.keys, repository)?;
    let mut new = AddDelegation::new(args.delegator, args.role.clone(), public, args.scope.scope());
    new.threshold = args.threshold;
    new.terminating = args.terminating;
    new.place = args.place.place().unwrap_or(Place::Auto);
    let mut sections = vec![(args.role.as_str().to_owned(), uris.clone(), args.expires)];
    if let Some(count) = args.bins {
        let (bin_uris, public) = match args.bin_keys.is_empty() {
            true => (uris, new.keys.clone()),
            false => read_keys(&args.bin_keys, repository)?,
        };
        new.bins = Some(AddBins::new(count, public));
        sections.push((format!("{}-bin-n", args.role.as_str()), bin_uris, args.bin_expires));
    }
    let staged = staged_edits(state).await?;
    let edit = Edit::AddDelegation(new);
    // They also say which of the keys are here.
    for (section, uris, expires) in sections {
        repository.config.delegations.insert(section, DelegationConfig::new(uris, expires));
    }
    let checked = stage(repository, &staged, &edit)?;
    repository.config.save(repository.directory())?;
    staged_one(state, &edit, &checked, output).await
}

async fn edit(
    args: EditArgs,
    repository: &mut Repository,
    state: &State,
    output: &Output,
) -> Result<(), Failure> {
    let staged = staged_edits(state).await?;
    let delegator = delegator_of(repository, &staged, &args.role)?;
    let mut change = EditDelegation::new(delegator, args.role.clone());
    let mut uris = Vec::new();
    if !args.keys.is_empty() {
        let (read, public) = read_keys(&args.keys, repository)?;
        uris = read;
        change.keys = Some(public);
    }
    change.threshold = args.threshold;
    change.terminating = args.terminating;
    change.place = args.place.place();
    let scope = ScopeArgs { paths: args.paths, path_hash_prefixes: args.path_hash_prefixes };
    if !(scope.paths.is_empty() && scope.path_hash_prefixes.is_empty()) {
        change.scope = Some(scope.scope());
    }
    let edit = Edit::EditDelegation(change);
    let other_keys = !uris.is_empty();
    if other_keys {
        repository.config.set_keys(&args.role, uris);
    }
    let checked = stage(repository, &staged, &edit)?;
    if other_keys {
        repository.config.save(repository.directory())?;
    }
    staged_one(state, &edit, &checked, output).await
}

/// Stages an edit that changes nothing in the settings.
pub(super) async fn stage_one(
    repository: &Repository,
    state: &State,
    staged: &[Edit],
    edit: &Edit,
    output: &Output,
) -> Result<(), Failure> {
    let checked = stage(repository, staged, edit)?;
    staged_one(state, edit, &checked, output).await
}

async fn staged_one(state: &State, edit: &Edit, checked: &Checked, output: &Output) -> Result<(), Failure> {
    stage_edit(state, edit).await?;
    checked.warnings.iter().for_each(|warning| output.warn(warning));
    let document = json!({ "staged": edit.describe(), "warnings": checked.warnings, "next": checked.next });
    output.result(&document, &format!("staged: {}; `{}` makes it so", edit.describe(), checked.next));
    Ok(())
}

fn read_keys(uris: &[String], repository: &Repository) -> Result<(Vec<KeyUri>, Vec<Key>), Failure> {
    let mut read = (Vec::new(), Vec::new());
    for uri in uris {
        let uri: KeyUri = uri.parse().map_err(Error::from)?;
        read.1.push(keys::public(&uri, repository.directory()).map_err(Error::from)?);
        read.0.push(uri);
    }
    Ok(read)
}

fn list(roles: &[Standing], output: &Output) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "",
        "ROLE",
        "ORDER",
        "FOR",
        "KEYS",
        "SIGN",
        "VERSION",
        "TARGETS",
        "EXPIRES",
        "TERMINATING",
    ]);
    for role in roles {
        let indent = "  ".repeat(role.depth.saturating_sub(1));
        let scope = match (&role.paths, &role.path_hash_prefixes) {
            (Some(paths), _) => paths.join(" "),
            (None, Some(prefixes)) if prefixes.len() == 16 => "all paths".to_owned(),
            (None, Some(prefixes)) => format!("sha256 {}", prefixes.join(" ")),
            (None, None) if role.count > 1 => format!("{} hash bins", role.count),
            (None, None) => String::new(),
        };
        let keys: Vec<_> = role
            .keys
            .iter()
            .map(|key| key.uri.clone().unwrap_or_else(|| key.keyid.chars().take(8).collect()))
            .collect();
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            role.staged.map(String::from).unwrap_or_default(),
            format!("{indent}{}", role.role),
            if role.place == 0 { String::new() } else { role.place.to_string() },
            scope,
            keys.join(" "),
            format!("{} of {}", role.threshold, role.keys.len()),
            or_none(role.version.map(|version| version.to_string())),
            or_none(role.targets.map(|targets| targets.to_string())),
            or_none(role.expires.map(|expires| expires.format("%Y-%m-%d %H:%M").to_string())),
            if role.terminating { "yes".to_owned() } else { String::new() },
        ]);
    }
    let text = if roles.is_empty() { "targets delegates to no role".to_owned() } else { table.to_string() };
    output.result(&roles, &text);
    Ok(())
}
