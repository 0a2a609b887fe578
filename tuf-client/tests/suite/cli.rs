//! The built binary against repositories on disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{self, Repo, sign, write};
use serde_json::Value;
use tempfile::TempDir;
use tuf_core::{Hashes, TargetPath};

struct Setup {
    directory: TempDir,
}

impl Setup {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(&Repo::new().build(), &directory.path().join("repo"));
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn root(&self) -> String {
        self.text("repo/metadata/1.root.json")
    }

    /// Runs the program with nothing of this machine in its environment.
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tuf-client"))
            .args(args)
            .env_clear()
            .env("XDG_DATA_HOME", self.path("data"))
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    /// With root and URL.
    fn with_root(&self, args: &[&str]) -> Output {
        let (root, url) = (self.root(), self.text("repo"));
        self.run(&[&["--root", &root, "--url", &url], args].concat())
    }

    fn overwrite(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path(name);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        tuf_client::durable::write_atomic(&path, &bytes).unwrap();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn code(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}{}", stdout(output), stderr(output));
}

/// Every plain file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn nothing_is_trusted_on_first_use() {
    let setup = Setup::new();
    let url = setup.text("repo");
    for command in [
        &["refresh"][..],
        &["list"],
        &["info", "a.txt"],
        &["download", "a.txt"],
        &["proxy"],
        &["run", "true"],
    ] {
        let output = setup.run(&[&["--url", &url], command].concat());
        code(&output, 1);
        assert!(stderr(&output).contains("no trusted root"), "{}", stderr(&output));
        assert!(stderr(&output).contains("--root root.json"), "{}", stderr(&output));
    }
    let output = setup.run(&["--store", "nowhere", "refresh"]);
    code(&output, 1);
    assert!(files(&setup.path("data")).is_empty());
    assert!(!setup.path("a.txt").exists() && !setup.path("nowhere").exists());
    code(&setup.run(&["nonsense"]), 2);
    code(&setup.run(&["--help"]), 0);
}

#[test]
fn init_refresh_list_info_download() {
    let setup = Setup::new();
    code(&setup.with_root(&["--store", "store", "init"]), 0);
    let output = setup.run(&["--store", "store", "--json", "refresh"]);
    code(&output, 0);
    assert_eq!(json(&output)["roles"]["root"]["version"], 1);
    assert_eq!(
        stdout(&setup.run(&["--store", "store", "list"])),
        "5  a.txt\n4  dir/b.txt\n3  packages/six.whl\n"
    );
    assert_eq!(stdout(&setup.run(&["--store", "store", "list", "*/*.whl"])), "3  packages/six.whl\n");
    assert_eq!(stdout(&setup.run(&["--store", "store", "list", "b."])), "4  dir/b.txt\n");
    let output = setup.run(&["--store", "store", "--json", "info", "packages/six.whl"]);
    assert_eq!(json(&output)["role"], "packages");
    assert!(stdout(&setup.run(&["--store", "store", "info", "a.txt"])).contains("signed by  targets"));
    let output = setup.run(&["--store", "store", "info", "none.txt"]);
    code(&output, 1);
    assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    let output = setup.run(&["--store", "store", "download", "-o", "out", "a.txt", "packages/six.whl"]);
    code(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert_eq!(std::fs::read(setup.path("out/packages/six.whl")).unwrap(), b"six");
    assert_eq!(files(&setup.path("out")).len(), 2);
}

#[test]
fn root_and_url_initialise_the_default_store() {
    let setup = Setup::new();
    code(&setup.with_root(&["refresh"]), 0);
    let stores: Vec<_> = std::fs::read_dir(setup.path("data/tuf-client")).unwrap().collect();
    assert_eq!(stores.len(), 1);
    let name = stores[0].as_ref().unwrap().file_name();
    assert_eq!(name.len(), 16);
    code(&setup.run(&["--root", &setup.root(), "refresh"]), 0);
    let environment = Command::new(env!("CARGO_BIN_EXE_tuf-client"))
        .arg("refresh")
        .env_clear()
        .env("TUF_STORE", setup.path("data/tuf-client").join(name))
        .output()
        .unwrap();
    code(&environment, 0);
}

#[test]
fn a_tampered_target_is_refused_and_nothing_is_written() {
    let setup = Setup::new();
    let path = TargetPath::new("packages/six.whl").unwrap().remote(Some(&Hashes::of(b"six")));
    setup.overwrite(&format!("repo/targets/{path}"), |bytes| bytes[0] ^= 1);
    let output = setup.with_root(&["--json", "download", "-o", "out", "a.txt", "packages/six.whl"]);
    code(&output, 4);
    // The good one may stay as a part, to be verified again by the next download.
    let named = |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with(".part-");
    assert!(!files(&setup.path("out")).iter().any(named), "{:?}", files(&setup.path("out")));
    let error = &json(&output)["error"];
    assert_eq!(error["attack"], "wrong-software");
    assert!(error["url"].as_str().unwrap().ends_with("six.whl"));
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
}

#[test]
fn another_repositorys_root_refuses_everything() {
    let setup = Setup::new();
    let mut other = Repo::new();
    other.root.set_role(tuf_core::TopLevel::Timestamp, [&common::signer(33).key], 1);
    tuf_client::durable::write_atomic(&setup.path("other.json"), &sign(&other.root, &[1, 2])).unwrap();
    let output = setup.run(&["--root", "other.json", "--url", "repo", "refresh"]);
    code(&output, 4);
    assert!(stderr(&output).contains("arbitrary-software"), "{}", stderr(&output));
    // The store of the one root does not take the other.
    code(&setup.with_root(&["--store", "store", "init"]), 0);
    let output = setup.run(&["--root", "other.json", "--store", "store", "refresh"]);
    code(&output, 1);
    assert!(stderr(&output).contains("another store directory"), "{}", stderr(&output));
    tuf_client::durable::write_atomic(&setup.path("junk.json"), b"{}").unwrap();
    code(&setup.run(&["--root", "junk.json", "--url", "repo", "--store", "new", "init"]), 4);
    assert!(!setup.path("new").exists());
}

#[test]
fn offline_is_loud_and_expired_metadata_only_by_choice() {
    let setup = Setup::new();
    let store = ["--store", "store", "--cache", "cache"];
    let run = |args: &[&str]| setup.run(&[&store[..], args].concat());
    code(&setup.with_root(&[&store[..], &["download", "-o", "one", "a.txt"]].concat()), 0);
    std::fs::remove_dir_all(setup.path("repo/targets")).unwrap();
    let output = run(&["--offline", "--quiet", "download", "-o", "two", "a.txt"]);
    code(&output, 0);
    assert!(stderr(&output).contains("warning: offline: snapshot 1"), "{}", stderr(&output));
    let output = run(&["--offline", "download", "-o", "two", "dir/b.txt"]);
    code(&output, 1);
    assert!(
        stderr(&output).contains("not stored") && stderr(&output).contains("--cache"),
        "{}",
        stderr(&output)
    );
    code(&run(&["--accept-expired", "refresh"]), 2);

    // The same, of a time long ago.
    let mut repo = Repo::new();
    repo.timestamp_expires = "2020-01-02T00:00:00Z".parse().unwrap();
    write(&repo.build(), &setup.path("old"));
    let url =
        tuf_client::Url::from_directory_path(std::fs::canonicalize(setup.path("old")).unwrap()).unwrap();
    let root = std::fs::read(setup.root()).unwrap();
    let old = tuf_client::store::FsStore::init(&setup.path("old-store"), &root, &url).unwrap();
    let client = tuf_client::Client::builder(root, url)
        .store(old)
        .cache(tuf_client::TargetCache::new(&setup.path("cache")))
        .clock(|| "2020-01-01T00:00:00Z".parse().unwrap())
        .build()
        .unwrap();
    tuf_client::blocking::Client::new(client).unwrap().refresh().unwrap();
    std::fs::remove_dir_all(setup.path("old")).unwrap();
    let run = |args: &[&str]| setup.run(&[&["--store", "old-store", "--cache", "cache"], args].concat());
    let output = run(&["--offline", "refresh"]);
    code(&output, 4);
    assert!(stderr(&output).contains("expired") && stdout(&output).is_empty(), "{}", stderr(&output));
    let output = run(&["--offline", "--accept-expired", "--quiet", "download", "-o", "three", "a.txt"]);
    code(&output, 0);
    assert!(stderr(&output).contains("EXPIRED metadata is used"), "{}", stderr(&output));
    assert_eq!(std::fs::read(setup.path("three/a.txt")).unwrap(), b"alpha");
    let output = run(&["--offline", "--accept-expired", "--json", "refresh"]);
    assert_eq!((&json(&output)["offline"], &json(&output)["stale"]), (&true.into(), &true.into()));
    // An installer would not be told.
    for command in [&["proxy"][..], &["run", "true"]] {
        let output = run(&[&["--offline", "--accept-expired"], command].concat());
        code(&output, 2);
        assert!(stderr(&output).contains("not for proxy and run"), "{}", stderr(&output));
    }
}

#[test]
fn a_clock_that_was_set_back_fails_by_choice_and_else_warns_once() {
    let setup = Setup::new();
    let root = std::fs::read(setup.root()).unwrap();
    let url =
        tuf_client::Url::from_directory_path(std::fs::canonicalize(setup.path("repo")).unwrap()).unwrap();
    let store = tuf_client::store::FsStore::init(&setup.path("store"), &root, &url).unwrap();
    let ahead = || "2099-01-01T00:00:00Z".parse().unwrap();
    let client = tuf_client::Client::builder(root, url).store(store).clock(ahead).build().unwrap();
    tuf_client::blocking::Client::new(client).unwrap().refresh().unwrap();

    for _ in 0..2 {
        let output = setup.run(&["--store", "store", "--refuse-clock-steps", "refresh"]);
        code(&output, 4);
        assert!(stderr(&output).contains("2099-01-01"), "{}", stderr(&output));
    }
    for warns in [true, false] {
        let output = setup.run(&["--store", "store", "refresh"]);
        code(&output, 0);
        assert_eq!(stderr(&output).contains("2099-01-01"), warns, "{}", stderr(&output));
    }
    code(&setup.run(&["--store", "store", "--refuse-clock-steps", "refresh"]), 0);
}

#[test]
fn audit_prints_a_report_and_its_exit_code_follows_the_findings() {
    let setup = Setup::new();
    let output = setup.run(&["audit", "repo"]);
    code(&output, 4);
    assert!(stdout(&output).contains("anchor-not-supplied"), "{}", stdout(&output));
    assert!(stdout(&output).contains("files: 3 checked"), "{}", stdout(&output));
    code(&setup.run(&["audit", "repo", "--fail-on", "error"]), 0);
    let output = setup.run(&["audit", "repo", "--root", &setup.root(), "--format", "json", "--no-files"]);
    code(&output, 0);
    assert_eq!(json(&output)["findings"], Value::Array(Vec::new()));
    assert_eq!(json(&output)["files"], Value::Null);
    setup.overwrite("repo/metadata/1.packages.json", |bytes| bytes.push(b' '));
    let output = setup.run(&["audit", "repo", "--root", &setup.root(), "--json", "--fail-on", "error"]);
    code(&output, 4);
    assert_eq!(json(&output)["findings"][0]["id"], "length-mismatch");
    code(&setup.run(&["audit", "nowhere"]), 1);
    code(&setup.run(&["audit", "data"]), 1);
    code(&setup.run(&["audit", "repo", "--fail-on", "everything"]), 2);
    assert!(files(&setup.path("data")).is_empty(), "an audit writes no store");
}

#[test]
fn inspect_says_what_a_file_says() {
    let setup = Setup::new();
    let root = setup.root();
    let output = setup.run(&["--json", "inspect", &root]);
    code(&output, 0);
    let said = json(&output);
    assert_eq!(said["kind"], "root");
    assert_eq!(said["canonical"], true);
    assert_eq!(said["verification"]["met"], true);
    assert_eq!(said["keys"].as_array().unwrap().len(), 5);
    let text = stdout(&setup.run(&["inspect", &root]));
    assert!(text.contains("enough valid signatures: 2 of 2 needed by root 1"), "{text}");
    let snapshot = setup.text("repo/metadata/1.snapshot.json");
    assert!(stdout(&setup.run(&["inspect", &snapshot])).contains("signatures (unchecked)"));
    let output = setup.run(&["--root", &root, "--json", "inspect", &snapshot]);
    assert_eq!(json(&output)["verification"]["met"], true);
    let text = stdout(&setup.run(&["inspect", &setup.text("repo/metadata/1.targets.json")]));
    assert!(text.contains("2 targets") && text.contains("packages/*"), "{text}");
    setup.overwrite("repo/metadata/1.snapshot.json", |bytes| bytes.truncate(40));
    let output = setup.run(&["inspect", &snapshot]);
    code(&output, 1);
    assert!(stderr(&output).contains("1.snapshot.json"), "{}", stderr(&output));
}

#[test]
fn strict_key_ids_are_asked_for() {
    let setup = Setup::new();
    let vector = include_str!("../../../test-vectors/workflow/keyid-not-a-hash.json");
    let vector: Value = serde_json::from_str(vector).unwrap();
    let write = |name: &str, content: &Value| {
        let path = setup.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        tuf_client::durable::write_atomic(&path, content.as_str().unwrap().as_bytes()).unwrap();
    };
    for (name, content) in vector["files"].as_object().unwrap() {
        write(&format!("opaque/metadata/{name}"), content);
    }
    write("opaque.json", &vector["pinned_root"]);
    let (root, url) = (setup.text("opaque.json"), setup.text("opaque"));
    let refresh =
        |options: &[&str]| setup.run(&[&["--root", &root, "--url", &url, "refresh"], options].concat());
    code(&refresh(&[]), 0);
    let refused = refresh(&["--strict-key-ids"]);
    code(&refused, 4);
    assert!(stderr(&refused).contains("strict key IDs"), "{}", stderr(&refused));
    code(&setup.with_root(&["--strict-key-ids", "refresh"]), 0);
}

#[test]
fn colour_and_a_closed_pipe() {
    let setup = Setup::new();
    assert!(stderr(&setup.run(&["--color", "always", "refresh"])).contains('\u{1b}'));
    assert!(!stderr(&setup.run(&["--color", "never", "refresh"])).contains('\u{1b}'));
    let mut child = Command::new(env!("CARGO_BIN_EXE_tuf-client"))
        .args(["audit", "repo"])
        .current_dir(setup.directory.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn run_gives_its_commands_code_and_ctrl_c_ends_the_proxy() {
    use std::io::{BufRead, BufReader};

    let setup = Setup::new();
    code(&setup.with_root(&["--store", "store", "run", "--", "/bin/sh", "-c", "exit 7"]), 7);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tuf-client"))
        .args(["--store", "store", "proxy"])
        .current_dir(setup.directory.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("http://127.0.0.1:") && line.ends_with("/simple/\n"), "{line}");
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_second_url_is_fallen_back_on_and_the_store_is_for_the_first() {
    let setup = Setup::new();
    write(&Repo::new().build(), &setup.path("damaged"));
    setup.overwrite("damaged/metadata/timestamp.json", |bytes| bytes.truncate(9));
    setup.overwrite("damaged/targets/a.txt", |bytes| bytes.clear());
    let (root, bad, good) = (setup.root(), setup.text("damaged"), setup.text("repo"));
    let args = ["--root", &root, "--store", "store", "--url", &bad];
    let alone = setup.run(&[&args[..], &["refresh"]].concat());
    assert_eq!(alone.status.code(), Some(4), "{}", stderr(&alone));
    let both = setup.run(&[&args[..], &["--url", &good, "download", "a.txt", "-o", "out"]].concat());
    assert_eq!(both.status.code(), Some(0), "{}", stderr(&both));
    assert_eq!(std::fs::read(setup.path("out/a.txt")).unwrap(), b"alpha");
    let other = setup.run(&["--store", "store", "--url", &good, "refresh"]);
    assert_eq!(other.status.code(), Some(1), "another URL first: {}", stderr(&other));
    let neither = setup.run(&["--store", "store", "--url", &bad, "--url", &bad, "refresh"]);
    assert_eq!(neither.status.code(), Some(4), "{}", stderr(&neither));
    assert!(stderr(&neither).contains("(1) file://") && stderr(&neither).contains("(2) file://"));
}

#[test]
fn credentials_that_cannot_be_used_are_refused_and_not_shown() {
    let setup = Setup::new();
    let run = |url: &str, variable: &str, value: &str| {
        Command::new(env!("CARGO_BIN_EXE_tuf-client"))
            .args(["--root", &setup.root(), "--store", "store", "--url", url, "refresh"])
            .env_clear()
            .env(variable, value)
            .current_dir(setup.directory.path())
            .output()
            .unwrap()
    };
    let rows = [
        ("http://127.0.0.1:1/", "NETRC", "/nonexistent/netrc", "/nonexistent/netrc"),
        ("http://127.0.0.1:1/", "TUF_AUTHORIZATION", "Bearer secret\u{7}", "TUF_AUTHORIZATION"),
        ("http://user:secret@127.0.0.1:99999/", "NO_PROXY", "*", "is no URL"),
        ("http://user:secret@127.0.0.1:1/", "NO_PROXY", "*", "cannot connect"),
        ("http://127.0.0.1:1/", "TUF_CA_FILE", "/nonexistent/ca.pem", "/nonexistent/ca.pem"),
    ];
    for (url, variable, value, expected) in rows {
        let output = run(url, variable, value);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(expected) && !text.contains("secret"), "{text}");
    }
}
