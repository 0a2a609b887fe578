//! Signatures that were made elsewhere: read in whatever form they come, checked, and put into a file.
//!
//! Nothing is believed of the text but that it may be a signature: each way of reading it is tried, and the one under
//! which it verifies over the payload is taken.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use pkcs8::der::pem;
use tuf_core::{
    BadSignature, Draft, Envelope, Key, KeyId, Keys, Limits, Metadata, PublicKey, RoleName, Root, Snapshot,
    Targets, Timestamp, read_unverified,
};

use crate::keys::ecdsa_der_of_halves;

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Any of the others: the one that verifies.
    #[default]
    Auto,
    /// Base64 (RFC 4648, section 4), with or without padding and line breaks.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// PEM with any label.
    Pem,
    /// The bytes themselves.
    Raw,
}

/// A signature that cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetachedError {
    /// It is not written in the form it was said to have.
    #[error("the signature cannot be read as {format}")]
    Format {
        /// The form: "hex", "base64", "PEM".
        format: &'static str,
    },
    /// The file is no TUF metadata.
    #[error("the file to be signed cannot be read")]
    Metadata(#[source] tuf_core::Error),
    /// The file that should say who may sign does not name the role.
    #[error("it names no role {role}")]
    NoRole {
        /// The role.
        role: String,
    },
    /// It is no signature by this key over these bytes.
    #[error("the signature does not verify: key {keyid} ({scheme}) did not make it over this payload")]
    Unverified {
        /// The key's ID.
        keyid: KeyId,
        /// The key's scheme.
        scheme: String,
    },
}

impl DetachedError {
    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Format { .. } => Some("leave --format out to have the form found out".to_owned()),
            Self::Metadata(_) => None,
            Self::NoRole { .. } => Some(
                "a root names root, targets, snapshot and timestamp; for other roles give the file that delegates to them"
                    .to_owned(),
            ),
            Self::Unverified { scheme, .. } => Some(format!(
                "sign exactly the bytes that `tuf-repo payload` prints, with {scheme}{}; no newline may be added",
                match scheme.as_str() {
                    "rsassa-pss-sha256" => " (salt of 32 bytes, MGF1 with SHA-256)",
                    "ed25519" => " (pure, not prehashed)",
                    _ => " (hashed once, r and s as ASN.1 DER or side by side)",
                }
            )),
        }
    }
}

/// The bytes of the signature in `text` by `key` over `payload`, verified.
///
/// # Errors
/// [`DetachedError::Format`], [`DetachedError::Unverified`].
pub fn decode(key: &Key, payload: &[u8], text: &[u8], format: Format) -> Result<Vec<u8>, DetachedError> {
    let candidates = match format {
        Format::Auto => [Format::Raw, Format::Hex, Format::Base64, Format::Pem]
            .into_iter()
            .filter_map(|format| read(text, format).ok())
            .collect(),
        format => vec![read(text, format)?],
    };
    let ecdsa = matches!(key.public(), Some(PublicKey::EcdsaP256(_) | PublicKey::EcdsaP384(_)));
    let halves = candidates.iter().filter(|_| ecdsa).filter_map(|bytes| ecdsa_der_of_halves(bytes));
    let verified = candidates.iter().cloned().chain(halves).find(|bytes| key.verify(payload, bytes));
    verified.ok_or_else(|| DetachedError::Unverified { keyid: key.id(), scheme: key.scheme().to_owned() })
}

fn read(text: &[u8], format: Format) -> Result<Vec<u8>, DetachedError> {
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match format {
        Format::Auto | Format::Raw => Some(text.to_vec()).ok_or("raw bytes"),
        Format::Hex => HEXLOWER_PERMISSIVE.decode(&bare).ok().ok_or("hex"),
        Format::Base64 => BASE64.decode(&bare).or_else(|_| BASE64_NOPAD.decode(&bare)).ok().ok_or("base64"),
        Format::Pem => pem::decode_vec(text.trim_ascii()).map(|(_, bytes)| bytes).ok().ok_or("PEM"),
    }
    .map_err(|format| DetachedError::Format { format })
}

/// The keys that a root, or the targets metadata of a delegating role, lists for a role.
///
/// # Errors
/// [`DetachedError::Metadata`], [`DetachedError::NoRole`].
pub fn authorised(authority: &Envelope, role: &RoleName, limits: &Limits) -> Result<Keys, DetachedError> {
    let none = || DetachedError::NoRole { role: role.to_string() };
    let (role_keys, mut keys) = match authority.claims().kind.as_deref() {
        Some("targets") => {
            let targets: Targets = read_unverified(authority, limits).map_err(DetachedError::Metadata)?;
            let delegations = targets.delegations.ok_or_else(none)?;
            (delegations.role_keys(role).ok_or_else(none)?, delegations.keys.clone())
        }
        _ => {
            let root: Root = read_unverified(authority, limits).map_err(DetachedError::Metadata)?;
            let role = role.top_level().ok_or_else(none)?;
            (root.role(role).clone(), root.keys)
        }
    };
    keys.retain(|id, _| role_keys.keyids.contains(id));
    Ok(keys)
}

/// The file with this signature added, or in place of the one by the same key ID. The signature is verified again.
///
/// # Errors
/// [`DetachedError::Metadata`], [`DetachedError::Unverified`].
pub fn attach(
    envelope: &Envelope,
    limits: &Limits,
    keyid: &KeyId,
    key: &Key,
    signature: &[u8],
) -> Result<Vec<u8>, DetachedError> {
    match envelope.claims().kind.as_deref() {
        Some("timestamp") => attach_to::<Timestamp>(envelope, limits, keyid, key, signature),
        Some("snapshot") => attach_to::<Snapshot>(envelope, limits, keyid, key, signature),
        Some("targets") => attach_to::<Targets>(envelope, limits, keyid, key, signature),
        // Of an unknown kind the error says which were expected.
        _ => attach_to::<Root>(envelope, limits, keyid, key, signature),
    }
}

fn attach_to<T: Metadata>(
    envelope: &Envelope,
    limits: &Limits,
    keyid: &KeyId,
    key: &Key,
    signature: &[u8],
) -> Result<Vec<u8>, DetachedError> {
    let mut draft = Draft::<T>::reopen(envelope, limits).map_err(DetachedError::Metadata)?;
    draft.attach(keyid, key, signature).map_err(|_: BadSignature| DetachedError::Unverified {
        keyid: keyid.clone(),
        scheme: key.scheme().to_owned(),
    })?;
    Ok(draft.finish().into_bytes())
}
