//! `download`: all of them, or nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tuf_client::durable::{Access, Placed, WriteBatch, checked_join};
use tuf_client::{Error, Target, TargetPath, View};

use super::Global;
use super::error::Failure;
use super::open;
use super::output::Output;
use super::repository::target_json;

/// Downloads at the same time.
const PARALLEL: usize = 4;

pub(crate) async fn download(
    global: &Global,
    targets: &[String],
    directory: &Path,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let paths: Result<Vec<_>, _> = targets.iter().map(TargetPath::new).collect();
    let paths = paths.map_err(Error::from)?;
    let bar = bar(out);
    let (done, staged) = open::client(global)?
        .with_view(async |view: View| {
            let targets: Vec<Target> =
                stream::iter(&paths).map(|path| view.require(path)).buffered(PARALLEL).try_collect().await?;
            view.save().await?;
            bar.reset();
            bar.set_length(targets.iter().map(|target| target.file.length).sum());
            let staged: Vec<(PathBuf, Option<Placed>)> = stream::iter(&targets)
                .map(|target| async {
                    let destination = checked_join(directory, target.path.as_str())?;
                    let placed = view.stage(target, &destination, |bytes| bar.inc(bytes)).await?;
                    Ok::<_, Error>((destination, placed))
                })
                .buffered(PARALLEL)
                .try_collect()
                .await?;
            Ok((targets, staged))
        })
        .await?;
    let (files, placed): (Vec<PathBuf>, Vec<Option<Placed>>) = staged.into_iter().unzip();
    let commit = tokio::task::spawn_blocking(move || {
        let mut batch = WriteBatch::new(Access::Shared);
        for file in placed.into_iter().flatten() {
            batch.place(file);
        }
        batch.commit()
    });
    commit.await.map_err(|error| Failure::new(error.to_string()))??;
    bar.finish_and_clear();
    let text = || files.iter().map(|file| format!("{}\n", file.display())).collect();
    let json = || {
        let each = done.iter().zip(&files).map(|(target, file)| {
            let mut json = target_json(&target.path, target.role.as_str(), &target.file);
            if let Some(fields) = json.as_object_mut() {
                fields.insert("file".to_owned(), file.display().to_string().into());
            }
            json
        });
        json!({ "downloaded": each.collect::<Vec<_>>() })
    };
    out.result(text, json)?;
    Ok(ExitCode::SUCCESS)
}

/// Drawn on a terminal only.
fn bar(out: &Output) -> ProgressBar {
    if !out.shows_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
