//! What the integration tests of this crate share: the two programs in a clean environment ([`Sandbox`]), an
//! index to mirror from ([`Upstream`]), and distributions that pip can install ([`wheel`], [`sdist`]).
//!
//! ```ignore
//! let upstream = Upstream::start(Options::default());
//! upstream.publish("demo", wheel("demo", "1.0"));
//! let sandbox = Sandbox::new();
//! sandbox.quickstart(&upstream, &["demo"]).ok();
//! sandbox.verify();
//! ```

pub(crate) mod demo;
mod dist;
pub(crate) mod hostile;
pub(crate) mod node;
pub(crate) mod page;
pub(crate) mod postgres;
pub(crate) mod python;
pub(crate) mod s3;
pub(crate) mod s3_front;
pub(crate) mod softhsm;
pub(crate) mod ssh_agent;
pub(crate) mod tuftool;
mod upstream;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use dist::{Dist, sdist, wheel};
pub(crate) use upstream::{Behaviour, Format, Options, Upstream};

/// The program under test.
pub(crate) const TUF_REPO: &str = env!("CARGO_BIN_EXE_tuf-repo");

/// `tuf-client`, which cargo builds into the same directory.
pub(crate) fn tuf_client() -> PathBuf {
    let path = Path::new(TUF_REPO).with_file_name(format!("tuf-client{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --bins` first", path.display());
    path
}

/// A directory for one test, and commands that see nothing of the machine but `PATH`.
#[derive(Debug)]
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The repository's directory.
    pub(crate) fn repo(&self) -> PathBuf {
        self.path("mirror")
    }

    /// What is published.
    pub(crate) fn public(&self, name: &str) -> PathBuf {
        self.repo().join("public").join(name)
    }

    /// A command without the settings of whoever runs the tests: no `PIP_*`, `UV_*`, `TUF_*`, another home.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.directory.path()).stdin(Stdio::null());
        for name in ["PATH", "LLVM_PROFILE_FILE"] {
            if let Some(value) = tuf_client::env::var(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// `tuf-repo --repo … ARGUMENTS`, not started yet.
    pub(crate) fn tuf_repo_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(TUF_REPO);
        command.arg("--repo").arg(self.repo()).args(arguments);
        command
    }

    /// Runs `tuf-repo --repo … ARGUMENTS`.
    pub(crate) fn tuf_repo(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.tuf_repo_command(arguments))
    }

    /// The root that was handed out first.
    pub(crate) fn anchor(&self) -> PathBuf {
        let anchor = self.path("anchor.json");
        if !anchor.exists() {
            write(&anchor, std::fs::read(self.repo().join("root.json")).unwrap());
        }
        anchor
    }

    /// Runs `tuf-client` as a client that got `root.json` and keeps its store from one call to the next.
    pub(crate) fn tuf_client(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(tuf_client());
        command.arg("--root").arg(self.anchor()).arg("--store").arg(self.path("store"));
        command.args(arguments);
        Run::of(&mut command)
    }

    /// `tuf-repo init`, with keys that need no passphrase.
    pub(crate) fn init(&self, arguments: &[&str]) -> Run {
        let directory = self.repo().display().to_string();
        self.tuf_repo(&[&["init", &directory, "--no-passphrase"], arguments].concat())
    }

    /// `tuf-repo quickstart --once` of all releases of these projects.
    pub(crate) fn quickstart(&self, upstream: &Upstream, projects: &[&str]) -> Run {
        let (directory, url) = (self.repo().display().to_string(), upstream.simple());
        let fixed = ["quickstart", &directory, "--once", "--latest", "99", "--upstream", &url];
        self.tuf_repo(&[&fixed, projects].concat())
    }

    /// `tuf-repo mirror sync`.
    pub(crate) fn sync(&self, upstream: &Upstream) -> Run {
        self.tuf_repo(&["mirror", "sync", "--upstream", &upstream.simple()])
    }

    /// The published repository's `file://` URL.
    pub(crate) fn url(&self) -> String {
        format!("file://{}/", self.repo().join("public").display())
    }

    /// What is published is what a new client takes, and the client of this sandbox, which knows what was
    /// published before; every byte of every target is there.
    pub(crate) fn verify(&self) {
        self.tuf_client(&["--url", &self.url(), "refresh"]).ok();
        self.tuf_client(&["audit", "--fail-on", "error", "--files", &self.url()]).ok();
    }

    /// The sorted paths of all targets.
    pub(crate) fn targets(&self) -> Vec<String> {
        let document = self.tuf_client(&["--url", &self.url(), "--json", "list"]).ok().json();
        let targets = document["targets"].as_array().unwrap();
        let mut paths: Vec<String> =
            targets.iter().map(|target| target["path"].as_str().unwrap().to_owned()).collect();
        paths.sort();
        paths
    }

    /// A project's page as a client gets it, verified.
    pub(crate) fn page(&self, project: &str) -> serde_json::Value {
        let path = format!("simple/{project}/index.json");
        let out = self.path("downloads");
        let arguments = ["--url", &self.url(), "download", &path, "-o", &out.display().to_string()];
        self.tuf_client(&arguments).ok();
        serde_json::from_slice(&std::fs::read(out.join(path)).unwrap()).unwrap()
    }

    /// The names of the files on a project's page.
    pub(crate) fn files(&self, project: &str) -> Vec<String> {
        let page = self.page(project);
        let files = page["files"].as_array().unwrap();
        files.iter().map(|file| file["filename"].as_str().unwrap().to_owned()).collect()
    }

    /// The bytes of `timestamp.json`.
    pub(crate) fn timestamp(&self) -> Vec<u8> {
        std::fs::read(self.public("metadata/timestamp.json")).unwrap()
    }

    /// Sets `expires` and `renew_after` of roles in `tuf-repo.toml`.
    pub(crate) fn set_periods(&self, roles: &[&str], expires: &str, renew_after: &str) {
        let path = self.repo().join("tuf-repo.toml");
        let mut settings: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        for role in roles {
            let role = settings["roles"][*role].as_table_mut().unwrap();
            role.insert("expires".to_owned(), expires.into());
            role.insert("renew_after".to_owned(), renew_after.into());
        }
        write(&path, toml::to_string(&settings).unwrap());
    }

    /// Every file below a directory of the sandbox, by path relative to it.
    pub(crate) fn tree(&self, directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(next) = pending.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    pending.push(entry.path());
                } else {
                    let path = entry.path();
                    found.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// No killed or failed command left a temporary file.
    pub(crate) fn assert_no_leftovers(&self) {
        let left: Vec<String> =
            self.tree(&self.repo()).into_iter().filter(|path| path.contains(".tmp-")).collect();
        assert!(left.is_empty(), "temporary files were left: {left:?}");
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    #[expect(dead_code, reason = "shown by Debug when an assertion fails")]
    command: String,
}

impl Run {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        Self::from_output(&shown, &command.output().unwrap())
    }

    /// What a command that was started before has said.
    pub(crate) fn from_output(command: &str, output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command: command.to_owned(),
        }
    }

    /// A command whose output was read while it ran.
    pub(crate) fn ended(command: &str, code: Option<i32>, stderr: String) -> Self {
        Self { code, stdout: String::new(), stderr, command: command.to_owned() }
    }

    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.code(0)
    }

    /// It ended with this code, and did not panic.
    #[track_caller]
    pub(crate) fn code(self, expected: i32) -> Self {
        let ended = self.code == Some(expected) && !self.stderr.contains("panicked");
        assert!(ended, "expected exit code {expected}: {self:#?}");
        self
    }

    /// It said this, on stdout or stderr.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "expected {text:?}: {self:#?}");
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON document ({error}): {self:#?}"))
    }
}

/// Writes a file of the test.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    tuf_client::durable::write_atomic(path, bytes.as_ref()).unwrap();
}

/// Waits until something is so, at most ten seconds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited 10 s in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
