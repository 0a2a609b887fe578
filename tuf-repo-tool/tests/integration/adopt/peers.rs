//! What python-tuf and tuf-js published, taken over and carried on; their clients follow.

use std::path::Path;

use crate::interop::peer::{Peer, Sums, sums};
use crate::support::hostile::Server;
use crate::support::{Sandbox, write};

/// `--key` for each of these files in the sandbox.
fn keys(sandbox: &Sandbox, names: &[&str]) -> Vec<String> {
    let uri =
        |name: &&str| format!("file:{}", sandbox.path("their-keys").join(format!("{name}.pem")).display());
    names.iter().flat_map(|name| ["--key".to_owned(), uri(name)]).collect()
}

/// Metadata under names as servers look for them.
fn metadata(sandbox: &Sandbox, directory: &Path) -> Vec<(String, Vec<u8>)> {
    let plain = |name: &str| percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    let bytes = |name: &String| std::fs::read(directory.join(name)).unwrap();
    let mut found: Vec<_> = sandbox.tree(directory).iter().map(|name| (plain(name), bytes(name))).collect();
    found.sort();
    found
}

fn is_carried_on(peer: Peer, names: &[&str], role: &str) {
    let sandbox = Sandbox::new();
    let (theirs, mut targets) = peer.write_with_keys(&sandbox, &sandbox.path("their-keys"));
    let root = theirs.join("metadata/1.root.json");
    write(&sandbox.path("anchor.json"), std::fs::read(&root).unwrap());
    let server = Server::new(&theirs);
    let read = |url: &str, targets: &Sums| sums(&peer.read(&sandbox, "old", url, targets).ok());
    assert_eq!(read(&server.url(), &targets), targets);

    // From a web server; a directory is taken over below.
    let (url, directory) = (server.url(), sandbox.repo().display().to_string());
    let keys = keys(&sandbox, names);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let anchor = root.display().to_string();
    let arguments = [&["import", &url, &directory, "--root", &anchor], &*keys].concat();
    sandbox.tuf_repo(&arguments).ok().says("TAP 15");
    assert_eq!(metadata(&sandbox, &theirs.join("metadata")), metadata(&sandbox, &sandbox.public("metadata")));
    sandbox.assert_no_leftovers();
    let copy = sandbox.path("copy").display().to_string();
    let place = theirs.display().to_string();
    let arguments = [&["import", &place, &copy], &*keys].concat();
    sandbox.tuf_repo(&arguments).ok().says("no root was given");
    let copied = sandbox.path("copy/public");
    assert_eq!(sandbox.tree(&copied), sandbox.tree(&sandbox.public("")));

    // A target of targets, one of a delegated role, one that goes; then every role that can be signed here is.
    let ours = Server::new(&sandbox.public(""));
    assert_eq!(read(&ours.url(), &targets), targets);
    let new = sandbox.path("new.txt");
    write(&new, "new");
    let sum = tuf_core::Hashes::of(b"new").preferred().unwrap();
    for path in ["new.txt", role] {
        sandbox.tuf_repo(&["add", &new.display().to_string(), "--as", path]).ok();
        targets.insert(path.to_owned(), sum.clone());
    }
    sandbox.tuf_repo(&["remove", "top.txt"]).ok();
    targets.remove("top.txt");
    sandbox.tuf_repo(&["publish", "--check", "all"]).ok();
    assert_eq!(read(&ours.url(), &targets), targets);
    let settings = std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap();
    let signed_long_ago: String = settings
        .lines()
        .map(|line| match line.starts_with("expires = ") {
            true => "expires = \"2000d\"\nrenew_after = \"1s\"\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    write(&sandbox.repo().join("tuf-repo.toml"), signed_long_ago);
    let before = sandbox.tree(&sandbox.public("metadata")).len();
    sandbox.tuf_repo(&["renew"]);
    assert!(sandbox.tree(&sandbox.public("metadata")).len() > before + 4);
    assert_eq!(read(&ours.url(), &targets), targets);
    sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", &sandbox.url()]).ok();
}

#[test]
fn a_repository_of_python_tuf_is_carried_on() {
    println!("{}", Peer::PythonTuf.versions());
    is_carried_on(Peer::PythonTuf, &["ed", "online", "delegated-1", "delegated-2"], "packages/one more.whl");
}

#[test]
fn a_repository_of_tuf_js_is_carried_on() {
    println!("{}", Peer::TufJs.versions());
    is_carried_on(Peer::TufJs, &["rsa", "ecdsa", "hex", "ed", "old"], "lib/one-more.txt");
}

#[test]
fn one_without_consistent_snapshots_is_refused_and_nothing_left() {
    for peer in [Peer::PythonTuf, Peer::TufJs] {
        let sandbox = Sandbox::new();
        let (theirs, _) = peer.write(&sandbox, false);
        let (place, directory) = (theirs.display().to_string(), sandbox.repo().display().to_string());
        sandbox.tuf_repo(&["import", &place, &directory]).code(4).says("consistent_snapshot is false");
        assert!(!sandbox.repo().exists());
    }
}
