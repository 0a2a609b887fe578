//! Printing: results on stdout, words for people on stderr, progress bars on a terminal only.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tuf_repo_tool::mirror::Event;

use super::Global;

/// When to use colour.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let level = match global.verbose {
            0 => "warn",
            1 => "info",
            _ => "debug",
        };
        tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).without_time().init();
        Self { json: global.json, quiet: global.quiet }
    }

    /// The result: as text, or the JSON document instead of it.
    pub(crate) fn result(&self, document: &impl Serialize, text: &str) {
        let text = if self.json {
            serde_json::to_string_pretty(document).unwrap_or_default()
        } else {
            text.to_owned()
        };
        if text.is_empty() {
            return;
        }
        // A closed pipe is the reader's choice.
        let _ = writeln!(anstream::stdout(), "{}", text.trim_end());
    }

    /// A word to the person watching.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    pub(crate) fn warn(&self, text: &str) {
        let style = Style::new().fg_color(Some(AnsiColor::Yellow.into())).bold();
        let _ = writeln!(anstream::stderr(), "{style}warning{style:#}: {text}");
    }

    /// Why the command failed.
    pub(crate) fn error(&self, message: &str, hint: Option<&str>) {
        self.complain(message, hint);
        if self.json {
            let document = serde_json::json!({"error": {"message": message, "hint": hint}});
            let _ = writeln!(anstream::stdout(), "{document}");
        }
    }

    /// What failed in a part of the work, whose result is still to come.
    pub(crate) fn complain(&self, message: &str, hint: Option<&str>) {
        let style = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
        let mut stderr = anstream::stderr();
        let _ = writeln!(stderr, "{style}error{style:#}: {message}");
        if let Some(hint) = hint {
            let _ = writeln!(stderr, "hint: {hint}");
        }
    }

    /// A bar for files that come in.
    pub(crate) fn progress(&self) -> Progress {
        let hidden = self.quiet || self.json || !std::io::stderr().is_terminal();
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let style = ProgressStyle::with_template("{spinner} {bytes} {binary_bytes_per_sec}  {msg}");
        Progress(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner())))
    }
}

#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn event(&self, event: Event) {
        match event {
            Event::Fetching(name, _) => self.0.set_message(name),
            Event::Bytes(bytes) => self.0.inc(bytes),
            _ => self.0.tick(),
        }
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
