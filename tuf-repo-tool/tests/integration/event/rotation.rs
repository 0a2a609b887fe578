//! Keys and thresholds that change while clients of the old root and of the new one are polling.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Ceremony;
use crate::support::ssh_agent::SshAgent;
use crate::support::{Run, tuf_client, wait_until, write};

impl Ceremony {
    /// Names these keys of a role in `tuf-repo.toml`.
    fn set_keys(&self, role: &str, keys: &[&str]) {
        let path = self.sandbox.repo().join("tuf-repo.toml");
        let mut settings: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let uris: Vec<String> = keys.iter().map(|key| format!("file:keys/{key}.pem")).collect();
        settings["roles"][role].as_table_mut().unwrap().insert("keys".to_owned(), uris.into());
        write(&path, toml::to_string(&settings).unwrap());
    }

    /// Does something while a client that goes on from the first root, and clients that have just got the newest, ask for
    /// what is published, again and again: every answer is accepted.
    fn polled(&self, during: impl FnOnce()) {
        let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
        self.sandbox.anchor();
        std::thread::scope(|scope| {
            let returning = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.sandbox.tuf_client(&["--url", &self.sandbox.url(), "refresh"]).ok();
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
            let newest = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.refresh_from_newest(tempfile::tempdir().unwrap().path()).ok();
                }
            });
            wait_until("the first client has asked", || rounds.load(Ordering::Relaxed) > 0);
            during();
            let done = rounds.load(Ordering::Relaxed);
            wait_until("it has asked again", || {
                rounds.load(Ordering::Relaxed) > done + 1 || returning.is_finished() || newest.is_finished()
            });
            over.store(true, Ordering::Relaxed);
        });
        self.sandbox.verify();
    }

    /// A new client that was handed `root.json` as it is now.
    fn refresh_from_newest(&self, store: &Path) -> Run {
        let mut command = self.sandbox.command(tuf_client());
        command.arg("--root").arg(self.sandbox.repo().join("root.json")).arg("--store").arg(store);
        Run::of(command.args(["--url", &self.sandbox.url(), "refresh"]))
    }

    fn drafts(&self, id: &str) -> Vec<String> {
        let shown = self.sandbox.tuf_repo(&["--json", "event", "show", id]).ok().json();
        let drafts = shown["drafts"].as_array().unwrap();
        drafts.iter().map(|draft| draft["role"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_key_of_targets_is_replaced_under_both_roots() {
    let ceremony = Ceremony::new();
    let add = ceremony.new_key("targets", "targets-3");
    let gone = format!("targets={}", ceremony.keyid("targets-1"));
    let id = ceremony.open(&["root", "--add-key", &add, "--remove-key", &gone]);
    // The published targets would not hold under the new root: they come along.
    assert_eq!(ceremony.drafts(&id), ["root", "targets"]);
    ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-2", "targets-1", "targets-2"]).ok();
    ceremony.event(&["finish", &id]).code(3).says("targets has 1 of 2 by root 2 (draft), missing targets-3");
    ceremony.sign(&ceremony.bundle(&id), &["targets-3"]).ok().says("complete");
    ceremony.polled(|| drop(ceremony.event(&["finish", &id]).ok()));
    assert_eq!(ceremony.published("2.targets.json").1, 3);
    // The next targets are signed by the new keys alone.
    let id = ceremony.open(&["targets"]);
    ceremony.sign(&ceremony.bundle(&id), &["targets-1"]).code(1).says("may sign nothing");
    ceremony.polled(|| ceremony.carry_out(&id, &["targets-2", "targets-3"]));
}

#[test]
fn online_keys_are_replaced_with_dual_signatures() {
    let ceremony = Ceremony::new();
    let mut changes = vec!["root".to_owned()];
    for role in ["timestamp", "snapshot"] {
        ceremony.sandbox.tuf_repo(&["key", "generate", &format!("{role}-2"), "--no-passphrase"]).ok();
        let new = format!("{role}=file:keys/{role}-2.pem");
        let old = format!("{role}={}", ceremony.keyid(role));
        changes.extend(["--add-key".to_owned(), new, "--remove-key".to_owned(), old]);
    }
    let id = ceremony.open(&changes.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ceremony.drafts(&id), ["root"]);
    ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-3"]).ok();
    // This machine does not say yet that it has the new keys.
    let before = ceremony.sandbox.timestamp();
    ceremony
        .event(&["finish", &id])
        .code(4)
        .says("snapshot would not hold under it")
        .says("[roles.snapshot]");
    assert_eq!(ceremony.sandbox.timestamp(), before);
    assert!(!ceremony.sandbox.public("metadata/2.root.json").exists());
    ceremony.sandbox.verify();

    // Two keys here, one of them not in any root yet: it is passed over.
    ceremony.set_keys("timestamp", &["timestamp", "timestamp-2"]);
    ceremony.set_keys("snapshot", &["snapshot", "snapshot-2"]);
    ceremony.sandbox.set_periods(&["timestamp"], "2d", "1s");
    ceremony.sandbox.tuf_repo(&["renew"]).ok();
    assert_eq!(ceremony.published("timestamp.json").1, 1);
    ceremony.polled(|| drop(ceremony.event(&["finish", &id]).ok()));
    assert_eq!(ceremony.published("timestamp.json").1, 2);
    let snapshot = ceremony.published("timestamp.json").0["meta"]["snapshot.json"]["version"].clone();
    assert_eq!(ceremony.published(&format!("{snapshot}.snapshot.json")).1, 2);

    // Old signatures are dropped when the overlap is over.
    ceremony.sandbox.set_periods(&["timestamp", "snapshot"], "60d", "1s");
    ceremony.polled(|| drop(ceremony.sandbox.tuf_repo(&["renew"]).ok()));
    assert_eq!(ceremony.published("timestamp.json").1, 2);
    ceremony
        .sandbox
        .tuf_repo(&["rotate", "--end"])
        .ok()
        .says("file:keys/timestamp.pem signs timestamp no longer");
    ceremony.sandbox.set_periods(&["timestamp"], "70d", "1s");
    ceremony.polled(|| drop(ceremony.sandbox.tuf_repo(&["renew"]).ok()));
    assert_eq!(ceremony.published("timestamp.json").1, 1);
}

#[test]
fn keys_of_bins_and_of_hash_bins_are_replaced() {
    let ceremony = Ceremony::new();
    let add = ceremony.new_key("bins", "bins-3");
    let gone = format!("bins={}", ceremony.keyid("bins-1"));
    let id = ceremony.open(&["targets", "--add-key", &add, "--remove-key", &gone]);
    assert_eq!(ceremony.drafts(&id), ["targets", "bins"]);
    ceremony.sign(&ceremony.bundle(&id), &["targets-1", "targets-2", "bins-2"]).ok();
    ceremony.sign(&ceremony.bundle(&id), &["bins-1"]).code(1).says("may sign nothing");
    ceremony.event(&["finish", &id]).code(3).says("bins has 1 of 2 by targets 2 (draft), missing bins-3");
    ceremony.polled(|| ceremony.carry_out(&id, &["bins-3"]));

    ceremony.sandbox.tuf_repo(&["key", "generate", "bin-2", "--no-passphrase"]).ok();
    let gone = format!("bin-n={}", ceremony.keyid("bin-n"));
    let id = ceremony.open(&["bins", "--add-key", "bin-n=file:keys/bin-2.pem", "--remove-key", &gone]);
    ceremony.event(&["show", &id]).ok().says("bin-2-0 … bin-2-8 (2 roles): + bin-2 (");
    ceremony.sign(&ceremony.bundle(&id), &["bins-2", "bins-3"]).ok();
    let before = ceremony.sandbox.timestamp();
    ceremony.event(&["finish", &id]).code(3).says("[roles.bin-n]");
    assert_eq!(ceremony.sandbox.timestamp(), before);
    ceremony.set_keys("bin-n", &["bin-n", "bin-2"]);
    // Every hash bin is signed anew, with the key that counts from then on.
    ceremony.polled(|| drop(ceremony.event(&["finish", &id]).ok().says("5 files signed")));
}

#[test]
fn a_change_after_which_nobody_could_sign_is_refused() {
    let ceremony = Ceremony::new();
    let root_1 = ceremony.keyid("root-1");
    let [gone, two] = [format!("root={root_1}"), format!("root={}", ceremony.keyid("root-2"))];
    let bin = format!("bin-n={}", ceremony.keyid("bin-n"));
    for (arguments, reason) in [
        (&["root", "--threshold", "root=4"][..], "root would need 4 of 3 keys"),
        (&["root", "--threshold", "root=0"], "root would need 0 of 3 keys"),
        (&["root", "--remove-key", &gone, "--remove-key", &two], "root would need 2 of 1 keys"),
        (&["root", "--threshold", "timestamp=2"], "timestamp would need 2 of 1 keys"),
        (&["targets", "--threshold", "bins=3"], "bins would need 3 of 2 keys"),
        (&["bins", "--remove-key", &bin], "bin-n would need 1 of 0 keys"),
        (&["root", "--remove-key", "root=zz"], "is not the start of one key ID of root"),
        (&["root", "--remove-key", "root="], "expected ROLE=VALUE"),
        (&["root", "--add-key", "root=file:keys/root-1.pem"], "root-1 may sign for root already"),
        (&["root", "--threshold", "bins=1"], "root does not list bins"),
        (&["targets", "--threshold", "root=1"], "targets does not delegate root"),
        (&["bin-2-0", "--threshold", "x=1"], "bin-2-0 delegates nothing"),
        (&["nobody"], "no published role delegates nobody"),
        (&["timestamp"], "tuf-repo renew"),
        (&["root", "--expires", "soon"], "expected a time like"),
        (&["root", "--expires", "366d"], "root is valid for 365d by tuf-repo.toml"),
    ] {
        let run = ceremony.event(&[&["open"], arguments, &["-m", "because"]].concat());
        assert!(matches!(run.code, Some(1 | 2)), "{run:#?}");
        run.says(reason);
    }
    ceremony.event(&["open", "root", "-m", "two\nlines"]).code(1).says("a reason is one line");
    ceremony.event(&["list"]).ok().says("no event is pending");
}

#[test]
fn a_key_is_added_by_its_uri_or_by_the_file_of_its_public_half() {
    let ceremony = Ceremony::new();
    ceremony.new_key("root", "dave");
    let agent = SshAgent::start(&ceremony.sandbox);
    let erin = format!("root=ssh-agent:{}", agent.add(&ceremony.sandbox, "erin", &["ed25519"]));
    let dave = format!("root={}", ceremony.sandbox.path("away/dave.pub.json").display());
    let fixed = ["--json", "event", "open", "root", "-m", "because"];
    let open = [&fixed[..], &["--add-key", &dave, "--add-key", &erin]].concat();
    let run = Run::of(&mut agent.command(ceremony.sandbox.tuf_repo_command(&open))).ok();
    let id = run.json()["event"]["id"].as_str().unwrap().to_owned();
    ceremony
        .event(&["show", &id])
        .ok()
        .says("root: + dave (")
        .says("root: + SHA256:")
        .says("2 of 3 → 2 of 5");
    for (key, says) in [("root=pub:keys/nobody.pub.json", "nobody"), ("root=keys/nobody.pub.json", "nobody")]
    {
        ceremony.event(&["open", "root", "-m", "because", "--add-key", key]).code(1).says(says);
    }
    ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-2"]).ok().says("complete");
}
