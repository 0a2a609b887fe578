//! One repository and several machines: directories that share a bucket and a database, and nothing else. The programs are
//! the built ones, the servers real.

mod commands;
mod docs;
mod lease;
mod log;
mod public_url;
mod races;
mod watch;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::Connection as _;
use tokio::runtime::Runtime;

use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::{Run, Sandbox, write};

/// Keys that stay on the machine that made the repository.
const OFFLINE: [&str; 3] = ["root", "targets", "bins"];

/// A directory that publishes, and the variables of its commands.
#[derive(Debug)]
struct Machine {
    sandbox: Sandbox,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// A machine without a repository; the database's password is in its environment.
    fn new(mut variables: Vec<(String, String)>) -> Self {
        variables.push(("PGPASSWORD".to_owned(), PASSWORD.to_owned()));
        Self { sandbox: Sandbox::new(), variables }
    }

    /// With a new repository below this prefix of the bucket, with four roles.
    fn plain(variables: Vec<(String, String)>, prefix: &str, state: &str) -> Self {
        let machine = Self::new(variables);
        machine.init(prefix, &["--preset", "plain", "--state", state]).ok();
        machine
    }

    fn init(&self, prefix: &str, arguments: &[&str]) -> Run {
        let (directory, storage) =
            (self.sandbox.repo().display().to_string(), format!("s3://bucket1/{prefix}"));
        let fixed = ["init", &directory, "--no-passphrase", "--storage", &storage];
        self.run(&[&fixed, arguments].concat())
    }

    /// Another machine that publishes to the same: settings, root and keys are copied, but for the private keys of `left_out`.
    fn join(&self, variables: Vec<(String, String)>, left_out: &[&str]) -> Self {
        let other = Self::new(variables);
        for name in self.sandbox.tree(&self.sandbox.repo()) {
            let private = left_out.iter().any(|role| name == format!("keys/{role}.pem"));
            if !private && !name.starts_with("state/") {
                let bytes = std::fs::read(self.sandbox.repo().join(&name)).unwrap();
                let to = other.sandbox.repo().join(&name);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                tuf_client::durable::write_private(&to, &bytes).unwrap();
            }
        }
        other
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.tuf_repo_command(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }

    /// Starts a command whose output is read at its end.
    fn start(&self, arguments: &[&str]) -> std::process::Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Stages a target of this name, whose bytes are the name.
    fn add(&self, name: &str) -> Run {
        let file = self.sandbox.path("file");
        write(&file, name);
        self.run(&["add", &file.display().to_string(), "--as", name])
    }

    fn root(&self) -> Vec<u8> {
        std::fs::read(self.sandbox.repo().join("root.json")).unwrap()
    }

    /// All targets, as a client lists them that keeps its store.
    fn targets(&self, url: &str) -> BTreeSet<String> {
        let document = self.sandbox.tuf_client(&["--url", url, "--json", "list"]).ok().json();
        let targets = document["targets"].as_array().unwrap().iter();
        targets.map(|target| target["path"].as_str().unwrap().to_owned()).collect()
    }

    /// A client finds every role and every byte in order.
    fn audit(&self, url: &str) {
        self.sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", url]).ok();
    }
}

/// The version of a timestamp that a command has published.
fn published(run: &Run) -> Option<u64> {
    run.json()["timestamp"].as_u64()
}

fn send(child: &std::process::Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A look into the database past the programs.
struct Database {
    runtime: Runtime,
    connection: sqlx::AnyConnection,
}

impl Database {
    fn new(postgres: &Postgres) -> Self {
        sqlx::any::install_default_drivers();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(sqlx::AnyConnection::connect(&postgres.url(""))).unwrap();
        Self { runtime, connection }
    }

    /// The version of the timestamp that was announced last, by whoever had the lease.
    fn announced(&mut self) -> i64 {
        let select = sqlx::query_scalar("select max(announced) from tuf_lease");
        self.runtime.block_on(select.fetch_one(&mut self.connection)).unwrap()
    }

    /// As if so much time had passed that nobody has the lease any more.
    fn let_leases_run_out(&mut self) {
        let update = sqlx::query("update tuf_lease set expires = 1 where expires > 1");
        self.runtime.block_on(update.execute(&mut self.connection)).unwrap();
    }
}
