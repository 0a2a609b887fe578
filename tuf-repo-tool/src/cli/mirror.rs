//! `tuf-repo mirror`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};
use tuf_client::simple::ProjectName;
use tuf_repo_tool::log::{self, Did, Entry};
use tuf_repo_tool::mirror::{Report, Upstream, UpstreamError, pip_settings, sync};
use tuf_repo_tool::{Error, ProjectConfig, Repository};
use url::Url;

use super::log::Reason;
use super::output::size;
use super::{Failure, Output, publish};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Add projects to what is mirrored
    Add {
        /// Project names
        #[arg(required = true, value_name = "PROJECT")]
        projects: Vec<String>,
        /// Only the newest N final releases
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        latest: Option<u32>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Remove projects from what is mirrored; the next sync removes what is published of them
    Remove {
        /// Project names
        #[arg(required = true, value_name = "PROJECT")]
        projects: Vec<String>,
        #[command(flatten)]
        reason: Reason,
    },
    /// Fetch what is new upstream, sign it and publish it
    Sync {
        /// The upstream index [default: the one in tuf-repo.toml, else the one that pip here uses]
        #[arg(long, value_name = "URL")]
        upstream: Option<Url>,
        /// Stage what is new without publishing it
        #[arg(long)]
        no_publish: bool,
        #[command(flatten)]
        reason: Reason,
    },
}

pub(crate) async fn run(
    command: Command,
    mut repository: Repository,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        Command::Add { projects, latest, reason } => {
            let _lock = repository.lock()?;
            repository.reload()?;
            let config = ProjectConfig::new(latest.and_then(|latest| usize::try_from(latest).ok()));
            for project in names(&projects)? {
                repository.config.mirror.projects.insert(project.to_string(), config.clone());
            }
            save(&repository, "mirrored", &projects, &reason, output)
        }
        Command::Remove { projects, reason } => {
            let _lock = repository.lock()?;
            repository.reload()?;
            for project in names(&projects)? {
                if repository.config.mirror.projects.remove(project.as_str()).is_none() {
                    return Err(Failure::Message(format!("{project} is not mirrored"), None));
                }
            }
            save(&repository, "no longer mirrored", &projects, &reason, output)
        }
        Command::Sync { upstream, no_publish, reason } => {
            let (mut document, failed) = run_sync(&mut repository, upstream, output).await?;
            let mut text = "staged; publish it with `tuf-repo publish`".to_owned();
            let mut unserved = None;
            if !no_publish {
                let outcome;
                (outcome, unserved) = publish::publish_staged(&repository, reason).await?;
                text = publish::text(&outcome, "nothing to publish");
                extend(&mut document, publish::document(&outcome));
            }
            output.result(&document, &text);
            publish::report(unserved, output)?;
            if failed { Err(Failure::Reported(ExitCode::FAILURE)) } else { Ok(()) }
        }
    }
}

fn save(
    repository: &Repository,
    what: &str,
    projects: &[String],
    reason: &Reason,
    output: &Output,
) -> Result<(), Failure> {
    repository.config.save(repository.directory())?;
    let entry = Entry::new(Did::Settings).because(reason.text()).with(what, projects.to_vec());
    log::append(repository, &entry)?;
    let names: Vec<&String> = repository.config.mirror.projects.keys().collect();
    let text = format!(
        "mirrored: {}\nNext: tuf-repo --repo {} mirror sync",
        names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "),
        repository.directory().display()
    );
    output.result(&serde_json::json!({ "projects": names }), &text);
    Ok(())
}

/// Project names as typed, normalised.
pub(crate) fn names(projects: &[String]) -> Result<Vec<ProjectName>, Failure> {
    projects
        .iter()
        .map(|name| ProjectName::new(name).map_err(|error| Failure::Message(error.to_string(), None)))
        .collect()
}

/// The upstream that was asked for, that is configured, or that pip here uses.
pub(crate) fn upstream(
    given: Option<Url>,
    repository: &Repository,
    output: &Output,
) -> Result<Upstream, Failure> {
    let url = match given.or_else(|| repository.config.mirror.upstream.clone()) {
        Some(url) => url,
        None => {
            let found = pip_settings::default_upstream()
                .map_err(|error| Failure::Message(tuf_client::chain(&error), None))?;
            output.say(&format!("upstream: as pip here ({})", found.source()));
            found.url().clone()
        }
    };
    Ok(Upstream::new(url).map_err(Error::from)?)
}

/// Adds the fields of one JSON object to another.
pub(crate) fn extend(document: &mut Value, more: Value) {
    if let (Value::Object(document), Value::Object(more)) = (document, more) {
        document.extend(more);
    }
}

/// Syncs and reports: for programs, and true if some project failed.
pub(crate) async fn run_sync(
    repository: &mut Repository,
    given: Option<Url>,
    output: &Output,
) -> Result<(Value, bool), Failure> {
    let upstream = upstream(given, repository, output)?;
    let lock = repository.lock()?;
    repository.reload()?;
    let state = repository.open_state().await?;
    let progress = output.progress();
    let report = sync(repository, &lock, &state, &upstream, &|event| progress.event(event)).await;
    progress.finish();
    Ok(print(&report?, output))
}

fn print(report: &Report, output: &Output) -> (Value, bool) {
    let mut failed = false;
    let mut projects = Map::new();
    for (project, result) in &report.projects {
        match result {
            Ok(done) => {
                let fetched = match done.fetched {
                    0 => "nothing new".to_owned(),
                    count => format!("{count} fetched, {}", size(done.bytes)),
                };
                output.say(&format!("{project}: {} files, {fetched}", done.files));
                done.notes.iter().for_each(|note| output.warn(note));
                let document = json!({
                    "files": done.files, "fetched": done.fetched, "bytes": done.bytes, "notes": done.notes,
                });
                projects.insert(project.to_string(), document);
            }
            Err(error) => {
                failed = true;
                let hint = match error {
                    Error::Upstream(UpstreamError::UnknownProject { .. }) => {
                        Some("check the spelling, or `tuf-repo mirror remove` it".to_owned())
                    }
                    Error::Upstream(_) => Some("what is published of this project stays as it is".to_owned()),
                    other => other.hint(),
                };
                let message = tuf_client::chain(error);
                output.complain(&format!("{project}: {message}"), hint.as_deref());
                let document = json!({ "error": { "message": message, "hint": hint } });
                projects.insert(project.to_string(), document);
            }
        }
    }
    (json!({ "projects": projects }), failed)
}
