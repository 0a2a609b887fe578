//! `tuf-repo gc`.

use std::path::Path;

use tuf_repo_tool::gc::{Amount, Options, Report, SHORTEST_GRACE, gc};
use tuf_repo_tool::{Period, Repository, publish};

use super::log::Reason;
use super::output::size;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep so many snapshots and what they list, the published one included
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    keep_last: u32,
    /// Keep the snapshots that were replaced in this time, too
    #[arg(long, value_name = "PERIOD", default_value = "7d")]
    keep: Period,
    /// Remove nothing that was written in this time: another machine may be about to publish it; 1h at least
    #[arg(long, value_name = "PERIOD", default_value = "1d")]
    grace: Period,
    /// Remove what nothing needs; else it is only counted
    #[arg(long)]
    delete: bool,
    #[command(flatten)]
    reason: Reason,
}

pub(crate) async fn run(args: &Args, repo: &Path, output: &Output) -> Result<(), Failure> {
    if args.grace.delta() < SHORTEST_GRACE {
        return Err(Failure::Usage("--grace is 1h at least: clients and publishers need it"));
    }
    let mut repository = Repository::open(repo)?;
    let lock = repository.lock()?;
    repository.reload()?;
    let state = repository.open_state().await?;
    let mut options = Options::default();
    options.keep_last = usize::try_from(args.keep_last).unwrap_or(usize::MAX);
    options.keep = args.keep.delta();
    options.grace = args.grace.delta();
    options.delete = args.delete;
    options.publish =
        args.reason.clone().into_options(publish::Options::default()).guarded(&repository).await?;
    if repository.config.storage.is_some() && repository.config.state.is_none() {
        output.warn(&format!(
            "no database is shared: files that other machines have staged and not published are garbage after {}",
            args.grace
        ));
    }
    let report = gc(&repository, &lock, &state, &options).await?;
    output.result(&report, &text(&report, args));
    Ok(())
}

fn text(report: &Report, args: &Args) -> String {
    let (Some(first), Some(last)) = (report.snapshots.first(), report.snapshots.last()) else {
        return "nothing is published: nothing tells what is needed".to_owned();
    };
    let garbage = &report.garbage;
    let (done, total) = (if report.deleted { "removed" } else { "garbage" }, garbage.total());
    let mut lines = vec![
        format!(
            "kept         {}, of {} snapshots from {first} to {last}",
            amount(report.kept),
            report.snapshots.len()
        ),
        format!("{done}      {}", amount(total)),
    ];
    for (what, part) in
        [("snapshots", garbage.snapshots), ("roles", garbage.roles), ("targets", garbage.targets)]
    {
        if part.files > 0 {
            lines.push(format!("  {what:<10} {}", amount(part)));
        }
    }
    for (what, part) in [
        (format!("younger than {}", args.grace), report.young),
        ("of versions that are not published yet".to_owned(), report.ahead),
        (format!("unknown: {}", report.unknown_names.join(", ")), report.unknown),
    ] {
        if part.files > 0 {
            lines.push(format!("left alone   {}, {what}", amount(part)));
        }
    }
    if report.incomplete > 0 {
        lines.push(format!("missing      {} files that older snapshots list", report.incomplete));
    }
    if report.published_meanwhile > 0 {
        lines.push(format!("meanwhile    published {} times by others", report.published_meanwhile));
    }
    if !report.deleted && total.files > 0 {
        lines.push("nothing was removed: `tuf-repo gc --delete` does, with the same settings".to_owned());
    }
    lines.join("\n")
}

fn amount(amount: Amount) -> String {
    match amount.files {
        1 => format!("1 file, {}", size(amount.bytes)),
        files => format!("{files} files, {}", size(amount.bytes)),
    }
}
