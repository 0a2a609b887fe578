//! `cargo xtask differential`: random histories of a repository, through this project and through python-tuf.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Failed;
use super::tools::{self, integration_test, python_with_tuf};

const WORK: &str = "target/differential";
const RUNNER: &str = "test-vectors/run_python_tuf.py";

/// `--histories N`, `--seed S`, in any order. Fails if a difference is not explained.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failed> {
    let (mut histories, mut seed) = (200_u64, 1_u64);
    for pair in arguments.chunks(2) {
        let number = |value: &String| {
            value.parse().map_err(|_| Failed(format!("not a number from 0 to 2^64-1: {value:?}")))
        };
        match pair {
            [flag, value] if flag == "--histories" => histories = number(value)?,
            [flag, value] if flag == "--seed" => seed = number(value)?,
            other => {
                return Err(Failed(format!("differential takes --histories N and --seed S, not {other:?}")));
            }
        }
    }
    fs::create_dir_all(WORK).map_err(|error| Failed(format!("{WORK}: {error}")))?;
    let file = std::path::absolute(Path::new(WORK).join("histories.jsonl"))
        .map_err(|error| Failed(format!("{WORK}: {error}")))?;
    let mut generate = integration_test("tuf-core", "write_the_histories");
    generate.env("WRITE_HISTORIES", &file);
    generate.env("HISTORIES", histories.to_string()).env("HISTORIES_SEED", seed.to_string());
    tools::run(&mut generate)?;
    tools::run(Command::new(python_with_tuf()?).arg(RUNNER).arg("--histories").arg(&file))
}
