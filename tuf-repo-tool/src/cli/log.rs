//! `tuf-repo log`, and what other commands take for it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};
use tuf_client::text::utc;
use tuf_repo_tool::log::{self, Finding, Kind, Line};
use tuf_repo_tool::publish::Options;
use tuf_repo_tool::{Error, Period, Repository};

use super::mirror::extend;
use super::{Failure, Output};

/// How many lines are shown if nobody says.
const SHOWN: usize = 20;

/// More than anybody reads.
const MAX_REASON: usize = 2000;

/// For every command that changes something.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Reason {
    /// Why, for the log
    #[arg(long, short = 'm', value_name = "REASON", value_parser = reason)]
    message: Option<String>,
}

impl Reason {
    pub(crate) fn text(&self) -> Option<&str> {
        self.message.as_deref()
    }

    pub(crate) fn into_options(self, mut options: Options) -> Options {
        options.why = self.message;
        options
    }
}

/// For the commands that sign what is published.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Signing {
    #[command(flatten)]
    reason: Reason,
    /// Sign although the clock is behind what was signed before: it was ahead then
    #[arg(long)]
    clock_is_right: bool,
}

impl Signing {
    pub(crate) fn text(&self) -> Option<&str> {
        self.reason.text()
    }

    pub(crate) fn options(&self) -> Options {
        let mut options = self.reason.clone().into_options(Options::default());
        options.clock_is_right = self.clock_is_right;
        options
    }
}

/// A reason on the command line.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    match text.len() <= MAX_REASON && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("a reason is one line of at most {MAX_REASON} bytes")),
    }
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only the newest N lines [default: 20, and all with --since]
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Only what was done since: 7d, 2030-01-31, or 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Verify that no line was changed, removed or put in, and that the log fits what is published
    Verify {
        /// Logs of the other machines that publish this repository, verified together with the one here
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The hash of a line as it was noted elsewhere: this line must be there still
        #[arg(long, value_name = "HASH", value_parser = hash)]
        head: Vec<String>,
    },
}

/// A time, or how long ago.
#[derive(Clone, Copy, Debug)]
enum Since {
    Ago(TimeDelta),
    At(DateTime<Utc>),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(period) = text.parse::<Period>() {
            return Ok(Self::Ago(period.delta()));
        }
        let day = || Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
        let time = text.parse::<DateTime<Utc>>().ok().or_else(day);
        time.map(Self::At).ok_or_else(|| "expected 7d, 2030-01-31, or 2030-01-31T12:00:00Z".to_owned())
    }
}

fn hash(text: &str) -> Result<String, String> {
    match (16..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => {
            Err("expected the hash that `tuf-repo log` prints, or at least its first 16 digits".to_owned())
        }
    }
}

pub(crate) fn run(args: &Args, repo: &Path, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Some(Command::Verify { files, head }) => verify(files, head, repo, output),
        None => show(args, &Repository::open(repo)?, output),
    }
}

fn show(args: &Args, repository: &Repository, output: &Output) -> Result<(), Failure> {
    let since = match args.since {
        Some(Since::At(time)) => time,
        Some(Since::Ago(span)) => repository.now() - span,
        None => DateTime::<Utc>::MIN_UTC,
    };
    let most = args.last.unwrap_or_else(|| if args.since.is_some() { usize::MAX } else { SHOWN });
    let path = log::path(repository.directory());
    let (mut lines, mut total) = (VecDeque::new(), 0);
    let end = match File::open(&path) {
        Ok(file) => log::read(BufReader::new(file), |found| {
            total += 1;
            if found.line.at >= since {
                lines.push_back(found.line);
                if lines.len() > most {
                    lines.pop_front();
                }
            }
            Ok::<_, std::io::Error>(())
        }),
        Err(error) => Err(error),
    };
    let end = match end {
        Ok(end) => end,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            output.result(&json!({ "lines": [], "total": 0, "head": null }), "nothing was changed yet");
            return Ok(());
        }
        Err(error) => return Err(Failure::Message(format!("cannot read {}: {error}", path.display()), None)),
    };
    let mut text: String = lines.iter().map(describe).collect();
    let shown = if lines.len() < total {
        format!("{} of {total} lines", lines.len())
    } else {
        format!("{total} lines")
    };
    text.push_str(&format!("\n{shown}; head {}\n", end.head));
    if end.torn.is_some() {
        output.warn("the last line was not written to its end: the next command says so in its own line");
    }
    output.result(&json!({ "lines": lines, "total": total, "head": end.head }), &text);
    Ok(())
}

/// A line for people, who see no control characters of others.
fn describe(line: &Line) -> String {
    let mut text = format!("{:>5}  {}  {:<12}  {}\n", line.n, utc(&line.at), line.did, line.user);
    let mut more = |name: &str, value: String| text.push_str(&format!("       {name:<8}  {value}\n"));
    if let Some(why) = &line.why {
        more("why", why.clone());
    }
    for (name, value) in &line.what {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(values) => values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(", "),
            value => value.to_string(),
        };
        more(name, value);
    }
    for (role, signed) in &line.signed {
        let keys: Vec<&str> = signed.by.iter().map(|id| id.get(..8).unwrap_or(id)).collect();
        let files = if signed.files > 1 { format!(" ({} files)", signed.files) } else { String::new() };
        more("signed", format!("{role} {}{files} by {}", signed.version, keys.join(" ")));
    }
    if let Some(late) = &line.late {
        let unsure =
            if line.unsure { "; whether clients saw it, the log of another machine says" } else { "" };
        more("late", format!("written {}{unsure}", utc(late)));
    }
    if let Some(torn) = line.torn {
        more("torn", format!("{torn} bytes before this line are none"));
    }
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}

fn verify(files: &[PathBuf], heads: &[String], repo: &Path, output: &Output) -> Result<(), Failure> {
    let repository = match Repository::open(repo) {
        // Somebody who only has the logs.
        Err(Error::NotARepository { .. }) if !files.is_empty() => None,
        repository => Some(repository?),
    };
    let report = log::verify(repository.as_ref(), files, heads)?;
    let mut text = String::new();
    for log in &report.logs {
        text.push_str(&format!("{}: {} lines, head {}\n", log.file.display(), log.lines, log.head));
    }
    let intact = report.is_intact();
    let (notes, faults): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| finding.kind == Kind::Note);
    for finding in faults.iter().chain(&notes) {
        text.push_str(&format!("{finding}\n").replace(|c: char| c.is_control() && c != '\n', "?"));
    }
    if intact {
        let published = report.published.as_ref().map(|point| format!("; published is {point}"));
        text.push_str(&format!("intact{}\n", published.unwrap_or_default()));
    }
    let mut document = serde_json::to_value(&report).unwrap_or_default();
    extend(&mut document, json!({ "intact": intact }));
    output.result(&document, &text);
    match intact {
        true => Ok(()),
        false => {
            let hint =
                "keep the file as it is and compare it with a copy; `specs/log.md` says what each word means";
            output.complain("the log is not what was written, or not all that was published", Some(hint));
            Err(Failure::Reported(ExitCode::from(4)))
        }
    }
}
