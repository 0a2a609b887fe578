//! What can go wrong with a key, in words for the person who holds it.

use std::io;
use std::path::{Path, PathBuf};

use super::{Algorithm, Pkcs11Uri};

/// A key that cannot be made, read, unlocked or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The ssh-agent said no, or something that cannot be understood.
    #[error("ssh-agent: {reason}")]
    Agent {
        /// What it said.
        reason: String,
    },
    /// A key is never written over something that is there.
    #[error("{} is already there, and a key is never overwritten", path.display())]
    AlreadyExists {
        /// The file in the way.
        path: PathBuf,
    },
    /// More than one key fits the URI.
    #[error("{uri} fits more than one: {}", sorted(found))]
    Ambiguous {
        /// The URI.
        uri: String,
        /// What it fits.
        found: Vec<String>,
    },
    /// The key URI is not well formed.
    #[error("key URI {uri:?}: {reason}")]
    BadUri {
        /// The URI as it was written.
        uri: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An environment variable does not hold the key that a URI says it holds.
    #[error("environment variable {variable}: {reason}")]
    BadVariable {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Keys of this kind are not made at this place.
    #[error("no {algorithm} key can be generated in {place}")]
    CannotGenerate {
        /// The kind of key.
        algorithm: Algorithm,
        /// The place.
        place: &'static str,
    },
    /// The file is not what its place says it is.
    #[error("{} is damaged or not a key: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what came.
        reason: String,
    },
    /// Only the public half of the key is known here.
    #[error("key {key} is elsewhere: {} is only its public half", path.display())]
    Elsewhere {
        /// The key's name.
        key: String,
        /// The file that holds the public half.
        path: PathBuf,
    },
    /// A program did not sign.
    #[error("exec:{command}: {reason}")]
    Exec {
        /// Its command line.
        command: String,
        /// What went wrong.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "create".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no ssh-agent.
    #[error("no ssh-agent: {reason}")]
    NoAgent {
        /// Where it was looked for.
        reason: String,
    },
    /// There is no PKCS#11 module.
    #[error("no PKCS#11 module {}: {reason}", path.display())]
    NoModule {
        /// The library.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The key is encrypted and nothing gave a passphrase.
    #[error("no passphrase for key {key}: looked at {} and found no terminal to ask on", looked_at.join(", "))]
    NoPassphrase {
        /// The key's name.
        key: String,
        /// The environment variables that were looked at, in order.
        looked_at: Vec<String>,
    },
    /// No token fits the URI.
    #[error("no token for {uri}: {} has {}", module.display(), or_none(found))]
    NoToken {
        /// The URI.
        uri: String,
        /// The library that was asked.
        module: PathBuf,
        /// The tokens that are there.
        found: Vec<String>,
    },
    /// The place is there, but no such key in it.
    #[error("no key {uri} in {place}; there: {}", or_none(found))]
    NotFound {
        /// The URI.
        uri: String,
        /// The token or agent.
        place: String,
        /// The keys that are there.
        found: Vec<String>,
    },
    /// The file named by `TUF_PASSPHRASE_FILE` or `pin-source` cannot be used.
    #[error("passphrase file {}: {reason}", path.display())]
    PassphraseFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// People other than the owner can reach the private key.
    #[error("{} can be read or written by others than its owner (mode {mode:04o}, at most 0600 is accepted)", path.display())]
    Permissions {
        /// The private key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The token takes no PIN any more.
    #[error("token {token} is locked: too many wrong PINs were entered")]
    PinLocked {
        /// The token's label.
        token: String,
    },
    /// The passphrase could not be asked for.
    #[error("cannot ask for the passphrase of key {key}: {source}")]
    Prompt {
        /// The key's name.
        key: String,
        /// Why not.
        source: io::Error,
    },
    /// The public half cannot be had without unlocking the key.
    #[error("the public half of {uri} cannot be read while the key is locked")]
    PublicLocked {
        /// The URI.
        uri: String,
        /// What to do instead.
        hint: String,
    },
    /// The public file beside the private key describes another key.
    #[error("{} is for key ID {listed}, but the private key beside it has key ID {unlocked}", path.display())]
    PublicMismatch {
        /// The `.pub.json` file.
        path: PathBuf,
        /// The key ID of the public file.
        listed: String,
        /// The key ID of the private key.
        unlocked: String,
    },
    /// There is a private key, but no public file beside it.
    #[error("{} is missing: it must hold the public half of the key beside it", path.display())]
    PublicMissing {
        /// The `.pub.json` file.
        path: PathBuf,
    },
    /// The random generator, or the key itself, failed.
    #[error("key {key} cannot {action}: the cryptography library refused")]
    Sign {
        /// The key's name.
        key: String,
        /// What was tried: "sign", "be generated", "be encrypted".
        action: &'static str,
    },
    /// The token refused.
    #[error("{uri}: the token cannot {action}: {source}")]
    Token {
        /// The URI.
        uri: String,
        /// What was tried.
        action: &'static str,
        /// What its module said.
        source: Box<cryptoki::error::Error>,
    },
    /// The token has a key of this label or ID.
    #[error("token {token} has a key of this label or ID already: {uri}")]
    TokenHasKey {
        /// The URI of the key that was to be made.
        uri: String,
        /// The token's label.
        token: String,
    },
    /// No algorithm has this name.
    #[error(
        "unknown key algorithm {name:?}: ed25519, ecdsa-p256, ecdsa-p384 and (on a token) rsa-3072 can be generated"
    )]
    UnknownAlgorithm {
        /// The name as it was given.
        name: String,
    },
    /// A key is there, but TUF has no use for it.
    #[error("{uri}: {reason}")]
    Unusable {
        /// The URI.
        uri: String,
        /// Why not, and what could be used.
        reason: String,
    },
    /// A sound private key, of a kind that this tool does not sign with.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The private key file.
        path: PathBuf,
        /// Which kind it is and which are supported.
        reason: String,
    },
    /// The key URI names a place this tool cannot reach.
    #[error(
        "key URI {uri:?}: the scheme {scheme:?} is not supported; write one of {}",
        super::KeyUri::examples()
    )]
    UnsupportedScheme {
        /// The URI as it was written.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// The passphrase does not open the key.
    #[error("Wrong passphrase for key {key}")]
    WrongPassphrase {
        /// The key's name.
        key: String,
    },
    /// The PIN does not unlock the token.
    #[error("Wrong PIN for token {token}: {left}")]
    WrongPin {
        /// The token's label.
        token: String,
        /// What the token says of the tries that are left.
        left: &'static str,
        /// Whether the next wrong one locks the token.
        last: bool,
    },
}

impl KeyError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Agent { .. } => Some("`ssh-add -l` shows what the agent holds; `ssh-add -X` unlocks it".to_owned()),
            Self::Ambiguous { uri, .. } if uri.starts_with("pkcs11:") => Some(
                "add token=, serial= or id= to the URI; `tuf-repo key list pkcs11:…` prints URIs that fit one key"
                    .to_owned(),
            ),
            Self::Ambiguous { .. } => Some("take the fingerprint: ssh-agent:SHA256:…, as `ssh-add -l` prints it".to_owned()),
            Self::CannotGenerate { algorithm: Algorithm::Rsa3072, place: "a file" } => Some(
                "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 makes one for `tuf-repo key import`"
                    .to_owned(),
            ),
            Self::CannotGenerate { .. } => Some("choose another --key-type; tokens rarely have them all".to_owned()),
            Self::Elsewhere { .. } => Some(
                "sign where the key is: `tuf-repo payload` prints what to sign, `tuf-repo add-signature` takes the signature"
                    .to_owned(),
            ),
            Self::Exec { .. } => {
                Some("run it by hand: `PROGRAM ARGUMENTS public` prints the public half; see docs/keys.md".to_owned())
            }
            Self::NoAgent { .. } => {
                Some("start one (`eval \"$(ssh-agent)\"`) and add the key (`ssh-add FILE`)".to_owned())
            }
            Self::NoModule { .. } => Some(
                "install the token's PKCS#11 library, and give its absolute path as module-path in the URI or in \
                 TUF_PKCS11_MODULE"
                    .to_owned(),
            ),
            Self::NoToken { .. } => Some(
                "is it plugged in, and do label and serial number match? `tuf-repo key list pkcs11:?module-path=…` lists keys"
                    .to_owned(),
            ),
            Self::NotFound { uri, .. } if uri.starts_with("pkcs11:") => Some(
                "`tuf-repo key list pkcs11:…` prints what is there as URIs; `key generate pkcs11:…` makes a new one"
                    .to_owned(),
            ),
            Self::NotFound { .. } => {
                Some("add it with `ssh-add FILE`; an agent that was locked with `ssh-add -x` shows none".to_owned())
            }
            Self::PinLocked { token } => Some(format!(
                "its security officer can set a new PIN for token {token}; until then sign with another key of the role"
            )),
            Self::PublicLocked { hint, .. } => Some(hint.clone()),
            Self::TokenHasKey { .. } => Some("choose another object= and id=; a key is never replaced".to_owned()),
            Self::WrongPin { last: true, .. } => {
                Some("make certain of the PIN first: one more mistake locks the token".to_owned())
            }
            Self::WrongPin { .. } => Some(
                "the PIN is taken from TUF_PASSPHRASE_<KEY>, TUF_PASSPHRASE_<TOKEN>, pin-source or the prompt; a few \
                 mistakes lock a token"
                    .to_owned(),
            ),
            Self::AlreadyExists { path } => {
                Some(format!("choose another name, or move {} away if that key is no longer used", path.display()))
            }
            Self::Damaged { .. } => Some("restore the file from a backup".to_owned()),
            Self::NoPassphrase { key, .. } => Some(format!(
                "set {}, or name a file that holds it in TUF_PASSPHRASE_FILE, or run this on a terminal",
                super::passphrase::variable_for(key)
            )),
            Self::PassphraseFile { .. } => {
                Some("the file's first line is the passphrase; protect it with chmod 600".to_owned())
            }
            Self::Permissions { path, .. } => Some(format!(
                "chmod 600 {}; if others could use this machine meanwhile, replace the key",
                path.display()
            )),
            Self::PublicMismatch { .. } | Self::PublicMissing { .. } => Some(
                "restore the pair from a backup, or import the private key again under a new name; \
                 a key whose generation was interrupted was never used and can be deleted"
                    .to_owned(),
            ),
            Self::UnsupportedScheme { .. } => {
                Some("docs/keys.md describes them; a relative path starts at the repository's directory".to_owned())
            }
            Self::WrongPassphrase { .. } => Some(
                "if the passphrase is certainly right, the encrypted part of the file is damaged: restore it from a backup"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn token(uri: &Pkcs11Uri, action: &'static str, source: cryptoki::error::Error) -> Self {
        Self::Token { uri: uri.to_string(), action, source: Box::new(source) }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}

fn or_none(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

/// Tokens and agents list what they have in any order.
fn sorted(found: &[String]) -> String {
    let mut found: Vec<_> = found.iter().map(String::as_str).collect();
    found.sort_unstable();
    found.join(", ")
}
