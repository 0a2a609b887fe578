//! What was true once, what is missing, what never comes to its end, and roots of others.

use std::thread::sleep;
use std::time::Duration;

use crate::support::demo::{Demo, Installer};
use crate::support::hostile::{Server, Tamper};
use crate::support::tuf_client;

const KINDS: [&str; 8] = [
    "/timestamp.json",
    ".snapshot.json",
    ".targets.json",
    ".bins.json",
    ".bin-",
    ".index.json",
    ".whl.metadata",
    ".whl$",
];

#[test]
fn an_older_timestamp_is_a_rollback() {
    let demo = Demo::new();
    let old = demo.keep_timestamp();
    demo.publish_more();
    demo.pip("small").release("small-1.1");
    let before = demo.stored();
    demo.mirror.tamper("/timestamp.json", Tamper::Replace(old));
    demo.pip("small").refused(4, &["timestamp", "rollback"]);
    demo.mirror.honest();
    assert_eq!(demo.stored(), before);
    demo.pip("small").release("small-1.1");
}

#[test]
fn older_files_in_the_place_of_newer_ones_are_refused() {
    let demo = Demo::new();
    let page = demo.published(&["simple/small/"]);
    let snapshot = demo.published(&["/1.snapshot.json"]);
    demo.keep_timestamp();
    demo.publish_more();
    // Against a new store, so that nothing but what is served can tell.
    let rows = [
        (".snapshot.json", snapshot, "snapshot", "mix-and-match"),
        ("simple/small/", page, "simple/small/", "wrong-software"),
        ("/2.bin-1-0.json", demo.published(&["/1.bin-1-0.json"]), "bin-1-0", "mix-and-match"),
    ];
    for (number, (part, old, named, class)) in rows.into_iter().enumerate() {
        demo.mirror.tamper(part, Tamper::Replace(old));
        let store = format!("store-{number}");
        let mut command = demo.client_of(&demo.sandbox.path("root.json"), &store);
        demo.install(command.arg("run"), Installer::Pip, &["small"]).refused(4, &[named, class]);
        demo.mirror.honest();
        let mut command = demo.client_of(&demo.sandbox.path("root.json"), &store);
        demo.install(command.arg("run"), Installer::Pip, &["small"]).release("small-1.1");
    }
}

#[test]
fn an_expired_timestamp_is_a_freeze_until_it_is_renewed() {
    let demo = Demo::new();
    demo.pip("small").release("small-1.0");
    demo.sandbox.set_periods(&["timestamp"], "2s", "1s");
    demo.publish_more();
    sleep(Duration::from_millis(2100));
    demo.pip("small").refused(4, &["timestamp", "freeze"]);
    demo.sandbox.set_periods(&["timestamp"], "1d", "12h");
    demo.sandbox.tuf_repo(&["renew"]).ok();
    demo.pip("small").release("small-1.1");
}

#[test]
fn a_view_that_expires_while_the_command_runs_serves_nothing_more() {
    let demo = Demo::new();
    demo.sandbox.set_periods(&["timestamp"], "3s", "1s");
    demo.publish_more();
    let slow = ["run", "--", "sh", "-c", "sleep 4; shift; exec \"$@\"", "sh"];
    demo.install(demo.client().args(slow), Installer::Pip, &["small"])
        .refused(4, &["/simple/small/", "freeze"]);
}

#[test]
fn what_is_missing_or_broken_off_is_named_and_nothing_is_installed() {
    let demo = Demo::new();
    demo.refresh().ok();
    demo.keep_timestamp();
    demo.keep_store();
    demo.publish_more();
    demo.sign_again("targets");
    for part in KINDS {
        for tamper in [Tamper::Missing, Tamper::Status(503), Tamper::Cut] {
            demo.restore_store();
            demo.mirror.tamper(part, tamper);
            let named = if part == ".index.json" { "/simple/small/" } else { part.trim_end_matches('$') };
            demo.pip("small").refused(1, &[named]);
            demo.mirror.honest();
            demo.stored();
            demo.refresh().ok();
        }
    }
    demo.pip("small").release("small-1.1");
}

#[test]
fn no_newer_root_is_no_failure() {
    let demo = Demo::new();
    demo.sign_again("root");
    demo.mirror.tamper("/2.root.json", Tamper::Missing);
    demo.pip("small").release("small-1.0");
}

#[test]
fn a_root_of_another_repository_is_refused() {
    let (demo, other) = (Demo::new(), Demo::new());
    demo.pip("small").release("small-1.0");
    let wrong = other.sandbox.path("root.json");
    // A new store: the mirror has nothing that this root's keys signed.
    let mut command = demo.client_of(&wrong, "new");
    demo.install(command.arg("run"), Installer::Pip, &["small"])
        .refused(4, &["timestamp", "arbitrary-software"]);
    // The store of the right root stays what it is.
    let before = demo.stored();
    let mut command = demo.client_of(&wrong, "store");
    demo.install(command.arg("run"), Installer::Pip, &["small"]).refused(1, &["root"]);
    assert_eq!(demo.stored(), before);
    demo.pip("small").release("small-1.0");
    // No root at all.
    let mut command = demo.sandbox.command(tuf_client());
    command.arg("--url").arg(demo.mirror.url());
    demo.install(command.arg("run"), Installer::Pip, &["small"]).refused(1, &["no trusted root"]);
}

#[test]
fn an_unknown_project_is_just_not_there() {
    let demo = Demo::new();
    for installer in [Installer::Pip, Installer::OldPip, Installer::Uv, Installer::OldUv] {
        let installed = demo.install(demo.client().arg("run"), installer, &["unknown"]);
        let run = installed.nothing(1);
        assert!(!run.stderr.contains("refused"), "{run:#?}");
    }
}

#[test]
fn a_server_that_is_gone_installs_nothing_and_harms_nothing() {
    let demo = Demo::new();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut command = demo.sandbox.command(tuf_client());
    command
        .arg("--root")
        .arg(demo.sandbox.path("root.json"))
        .arg("--store")
        .arg(demo.sandbox.path("gone"))
        .args(["--url", &gone]);
    demo.install(command.arg("run"), Installer::Pip, &["small"]).refused(1, &["cannot connect"]);
}

#[test]
fn a_redirect_changes_where_bytes_come_from_and_not_what_they_must_be() {
    let (demo, other) = (Demo::new(), Demo::new());
    let elsewhere = Server::new(&other.sandbox.public(""));
    demo.mirror.tamper("/timestamp.json", Tamper::Redirect(elsewhere.url()));
    demo.pip("small").refused(4, &["timestamp", "arbitrary-software"]);
    demo.mirror.honest();
    demo.mirror.tamper(".whl$", Tamper::Redirect(elsewhere.url()));
    demo.pip("small").release("small-1.0");
    elsewhere.tamper(".whl$", Tamper::Flip(500));
    demo.pip("small").refused(4, &["small-1.0-py3-none-any.whl", "wrong-software"]);
}
