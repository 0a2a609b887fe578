//! `cargo xtask test`: everything CI runs. Nothing is skipped: a tool that is missing is installed, and
//! what cannot be installed fails by name.

use super::tools::{self, cargo, cargo_tool, say};
use super::{Failed, api, debian, differential, figures, requirements};

pub(crate) fn run() -> Result<(), Failed> {
    tools::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    tools::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    // What embedders take.
    for features in ["", "http", "http,blocking"] {
        tools::run(&mut cargo(&[
            "clippy",
            "--package",
            "tuf-client",
            "--lib",
            "--no-default-features",
            "--features",
            features,
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))?;
    }
    // A step of its own, so that everything else is built without aws-lc.
    tools::run(&mut cargo(&[
        "clippy",
        "--package",
        "tuf-core",
        "--features",
        "ml-dsa",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))?;
    tools::run(&mut cargo_tool(
        "nextest",
        "0.9.143",
        &["run", "--package", "tuf-core", "--features", "ml-dsa", "--locked", "--no-fail-fast"],
    )?)?;
    tools::run(&mut cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    debian::install()?;
    tools::run(&mut cargo_tool(
        "nextest",
        "0.9.143",
        &["run", "--workspace", "--locked", "--no-fail-fast"],
    )?)?;
    differential::run(&[])?;
    requirements::run(requirements::Page::Check)?;
    api::listings(api::Listings::Check)?;
    figures::check_crates()?;
    tools::run(&mut cargo(&["test", "--workspace", "--doc", "--locked"]))?;
    super::fuzz::seeds()?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    tools::run(docs.env("RUSTDOCFLAGS", "-D warnings"))?;
    tools::run(&mut cargo_tool(
        "deny",
        "0.20.2",
        &["--all-features", "check", "bans", "licenses", "sources"],
    )?)?;
    say("\nall passed");
    Ok(())
}
