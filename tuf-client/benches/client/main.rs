//! Our client beside other clients and beside the bare primitives: time, processor time and peak memory. Prints, asserts
//! nothing. Unix only.
//!
//! `cargo xtask bench client` builds what this needs and runs it; `specs/performance.md` says what is measured.

mod clients;
mod data;
mod documents;
mod downloads;
mod floor;
#[path = "../shared/measured.rs"]
mod measured;
mod options;
mod server;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use clients::{Client, Work, remove};
use data::{SETS, Set, Wanted};
use documents::{Document, WAYS};
use measured::Cost;
use options::Options;
use server::Server;
use table::{Budgets, mebibytes, print, ratio};

/// Is in memory.
const TMPFS: &str = "/dev/shm";

fn main() {
    if measured::was_asked() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("generate") => set(&words[1]).generate(Path::new(&words[2])),
        Some("floor") => floor::run(&words[1..]),
        Some("repeat") => {
            Document::open(&words[1], Path::new(&words[2])).repeat(&words[3], words[4].parse().unwrap());
        }
        Some("time") => {
            let document = Document::open(&words[1], Path::new(&words[2]));
            WAYS.iter().for_each(|way| print(&document.time(way).as_nanos().to_string()));
        }
        _ => compare(&mut Options::read(&words)),
    }
}

fn set(name: &str) -> &'static Set {
    SETS.iter().find(|set| set.name == name).unwrap_or_else(|| panic!("no data set {name}"))
}

fn compare(options: &mut Options) {
    let mut budgets = Budgets::default();
    options.describe();
    for set in &options.sets {
        let data = made(set, &options.work);
        // On tmpfs what a client syncs costs nothing.
        let memory = tempfile::tempdir_in(TMPFS).unwrap_or_else(|_| tempfile::tempdir().unwrap());
        let disk = tempfile::tempdir_in(&options.work).unwrap();
        let server = Server::start(&options.programs.prefix, &data, disk.path(), &options.server);
        let address = server.address.to_string();
        print(&format!("\n## Set {}: {}", set.name, set.says));
        let place = Place { set, data: &data, address: &address };
        if set.name == "files" {
            downloads::run(&place, options, memory.path(), disk.path(), &mut budgets);
        } else {
            refreshes(&place, options, memory.path(), disk.path(), &mut budgets);
            documents(&place, options, &mut budgets);
        }
    }
    budgets.print();
}

/// Where a set is, and who serves it.
struct Place<'a> {
    set: &'a Set,
    data: &'a Path,
    address: &'a str,
}

/// Made by a process of its own, so that this one stays small.
fn made(set: &Set, work: &Path) -> PathBuf {
    let directory = work.join(set.name);
    if !directory.join(set.stamp()).exists() {
        remove(&directory);
        fs::create_dir_all(&directory).unwrap();
        let start = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        assert!(command.args(["generate", set.name]).arg(&directory).status().unwrap().success());
        print(&format!("Made data set {} in {:.1} s.", set.name, start.elapsed().as_secs_f32()));
    }
    directory
}

fn refreshes(place: &Place<'_>, options: &Options, memory: &Path, disk: &Path, budgets: &mut Budgets) {
    let Place { set, data, address } = *place;
    // Neither of them is the first of its project, so that nothing is special about it.
    let one: Vec<Wanted> = vec![set.wanted(1)];
    let hundred: Vec<Wanted> = (1..101).map(|number| set.wanted(number)).collect();
    let in_memory = options.clients(set, &[Client::Floor], true);
    let work = Work::new(set, data, address, 1, &one, memory);
    let cold = work.round(&in_memory, &options.programs, false, options.runs);
    show("Cold refresh and one target of 1 MB", &cold);
    let warm = work.round(&in_memory, &options.programs, true, options.runs);
    show("Warm refresh and one target of 1 MB", &warm);
    let work = Work::new(set, data, address, 1, &hundred, memory);
    // tough looks at every target once for each role, so often that this is no measurement of downloads.
    let without: Vec<Client> = in_memory.iter().copied().filter(|client| *client != Client::Tough).collect();
    let many = work.round(&without, &options.programs, false, options.runs.min(5));
    show("Cold refresh and 100 targets of 1 MB", &many);
    let work = Work::new(set, data, address, 1, &one, disk);
    let on_disk = options.clients(set, &[Client::Synced], false);
    let durable = work.round(&on_disk, &options.programs, false, options.runs);
    show("Cold refresh and one target of 1 MB, on disk", &durable);

    let wall = |costs: &Costs, client| found(costs, client).map(|cost| cost.wall);
    let times = |costs: &Costs, client| Some(ratio(wall(costs, client)?, wall(costs, Client::Ours)?));
    let over = |costs: &Costs, floor| Some(1.0 / times(costs, floor)?);
    match set.name {
        "a" => {
            if let Some(over) = over(&warm, Client::Floor) {
                budgets.at_most("a, warm", "x floor", 2.0, over);
            }
        }
        "c" => {
            if let Some(over) = over(&cold, Client::Floor) {
                budgets.at_most("c, cold", "x floor", 1.5, over);
            }
            for (peer, limit) in [(Client::PythonTuf, 15.0), (Client::SigstoreTuf, 5.0)] {
                if let Some(times) = times(&cold, peer) {
                    budgets.at_least("c, cold", &format!("x faster than {}", peer.name()), limit, times);
                }
            }
            if let Some(ours) = found(&cold, Client::Ours) {
                budgets.at_most("c, cold, peak", "MiB", 20.0, mebibytes(ours.peak));
            }
        }
        _ => {}
    }
}

/// What came of a round.
type Costs = [(Client, Result<Cost, String>)];

fn found(costs: &Costs, client: Client) -> Option<Cost> {
    costs.iter().find(|(found, _)| *found == client).and_then(|(_, cost)| cost.as_ref().ok().copied())
}

fn show(title: &str, costs: &Costs) {
    let rows: Vec<_> = costs.iter().map(|(client, cost)| (client.name(), cost.clone())).collect();
    table::clients(title, &rows);
}

fn documents(place: &Place<'_>, options: &Options, budgets: &mut Budgets) {
    let metadata = place.data.join("metadata");
    let rows = match place.set.name {
        "b" => vec![("bin", place.set.bin_of_size(place.data, 45_000))],
        "c" => vec![
            ("snapshot", "1.snapshot.json".to_owned()),
            ("bins", "1.bins.json".to_owned()),
            ("bin", place.set.bin_of_size(place.data, 10_900)),
        ],
        _ => return,
    };
    print("\n### Parse and verify in one process\n");
    print("| File | bytes | tuf-core ms | serde_json, unverified, ms | signature alone, ms |");
    print("|---|---:|---:|---:|---:|");
    for (signer, name) in &rows {
        let path = metadata.join(name);
        let mut command = options.itself(&["time", signer, &path.display().to_string()]);
        let text = String::from_utf8(command.stderr(Stdio::inherit()).output().unwrap().stdout).unwrap();
        let times: Vec<f64> = text.lines().map(|line| line.parse::<f64>().unwrap() / 1e6).collect();
        let [ours, serde, signature] = *times else { panic!("{command:?} failed") };
        let bytes = path.metadata().unwrap().len();
        print(&format!("| {signer} ({name}) | {bytes} | {ours:.3} | {serde:.3} | {signature:.3} |"));
        match (place.set.name, signer) {
            ("c", &"snapshot") => {
                budgets.at_most("c, snapshot, parse and verify", "ms", 2.0, ours);
                // As on the machine where these 2 ms were set and serde_json took 2.9.
                budgets.at_most("c, snapshot, parse and verify", "x serde_json", 0.69, ours / serde);
            }
            ("b", _) => budgets.at_most("b, bin of 45 kB", "x signature", 1.6, ours / signature),
            _ => {}
        }
    }
    if options.instructions {
        print("\n### Instructions, in thousands (callgrind)\n");
        print("| File | tuf-core | serde_json, unverified | signature alone |\n|---|---:|---:|---:|");
        for (signer, name) in &rows {
            let path = metadata.join(name).display().to_string();
            let counts = WAYS.map(|way| {
                // What one more costs is free of what comes before and after.
                let few = options.instructions_of(&["repeat", signer, &path, way, "1"]);
                let more = options.instructions_of(&["repeat", signer, &path, way, "5"]);
                few.zip(more).map_or_else(|| "?".to_owned(), |(few, more)| ((more - few) / 4000).to_string())
            });
            print(&format!("| {signer} ({name}) | {} |", counts.join(" | ")));
        }
    }
}
