//! What makes a recovery harder: a state that moved on, files that are gone or were written over, other keys that are lost as well.

use std::fs;

use serde_json::Value;

use super::thief::{FAR, Thief};
use super::{Incident, snapshot, upload};
use crate::publish_crash::copy;
use crate::support::{Run, Sandbox, write};

#[test]
fn a_plan_for_a_state_that_moved_on_is_refused_with_the_way_on() {
    let incident = Incident::new();
    let sandbox = incident.sandbox();
    let thief = incident.thief();
    thief.publish(2, FAR, &[("b", None)]);
    let plan = incident.recover(&["--json"]).ok().json()["id"].as_str().unwrap().to_owned();
    thief.publish(2, FAR + 1, &[("c", None)]);
    let refused = incident.recover(&["--apply", "--plan", &plan]).code(4).says("nothing was changed");
    assert!(!sandbox.repo().join("state/recovery.json").exists());
    let next = refused.stderr.split("--plan ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let waiting = incident.recover(&["--json", "--apply", "--plan", &next]).code(3);
    incident.signed(&waiting);
    // It moves on while people sign: their signatures are as good as before, once the operator has looked again.
    thief.publish(2, FAR + 2, &[("a", None)]);
    let before = sandbox.timestamp();
    let id = waiting.json()["event"].as_str().unwrap().to_owned();
    sandbox.tuf_repo(&["recover", "--apply"]).code(4).says("stop what publishes by itself");
    incident.ceremony.event(&["finish", &id]).code(4);
    sandbox.tuf_repo(&["recover", "--apply", "--plan", &next]).code(4);
    assert_eq!(sandbox.timestamp(), before);
    let plan = incident.recover(&["--json"]).ok().json();
    assert_eq!((plan["targets"]["removed"].as_u64(), plan["event"].as_str()), (Some(3), Some(&*id)));
    sandbox.tuf_repo(&["recover", "--apply", "--plan", plan["id"].as_str().unwrap()]).ok();
    for path in ["a", "b", "c"] {
        assert_eq!(incident.get("fresh", path).as_deref(), Some(path));
    }
}

#[test]
fn a_snapshot_that_cannot_be_gone_back_to_is_refused() {
    let incident = Incident::new();
    let sandbox = incident.sandbox();
    let files = sandbox.tree(&sandbox.repo());
    let at = |version: &str, says: &str, roles: &[&str]| {
        let fixed = ["recover", "--known-good", version, "--apply", "--compromised"];
        sandbox.tuf_repo(&[&fixed, roles].concat()).code(4).says(says);
    };
    at("99", "there is no 99.snapshot.json", &["snapshot"]);
    let one = sandbox.public("metadata/1.snapshot.json");
    let bytes = fs::read(&one).unwrap();
    write(&one, b"{}");
    at("1", "snapshot 1 cannot be gone back to", &["snapshot"]);
    write(&one, fs::read(sandbox.public("metadata/2.snapshot.json")).unwrap());
    at("1", "1.snapshot.json has version 2", &["snapshot"]);
    write(&one, bytes);
    for (arguments, code, says) in [
        (&["--known-good", "4", "--compromised", "nobody"][..], 1, "there is no role nobody"),
        (&["--known-good", "4", "--compromised", "root"], 1, "which key of root? --compromised root=KEYID"),
        (&["--known-good", "4", "--compromised", "root=zz"], 1, "root has no key zz"),
        (&["--known-good", "4", "--apply", "--compromised", "targets"], 1, "targets in place of targets-1"),
        (&["--known-good", "4"], 2, "--compromised"),
        (&["--compromised", "bins"], 2, "--known-good"),
        (&["--apply"], 1, "no recovery is under way"),
        (
            &["--known-good", "4", "--compromised", "bin-n", "--archive", "/"],
            1,
            "is no copy of what is published",
        ),
    ] {
        sandbox.tuf_repo(&[&["recover"], arguments].concat()).code(code).says(says);
    }
    let keys = [1, 2].map(|number| format!("root={}", incident.ceremony.keyid(&format!("root-{number}"))));
    at("4", "2 keys of root are compromised, and 2 sign a root", &[&keys[0], &keys[1]]);
    assert_eq!(sandbox.tree(&sandbox.repo()), files);
}

/// Everything is gone or written over but the roots, and a copy from before has it.
#[test]
fn a_copy_from_before_is_believed_and_what_is_missing_is_put_back() {
    let incident = Incident::new();
    let sandbox = incident.sandbox();
    let archive = sandbox.path("archive");
    copy(&sandbox.public(""), &archive);
    incident.client("slept", &["refresh"]).ok();
    let thief = incident.thief();
    let evil = thief.file("a", b"evil");
    thief.publish(2, FAR, &[("a", Some(evil.clone()))]);
    incident.client("deceived", &["refresh"]).ok();
    // The hash bins of the good snapshot under their own names, with other content; targets and snapshot are gone.
    for bin in ["bin-2-0", "bin-2-8"] {
        for version in 1..=incident.good {
            let good = sandbox.public(&format!("metadata/{version}.{bin}.json"));
            if good.exists() {
                write(&good, fs::read(sandbox.public(&format!("metadata/{FAR}.bin-2-8.json"))).unwrap());
            }
        }
    }
    for name in [format!("{}.snapshot.json", incident.good), "1.targets.json".to_owned()] {
        fs::remove_file(sandbox.public("metadata").join(name)).unwrap();
    }
    write(&sandbox.public("metadata/timestamp.json"), b"no timestamp at all");
    write(&sandbox.public("metadata/2.root.json"), b"no root either");
    fs::remove_dir_all(sandbox.public("targets")).unwrap();
    thief.file("b", b"evil");

    incident.recover(&[]).code(4).says("cannot be gone back to");
    let archive = archive.display().to_string();
    incident.recover(&["--archive", &archive]).ok().says("clients refuse what is published now");
    let waiting = incident.recover(&["--archive", &archive, "--json", "--apply"]).code(3);
    incident.signed(&waiting);
    sandbox.tuf_repo(&["recover", "--apply"]).ok().says("state/set-aside/metadata/2.root.json");
    assert_eq!(
        fs::read(sandbox.repo().join("state/set-aside/metadata/2.root.json")).unwrap(),
        b"no root either"
    );
    for store in ["slept", "deceived", "fresh"] {
        assert_eq!(incident.get(store, "a").as_deref(), Some("a"), "{store}");
    }
}

/// Where nothing says otherwise, one machine has all keys.
fn one_machine() -> (Sandbox, u64) {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    for name in ["a", "b"] {
        upload(&sandbox, name, name);
    }
    sandbox.anchor();
    let good = snapshot(&sandbox);
    (sandbox, good)
}

#[test]
fn all_roles_below_root_are_lost_and_one_command_brings_them_back() {
    let (sandbox, good) = one_machine();
    sandbox.verify();
    Thief::new(&sandbox.repo()).publish(2, FAR, &[("a", None)]);
    let good = good.to_string();
    let roles = ["targets", "bins", "bin-n", "snapshot", "timestamp"];
    let recover = [&["recover", "--known-good", &good, "--apply", "--compromised"], &roles[..]].concat();
    sandbox.tuf_repo(&recover).ok().says("published root 2");
    assert_eq!(sandbox.targets(), ["a", "b"]);
    sandbox.verify();
    // None of the old keys is in anything that clients believe.
    let settings = fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap();
    for role in roles {
        assert!(settings.contains(&format!("file:keys/{role}-2.pem")), "{settings}");
        fs::remove_file(sandbox.repo().join(format!("keys/{role}.pem"))).unwrap();
    }
    sandbox.set_periods(&roles, "90d", "1s");
    sandbox.tuf_repo(&["renew"]).ok();
    upload(&sandbox, "c", "c");
    sandbox.verify();
}

#[test]
fn one_key_of_root_is_lost_and_below_it_those_that_two_roles_share() {
    let incident = Incident::new();
    let sandbox = incident.sandbox();
    let lost = format!("root={}", incident.ceremony.keyid("root-2"));
    let new = incident.ceremony.new_key("root", "root-4");
    let new = new.replace("file:keys/root-4.pem", "pub:keys/root-4.pub.json");
    let good = incident.good.to_string();
    let arguments =
        ["--json", "recover", "--known-good", &good, "--new-key", &new, "--apply", "--compromised", &lost];
    let waiting = sandbox.tuf_repo(&arguments).code(3);
    let bundle = waiting.json()["bundle"].as_str().unwrap().to_owned();
    incident.ceremony.sign(bundle.as_ref(), &["root-1", "root-3"]).ok().says("complete");
    sandbox.tuf_repo(&["recover", "--apply"]).ok();
    let (root, _) = incident.ceremony.published("2.root.json");
    let ids: Vec<&str> =
        root["roles"]["root"]["keyids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(ids.contains(&&*incident.ceremony.keyid("root-4")));
    assert!(!ids.contains(&&*incident.ceremony.keyid("root-2")));
    assert_eq!(incident.get("fresh", "a").as_deref(), Some("a"));
    sandbox.tuf_repo(&["status"]).ok().says("root-4");
}

#[test]
fn roles_that_share_a_key_share_its_fate() {
    let (sandbox, good) = one_machine();
    // From now on the timestamp is signed with the key of the hash bins.
    let id = |name: &str| {
        let shown: Value = sandbox.tuf_repo(&["--json", "key", "show", name]).ok().json();
        shown["keyid"].as_str().unwrap().to_owned()
    };
    let gone = format!("timestamp={}", id("timestamp"));
    let open = [
        "event",
        "open",
        "root",
        "-m",
        "one key",
        "--add-key",
        "timestamp=file:keys/bin-n.pem",
        "--remove-key",
        &gone,
    ];
    sandbox.tuf_repo(&open).ok();
    let path = sandbox.repo().join("tuf-repo.toml");
    let settings = fs::read_to_string(&path).unwrap();
    write(
        &path,
        settings.replace(
            "[\"file:keys/timestamp.pem\"]",
            "[\"file:keys/timestamp.pem\", \"file:keys/bin-n.pem\"]",
        ),
    );
    let events = sandbox.tree(&sandbox.repo().join("state/events"));
    let event = events.iter().find_map(|name| name.strip_suffix(".tufsign")).unwrap();
    let bundle = sandbox.repo().join(format!("state/events/{event}.tufsign"));
    let mut sign = sandbox.command(crate::support::TUF_REPO);
    sign.current_dir(sandbox.repo())
        .args(["event", "sign", "--yes", "--key", "file:keys/root.pem"])
        .arg(bundle);
    Run::of(&mut sign).ok();
    sandbox.tuf_repo(&["event", "finish"]).ok();
    let settings = fs::read_to_string(&path).unwrap();
    write(&path, settings.replace("\"file:keys/timestamp.pem\", ", ""));
    sandbox.tuf_repo(&["renew"]).ok();

    let good = good.to_string();
    let recover = ["recover", "--known-good", &good, "--compromised", "timestamp"];
    sandbox.tuf_repo(&recover).ok().says("bin-n: it has a key of timestamp");
    sandbox.tuf_repo(&[&recover[..], &["--apply"]].concat()).ok();
    let settings = fs::read_to_string(&path).unwrap();
    assert_eq!(settings.matches("file:keys/bin-n-2.pem").count(), 2, "{settings}");
    assert!(!settings.contains("file:keys/bin-n.pem"), "{settings}");
    sandbox.verify();
}

#[test]
fn what_other_keys_signed_stays_as_new_as_it_is() {
    let (sandbox, _) = one_machine();
    for name in ["acme", "acme-bins"] {
        sandbox.tuf_repo(&["key", "generate", name, "--no-passphrase"]).ok();
    }
    let keys = ["--key", "file:keys/acme.pem", "--bins", "2", "--bin-key", "file:keys/acme-bins.pem"];
    sandbox.tuf_repo(&[&["delegate", "add", "acme", "--paths", "acme/*"], &keys[..]].concat()).ok();
    sandbox.tuf_repo(&["add", &sandbox.path("a").display().to_string(), "--as", "acme/a"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    let good = snapshot(&sandbox).to_string();
    sandbox.verify();
    upload(&sandbox, "c", "c");
    sandbox.tuf_repo(&["add", &sandbox.path("b").display().to_string(), "--as", "acme/evil"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    // Not even a timestamp is left to say what was newest.
    fs::remove_file(sandbox.public("metadata/timestamp.json")).unwrap();
    let recover = ["recover", "--known-good", &good, "--compromised", "acme", "acme-bin-n"];
    sandbox
        .tuf_repo(&recover)
        .ok()
        .says("+ \"acme/evil\" in acme-bin-2-")
        .says("acme 1 → 2: 1 of acme-2 (new)");
    sandbox.tuf_repo(&[&recover[..], &["--apply"]].concat()).ok();
    assert_eq!(sandbox.targets(), ["a", "acme/a", "b", "c"]);
    sandbox.verify();
    for role in ["acme", "acme-bins", "timestamp", "snapshot"] {
        fs::remove_file(sandbox.repo().join(format!("keys/{role}.pem"))).unwrap();
    }
    sandbox.tuf_repo(&["add", &sandbox.path("b").display().to_string(), "--as", "acme/b"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
}
