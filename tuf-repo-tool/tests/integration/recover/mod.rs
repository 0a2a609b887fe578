//! `tuf-repo recover`: the online keys are stolen for real, used, and taken out of service.

mod bad_days;
mod crash;
mod docs;
mod seams;
mod thief;

use std::path::Path;

use serde_json::Value;

use crate::event::Ceremony;
use crate::interop::peer::{Peer, Sums};
use crate::support::hostile::Server;
use crate::support::{Run, Sandbox, tuf_client, write};
use thief::{FAR, Thief};

/// A repository whose keys of root, targets and bins are elsewhere, with three releases in a snapshot that is known to be good.
struct Incident {
    ceremony: Ceremony,
    good: u64,
    server: Server,
}

impl Incident {
    fn new() -> Self {
        let ceremony = Ceremony::new();
        let sandbox = &ceremony.sandbox;
        for name in ["a", "b", "c"] {
            upload(sandbox, name, name);
        }
        sandbox.anchor();
        let server = Server::new(&sandbox.public(""));
        Self { good: snapshot(sandbox), ceremony, server }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.ceremony.sandbox
    }

    /// `tuf-repo recover` from the theft of the three online keys.
    fn recover(&self, arguments: &[&str]) -> Run {
        let good = self.good.to_string();
        let fixed = ["recover", "--compromised", "timestamp", "snapshot", "bin-n", "--known-good", &good];
        self.sandbox().tuf_repo(&[&fixed, arguments].concat())
    }

    fn thief(&self) -> Thief {
        Thief::new(&self.sandbox().repo())
    }

    /// Our client with a store of this name asks for a target; its content, if it is one.
    fn get(&self, store: &str, path: &str) -> Option<String> {
        let sandbox = self.sandbox();
        let out = sandbox.path("out");
        let _ = std::fs::remove_dir_all(&out);
        let run = self.client(store, &["download", path, "-o", &out.display().to_string()]);
        if run.code != Some(0) {
            assert!(run.stderr.contains("has no target"), "{run:#?}");
            return None;
        }
        Some(std::fs::read_to_string(out.join(path)).unwrap())
    }

    fn client(&self, store: &str, arguments: &[&str]) -> Run {
        let sandbox = self.sandbox();
        let mut command = sandbox.command(tuf_client());
        command.arg("--root").arg(sandbox.anchor()).arg("--store").arg(sandbox.path(store));
        Run::of(command.args(["--url", &self.server.url()]).args(arguments))
    }

    /// python-tuf with a state of this name sees these targets, and no other that it is asked for.
    fn python(&self, state: &str, paths: &[&str]) -> Run {
        let sums: Sums = paths.iter().map(|path| ((*path).to_owned(), String::new())).collect();
        Peer::PythonTuf.read(self.sandbox(), state, &self.server.url(), &sums)
    }

    /// The pending event is signed by enough holders of root and bins.
    fn signed(&self, run: &Run) {
        let bundle = run.json()["bundle"].as_str().unwrap().to_owned();
        let bundle = Path::new(&bundle);
        self.ceremony.sign(bundle, &["root-1", "root-3", "bins-1", "bins-2"]).ok().says("complete");
    }
}

/// A release, published.
fn upload(sandbox: &Sandbox, name: &str, content: &str) {
    write(&sandbox.path(name), content);
    sandbox.tuf_repo(&["add", &sandbox.path(name).display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
}

/// The version of the published snapshot.
fn snapshot(sandbox: &Sandbox) -> u64 {
    let file: Value = serde_json::from_slice(&sandbox.timestamp()).unwrap();
    file["signed"]["meta"]["snapshot.json"]["version"].as_u64().unwrap()
}

#[test]
fn stolen_online_keys_are_taken_out_of_service_and_every_client_catches_up() {
    let incident = Incident::new();
    let sandbox = incident.sandbox();
    // Who slept through it has seen the good state, who was deceived the bad one.
    incident.client("slept", &["refresh"]).ok();
    incident.python("python-slept", &["a"]).ok();
    upload(sandbox, "d", "a legitimate upload");
    let thief = incident.thief();
    let evil = |path: &str| Some(thief.file(path, b"evil"));
    thief.publish(2, FAR, &[("a", evil("a")), ("b", None), ("e", evil("e"))]);
    assert_eq!(incident.get("deceived", "a").as_deref(), Some("evil"));
    assert_eq!(incident.get("deceived", "b"), None);
    incident.python("python-deceived", &["a", "e"]).ok();

    // The plan names all of it, and changes nothing.
    let before = sandbox.tree(&sandbox.repo());
    let bulletin = sandbox.path("bulletin.ndjson").display().to_string();
    incident
        .recover(&["--bulletin", &bulletin])
        .ok()
        .says("2 added, 1 changed, 1 removed; of these 0 are kept")
        .says("~ \"a\" in bin-2-")
        .says("- \"b\" in bin-2-")
        .says("+ \"e\" in bin-2-")
        .says("bins 1 → 2: 2 of pub:keys/bins-1.pub.json");
    let facts = std::fs::read_to_string(sandbox.path("bulletin.ndjson")).unwrap();
    assert_eq!(facts.lines().count(), 4);
    assert_eq!(sandbox.tree(&sandbox.repo()), before);
    let plan = incident.recover(&["--json", "--keep", "d"]).ok().json();
    assert_eq!(plan["targets"], serde_json::json!({"added": 2, "changed": 1, "removed": 1, "kept": 1}));
    assert_eq!(plan["published"], FAR);

    // Keys are made, an event is open, and nothing is published before enough have signed.
    let published = sandbox.timestamp();
    let waiting = incident.recover(&["--json", "--keep", "d", "--apply"]).code(3);
    let id = waiting.json()["event"].as_str().unwrap().to_owned();
    incident
        .ceremony
        .event(&["show", &id])
        .ok()
        .says("RECOVERY from a compromise of bin-n, snapshot, timestamp");
    incident.recover(&["--keep", "d", "--apply"]).code(3).says(&id);
    incident.recover(&["--apply"]).code(1).says("another recovery is under way");
    incident.ceremony.event(&["finish", &id]).code(3);
    assert_eq!(sandbox.timestamp(), published);
    incident.signed(&waiting);
    sandbox.tuf_repo(&["recover", "--apply"]).ok().says("published root 2");

    let good = [
        ("a", Some("a")),
        ("b", Some("b")),
        ("c", Some("c")),
        ("d", Some("a legitimate upload")),
        ("e", None),
    ];
    for store in ["slept", "deceived", "fresh"] {
        for (path, content) in good {
            assert_eq!(incident.get(store, path).as_deref(), content, "{store} {path}");
        }
    }
    for state in ["python-slept", "python-deceived", "python-fresh"] {
        incident.python(state, &["a", "b", "c", "d"]).ok();
        assert!(incident.python(state, &["e"]).code != Some(0), "{state}");
    }
    // What the thief left is evidence, and the stolen keys sign nothing that anybody takes.
    assert!(sandbox.public(&format!("metadata/{FAR}.snapshot.json")).exists());
    let recovered = sandbox.timestamp();
    thief.publish(2, FAR + 1, &[("e", evil("e"))]);
    for store in ["slept", "deceived", "fresh"] {
        incident.client(store, &["refresh"]).code(4);
    }
    write(&sandbox.public("metadata/timestamp.json"), recovered);

    // Life goes on with the new keys alone.
    for key in ["timestamp", "snapshot", "bin-n"] {
        std::fs::remove_file(sandbox.repo().join(format!("keys/{key}.pem"))).unwrap();
    }
    upload(sandbox, "f", "f");
    assert_eq!(incident.get("deceived", "f").as_deref(), Some("f"));
    sandbox.verify();
    sandbox.assert_no_leftovers();
    sandbox.tuf_repo(&["recover", "--apply"]).code(1).says("no recovery is under way");
}
