//! Delegations that an operator edits, read by python-tuf, which keeps its state from one publish to the next.

use serde_json::Value;

use super::peer::{Peer, Sums, sums};
use crate::support::Sandbox;
use crate::support::hostile::Server;

/// What our own client sees.
fn ours(sandbox: &Sandbox) -> Sums {
    let list = sandbox.tuf_client(&["--url", &sandbox.url(), "--json", "list"]).ok().json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let targets = list["targets"].as_array().unwrap();
    targets.iter().map(|target| (text(&target["path"]), text(&target["hashes"]["sha256"]))).collect()
}

#[test]
fn python_tuf_follows_three_levels_of_delegations_and_every_edit_of_them() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    let server = Server::new(&sandbox.public(""));
    for key in ["x", "y", "z"] {
        sandbox.tuf_repo(&["key", "generate", key, "--no-passphrase"]).ok();
    }
    let tuf_repo = |line: &str| sandbox.tuf_repo(&line.split(' ').collect::<Vec<_>>());
    let publish = |new: bool| {
        sandbox.tuf_repo(&["publish"]).ok().says("published snapshot");
        sandbox.verify();
        let targets = ours(&sandbox);
        let read = |state: &str| Peer::PythonTuf.read(&sandbox, state, &server.url(), &targets).ok();
        assert_eq!(sums(&read("returning")), targets);
        if new {
            assert_eq!(sums(&read("new")), targets);
        }
        targets
    };
    for (path, content) in [("a", "a"), ("x/b", "b"), ("x/y/c", "c"), ("x/y/z/d", "d")] {
        crate::support::write(&sandbox.path("in").join(path), content);
    }
    let input = sandbox.path("in").display().to_string();
    tuf_repo(
        "delegate add x --paths x/* x/*/* x/*/*/* --key file:keys/x.pem --key file:keys/z.pem --threshold 2",
    )
    .ok();
    tuf_repo(
        "delegate add y --paths x/y/* x/y/*/* --key file:keys/y.pem --delegator x --terminating --bins 2",
    )
    .ok();
    tuf_repo("delegate add last --paths x/y/* --key file:keys/z.pem --delegator x").ok();
    sandbox.tuf_repo(&["add", &input]).ok();
    let four = publish(false);
    assert_eq!(four.len(), 4);
    let signed_by = |path: &str| {
        let info = sandbox.tuf_client(&["--url", &sandbox.url(), "--json", "info", path]).ok().json();
        info["role"].as_str().unwrap_or_default().to_owned()
    };
    assert!(signed_by("a").starts_with("bin-2-"));
    assert_eq!(signed_by("x/b"), "x");
    assert!(signed_by("x/y/c").starts_with("y-bin-2-"));

    // Other keys, another order.
    tuf_repo("delegate edit y --key file:keys/z.pem --terminating false").ok();
    tuf_repo("delegate edit last --position 1").ok();
    assert_eq!(publish(false), four);
    tuf_repo("add --as x/y/e --role last").code(2);
    crate::support::write(&sandbox.path("e"), "e");
    sandbox.tuf_repo(&["add", &sandbox.path("e").display().to_string(), "--as", "x/y/e"]).ok();
    assert_eq!(publish(false).len(), 5);
    assert_eq!(signed_by("x/y/e"), "last");

    // A role goes, with those below it; the snapshot keeps their names.
    let names = || {
        let meta = snapshot(&sandbox);
        meta.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let before = names();
    tuf_repo("delegate remove x").ok();
    assert_eq!(publish(true).into_keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(names(), before);
    // One that comes back goes on above its old version.
    let old = snapshot(&sandbox)["x.json"]["version"].as_u64().unwrap();
    tuf_repo("delegate add x --paths x/* --key file:keys/x.pem").ok();
    sandbox.tuf_repo(&["add", &sandbox.path("e").display().to_string(), "--as", "x/b"]).ok();
    assert_eq!(publish(true).len(), 2);
    assert!(snapshot(&sandbox)["x.json"]["version"].as_u64().unwrap() > old);
    sandbox.assert_no_leftovers();
}

/// The `meta` of the published snapshot.
fn snapshot(sandbox: &Sandbox) -> Value {
    let timestamp: Value = serde_json::from_slice(&sandbox.timestamp()).unwrap();
    let version = timestamp["signed"]["meta"]["snapshot.json"]["version"].as_u64().unwrap();
    let file = sandbox.public(&format!("metadata/{version}.snapshot.json"));
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    file["signed"]["meta"].clone()
}
