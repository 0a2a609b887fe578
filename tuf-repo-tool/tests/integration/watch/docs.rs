//! What `docs/monitoring.md` says to type works, and it names what there is.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use super::daemon::Daemon;
use crate::support::{Run, Sandbox, TUF_REPO, wait_until, write};

#[test]
fn the_commands_of_the_page_on_monitoring_work_and_every_metric_is_on_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("monitoring.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    let daemon = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
    wait_until("it is healthy", || daemon.is(false));
    let script = sandbox.path("page.sh");
    write(&script, blocks.concat().replace("127.0.0.1:9187", &daemon.address));
    let programs = Path::new(TUF_REPO).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", tuf_client::env::var("PATH").unwrap());
    let mut shell: Command = sandbox.command("sh");
    shell.arg("-eux").arg(&script).env("PATH", path).current_dir(sandbox.path(""));
    let run = Run::of(&mut shell).ok().says("OK: ").says("\"healthy\": true");
    let metrics: Vec<&str> =
        run.stdout.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(metrics.len() > 10, "{run:#?}");
    for metric in metrics.iter().filter(|metric| **metric != "tuf_repo_build_info") {
        assert!(page.contains(metric), "{metric} is not on the page");
    }
    let named = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for name in named.filter(|word| word.starts_with("tuf_repo_")) {
        assert!(metrics.contains(&name), "{name} is on the page, and there is no such metric");
    }
    daemon.end(Signal::TERM).ok();
}
