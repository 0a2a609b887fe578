//! `tuf-repo` on one repository: keys, renewing, publishing, serving; and being killed, locked out, short of
//! space, or handed a repository that somebody damaged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Options, Run, Sandbox, Upstream, sdist, tuf_client, wait_until, wheel};
use rustix::process::{Pid, Signal, kill_process};
use tuf_core::Extra;
use tuf_repo_tool::Repository;
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::publish_first_root;

pub(super) const ALL_ROLES: [&str; 6] = ["root", "targets", "bins", "bin-n", "snapshot", "timestamp"];

pub(super) fn upstream() -> Upstream {
    let upstream = Upstream::start(Options::default());
    upstream.publish("demo", wheel("demo", "1.0"));
    upstream.publish("other", wheel("other", "2.0"));
    upstream
}

/// A mirror of `demo`, published.
pub(super) fn mirrored(upstream: &Upstream, init: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.init(init).ok();
    sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
    sandbox.sync(upstream).ok();
    sandbox.verify();
    sandbox
}

pub(super) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

pub(super) fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn role<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    status["roles"].as_array().unwrap().iter().find(|role| role["role"] == name).unwrap()
}

#[test]
fn the_presets_have_their_roles() {
    for (preset, roles) in
        [("mirror", &ALL_ROLES[..]), ("plain", &["root", "targets", "snapshot", "timestamp"])]
    {
        let sandbox = Sandbox::new();
        sandbox.init(&["--preset", preset, "--key-type", "ecdsa-p256"]).ok().says("trust anchor");
        let keys: Vec<String> = roles.iter().map(|role| format!("{role}.pem")).collect();
        for file in sandbox.tree(&sandbox.repo().join("keys")) {
            assert!(keys.contains(&file) || file.ends_with(".pub.json"), "{file}");
            let mode =
                std::fs::metadata(sandbox.repo().join("keys").join(&file)).unwrap().permissions().mode();
            assert!(!keys.contains(&file) || mode & 0o777 == 0o600, "{file}: {mode:o}");
        }
        let anchor = std::fs::read(sandbox.repo().join("root.json")).unwrap();
        assert_eq!(anchor, std::fs::read(sandbox.public("metadata/1.root.json")).unwrap());

        sandbox.tuf_repo(&["status"]).ok().says("nothing is published yet");
        sandbox.tuf_repo(&["publish"]).ok().says("published snapshot 1, timestamp 1");
        let timestamp = sandbox.timestamp();
        sandbox.tuf_repo(&["publish"]).ok().says("nothing to publish");
        assert_eq!(sandbox.timestamp(), timestamp);
        sandbox.verify();

        let status = sandbox.tuf_repo(&["--json", "status"]).ok().json();
        // What expires first comes first.
        let mut named: Vec<_> =
            status["roles"].as_array().unwrap().iter().map(|role| role["role"].as_str().unwrap()).collect();
        assert_eq!(named[..2], ["timestamp", "snapshot"]);
        named.sort_by_key(|role| roles.iter().position(|known| known == role));
        assert_eq!(named, roles);
        assert_eq!((&status["targets"], &status["demonstration"]), (&0.into(), &true.into()));
        sandbox.tuf_repo(&["status"]).ok().says("it is a demonstration");
        sandbox.init(&["--preset", preset]).code(1).says("already is a repository");
        assert_eq!(anchor, std::fs::read(sandbox.repo().join("root.json")).unwrap());
    }
    let sandbox = Sandbox::new();
    for bad in [["--bins", "3"], ["--bins", "0"], ["--preset", "x"], ["--layout", "x"]] {
        sandbox.init(&bad).code(2);
    }
    sandbox.init(&["--key-type", "rsa-512"]).code(1).says("ed25519");
    sandbox.tuf_repo(&["status"]).code(1).says("is no repository").says("tuf-repo init DIR");
}

#[test]
fn encrypted_keys_need_their_passphrase() {
    let sandbox = Sandbox::new();
    let directory = sandbox.repo().display().to_string();
    let with = |passphrase: &str, arguments: &[&str]| {
        Run::of(sandbox.tuf_repo_command(arguments).env("TUF_PASSPHRASE", passphrase))
    };
    let init = ["init", &directory, "--preset", "plain"];
    sandbox.tuf_repo(&init).code(1).says("TUF_PASSPHRASE");
    assert!(!sandbox.repo().join("tuf-repo.toml").exists());
    with("sesame", &init).ok();
    for role in ["root", "timestamp"] {
        let pem = std::fs::read_to_string(sandbox.repo().join(format!("keys/{role}.pem"))).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    }
    let before = sandbox.tree(&sandbox.public(""));
    with("wrong", &["publish"]).code(1).says("Wrong passphrase for key");
    sandbox.tuf_repo(&["publish"]).code(1).says("TUF_PASSPHRASE_");
    assert_eq!(sandbox.tree(&sandbox.public("")), before, "nothing was published");
    with("sesame", &["publish"]).ok();
    sandbox.verify();
    // Nothing to sign: no key is asked for.
    sandbox.tuf_repo(&["renew"]).ok().says("nothing is due");

    let status = sandbox.tuf_repo(&["--json", "status"]).ok().json();
    assert_eq!(status["demonstration"], false);
    let audit = sandbox.tuf_client(&["audit", &sandbox.url(), "--fail-on", "error", "--json"]).ok();
    assert!(!audit.stdout.contains("demonstration"), "{audit:#?}");
    let list = sandbox.tuf_repo(&["key", "list"]).ok().stdout;
    assert_eq!(list.matches("yes").count(), 4, "{list}");
}

#[test]
fn keys_are_generated_listed_and_shown() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    for (name, kind) in [("a", "ed25519"), ("b-2.x_y", "ecdsa-p256"), ("c", "ecdsa-p384")] {
        let generate = ["--json", "key", "generate", name, "--key-type", kind, "--no-passphrase"];
        let made = sandbox.tuf_repo(&generate).ok().json();
        let shown = sandbox.tuf_repo(&["--json", "key", "show", name]).ok().json();
        assert_eq!(made, shown);
        sandbox.tuf_repo(&["key", "show", name]).ok().says(shown["keyid"].as_str().unwrap());
        sandbox.tuf_repo(&generate).code(1).says("is already there");
    }
    let list = sandbox.tuf_repo(&["--json", "key", "list"]).ok().json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b-2.x_y", "bin-n", "bins", "c", "root", "snapshot", "targets", "timestamp"]);
    assert_eq!(list[5]["roles"], serde_json::json!(["root"]));
    assert_eq!(list[0]["roles"], serde_json::json!([]));

    sandbox.tuf_repo(&["key", "generate", "d"]).code(1).says("TUF_PASSPHRASE_D");
    sandbox.tuf_repo(&["key", "generate", "d", "--key-type", "x", "--no-passphrase"]).code(1);
    sandbox.tuf_repo(&["key", "show", "none"]).code(1);
    let before = sandbox.tree(&sandbox.path(""));
    for name in ["../x", "", ".x", "a/b", "a b", "/tmp/x", "é"] {
        let run = sandbox.tuf_repo(&["key", "generate", "--no-passphrase", "--", name]);
        run.code(1).says("a key's name has letters");
    }
    assert_eq!(sandbox.tree(&sandbox.path("")), before);

    let key = sandbox.repo().join("keys/timestamp.pem");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    sandbox.tuf_repo(&["publish"]).code(1).says("timestamp.pem");
}

#[test]
fn what_is_due_is_signed_again_and_nothing_else() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    let timestamp = sandbox.timestamp();
    sandbox.tuf_repo(&["renew"]).ok().says("nothing is due");
    assert_eq!(sandbox.timestamp(), timestamp);

    // The published files live for a day and more: so they count as signed long ago.
    sandbox.set_periods(&["timestamp"], "2d", "1s");
    sandbox.tuf_repo(&["renew"]).ok().says("published snapshot 1, timestamp 2");
    sandbox.verify();
    sandbox.set_periods(&["snapshot"], "10d", "1s");
    sandbox.tuf_repo(&["renew"]).ok().says("published snapshot 2, timestamp 3");
    sandbox.verify();
    sandbox.set_periods(&["bin-n"], "40d", "1s");
    sandbox.tuf_repo(&["renew"]).ok().says("snapshot 3, timestamp 4").says("3 files signed");
    sandbox.verify();
    sandbox.set_periods(&["targets", "bins"], "400d", "1s");
    sandbox.tuf_repo(&["renew"]).ok().says("snapshot 4, timestamp 5").says("5 files signed");
    sandbox.verify();
    sandbox.set_periods(&["root"], "400d", "1s");
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.verify();
    assert_eq!(
        std::fs::read(sandbox.public("metadata/2.root.json")).unwrap(),
        std::fs::read(sandbox.repo().join("root.json")).unwrap()
    );
    let status = sandbox.tuf_repo(&["--json", "status"]).ok().json();
    assert_eq!(role(&status, "root")["version"], 2);
    // What was staged meanwhile waits for `publish`.
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.tuf_repo(&["mirror", "sync", "--no-publish", "--upstream", &upstream.simple()]).ok();
    sleep(Duration::from_millis(1100));
    let targets = sandbox.targets();
    sandbox.tuf_repo(&["renew"]).ok().says("0 targets set");
    assert_eq!(sandbox.targets(), targets);
    sandbox.tuf_repo(&["status"]).ok().says("staged changes are not published");
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    assert_eq!(sandbox.targets().len(), targets.len() + 1);
}

#[test]
fn an_expired_timestamp_is_refused_and_renewing_heals_it() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &["--preset", "plain"]);
    sandbox.set_periods(&["timestamp"], "4s", "1s");
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.sync(&upstream).ok();
    sandbox.verify();
    sleep(Duration::from_millis(4100));
    sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]).code(4).says("expired");
    sandbox.tuf_client(&["audit", "--fail-on", "error", &sandbox.url()]).code(4).says("expired");
    sandbox.tuf_repo(&["status"]).ok().says("timestamp expired at");

    sandbox.set_periods(&["timestamp"], "1d", "1h");
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.verify();
    sandbox.tuf_repo(&["renew"]).ok().says("nothing is due");
}

#[test]
fn everything_expired_is_healed_by_renewing() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    sandbox.set_periods(&ALL_ROLES, "4s", "1s");
    // `init` makes a root that lives for a year.
    for root in ["root.json", "public/metadata/1.root.json"] {
        std::fs::remove_file(sandbox.repo().join(root)).unwrap();
    }
    let repository = Repository::open(&sandbox.repo()).unwrap();
    publish_first_root(&repository, &mut Passphrases::from_environment(), Extra::new()).unwrap();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    sleep(Duration::from_millis(4100));
    sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]).code(4).says("expired");
    sandbox.set_periods(&ALL_ROLES, "90d", "1d");
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.verify();
}

#[test]
fn a_mirror_that_slept_can_be_started_again() {
    let (upstream, sandbox) = (upstream(), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo"]).ok();
    sandbox.set_periods(&["timestamp"], "4s", "1s");
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.quickstart(&upstream, &["demo"]).ok();
    sleep(Duration::from_millis(4100));
    sandbox.set_periods(&["timestamp"], "1d", "12h");
    sandbox.quickstart(&upstream, &["demo"]).ok();
    sandbox.verify();
}

#[test]
fn keys_that_are_elsewhere_do_not_stop_what_is_due_every_day() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    for role in ["root", "targets", "bins"] {
        std::fs::remove_file(sandbox.repo().join(format!("keys/{role}.pem"))).unwrap();
    }
    sandbox.set_periods(&["root", "targets", "bins"], "400d", "1s");
    sandbox.set_periods(&["timestamp", "snapshot", "bin-n"], "100d", "1s");
    let run = sandbox.tuf_repo(&["renew"]);
    run.code(3).says("published snapshot 2, timestamp 2").says("root.pem");
    sandbox.verify();
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.sync(&upstream).ok();
    sandbox.verify();
    sandbox.tuf_repo(&["status"]).ok().says("targets expires at");
}

#[test]
fn the_plain_preset_renews_without_the_key_of_targets() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &["--preset", "plain"]);
    let key = sandbox.repo().join("keys/targets.pem");
    let away = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    sandbox.set_periods(&["targets", "timestamp"], "400d", "1s");
    sandbox.tuf_repo(&["renew"]).code(3).says("timestamp 2").says("targets.pem");
    sandbox.verify();
    // What changed must be signed.
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.sync(&upstream).code(3).says("targets.pem");
    sandbox.verify();
    tuf_client::durable::write_private(&key, &away).unwrap();
    sandbox.sync(&upstream).ok();
    sandbox.verify();
    assert_eq!(sandbox.files("demo").len(), 2);
}

#[test]
fn what_clients_would_refuse_is_not_published() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    let path = sandbox.repo().join("tuf-repo.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    sandbox.tuf_repo(&["key", "generate", "stranger", "--no-passphrase"]).ok();
    upstream.publish("demo", sdist("demo", "1.1"));
    let timestamp = sandbox.timestamp();
    for role in ["bin-n", "snapshot", "timestamp"] {
        crate::support::write(&path, settings.replace(&format!("keys/{role}.pem"), "keys/stranger.pem"));
        sandbox.sync(&upstream).code(3).says("and this machine has 0 of its keys");
        assert_eq!(sandbox.timestamp(), timestamp);
        sandbox.verify();
    }
    crate::support::write(&path, &settings);
    // A file that was to be signed is gone.
    for file in sandbox.tree(&sandbox.public("targets/packages")) {
        if file.contains("demo-1.1") {
            std::fs::remove_file(sandbox.public("targets/packages").join(file)).unwrap();
        }
    }
    sandbox.tuf_repo(&["publish"]).code(4).says("demo-1.1.tar.gz").says("found no file");
    sandbox.verify();
    sandbox.sync(&upstream).ok();
    sandbox.verify();
    assert_eq!(sandbox.files("demo").len(), 2);
}

/// A server that ends with its test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut child = start(&mut sandbox.tuf_repo_command(&arguments));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (_, url) = line.trim().split_once(" at ").unwrap();
        Self { url: url.to_owned(), child }
    }

    /// Head and body of the answer.
    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let mut connection = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), answer[end + 4..].to_vec())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_served_repository_has_the_headers_that_caches_need() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    crate::support::write(&sandbox.public("metadata/.tmp-x"), "x");
    let mut server = Server::start(&sandbox, &[]);
    let packages = sandbox.tree(&sandbox.public("targets/packages"));
    let page = sandbox.tree(&sandbox.public("targets/simple")).remove(0);
    for (path, status, cache) in [
        ("/metadata/timestamp.json".to_owned(), "200", "no-store"),
        ("/metadata/1.root.json".to_owned(), "200", "immutable"),
        ("/metadata/1.snapshot.json".to_owned(), "200", "immutable"),
        (format!("/targets/packages/{}", packages[0]), "200", "immutable"),
        (format!("/targets/simple/{page}"), "200", "immutable"),
        ("/metadata/2.root.json".to_owned(), "404", "no-store"),
        ("/metadata/.tmp-x".to_owned(), "404", "no-store"),
        ("/../tuf-repo.toml".to_owned(), "404", "no-store"),
        ("/..%2ftuf-repo.toml".to_owned(), "404", "no-store"),
        ("/%2e%2e/keys/root.pem".to_owned(), "404", "no-store"),
        ("//etc/passwd".to_owned(), "404", "no-store"),
        ("/".to_owned(), "404", "no-store"),
        ("/metadata".to_owned(), "404", "no-store"),
    ] {
        let (head, body) = server.get(&path);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
        let control = head.lines().find(|line| line.starts_with("cache-control:")).unwrap_or_default();
        assert!(control.contains(cache), "{path}: {head}");
        if status == "200" {
            assert_eq!(body, std::fs::read(sandbox.public(path.trim_start_matches('/'))).unwrap(), "{path}");
        }
    }
    let store = sandbox.path("http").display().to_string();
    sandbox.tuf_client(&["--url", &server.url, "--store", &store, "refresh"]).code(2);
    let root = sandbox.repo().join("root.json").display().to_string();
    let mut refresh = sandbox.command(tuf_client());
    refresh.args(["--root", &root, "--url", &server.url, "--store", &store, "refresh"]);
    Run::of(&mut refresh).ok();
    sandbox.tuf_client(&["audit", "--files", "--fail-on", "error", &server.url]).ok();
    let taken = server.url.strip_prefix("http://").unwrap().to_owned();
    sandbox.tuf_repo(&["serve", "--listen", &taken]).code(1).says("cannot listen on").says("--listen");

    // A release that is published while it is served.
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.sync(&upstream).ok();
    assert_eq!(server.get("/metadata/timestamp.json").1, sandbox.timestamp());
    signal(&server.child, Signal::TERM);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn serving_with_renew_renews_at_once() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    sandbox.set_periods(&["timestamp"], "2d", "1s");
    let mut server = Server::start(&sandbox, &["--renew"]);
    wait_until("the timestamp is renewed", || {
        sandbox.timestamp() == server.get("/metadata/timestamp.json").1
            && String::from_utf8_lossy(&sandbox.timestamp()).contains("\"version\":2")
    });
    sandbox.verify();
    // It does not keep others from working.
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.sync(&upstream).ok();
    signal(&server.child, Signal::INT);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    sandbox.verify();
}
