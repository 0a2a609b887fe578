//! Servers that keep a client waiting. Each test waits as long as a person would have to.

use std::thread;
use std::time::Instant;

use crate::support::demo::{Demo, Installer};
use crate::support::hostile::Tamper;

/// All at the same time: each is given up within so many seconds and for this reason, nothing is installed, and
/// later all is well.
fn given_up(rows: &[(&str, Tamper, Installer, &[&str])], seconds: u64, reason: &str) {
    let one = |(part, tamper, installer, arguments): &(&str, Tamper, Installer, &[&str])| {
        let demo = Demo::new();
        demo.mirror.tamper(part, tamper.clone());
        let start = Instant::now();
        let installed = demo.install(demo.client().arg("run"), *installer, arguments);
        let took = start.elapsed().as_secs();
        assert!(took <= seconds, "{part} {tamper:?}: {took} s: {installed:#?}");
        // uv's own code for a failed download is 2.
        installed.refused(if *installer == Installer::Uv { 2 } else { 1 }, &[reason]);
        demo.mirror.honest();
        let package = arguments[0];
        demo.pip(package).release(&format!("{package}-1.0"));
    };
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(move || one(row));
        }
    });
}

#[test]
fn a_server_that_stalls_is_given_up_after_30_seconds() {
    let rows: [(_, _, _, &[&str]); 5] = [
        ("/timestamp.json", Tamper::Stall, Installer::Pip, &["small"]),
        (".index.json", Tamper::Stall, Installer::Pip, &["small"]),
        (".whl$", Tamper::Stall, Installer::Pip, &["small"]),
        (".whl$", Tamper::Stall, Installer::OldPip, &["small"]),
        (".whl$", Tamper::Stall, Installer::Uv, &["small"]),
    ];
    given_up(&rows, 45, "no more data within 30 s");
}

#[test]
fn a_server_that_drips_is_given_up_after_10_seconds() {
    let rows: [(_, _, _, &[&str]); 3] = [
        ("/timestamp.json", Tamper::Drip, Installer::Pip, &["small"]),
        (".whl$", Tamper::Drip, Installer::Pip, &["small"]),
        // By itself pip asks six times for what broke off.
        (".whl$", Tamper::Drip, Installer::Pip, &["big", "--resume-retries", "0"]),
    ];
    given_up(&rows, 25, "less than the 1024 required");
}
