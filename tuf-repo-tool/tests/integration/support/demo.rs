//! A small repository with a past: an upstream index of tiny wheels and a big one, mirrored and published twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

use crate::support::hostile::Server;
use crate::support::python::python;
use crate::support::{Dist, Options, Run, Sandbox, Upstream, tuf_client, wheel, write};

/// Larger than what the proxy holds whole before it sends the first byte.
const BIG: usize = 5 << 20;

/// The repository, its mirror, and a client's directories.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) sandbox: Sandbox,
    upstream: Upstream,
    /// The web server in front of what is published.
    pub(crate) mirror: Server,
}

/// Who installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installer {
    Pip,
    OldPip,
    Uv,
    OldUv,
}

impl Demo {
    /// Published once: `small` 1.0 and `big` 1.0.
    pub(crate) fn new() -> Self {
        let (sandbox, upstream) = (Sandbox::new(), Upstream::start(Options::default()));
        upstream.publish("small", wheel("small", "1.0"));
        upstream.publish("big", big_wheel());
        sandbox.init(&[]).ok();
        // Before any other root is signed.
        copy(&sandbox.repo().join("root.json"), &sandbox.path("root.json"));
        sandbox.tuf_repo(&["mirror", "add", "small", "big"]).ok();
        sandbox.sync(&upstream).ok();
        Self { mirror: Server::new(&sandbox.public("")), sandbox, upstream }
    }

    /// Publishes `small` 1.1.
    pub(crate) fn publish_more(&self) {
        self.upstream.publish("small", wheel("small", "1.1"));
        self.sandbox.sync(&self.upstream).ok();
    }

    /// Signs a role of a year's validity again, now.
    pub(crate) fn sign_again(&self, role: &str) {
        self.sandbox.set_periods(&[role], "365d", "1s");
        sleep(Duration::from_millis(1100));
        self.sandbox.tuf_repo(&["renew"]).ok();
    }

    /// The bytes of the only published file whose path contains all these parts.
    pub(crate) fn published(&self, parts: &[&str]) -> Vec<u8> {
        let public = self.sandbox.public("");
        let fits = |path: &&PathBuf| parts.iter().all(|part| path.to_string_lossy().contains(part));
        let all = files(&public);
        let found: Vec<_> = all.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{parts:?}: {found:?}");
        fs::read(found[0]).unwrap()
    }

    /// `tuf-client` with the trusted root, the mirror's URL and this demonstration's store.
    pub(crate) fn client(&self) -> Command {
        self.client_of(&self.sandbox.path("root.json"), "store")
    }

    /// With another root or store.
    pub(crate) fn client_of(&self, root: &Path, store: &str) -> Command {
        let mut command = self.sandbox.command(tuf_client());
        command.current_dir(self.sandbox.path("")).arg("--root").arg(root);
        command.arg("--url").arg(self.mirror.url()).arg("--store").arg(self.sandbox.path(store));
        command
    }

    /// Refreshes the store.
    pub(crate) fn refresh(&self) -> Run {
        Run::of(self.client().arg("refresh"))
    }

    /// Runs an installer behind the proxy, with no cache, into a new directory: `command` is the client's, up to `run`.
    pub(crate) fn install(
        &self,
        command: &mut Command,
        installer: Installer,
        arguments: &[&str],
    ) -> Installed {
        let out = tempfile::tempdir_in(self.sandbox.path("")).unwrap();
        let target = out.path().join("out");
        command.arg("--");
        match installer {
            Installer::Pip => command.arg(python().pip()).args(["install", "--no-cache-dir"]),
            Installer::OldPip => command.arg(python().old_pip()).args(["install", "--no-cache-dir"]),
            Installer::Uv => command.arg(python().uv()).args(["pip", "install", "--no-cache"]),
            Installer::OldUv => command.arg(python().old_uv()).args(["pip", "install", "--no-cache"]),
        };
        if matches!(installer, Installer::Uv | Installer::OldUv) {
            command.arg("--python").arg(python().interpreter());
        }
        let run = Run::of(
            command
                .arg("--target")
                .arg(&target)
                .args(arguments)
                .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
                .env("TMPDIR", out.path()),
        );
        let names = fs::read_dir(&target).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        // uv leaves its lock there.
        Installed { run, files: names.filter(|name| !name.starts_with('.')).collect() }
    }

    /// Installs this by `run` with pip.
    pub(crate) fn pip(&self, package: &str) -> Installed {
        self.install(self.client().arg("run"), Installer::Pip, &[package])
    }

    /// The versions of the metadata in the store, by file name. Each is, byte for byte, one that was published.
    pub(crate) fn stored(&self) -> BTreeMap<PathBuf, u64> {
        let mut published = metadata(&self.sandbox.public("metadata"));
        published.extend(metadata(&self.sandbox.path("kept")));
        let published: BTreeSet<Vec<u8>> = published.into_values().collect();
        let stored = metadata(&self.sandbox.path("store"));
        assert!(!stored.is_empty());
        let version = |(path, bytes): (PathBuf, Vec<u8>)| {
            assert!(published.contains(&bytes), "{} was never published", path.display());
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            (path, json["signed"]["version"].as_u64().unwrap())
        };
        stored.into_iter().map(version).collect()
    }

    /// Keeps a copy of the store.
    pub(crate) fn keep_store(&self) {
        copy_all(&self.sandbox.path("store"), &self.sandbox.path("store-kept"));
    }

    /// Brings back the copy.
    pub(crate) fn restore_store(&self) {
        fs::remove_dir_all(self.sandbox.path("store")).unwrap();
        copy_all(&self.sandbox.path("store-kept"), &self.sandbox.path("store"));
    }

    /// Remembers the current timestamp, which is the one file that is overwritten.
    pub(crate) fn keep_timestamp(&self) -> Vec<u8> {
        copy(&self.sandbox.public("metadata/timestamp.json"), &self.sandbox.path("kept/timestamp.json"));
        self.sandbox.timestamp()
    }
}

/// What an installer did.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) run: Run,
    /// What is in its target directory.
    pub(crate) files: BTreeSet<String>,
}

impl Installed {
    /// It exited so and installed nothing.
    #[track_caller]
    pub(crate) fn nothing(self, code: i32) -> Run {
        assert!(self.files.is_empty(), "{:#?}", self);
        self.run.code(code)
    }

    /// As [`Installed::nothing`], and one of our own messages has all these words.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) {
        let run = self.nothing(code);
        let ours = |line: &&str| line.starts_with("refused: ") || line.starts_with("error: ");
        let told = run.stderr.lines().filter(ours).any(|line| words.iter().all(|word| line.contains(word)));
        assert!(told, "expected {words:?} in one message of {run:#?}");
    }

    /// It installed this release.
    #[track_caller]
    pub(crate) fn release(self, name: &str) {
        assert!(self.files.contains(&format!("{name}.dist-info")), "no {name}: {:#?}", self);
        self.run.ok();
    }
}

/// A wheel with one large file, which comes last.
fn big_wheel() -> Dist {
    let small = wheel("big", "1.0");
    let mut entries = ZipArchive::new(Cursor::new(&small.bytes)).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..entries.len() {
        zip.raw_copy_file(entries.by_index_raw(number).unwrap()).unwrap();
    }
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("big/data.bin", stored).unwrap();
    zip.write_all(&vec![b'.'; BIG]).unwrap();
    Dist { bytes: zip.finish().unwrap().into_inner(), ..small }
}

/// The signed metadata below a directory.
fn metadata(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = files(directory).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    read.filter(|(_, bytes)| bytes.starts_with(b"{\"signatures\"")).collect()
}

fn copy_all(from: &Path, to: &Path) {
    for file in files(from) {
        copy(&file, &to.join(file.strip_prefix(from).unwrap()));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    write(to, fs::read(from).unwrap());
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
