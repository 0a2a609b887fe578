//! What others write, read by `tuf-client`: every target, from the first root on.

use std::path::PathBuf;

use ring::digest::SHA256;
use serde_json::Value;

use super::lookalike::sum;
use super::peer::{Peer, Sums};
use crate::support::hostile::Server;
use crate::support::{Run, Sandbox, tuf_client};

/// Our client with the first root of a repository.
pub(super) struct Client<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) root: PathBuf,
    pub(super) server: Server,
}

impl Client<'_> {
    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.sandbox.command(tuf_client());
        command.arg("--root").arg(&self.root).arg("--url").arg(self.server.url());
        Run::of(command.arg("--store").arg(self.sandbox.path("store")).arg("--json").args(arguments))
    }

    /// Lists everything, downloads everything, and says what it got.
    pub(super) fn everything(&self) -> Sums {
        let list = self.run(&["list"]).ok().json();
        let paths: Vec<&str> = list["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target["path"].as_str().unwrap())
            .collect();
        let out = self.sandbox.path("out");
        let out_text = out.display().to_string();
        self.run(&[&["download", "-o", &out_text], &*paths].concat()).ok();
        let of = |path: &str| (path.to_owned(), sum(&SHA256, &std::fs::read(out.join(path)).unwrap()));
        paths.into_iter().map(of).collect()
    }
}

/// The versions of the top-level roles are these.
fn is_read(peer: Peer, consistent: bool, versions: [(&str, u64); 4]) {
    let sandbox = Sandbox::new();
    let (directory, written) = peer.write(&sandbox, consistent);
    let root = directory.join("metadata/1.root.json");
    let client = Client { root, server: Server::new(&directory), sandbox: &sandbox };
    let roles = client.run(&["refresh"]).ok().json();
    for (role, version) in versions {
        assert_eq!(roles["roles"][role]["version"], Value::from(version), "{role}");
    }
    assert!(written.len() > 8, "{written:?}");
    assert_eq!(client.everything(), written);
    // From the store, of which everything is current.
    client.server.asked();
    client.run(&["refresh"]).ok();
    let asked = client.server.asked();
    assert!(asked.iter().all(|line| line.contains("root.json") || line.contains("timestamp")), "{asked:?}");
}

const PYTHON_TUF: [(&str, u64); 4] = [("root", 4), ("timestamp", 12), ("snapshot", 11), ("targets", 7)];
const TUF_JS: [(&str, u64); 4] = [("root", 3), ("timestamp", 9), ("snapshot", 8), ("targets", 4)];

#[test]
fn what_python_tuf_writes_is_read() {
    println!("{}", Peer::PythonTuf.versions());
    is_read(Peer::PythonTuf, true, PYTHON_TUF);
}

#[test]
fn what_python_tuf_writes_without_consistent_snapshots_is_read() {
    println!("{}", Peer::PythonTuf.versions());
    is_read(Peer::PythonTuf, false, PYTHON_TUF);
}

#[test]
fn what_tuf_js_writes_is_read() {
    println!("{}", Peer::TufJs.versions());
    is_read(Peer::TufJs, true, TUF_JS);
}

#[test]
fn what_tuf_js_writes_without_consistent_snapshots_is_read() {
    println!("{}", Peer::TufJs.versions());
    is_read(Peer::TufJs, false, TUF_JS);
}
