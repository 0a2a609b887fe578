//! `tuf-repo plan` says what `tuf-repo publish` then does.

use serde_json::{Value, json};

use crate::support::{Sandbox, write};

fn plan(sandbox: &Sandbox) -> Value {
    sandbox.tuf_repo(&["--json", "plan"]).ok().json()
}

/// The plan, and then the publish, which does just that.
fn planned_and_done(sandbox: &Sandbox) -> Value {
    let planned = plan(sandbox);
    let before = sandbox.tree(&sandbox.public(""));
    assert_eq!(plan(sandbox), planned, "planning changes nothing");
    assert_eq!(sandbox.tree(&sandbox.public("")), before);
    let done = sandbox.tuf_repo(&["--json", "publish"]).ok().json();
    let signed = done["signed"].as_array().unwrap();
    let bytes: u64 = signed.iter().map(|file| file["length"].as_u64().unwrap()).sum();
    assert_eq!((&planned["files"], &planned["bytes"]), (&json!(signed.len()), &json!(bytes)));
    let set = planned["targets"].as_array().unwrap().iter().filter(|target| !target["after"].is_null());
    assert_eq!(done["set"], json!(set.count()));
    for role in planned["roles"].as_array().unwrap() {
        let name = format!("{}.{}.json", role["version"], role["role"].as_str().unwrap());
        let file = signed.iter().find(|file| file["file"] == name.as_str());
        assert_eq!(file.unwrap_or_else(|| panic!("{name} was not signed"))["length"], role["bytes"]);
    }
    sandbox.verify();
    planned
}

#[test]
fn what_is_planned_is_what_is_done() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "4"]).ok();
    sandbox.tuf_repo(&["key", "generate", "k", "--no-passphrase"]).ok();
    write(&sandbox.path("in/a"), "a");
    write(&sandbox.path("in/x/b"), "b");
    let input = sandbox.path("in").display().to_string();
    sandbox.tuf_repo(&["add", &input]).ok();
    let first = planned_and_done(&sandbox);
    assert_eq!(first["bins"], 4);
    for role in ["bin-n", "bins", "targets", "snapshot", "timestamp"] {
        assert_eq!(first["signatures"][role]["threshold"], 1, "{role}");
        assert_eq!(first["signatures"][role]["keys"][0]["here"], true, "{role}");
    }
    assert!(first["limits"].as_array().unwrap().is_empty());
    sandbox.tuf_repo(&["plan"]).ok().says("nothing to publish");
    assert_eq!(plan(&sandbox)["timestamp"], false);

    // A returning client takes timestamp, snapshot and one bin; a new one the rest, too.
    write(&sandbox.path("in/a"), "aa");
    sandbox.tuf_repo(&["add", &input]).ok();
    sandbox.tuf_repo(&["remove", "x/b"]).ok();
    let second = planned_and_done(&sandbox);
    let target = |path: &str| {
        let targets = second["targets"].as_array().unwrap();
        let target = targets.iter().find(|target| target["path"] == path).unwrap();
        (target["before"].clone(), target["after"].clone())
    };
    assert_eq!(target("a"), (json!(1), json!(2)));
    assert_eq!(target("x/b"), (json!(1), Value::Null));
    let length = |name: &str| std::fs::metadata(sandbox.public(&format!("metadata/{name}"))).unwrap().len();
    let download = &second["download"];
    assert_eq!(download["returning_refresh"], length("timestamp.json") + length("2.snapshot.json"));
    assert_eq!(
        download["new_refresh"],
        length("timestamp.json") + length("2.snapshot.json") + length("1.targets.json")
    );
    let bins = second["roles"].as_array().unwrap().iter().map(|role| role["bytes"].as_u64().unwrap());
    let largest = bins.max().unwrap();
    assert_eq!(
        (&download["returning_target"], &download["new_target"]),
        (&json!(largest), &json!(largest + length("1.bins.json")))
    );

    let delegate = ["delegate", "add", "x", "--paths", "x/*", "--key", "file:keys/k.pem", "--bins", "2"];
    sandbox.tuf_repo(&delegate).ok();
    let third = planned_and_done(&sandbox);
    assert_eq!(third["edits"].as_array().unwrap().len(), 1);
    let roles: Vec<_> = third["roles"].as_array().unwrap().iter().map(|role| &role["role"]).collect();
    assert_eq!(roles, ["targets", "x", "x-bin-2-0", "x-bin-2-8"]);
}

#[test]
fn a_file_over_the_limits_of_clients_is_said_before_it_is_published() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    write(&sandbox.path("file"), "");
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let custom = "x".repeat(400_000);
    let rows = (0..13).map(|row| {
        format!("{{\"path\":\"{row}\",\"length\":0,\"sha256\":\"{sum}\",\"custom\":\"{custom}\"}}\n")
    });
    write(&sandbox.path("rows.ndjson"), rows.collect::<String>());
    for row in 0..13 {
        write(&sandbox.public(&format!("targets/{sum}.{row}")), "");
    }
    let manifest = sandbox.path("rows.ndjson").display().to_string();
    sandbox.tuf_repo(&["add", "--manifest", &manifest]).ok();
    let limits = plan(&sandbox)["limits"].clone();
    assert_eq!((&limits[0]["file"], &limits[0]["limit"]), (&json!("targets"), &json!(5_000_000)), "{limits}");
    sandbox.tuf_repo(&["plan"]).ok().says("LIMIT").says("python-tuf");
    sandbox.tuf_repo(&["publish"]).code(4);
    assert!(!sandbox.public("metadata/timestamp.json").exists());
}
