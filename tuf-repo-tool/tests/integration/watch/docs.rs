//! What `docs/monitoring.md` says to type works, and it names what there is.

use rustix::process::Signal;

use super::daemon::Daemon;
use crate::support::page::Page;
use crate::support::{Run, Sandbox, wait_until};

#[test]
fn the_commands_of_the_page_on_monitoring_work_and_every_metric_is_on_it() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    let daemon = Daemon::start(&mut sandbox.tuf_repo_command(&[]));
    wait_until("it is healthy", || daemon.is(false));
    let page = Page::read("monitoring.md", 3).typing("127.0.0.1:9187", &daemon.address);
    let run = Run::of(&mut page.shell(&sandbox)).ok().says("OK: ").says("\"healthy\": true");
    let metrics: Vec<&str> =
        run.stdout.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(metrics.len() > 10, "{run:#?}");
    for metric in metrics.iter().filter(|metric| **metric != "tuf_repo_build_info") {
        assert!(page.text.contains(metric), "{metric} is not on the page");
    }
    let named = page.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    for name in named.filter(|word| word.starts_with("tuf_repo_")) {
        assert!(metrics.contains(&name), "{name} is on the page, and there is no such metric");
    }
    daemon.end(Signal::TERM).ok();
}
