//! `tuf-repo plan`.

use std::process::ExitCode;

use tuf_repo_tool::Repository;
use tuf_repo_tool::edit::staged_changes;
use tuf_repo_tool::publish::{Plan, plan};

use super::output::size;
use super::{Failure, Output};

/// As many targets are named in the text; `--json` names all.
const NAMED: usize = 50;

/// As many roles are.
const NAMED_ROLES: usize = 12;

pub(crate) async fn run(repository: &Repository, output: &Output) -> Result<(), Failure> {
    let (_, changes) = staged_changes(&repository.open_state().await?).await?;
    let plan = tokio::task::block_in_place(|| plan(repository, &changes))?;
    output.result(&plan, &text(&plan));
    match plan.needs_signatures() {
        true => Err(Failure::Reported(ExitCode::from(3))),
        false => Ok(()),
    }
}

fn text(plan: &Plan) -> String {
    if !plan.timestamp {
        return "nothing to publish".to_owned();
    }
    let mut lines = plan.edits.clone();
    for target in plan.targets.iter().take(NAMED) {
        lines.push(match (target.before, target.after) {
            (None, Some(after)) => format!("+ {} ({}) in {}", target.path, size(after), target.role),
            (Some(before), Some(after)) => {
                format!("~ {} ({} to {}) in {}", target.path, size(before), size(after), target.role)
            }
            (before, None) => {
                format!("- {} ({}) from {}", target.path, size(before.unwrap_or_default()), target.role)
            }
        });
    }
    if plan.targets.len() > NAMED {
        lines.push(format!("  and {} targets more; --json names all", plan.targets.len() - NAMED));
    }
    let count = |is: fn(&(Option<u64>, Option<u64>)) -> bool| {
        plan.targets.iter().filter(|target| is(&(target.before, target.after))).count()
    };
    lines.push(format!(
        "targets      {} added, {} changed, {} removed",
        count(|(before, _)| before.is_none()),
        count(|(before, after)| before.is_some() && after.is_some()),
        count(|(_, after)| after.is_none())
    ));
    let named: Vec<_> = plan.roles.iter().take(NAMED_ROLES).map(|role| role.role.as_str()).collect();
    let due = plan.roles.iter().filter(|role| role.due).count();
    lines.push(format!(
        "roles        {} signed, {} of them hash bins, {due} only because they are due: {}{}",
        plan.roles.len(),
        plan.bins,
        named.join(" "),
        if plan.roles.len() > NAMED_ROLES { " …" } else { "" }
    ));
    lines.push(format!("writes       {} files of metadata, {}", plan.files, size(plan.bytes)));
    for (role, need) in &plan.signatures {
        let keys: Vec<_> = need
            .keys
            .iter()
            .map(|key| {
                let id: String = key.keyid.chars().take(8).collect();
                let place = key.uri.clone().unwrap_or(id);
                format!("{place} ({})", if key.here { "here" } else { "elsewhere" })
            })
            .collect();
        let many = if need.roles > 1 { format!(" x {}", need.roles) } else { String::new() };
        let missing = if need.is_met() { "" } else { "  MORE SIGNATURES NEEDED" };
        lines.push(format!("signatures   {role}{many}: {} of {}{missing}", need.threshold, keys.join(" ")));
    }
    lines.extend(plan.next.iter().map(|next| format!("next         {next}")));
    let download = plan.download;
    lines.push(format!(
        "downloads    a new client {} to refresh, {} for a target; a returning one {} and {}",
        size(download.new_refresh),
        size(download.new_target),
        size(download.returning_refresh),
        size(download.returning_target)
    ));
    for limit in &plan.limits {
        lines.push(format!(
            "LIMIT        {} has {}, over the {} of {}",
            limit.file,
            size(limit.bytes),
            size(limit.limit),
            limit.clients
        ));
    }
    lines.join("\n")
}
