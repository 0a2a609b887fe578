//! What a person would otherwise type: `cargo xtask test` runs everything CI runs, `cargo xtask figures`
//! prints the figures of the workspace, `cargo xtask requirements` checks the table of requirements.

mod figures;
mod requirements;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test | requirements | figures
  test          format, lints, all tests, requirements, documentation, dependency policy: what CI runs
  requirements  every requirement in specs/requirements.toml has code and a test
  figures       crate counts, lines and binary sizes";

/// One step failed; it has said why.
pub(crate) struct Failed(pub(crate) String);

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("test") => test::run(),
        Some("requirements") => requirements::run(),
        Some("figures") => figures::run_figures(),
        _ => Err(Failed(USAGE.to_owned())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(why)) => {
            tools::say(&why);
            ExitCode::FAILURE
        }
    }
}
