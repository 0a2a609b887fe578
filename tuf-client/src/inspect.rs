//! Everything that one metadata file says, before anyone trusts it.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::{BASE64, HEXLOWER};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use tuf_core::trust::Authority;
use tuf_core::{
    Delegated, Delegations, Envelope, Error, ErrorKind, Extra, Header, Key, KeyId, Keys, Limits, MetaFile,
    PublicKey, RoleKeys, Root, Scope, Snapshot, Strings, Targets, Timestamp, TopLevel, canonical,
    read_unverified,
};

use crate::text::{span, table, utc};

/// `SubjectPublicKeyInfo` of an Ed25519 key, up to the key's 32 bytes (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a file says. It serialises with these field names.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// `_type`: `root`, `timestamp`, `snapshot` or `targets` (delegated roles say `targets` too).
    pub kind: &'static str,
    /// The version.
    pub version: u64,
    /// The specification followed.
    pub spec_version: String,
    /// When it expires.
    pub expires: String,
    /// Seconds until then, negative if past.
    pub expires_in: i64,
    /// The file's size.
    pub bytes: usize,
    /// The file's SHA-256, hex.
    pub sha256: String,
    /// Whether the file is compact canonical JSON, as this project writes it.
    pub canonical: bool,
    /// IDs of the keys in `signatures`.
    pub signatures: Vec<String>,
    /// What the signatures come to; absent if nothing was given to check them by.
    pub verification: Option<Checked>,
    /// `consistent_snapshot`, of a root.
    pub consistent_snapshot: Option<bool>,
    /// The keys that the file lists.
    pub keys: Vec<KeyInfo>,
    /// The roles it gives keys to.
    pub roles: Vec<RoleInfo>,
    /// The files that a timestamp or a snapshot lists.
    pub meta: Vec<MetaInfo>,
    /// The number of targets.
    pub targets: Option<usize>,
    /// Names of fields that the specification does not have.
    pub unknown_fields: Vec<String>,
}

/// The signatures under one authority.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// Whose keys: `root 3`.
    pub by: String,
    /// Whether enough distinct keys signed.
    pub met: bool,
    /// How many must sign.
    pub threshold: u32,
    /// Key IDs with a valid signature.
    pub signed: Vec<String>,
    /// Key IDs with a signature that does not verify.
    pub invalid: Vec<String>,
    /// Key IDs without a signature.
    pub missing: Vec<String>,
}

/// A key.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its ID in this file.
    pub id: String,
    /// Whether the ID is the one the specification demands of writers.
    pub standard_id: bool,
    /// `keytype`.
    pub keytype: String,
    /// `scheme`.
    pub scheme: String,
    /// SHA-256 of the key as DER (`SubjectPublicKeyInfo`), hex, as openssl and others show it; absent if this
    /// program cannot use the key.
    pub fingerprint: Option<String>,
}

/// A role that gets keys.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RoleInfo {
    /// The role.
    pub name: String,
    /// How many distinct keys must sign.
    pub threshold: u32,
    /// The keys that may.
    pub keyids: Vec<String>,
    /// Path patterns, of a delegation.
    pub paths: Option<Vec<String>>,
    /// Hash prefixes, of a delegation.
    pub path_hash_prefixes: Option<Vec<String>>,
    /// Whether the search ends with it, of a delegation.
    pub terminating: Option<bool>,
}

/// A file that is listed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MetaInfo {
    /// The name, such as `targets.json`.
    pub file: String,
    /// The version.
    pub version: u64,
    /// The length in bytes, if it says.
    pub length: Option<u64>,
    /// The SHA-256, hex, if it says.
    pub sha256: Option<String>,
}

/// Reads a file and says everything. A root's signatures are checked by its own keys; those of another
/// top-level role by `root`, if it is given (its bytes; nothing checks that root here).
///
/// # Errors
/// If the file, or `root`, is no metadata.
pub fn inspect(bytes: &[u8], root: Option<&[u8]>, now: DateTime<Utc>) -> Result<Inspection, Error> {
    let limits = Limits::default();
    let envelope = Envelope::parse(bytes, &limits)?;
    let kind = envelope.claims().kind.unwrap_or_default();
    let Some(kind) = TopLevel::ALL.into_iter().find(|known| known.name() == kind) else {
        let kind: String = kind.chars().take(40).collect();
        return Err(ErrorKind::Type { expected: "root, timestamp, snapshot or targets", found: kind }.into());
    };
    let mut said = match kind {
        TopLevel::Root => of_root(&read_unverified(&envelope, &limits)?, now),
        TopLevel::Timestamp => of_timestamp(&read_unverified(&envelope, &limits)?, now),
        TopLevel::Snapshot => of_snapshot(&read_unverified(&envelope, &limits)?, now),
        _ => of_targets(&read_unverified(&envelope, &limits)?, now),
    };
    let given = match root {
        Some(root) => Some(read_unverified::<Root>(&Envelope::parse(root, &limits)?, &limits)?),
        None if kind == TopLevel::Root => Some(read_unverified(&envelope, &limits)?),
        None => None,
    };
    said.verification = given.map(|root| check(&envelope, &root, kind));
    said.kind = kind.name();
    said.bytes = bytes.len();
    said.sha256 = HEXLOWER.encode(digest(&SHA256, bytes).as_ref());
    said.canonical = canonical::canonicalize(bytes, limits.json_depth)
        .is_ok_and(|text| canonical::to_wire(&text).as_bytes() == bytes);
    said.signatures = envelope.signatures().iter().map(|signature| signature.keyid().to_string()).collect();
    Ok(said)
}

fn check(envelope: &Envelope, root: &Root, role: TopLevel) -> Checked {
    let by = TopLevel::Root.role();
    let found = Authority::new(&by, root.header.version, &root.keys, root.role(role)).check(envelope);
    let ids = |ids: &[KeyId]| ids.iter().map(ToString::to_string).collect();
    Checked {
        by: format!("root {}", root.header.version),
        met: found.is_met(),
        threshold: found.threshold,
        signed: ids(&found.signed),
        invalid: ids(&found.invalid),
        missing: ids(&found.missing),
    }
}

/// What every kind says.
fn common(header: &Header, extra: &Extra, now: DateTime<Utc>) -> Inspection {
    Inspection {
        kind: "",
        version: header.version,
        spec_version: header.spec_version.clone(),
        expires: utc(&header.expires),
        expires_in: header.expires.signed_duration_since(now).num_seconds(),
        bytes: 0,
        sha256: String::new(),
        canonical: false,
        signatures: Vec::new(),
        verification: None,
        consistent_snapshot: None,
        keys: Vec::new(),
        roles: Vec::new(),
        meta: Vec::new(),
        targets: None,
        unknown_fields: extra.keys().map(|name| name.escape_debug().to_string()).collect(),
    }
}

fn of_root(root: &Root, now: DateTime<Utc>) -> Inspection {
    let roles = TopLevel::ALL.map(|role| role_info(role.name(), root.role(role)));
    let others =
        root.role_names().filter(|role| role.top_level().is_none()).map(|role| format!("roles.{role}"));
    let mut said = common(&root.header, &root.extra, now);
    said.unknown_fields.extend(others);
    Inspection {
        consistent_snapshot: Some(root.consistent_snapshot),
        keys: key_infos(&root.keys),
        roles: roles.into(),
        ..said
    }
}

fn of_timestamp(timestamp: &Timestamp, now: DateTime<Utc>) -> Inspection {
    let mut said = common(&timestamp.header, &timestamp.extra, now);
    said.unknown_fields
        .extend(timestamp.meta_extra.keys().map(|name| format!("meta.{}", name.escape_debug())));
    Inspection { meta: vec![meta_info("snapshot.json", &timestamp.snapshot)], ..said }
}

fn of_snapshot(snapshot: &Snapshot, now: DateTime<Utc>) -> Inspection {
    let meta = snapshot.meta.iter().map(|(file, meta)| meta_info(&file, &meta)).collect();
    Inspection { meta, ..common(&snapshot.header, &snapshot.extra, now) }
}

fn of_targets(targets: &Targets, now: DateTime<Utc>) -> Inspection {
    let mut said = common(&targets.header, &targets.extra, now);
    said.targets = Some(targets.targets.len());
    if let Some(delegations) = &targets.delegations {
        said.unknown_fields
            .extend(delegations.extra.keys().map(|name| format!("delegations.{}", name.escape_debug())));
        said.keys = key_infos(&delegations.keys);
        said.roles = delegated(delegations);
    }
    said
}

fn owned(strings: &Strings) -> Vec<String> {
    strings.iter().map(Cow::into_owned).collect()
}

fn delegated(delegations: &Delegations) -> Vec<RoleInfo> {
    match &delegations.roles {
        Delegated::Roles(roles) => roles
            .iter()
            .map(|role| {
                let mut info = role_info(&role.name.to_string(), &role.keys);
                info.terminating = Some(role.terminating);
                match &role.scope {
                    Scope::Paths(paths) => info.paths = Some(owned(paths)),
                    Scope::PathHashPrefixes(prefixes) => info.path_hash_prefixes = Some(owned(prefixes)),
                    _ => {}
                }
                info
            })
            .collect(),
        Delegated::Succinct(bins) => {
            // All alike but for their number: the first stands for them.
            let first =
                bins.role_names().next().map_or_else(String::new, |name| format!("{name} and on (TAP 15)"));
            vec![RoleInfo { terminating: Some(true), ..role_info(&first, &bins.keys) }]
        }
        _ => Vec::new(),
    }
}

fn role_info(name: &str, keys: &RoleKeys) -> RoleInfo {
    RoleInfo {
        name: name.to_owned(),
        threshold: keys.threshold(),
        keyids: keys.keyids.iter().map(ToString::to_string).collect(),
        paths: None,
        path_hash_prefixes: None,
        terminating: None,
    }
}

fn meta_info(file: &str, meta: &MetaFile) -> MetaInfo {
    let sha256 = meta.hashes.as_ref().and_then(|hashes| hashes.sha256()).map(|sum| HEXLOWER.encode(sum));
    let file = file.escape_debug().to_string();
    MetaInfo { file, version: meta.version, length: meta.length, sha256 }
}

fn key_infos(keys: &Keys) -> Vec<KeyInfo> {
    keys.iter()
        .map(|(id, key)| KeyInfo {
            id: id.to_string(),
            standard_id: key.id() == *id,
            keytype: key.keytype().escape_debug().to_string(),
            scheme: key.scheme().escape_debug().to_string(),
            fingerprint: key.public().and_then(fingerprint),
        })
        .collect()
}

/// The SHA-256 of a key's `SubjectPublicKeyInfo`, hex.
#[must_use]
pub fn fingerprint(public: &PublicKey) -> Option<String> {
    let der = match public {
        PublicKey::Ed25519(bytes) => [&ED25519_SPKI[..], bytes].concat(),
        // The others are written as PEM, which is that very DER.
        _ => {
            let json = Key::from_public(public).to_json().ok()?;
            let pem = json.get("keyval")?.get("public")?.as_str()?;
            let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
            BASE64.decode(base64.as_bytes()).ok()?
        }
    };
    Some(HEXLOWER.encode(digest(&SHA256, &der).as_ref()))
}

impl Inspection {
    /// The inspection as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let left = TimeDelta::try_seconds(self.expires_in).unwrap_or_default();
        let expiry = match self.expires_in {
            1.. => format!("in {}", span(left)),
            _ => format!("{} ago", span(-left)),
        };
        let form = if self.canonical { "canonical JSON" } else { "not canonical JSON" };
        let mut out = format!(
            "{} {}, specification {}\nexpires {}, {expiry}\n{} bytes, {form}, sha256 {}\n",
            self.kind,
            self.version,
            self.spec_version.escape_debug(),
            self.expires,
            self.bytes,
            self.sha256
        );
        if let Some(consistent) = self.consistent_snapshot {
            out += &format!("consistent_snapshot {}\n", if consistent { "on" } else { "off" });
        }
        if let Some(targets) = self.targets {
            out += &format!("{targets} targets\n");
        }
        if !self.unknown_fields.is_empty() {
            out += &format!("unknown fields: {}\n", self.unknown_fields.join(", "));
        }
        out += &self.signatures_text();
        let rows = |rows: Vec<[String; 5]>| rows.into_iter().map(Vec::from).collect::<Vec<_>>();
        if !self.keys.is_empty() {
            let mut lines = vec![["  ID", "TYPE", "SCHEME", "SHA256 OF DER", ""].map(str::to_owned)];
            lines.extend(self.keys.iter().map(|key| {
                let print = key.fingerprint.clone().unwrap_or_else(|| "unusable".to_owned());
                let odd = if key.standard_id { "" } else { "ID is not the specification's" };
                [format!("  {}", key.id), key.keytype.clone(), key.scheme.clone(), print, odd.to_owned()]
            }));
            out += &format!("\nkeys\n{}", table(&rows(lines), &[]));
        }
        if !self.roles.is_empty() {
            let heading = if self.kind == "root" { "roles" } else { "delegations" };
            let lines = self.roles.iter().map(|role| {
                let ids: Vec<String> = role.keyids.iter().map(|id| id.chars().take(8).collect()).collect();
                let end = if role.terminating == Some(true) { "terminating" } else { "" };
                let needs = format!("{} of {}", role.threshold, role.keyids.len());
                [format!("  {}", role.name), needs, ids.join(" "), end.to_owned(), role.scope_text()]
            });
            out += &format!("\n{heading}\n{}", table(&rows(lines.collect()), &[]));
        }
        if !self.meta.is_empty() {
            let lines = self.meta.iter().map(|meta| {
                let length = meta.length.map(|length| format!("{length} bytes")).unwrap_or_default();
                let sum = meta.sha256.clone().unwrap_or_default();
                [format!("  {}", meta.file), meta.version.to_string(), length, sum, String::new()]
            });
            out += &format!("\nfiles\n{}", table(&rows(lines.collect()), &[1, 2]));
        }
        out
    }

    fn signatures_text(&self) -> String {
        let Some(checked) = &self.verification else {
            return format!("signatures (unchecked): {}\n", or_none(&self.signatures));
        };
        let verdict = if checked.met { "enough" } else { "NOT enough" };
        let mut out = format!(
            "{verdict} valid signatures: {} of {} needed by {}\n",
            checked.signed.len(),
            checked.threshold,
            checked.by
        );
        for (name, ids) in
            [("valid", &checked.signed), ("invalid", &checked.invalid), ("did not sign", &checked.missing)]
        {
            if !ids.is_empty() {
                out += &format!("  {name}: {}\n", ids.join(", "));
            }
        }
        let known =
            |id: &&String| [&checked.signed, &checked.invalid].into_iter().any(|ids| ids.contains(id));
        let others: Vec<_> = self.signatures.iter().filter(|id| !known(id)).cloned().collect();
        if !others.is_empty() {
            out += &format!("  by other keys: {}\n", others.join(", "));
        }
        out
    }
}

impl RoleInfo {
    fn scope_text(&self) -> String {
        let scope = self.paths.as_ref().or(self.path_hash_prefixes.as_ref());
        let shown =
            scope.map(|scope| scope.iter().take(4).map(|text| text.escape_debug().to_string()).collect());
        let shown: Vec<String> = shown.unwrap_or_default();
        let more = if scope.is_some_and(|scope| scope.len() > shown.len()) { ", …" } else { "" };
        let hashed = if self.path_hash_prefixes.is_some() { "hash " } else { "" };
        format!("{hashed}{}{more}", shown.join(", "))
    }
}

fn or_none(ids: &[String]) -> String {
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}
