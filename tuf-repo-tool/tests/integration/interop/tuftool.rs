//! tuftool, the program of tough.

use std::process::Command;

use ring::digest::SHA256;

use super::lookalike::sum;
use super::ours::Ours;
use super::theirs::Client;
use crate::support::hostile::Server;
use crate::support::tuftool::tuftool;
use crate::support::{Run, Sandbox, write};

fn version() -> String {
    Run::of(Command::new(tuftool()).arg("--version")).ok().stdout
}

/// A command of tuftool in the sandbox.
fn run(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    Run::of(sandbox.command(tuftool()).current_dir(sandbox.path("")).args(arguments))
}

#[test]
fn what_tuftool_writes_is_read() {
    println!("{}", version());
    let sandbox = Sandbox::new();
    let ok = |arguments: &[&str]| drop(run(&sandbox, arguments).ok());
    ok(&["root", "init", "root.json"]);
    ok(&["root", "expire", "root.json", "2099-12-31T23:59:59.5Z"]);
    for role in ["root", "snapshot", "targets", "timestamp"] {
        ok(&["root", "set-threshold", "root.json", role, "1"]);
    }
    let roles = ["-r", "root", "-r", "snapshot", "-r", "targets", "-r", "timestamp"];
    ok(&[&["root", "gen-rsa-key", "root.json", "one.pem"], &roles[..]].concat());
    ok(&["root", "sign", "root.json", "-k", "one.pem"]);
    let first = std::fs::read(sandbox.path("root.json")).unwrap();
    // The second root adds a key, and both must sign from then on.
    ok(&["root", "bump-version", "root.json"]);
    ok(&["root", "gen-rsa-key", "root.json", "two.pem", "-r", "root"]);
    ok(&["root", "set-threshold", "root.json", "root", "2"]);
    ok(&["root", "sign", "root.json", "-k", "one.pem", "-k", "two.pem"]);
    for name in ["one.txt", "two_words.bin"] {
        write(&sandbox.path("in").join(name), format!("the target {name}"));
    }
    let create = ["create", "-t", "in", "-o", "theirs", "-k", "one.pem", "-k", "two.pem", "-r", "root.json"];
    let times = ["targets", "snapshot", "timestamp"].map(|role| format!("--{role}-expires=in 3 days"));
    let versions = ["targets", "snapshot", "timestamp"].map(|role| format!("--{role}-version=1700000000"));
    let more = times.iter().chain(&versions).map(String::as_str);
    ok(&create.into_iter().chain(more).collect::<Vec<_>>());
    let directory = sandbox.path("theirs");
    write(&directory.join("metadata/1.root.json"), first);

    let root = directory.join("metadata/1.root.json");
    let client = Client { root, server: Server::new(&directory), sandbox: &sandbox };
    let roles = client.run(&["refresh"]).ok().json();
    assert_eq!(roles["roles"]["root"]["version"], 2);
    assert_eq!(roles["roles"]["timestamp"]["version"], 1_700_000_000);
    let got: Vec<String> = client.everything().into_keys().collect();
    assert_eq!(got, ["one.txt", "two_words.bin"]);
}

/// Downloads all that our own client sees.
fn download(ours: &Ours, url: &str, out: &str) -> Run {
    let (targets, root) = (ours.targets(), ours.sandbox.anchor().display().to_string());
    let (metadata, files) = (format!("{url}/metadata/"), format!("{url}/targets/"));
    let fixed = ["download", out, "-r", &root, "-m", &metadata, "-t", &files];
    let names = targets.keys().flat_map(|path| ["-n", path]);
    run(&ours.sandbox, &fixed.into_iter().chain(names).collect::<Vec<_>>())
}

/// It takes our metadata; but for `dir/name` it asks for `HASH.dir/name`, where the specification has `dir/HASH.name`
/// (5.7.3). With the files there as well, it reads them all.
fn is_read(init: &[&str]) {
    let ours = Ours::new(init);
    let stage = |state: &str| {
        let url = ours.server.url();
        ours.server.asked();
        let run = download(&ours, &url, &format!("{state}-refused"));
        assert!(run.code == Some(1), "{run:#?}");
        let asked = ours.server.asked();
        assert!(asked.iter().any(|line| line.contains("timestamp.json")), "{asked:?}");
        let (_, target) = asked.last().unwrap().split_once("/targets/").unwrap();
        let (first, _) = target.split_once('.').unwrap();
        assert!(first.len() == 64 && target.contains('/'), "{asked:?}");
        // The other layout beside it.
        let both = ours.sandbox.path(&format!("{state}-both"));
        for name in ours.sandbox.tree(&ours.sandbox.public("")) {
            let bytes = std::fs::read(ours.sandbox.public(&name)).unwrap();
            let other = name.strip_prefix("targets/").and_then(|path| {
                let (directory, file) = path.rsplit_once('/')?;
                let (hash, file) = file.split_once('.').filter(|(hash, _)| hash.len() == 64)?;
                Some(format!("targets/{hash}.{directory}/{file}"))
            });
            write(&both.join(other.unwrap_or(name)), bytes);
        }
        download(&ours, &Server::new(&both).url(), state).ok();
        for (path, expected) in ours.targets() {
            let bytes = std::fs::read(ours.sandbox.path(state).join(&path)).unwrap();
            assert_eq!(sum(&SHA256, &bytes), expected, "{path}");
        }
    };
    stage("first");
    ours.change_everything(|| ());
    stage("second");
}

#[test]
fn tuftool_reads_the_pep458_layout_from_its_own_places() {
    println!("{}", version());
    is_read(&["--bins", "4"]);
}

#[test]
fn tuftool_reads_the_index_layout_from_its_own_places() {
    println!("{}", version());
    is_read(&["--layout", "index", "--preset", "plain", "--key-type", "ecdsa-p256"]);
}

/// It knows no P-384, and a key that it does not know makes it refuse the file.
#[test]
fn tuftool_refuses_p384() {
    println!("{}", version());
    let ours = Ours::new(&["--preset", "plain", "--key-type", "ecdsa-p384"]);
    download(&ours, &ours.server.url(), "out").code(1).says("Failed to parse trusted root metadata");
}
