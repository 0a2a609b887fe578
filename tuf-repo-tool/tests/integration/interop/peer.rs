//! The other implementations, driven through the scripts in `interop/`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::node::node;
use crate::support::python::python;
use crate::support::{Run, Sandbox, write};

/// Target paths, and the SHA-256 of what they stand for.
pub(crate) type Sums = BTreeMap<String, String>;

/// Who reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    PythonTuf,
    TufJs,
}

impl Peer {
    /// Its script, not started yet.
    fn command(self, sandbox: &Sandbox) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("interop");
        match self {
            Self::PythonTuf => {
                let mut command = sandbox.command(python().interpreter());
                command.arg(scripts.join("python_tuf.py"));
                command
            }
            Self::TufJs => {
                let mut command = sandbox.command(&node().program);
                command.env("NODE_PATH", &node().modules).arg(scripts.join("tuf_js.js"));
                command
            }
        }
    }

    /// What it is, for the log of the test.
    pub(crate) fn versions(self) -> String {
        Run::of(self.command(&Sandbox::new()).arg("version")).ok().stdout
    }

    /// What it gets for these targets as a client that keeps its state in a directory of the sandbox.
    pub(crate) fn read(self, sandbox: &Sandbox, state: &str, url: &str, targets: &Sums) -> Run {
        let list = sandbox.path("targets.txt");
        write(&list, targets.keys().map(|path| format!("{path}\n")).collect::<String>());
        let mut command = self.command(sandbox);
        command.arg("read").arg(sandbox.path(state)).arg(url).arg(sandbox.anchor());
        Run::of(command.stdin(File::open(list).unwrap()))
    }

    /// Refreshes again and again, until its standard input is closed, with its state in a directory of the sandbox.
    pub(crate) fn poll(self, sandbox: &Sandbox, state: &str, url: &str) -> Child {
        let mut command = self.command(sandbox);
        command.arg("poll").arg(sandbox.path(state)).arg(url).arg(sandbox.anchor());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Writes a repository into a directory of the sandbox; with consistent snapshots or without.
    pub(crate) fn write(self, sandbox: &Sandbox, consistent: bool) -> (PathBuf, Sums) {
        self.write_and(sandbox, if consistent { "consistent" } else { "plain" }, None)
    }

    /// Writes a repository with consistent snapshots, and leaves its private keys in a directory that is made.
    pub(crate) fn write_with_keys(self, sandbox: &Sandbox, keys: &Path) -> (PathBuf, Sums) {
        self.write_and(sandbox, "consistent", Some(keys))
    }

    fn write_and(self, sandbox: &Sandbox, kind: &str, keys: Option<&Path>) -> (PathBuf, Sums) {
        let directory = sandbox.path("theirs");
        let mut command = self.command(sandbox);
        let run = Run::of(command.arg("write").arg(&directory).arg(kind).args(keys)).ok();
        (directory, sums(&run))
    }
}

/// What a script printed.
#[track_caller]
pub(crate) fn sums(run: &Run) -> Sums {
    serde_json::from_value(run.json()).unwrap()
}
