//! What the command line says, and what this machine has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::data::{SETS, Set};
use crate::table::print;

pub(crate) struct Options {
    pub(crate) sets: Vec<&'static Set>,
    /// Whether `add` is measured.
    pub(crate) add: bool,
    pub(crate) runs: usize,
    /// Sets the priority.
    pub(crate) prefix: Vec<String>,
    /// python-tuf, and the script that drives it.
    pub(crate) python: Option<(PathBuf, PathBuf)>,
    pub(crate) tuftool: Option<PathBuf>,
    /// For what is written to disk.
    pub(crate) work: PathBuf,
}

impl Options {
    /// `--set NAME,...`, `--runs N`, `--realtime`. A peer that is not there is left out.
    pub(crate) fn read(words: &[String]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join("target/test-env/current/bin/python");
        let check = ["-I", "-c", "import tuf.api.metadata"];
        let runs = Command::new(&python).args(check).stderr(Stdio::null()).status();
        let script = root.join("interop/bench-peers/python_tuf_repository.py");
        let mut options = Self {
            sets: SETS.iter().collect(),
            add: true,
            runs: 11,
            prefix: Vec::new(),
            python: runs.is_ok_and(|status| status.success()).then_some((python, script)),
            tuftool: Some(root.join("target/test-env/tuftool/bin/tuftool")).filter(|path| path.exists()),
            work: root.join("target/bench"),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} takes a value"));
            match word.as_str() {
                "--set" => {
                    let names: Vec<&str> = value().split(',').collect();
                    options.sets.retain(|set| names.contains(&set.name));
                    options.add = names.contains(&"add");
                    assert!(options.add || !options.sets.is_empty(), "no data set {names:?}");
                }
                "--runs" => options.runs = value().parse().unwrap(),
                "--realtime" => options.prefix = ["chrt", "--rr", "5"].map(str::to_owned).to_vec(),
                _ => panic!("unknown: {word}"),
            }
        }
        assert!(options.runs > 0, "--runs takes a number from 1");
        std::fs::create_dir_all(&options.work).unwrap();
        options
    }

    /// The machine and the programs.
    pub(crate) fn describe(&self) {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        print("# Repository benchmark\n");
        print(&format!(
            "- Machine: {cores} cores, {}; load at the start {}",
            model.map_or("?", |(_, name)| name),
            load.split(' ').next().unwrap_or("?")
        ));
        let priority = if self.prefix.is_empty() { "normal" } else { "real-time" };
        print(&format!(
            "- Priority: {priority}; one change: medians of {} runs after others; from scratch and add: one run each",
            self.runs
        ));
        let version = "from importlib.metadata import version as v; import platform as p
print('python-tuf', v('tuf'), 'on Python', p.python_version())";
        match &self.python {
            Some((python, _)) => {
                let output = Command::new(python).args(["-I", "-c", version]).output().unwrap();
                print(&format!("- {}, on one core", String::from_utf8_lossy(&output.stdout).trim()));
            }
            None => print("- python-tuf is left out: target/test-env has none"),
        }
        if self.add && self.tuftool.is_none() {
            print("- tuftool is left out: target/test-env has none");
        }
    }
}
