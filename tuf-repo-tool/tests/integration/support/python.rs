//! The installers the tests drive: current ones, and old ones that check nothing of what an index says.
//!
//! One environment below `target/` for all test processes, made by the first that needs it. Where it comes from is
//! pip's own business: its settings are those of the person who runs the tests.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Rises whenever the environment has to be made anew.
const COMPLETE: &str = "complete-3";

/// pip before it compared a file with the hash on its index page.
const OLD_PIP: &str = "pip==22.3";

/// uv before it did.
const OLD_UV: &str = "uv==0.9.5";

/// The python-tuf that `test-vectors/python-tuf.json` is about.
const PYTHON_TUF: &str = "tuf==7.0.0";

/// Installers in virtual environments and directories of their own.
#[derive(Debug)]
pub(crate) struct Python {
    directory: PathBuf,
}

/// The environment, made now if it is not there.
pub(crate) fn python() -> &'static Python {
    static PYTHON: OnceLock<Python> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let python = Python { directory: test_env() };
        made_once(&python.directory, COMPLETE, || python.make());
        python
    })
}

/// Where what the tests install is kept.
pub(crate) fn test_env() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-env")
}

/// Makes what is in a directory, unless the file `complete` says that a test process has done so.
pub(crate) fn made_once(directory: &Path, complete: &str, make: impl FnOnce()) {
    std::fs::create_dir_all(directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    if !directory.join(complete).exists() {
        make();
        File::create(directory.join(complete)).unwrap().flush().unwrap();
    }
}

impl Python {
    /// Current pip and uv, python-tuf, and the library of Prometheus live here.
    pub(crate) fn interpreter(&self) -> PathBuf {
        executable(&self.directory.join("current"), "python")
    }

    /// Current pip.
    pub(crate) fn pip(&self) -> PathBuf {
        executable(&self.directory.join("current"), "pip")
    }

    /// Current uv.
    pub(crate) fn uv(&self) -> PathBuf {
        executable(&self.directory.join("current"), "uv")
    }

    /// A pip that does not check hashes.
    pub(crate) fn old_pip(&self) -> PathBuf {
        executable(&self.directory.join("old"), "pip")
    }

    /// A uv that does not.
    pub(crate) fn old_uv(&self) -> PathBuf {
        self.directory.join("old-uv").join("bin").join("uv")
    }

    fn make(&self) {
        let place = |name: &str| {
            let path = self.directory.join(name);
            if path.exists() {
                std::fs::remove_dir_all(&path).unwrap();
            }
            path
        };
        let (current, old, old_uv) = (place("current"), place("old"), place("old-uv"));
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&current));
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&old));
        let packages = ["pip", "uv", PYTHON_TUF, "securesystemslib[crypto]", "prometheus-client"];
        succeeds(install(&current).arg("--upgrade").args(packages));
        succeeds(install(&old).arg(OLD_PIP));
        succeeds(install(&current).arg("--target").arg(&old_uv).arg(OLD_UV));
        // It does not start with a Python newer than it: say so here, not in every test.
        succeeds(Command::new(self.old_pip()).arg("--version"));
    }
}

/// `pip install` into a virtual environment, up to the packages.
pub(crate) fn install(venv: &Path) -> Command {
    let mut command = Command::new(executable(venv, "python"));
    command.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]);
    command
}

/// A program of a virtual environment.
pub(crate) fn executable(venv: &Path, name: &str) -> PathBuf {
    venv.join("bin").join(name)
}

/// Runs a command of the setting up, whose output nobody wants to see if all goes well.
pub(crate) fn succeeds(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().collect();
    // The reason is at the end of what may be hundreds of lines.
    let last = &lines[lines.len().saturating_sub(30)..];
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, last.join("\n"));
}
