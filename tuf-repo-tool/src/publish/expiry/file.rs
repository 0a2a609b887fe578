//! The file of the cache: a line of JSON, then 24 bytes for each hash bin, then the sha256 of all that. Thousands of rows are
//! written at each publish, so they are not text.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tuf_client::durable::{Access, DurableError, Placed};
use tuf_core::bins::HashBins;
use tuf_core::{Key, KeyId, RoleKeys, RoleName};

use super::{Bins, Expiries, Row, Signed};
use crate::edit::NamedBins;
use crate::publish::Listed;
use crate::repository::Repository;

const FORMAT: u32 = 2;
const SUM: usize = 32;

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    snapshot: String,
    /// By name: the delegator (empty for `targets`), version, expiry, number of targets.
    branches: BTreeMap<String, (String, u64, i64, u64)>,
    bins: Vec<BinsHeader>,
}

#[derive(Serialize, Deserialize)]
struct BinsHeader {
    delegator: String,
    count: u32,
    signed: Option<SignedHeader>,
}

#[derive(Serialize, Deserialize)]
struct SignedHeader {
    files: String,
    keys: BTreeMap<String, Value>,
    keyids: Vec<String>,
    threshold: u32,
}

impl Expiries {
    /// Where it is kept.
    pub(crate) fn path(repository: &Repository) -> PathBuf {
        repository.state().join("roles")
    }

    /// What was kept, whether it is of what is published or not.
    pub(crate) fn load(repository: &Repository) -> Self {
        let bytes = std::fs::read(Self::path(repository)).unwrap_or_default();
        Self::parse(&bytes).unwrap_or_default()
    }

    /// Keeps it. Not synced: a torn one is made again.
    pub(in crate::publish) fn save(&self, repository: &Repository) -> Result<(), DurableError> {
        let mut file = Placed::create(&Self::path(repository), Access::Private)?;
        file.append(&self.to_bytes())?;
        file.finish_unsynced()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let branch = |(role, (delegator, row)): (&RoleName, &(Option<RoleName>, Row))| {
            let delegator = delegator.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
            (role.as_str().to_owned(), (delegator, row.version, row.expires, row.targets))
        };
        let bins = |(delegator, bins): (&RoleName, &Bins)| BinsHeader {
            delegator: delegator.as_str().to_owned(),
            count: bins.named.count(),
            signed: bins.signed.as_ref().and_then(SignedHeader::of),
        };
        let header = Header {
            format: FORMAT,
            snapshot: self.snapshot.clone(),
            branches: self.branches.iter().map(branch).collect(),
            bins: self.bins.iter().map(bins).collect(),
        };
        // Such a value always is JSON; if not, the file is as good as none.
        let mut bytes = serde_json::to_vec(&header).unwrap_or_default();
        bytes.push(b'\n');
        for row in self.bins.values().flat_map(|bins| &bins.rows) {
            bytes.extend_from_slice(&row.version.to_le_bytes());
            bytes.extend_from_slice(&row.expires.to_le_bytes());
            bytes.extend_from_slice(&row.targets.to_le_bytes());
        }
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        if digest(&SHA256, body).as_ref() != sum {
            return None;
        }
        let end = body.iter().position(|byte| *byte == b'\n')?;
        let header: Header = serde_json::from_slice(body.get(..end)?).ok()?;
        if header.format != FORMAT {
            return None;
        }
        let mut found = Self { snapshot: header.snapshot, ..Self::default() };
        for (role, (delegator, version, expires, targets)) in header.branches {
            let delegator = RoleName::new(&delegator).ok();
            found.branches.insert(RoleName::new(&role).ok()?, (delegator, Row { version, expires, targets }));
        }
        let mut rows = body.get(end + 1..)?.chunks_exact(24).map(Row::parse);
        for bins in header.bins {
            let delegator = RoleName::new(&bins.delegator).ok()?;
            let named = NamedBins::new(&delegator, HashBins::new(bins.count).ok()?);
            let count = usize::try_from(bins.count).ok()?;
            let rows: Vec<Row> = rows.by_ref().take(count).collect::<Option<_>>()?;
            if rows.len() != count {
                return None;
            }
            let signed = match bins.signed {
                Some(signed) => Some(signed.parse()?),
                None => None,
            };
            found.bins.insert(delegator, Bins { named, rows, signed });
        }
        rows.next().is_none().then_some(found)
    }
}

impl Row {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (targets, _) = rest.split_first_chunk()?;
        Some(Self {
            version: u64::from_le_bytes(*version),
            expires: i64::from_le_bytes(*expires),
            targets: u64::from_le_bytes(*targets),
        })
    }
}

impl SignedHeader {
    fn of(signed: &Signed) -> Option<Self> {
        let key = |(id, key): (&KeyId, &Key)| Some((id.as_str().to_owned(), key.to_json().ok()?));
        Some(Self {
            files: signed.files.clone(),
            keys: signed.listed.keys.iter().map(key).collect::<Option<_>>()?,
            keyids: signed.listed.role.keyids.iter().map(|id| id.as_str().to_owned()).collect(),
            threshold: signed.listed.role.threshold(),
        })
    }

    fn parse(self) -> Option<Signed> {
        let key = |(id, key): (&String, &Value)| Some((KeyId::new(id), Key::from_json(key).ok()?));
        let keys = self.keys.iter().map(key).collect::<Option<_>>()?;
        let keyids = self.keyids.iter().map(|id| KeyId::new(id)).collect();
        let listed = Listed { keys, role: RoleKeys::new(keyids, self.threshold) };
        Some(Signed { files: self.files, listed })
    }
}
