//! The ceremony of `docs/ceremony.md`, as it is written there, and what python-tuf makes of the root that follows.

use std::path::Path;
use std::process::Command;

use super::Ceremony;
use crate::interop::peer::{Peer, Sums};
use crate::support::hostile::Server;
use crate::support::softhsm::{MODULE, PIN, SoftHsm};
use crate::support::ssh_agent::SshAgent;
use crate::support::{Run, Sandbox, TUF_REPO, write};

/// The blocks of commands in a page: the machine, and the script.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for block in page.split("```sh\n# ").skip(1) {
        let (machine, rest) = block.split_once('\n').unwrap();
        found.push((machine.to_owned(), rest.split_once("```").unwrap().0.to_owned()));
    }
    found
}

fn with(mut command: Command, name: &str, value: &str) -> Command {
    command.env(name, value);
    command
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
    let (token, agent) = (SoftHsm::new(&sandbox, &["bob"]), SshAgent::start(&sandbox));
    agent.add(&sandbox, "carol", &["ed25519"]);
    for name in ["stick", "repository", "alice", "bob", "carol", "dave"] {
        std::fs::create_dir(sandbox.path(name)).unwrap();
    }
    let mirror = sandbox.path("repository/mirror");
    let mut server = None;
    for (machine, script) in blocks {
        // Each has their own directory, and knows the passphrase of their own key only.
        let mut command = sandbox.command("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(sandbox.path(&machine));
        command.env("PATH", &search).env("STICK", &stick);
        let mut command = match &*machine {
            "repository" => with(command, "TUF_PASSPHRASE", "for the safe and the daily keys"),
            "alice" => with(command, "TUF_PASSPHRASE_ALICE", "one"),
            "bob" => {
                let command = with(command, "TUF_PKCS11_MODULE", MODULE);
                token.command(with(command, "TUF_PASSPHRASE_BOB", PIN))
            }
            "carol" => agent.command(command),
            "dave" => with(command, "TUF_PASSPHRASE_DAVE", "four"),
            _ => panic!("who is {machine}?"),
        };
        if script.contains("$PHRASE") {
            let events = mirror.join("state/events");
            let pending = |file: &String| file.ends_with(".tufsign") && !file.contains('/');
            let bundle = sandbox.tree(&events).into_iter().find(pending).unwrap();
            let mut show = sandbox.command(TUF_REPO);
            show.args(["--json", "event", "show"]).arg(events.join(bundle));
            command.env("PHRASE", Run::of(&mut show).ok().json()["phrase"].as_str().unwrap());
        }
        Run::of(&mut command).ok();
        // From the root that was handed out on, python-tuf and our client follow whatever is published.
        let anchor = stick.join("root-of-the-ceremony.json");
        if machine == "repository" && anchor.exists() {
            write(&sandbox.path("anchor.json"), std::fs::read(anchor).unwrap());
            let server = server.get_or_insert_with(|| Server::new(&mirror.join("public")));
            Peer::PythonTuf.read(&sandbox, "python", &server.url(), &Sums::new()).ok();
            sandbox.tuf_client(&["--url", &server.url(), "refresh"]).ok();
        }
    }

    // Nothing that signs for root was ever beside the repository's keys but the public halves.
    let private: Vec<String> =
        sandbox.tree(&mirror.join("keys")).into_iter().filter(|file| file.ends_with(".pem")).collect();
    assert_eq!(private, ["acme.pem", "bin-n.pem", "snapshot.pem", "timestamp.pem"]);
    for (holder, files) in [
        ("alice", &["alice.pem", "alice.pub.json"][..]),
        ("bob", &["bob.pub.json", "root-of-the-ceremony.json"]),
        ("carol", &["carol.pub.json", "root-of-the-ceremony.json"]),
        ("dave", &["dave.pem", "dave.pub.json"]),
    ] {
        assert_eq!(sandbox.tree(&sandbox.path(holder)), files);
    }
    // Only those who stay signed the last root, each with their own kind of key.
    let root: serde_json::Value =
        serde_json::from_slice(&std::fs::read(mirror.join("root.json")).unwrap()).unwrap();
    let mut schemes: Vec<&str> = root["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|signature| {
            let key = &root["signed"]["keys"][signature["keyid"].as_str().unwrap()];
            key["scheme"].as_str().unwrap()
        })
        .collect();
    schemes.sort_unstable();
    assert_eq!(schemes, ["ecdsa-sha2-nistp256", "ed25519"]);
    // A client that knows the root of the ceremony gets the last one, and what was signed elsewhere.
    assert!(mirror.join("public/metadata/1.acme.json").exists());
    let url = format!("file://{}/", mirror.join("public").display());
    let mut client = sandbox.command(crate::support::tuf_client());
    client.arg("--root").arg(sandbox.path("bob/root-of-the-ceremony.json"));
    client.arg("--store").arg(sandbox.path("store-of-bob")).args(["--json", "--url", &url, "refresh"]);
    let state = Run::of(&mut client).ok().json();
    assert_eq!(state["roles"]["root"]["version"], 3, "{state}");
    assert_eq!(state["roles"]["targets"]["version"], 3, "{state}");
    assert!(mirror.join("public/metadata/2.bins.json").exists());
    assert_eq!(
        std::fs::read(mirror.join("root.json")).unwrap(),
        std::fs::read(mirror.join("public/metadata/3.root.json")).unwrap()
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
