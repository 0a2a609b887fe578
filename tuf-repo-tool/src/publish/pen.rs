//! Signs, or measures what signing would write: a plan is the same transaction without the keys.

use std::collections::BTreeMap;

use serde::Serialize;
use tuf_core::{Draft, Key, Metadata, PublicKey, RoleName};

use super::Listed;
use crate::config::section;
use crate::edit::{Holder, Keyring};
use crate::error::Error;
use crate::keys::KeyUri;
use crate::signing::Signers;

/// The signatures that a role needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Need {
    /// How many roles need them: one, or hash bins that have the same keys.
    pub roles: usize,
    /// How many keys must sign.
    pub threshold: u32,
    /// Every key that may.
    pub keys: Vec<NeedKey>,
}

/// A key that may sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NeedKey {
    /// Its ID.
    pub keyid: String,
    /// Where `tuf-repo.toml` says it is.
    pub uri: Option<String>,
    /// Whether it can sign on this machine.
    pub here: bool,
}

impl Need {
    /// Whether the keys on this machine suffice.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let here = self.keys.iter().filter(|key| key.here).count();
        usize::try_from(self.threshold).is_ok_and(|threshold| here >= threshold)
    }
}

/// What a transaction writes with.
#[derive(Debug)]
pub(super) enum Pen<'a> {
    Sign(Signers<'a>),
    Measure(Keyring<'a>, BTreeMap<String, Need>),
}

impl Pen<'_> {
    /// The file of a role; unsigned but of the same length, if this only measures.
    pub(super) fn write<T: Metadata>(
        &mut self,
        role: &RoleName,
        value: T,
        uris: &[KeyUri],
        listed: &[Listed],
    ) -> Result<Vec<u8>, Error> {
        match self {
            Self::Sign(signers) => signers.sign(value, role, uris, listed),
            Self::Measure(keyring, needs) => {
                let mut holders: Vec<Holder> = Vec::new();
                for holder in listed.iter().flat_map(|listed| keyring.holders_of(uris, listed)) {
                    if !holders.iter().any(|known| known.id == holder.id) {
                        holders.push(holder);
                    }
                }
                let threshold = listed.iter().map(|listed| listed.role.threshold()).max().unwrap_or_default();
                let payload = Draft::new(value);
                let here = holders.iter().filter(|holder| holder.here).count();
                let count = here.max(usize::try_from(threshold).unwrap_or(usize::MAX));
                let of = |holder: &Holder| (holder.id.as_str().len(), signature_length(&holder.key));
                let lengths: Vec<_> = holders.iter().take(count).map(of).collect();
                let need = needs.entry(section(role).into_owned()).or_insert_with(|| Need {
                    roles: 0,
                    threshold,
                    keys: holders.into_iter().map(NeedKey::from).collect(),
                });
                need.roles += 1;
                Ok(measured(payload.payload(), &lengths))
            }
        }
    }
}

impl From<Holder> for NeedKey {
    fn from(holder: Holder) -> Self {
        let uri = holder.uri.as_ref().map(ToString::to_string);
        Self { keyid: holder.id.as_str().to_owned(), uri, here: holder.here }
    }
}

/// Hex digits of a signature. ECDSA's varies by a few bytes; this is the longest.
fn signature_length(key: &Key) -> usize {
    match key.public() {
        Some(PublicKey::EcdsaP256(_)) => 144,
        Some(PublicKey::EcdsaP384(_)) => 208,
        Some(PublicKey::Rsa { modulus, .. }) => modulus.len() * 2,
        _ => 128,
    }
}

/// A file as [`Draft::finish`] writes it, with signatures of zeros.
fn measured(payload: &str, signatures: &[(usize, usize)]) -> Vec<u8> {
    let signatures: Vec<_> = signatures
        .iter()
        .map(|(id, sig)| format!(r#"{{"keyid":"{}","sig":"{}"}}"#, "0".repeat(*id), "0".repeat(*sig)))
        .collect();
    format!(r#"{{"signatures":[{}],"signed":{payload}}}"#, signatures.join(",")).into_bytes()
}
