//! Small repositories made in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tuf_client::Url;
use tuf_client::transport::{Body, Transport, TransportError, TransportErrorKind};
use tuf_core::{
    Delegated, Delegation, Delegations, Draft, Hashes, Key, KeyId, Keys, MetaFile, Metadata, PublicKey,
    RoleKeys, RoleList, RoleName, Root, Scope, Snapshot, TargetFile, TargetPath, Targets, Timestamp,
    TopLevel,
};

/// Paths below the repository's base, and bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn far() -> DateTime<Utc> {
    "2100-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn now() -> DateTime<Utc> {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// A key, the same for the same number.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) key: Key,
}

pub(crate) fn signer(seed: u8) -> Signer {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let key = Key::from_public(&PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap()));
    Signer { pair, key }
}

pub(crate) fn sign<T: Metadata>(value: &T, seeds: &[u8]) -> Vec<u8> {
    let mut draft = Draft::new(value.clone());
    for seed in seeds {
        let signer = signer(*seed);
        let signature = signer.pair.sign(draft.payload().as_bytes());
        draft.attach(&signer.key.id(), &signer.key, signature.as_ref()).unwrap();
    }
    draft.finish().into_bytes()
}

/// A repository before it is signed. Keys by number: root 1 and 2 (both needed), timestamp 3, snapshot 4,
/// targets 5, delegated roles 6.
pub(crate) struct Repo {
    pub(crate) root: Root,
    pub(crate) root_seeds: Vec<u8>,
    pub(crate) timestamp_expires: DateTime<Utc>,
    /// Of timestamp, snapshot and all targets roles.
    pub(crate) version: u64,
    pub(crate) targets: Targets,
    pub(crate) delegated: BTreeMap<String, Targets>,
    pub(crate) files: Files,
    /// Roles that the snapshot leaves out, or adds.
    pub(crate) unlisted: Vec<String>,
    pub(crate) listed: Vec<String>,
}

impl Repo {
    /// Two targets of the top-level role, one of the role `packages` for `packages/*`.
    pub(crate) fn new() -> Self {
        let mut root = Root::new(far());
        let keys: Vec<Key> = (1..=5).map(|seed| signer(seed).key).collect();
        root.set_role(TopLevel::Root, &keys[..2], 2);
        root.set_role(TopLevel::Timestamp, [&keys[2]], 1);
        root.set_role(TopLevel::Snapshot, [&keys[3]], 1);
        root.set_role(TopLevel::Targets, [&keys[4]], 1);
        let mut repo = Self {
            root,
            root_seeds: vec![1, 2],
            timestamp_expires: far(),
            version: 1,
            targets: Targets::new(far()),
            delegated: BTreeMap::new(),
            files: Files::new(),
            unlisted: Vec::new(),
            listed: Vec::new(),
        };
        repo.add("a.txt", b"alpha");
        repo.add("dir/b.txt", b"beta");
        repo.delegate("packages", Scope::Paths(vec!["packages/*"].into()), false);
        repo.add_to("packages", "packages/six.whl", b"six");
        repo
    }

    pub(crate) fn add(&mut self, path: &str, bytes: &[u8]) {
        let path = TargetPath::new(path).unwrap();
        self.publish(&path, bytes);
        self.targets.targets.insert(&path, target(bytes));
    }

    pub(crate) fn add_to(&mut self, role: &str, path: &str, bytes: &[u8]) {
        let path = TargetPath::new(path).unwrap();
        self.publish(&path, bytes);
        self.delegated.get_mut(role).unwrap().targets.insert(&path, target(bytes));
    }

    fn publish(&mut self, path: &TargetPath, bytes: &[u8]) {
        let hashes = Hashes::of(bytes);
        for consistent in [None, Some(&hashes)] {
            self.files.insert(format!("targets/{}", path.remote(consistent)), bytes.to_vec());
        }
    }

    /// Delegates from the top-level targets.
    pub(crate) fn delegate(&mut self, role: &str, scope: Scope, terminating: bool) {
        let key = signer(6).key;
        let mut delegation =
            Delegation::new(RoleName::new(role).unwrap(), RoleKeys::new(vec![key.id()], 1), scope);
        delegation.terminating = terminating;
        let delegations = self.targets.delegations.get_or_insert_with(|| {
            Delegations::new(Keys::from([(key.id(), key.clone())]), Delegated::Roles(RoleList::default()))
        });
        if let Delegated::Roles(roles) = &mut delegations.roles {
            roles.push(&delegation);
        }
        self.delegated.entry(role.to_owned()).or_insert_with(|| Targets::new(far()));
    }

    /// Every file, signed.
    pub(crate) fn build(&self) -> Files {
        let mut files = self.files.clone();
        let (consistent, version) = (self.root.consistent_snapshot, self.version);
        let mut snapshot = Snapshot::new(far());
        snapshot.header.version = version;
        let mut put = |role: &RoleName, version: Option<u64>, bytes: Vec<u8>| {
            files.insert(format!("metadata/{}", role.file_name(version)), bytes);
        };
        let versioned = consistent.then_some(version);
        let roles = self.delegated.iter().map(|(name, value)| (RoleName::new(name).unwrap(), value, 6));
        for (role, value, seed) in roles.chain([(TopLevel::Targets.role(), &self.targets, 5)]) {
            let mut value = value.clone();
            value.header.version = version;
            let bytes = sign(&value, &[seed]);
            if !self.unlisted.iter().any(|name| name == role.as_str()) {
                snapshot.set_role(&role, MetaFile::of(version, &bytes));
            }
            put(&role, versioned, bytes);
        }
        for name in &self.listed {
            snapshot.set_role(&RoleName::new(name).unwrap(), MetaFile::version(1));
        }
        let snapshot = sign(&snapshot, &[4]);
        let mut timestamp = Timestamp::new(self.timestamp_expires, MetaFile::of(version, &snapshot));
        timestamp.header.version = version;
        put(&TopLevel::Snapshot.role(), versioned, snapshot);
        put(&TopLevel::Timestamp.role(), None, sign(&timestamp, &[3]));
        put(&TopLevel::Root.role(), Some(self.root.header.version), sign(&self.root, &self.root_seeds));
        files
    }
}

fn target(bytes: &[u8]) -> TargetFile {
    TargetFile::new(u64::try_from(bytes.len()).unwrap(), Hashes::of(bytes))
}

/// The ID that is not the one of the specification.
pub(crate) fn odd_id(seed: u8) -> KeyId {
    KeyId::new(&format!("key-{seed}"))
}

#[cfg(feature = "cli")]
pub(crate) fn write(files: &Files, directory: &std::path::Path) {
    for (path, bytes) in files {
        tuf_client::durable::create_new(&directory.join(path), bytes).map(drop).unwrap();
    }
}

/// Serves files from memory, at any host.
#[derive(Clone, Debug)]
pub(crate) struct MapTransport(pub(crate) Arc<Files>);

impl Transport for MapTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        let found = self.0.get(url.path().trim_start_matches('/')).cloned();
        Box::pin(async move {
            let missing = || TransportError::new(url, TransportErrorKind::NotFound { status: None });
            Ok(Body::from_bytes(url, found.ok_or_else(missing)?))
        })
    }
}
