//! `tuf-repo status`.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;
use tuf_repo_tool::edit::staged_changes;
use tuf_repo_tool::health::{Problem, problems, span};
use tuf_repo_tool::{Period, Repository, Status, status};

use super::mirror::extend;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail with exit code 4 if clients refuse something within this time, or if renewing is late
    #[arg(long, value_name = "TIME")]
    fail_within: Option<Period>,
}

pub(crate) async fn run(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let (_, staged) = staged_changes(&repository.open_state().await?).await?;
    let (now, status) = (repository.now(), status(repository, &staged)?);
    let mut document = serde_json::to_value(&status).unwrap_or_default();
    let mut text = text(&status, now);
    let Some(within) = args.fail_within else {
        output.result(&document, &text);
        return Ok(());
    };
    let problems = problems(&status, now, Some(within.delta()));
    let unpublished = status.roles.iter().all(|role| role.expires.is_none());
    extend(&mut document, json!({ "problems": problems }));
    text.push_str(&verdict(&problems, unpublished, within));
    output.result(&document, &text);
    match unpublished || !problems.is_empty() {
        true => Err(Failure::Reported(ExitCode::from(4))),
        false => Ok(()),
    }
}

/// One line for a monitor, and one for each problem.
fn verdict(problems: &[Problem], unpublished: bool, within: Period) -> String {
    if unpublished {
        return "\nFAIL: nothing is published\n".to_owned();
    }
    if problems.is_empty() {
        return format!("\nOK: clients refuse nothing within {within}, and renewing is not late\n");
    }
    let lines = problems.iter().map(|problem| format!("FAIL: {}\n", problem.message));
    format!("\n{}", lines.collect::<String>())
}

fn text(status: &Status, now: DateTime<Utc>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let header = [
        "ROLE",
        "COUNT",
        "VERSION",
        "SIGNED BY",
        "THRESHOLD",
        "RENEWED FROM",
        "REFUSED FROM",
        "LEFT",
        "STATE",
    ];
    table.set_header(header);
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%d %H:%M").to_string())
    };
    for role in &status.roles {
        let left = |expires: DateTime<Utc>| span((expires - now).max(TimeDelta::zero()));
        table.add_row([
            role.role.clone(),
            role.count.to_string(),
            role.version.to_string(),
            role.keys.join(" "),
            format!("{} of {}", role.threshold, role.keys.len()),
            time(role.renews),
            time(role.expires),
            role.expires.map_or_else(|| "-".to_owned(), left),
            role.state.map_or_else(|| "-".to_owned(), |state| state.to_string()),
        ]);
    }
    let mut text = format!("{table}\n\n{} targets\n", status.targets);
    for todo in &status.todo {
        text.push_str(&format!("to do: {todo}\n"));
    }
    text
}
