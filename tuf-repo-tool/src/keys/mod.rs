//! Private keys: where they live, how they are unlocked, and what signs with them.
//!
//! Everything above this module sees a [`Signer`]: a public key, and a blocking call that signs bytes. Where the
//! private half lives is written down as a [`KeyUri`]; today that is a PKCS#8 file, and a token or an agent is
//! another implementation of the trait, not another code path in a ceremony.
//!
//! Secrets are wiped when they are dropped and no `Debug` prints one. What ring keeps while it signs is ring's own
//! and is not wiped: a process that has unlocked a key must be trusted until it ends.

mod error;
pub mod file;
pub mod passphrase;
mod private;
mod uri;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use tuf_core::Key;

pub use error::KeyError;
pub use passphrase::{Passphrase, Passphrases};
pub use uri::KeyUri;

/// Something that signs with one private key.
///
/// Blocking by design: a signature may wait for a person who types a passphrase or touches a token.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half, as TUF metadata lists it.
    fn public(&self) -> &Key;

    /// A signature over exactly these bytes, in the encoding the scheme of [`Signer::public`] asks for (TUF 1.0.34,
    /// section 4.2.1; ECDSA is ASN.1 DER).
    ///
    /// # Errors
    /// [`KeyError::Sign`] if the key cannot sign now.
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// The kinds of key this tool generates. RSA keys are read and used, but not made here: ring cannot.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA over NIST P-256 with SHA-256: what most hardware tokens offer.
    EcdsaP256,
    /// ECDSA over NIST P-384 with SHA-384.
    EcdsaP384,
    /// Ed25519 (RFC 8032): the smallest and fastest, and the default.
    #[default]
    Ed25519,
}

impl Algorithm {
    /// Every algorithm with the name it has on the command line and in settings.
    pub const NAMES: [(&'static str, Self); 3] =
        [("ed25519", Self::Ed25519), ("ecdsa-p256", Self::EcdsaP256), ("ecdsa-p384", Self::EcdsaP384)];
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
        })
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        Self::NAMES
            .iter()
            .find_map(|(known, algorithm)| (*known == name).then_some(*algorithm))
            .ok_or_else(|| KeyError::UnknownAlgorithm { name: name.to_owned() })
    }
}

/// Unlocks the key at `uri`; relative paths start at the directory `repository`.
///
/// # Errors
/// Any [`KeyError`]: the key is missing, unreadable, badly protected, damaged, locked, or not the one it was.
pub fn open(
    uri: &KeyUri,
    repository: &Path,
    passphrases: &mut Passphrases,
) -> Result<Box<dyn Signer>, KeyError> {
    match uri {
        KeyUri::File(_) => Ok(Box::new(file::open(&uri.path(repository), passphrases)?)),
    }
}

/// The public half of the key at `uri`, without unlocking it.
///
/// # Errors
/// [`KeyError::PublicMissing`], [`KeyError::Damaged`] or [`KeyError::Io`].
pub fn public(uri: &KeyUri, repository: &Path) -> Result<Key, KeyError> {
    match uri {
        KeyUri::File(_) => file::public(&uri.path(repository)),
    }
}

#[cfg(test)]
mod tests;
