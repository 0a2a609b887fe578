//! Every command works on a bucket as on a directory.

use super::{Machine, OFFLINE, published};
use crate::support::postgres::Postgres;
use crate::support::python::python;
use crate::support::s3::S3;
use crate::support::{Options, Run, Upstream, tuf_client, wheel, write};

#[test]
fn every_command_works_on_a_bucket() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let upstream = Upstream::start(Options::default());
    upstream.publish("demo", wheel("demo", "1.0"));
    let state = postgres.url_without_password("?repository=pypi");
    let url = server.public("pypi/");
    let machine = Machine::new(server.variables());
    let arguments = ["--state", &state, "--public-url", &url, "--bins", "2"];
    machine.init("pypi", &arguments).ok();
    assert!(!machine.sandbox.repo().join("public").exists());
    machine.sandbox.anchor();

    machine.run(&["mirror", "add", "demo"]).ok();
    machine.run(&["mirror", "sync", "--upstream", &upstream.simple()]).ok();
    installs(&machine, &url);

    // The rest is done by a machine that never had the offline keys.
    let other = machine.join(server.variables(), &OFFLINE);
    other.add("notes/first.txt").ok();
    other.run(&["plan"]).ok().says("notes/first.txt");
    assert_eq!(published(&other.run(&["publish", "--json", "--verify", "--check", "all"]).ok()), Some(2));
    machine.run(&["status"]).ok().says("timestamp");
    let file = machine.sandbox.path("key");
    machine.run(&["key", "generate", "docs", "--no-passphrase"]).ok();
    machine.run(&["delegate", "add", "docs", "--paths", "docs/*", "--key", "file:keys/docs.pem"]).ok();
    machine.add("docs/a").ok();
    machine.run(&["publish"]).ok();
    machine.run(&["role", "show", "docs"]).ok();
    machine.run(&["remove", "notes/first.txt"]).ok();
    machine.run(&["publish"]).ok();
    let targets = machine.targets(&url);
    assert!(targets.contains("docs/a") && !targets.contains("notes/first.txt"), "{targets:?}");

    // A manifest names files that were put into the bucket by others.
    let (sum, list) = (sha256("docs/a"), machine.sandbox.path("list.csv"));
    write(&list, format!("path,length,sha256\ndocs/a,6,{sum}\n"));
    machine.run(&["add", "--verify", "--manifest", &list.display().to_string()]).ok();
    write(&list, format!("path,length,sha256\ndocs/b,6,{sum}\n"));
    machine.run(&["add", "--verify", "--manifest", &list.display().to_string()]).code(4).says("docs/b");
    machine.run(&["publish"]).ok();

    machine.sandbox.set_periods(&["root", "timestamp"], "30d", "29d");
    let renewed = machine.run(&["renew", "--json"]).ok();
    assert_eq!(published(&renewed), Some(5), "{renewed:?}");
    machine.run(&["key", "show", "root"]).ok().says("root in root 1-2");
    other.run(&["key", "list"]).ok().says("timestamp");
    for (role, version) in [("root", 2), ("timestamp", 5)] {
        machine.run(&["payload", role, "-o", &file.display().to_string()]).ok();
        let payload: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(payload["version"], version, "{role}");
        std::fs::remove_file(&file).unwrap();
    }
    other.run(&["payload", "nobody"]).code(1).says("\"nobody\" is neither a file nor a role");

    let event = ["--json", "event", "open", "targets", "--expires", "200d", "-m", "shorter"];
    let id = machine.run(&event).ok().json()["event"]["id"].as_str().unwrap().to_owned();
    let bundle = machine.sandbox.repo().join(format!("state/events/{id}.tufsign")).display().to_string();
    let key = format!("file:{}", machine.sandbox.repo().join("keys/targets.pem").display());
    machine.run(&["event", "sign", "--yes", "--key", &key, &bundle]).ok();
    machine.run(&["event", "finish", &id]).ok();

    machine.run(&["verify", "--read", "--clients", "--url"]).ok().says("every byte was read");
    machine
        .run(&["doctor"])
        .ok()
        .says("keeps the conditions of puts")
        .says(&format!("{url} serves timestamp"));
    other.run(&["doctor"]).ok().says("its private half is not here");
    let swept = other.run(&["gc", "--keep-last", "1", "--delete", "-m", "tidy", "--json"]).ok().json();
    assert_eq!(swept["garbage"]["targets"]["files"], 0, "all of it is younger than a day: {swept:#}");
    assert!(
        swept["young"]["files"].as_u64().is_some_and(|files| files > 0)
            || swept["snapshots"].as_array().unwrap().len() > 1
    );
    machine.run(&["serve", "--listen", "127.0.0.1:0"]).code(1).says("not in a directory").says("web server");
    let (directory, upstream) = (machine.sandbox.repo().display().to_string(), upstream.simple());
    let quickstart = ["quickstart", &directory, "demo", "--upstream", &upstream];
    machine.run(&quickstart).ok().says("verified as a new client: ").says(&format!("--url {url} run"));
    machine.audit(&url);
    assert!(!machine.sandbox.repo().join("public").exists());
}

/// A place that is taken is not written to, whoever asks.
#[test]
fn a_place_that_is_taken_is_refused_before_anything_is_written() {
    let (server, postgres) = (S3::moto(), Postgres::start());
    let state = postgres.url_without_password("?repository=a");
    let machine = Machine::plain(server.variables(), "a", &state);
    let before = server.storage("").list("").unwrap();
    let other = Machine::new(server.variables());
    let refused = |prefix: &str, arguments: &[&str], code: i32, words: &str| {
        other.init(prefix, arguments).code(code).says(words).says("hint: ");
        assert!(!other.sandbox.repo().exists(), "{:?}", other.sandbox.tree(&other.sandbox.repo()));
        assert_eq!(server.storage("").list("").unwrap(), before);
    };
    refused("a", &[], 4, "s3://bucket1/a holds another repository");
    let away = other.sandbox.path("away").display().to_string();
    refused("a", &["--preset", "offline-root", "--offline-keys", &away], 4, "holds another repository");
    refused("b", &["--state", &state], 1, "another repository under the name \"a\"");
    let secret = state.replace("tuf@", "tuf:secret@");
    other.init("b", &["--state", &secret]).code(2).says("PGPASSWORD");
    // An init that was interrupted goes on, with the keys it had made.
    std::fs::remove_file(machine.sandbox.repo().join("tuf-repo.toml")).unwrap();
    machine.init("a", &["--preset", "plain", "--state", &state]).ok();
    assert_eq!(server.storage("").list("").unwrap(), before);
    other.init("b", &["--state", &state.replace("=a", "=b")]).ok();
}

/// pip installs from the bucket.
fn installs(machine: &Machine, url: &str) {
    let target = machine.sandbox.path("installed");
    let mut command = machine.sandbox.command(tuf_client());
    command.arg("--root").arg(machine.sandbox.anchor()).arg("--store").arg(machine.sandbox.path("store"));
    command.args(["--url", url, "run", "--"]).arg(python().pip());
    command.args(["install", "--no-cache-dir", "--target"]).arg(&target).arg("demo");
    Run::of(command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1")).ok();
    assert!(target.join("demo-1.0.dist-info").is_dir());
}

fn sha256(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}
