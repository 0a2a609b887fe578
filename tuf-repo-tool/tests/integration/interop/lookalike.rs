//! Repositories as other people's tools write them: every odd field by hand, signed with keys made here. Nothing of it
//! comes from a real repository.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use data_encoding::HEXLOWER;
use ring::digest::{Algorithm, SHA256, SHA512, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Map, Value, json};
use tuf_core::canonical::canonicalize;
use tuf_core::{Key, PublicKey};

use crate::support::write;

/// A key as a repository lists it, and its secret half.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) id: String,
    pub(super) json: Value,
    pair: Rc<Pair>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    /// The ed25519 key of a seed.
    pub(super) fn ed25519(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
        Self::new(&public, Pair::Ed25519(pair))
    }

    /// A fresh P-256 key.
    pub(super) fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, PublicKey::EcdsaP256)
    }

    /// A fresh P-384 key.
    pub(super) fn p384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, PublicKey::EcdsaP384)
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, public: fn(Box<[u8]>) -> PublicKey) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self::new(&public(pair.public_key().as_ref().into()), Pair::Ecdsa(pair))
    }

    /// The RSA key of the tests.
    pub(super) fn rsa() -> Self {
        let pem = include_str!("../../../../tuf-core/tests/support/test-only-rsa.pem");
        let (_, document) = pkcs8::Document::from_pem(pem).unwrap();
        let pair = RsaKeyPair::from_pkcs8(document.as_bytes()).unwrap();
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        let public = PublicKey::Rsa { modulus: parts.n.into(), exponent: parts.e.into() };
        Self::new(&public, Pair::Rsa(pair))
    }

    fn new(public: &PublicKey, pair: Pair) -> Self {
        let json = Key::from_public(public).to_json().unwrap();
        Self { id: sum(&SHA256, canonical(&json).as_bytes()), json, pair: Rc::new(pair) }
    }

    /// Changes how the key is written, and its ID with that.
    pub(super) fn written(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.json);
        self.id = sum(&SHA256, canonical(&self.json).as_bytes());
        self
    }

    /// As go-tuf and old python-tuf wrote keys.
    pub(super) fn with_hash_algorithms(self) -> Self {
        self.written(|json| json["keyid_hash_algorithms"] = json!(["sha256", "sha512"]))
    }

    /// The point in hex, and the key type of that time.
    pub(super) fn in_hex(self) -> Self {
        let Pair::Ecdsa(pair) = &*self.pair else { panic!("no point") };
        let point = HEXLOWER.encode(pair.public_key().as_ref());
        self.with_hash_algorithms().written(|json| {
            json["keytype"] = "ecdsa-sha2-nistp256".into();
            json["keyval"]["public"] = point.into();
        })
    }

    /// A field that does not change the ID.
    pub(super) fn noted(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.json[field] = value.into();
        self
    }

    /// An ID that is no hash (TAP 12).
    pub(super) fn named(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    fn sign(&self, message: &[u8]) -> Value {
        let random = SystemRandom::new();
        let signature = match &*self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        };
        json!({"keyid": self.id, "sig": HEXLOWER.encode(&signature)})
    }
}

/// Keys, a threshold, and what else is said of a role.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) keys: Vec<Signer>,
    pub(super) threshold: usize,
    pub(super) more: Value,
}

impl Role {
    pub(super) fn new(keys: &[Signer], threshold: usize) -> Self {
        Self { keys: keys.to_vec(), threshold, more: json!({}) }
    }

    pub(super) fn json(&self) -> Value {
        let ids: Vec<&String> = self.keys.iter().map(|key| &key.id).collect();
        with(json!({"keyids": ids, "threshold": self.threshold}), &self.more)
    }

    /// Its keys as metadata lists them.
    pub(super) fn listed(&self) -> Map<String, Value> {
        self.keys.iter().map(|key| (key.id.clone(), key.json.clone())).collect()
    }
}

/// A repository in the making: how it writes, who signs, and the files so far.
pub(super) struct Lookalike {
    pub(super) spec_version: &'static str,
    /// `None`: the field is not there.
    pub(super) consistent: Option<bool>,
    /// Whether length and hashes of metadata are given.
    pub(super) pinned: bool,
    /// Indented by so many spaces.
    pub(super) indent: &'static [u8],
    pub(super) expires: &'static str,
    pub(super) root: Role,
    pub(super) timestamp: Role,
    pub(super) snapshot: Role,
    pub(super) targets: Role,
    /// Of the newest root.
    pub(super) version: u64,
    /// The IDs of the keys that the newest root has for itself, and those of the one before.
    root_ids: (Vec<String>, Vec<String>),
    files: BTreeMap<String, Vec<u8>>,
    meta: Map<String, Value>,
}

impl Lookalike {
    /// `online` signs what is not offline.
    pub(super) fn new(root: Role, targets: Role, online: &Signer) -> Self {
        let online = Role::new(std::slice::from_ref(online), 1);
        Self {
            spec_version: "1.0.31",
            consistent: Some(true),
            pinned: true,
            indent: b"",
            expires: "2100-01-01T00:00:00Z",
            root,
            timestamp: online.clone(),
            snapshot: online,
            targets,
            version: 0,
            root_ids: (Vec::new(), Vec::new()),
            files: BTreeMap::new(),
            meta: Map::new(),
        }
    }

    /// Publishes the next root. All root keys sign, and these too: those of the root before.
    pub(super) fn next_root(&mut self, also: &[Signer], more: &Value) {
        self.version += 1;
        let ids = self.root.keys.iter().map(|key| key.id.clone()).collect();
        self.root_ids.1 = std::mem::replace(&mut self.root_ids.0, ids);
        let roles = [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ];
        let keys: Map<String, Value> = roles.iter().flat_map(|(_, role)| role.listed()).collect();
        let written: Map<String, Value> =
            roles.iter().map(|(name, role)| ((*name).to_owned(), role.json())).collect();
        let mut signed = with(json!({"keys": keys, "roles": written}), more);
        if let Some(consistent) = self.consistent {
            signed["consistent_snapshot"] = consistent.into();
        }
        let signers = Role::new(&[&self.root.keys, also].concat(), 0);
        let bytes = self.sign("root", self.version, signed, &signers);
        self.files.insert(format!("metadata/{}.root.json", self.version), bytes);
    }

    /// Publishes the targets role of this name. `more` has what it delegates.
    pub(super) fn publish(&mut self, name: &str, version: u64, role: &Role, files: &[&str], more: &Value) {
        let mut targets = Map::new();
        for path in files {
            let bytes = format!("the target {path}");
            let hashes = [("sha256", &SHA256), ("sha512", &SHA512)].map(|(name, algorithm)| {
                let sum = sum(algorithm, bytes.as_bytes());
                let (directory, file) =
                    path.rsplit_once('/').map_or(("", *path), |(head, tail)| (head, tail));
                let file = if self.consistent == Some(true) { format!("{sum}.{file}") } else { file.into() };
                let place = ["targets", directory, &file].into_iter().filter(|part| !part.is_empty());
                self.files.insert(place.collect::<Vec<_>>().join("/"), bytes.clone().into_bytes());
                (name.to_owned(), Value::from(sum))
            });
            let target = json!({"length": bytes.len(), "hashes": Map::from_iter(hashes)});
            targets.insert((*path).to_owned(), with(target, &more["x-of-each-target"]));
        }
        let mut more = more.clone();
        more.as_object_mut().unwrap().remove("x-of-each-target");
        let bytes = self.sign("targets", version, with(json!({"targets": targets}), &more), role);
        self.put(name, version, bytes);
    }

    /// Publishes snapshot and timestamp.
    pub(super) fn finish(&mut self, version: u64) {
        let (meta, snapshot) = (std::mem::take(&mut self.meta), self.snapshot.clone());
        let bytes = self.sign("snapshot", version, json!({"meta": meta}), &snapshot);
        self.put("snapshot", version, bytes);
        let (meta, timestamp) = (std::mem::take(&mut self.meta), self.timestamp.clone());
        let bytes = self.sign("timestamp", version, json!({"meta": meta}), &timestamp);
        self.files.insert("metadata/timestamp.json".to_owned(), bytes);
    }

    /// One more entry of the snapshot, of a role that is gone.
    pub(super) fn remember(&mut self, name: &str, version: u64) {
        self.meta.insert(format!("{name}.json"), json!({"version": version}));
    }

    fn put(&mut self, name: &str, version: u64, bytes: Vec<u8>) {
        let mut meta = json!({"version": version});
        if self.pinned {
            meta["length"] = bytes.len().into();
            meta["hashes"] = json!({"sha256": sum(&SHA256, &bytes), "sha512": sum(&SHA512, &bytes)});
        }
        self.meta.insert(format!("{name}.json"), meta);
        let version = if self.consistent == Some(true) { format!("{version}.") } else { String::new() };
        self.files.insert(format!("metadata/{version}{name}.json"), bytes);
    }

    fn sign(&self, kind: &str, version: u64, more: Value, role: &Role) -> Vec<u8> {
        let header = json!({
            "_type": kind, "spec_version": self.spec_version, "version": version, "expires": self.expires,
        });
        let signed = with(header, &more);
        let payload = canonical(&signed);
        let signatures: Vec<Value> = role.keys.iter().map(|key| key.sign(payload.as_bytes())).collect();
        self.text(&json!({"signatures": signatures, "signed": signed}))
    }

    fn text(&self, document: &Value) -> Vec<u8> {
        if self.indent.is_empty() {
            return serde_json::to_vec(document).unwrap();
        }
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(self.indent);
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        serde::Serialize::serialize(document, &mut serializer).unwrap();
        text
    }

    /// Changes the signatures of the newest root.
    pub(super) fn resign(&mut self, change: impl FnOnce(&mut Vec<Value>)) {
        let name = format!("metadata/{}.root.json", self.version);
        let mut document: Value = serde_json::from_slice(&self.files[&name]).unwrap();
        change(document["signatures"].as_array_mut().unwrap());
        let text = self.text(&document);
        self.files.insert(name, text);
    }

    /// Leaves the newest root with one signature less than the root before demands.
    pub(super) fn weaken(&mut self) {
        let (mut left, holders) = (self.root.threshold - 1, self.root_ids.1.clone());
        self.resign(|signatures| {
            signatures.retain(|signature| {
                let counts = holders.iter().any(|id| signature["keyid"] == **id) && signature["sig"] != "";
                let keep = !counts || left > 0;
                left -= usize::from(counts && keep);
                keep
            });
        });
    }

    /// Writes all files below a directory.
    pub(super) fn save(&self, directory: &Path) {
        for (name, bytes) in &self.files {
            write(&directory.join(name), bytes);
        }
    }
}

/// The fields of both objects.
fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

pub(super) fn sum(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(algorithm, bytes).as_ref())
}

fn canonical(value: &Value) -> String {
    canonicalize(&serde_json::to_vec(value).unwrap(), 64).unwrap().into_owned()
}
