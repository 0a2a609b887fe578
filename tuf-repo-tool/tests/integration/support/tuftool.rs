//! tuftool, the program of tough, below `target/` like the others. It is built once: four minutes of one core.

use std::path::PathBuf;
use std::process::Command;

use super::python::{made_once, succeeds, test_env};

const VERSION: &str = "0.17.0";

/// The program, built now if it is not there.
pub(crate) fn tuftool() -> PathBuf {
    let directory = test_env().join("tuftool");
    made_once(&directory, &format!("complete-{VERSION}"), || {
        // One job and no optimisation: the other tests go on meanwhile. Below `target/`, not in a small `/tmp`.
        let build = directory.join("build");
        let mut command = Command::new("cargo");
        command.env("CARGO_PROFILE_DEV_DEBUG", "false");
        command.args(["install", "--locked", "--debug", "--jobs", "1", "--force", "--version", VERSION]);
        succeeds(command.arg("--root").arg(&directory).arg("--target-dir").arg(&build).arg("tuftool"));
        std::fs::remove_dir_all(build).unwrap();
    });
    directory.join("bin").join("tuftool")
}
