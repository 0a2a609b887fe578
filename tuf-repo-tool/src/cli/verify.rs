//! `tuf-repo verify`.

use std::process::ExitCode;

use tuf_client::Url;
use tuf_client::audit::Severity;
use tuf_repo_tool::Repository;
use tuf_repo_tool::verify::{Finding, Options, Report, verify};

use super::output::size;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read every byte of every target, not only its length
    #[arg(long)]
    read: bool,
    /// Refresh also as a client of every root there ever was, of every snapshot that is still there, and as one that comes back
    #[arg(long)]
    clients: bool,
    /// Look also at what clients get from here [default: public_url of tuf-repo.toml]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    url: Option<String>,
}

pub(crate) async fn run(args: Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let url = match args.url.as_deref() {
        None => None,
        Some("") => match &repository.config.public_url {
            Some(url) => Some(url.to_string()),
            None => return Err(Failure::Usage("--url needs a URL where tuf-repo.toml has no public_url")),
        },
        Some(url) => Some(url.to_owned()),
    };
    let url = url.map(|url| Url::parse(&url)).transpose();
    let url = url.map_err(|error| Failure::Message(format!("--url: {error}"), None))?;
    let mut options = Options::default();
    (options.read, options.clients, options.url) = (args.read, args.clients, url);
    let report = verify(repository, &options).await?;
    output.result(&report, &text(&report, args.read));
    match report.count(Severity::Error) {
        0 => Ok(()),
        _ => Err(Failure::Reported(ExitCode::from(4))),
    }
}

fn text(report: &Report, read: bool) -> String {
    let mut lines: Vec<String> = report.findings.iter().flat_map(describe).collect();
    let version = report.timestamp.map_or_else(|| "none".to_owned(), |version| version.to_string());
    lines.push(format!(
        "timestamp    {version}, with {} roots and {} other roles",
        report.roots, report.roles
    ));
    let how = if read { "every byte was read" } else { "lengths were compared; --read reads every byte" };
    lines.push(format!("files        {}, {}: {how}", report.files, size(report.bytes)));
    lines.push(format!("clients      {}", report.clients.len()));
    let counts = Severity::ALL.map(|severity| format!("{} {severity}s", report.count(severity)));
    lines.push(format!("found        {}", counts.join(", ")));
    lines.join("\n")
}

fn describe(finding: &Finding) -> Vec<String> {
    let role = match (&finding.role, finding.version) {
        (Some(role), Some(version)) => format!(" {role} {version}:"),
        (Some(role), None) => format!(" {role}:"),
        (None, _) => String::new(),
    };
    let mut lines = vec![format!("{} [{}]{role} {}", finding.severity, finding.id, finding.message)];
    if let (Some(expected), Some(found)) = (&finding.expected, &finding.found) {
        lines.push(format!("  expected {expected}, found {found}"));
    }
    lines.extend(finding.hint.iter().map(|hint| format!("  hint: {hint}")));
    lines
}
