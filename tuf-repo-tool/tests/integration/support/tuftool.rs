//! tuftool, the program of tough, below `target/` like the others. It is built once: four minutes of one core.

use std::path::PathBuf;
use std::process::Command;

use super::python::{made_once, succeeds, test_env};

const VERSION: &str = "0.17.0";

/// The program, built now if it is not there.
pub(crate) fn tuftool() -> PathBuf {
    let directory = test_env().join("tuftool");
    made_once(&directory, &format!("complete-{VERSION}"), || {
        // One job and no optimisation: the other tests go on meanwhile.
        let mut command = Command::new("cargo");
        command.args(["install", "--locked", "--debug", "--jobs", "1", "--force", "--version", VERSION]);
        succeeds(command.arg("--root").arg(&directory).arg("tuftool"));
    });
    directory.join("bin").join("tuftool")
}
