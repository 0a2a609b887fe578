//! What publishing costs, beside python-tuf and beside the bare primitives: processor time, wall time and peak memory. Prints,
//! asserts nothing. Unix only.
//!
//! `cargo xtask bench repo` builds what this needs and runs it; `specs/performance.md` says what is measured.

mod add;
mod data;
mod floor;
#[path = "../../../tuf-client/benches/shared/measured.rs"]
mod measured;
mod options;
mod ours;
mod phases;
mod storage;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use data::Set;
use measured::{Cost, cost, measuring};
use options::Options;
use table::{Budgets, Measured, mebibytes, print};

/// Is in memory: a sync costs nothing there.
const TMPFS: &str = "/dev/shm";

fn main() {
    if measured::was_asked() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("sign") => ours::sign(&words[1..]),
        Some("change") => ours::change_one(&words[1..]),
        Some("refresh") => ours::refresh(&words[1..]),
        Some("floor") => floor::run(&words[1..]),
        _ => compare(&Options::read(&words)),
    }
}

fn compare(options: &Options) {
    let mut budgets = Budgets::default();
    options.describe();
    let mut changes = BTreeMap::new();
    for set in &options.sets {
        print(&format!("\n## Set {}: {}", set.name, set.says));
        let memory = tempfile::tempdir_in(TMPFS).unwrap_or_else(|_| tempfile::tempdir().unwrap());
        signing(set, options, memory.path(), &mut budgets);
        changes.insert(set.name, changing(set, options, memory.path(), &mut budgets));
    }
    if let (Some(one), Some(twenty)) = (changes.get("c"), changes.get("e")) {
        budgets.at_most("one change at 20 M targets", "x that at 1 M", 2.0, twenty / one);
    }
    if options.add {
        add::run(options, &mut budgets);
    }
    budgets.print();
}

/// Runs this program once more, on these cores, and gives what it reported and what it cost.
fn itself(options: &Options, cores: &str, directory: &Path, words: &[&str]) -> (Measured, Cost) {
    let report = directory.join("report");
    let mut prefix: Vec<String> = options.prefix.clone();
    prefix.extend(["taskset", "-c", cores].map(str::to_owned));
    let mut command = measuring(&prefix, std::env::current_exe().unwrap());
    let cost = cost(command.args(words).arg(&report));
    assert_eq!(cost.code, Some(0), "{command:?}");
    (Measured::read(&std::fs::read_to_string(&report).unwrap()), cost)
}

/// python-tuf, as repository.
fn python(options: &Options, words: &[&str]) -> Option<Measured> {
    let (python, script) = options.python.as_ref()?;
    let mut words_before = options.prefix.iter().map(String::as_str).chain(["taskset", "-c", "1"]);
    let mut command = Command::new(words_before.next().unwrap());
    let output = command.args(words_before).arg(python).arg("-I").arg(script).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(Measured::read(&String::from_utf8(output.stdout).unwrap()))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The first publish. Leaves the repository in `set`.
fn signing(set: &Set, options: &Options, memory: &Path, budgets: &mut Budgets) {
    let (one, two) = (memory.join("one"), memory.join("set"));
    let (both, _) = itself(options, "0,1", memory, &["sign", set.name, text(&two)]);
    if !set.whole {
        return;
    }
    let (alone, cost) = itself(options, "1", memory, &["sign", set.name, text(&one)]);
    std::fs::remove_dir_all(&one).unwrap();
    let metadata = two.join("public/metadata");
    let out = memory.join("out");
    let (floor, _) = itself(options, "1", memory, &["floor", text(&metadata), text(&out)]);
    std::fs::remove_dir_all(&out).unwrap();
    let peer = python(options, &["sign", text(&metadata), text(&out)]);
    let _ = std::fs::remove_dir_all(&out);

    print("\n### All hash bins from scratch, on tmpfs; seconds of wall time\n");
    print("| | route | sign | journal | write | together |\n|---|---:|---:|---:|---:|---:|");
    let seconds = |measured: &Measured, name: &str| measured.wall(name) / 1e3;
    let (mut together, mut alike) = (Vec::new(), Vec::new());
    for (name, run) in [("tuf-repo, one core", &alone), ("tuf-repo, two cores", &both)] {
        let route = seconds(run, "route");
        let parts = [route, seconds(run, "sign") - route, seconds(run, "journal"), seconds(run, "write")];
        let all = parts.iter().sum::<f64>();
        together.push(all);
        // python-tuf's script gets its targets by bin, and it keeps no journal.
        alike.push(parts[1] + parts[3]);
        let [route, sign, journal, write] = parts.map(|part| format!("{part:.2}"));
        print(&format!("| {name} | {route} | {sign} | {journal} | {write} | {all:.2} |"));
    }
    if let Some(peer) = &peer {
        let [build, sign, serialise, write] =
            ["build", "sign", "serialise", "write"].map(|name| seconds(peer, name));
        let (signing, all) = (build + sign + serialise, build + sign + serialise + write);
        print(&format!("| python-tuf | | {signing:.2} | | {write:.2} | {all:.2} |"));
        // What 3.5 s were where it took 9.6.
        let work = format!("{}, all bins, sign and write, one core", set.name);
        budgets.at_least(&work, "x faster than python-tuf", 9.6 / 3.5, all / alike[0]);
    }
    print(&format!("| floor | | | | | {:.2} |", seconds(&floor, "floor")));
    print(&format!(
        "\nNot in it, on one core: the fingerprint of what is asked for {:.2} s, the check {:.2} s. Peak {:.0} MiB.",
        seconds(&alone, "fingerprint"),
        seconds(&alone, "check"),
        mebibytes(cost.peak)
    ));
    if set.name == "c" {
        budgets.at_most("c, all bins, sign and write, one core", "s", 3.5, alike[0]);
        budgets.at_most("c, all bins, all of it, one core", "s", 3.5, together[0]);
        budgets.at_most("c, all bins, two cores", "x one core", 0.75, together[1] / together[0]);
    }
}

/// Publishes of one change; gives the milliseconds of processor time.
fn changing(set: &Set, options: &Options, memory: &Path, budgets: &mut Budgets) -> f64 {
    let repository = memory.join("set");
    let disk = tempfile::tempdir_in(&options.work).unwrap();
    let copy = disk.path().join("set");
    let status = Command::new("cp").arg("-a").args([&repository, &copy]).status().unwrap();
    assert!(status.success());
    // One to notice who signs, and one that does not count.
    itself(options, "0,1", memory, &["change", text(&repository), "1", "2"]);
    itself(options, "0,1", memory, &["change", text(&copy), "1", "2"]);
    let runs = options.runs.to_string();
    let (ours, cost) = itself(options, "0,1", memory, &["change", text(&repository), "3", &runs]);
    let (synced, _) = itself(options, "0,1", memory, &["change", text(&copy), "3", &runs]);
    let (refresh, _) = itself(options, "0,1", memory, &["refresh", text(&repository), &runs]);
    let metadata = repository.join("public/metadata");
    let peer = |out: &Path, sync| python(options, &["change", text(&metadata), text(out), &runs, sync]);
    let (peer, peer_synced) = (peer(&memory.join("out"), "nosync"), peer(&disk.path().join("out"), "sync"));

    let without = ours.cpu("publish") - ours.cpu("check");
    print("\n### One target changed and published; medians in milliseconds\n");
    print("| | CPU | wall | wall on disk, synced | peak MiB |\n|---|---:|---:|---:|---:|");
    print(&format!(
        "| tuf-repo, without the check | {without:.1} | {:.1} | {:.1} | |",
        ours.wall("publish") - ours.wall("check"),
        synced.wall("publish") - synced.wall("check"),
    ));
    print(&format!(
        "| tuf-repo, with it | {:.1} | {:.1} | {:.1} | {:.1} |",
        ours.cpu("publish"),
        ours.wall("publish"),
        synced.wall("publish"),
        mebibytes(cost.peak)
    ));
    if let (Some(peer), Some(synced)) = (peer, peer_synced) {
        let (cpu, wall, synced) = (peer.cpu("publish"), peer.wall("publish"), synced.wall("publish"));
        print(&format!("| python-tuf, which checks nothing | {cpu:.1} | {wall:.1} | {synced:.1} | |"));
    }
    let phases = ["read", "fingerprint", "sign", "journal", "write", "check", "swap", "keep"];
    let parts: Vec<String> = phases.iter().map(|name| format!("{name} {:.2}", ours.cpu(name))).collect();
    print(&format!("\nCPU by phase: {}.", parts.join(", ")));
    let (check, cold) = (ours.cpu("check"), refresh.cpu("refresh"));
    print(&format!(
        "A cold refresh that finds one target: {cold:.1} of CPU. Hash bins read in one publish: {}.",
        ours.count("bins-read")
    ));
    if set.name == "c" {
        budgets.at_most("c, one change, CPU without check", "ms", 10.0, without);
    }
    // A new client and one that knew the state before: two states are looked at, three times.
    budgets.at_most(
        &format!("{}, check, for each of two states", set.name),
        "x a cold refresh",
        2.0,
        check / 2.0 / cold,
    );
    without
}
