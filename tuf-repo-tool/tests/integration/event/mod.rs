//! Threshold signing: `tuf-repo event` on a repository whose keys of root, targets and bins are elsewhere.

mod ceremony;
mod delegations;
mod hostile;
mod pending;
mod rotation;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Run, Sandbox, TUF_REPO, write};

/// A repository of the preset `offline-root`, and the directory with its offline keys.
pub(crate) struct Ceremony {
    pub(crate) sandbox: Sandbox,
}

impl Ceremony {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let away = sandbox.path("away").display().to_string();
        sandbox.init(&["--preset", "offline-root", "--offline-keys", &away, "--bins", "2"]).ok();
        sandbox.verify();
        Self { sandbox }
    }

    /// `tuf-repo --repo … event ARGUMENTS`.
    pub(crate) fn event(&self, arguments: &[&str]) -> Run {
        self.sandbox.tuf_repo(&[&["event"], arguments].concat())
    }

    /// Opens an event; gives its ID.
    pub(crate) fn open(&self, arguments: &[&str]) -> String {
        let fixed = ["--json", "event", "open"];
        let run = self.sandbox.tuf_repo(&[&fixed, arguments, &["-m", "because"]].concat()).ok();
        run.json()["event"]["id"].as_str().unwrap().to_owned()
    }

    /// The bundle of a pending event.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.sandbox.repo().join(format!("state/events/{id}.tufsign"))
    }

    /// A copy of it, as somebody who signs gets it.
    fn copy(&self, id: &str, name: &str) -> PathBuf {
        let copy = self.sandbox.path(name);
        write(&copy, std::fs::read(self.bundle(id)).unwrap());
        copy
    }

    /// Signs a bundle with offline keys, in a place that has no repository.
    pub(crate) fn sign(&self, bundle: &Path, keys: &[&str]) -> Run {
        let mut command = self.sandbox.command(TUF_REPO);
        command.current_dir(self.sandbox.path("away")).args(["event", "sign", "--yes"]).arg(bundle);
        for key in keys {
            command.args(["--key", &format!("file:{key}.pem")]);
        }
        Run::of(&mut command)
    }

    /// The event is signed by these keys and finished.
    #[track_caller]
    pub(crate) fn carry_out(&self, id: &str, keys: &[&str]) {
        self.sign(&self.bundle(id), keys).ok().says("complete");
        self.event(&["finish", id]).ok();
        self.sandbox.verify();
    }

    /// The ID of a key of which the public half is here.
    pub(crate) fn keyid(&self, name: &str) -> String {
        let shown = self.sandbox.tuf_repo(&["--json", "key", "show", name]).ok().json();
        shown["keyid"].as_str().unwrap().to_owned()
    }

    /// A new key whose private half is taken away; gives the argument that adds it.
    pub(crate) fn new_key(&self, role: &str, name: &str) -> String {
        self.sandbox.tuf_repo(&["key", "generate", name, "--no-passphrase"]).ok();
        for file in [format!("{name}.pem"), format!("{name}.pub.json")] {
            let bytes = std::fs::read(self.sandbox.repo().join("keys").join(&file)).unwrap();
            tuf_client::durable::write_private(&self.sandbox.path("away").join(&file), &bytes).unwrap();
        }
        std::fs::remove_file(self.sandbox.repo().join(format!("keys/{name}.pem"))).unwrap();
        format!("{role}=file:keys/{name}.pem")
    }

    /// `signed` of a published file, and the number of its signatures.
    pub(crate) fn published(&self, name: &str) -> (Value, usize) {
        let bytes = std::fs::read(self.sandbox.public("metadata").join(name)).unwrap();
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        (file["signed"].clone(), file["signatures"].as_array().unwrap().len())
    }
}
