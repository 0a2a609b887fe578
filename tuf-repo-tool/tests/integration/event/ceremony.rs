//! The ceremony of `docs/ceremony.md`, as it is written there, and what python-tuf makes of the root that follows.

use std::collections::BTreeMap;
use std::path::Path;

use super::Ceremony;
use crate::interop::peer::{Peer, Sums};
use crate::support::hostile::Server;
use crate::support::{Run, Sandbox, TUF_REPO};

/// The blocks of commands in a page: the machine, and the script.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for block in page.split("```sh\n# ").skip(1) {
        let (machine, rest) = block.split_once('\n').unwrap();
        found.push((machine.to_owned(), rest.split_once("```").unwrap().0.to_owned()));
    }
    found
}

#[test]
fn the_documented_ceremony_is_what_happens() {
    let sandbox = Sandbox::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/ceremony.md");
    let blocks = blocks(&std::fs::read_to_string(page).unwrap());
    assert!(blocks.len() >= 14, "{}", blocks.len());
    let tools = Path::new(TUF_REPO).parent().unwrap();
    let search = format!("{}:{}", tools.display(), tuf_client::env::var("PATH").unwrap());
    let stick = sandbox.path("stick");
    // Each knows the passphrase of their own key only.
    let passphrases = BTreeMap::from([
        ("alice", ("TUF_PASSPHRASE_ROOT_1", "one")),
        ("bob", ("TUF_PASSPHRASE_ROOT_2", "two")),
        ("carol", ("TUF_PASSPHRASE_ROOT_3", "three")),
    ]);
    for name in ["stick", "repository", "alice", "bob", "carol"] {
        std::fs::create_dir(sandbox.path(name)).unwrap();
    }
    let mut repository = vec![("TUF_PASSPHRASE", "for the safe and the daily keys")];
    repository.extend(passphrases.values());
    for (machine, script) in blocks {
        let mut command = sandbox.command("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(sandbox.path(&machine));
        command.env("PATH", &search).env("STICK", &stick);
        if script.contains("$PHRASE") {
            let events = sandbox.path("repository/mirror/state/events");
            let bundle = sandbox.tree(&events).into_iter().find(|file| file.ends_with(".tufsign")).unwrap();
            let mut show = sandbox.command(TUF_REPO);
            show.args(["--json", "event", "show"]).arg(events.join(bundle));
            command.env("PHRASE", Run::of(&mut show).ok().json()["phrase"].as_str().unwrap());
        }
        let known = if machine == "repository" { &repository[..] } else { &[passphrases[&*machine]] };
        command.envs(known.iter().copied());
        Run::of(&mut command).ok();
    }

    // Nothing that signs for root was ever beside the repository's keys but the public halves.
    let mirror = sandbox.path("repository/mirror");
    let private: Vec<String> =
        sandbox.tree(&mirror.join("keys")).into_iter().filter(|file| file.ends_with(".pem")).collect();
    assert_eq!(private, ["bin-n.pem", "snapshot.pem", "timestamp.pem"]);
    // A client that knows the first root gets the last one, and targets and bins that were signed elsewhere.
    let url = format!("file://{}/", mirror.join("public").display());
    let mut client = sandbox.command(crate::support::tuf_client());
    client.arg("--root").arg(sandbox.path("alice/root-of-the-ceremony.json"));
    client.arg("--store").arg(sandbox.path("store")).args(["--json", "--url", &url, "refresh"]);
    let state = Run::of(&mut client).ok().json();
    assert_eq!(state["roles"]["root"]["version"], 2, "{state}");
    assert_eq!(state["roles"]["targets"]["version"], 2, "{state}");
    assert!(mirror.join("public/metadata/2.bins.json").exists());
    assert_eq!(
        std::fs::read(mirror.join("root.json")).unwrap(),
        std::fs::read(mirror.join("public/metadata/2.root.json")).unwrap()
    );
}

#[test]
fn python_tuf_follows_a_root_with_other_keys_and_another_threshold() {
    let ceremony = Ceremony::new();
    let server = Server::new(&ceremony.sandbox.public(""));
    let read = |state: &str| Peer::PythonTuf.read(&ceremony.sandbox, state, &server.url(), &Sums::new()).ok();
    read("old");
    let add = ceremony.new_key("root", "root-4");
    let gone = format!("root={}", ceremony.keyid("root-3"));
    let id = ceremony.open(&["root", "--add-key", &add, "--remove-key", &gone, "--threshold", "root=3"]);
    // The old root wants two of its own, the new one three of its own: two are in both.
    ceremony
        .sign(&ceremony.bundle(&id), &["root-1", "root-2"])
        .ok()
        .says("root has 2 of 3 by root 2 (draft)");
    ceremony.event(&["finish", &id]).code(3).says("root-4");
    ceremony.carry_out(&id, &["root-4"]);
    read("old");
    read("new");
    // The key that left counts no more.
    let id = ceremony.open(&["root"]);
    ceremony.sign(&ceremony.bundle(&id), &["root-3"]).code(1).says("may sign nothing in event");
    ceremony.carry_out(&id, &["root-1", "root-2", "root-4"]);
    read("old");
    assert_eq!(ceremony.published("3.root.json").0["roles"]["root"]["threshold"], 3);
}
