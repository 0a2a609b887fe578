//! `tuf-repo status`.

use chrono::{DateTime, Utc};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use tuf_repo_tool::edit::staged_changes;
use tuf_repo_tool::{Repository, status};

use super::{Failure, Output};

pub(crate) async fn run(repository: &Repository, output: &Output) -> Result<(), Failure> {
    let (_, staged) = staged_changes(&repository.open_state().await?).await?;
    let status = status(repository, &staged)?;
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["ROLE", "COUNT", "VERSION", "SIGNED BY", "THRESHOLD", "EXPIRES", "RENEWS"]);
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%d %H:%M").to_string())
    };
    for role in &status.roles {
        table.add_row([
            role.role.clone(),
            role.count.to_string(),
            role.version.to_string(),
            role.keys.join(" "),
            format!("{} of {}", role.threshold, role.keys.len()),
            time(role.expires),
            time(role.renews),
        ]);
    }
    let mut text = format!("{table}\n\n{} targets\n", status.targets);
    for todo in &status.todo {
        text.push_str(&format!("to do: {todo}\n"));
    }
    output.result(&status, &text);
    Ok(())
}
