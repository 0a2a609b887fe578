//! The real program: its monitors, its end, and another one that takes over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::event::Ceremony;
use crate::support::python::python;
use crate::support::{Run, Sandbox, wait_until, write};

/// Reads an exposition as Prometheus' own library does, and prints its samples.
const PARSE: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
samples = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type in ('gauge', 'counter'), family
    for sample in family.samples:
        assert (family.type == 'counter') == sample.name.endswith('_total'), sample
        samples[sample.name + ''.join('{%s=%s}' % label for label in sorted(sample.labels.items()))] = sample.value
print(json.dumps(samples))
";

const VERSION: &str = "tuf_repo_role_version{role=\"timestamp\"}";

/// A running `tuf-repo renew --watch`, ended with the test.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: String,
}

impl Daemon {
    /// Starts it, and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        command.args(["renew", "--watch", "--every", "1s", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { child, address }
    }

    /// Status and body of an answer.
    fn get(&self, path: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// What `/healthz` says, with its status.
    pub(crate) fn health(&self) -> (u16, Value) {
        let (status, body) = self.get("/healthz");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Whether it is healthy, and stands by or not.
    pub(crate) fn is(&self, standby: bool) -> bool {
        let (status, health) = self.health();
        status == 200 && health["healthy"] == true && health["standby"] == standby
    }

    /// The sample of a metric without labels, or with these.
    fn sample(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    /// All samples, as Prometheus' own library reads them.
    fn metrics(&self) -> Value {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        let mut parse = Command::new(python().interpreter());
        let parse = parse.args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut parser = parse.spawn().unwrap();
        parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = parser.wait_with_output().unwrap();
        assert!(output.status.success(), "{text}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Ends it with a signal.
    pub(crate) fn end(self, signal: Signal) -> Run {
        self.send(signal);
        self.wait()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> Run {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        Run::ended("renew --watch", code, stderr)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn monitors_get_health_and_metrics_and_a_signal_ends_it() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    let id = ceremony.open(&["root"]);
    for signal in [Signal::TERM, Signal::INT] {
        sandbox.set_periods(&["timestamp"], "1d", "12h");
        let daemon = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
        wait_until("it is healthy", || daemon.is(false));
        let before = daemon.metrics();
        let value = |metrics: &Value, name: &str| {
            metrics[name].as_f64().unwrap_or_else(|| panic!("{name} {metrics:#}"))
        };
        let build = format!("tuf_repo_build_info{{version={}}}", env!("CARGO_PKG_VERSION"));
        assert_eq!(value(&before, &build), 1.0);
        let (_, health) = daemon.health();
        for role in health["roles"].as_array().unwrap() {
            let name = role["role"].as_str().unwrap();
            let expires: chrono::DateTime<chrono::Utc> = role["expires"].as_str().unwrap().parse().unwrap();
            let sample = format!("tuf_repo_role_expiry_timestamp_seconds{{role={name}}}");
            assert_eq!(
                value(&before, &sample),
                f64::from(u32::try_from(expires.timestamp()).unwrap()),
                "{name}"
            );
        }
        assert_eq!(health["roles"].as_array().unwrap().len(), 6);
        assert_eq!(health["events"][0]["id"], id.as_str());
        assert!(value(&before, &format!("tuf_repo_pending_event_age_seconds{{event={id}}}")) >= 0.0);
        assert_eq!(value(&before, "tuf_repo_pending_events"), 1.0);
        assert_eq!(value(&before, "tuf_repo_standby"), 0.0);

        // New settings are taken as they come: the timestamp is due at once, and each second from then on.
        let before = value(&before, "tuf_repo_role_version{role=timestamp}");
        sandbox.set_periods(&["timestamp"], "60s", "1s");
        wait_until("timestamps are signed", || daemon.sample(VERSION) > before + 1.0);
        // A mistake in them is told, and ends nothing.
        let path = sandbox.repo().join("tuf-repo.toml");
        let good = std::fs::read(&path).unwrap();
        write(&path, "layout = ");
        wait_until("it is counted", || daemon.sample("tuf_repo_failures_total") > 0.0);
        write(&path, good);
        let failed = daemon.sample("tuf_repo_rounds_total");
        wait_until("rounds go on", || value(&daemon.metrics(), "tuf_repo_rounds_total") > failed + 2.0);
        assert_eq!(daemon.get("/").0, 404);
        assert_eq!(daemon.get("/healthz").0, 200);
        daemon
            .end(signal)
            .ok()
            .says("renewed: published")
            .says("tuf-repo.toml")
            .says("all is well again")
            .says("stopped");
        sandbox.verify();
        sandbox.assert_no_leftovers();
    }
}

#[test]
fn a_second_daemon_stands_by_and_takes_over_from_one_that_was_killed() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    for (signal, code) in [(Signal::KILL, None), (Signal::TERM, Some(0))] {
        let first = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
        wait_until("the first works", || first.is(false));
        let second = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
        wait_until("the second stands by", || second.is(true));
        let (_, health) = second.health();
        assert!(health["notes"][0].as_str().unwrap().contains(&first.child.id().to_string()), "{health:#}");
        assert_eq!(second.sample("tuf_repo_standby"), 1.0);
        assert_eq!(first.end(signal).code, code);
        wait_until("the second takes over", || second.is(false));
        sandbox.set_periods(&["timestamp"], "60s", "1s");
        let before = sandbox.timestamp();
        wait_until("and signs", || sandbox.timestamp() != before);
        second.end(Signal::TERM).ok().says("standing by: process").says("this daemon renews now");
        sandbox.verify();
        sandbox.set_periods(&["timestamp"], "1d", "12h");
    }
}

/// It is not asked again in the night, and nobody has to find out then.
#[test]
fn a_passphrase_is_needed_at_the_start() {
    let sandbox = Sandbox::new();
    let directory = sandbox.repo().display().to_string();
    let run = |arguments: &[&str], passphrase: &str| {
        Run::of(sandbox.tuf_repo_command(arguments).env("TUF_PASSPHRASE", passphrase))
    };
    run(&["init", &directory, "--preset", "plain"], "right").ok();
    run(&["publish"], "right").ok();
    run(&["renew", "--watch"], "wrong").code(1).says("Wrong passphrase for key");
    sandbox.tuf_repo(&["renew", "--watch"]).code(1).says("TUF_PASSPHRASE_FILE");
    for arguments in [&["renew", "--listen", "0"][..], &["renew", "--watch", "--listen", "here"]] {
        run(arguments, "right").code(2);
    }
    let mut command = sandbox.tuf_repo_command(&[]);
    let daemon = Daemon::start(command.env("TUF_PASSPHRASE", "right"));
    wait_until("it works", || daemon.is(false));
    sandbox.set_periods(&["timestamp"], "60s", "1s");
    let before = sandbox.timestamp();
    wait_until("it signs", || sandbox.timestamp() != before);
    daemon.end(Signal::TERM).ok();
}

/// It has the lock, and does nothing.
#[test]
fn who_stands_by_signs_what_is_late_if_the_other_one_hangs() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    sandbox.set_periods(&["timestamp"], "8s", "4s");
    sandbox.tuf_repo(&["publish"]).ok();
    let first = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
    wait_until("the first works", || first.is(false));
    first.send(Signal::STOP);
    let second = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
    wait_until("the second stands by", || second.is(true));
    let before = sandbox.timestamp();
    wait_until("it signs what is late", || sandbox.timestamp() != before);
    sandbox.verify();
    wait_until("and stands by again", || second.is(true));
    second.end(Signal::TERM).ok().says("this daemon renews now").says("renewed: ");
    first.send(Signal::CONT);
    first.end(Signal::TERM).ok();
    sandbox.verify();
}
