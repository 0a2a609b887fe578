//! What the command line says, and what this machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clients::{Client, Programs};
use crate::data::{SETS, Set};
use crate::server::nginx;
use crate::table::print;

pub(crate) struct Options {
    pub(crate) sets: Vec<&'static Set>,
    peers: Vec<Client>,
    pub(crate) runs: usize,
    pub(crate) instructions: bool,
    pub(crate) programs: Programs,
    /// Serves where there is no nginx.
    pub(crate) server: PathBuf,
    /// For data sets and what is written to disk.
    pub(crate) work: PathBuf,
}

impl Options {
    /// `--set NAME|all`, `--peers NAME,...`, `--runs N`, `--instructions`, `--realtime`. A peer that cannot run is left
    /// out, with the reason.
    pub(crate) fn read(words: &[String]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut options = Self {
            sets: Vec::new(),
            peers: vec![Client::PythonTuf, Client::SigstoreTuf, Client::Tough],
            runs: 11,
            instructions: false,
            programs: Programs {
                python: root.join("target/test-env/current/bin/python"),
                script: root.join("interop/bench-peers/python_tuf.py"),
                peers: root.join("target/bench/peers/release"),
                prefix: Vec::new(),
            },
            server: root.join("target/release/examples/serve_directory"),
            work: root.join("target/bench"),
        };
        let mut words = words.iter();
        let mut sets = "all";
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} takes a value"));
            match word.as_str() {
                "--set" => sets = value(),
                "--peers" => {
                    let names: Vec<&str> = value().split(',').filter(|name| !name.is_empty()).collect();
                    let known = options.peers.iter().map(|peer| peer.name());
                    let unknown = names.iter().find(|name| known.clone().all(|known| known != **name));
                    assert!(unknown.is_none(), "no peer {unknown:?}");
                    options.peers.retain(|peer| names.contains(&peer.name()));
                }
                "--runs" => options.runs = value().parse().unwrap(),
                "--instructions" => options.instructions = true,
                "--realtime" => options.programs.prefix = ["chrt", "--rr", "5"].map(str::to_owned).to_vec(),
                _ => panic!("unknown: {word}"),
            }
        }
        assert!(options.runs > 0, "--runs takes a number from 1");
        // `d` takes a gigabyte.
        let wanted = |set: &&Set| {
            if sets == "all" { set.name != "d" } else { sets.split(',').any(|name| name == set.name) }
        };
        options.sets = SETS.iter().filter(wanted).collect();
        assert!(!options.sets.is_empty(), "no data set {sets:?}");
        options
    }

    /// The machine and the programs, and why some of them are not there.
    pub(crate) fn describe(&mut self) {
        let first = |path: &str, key: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.rsplit(": ").next().unwrap_or_default().to_owned()
        };
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?").to_owned();
        print("# Client benchmark\n");
        print(&format!(
            "- Machine: {cores} cores, {}; load at the start {load}",
            first("/proc/cpuinfo", "model name")
        ));
        let server = nginx().unwrap_or_else(|| "tuf-repo's, as there is no nginx".to_owned());
        print(&format!("- Server: {server}, on loopback; medians of {} runs after one more", self.runs));
        let priority =
            if self.programs.prefix.is_empty() { "normal" } else { "real-time, server and clients" };
        print(&format!("- Priority: {priority}"));
        let version = "from importlib.metadata import version as v; import platform as p
print('python-tuf', v('tuf'), 'on Python', p.python_version())";
        let output =
            Command::new(&self.programs.python).args(["-I", "-c", version]).stderr(Stdio::null()).output();
        if let Some(output) = output.ok().filter(|output| output.status.success()) {
            print(&format!("- {}", String::from_utf8_lossy(&output.stdout).trim()));
        }
        let missing = |peer: &Client| self.programs.missing(*peer).map(|why| (*peer, why));
        let missing: Vec<(Client, String)> = self.peers.iter().filter_map(missing).collect();
        for (peer, why) in &missing {
            print(&format!("- {} is left out: {why}", peer.name()));
        }
        self.peers.retain(|peer| missing.iter().all(|(left_out, _)| left_out != peer));
    }

    /// Ours, these, and if `peers` the peers that can do this set; of `these` a peer only if it is wanted.
    pub(crate) fn clients(&self, set: &Set, these: &[Client], peers: bool) -> Vec<Client> {
        let is_floor = |client: &Client| matches!(client, Client::Floor | Client::Synced);
        let these = these.iter().copied().filter(|client| is_floor(client) || self.peers.contains(client));
        // Beyond a few bins it does not finish in reasonable time.
        let finishes = |client: &Client| *client != Client::Tough || set.name == "a";
        let others = self.peers.iter().copied().filter(|client| peers && finishes(client));
        [Client::Ours].into_iter().chain(these).chain(others).collect()
    }

    /// This program.
    pub(crate) fn itself(&self, arguments: &[&str]) -> Command {
        let program = std::env::current_exe().unwrap();
        let mut words = self.programs.prefix.iter().map(PathBuf::from).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(arguments);
        command
    }

    /// What valgrind counts while this program runs; nothing where valgrind does not.
    #[expect(clippy::unused_self, reason = "beside `itself`")]
    pub(crate) fn instructions_of(&self, arguments: &[&str]) -> Option<u64> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        let output = command.arg(std::env::current_exe().unwrap()).args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.split_once("Collected : ").and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
    }
}
