//! `tuf-repo role`.

use std::path::Path;

use serde_json::json;
use tuf_core::RoleName;
use tuf_repo_tool::edit::{Edit, EditBins, EditDelegation, RoleView, delegator_of, staged_edits, view};
use tuf_repo_tool::log::{self, Did, Entry};
use tuf_repo_tool::publish::bins_role;
use tuf_repo_tool::{Period, Repository};

use super::add::role_name;
use super::delegate::stage_one;
use super::log::reason;
use super::{Failure, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show one role: keys, threshold, version, expiry, and what `tuf-repo.toml` says of it
    Show {
        /// The role; bin-n or NAME-bin-n for hash bins
        #[arg(value_parser = role_name)]
        role: RoleName,
    },
    /// Change how long a role is valid, when it is signed again, or how many must sign
    Edit(EditArgs),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct EditArgs {
    /// The role; bin-n or NAME-bin-n for hash bins
    #[arg(value_parser = role_name)]
    role: RoleName,
    /// How long a file that is signed from now on is valid
    #[arg(long, value_name = "PERIOD", required_unless_present_any = ["renew_after", "threshold"])]
    expires: Option<Period>,
    /// After how long `renew` signs it again
    #[arg(long, value_name = "PERIOD")]
    renew_after: Option<Period>,
    /// How many of its keys must sign
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threshold: Option<u32>,
    /// Why, for the log
    #[arg(long, short = 'm', value_name = "REASON", value_parser = reason)]
    message: Option<String>,
}

pub(crate) async fn run(command: Command, repo: &Path, output: &Output) -> Result<(), Failure> {
    let mut repository = Repository::open(repo)?;
    match command {
        Command::Show { role } => {
            let state = repository.open_state().await?;
            show(&view(&repository, &staged_edits(&state).await?, &role)?, output);
            Ok(())
        }
        Command::Edit(args) => {
            let _lock = repository.lock()?;
            repository.reload()?;
            edit(&args, &mut repository, output).await
        }
    }
}

async fn edit(args: &EditArgs, repository: &mut Repository, output: &Output) -> Result<(), Failure> {
    let role = &args.role;
    if args.expires.is_some() || args.renew_after.is_some() {
        repository.config.set_periods(role, args.expires, args.renew_after)?;
    }
    if let Some(threshold) = args.threshold {
        let state = repository.open_state().await?;
        let staged = staged_edits(&state).await?;
        let edit = match above_bins(role) {
            Some(above) => {
                let mut edit = EditBins::new(above);
                edit.threshold = Some(threshold);
                Edit::EditBins(edit)
            }
            None => {
                let delegator = delegator_of(repository, &staged, role)?;
                let mut edit = EditDelegation::new(delegator, role.clone());
                edit.threshold = Some(threshold);
                Edit::EditDelegation(edit)
            }
        };
        stage_one(repository, &state, &staged, &edit, output).await?;
    }
    repository.config.save(repository.directory())?;
    if args.expires.is_some() || args.renew_after.is_some() {
        let mut entry =
            Entry::new(Did::Settings).because(args.message.as_deref()).with("role", role.as_str());
        for (name, period) in [("expires", args.expires), ("renew_after", args.renew_after)] {
            if let Some(period) = period {
                entry = entry.with(name, period.to_string());
            }
        }
        log::append(repository, &entry)?;
    }
    if args.threshold.is_none() {
        let document = json!({ "role": role.as_str() });
        output.result(&document, &format!("role {role} is signed so from its next signature on"));
    }
    Ok(())
}

/// The role above the hash bins that this name stands for.
fn above_bins(role: &RoleName) -> Option<RoleName> {
    match role.as_str() {
        "bin-n" => Some(bins_role()),
        name => RoleName::new(name.strip_suffix("-bin-n")?).ok(),
    }
}

fn show(role: &RoleView, output: &Output) {
    let mut text = format!("role         {}\n", role.role);
    if let Some(delegator) = &role.delegator {
        text.push_str(&format!("delegated by {delegator}\n"));
    }
    text.push_str(&format!("signed by    {} of {} keys\n", role.threshold, role.keys.len()));
    for key in &role.keys {
        let place = match (&key.uri, key.here) {
            (Some(uri), true) => format!("{uri}, here"),
            (Some(uri), false) => format!("{uri}, not here"),
            (None, _) => "elsewhere".to_owned(),
        };
        text.push_str(&format!("             {}  {place}\n", key.keyid));
    }
    match (role.version, role.expires) {
        (Some(version), Some(expires)) => {
            text.push_str(&format!("version      {version}, expires {}\n", expires.format("%Y-%m-%d %H:%M")));
        }
        _ => text.push_str("version      not published\n"),
    }
    if let Some(valid) = &role.valid {
        let renewed = role.renewed_after.as_deref().unwrap_or("half of it");
        text.push_str(&format!("valid for    {valid}, signed again after {renewed}\n"));
    } else {
        text.push_str("settings     none: another machine signs it\n");
    }
    for edit in &role.staged {
        text.push_str(&format!("staged       {edit}\n"));
    }
    output.result(role, &text);
}
