//! What other commands did between the known good state and the compromise, or had begun when it was found.

use super::snapshot;
use crate::support::{Run, Sandbox, write};

/// A machine with all keys, and two targets in a snapshot that is known to be good.
struct Machine {
    sandbox: Sandbox,
    good: String,
}

impl Machine {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.init(&["--bins", "4"]).ok();
        for name in ["a", "b"] {
            super::upload(&sandbox, name, name);
        }
        sandbox.anchor();
        let good = snapshot(&sandbox).to_string();
        Self { sandbox, good }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.sandbox.tuf_repo(arguments)
    }

    fn recover(&self, compromised: &[&str], arguments: &[&str]) -> Run {
        let fixed = ["recover", "--known-good", &self.good, "--compromised"];
        self.run(&[&fixed, compromised, arguments].concat())
    }

    /// Somebody publishes another file under the name of a target.
    fn tamper(&self) {
        write(&self.sandbox.path("b"), "evil");
        self.run(&["add", &self.sandbox.path("b").display().to_string()]).ok();
        self.run(&["publish"]).ok();
    }

    fn get(&self, path: &str) -> String {
        let out = self.sandbox.path("out");
        self.sandbox
            .tuf_client(&["--url", &self.sandbox.url(), "download", path, "-o", &out.display().to_string()])
            .ok();
        std::fs::read_to_string(out.join(path)).unwrap()
    }

    /// Clients find both targets as they were.
    fn is_as_it_was(&self) {
        self.run(&["verify", "--read"]).ok().says("found        0 errors");
        assert_eq!(["a", "b"].map(|path| self.get(path)), ["a", "b"]);
    }
}

#[test]
fn a_snapshot_from_before_keys_were_rotated_can_be_gone_back_to() {
    let machine = Machine::new();
    machine.run(&["rotate", "bin-n"]).ok();
    machine.run(&["rotate", "targets"]).ok();
    machine.run(&["rotate", "timestamp", "snapshot"]).ok();
    machine.tamper();
    machine.recover(&["bin-n", "targets"], &[]).ok().says("0 added, 1 changed, 0 removed");
    machine.recover(&["bin-n", "targets"], &["--apply"]).ok().says("recovered");
    machine.is_as_it_was();
}

#[test]
fn going_back_to_before_bins_were_resized_loses_no_target() {
    for count in ["8", "2"] {
        let machine = Machine::new();
        super::upload(&machine.sandbox, "later", "later");
        machine.run(&["bins", "resize", count]).ok();
        machine.run(&["publish"]).ok();
        // Nothing is hidden by the resize: neither what came before it, nor that nothing else changed.
        let plan = machine.recover(&["bin-n"], &["--json"]).ok().json();
        assert_eq!(plan["targets"]["added"], 1, "{plan}");
        assert_eq!(plan["foreign"], serde_json::json!([]), "{plan}");
        machine.tamper();
        let plan = machine.recover(&["bin-n"], &["--json"]).ok().json();
        let counts = serde_json::json!({"added": 1, "changed": 1, "removed": 0, "kept": 0});
        assert_eq!(plan["targets"], counts, "{plan}");
        let applied = machine.recover(&["bin-n"], &["--keep", "later", "--apply"]).ok();
        applied.says("2 targets set, 0 removed");
        machine.is_as_it_was();
        assert_eq!(machine.get("later"), "later");
    }
}

#[test]
fn after_a_recovery_no_key_of_an_overlap_goes_on_signing() {
    let machine = Machine::new();
    let settings = machine.sandbox.repo().join("tuf-repo.toml");
    let text = format!("# ours\n{}", std::fs::read_to_string(&settings).unwrap());
    write(&settings, text.replace("expires = \"1d\"", "expires = \"1d\" # every day"));
    machine.run(&["rotate", "timestamp", "--overlap", "2h"]).ok().says("timestamp.pem also signs timestamp");
    machine.tamper();
    machine.recover(&["timestamp", "bin-n"], &["--apply"]).ok();
    let text = std::fs::read_to_string(&settings).unwrap();
    assert!(text.contains("keys = [\"file:keys/timestamp-3.pem\"]"), "{text}");
    assert!(text.starts_with("# ours\n") && text.contains("# every day"), "{text}");
    super::upload(&machine.sandbox, "c", "c");
    let file: serde_json::Value = serde_json::from_slice(&machine.sandbox.timestamp()).unwrap();
    assert_eq!(file["signatures"].as_array().unwrap().len(), 1, "{file}");
    machine.is_as_it_was();
}

#[test]
fn a_clock_that_is_behind_recovers_nothing_whatever_time_a_thief_chose() {
    let machine = Machine::new();
    let settings = machine.sandbox.repo().join("tuf-repo.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    // What a thief signs says that it was signed in a month. This machine's log knows better, and a recovery goes on.
    let log = machine.sandbox.repo().join("log.ndjson");
    let lines = std::fs::read(&log).unwrap();
    write(&settings, text.replace("\"7d\"", "\"37d\"").replace("\"1d\"", "\"31d\""));
    machine.tamper();
    write(&settings, &text);
    write(&log, &lines);
    write(&machine.sandbox.path("c"), "c");
    machine.run(&["add", &machine.sandbox.path("c").display().to_string()]).ok();
    machine.run(&["publish"]).code(4).says("as the expiries of timestamp and snapshot say");
    machine.recover(&["bin-n"], &["--apply"]).ok();
    machine.run(&["log", "verify"]).ok().says("a recovery in place of timestamp 3").says("intact");
    machine.run(&["publish"]).ok().says("1 targets set");
    machine.is_as_it_was();

    // By the clock of a machine that never published, the good snapshot is of next month.
    let machine = Machine::new();
    let settings = machine.sandbox.repo().join("tuf-repo.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    write(&settings, text.replace("\"7d\"", "\"37d\""));
    machine.tamper();
    write(&settings, &text);
    std::fs::remove_file(machine.sandbox.repo().join("log.ndjson")).unwrap();
    let machine = Machine { good: snapshot(&machine.sandbox).to_string(), ..machine };
    let keys = machine.sandbox.tree(&machine.sandbox.repo().join("keys"));
    let refused = machine.recover(&["bin-n"], &["--apply"]).code(4);
    refused.says("as the expiry of the good snapshot says").says("--clock-is-right");
    assert_eq!(machine.sandbox.tree(&machine.sandbox.repo().join("keys")), keys);
    machine.recover(&["bin-n"], &["--apply", "--clock-is-right"]).ok();
}

#[test]
fn a_recovery_that_failed_before_anything_was_opened_gives_way_to_another() {
    let machine = Machine::new();
    machine.tamper();
    let compromised = ["timestamp", "snapshot", "bin-n"];
    let wrong = ["--new-key", "timestamp=pub:keys/none.pub.json", "--apply"];
    let failed = machine.recover(&compromised, &wrong);
    assert!(matches!(failed.code, Some(1 | 4)), "{failed:#?}");
    machine.recover(&compromised, &["--apply"]).ok().says("published root 2");
    machine.is_as_it_was();
    assert!(!machine.sandbox.repo().join("state/recovery.json").exists());
}
