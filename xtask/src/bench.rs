//! `cargo xtask bench client`: our client beside others, in release; see `specs/performance.md`.

use std::process::Command;

use super::Failed;
use super::tools::{self, cargo, python_with_tuf, say};

const PEERS: &str = "interop/bench-peers/Cargo.toml";

/// Builds the other clients and what serves, then runs the bench with these arguments.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failed> {
    let Some((what, arguments)) = arguments.split_first().filter(|(what, _)| *what == "client") else {
        return Err(Failed(
            "usage: cargo xtask bench client [--set a|b|c|d|files|all] [--peers NAME,NAME] [--runs N]
    [--instructions] [--realtime]
Sets: a, b, c of hash bins, files of downloads; d, which is like c with 5 M targets, only by name.
Peers: python-tuf, sigstore-tuf, tough; all of them by default. --realtime takes root."
                .to_owned(),
        ));
    };
    // The bench says which of them are not there.
    let left_out = |result: Result<(), Failed>| {
        if let Err(Failed(why)) = result {
            say(&why);
        }
    };
    left_out(python_with_tuf().map(drop));
    for peer in ["bench-peer-sigstore-tuf", "bench-peer-tough"] {
        left_out(tools::run(&mut cargo(&[
            "build",
            "--release",
            "--locked",
            "--jobs",
            "2",
            "--manifest-path",
            PEERS,
            "--target-dir",
            "target/bench/peers",
            "--package",
            peer,
        ])));
    }
    if Command::new("nginx").arg("-v").output().is_err() {
        let example = ["--package", "tuf-repo-tool", "--example", "serve_directory"];
        tools::run(cargo(&["build", "--release", "--locked"]).args(example))?;
    }
    let bench = ["bench", "--locked", "--package", "tuf-client", "--bench", what, "--"];
    tools::run(cargo(&bench).args(arguments))
}
