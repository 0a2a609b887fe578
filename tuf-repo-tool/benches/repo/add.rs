//! Many files added and published, by the programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::measured::{cost, measuring};
use crate::options::Options;
use crate::table::{Budgets, mebibytes, print};

/// tuftool 0.12 `create` of 15,000 files, in seconds: the figure that the budget was set by.
const TUFTOOL: f64 = 43.8;

pub(crate) fn run(options: &Options, budgets: &mut Budgets) {
    print("\n## Files of 100 bytes added, on tmpfs; CPU in seconds\n");
    print(
        "| Files | add | publish | together | wall | peak MiB | tuftool create |\n|---:|---:|---:|---:|---:|---:|---:|",
    );
    let mut each = Vec::new();
    for count in [5_000_u32, 15_000] {
        let memory = tempfile::tempdir_in(crate::TMPFS).unwrap();
        let (files, repository) = (memory.path().join("files"), memory.path().join("repository"));
        fs::create_dir_all(&files).unwrap();
        for number in 0..count {
            let content = format!("{number:0100}");
            let path = files.join(format!("file-{number}.txt"));
            std::io::Write::write_all(&mut fs::File::create(path).unwrap(), content.as_bytes()).unwrap();
        }
        let ours = |words: &[&str]| {
            let mut command = measuring(&options.prefix, env!("CARGO_BIN_EXE_tuf-repo"));
            command.args(words).current_dir(memory.path());
            let cost = cost(&mut command);
            assert_eq!(cost.code, Some(0), "{words:?}");
            cost
        };
        let at = repository.to_str().unwrap();
        ours(&["init", at, "--no-passphrase"]);
        let add = ours(&["--repo", at, "add", files.to_str().unwrap()]);
        let publish = ours(&["--repo", at, "publish"]);
        let together = add.cpu + publish.cpu;
        let tuftool = tuftool(options, memory.path(), &files);
        print(&format!(
            "| {count} | {:.2} | {:.2} | {:.2} | {:.2} | {:.0} | {} |",
            add.cpu.as_secs_f64(),
            publish.cpu.as_secs_f64(),
            together.as_secs_f64(),
            (add.wall + publish.wall).as_secs_f64(),
            mebibytes(add.peak.max(publish.peak)),
            tuftool.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64())),
        ));
        each.push((together.as_secs_f64(), tuftool));
    }
    if let [(small, _), (large, tuftool)] = *each {
        budgets.at_most("add and publish, 15,000 files", "x 5,000 files", 3.6, large / small);
        let work = "add and publish, 15,000 files";
        budgets.at_least(work, "x faster than tuftool's 43.8 s of another day", 100.0, TUFTOOL / large);
        if let Some(time) = tuftool {
            budgets.at_least(work, "x faster than tuftool in this run", 100.0, time.as_secs_f64() / large);
        }
    }
}

/// A repository of the same files; none if tuftool is not there or fails.
fn tuftool(options: &Options, memory: &Path, files: &Path) -> Option<Duration> {
    let program = options.tuftool.as_ref()?;
    let run = |words: &[&str]| {
        let mut command = measuring(&options.prefix, program);
        command.args(words).current_dir(memory);
        Some(cost(&mut command)).filter(|cost| cost.code == Some(0))
    };
    run(&["root", "init", "root.json"])?;
    run(&["root", "expire", "root.json", "in 3 days"])?;
    let names = ["root", "snapshot", "targets", "timestamp"];
    for role in names {
        run(&["root", "set-threshold", "root.json", role, "1"])?;
    }
    let roles: Vec<&str> = names.iter().flat_map(|role| ["-r", role]).collect();
    run(&[&["root", "gen-rsa-key", "root.json", "key.pem"], &*roles].concat())?;
    run(&["root", "sign", "root.json", "-k", "key.pem"])?;
    let create = ["create", "-t", files.to_str()?, "-o", "theirs", "-k", "key.pem", "-r", "root.json"];
    let times = ["targets", "snapshot", "timestamp"].map(|role| format!("--{role}-expires=in 3 days"));
    let versions = ["targets", "snapshot", "timestamp"].map(|role| format!("--{role}-version=1"));
    let more = times.iter().chain(&versions).map(String::as_str);
    run(&create.into_iter().chain(more).collect::<Vec<_>>()).map(|cost| cost.cpu)
}
