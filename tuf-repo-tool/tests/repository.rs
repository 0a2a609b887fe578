//! `tuf-repo` on one repository: keys, renewing, publishing, serving; and being killed, locked out, short of
//! space, or handed a repository that somebody damaged.

#[allow(dead_code, unused_imports, unreachable_pub, reason = "shared; each file uses a part of it")]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{DirEntryExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::{Behaviour, Options, Run, Sandbox, TUF_REPO, Upstream, sdist, tuf_client, wait_until, wheel};
use tuf_core::Extra;
use tuf_repo_tool::Repository;
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::publish_first_root;

const ALL_ROLES: [&str; 6] = ["root", "targets", "bins", "bin-n", "snapshot", "timestamp"];

fn upstream() -> Upstream {
    let upstream = Upstream::start(Options::default());
    upstream.publish("demo", wheel("demo", "1.0"));
    upstream.publish("other", wheel("other", "2.0"));
    upstream
}

/// A mirror of `demo`, published.
fn mirrored(upstream: &Upstream, init: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.init(init).ok();
    sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
    sandbox.sync(upstream).ok();
    sandbox.verify();
    sandbox
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn start(command: &mut Command) -> Child {
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
        let named: Vec<_> =
            status["roles"].as_array().unwrap().iter().map(|role| role["role"].as_str().unwrap()).collect();
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
    run.code(1).says("published snapshot 2, timestamp 2").says("root.pem");
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
    sandbox.tuf_repo(&["renew"]).code(1).says("timestamp 2").says("targets.pem");
    sandbox.verify();
    // What changed must be signed.
    upstream.publish("demo", sdist("demo", "1.1"));
    sandbox.sync(&upstream).code(1).says("targets.pem");
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
        support::write(&path, settings.replace(&format!("keys/{role}.pem"), "keys/stranger.pem"));
        sandbox.sync(&upstream).code(4).says("nothing was published").says("signed by 0 of the 1 keys");
        assert_eq!(sandbox.timestamp(), timestamp);
        sandbox.verify();
    }
    support::write(&path, &settings);
    // A file that was to be signed is gone.
    for file in sandbox.tree(&sandbox.public("targets/packages")) {
        if file.contains("demo-1.1") {
            std::fs::remove_file(sandbox.public("targets/packages").join(file)).unwrap();
        }
    }
    sandbox.tuf_repo(&["publish"]).code(4).says("demo-1.1.tar.gz").says("found none");
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
    support::write(&sandbox.public("metadata/.tmp-x"), "x");
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

#[test]
fn who_finds_a_repository_busy_is_told_by_whom() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    upstream.publish("demo", sdist("demo", "1.1"));
    upstream.behave("demo-1.1.tar.gz", Some(Behaviour::Hold));
    let url = upstream.simple();
    let first = start(&mut sandbox.tuf_repo_command(&["mirror", "sync", "--upstream", &url]));
    wait_until("the first sync is under way", || upstream.count("demo-1.1.tar.gz") == 1);
    let second: Vec<_> =
        [&["publish"][..], &["renew"], &["mirror", "add", "x"], &["mirror", "sync", "--upstream", &url]]
            .iter()
            .map(|arguments| start(&mut sandbox.tuf_repo_command(arguments)))
            .collect();
    for child in second {
        let run = Run::from_output("second", &child.wait_with_output().unwrap());
        run.code(1)
            .says(&format!("in use by process {} (tuf-repo)", first.id()))
            .says("hint: wait until it has ended");
    }
    // Reading needs no lock.
    sandbox.tuf_repo(&["status"]).ok();
    sandbox.verify();
    upstream.behave("demo-1.1.tar.gz", None);
    Run::from_output("first", &first.wait_with_output().unwrap()).ok();
    sandbox.verify();
    assert_eq!(sandbox.files("demo").len(), 2);
}

#[test]
fn of_two_who_change_the_settings_neither_is_lost() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    let lock = std::fs::File::options().write(true).open(sandbox.repo().join("state/lock")).unwrap();
    lock.lock().unwrap();
    let names = ["a", "b", "c"];
    let waiting: Vec<_> =
        names.iter().map(|name| start(&mut sandbox.tuf_repo_command(&["mirror", "add", name]))).collect();
    sleep(Duration::from_millis(500));
    drop(lock);
    for child in waiting {
        Run::from_output("mirror add", &child.wait_with_output().unwrap()).ok();
    }
    let settings: toml::Table =
        std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap().parse().unwrap();
    let listed: Vec<_> = settings["mirror"]["projects"].as_table().unwrap().keys().collect();
    assert_eq!(listed, names);
}

#[test]
fn a_killed_sync_is_gone_on_with() {
    for how in [Signal::KILL, Signal::INT] {
        let upstream = upstream();
        let sandbox = mirrored(&upstream, &[]);
        let timestamp = sandbox.timestamp();
        upstream.publish("demo", sdist("demo", "1.1"));
        upstream.publish("demo", sdist("demo", "1.2"));
        upstream.behave("demo-1.2.tar.gz", Some(Behaviour::Hold));
        let url = upstream.simple();
        let mut child = start(&mut sandbox.tuf_repo_command(&["mirror", "sync", "--upstream", &url]));
        wait_until("one file is there and one is half there", || {
            let files = sandbox.tree(&sandbox.public("targets/packages"));
            files.iter().any(|file| file.contains(".tmp-"))
                && files.iter().any(|file| file.ends_with("/demo-1.1.tar.gz"))
        });
        signal(&child, how);
        assert!(!child.wait().unwrap().success());
        assert_eq!(sandbox.timestamp(), timestamp);
        assert_eq!(sandbox.files("demo").len(), 1);
        sandbox.verify();

        upstream.behave("demo-1.2.tar.gz", None);
        upstream.take_requests();
        sandbox.sync(&upstream).ok();
        assert_eq!(upstream.count("demo-1.1.tar.gz"), 0, "it was there: {:?}", upstream.take_requests());
        sandbox.assert_no_leftovers();
        sandbox.verify();
        assert_eq!(sandbox.files("demo").len(), 3);
    }
}

/// Runs a command and kills it after a while; true if it was quicker.
fn killed_after(command: &mut Command, wait: Duration) -> bool {
    let mut child = start(command);
    sleep(wait);
    drop(child.kill());
    child.wait().unwrap().success()
}

/// Runs `tuf-repo` and kills it as soon as what is published was seen to change so many times, be it a temporary
/// file; true if it was quicker.
fn killed_at_step(sandbox: &Sandbox, arguments: &[&str], step: usize) -> bool {
    let metadata = sandbox.public("metadata");
    let look = || {
        let entries = std::fs::read_dir(&metadata).unwrap().map(|entry| entry.unwrap());
        let mut seen: Vec<_> = entries.map(|entry| (entry.file_name(), entry.ino())).collect();
        seen.sort();
        seen
    };
    let (mut last, mut changes) = (look(), 0);
    let mut child = start(&mut sandbox.tuf_repo_command(arguments));
    loop {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        let now = look();
        if now != last {
            (last, changes) = (now, changes + 1);
        }
        if changes >= step {
            drop(child.kill());
            return child.wait().unwrap().success();
        }
    }
}

#[test]
fn a_publish_killed_at_any_instant_leaves_the_old_state_or_the_new() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &["--bins", "8"]);
    let mut releases = 1;
    let mut completed = 0;
    for step in 0..20 {
        upstream.publish("demo", sdist("demo", &format!("2.{step}")));
        sandbox.tuf_repo(&["mirror", "sync", "--no-publish", "--upstream", &upstream.simple()]).ok();
        completed += usize::from(killed_at_step(&sandbox, &["publish"], step % 10));
        sandbox.verify();
        releases += 1;
    }
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    sandbox.assert_no_leftovers();
    assert_eq!(sandbox.files("demo").len(), releases);
    assert!(completed < 20, "none was killed in the middle");
}

#[test]
fn a_first_publish_and_a_renewal_killed_at_any_instant_are_gone_on_with() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "128"]).ok();
    let published = sandbox.public("metadata/timestamp.json");
    for step in [1, 3, 10, 50, 100, 150] {
        killed_at_step(&sandbox, &["publish"], step);
        if published.exists() {
            sandbox.verify();
        }
    }
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    sandbox.assert_no_leftovers();

    sandbox.set_periods(&ALL_ROLES, "400d", "1s");
    for step in [1, 2, 3, 10, 50, 100, 150, 200] {
        killed_at_step(&sandbox, &["renew"], step);
        sandbox.verify();
    }
    sleep(Duration::from_millis(1100));
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.verify();
    sandbox.assert_no_leftovers();
    let newest =
        sandbox.tree(&sandbox.public("metadata")).into_iter().filter(|name| name.ends_with(".root.json"));
    let newest = newest.max_by_key(|name| name.split('.').next().unwrap().parse::<u64>().unwrap()).unwrap();
    assert_eq!(
        std::fs::read(sandbox.repo().join("root.json")).unwrap(),
        std::fs::read(sandbox.public("metadata").join(newest)).unwrap(),
        "root.json is the newest root"
    );
}

#[test]
fn a_killed_init_can_be_run_again() {
    for step in 0..10_u64 {
        let sandbox = Sandbox::new();
        let directory = sandbox.repo().display().to_string();
        let init = ["init", &directory, "--no-passphrase"];
        if !killed_after(&mut sandbox.tuf_repo_command(&init), Duration::from_millis(3 * step)) {
            let run = sandbox.tuf_repo(&init);
            // Killed after the last write.
            if run.code == Some(1) {
                run.says("already is a repository");
            } else {
                run.ok();
            }
        }
        sandbox.tuf_repo(&["publish"]).ok();
        sandbox.verify();
        sandbox.assert_no_leftovers();
    }
    // Between the two files of a key.
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    for path in ["tuf-repo.toml", "root.json", "public/metadata/1.root.json", "keys/snapshot.pub.json"] {
        std::fs::remove_file(sandbox.repo().join(path)).unwrap();
    }
    sandbox.init(&[]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
}

#[test]
fn a_full_disk_leaves_what_is_published() {
    let upstream = upstream();
    let mut large = wheel("large", "1.0");
    large.bytes = vec![7; 400_000];
    large.metadata = None;
    upstream.publish("large", large);
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.repo()).unwrap();
    let script = r#"
        set -u
        mount -t tmpfs -o size=2m tmpfs "$REPO" || exit 99
        repo() { "$TUF_REPO_BIN" --repo "$REPO" "$@"; }
        run() { name=$1; shift; "$@" > "$OUT/$name" 2>&1; echo "$name=$?"; }
        fill() {
            rm -f "$REPO/filler"; dd if=/dev/zero of="$REPO/filler" bs=1k 2> "$OUT/dd"
            if [ "$1" != 0 ]; then truncate -s "-$1K" "$REPO/filler"; fi
        }
        client() { "$TUF_CLIENT_BIN" --root "$REPO/root.json" --store "$OUT/store" "$@"; }
        verify() {
            run "$1-refresh" client --url "file://$REPO/public/" refresh
            run "$1-audit" client audit --fail-on error "file://$REPO/public/"
            find "$REPO" -name '.tmp-*' > "$OUT/$1-leftovers"
        }
        run init repo init "$REPO" --no-passphrase
        run add repo mirror add demo
        run sync repo mirror sync --upstream "$UPSTREAM"
        verify first
        run add2 repo mirror add large other
        cp "$REPO/public/metadata/timestamp.json" "$OUT/timestamp"
        for left in 0 4 16 100; do
            fill $left
            run full-sync-$left repo mirror sync --upstream "$UPSTREAM"
            verify full-sync-$left
        done
        rm "$REPO/filler"
        run free-sync repo mirror sync --upstream "$UPSTREAM"
        verify free-sync
        run remove repo mirror remove large
        run stage repo mirror sync --no-publish --upstream "$UPSTREAM"
        cp "$REPO/public/metadata/timestamp.json" "$OUT/timestamp"
        for left in 0 4 8; do
            fill $left
            run full-publish-$left repo publish
            cmp "$OUT/timestamp" "$REPO/public/metadata/timestamp.json" > "$OUT/full-publish-$left-cmp"
            echo "same-$left=$?"
            verify full-publish-$left
        done
        rm "$REPO/filler"
        run free-publish repo publish
        verify free-publish
    "#;
    let out = sandbox.path("out");
    std::fs::create_dir(&out).unwrap();
    let mut command = sandbox.command("unshare");
    command.args(["-rm", "sh", "-c", script]);
    command.env("REPO", sandbox.repo()).env("OUT", &out).env("UPSTREAM", upstream.simple());
    command.env("TUF_REPO_BIN", TUF_REPO).env("TUF_CLIENT_BIN", tuf_client());
    let run = Run::of(&mut command);
    assert!(
        run.stdout.contains("init=0"),
        "this test needs a small file system: `unshare -rm` and `mount -t tmpfs` must be allowed: {run:#?}"
    );
    let said = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    for line in run.stdout.lines() {
        let (name, code) = line.split_once('=').unwrap();
        let text = if out.join(name).exists() { said(name) } else { String::new() };
        let context = format!("{line}\n{text}\n{}", run.stdout);
        assert!(!text.contains("panicked"), "{context}");
        if name.starts_with("full-") && !name.ends_with("-refresh") && !name.ends_with("-audit") {
            assert_eq!(code, "1", "{context}");
            let clear = text.contains("No space left on device") || text.contains("disk is full");
            assert!(clear && text.contains("hint: free some space"), "{context}");
        } else {
            assert_eq!(code, "0", "{context}");
        }
    }
    for leftovers in sandbox.tree(&out).iter().filter(|name| name.ends_with("-leftovers")) {
        assert_eq!(said(leftovers), "", "{leftovers}");
    }
    assert!(run.stdout.contains("free-publish-audit=0"), "the script came to its end: {run:#?}");
}

#[test]
fn damaged_metadata_is_not_built_upon() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &["--bins", "1"]);
    upstream.publish("demo", sdist("demo", "1.1"));
    let url = upstream.simple();
    for name in sandbox.tree(&sandbox.public("metadata")) {
        let path = sandbox.public("metadata").join(&name);
        let good = std::fs::read(&path).unwrap();
        let before = sandbox.tree(&sandbox.public("metadata"));
        let signed = good.windows(8).position(|window| window == b"\"signed\"").unwrap();
        let mut damaged = Vec::new();
        for at in [signed + 20, good.len() - 10, 60] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            damaged.push(bytes);
        }
        damaged.push(good[..good.len() - 1].to_vec());
        damaged.push(Vec::new());
        for bytes in damaged {
            support::write(&path, &bytes);
            sandbox.tuf_repo(&["mirror", "sync", "--upstream", &url]).code(4).says("damaged");
            sandbox.tuf_repo(&["renew"]).code(4);
            sandbox.tuf_repo(&["status"]).code(4);
            assert_eq!(sandbox.tree(&sandbox.public("metadata")), before, "{name}");
        }
        support::write(&path, &good);
    }
    sandbox.sync(&upstream).ok();
    sandbox.verify();
}
