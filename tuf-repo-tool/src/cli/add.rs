//! `tuf-repo add` and `tuf-repo remove`.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::json;
use tuf_core::{RoleName, TargetPath};
use tuf_repo_tool::edit::{
    Format, Found, Staged, case_collisions, find_files, place, stage_manifest, target_of,
};
use tuf_repo_tool::publish::Changes;
use tuf_repo_tool::{Error, Repository};

use super::output::size;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, and directories with all files below them
    #[arg(value_name = "FILE|DIR", required_unless_present = "manifest")]
    inputs: Vec<PathBuf>,
    /// The target path of the only FILE [default: its name]
    #[arg(long = "as", value_name = "PATH", conflicts_with_all = ["prefix", "manifest"])]
    name: Option<String>,
    /// A directory before every target path
    #[arg(long, value_name = "PATH", conflicts_with = "manifest")]
    prefix: Option<String>,
    /// The role that is to list them [default: as the delegations say]
    #[arg(long, value_name = "ROLE", value_parser = role_name)]
    role: Option<RoleName>,
    /// A list of targets whose files are in public/targets already: path, length, sha256 and perhaps custom
    #[arg(long, value_name = "FILE", conflicts_with = "inputs")]
    manifest: Option<PathBuf>,
    /// How the manifest is written [default: csv if it is named .csv, else ndjson]
    #[arg(long, value_name = "FORMAT", requires = "manifest")]
    format: Option<FormatName>,
    /// Read every file of the manifest, instead of looking at its length only
    #[arg(long, requires = "manifest")]
    verify: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Target paths
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// Only from this role [default: from every role in which a client could find it]
    #[arg(long, value_name = "ROLE", value_parser = role_name)]
    role: Option<RoleName>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    Ndjson,
    Csv,
}

/// A role's name on the command line.
pub(super) fn role_name(text: &str) -> Result<RoleName, String> {
    RoleName::new(text).map_err(|error| error.to_string())
}

pub(crate) async fn add(args: Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let _lock = repository.lock()?;
    let state = repository.open_state().await?;
    if let Some(path) = &args.manifest {
        let file = File::open(path)
            .map_err(|error| Failure::Message(format!("cannot read {}: {error}", path.display()), None))?;
        let format = format_of(path, args.format);
        let staged = stage_manifest(repository, &state, file, format, args.role, args.verify).await?;
        let Staged { rows, bytes, .. } = staged;
        output.result(
            &json!({ "staged": rows, "bytes": bytes }),
            &format!(
                "{rows} targets are staged, {}; `tuf-repo plan` shows what a publish would do",
                size(bytes)
            ),
        );
        return Ok(());
    }
    let found = find(&args)?;
    for (one, other) in case_collisions(found.iter().map(|found| &found.path)) {
        output.warn(&format!("{one} and {other} differ only in case: some file systems take them for one"));
    }
    let placed = tokio::task::block_in_place(|| place(repository, &found))?;
    let mut changes = Changes::default();
    let (mut bytes, mut documents) = (0, Vec::new());
    for (path, file) in placed {
        bytes += file.length;
        documents.push(json!({
            "path": path.as_str(), "length": file.length, "sha256": file.hashes.preferred(),
        }));
        changes.change(path, Some(file), args.role.clone());
    }
    state.stage(&changes).await?;
    let text = match documents.as_slice() {
        [only] => format!("{} is staged, {}", only["path"].as_str().unwrap_or_default(), size(bytes)),
        many => format!("{} targets are staged, {}", many.len(), size(bytes)),
    };
    output.result(&json!({ "staged": documents, "bytes": bytes }), &text);
    Ok(())
}

fn find(args: &Args) -> Result<Vec<Found>, Error> {
    let mut found = find_files(&args.inputs, args.prefix.as_deref())?;
    match (&args.name, found.as_mut_slice()) {
        (None, _) => {}
        (Some(name), [only]) => only.path = target_of(name)?,
        (Some(_), many) => return Err(tuf_repo_tool::edit::FileError::OneName { files: many.len() }.into()),
    }
    Ok(found)
}

fn format_of(path: &Path, format: Option<FormatName>) -> Format {
    match format {
        Some(FormatName::Csv) => Format::Csv,
        Some(FormatName::Ndjson) => Format::Ndjson,
        None if path.extension().is_some_and(|extension| extension == "csv") => Format::Csv,
        None => Format::Ndjson,
    }
}

pub(crate) async fn remove(
    args: RemoveArgs,
    repository: &Repository,
    output: &Output,
) -> Result<(), Failure> {
    let _lock = repository.lock()?;
    let state = repository.open_state().await?;
    let staged = state.staged().await?;
    let published = repository.published()?;
    let mut paths = Vec::new();
    for path in &args.paths {
        paths.push(TargetPath::new(path.clone()).map_err(|error| Failure::Message(error.to_string(), None))?);
    }
    let signed = match &published {
        Some(published) => published.find_all(&paths)?,
        None => Default::default(),
    };
    let unknown = paths.iter().find(|path| !signed.contains_key(path) && !staged.contains(path));
    if let Some(path) = unknown {
        let hint = "`tuf-client list` shows all that is published, `tuf-repo plan` what is staged";
        return Err(Failure::Message(format!("there is no target {path}"), Some(hint.to_owned())));
    }
    // What was only staged is forgotten; the rest goes with the next publish.
    let (published, only_staged): (Vec<_>, Vec<_>) = paths.iter().partition(|path| signed.contains_key(path));
    let mut changes = Changes::default();
    for path in &published {
        changes.change((*path).clone(), None, args.role.clone());
    }
    state.unstage(&only_staged).await?;
    state.stage(&changes).await?;
    let name = |path: &&TargetPath| path.to_string();
    output.result(
        &json!({
            "removed": published.iter().map(name).collect::<Vec<_>>(),
            "unstaged": only_staged.iter().map(name).collect::<Vec<_>>(),
        }),
        &format!(
            "{} removals are staged, {} additions are staged no longer",
            published.len(),
            only_staged.len()
        ),
    );
    Ok(())
}
