//! Private keys: where they live, how they are unlocked, and what signs with them.
//!
//! Everything above this module sees a [`Signer`]: a public key, and a blocking call that signs bytes. Where the
//! private half lives is written down as a [`KeyUri`]: a PKCS#8 file, a variable of the environment, a PKCS#11 token, an
//! OpenSSH agent, a program, or elsewhere. Each is another implementation of the trait, not another code path in a
//! ceremony. `docs/keys.md` has their use, and how a program that signs is called.
//!
//! Secrets are wiped when they are dropped and no `Debug` prints one. What ring keeps while it signs is ring's own
//! and is not wiped: a process that has unlocked a key must be trusted until it ends.

mod ecdsa;
mod env;
mod error;
mod exec;
pub mod file;
pub mod passphrase;
pub mod pkcs11;
mod private;
pub mod public;
pub mod ssh_agent;
mod uri;
pub mod usage;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use tuf_core::Key;

pub(crate) use ecdsa::der_of_halves as ecdsa_der_of_halves;
pub use error::KeyError;
pub use passphrase::{Passphrase, Passphrases};
pub use pkcs11::Pkcs11Uri;
pub use private::SoftwareSigner;
pub use ssh_agent::AgentKey;
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
    /// [`KeyError::Sign`] if the key cannot sign now, and what else tokens, agents and programs say.
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Whether the private half is in the memory of this process: then it signs on many threads at once. A token, an agent or a
    /// program is asked one thing at a time.
    fn in_process(&self) -> bool {
        false
    }
}

/// The kinds of key this tool generates. An RSA key is made by a token only: ring cannot.
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
    /// RSA with 3072 bits, for RSASSA-PSS with SHA-256: for tokens that have nothing better.
    Rsa3072,
}

impl Algorithm {
    /// Every algorithm with the name it has on the command line and in settings.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256", Self::EcdsaP256),
        ("ecdsa-p384", Self::EcdsaP384),
        ("rsa-3072", Self::Rsa3072),
    ];
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
            Self::Rsa3072 => "rsa-3072",
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
/// Any [`KeyError`]: the key is missing, unreadable, badly protected, damaged, locked, elsewhere, or not the one it was.
pub fn open(
    uri: &KeyUri,
    repository: &Path,
    passphrases: &mut Passphrases,
) -> Result<Box<dyn Signer>, KeyError> {
    Ok(match uri {
        KeyUri::Env(variable) => Box::new(env::open(variable, passphrases)?),
        KeyUri::Exec(command) => Box::new(exec::open(command, repository)?),
        KeyUri::File(path) => Box::new(file::open(&repository.join(path), passphrases)?),
        KeyUri::Pkcs11(uri) => Box::new(pkcs11::open(uri, repository, passphrases)?),
        KeyUri::Public(path) => {
            return Err(KeyError::Elsewhere { key: uri.name(), path: repository.join(path) });
        }
        KeyUri::SshAgent(key) => Box::new(ssh_agent::open(key)?),
    })
}

/// The public half of the key at `uri`, without unlocking it.
///
/// # Errors
/// As [`open`], and [`KeyError::PublicLocked`] where the public half cannot be had without the private one.
pub fn public(uri: &KeyUri, repository: &Path) -> Result<Key, KeyError> {
    match uri {
        KeyUri::Env(variable) => env::public(variable),
        KeyUri::Exec(command) => exec::public(command, repository),
        KeyUri::File(path) => file::public(&repository.join(path)),
        KeyUri::Pkcs11(uri) => pkcs11::public(uri),
        KeyUri::Public(path) => public::read(&repository.join(path)),
        KeyUri::SshAgent(key) => ssh_agent::public(key),
    }
}

#[cfg(test)]
mod tests;
