//! A real ssh-agent, for one test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Run, Sandbox, wait_until};

/// A running agent; it ends with the test.
#[derive(Debug)]
pub(crate) struct SshAgent {
    child: Child,
    socket: PathBuf,
}

impl SshAgent {
    /// An agent without keys.
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let socket = sandbox.path("agent");
        let child = sandbox
            .command("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent is missing: install the package openssh-client");
        let agent = Self { child, socket };
        wait_until("the agent listens", || agent.socket.exists());
        agent
    }

    /// The command, with this agent.
    pub(crate) fn command(&self, mut command: Command) -> Command {
        command.env("SSH_AUTH_SOCK", &self.socket);
        command
    }

    /// Makes a key with `ssh-keygen`, hands it to the agent, and returns its fingerprint.
    pub(crate) fn add(&self, sandbox: &Sandbox, comment: &str, kind: &[&str]) -> String {
        let count = std::fs::read_dir(sandbox.path("")).unwrap().count();
        let file = sandbox.path(&format!("ssh-key-{count}"));
        let keygen =
            |arguments: &[&str]| Run::of(sandbox.command("ssh-keygen").args(arguments).arg(&file)).ok();
        keygen(&[&["-q", "-N", "", "-C", comment, "-t"], kind, &["-f"]].concat());
        Run::of(self.command(sandbox.command("ssh-add")).arg("-q").arg(&file)).ok();
        let shown = keygen(&["-l", "-f"]).stdout;
        shown.split(' ').nth(1).unwrap().to_owned()
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
