//! `tuf-repo bins`.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use tuf_core::RoleName;
use tuf_repo_tool::Repository;
use tuf_repo_tool::edit::{Edit, EditBins, Sizing, sizing, staged_edits};

use super::add::role_name;
use super::delegate::stage_one;
use super::output::size;
use super::{Failure, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show what other numbers of hash bins would cost clients
    Plan {
        /// The role above the bins
        #[arg(long, value_parser = role_name, default_value = "bins")]
        role: RoleName,
        /// Reckon with this many targets, instead of those there are
        #[arg(long, value_name = "N")]
        targets: Option<u64>,
    },
    /// Stage another number of hash bins; clients notice nothing but the download
    Resize {
        /// How many: a power of two up to 65536
        count: u32,
        /// The role above the bins
        #[arg(long, value_parser = role_name, default_value = "bins")]
        role: RoleName,
    },
}

pub(crate) async fn run(command: Command, repository: &Repository, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Plan { role, targets } => {
            let sizing = tokio::task::block_in_place(|| sizing(repository, &role, targets))?;
            output.result(&sizing, &text(&sizing));
            Ok(())
        }
        Command::Resize { count, role } => {
            let _lock = repository.lock()?;
            let state = repository.open_state().await?;
            let mut edit = EditBins::new(role);
            edit.count = Some(count);
            let staged = staged_edits(&state).await?;
            stage_one(repository, &state, &staged, &Edit::EditBins(edit), output).await
        }
    }
}

fn text(sizing: &Sizing) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "",
        "BINS",
        "ONE BIN",
        "SNAPSHOT",
        "ALL DELEGATIONS",
        "RETURNING CLIENT",
        "NEW CLIENT",
        "",
    ]);
    for choice in &sizing.choices {
        let mark = match (choice.count == sizing.count, choice.recommended) {
            (true, true) => "now, best",
            (true, false) => "now",
            (false, true) => "best",
            (false, false) => "",
        };
        let limits = choice
            .limits
            .iter()
            .map(|limit| format!("{} over the {} of {}", limit.file, size(limit.limit), limit.clients));
        table.add_row([
            mark.to_owned(),
            choice.count.to_string(),
            size(choice.bin),
            size(choice.snapshot),
            size(choice.delegations),
            size(choice.returning),
            size(choice.new),
            limits.collect::<Vec<_>>().join("; "),
        ]);
    }
    format!(
        "{} targets below {}, {} bytes each; sizes before compression\n{table}\n\
         A returning client downloads the snapshot and two bins, a new one the delegations as well.\n\
         `tuf-repo bins resize N` stages another number; the snapshot goes on listing the bins that were.",
        sizing.targets, sizing.role, sizing.bytes_per_target
    )
}
