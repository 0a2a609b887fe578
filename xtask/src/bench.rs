//! `cargo xtask bench client|repo`: our client and our repository beside others, in release; see `specs/performance.md`.

use std::process::Command;

use super::Failed;
use super::tools::{self, cargo, python_with_tuf, say};

const PEERS: &str = "interop/bench-peers/Cargo.toml";

/// Runs a bench with these arguments.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failed> {
    match arguments.split_first().map(|(what, arguments)| (what.as_str(), arguments)) {
        Some(("client", arguments)) => client(arguments),
        Some(("repo", arguments)) => repository(arguments),
        _ => Err(Failed(
            "usage: cargo xtask bench client [--set a|b|c|d|files|all] [--peers NAME,NAME] [--runs N]
    [--instructions] [--realtime]
       cargo xtask bench repo [--set b,c,e,add] [--runs N] [--realtime]
Sets of client: a, b, c of hash bins, files of downloads; d, which is like c with 5 M targets, only by name.
Peers: python-tuf, sigstore-tuf, tough; all of them by default.
Sets of repo: b, c, e of hash bins, add of many files; all of them by default, on tmpfs, which takes 2 GB of memory.
--realtime takes root."
                .to_owned(),
        )),
    }
}

/// The bench says what is not there.
fn left_out(result: Result<(), Failed>) {
    if let Err(Failed(why)) = result {
        say(&why);
    }
}

fn repository(arguments: &[String]) -> Result<(), Failed> {
    left_out(python_with_tuf().map(drop));
    let bench = ["bench", "--locked", "--package", "tuf-repo-tool", "--bench", "repo", "--"];
    tools::run(cargo(&bench).args(arguments))
}

/// Builds the other clients and what serves first.
fn client(arguments: &[String]) -> Result<(), Failed> {
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
    let bench = ["bench", "--locked", "--package", "tuf-client", "--bench", "client", "--"];
    tools::run(cargo(&bench).args(arguments))
}
