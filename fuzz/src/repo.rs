//! A repository small and quick enough to be published anew for every step of a script.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair};
use tuf_core::canonical::{canonicalize, to_wire};
use tuf_core::{Hashes, Key, PublicKey};

/// Files by their names below `metadata/`.
pub(crate) type Files = BTreeMap<String, Arc<[u8]>>;

pub(crate) const ROLES: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "dele"];

/// The time of all scripts.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_893_456_000, 0).unwrap()
}

/// The key pairs of all seeds that scripts use.
static SIGNERS: LazyLock<[Signer; 32]> = LazyLock::new(|| {
    let mut seed = 0;
    std::array::from_fn(|_| {
        seed += 1;
        Signer::new(seed - 1)
    })
});

pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    pub(crate) id: String,
    pub(crate) key: String,
}

impl Signer {
    pub(crate) fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = Key::from_public(&PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap()));
        Self { pair, id: key.id().as_str().to_owned(), key: key.canonical() }
    }

    /// The file for a canonical `signed`.
    pub(crate) fn sign(&self, signed: &str) -> Arc<[u8]> {
        let sig = HEXLOWER.encode(self.pair.sign(signed.as_bytes()).as_ref());
        let signed = to_wire(signed);
        format!(r#"{{"signatures":[{{"keyid":"{}","sig":"{sig}"}}],"signed":{signed}}}"#, self.id)
            .into_bytes()
            .into()
    }
}

pub(crate) fn signed(kind: &str, version: u64, fields: &str) -> String {
    format!(
        r#"{{"_type":"{kind}","expires":"2031-01-01T00:00:00Z","spec_version":"1.0.34","version":{version},{fields}}}"#
    )
}

pub(crate) fn meta(version: u64, bytes: Option<&[u8]>) -> String {
    match bytes {
        Some(bytes) => {
            let sha256 = Hashes::of(bytes).preferred().unwrap();
            let length = bytes.len();
            format!(r#"{{"hashes":{{"sha256":"{sha256}"}},"length":{length},"version":{version}}}"#)
        }
        None => format!(r#"{{"version":{version}}}"#),
    }
}

/// A change to what a role signs: at this position, so many bytes are replaced by these.
pub(crate) type Splice = (usize, usize, Vec<u8>);

/// What a role signed, by the key of which seed.
struct Published {
    seed: u8,
    text: String,
    bytes: Arc<[u8]>,
}

/// One key for each role; `a.txt` in targets, `d/x.txt` in dele.
pub(crate) struct Repo {
    pub(crate) versions: [u64; 5],
    pub(crate) seeds: [u8; 5],
    /// Whether timestamp and snapshot give lengths and hashes.
    pub(crate) hashes: bool,
    pub(crate) splices: [Option<Splice>; 5],
    pub(crate) files: Files,
    /// What each role signed last, by which key: most acts change one role, and signing takes the time.
    signed: [Option<Published>; 5],
}

impl Repo {
    pub(crate) fn new() -> Self {
        let mut repo = Self {
            versions: [1; 5],
            seeds: [1, 2, 3, 4, 5],
            hashes: true,
            splices: [const { None }; 5],
            files: Files::new(),
            signed: [const { None }; 5],
        };
        repo.publish();
        repo
    }

    /// New versions of a role and of all that point at it.
    pub(crate) fn release(&mut self, role: usize) {
        let first = if role == 0 { 0 } else { 1 };
        self.versions[first..=role].iter_mut().for_each(|version| *version = version.saturating_add(1));
        self.publish();
    }

    pub(crate) fn publish(&mut self) {
        let signers = self.signers();
        let dele = self.put(4, &self.payload(4, &signers, &[]));
        let targets = self.put(3, &self.payload(3, &signers, &[]));
        let snapshot = self.put(2, &self.payload(2, &signers, &[&dele, &targets]));
        self.put(1, &self.payload(1, &signers, &[&snapshot]));
        self.put(0, &self.payload(0, &signers, &[]));
    }

    fn signers(&self) -> [&'static Signer; 5] {
        self.seeds.map(|seed| &SIGNERS[usize::from(seed)])
    }

    fn payload(&self, role: usize, signers: &[&Signer; 5], named: &[&[u8]]) -> String {
        let meta = |role: usize, at: usize| {
            meta(self.versions[role], named.get(at).copied().filter(|_| self.hashes))
        };
        let file = r#"{"hashes":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},"length":1}"#;
        let keys = |range: std::ops::Range<usize>| {
            let mut keys: Vec<_> =
                signers[range].iter().map(|s| format!(r#""{}":{}"#, s.id, s.key)).collect();
            keys.sort();
            // Roles may come to share a key.
            keys.dedup();
            keys.join(",")
        };
        let fields = match role {
            0 => {
                let roles: Vec<_> = [0, 2, 3, 1]
                    .map(|role| {
                        format!(r#""{}":{{"keyids":["{}"],"threshold":1}}"#, ROLES[role], signers[role].id)
                    })
                    .into();
                format!(
                    r#""consistent_snapshot":true,"keys":{{{}}},"roles":{{{}}}"#,
                    keys(0..4),
                    roles.join(",")
                )
            }
            1 => format!(r#""meta":{{"snapshot.json":{}}}"#, meta(2, 0)),
            2 => format!(r#""meta":{{"dele.json":{},"targets.json":{}}}"#, meta(4, 0), meta(3, 1)),
            3 => format!(
                r#""delegations":{{"keys":{{{}}},"roles":[{{"keyids":["{}"],"name":"dele","paths":["d/*"],"terminating":false,"threshold":1}}]}},"targets":{{"a.txt":{file}}}"#,
                keys(4..5),
                signers[4].id
            ),
            _ => format!(r#""targets":{{"d/x.txt":{file}}}"#),
        };
        let kind = if role == 4 { "targets" } else { ROLES[role] };
        canonicalize(signed(kind, self.versions[role], &fields).as_bytes(), 64).unwrap().into_owned()
    }

    /// Publishes a role. A splice that leaves JSON is signed, any other replaces the whole file.
    fn put(&mut self, role: usize, payload: &str) -> Arc<[u8]> {
        let spliced = self.splices[role].as_ref().map(|(at, removed, inserted)| {
            let start = at % (payload.len() + 1);
            let end = (start + removed).min(payload.len());
            [&payload.as_bytes()[..start], inserted, &payload.as_bytes()[end..]].concat()
        });
        let canonical = match &spliced {
            Some(bytes) => canonicalize(bytes, 64).map(Cow::into_owned),
            None => Ok(payload.to_owned()),
        };
        let bytes = match canonical {
            Ok(text) => self.sign(role, text),
            Err(_) => spliced.unwrap_or_default().into(),
        };
        let name = match role {
            1 => "timestamp.json".to_owned(),
            role => format!("{}.{}.json", self.versions[role], ROLES[role]),
        };
        self.files.insert(name, Arc::clone(&bytes));
        bytes
    }

    fn sign(&mut self, role: usize, text: String) -> Arc<[u8]> {
        let seed = self.seeds[role];
        match &self.signed[role] {
            Some(last) if last.seed == seed && last.text == text => Arc::clone(&last.bytes),
            _ => {
                let bytes = self.signers()[role].sign(&text);
                self.signed[role] = Some(Published { seed, text, bytes: Arc::clone(&bytes) });
                bytes
            }
        }
    }
}

/// `signed` of every role of an honest repository, for seeds.
#[must_use]
pub fn honest_payloads() -> [(&'static str, String); 5] {
    let repo = Repo::new();
    let signers = repo.signers();
    let file = repo.files["1.root.json"].as_ref();
    std::array::from_fn(|role| (ROLES[role], repo.payload(role, &signers, &[file, file])))
}
