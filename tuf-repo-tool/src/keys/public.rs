//! Public halves: read from the texts people hand around, and shown by the names other tools have for them.

use std::fs::File;
use std::path::Path;

use data_encoding::BASE64_NOPAD;
use pkcs8::der::pem;
use ring::digest::{SHA256, digest};
use tuf_core::{Key, PublicKey};

use super::{KeyError, file};

/// `SubjectPublicKeyInfo` of an Ed25519 key, up to the key's 32 bytes (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Reads the public half in `path`: a TUF key object in JSON, or a PEM `PUBLIC KEY`.
///
/// # Errors
/// [`KeyError::Io`], [`KeyError::Damaged`].
pub fn read(path: &Path) -> Result<Key, KeyError> {
    let file = File::open(path).map_err(|error| KeyError::io("read", path, error))?;
    parse(&file::read(file, path)?).map_err(|reason| KeyError::damaged(path, reason))
}

/// Reads a public half: a TUF key object in JSON, or a PEM `PUBLIC KEY`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn parse(text: &str) -> Result<Key, String> {
    if text.trim_start().starts_with("-----BEGIN") {
        return from_pem(text.trim()).ok_or_else(|| {
            "no PEM \"PUBLIC KEY\" of an Ed25519, ECDSA (P-256, P-384) or RSA key".to_owned()
        });
    }
    let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let key = Key::from_json(&value).map_err(|error| error.to_string())?;
    match key.public() {
        Some(_) => Ok(key),
        None => Err(format!("no usable public key ({} / {})", key.keytype(), key.scheme())),
    }
}

fn from_pem(text: &str) -> Option<Key> {
    let (label, der) = pem::decode_vec(text.as_bytes()).ok()?;
    if label != "PUBLIC KEY" {
        return None;
    }
    if let Some(bytes) = der.strip_prefix(&ED25519_SPKI) {
        return Some(Key::from_public(&PublicKey::Ed25519(bytes.try_into().ok()?)));
    }
    // The PEM says which it is; the scheme has to be the one that belongs to it.
    [("ecdsa", "ecdsa-sha2-nistp256"), ("ecdsa", "ecdsa-sha2-nistp384"), ("rsa", "rsassa-pss-sha256")]
        .into_iter()
        .find_map(|(keytype, scheme)| {
            let object =
                serde_json::json!({"keytype": keytype, "scheme": scheme, "keyval": {"public": text}});
            Key::from_json(&object).ok()?.public().map(Key::from_public)
        })
}

/// An uncompressed EC point (SEC1), or the 32 bytes of an Ed25519 key.
pub(super) fn from_point(point: &[u8]) -> Option<PublicKey> {
    match (point.first(), point.len()) {
        (_, 32) => Some(PublicKey::Ed25519(point.try_into().ok()?)),
        (Some(4), 65) => Some(PublicKey::EcdsaP256(point.into())),
        (Some(4), 97) => Some(PublicKey::EcdsaP384(point.into())),
        _ => None,
    }
}

/// The key as OpenSSH writes it (RFC 4253, section 6.6; RFC 5656; RFC 8709); `None` if it has no form for it.
#[must_use]
pub fn openssh_blob(public: &PublicKey) -> Option<Vec<u8>> {
    match public {
        PublicKey::Ed25519(bytes) => fields(&[b"ssh-ed25519", bytes]),
        PublicKey::EcdsaP256(point) => fields(&[b"ecdsa-sha2-nistp256", b"nistp256", point]),
        PublicKey::EcdsaP384(point) => fields(&[b"ecdsa-sha2-nistp384", b"nistp384", point]),
        PublicKey::Rsa { modulus, exponent } => fields(&[b"ssh-rsa", &mpint(exponent), &mpint(modulus)]),
        _ => None,
    }
}

/// The fingerprint that `ssh-keygen -l` and `ssh-add -l` show.
#[must_use]
pub fn openssh_fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(digest(&SHA256, blob).as_ref()))
}

/// A number as RFC 4251, section 5, writes it: without leading zeros, but with one before a high bit.
fn mpint(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = number.get(start..).unwrap_or_default();
    let sign: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    [sign, number].concat()
}

/// Strings, each after its length (RFC 4251, section 5).
pub(super) fn fields(strings: &[&[u8]]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for string in strings {
        out.extend(u32::try_from(string.len()).ok()?.to_be_bytes());
        out.extend(*string);
    }
    Some(out)
}
