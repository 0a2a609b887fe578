//! Making metadata: the only writer in the workspace. Signing is without I/O too:
//! draft -> payload -> signatures attached one by one, each verified -> file.
//!
//! ```
//! use chrono::{TimeDelta, DateTime};
//! use ring::signature::{Ed25519KeyPair, KeyPair};
//! use tuf_core::{Draft, Key, PublicKey, Root, TopLevel};
//!
//! let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
//! let key = Key::from_public(&PublicKey::Ed25519(pair.public_key().as_ref().try_into()?));
//! let mut root = Root::new(DateTime::UNIX_EPOCH + TimeDelta::days(365));
//! for role in TopLevel::ALL {
//!     root.set_role(role, [&key], 1);
//! }
//! let mut draft = Draft::new(root);
//! let signature = pair.sign(draft.payload().as_bytes());
//! draft.attach(&key.id(), &key, signature.as_ref())?;
//! assert!(draft.finish().starts_with(r#"{"signatures":[{"keyid":"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use data_encoding::HEXLOWER;

use crate::envelope::{Envelope, Signature};
use crate::error::Error;
use crate::json::Extra;
use crate::key::Key;
use crate::limits::Limits;
use crate::metadata::{self, Metadata};
use crate::role::KeyId;

/// Metadata on its way to being signed.
#[derive(Clone, Debug)]
pub struct Draft<T> {
    value: T,
    payload: String,
    signatures: Vec<Signature>,
    extra: Extra,
}

/// A signature that its key did not make over this payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature by key {keyid} ({scheme}) does not verify over this payload")]
pub struct BadSignature {
    keyid: KeyId,
    scheme: String,
}

impl<T: Metadata> Draft<T> {
    /// A draft of a value, without signatures. If the value is the next version of a file, unknown fields in `signed`
    /// come with it; those beside `signed` do not: nobody signed them, and they were about the version they came with.
    #[must_use]
    pub fn new(value: T) -> Self {
        let payload = metadata::write(&value);
        Self { value, payload, signatures: Vec::new(), extra: Extra::new() }
    }

    /// A file that exists already, with its signatures and all its unknown fields, to add other signatures.
    ///
    /// # Errors
    /// What is wrong with the file. Signatures are not checked.
    pub fn reopen(envelope: &Envelope, limits: &Limits) -> Result<Self, Error> {
        Ok(Self {
            value: metadata::read(envelope, limits)?,
            payload: envelope.signed().to_owned(),
            signatures: envelope.signatures().to_vec(),
            extra: envelope.extra().clone(),
        })
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// What is to be signed: canonical `signed`.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The signatures so far.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, or replaces the one by the same key ID.
    ///
    /// # Errors
    /// [`BadSignature`] if `key` did not make it over [`Draft::payload`].
    pub fn attach(&mut self, keyid: &KeyId, key: &Key, signature: &[u8]) -> Result<(), BadSignature> {
        if !key.verify(self.payload.as_bytes(), signature) {
            return Err(BadSignature { keyid: keyid.clone(), scheme: key.scheme().to_owned() });
        }
        let sig = HEXLOWER.encode(signature);
        match self.signatures.iter_mut().find(|entry| entry.keyid == *keyid) {
            Some(entry) => entry.sig = sig,
            None => self.signatures.push(Signature { keyid: keyid.clone(), sig, extra: Extra::new() }),
        }
        Ok(())
    }

    /// The file: compact canonical JSON.
    #[must_use]
    pub fn finish(&self) -> String {
        Envelope::write(&self.payload, &self.signatures, &self.extra)
    }
}

/// Reads metadata without checking any signature: for editing what one is about to sign, and for
/// looking at files. To add a signature to a file as it is, take [`Draft::reopen`].
///
/// # Errors
/// What is wrong with the file.
pub fn read_unverified<T: Metadata>(envelope: &Envelope, limits: &Limits) -> Result<T, Error> {
    metadata::read(envelope, limits)
}
