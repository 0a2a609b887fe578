//! What is printed, and where: results to stdout, everything else to stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::Global;
use super::error::Failure;

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Cyan.on_default();

/// Prints for people, or as JSON.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// The result of the command.
    pub(crate) fn result(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let text = if self.json { pretty(&json()) } else { text() };
        ignore_closed_pipe(anstream::stdout().lock().write_all(text.as_bytes()))
    }

    /// Something said beside the result.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            to_stderr(text);
        }
    }

    /// Something that must be said even if little is to be said.
    pub(crate) fn insist(&self, text: &str) {
        to_stderr(text);
    }

    /// Whether a progress bar may be drawn; whether there is a terminal for it, it knows itself.
    pub(crate) const fn shows_progress(&self) -> bool {
        !self.quiet
    }

    /// The end of a command that failed.
    pub(crate) fn failed(&self, failure: &Failure) -> ExitCode {
        let mut text = format!("{ERROR}error:{ERROR:#} {}", failure.message);
        if let Some(hint) = &failure.hint {
            text += &format!("\n{NOTE}hint:{NOTE:#} {hint}");
        }
        to_stderr(&text);
        if self.json {
            // The exit code says the same to a reader that has gone.
            drop(anstream::stdout().lock().write_all(pretty(&failure.to_json()).as_bytes()));
        }
        ExitCode::from(failure.code)
    }
}

fn to_stderr(text: &str) {
    // There is nowhere left to say that stderr is gone.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

fn pretty(json: &Value) -> String {
    format!("{json:#}\n")
}

/// `tuf-client list | head` is no failure.
fn ignore_closed_pipe(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Sends what the library logs to stderr, from `usual` upward unless the options say otherwise.
pub(crate) fn log(global: &Global, usual: &str) {
    let level = match (global.verbose, global.quiet) {
        (0, true) => "error",
        (0, false) => usual,
        (1, _) => "tuf_client=info,warn",
        (2, _) => "tuf_client=debug,info",
        _ => "trace",
    };
    let colors = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level))
        .with_writer(io::stderr)
        .with_ansi(colors)
        .with_target(false)
        .init();
}
