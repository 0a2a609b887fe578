//! What a person would otherwise type: `cargo xtask test` runs everything CI runs, `cargo xtask figures`
//! prints the figures of the workspace, `cargo xtask packages` installs what the tests need from Debian, `cargo xtask requirements` checks the table of requirements and writes its page,
//! `cargo xtask api` lists the public items of the libraries, `cargo xtask fuzz` fuzzes, `cargo xtask differential`
//! compares with python-tuf, `cargo xtask coverage` counts lines run, `cargo xtask bench client` measures.

mod api;
mod bench;
mod coverage;
mod debian;
mod differential;
mod figures;
mod fuzz;
mod requirements;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test | packages | requirements | api | figures | fuzz | differential | coverage | bench
  test          format, lints, all tests, requirements, documentation, dependency policy: what CI runs
  packages      installs what the tests need from Debian
  requirements  every requirement in specs/requirements.toml has code and a test; writes specs/requirements.md
  api           lists the public items of tuf-core and tuf-client in specs/api/
  figures       crate counts, lines and binary sizes
  fuzz          each target of fuzz/ for 10 s: fuzz [--seconds N] [TARGET...]
  differential  random repository histories, here and through python-tuf: differential [--histories N] [--seed S]
  coverage      which lines of tuf-core its tests run
  bench         our client beside others and beside bare primitives: bench client [--set a|b|c|d|files|all] [--runs N]";

/// One step failed; it has said why.
pub(crate) struct Failed(pub(crate) String);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) =
        arguments.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
    let result = match command.map(String::as_str) {
        Some("test") => test::run(),
        Some("packages") => debian::install(),
        Some("requirements") => requirements::run(requirements::Page::Write),
        Some("api") => api::listings(api::Listings::Write),
        Some("figures") => figures::run_figures(),
        Some("fuzz") => fuzz::run(rest),
        Some("coverage") => coverage::run_coverage(),
        Some("differential") => differential::run(rest),
        Some("bench") => bench::run(rest),
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
