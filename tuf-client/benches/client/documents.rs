//! Reading and verifying one file in one process: ours, serde_json reading the same bytes into borrowed structs, and the
//! bare signature.

use std::collections::HashMap;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tuf_core::trust::{Authentic, Authority};
use tuf_core::{Envelope, Keys, Limits, RoleKeys, RoleName, Snapshot, Targets};

use crate::data::{authority, key};
use crate::floor::Bare;

/// Of this at least the median is taken.
const LONG: Duration = Duration::from_millis(300);

pub(crate) const WAYS: [&str; 3] = ["ours", "serde_json", "signature"];

/// A file, and who signed it: `snapshot`, `bins` or `bin`.
pub(crate) struct Document {
    signer: String,
    key: String,
    authority: (Keys, RoleKeys),
    bytes: Arc<[u8]>,
}

impl Document {
    pub(crate) fn open(signer: &str, path: &Path) -> Self {
        let bytes: Arc<[u8]> = fs::read(path).unwrap().into();
        let document =
            Self { signer: signer.to_owned(), key: key(signer), authority: authority(signer), bytes };
        assert_eq!(document.serde(), document.ours(), "both read the same");
        document
    }

    /// Does it so often, for counting instructions.
    pub(crate) fn repeat(&self, way: &str, times: u32) {
        // Where the signed text is was found before.
        let bare = Bare::new(&self.bytes, &self.key);
        for _ in 0..times {
            self.once(way, &bare);
        }
    }

    /// The median time.
    pub(crate) fn time(&self, way: &str) -> Duration {
        let bare = Bare::new(&self.bytes, &self.key);
        let (mut times, start) = (Vec::new(), Instant::now());
        while times.len() < 21 || start.elapsed() < LONG {
            let start = Instant::now();
            self.once(way, &bare);
            times.push(start.elapsed());
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    fn once(&self, way: &str, bare: &Bare<'_>) {
        match way {
            "ours" => drop(black_box(self.ours())),
            "serde_json" => drop(black_box(self.serde())),
            "signature" => bare.verify(),
            _ => panic!("{way}"),
        }
    }

    /// Bytes to a verified value; the number of entries.
    fn ours(&self) -> usize {
        let limits = Limits::default();
        let name = RoleName::new("measured").unwrap();
        let (keys, role) = &self.authority;
        let authority = Authority::new(&name, 1, keys, role);
        let envelope = Envelope::parse(Arc::clone(&self.bytes), &limits).unwrap();
        if self.signer == "snapshot" {
            let value: Authentic<Snapshot> = authority.verify(&name, &envelope, &limits).unwrap();
            return black_box(&value).value().meta.len();
        }
        let value: Authentic<Targets> = authority.verify(&name, &envelope, &limits).unwrap();
        let value = black_box(&value).value();
        value.targets.len() + usize::from(value.delegations.is_some())
    }

    /// Bytes to a value, nothing verified; the number of entries.
    fn serde(&self) -> usize {
        if self.signer == "snapshot" {
            let file: File<Meta<'_>> = serde_json::from_slice(&self.bytes).unwrap();
            return black_box(&file).signed.meta.len();
        }
        let file: File<Roles<'_>> = serde_json::from_slice(&self.bytes).unwrap();
        let signed = &black_box(&file).signed;
        signed.targets.len() + usize::from(signed.delegations.is_some())
    }
}

#[derive(Deserialize)]
struct File<T> {
    signed: T,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    meta: HashMap<&'a str, Version>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is what is measured")]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
struct Roles<'a> {
    #[serde(borrow)]
    targets: HashMap<&'a str, Target<'a>>,
    #[serde(borrow)]
    delegations: Option<Delegations<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is what is measured")]
struct Target<'a> {
    length: u64,
    #[serde(borrow)]
    hashes: HashMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is what is measured")]
struct Delegations<'a> {
    #[serde(borrow)]
    roles: Vec<Delegation<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "reading is what is measured")]
struct Delegation<'a> {
    name: &'a str,
    #[serde(borrow)]
    keyids: Vec<&'a str>,
    #[serde(borrow)]
    path_hash_prefixes: Vec<&'a str>,
    terminating: bool,
    threshold: u32,
}
