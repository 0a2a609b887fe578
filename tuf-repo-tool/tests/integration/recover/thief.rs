//! Somebody with the online keys, and with the right to write what is published.

use std::fs;
use std::path::{Path, PathBuf};

use tuf_core::bins::HashBins;
use tuf_core::{
    Draft, Envelope, Hashes, Limits, MetaFile, Metadata, RoleName, Snapshot, TargetFile, TargetPath, Targets,
    Timestamp, TopLevel, read_unverified,
};
use tuf_repo_tool::keys::{Passphrases, Signer, SoftwareSigner, file};

use crate::support::write;

/// A version that no repository reaches by itself.
pub(super) const FAR: u64 = 1 << 40;

/// The stolen keys.
pub(super) struct Thief {
    public: PathBuf,
    timestamp: SoftwareSigner,
    snapshot: SoftwareSigner,
    bins: SoftwareSigner,
}

fn read<T: Metadata>(path: &Path) -> T {
    let limits = Limits::default();
    let envelope = Envelope::parse(fs::read(path).unwrap(), &limits).unwrap();
    read_unverified(&envelope, &limits).unwrap()
}

fn signed<T: Metadata>(value: T, by: &SoftwareSigner) -> Vec<u8> {
    let mut draft = Draft::new(value);
    let signature = by.sign(draft.payload().as_bytes()).unwrap();
    draft.attach(&by.public().id(), by.public(), &signature).unwrap();
    draft.finish().into_bytes()
}

impl Thief {
    /// Takes the keys of a repository.
    pub(super) fn new(repository: &Path) -> Self {
        let key = |name: &str| {
            file::open(&repository.join(format!("keys/{name}.pem")), &mut Passphrases::from_environment())
                .unwrap()
        };
        Self {
            public: repository.join("public"),
            timestamp: key("timestamp"),
            snapshot: key("snapshot"),
            bins: key("bin-n"),
        }
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.public.join("metadata").join(name)
    }

    /// Puts a file where clients look for it; gives what is signed of it.
    pub(super) fn file(&self, path: &str, content: &[u8]) -> TargetFile {
        let hashes = Hashes::of(content);
        let remote = TargetPath::new(path).unwrap().remote(Some(&hashes));
        let place = self.public.join("targets").join(remote);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        write(&place, content);
        TargetFile::new(content.len().try_into().unwrap(), hashes)
    }

    /// Publishes other targets; all that is signed gets versions from `version` on. `None` takes a target away.
    pub(super) fn publish(&self, bins: u32, version: u64, changes: &[(&str, Option<TargetFile>)]) {
        let timestamp: Timestamp = read(&self.metadata("timestamp.json"));
        let name = format!("{}.snapshot.json", timestamp.snapshot.version);
        let mut snapshot: Snapshot = read(&self.metadata(&name));
        let bins = HashBins::new(bins).unwrap();
        for (path, file) in changes {
            let path = TargetPath::new(*path).unwrap();
            let role: RoleName = bins.role_of(&path);
            let meta = snapshot.role(&role).unwrap();
            let mut value: Targets = read(&self.metadata(&role.file_name(Some(meta.version))));
            match file {
                Some(file) => drop(value.targets.insert(&path, file.clone())),
                None => drop(value.targets.remove(&path)),
            }
            value.header.version = version.max(meta.version + 1);
            let version = value.header.version;
            write(&self.metadata(&role.file_name(Some(version))), signed(value, &self.bins));
            snapshot.set_role(&role, MetaFile::version(version));
        }
        self.point_to(snapshot, version, version);
    }

    /// Publishes a snapshot.
    pub(super) fn point_to(&self, mut snapshot: Snapshot, version: u64, timestamp: u64) {
        snapshot.header.version = version;
        let bytes = signed(snapshot, &self.snapshot);
        let mut value: Timestamp = read(&self.metadata("timestamp.json"));
        value.snapshot = MetaFile::of(version, &bytes);
        value.header_mut().version = timestamp;
        let name = TopLevel::Snapshot.role().file_name(Some(version));
        write(&self.metadata(&name), bytes);
        write(&self.metadata("timestamp.json"), signed(value, &self.timestamp));
    }
}
