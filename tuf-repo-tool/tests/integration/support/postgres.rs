//! A throw-away PostgreSQL server from Debian, on a free port of the loopback, with a password. Ends with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};

use super::{Run, wait_until, write};

const VERSIONS: &str = "/usr/lib/postgresql";

/// Of a user of nothing but the server of one test.
pub(crate) const PASSWORD: &str = "not@secret:here";

/// A running server, with an empty database `postgres` of the user `tuf`.
#[derive(Debug)]
pub(crate) struct Postgres {
    directory: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
}

/// The directory of the server's programs, of the newest version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file());
    found.max().unwrap_or_else(|| panic!("{VERSIONS} has no initdb: install the package postgresql"))
}

impl Postgres {
    /// Makes a cluster and starts its server.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("tuf-postgres-").tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut postgres = Self { directory, port, server: None };
        let password = postgres.path("password");
        write(&password, PASSWORD);
        if getuid().is_root() {
            let mut chown = Command::new("chown");
            Run::of(chown.args(["--recursive", "postgres:"]).arg(postgres.directory.path())).ok();
        }
        let mut init = postgres.command("initdb");
        init.arg("--pgdata").arg(postgres.path("data")).arg("--pwfile").arg(&password);
        init.args([
            "--username=tuf",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]);
        Run::of(&mut init).ok();
        postgres.restart();
        postgres
    }

    /// Starts the server again after [`Postgres::stop`], on the same port.
    pub(crate) fn restart(&mut self) {
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.path("data")).arg("-p").arg(self.port.to_string());
        server.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let log = std::fs::File::create(self.path("log")).unwrap();
        let server = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.server = Some(server);
        let ready = || {
            let mut ready = self.command("pg_isready");
            ready
                .args(["--quiet", "--host=127.0.0.1", "--port"])
                .arg(self.port.to_string())
                .status()
                .unwrap()
                .success()
        };
        wait_until(&format!("PostgreSQL is ready: {}", self.path("log").display()), ready);
    }

    /// Stops the server as an administrator does, connections or not.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Fast shutdown.
            kill_process(Pid::from_child(&server), Signal::INT).unwrap();
            server.wait().unwrap();
        }
    }

    /// The URL of its database, without a password, and with these parameters.
    pub(crate) fn url_without_password(&self, parameters: &str) -> String {
        format!("postgres://tuf@127.0.0.1:{}/postgres{parameters}", self.port)
    }

    /// The URL of its database with these parameters, `?repository=NAME` for example.
    pub(crate) fn url(&self, parameters: &str) -> String {
        let password = PASSWORD.replace('@', "%40").replace(':', "%3A");
        self.url_without_password(parameters).replace("tuf@", &format!("tuf:{password}@"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program of the server, as a user that it accepts, who is not root, and ended with this test.
    fn command(&self, program: &str) -> Command {
        let program = programs().join(program);
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=INT");
        if getuid().is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(program).current_dir(Path::new("/"));
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
