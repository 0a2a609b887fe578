//! Fetching every target, to see that the repository has what it signed.

use futures_util::{StreamExt, stream};
use tuf_core::trust::Trusted;
use tuf_core::{Checker, ErrorKind, TargetFile, TargetPath, Targets};

use super::report::{FilesReport, Finding};
use crate::client::Client;
use crate::error::chain;
use crate::transport::Pace;

/// Fetches at the same time.
const PARALLEL: usize = 8;

/// Fetches and checks every target of a role; nothing is kept.
pub(super) async fn check(
    client: &Client,
    role: &Trusted<Targets>,
    consistent: bool,
    report: &mut FilesReport,
) -> Vec<Finding> {
    // What has no safe name or no known hash was reported already and cannot be fetched.
    let wanted: Vec<(TargetPath, TargetFile)> = role
        .targets
        .iter()
        .filter(|(_, file)| file.hashes.preferred().is_some())
        .filter_map(|(path, file)| Some((TargetPath::new(path).ok()?, file.clone())))
        .collect();
    let mut checks = stream::iter(wanted)
        .map(async |(path, file)| {
            let mut bytes = 0;
            let finding = check_one(client, &path, &file, consistent, &mut bytes).await.err();
            (finding, bytes)
        })
        .buffered(PARALLEL);
    let mut findings = Vec::new();
    while let Some((finding, bytes)) = checks.next().await {
        report.checked = report.checked.saturating_add(1);
        report.bytes = report.bytes.saturating_add(bytes);
        if let Some(finding) = finding {
            report.failed = report.failed.saturating_add(1);
            findings.push(finding.about(role.role_name(), Some(role.header.version)));
        }
    }
    findings
}

async fn check_one(
    client: &Client,
    path: &TargetPath,
    file: &TargetFile,
    consistent: bool,
    bytes: &mut u64,
) -> Result<(), Finding> {
    let remote = path.remote(consistent.then_some(&file.hashes));
    let unreadable = |error: &dyn std::error::Error| Finding::error("target-unreadable", chain(error));
    let url = client.target_url(client.copies().first(), &remote).map_err(|error| unreadable(&error))?;
    let mut body = match Pace::default().apply(&url, client.transport().fetch(&url)).await {
        Ok(body) => body,
        Err(error) if error.is_not_found() => {
            let finding = Finding::error("target-missing", format!("{path}: there is no targets/{remote}"));
            return Err(finding.hint("publish the file, or remove the target"));
        }
        Err(error) => return Err(unreadable(&error)),
    };
    let wrong = |error: tuf_core::Error| {
        let id = match error.kind() {
            ErrorKind::Length { .. } => "target-length",
            _ => "target-hash",
        };
        Finding::error(id, format!("{path}: {}", error.kind())).hint(error.hint())
    };
    let mut checker = Checker::new(&file.hashes, Some(file.length)).map_err(wrong)?;
    while let Some(chunk) = body.next().await.map_err(|error| unreadable(&error))? {
        let checked = checker.update(&chunk);
        *bytes = checker.seen();
        checked.map_err(wrong)?;
    }
    checker.finish().map_err(wrong)
}
