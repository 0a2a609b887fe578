//! What `tuf-repo` publishes, read by others: every target, in both layouts, at first and after each kind of change.

use super::peer::{Peer, Sums, sums};
use crate::support::hostile::Server;
use crate::support::{Options, Sandbox, Upstream, sdist, wheel};

/// A mirror, served as any web server would.
pub(super) struct Ours {
    pub(super) sandbox: Sandbox,
    upstream: Upstream,
    pub(super) server: Server,
}

impl Ours {
    pub(super) fn new(init: &[&str]) -> Self {
        let (sandbox, upstream) = (Sandbox::new(), Upstream::start(Options::default()));
        upstream.publish("demo", wheel("demo", "1.0"));
        upstream.publish("demo", sdist("demo", "0.9"));
        upstream.publish("other", wheel("other", "2.0"));
        sandbox.init(init).ok();
        sandbox.anchor();
        sandbox.tuf_repo(&["mirror", "add", "demo", "other"]).ok();
        sandbox.sync(&upstream).ok();
        Self { server: Server::new(&sandbox.public("")), sandbox, upstream }
    }

    /// All targets that our own client sees.
    pub(super) fn targets(&self) -> Sums {
        let list = self.sandbox.tuf_client(&["--url", &self.sandbox.url(), "--json", "list"]).ok().json();
        let entry = |target: &serde_json::Value| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(&target["path"]), text(&target["hashes"]["sha256"]))
        };
        list["targets"].as_array().unwrap().iter().map(entry).collect()
    }

    /// The peer gets what our own client gets.
    #[track_caller]
    fn read_by(&self, peer: Peer, state: &str) -> Sums {
        let targets = self.targets();
        let got = sums(&peer.read(&self.sandbox, state, &self.server.url(), &targets).ok());
        assert_eq!(got, targets, "{peer:?} got something else");
        targets
    }

    /// Renews, publishes more, and renews the root; after each, `then`.
    pub(super) fn change_everything(&self, then: impl Fn()) {
        let before = self.sandbox.timestamp();
        self.renew(&["timestamp", "snapshot"]);
        assert_ne!(before, self.sandbox.timestamp());
        then();
        self.upstream.publish("demo", wheel("demo", "1.1"));
        self.sandbox.sync(&self.upstream).ok();
        then();
        self.renew(&["root"]);
        assert!(self.sandbox.public("metadata/2.root.json").exists());
        then();
    }

    fn renew(&self, roles: &[&str]) {
        // The published files live for days: so they count as signed long ago.
        self.sandbox.set_periods(roles, "400d", "1s");
        self.sandbox.tuf_repo(&["renew"]).ok();
        self.sandbox.set_periods(roles, "400d", "200d");
    }
}

/// One client that is there from the start, and one that comes at the end.
fn is_read(peer: Peer, init: &[&str]) {
    let ours = Ours::new(init);
    let first = ours.read_by(peer, "old");
    ours.change_everything(|| drop(ours.read_by(peer, "old")));
    assert_ne!(ours.read_by(peer, "new"), first);
}

#[test]
fn python_tuf_reads_the_pep458_layout() {
    println!("{}", Peer::PythonTuf.versions());
    is_read(Peer::PythonTuf, &["--bins", "4"]);
}

#[test]
fn python_tuf_reads_the_index_layout() {
    println!("{}", Peer::PythonTuf.versions());
    is_read(Peer::PythonTuf, &["--layout", "index", "--preset", "plain", "--key-type", "ecdsa-p384"]);
}

#[test]
fn tuf_js_reads_the_pep458_layout() {
    println!("{}", Peer::TufJs.versions());
    is_read(Peer::TufJs, &["--bins", "4"]);
}

#[test]
fn tuf_js_reads_the_index_layout() {
    println!("{}", Peer::TufJs.versions());
    is_read(Peer::TufJs, &["--layout", "index", "--preset", "plain", "--key-type", "ecdsa-p256"]);
}

/// This version verifies every ECDSA signature with SHA-256.
#[test]
fn tuf_js_cannot_verify_p384() {
    println!("{}", Peer::TufJs.versions());
    let ours = Ours::new(&["--preset", "plain", "--key-type", "ecdsa-p384"]);
    ours.renew(&["root"]);
    let run = Peer::TufJs.read(&ours.sandbox, "old", &ours.server.url(), &Sums::new());
    run.code(1).says("root was signed by 0/1 keys");
}
