//! `audit`: a whole repository.

use std::process::ExitCode;

use tuf_client::audit::{Audit, Severity};

use super::Global;
use super::error::{Failure, REFUSED};
use super::open;
use super::output::{ERROR, NOTE, Output, WARNING};

pub(crate) async fn audit(
    global: &Global,
    repository: &str,
    fail_on: Severity,
    files: Option<bool>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let url = open::repository_url(repository)?;
    let files = files.unwrap_or_else(|| url.scheme() == "file");
    let transport = open::transport(global, std::slice::from_ref(&url))?;
    let mut audit = Audit::of(url).files(files).transport(transport);
    if let Some(root) = &global.root {
        audit = audit.anchor(open::read(root)?);
    }
    let report = audit.run().await.map_err(|error| {
        let missing = error.is_missing() && global.root.is_none();
        let failure = Failure::from(error).code(1);
        if missing { failure.hint("start at a newer root: --root FILE; or check the URL") } else { failure }
    })?;
    let paint = |severity: Severity, word: &str| {
        let style = match severity {
            Severity::Error => ERROR,
            Severity::Warning => WARNING,
            _ => NOTE,
        };
        format!("{style}{word}{style:#}")
    };
    out.result(|| report.to_text(paint), || report.to_json().unwrap_or_default())?;
    Ok(if report.fails(fail_on) { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}
