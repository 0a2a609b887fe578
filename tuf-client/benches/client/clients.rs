//! The clients that are compared, and one round of them.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::data::{Set, Wanted};
use crate::floor;
use crate::measured::{self, Cost};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Ours,
    Floor,
    /// The floor with every file synced.
    Synced,
    PythonTuf,
    SigstoreTuf,
    Tough,
}

impl Client {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "tuf-client",
            Self::Floor => "floor",
            Self::Synced => "floor, synced",
            Self::PythonTuf => "python-tuf",
            Self::SigstoreTuf => "sigstore-tuf",
            Self::Tough => "tough",
        }
    }
}

/// Where the other programs are.
pub(crate) struct Programs {
    pub(crate) python: PathBuf,
    pub(crate) script: PathBuf,
    /// The directory of those in Rust.
    pub(crate) peers: PathBuf,
    /// A program that sets the priority, with its arguments.
    pub(crate) prefix: Vec<String>,
}

impl Programs {
    /// Why a client cannot be measured.
    pub(crate) fn missing(&self, client: Client) -> Option<String> {
        match client {
            Client::PythonTuf => {
                let mut command = Command::new(&self.python);
                command.args(["-I", "-c", "import tuf.ngclient"]).stderr(Stdio::null());
                let runs = command.status().is_ok_and(|status| status.success());
                (!runs).then(|| format!("{} has no python-tuf", self.python.display()))
            }
            Client::SigstoreTuf | Client::Tough => {
                let program = self.peer(client);
                (!program.is_file()).then(|| format!("{} was not built", program.display()))
            }
            Client::Ours | Client::Floor | Client::Synced => None,
        }
    }

    fn peer(&self, client: Client) -> PathBuf {
        self.peers.join(format!("bench-peer-{}", client.name()))
    }

    fn command(&self, words: Vec<String>) -> Command {
        let mut command = measured::measuring(&self.prefix, &words[0]);
        command.args(&words[1..]);
        command
    }

    /// Any program, with its arguments.
    pub(crate) fn cost(&self, words: &[&str]) -> Cost {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        measured::cost(self.command(words).stderr(Stdio::inherit()))
    }
}

/// One piece of work: a refresh, then targets.
pub(crate) struct Work<'a> {
    pub(crate) data: &'a Path,
    /// `host:port`.
    pub(crate) address: &'a str,
    pub(crate) targets: &'a [Wanted],
    pub(crate) plan: PathBuf,
    /// For stores and downloads.
    pub(crate) scratch: &'a Path,
}

impl<'a> Work<'a> {
    /// The targets of the set with the numbers from `first` on.
    pub(crate) fn new(
        set: &'a Set,
        data: &'a Path,
        address: &'a str,
        first: u64,
        targets: &'a [Wanted],
        scratch: &'a Path,
    ) -> Self {
        let numbers = first..first + u64::try_from(targets.len()).unwrap();
        let plan = scratch.join("plan");
        let text = floor::plan(&Set::root_keys(), &set.pieces(numbers), targets);
        File::create(&plan).unwrap().write_all(text.as_bytes()).unwrap();
        Self { data, address, targets, plan, scratch }
    }

    fn words(&self, client: Client, programs: &Programs, warm: bool) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let (root, store, output) =
            (text(&self.data.join("root.json")), text(&self.store(client)), text(&self.output()));
        let base = format!("http://{}", self.address);
        let arguments = [base, root, store, output];
        let mut words = match client {
            Client::Ours => {
                let [base, root, store, output] = arguments;
                let program = env!("CARGO_BIN_EXE_tuf-client").to_owned();
                let options = ["--root", &root, "--url", &base, "--store", &store, "--quiet", "download"];
                let output = ["--output".to_owned(), output];
                [program].into_iter().chain(options.map(str::to_owned)).chain(output).collect()
            }
            Client::Floor | Client::Synced => {
                let mode = if warm { "warm" } else { "cold" };
                let sync = if client == Client::Synced { "-sync" } else { "" };
                let [_, root, store, output] = arguments;
                let program = text(&std::env::current_exe().unwrap());
                let rest = [root, store, output, format!("{mode}{sync}"), text(&self.plan)];
                let mut words = vec![program, "floor".to_owned(), self.address.to_owned()];
                words.extend(rest);
                return words;
            }
            Client::PythonTuf => {
                let program = [text(&programs.python), "-I".to_owned(), text(&programs.script)];
                program.into_iter().chain(arguments).collect::<Vec<_>>()
            }
            Client::SigstoreTuf | Client::Tough => {
                [text(&programs.peer(client))].into_iter().chain(arguments).collect()
            }
        };
        words.extend(self.targets.iter().map(|wanted| wanted.path.clone()));
        words
    }

    fn store(&self, client: Client) -> PathBuf {
        self.scratch.join(format!("store-{}", client.name().replace(' ', "-")))
    }

    fn output(&self) -> PathBuf {
        self.scratch.join("output")
    }

    /// One run, or what went wrong.
    pub(crate) fn run(&self, client: Client, programs: &Programs, warm: bool) -> Result<Cost, String> {
        if !warm {
            remove(&self.store(client));
        }
        remove(&self.output());
        fs::create_dir_all(self.output()).unwrap();
        let stderr = self.scratch.join("stderr");
        let mut command = programs.command(self.words(client, programs, warm));
        command.env_clear().env("PATH", "/usr/bin:/bin").stderr(File::create(&stderr).unwrap());
        let cost = measured::cost(&mut command);
        if cost.code != Some(0) {
            let said = fs::read_to_string(&stderr).unwrap_or_default();
            let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let ended = cost.code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
            return Err(format!("{ended}: {said}"));
        }
        for wanted in self.targets {
            let length = self.output().join(&wanted.path).metadata().map_or(0, |found| found.len());
            if length != wanted.length {
                return Err(format!("has {length} bytes of {}, not {}", wanted.path, wanted.length));
            }
        }
        Ok(cost)
    }

    /// Medians of so many runs after one more: all clients once, then all of them again, so that each
    /// has its part of what else the machine does.
    pub(crate) fn round(
        &self,
        clients: &[Client],
        programs: &Programs,
        warm: bool,
        runs: usize,
    ) -> Vec<(Client, Result<Cost, String>)> {
        let mut costs: Vec<(Client, Result<Vec<Cost>, String>)> =
            clients.iter().map(|&client| (client, Ok(Vec::new()))).collect();
        for number in 0..=runs {
            for (client, costs) in &mut costs {
                let Ok(so_far) = costs else { continue };
                // What fills the store is the run that does not count.
                match self.run(*client, programs, warm && number > 0) {
                    Ok(cost) if number > 0 => so_far.push(cost),
                    Ok(_) => {}
                    Err(why) => *costs = Err(why),
                }
            }
        }
        for client in clients {
            remove(&self.store(*client));
        }
        remove(&self.output());
        costs.into_iter().map(|(client, costs)| (client, costs.map(|costs| median(&costs)))).collect()
    }
}

/// The median of each.
pub(crate) fn median(costs: &[Cost]) -> Cost {
    fn of<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
        let mut values: Vec<T> = values.collect();
        values.sort_unstable();
        values[values.len() / 2]
    }
    let of_times = |time: fn(&Cost) -> Duration| of(costs.iter().map(time));
    Cost {
        wall: of_times(|cost| cost.wall),
        cpu: of_times(|cost| cost.cpu),
        peak: of(costs.iter().map(|cost| cost.peak)),
        code: Some(0),
    }
}

pub(crate) fn remove(directory: &Path) {
    if directory.exists() {
        fs::remove_dir_all(directory).unwrap();
    }
}
