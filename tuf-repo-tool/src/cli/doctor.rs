//! `tuf-repo doctor`.

use std::path::Path;
use std::process::ExitCode;

use tuf_repo_tool::doctor::{Outcome, Report, doctor};

use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out what is as it should be
    #[arg(long)]
    problems: bool,
}

pub(crate) async fn run(args: &Args, repo: &Path, output: &Output) -> Result<(), Failure> {
    let mut report = doctor(repo).await?;
    let (outcome, is_unsafe) = (report.outcome(), report.is_unsafe());
    if args.problems {
        report.checks.retain(|check| check.outcome != Outcome::Ok);
    }
    output.result(&report, &text(&report));
    match (outcome, is_unsafe) {
        (Outcome::Error, true) => Err(Failure::Reported(ExitCode::from(4))),
        (Outcome::Error, false) => Err(Failure::Reported(ExitCode::FAILURE)),
        _ => Ok(()),
    }
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for check in &report.checks {
        lines.push(format!("{:<8} {:<10} {}", check.outcome, check.id, check.message));
        lines.extend(check.hint.iter().map(|hint| format!("{:<19} hint: {hint}", "")));
    }
    if lines.is_empty() {
        lines.push("no problems".to_owned());
    }
    lines.join("\n")
}
