//! `download`: all of them, or nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tuf_client::{DownloadOptions, Error, Progress, Target, TargetPath, View};

use super::Global;
use super::error::Failure;
use super::open;
use super::output::Output;
use super::repository::target_json;

/// Searches at the same time.
pub(crate) const PARALLEL: usize = 4;

/// How the bar of all targets together looks.
const TOTAL: &str = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

pub(crate) async fn download(
    global: &Global,
    targets: &[String],
    directory: &Path,
    parallel: Option<usize>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let paths: Result<Vec<_>, _> = targets.iter().map(TargetPath::new).collect();
    let paths = paths.map_err(Error::from)?;
    let bars = Bars::new(out);
    let (done, files) = open::client(global)?
        .with_view(async |view: View| {
            open::announce(&view, out);
            let targets: Vec<Target> =
                stream::iter(&paths).map(|path| view.require(path)).buffered(PARALLEL).try_collect().await?;
            view.save().await?;
            bars.begin(&targets);
            let tell = |target: &Target, what| bars.tell(target, what);
            let mut options = DownloadOptions::default().progress(&tell);
            if let Some(parallel) = parallel {
                options = options.parallel(parallel);
            }
            let files = view.download_all(&targets, directory, &options).await?;
            Ok((targets, files))
        })
        .await?;
    bars.end();
    let targets = || done.iter().map(|target| target_json(&target.path, target.role.as_str(), &target.file));
    report(&files, || targets().collect(), out)
}

/// Says what was downloaded: the files, and what is known of each.
pub(crate) fn report(
    files: &[PathBuf],
    targets: impl FnOnce() -> Vec<Value>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let text = || files.iter().map(|file| format!("{}\n", file.display())).collect();
    let json = || {
        let each = targets().into_iter().zip(files).map(|(mut json, file)| {
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

/// The bar of all targets together.
pub(crate) fn total_bar(out: &Output) -> ProgressBar {
    let bar = bar(TOTAL, 0);
    bar.set_draw_target(draw_target(out));
    bar
}

/// A terminal is looked for by the draw target itself.
fn draw_target(out: &Output) -> ProgressDrawTarget {
    if out.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// One bar for each target on its way and one for all of them, drawn on a terminal only.
struct Bars {
    shown: MultiProgress,
    total: ProgressBar,
    each: Mutex<HashMap<TargetPath, ProgressBar>>,
}

impl Bars {
    fn new(out: &Output) -> Self {
        let shown = MultiProgress::with_draw_target(draw_target(out));
        let total = shown.add(bar(TOTAL, 0));
        Self { shown, total, each: Mutex::default() }
    }

    fn begin(&self, targets: &[Target]) {
        self.each.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.total.reset();
        self.total.set_length(targets.iter().map(|target| target.file.length).sum());
    }

    fn tell(&self, target: &Target, what: Progress) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Progress::Started => {
                let bar = bar("{bar:30} {bytes}/{total_bytes} {msg}", target.file.length);
                let bar = self.shown.insert_before(&self.total, bar);
                // A name may hold anything.
                bar.set_message(target.path.as_str().escape_debug().to_string());
                each.insert(target.path.clone(), bar);
            }
            Progress::Bytes(bytes) => {
                self.total.inc(bytes);
                if let Some(bar) = each.get(&target.path) {
                    bar.inc(bytes);
                }
            }
            Progress::Verified => {
                if let Some(bar) = each.remove(&target.path) {
                    bar.finish_and_clear();
                    self.shown.remove(&bar);
                }
            }
            _ => {}
        }
    }

    fn end(&self) {
        self.total.finish_and_clear();
    }
}

fn bar(template: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden()).with_style(style)
}
