//! Keys that an OpenSSH agent holds: Ed25519 and ECDSA. The agent never gives a key out; it signs.
//!
//! An agent signs with RSA only as PKCS#1 v1.5, and FIDO keys sign other bytes than they are given: both are refused by
//! name, as TUF has no scheme for them.

mod wire;

use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tuf_client::env;
use tuf_core::Key;

use super::{KeyError, Signer};
use wire::{Answer, Identity};

const SOCKET: &str = "SSH_AUTH_SOCK";

/// An agent may ask a person to confirm.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Which of the agent's keys is meant.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AgentKey {
    /// The one with this comment.
    Comment(String),
    /// The one with this fingerprint, `SHA256:…` as `ssh-add -l` prints it.
    Fingerprint(String),
}

impl AgentKey {
    /// Reads what stands after `ssh-agent:`.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("it names no key; write ssh-agent:SHA256:FINGERPRINT or ssh-agent:COMMENT");
        }
        if text.contains(['\0', '\n']) {
            return Err("a comment is one line of text");
        }
        match text.strip_prefix("SHA256:") {
            None => Ok(Self::Comment(text.to_owned())),
            Some(hash) => match data_encoding::BASE64_NOPAD.decode(hash.trim_end_matches('=').as_bytes()) {
                Ok(bytes) if bytes.len() == 32 => {
                    Ok(Self::Fingerprint(text.trim_end_matches('=').to_owned()))
                }
                _ => Err("a fingerprint is SHA256: and 43 characters of base64, as `ssh-add -l` prints it"),
            },
        }
    }

    /// What the URI says of the key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Comment(text) | Self::Fingerprint(text) => text,
        }
    }

    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Comment(comment) => identity.comment == *comment,
            Self::Fingerprint(fingerprint) => identity.fingerprint() == *fingerprint,
        }
    }
}

/// A key in the agent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentEntry {
    /// Its fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// Its comment.
    pub comment: String,
    /// The public half, or why TUF cannot use the key.
    pub key: Result<Key, String>,
}

/// What the agent holds.
///
/// # Errors
/// [`KeyError::NoAgent`], [`KeyError::Agent`].
pub fn list() -> Result<Vec<AgentEntry>, KeyError> {
    let entry = |identity: Identity| AgentEntry {
        fingerprint: identity.fingerprint(),
        key: identity.key(),
        comment: identity.comment,
    };
    Ok(identities()?.into_iter().map(entry).collect())
}

/// The public half of one of the agent's keys.
pub(super) fn public(key: &AgentKey) -> Result<Key, KeyError> {
    find(key).map(|(_, key)| key)
}

/// Finds one of the agent's keys.
pub(super) fn open(key: &AgentKey) -> Result<AgentSigner, KeyError> {
    let (identity, key) = find(key)?;
    Ok(AgentSigner { identity, key })
}

/// A key in an agent.
#[derive(Debug)]
pub(super) struct AgentSigner {
    identity: Identity,
    key: Key,
}

impl Signer for AgentSigner {
    fn public(&self) -> &Key {
        &self.key
    }

    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, KeyError> {
        let request = wire::sign_request(&self.identity.blob, payload).ok_or_else(|| {
            agent(format!("{} bytes are more than an agent takes ({})", payload.len(), wire::MAX_MESSAGE))
        })?;
        match ask(&request)? {
            Answer::Failure => Err(agent(format!(
                "it refused to sign with {}: the key was removed, the agent locked, or a confirmation denied",
                self.identity.fingerprint()
            ))),
            Answer::Signature(blob) => wire::signature(&blob, &self.key).map_err(agent),
            other => Err(agent(format!("it answered a request to sign with {}", other.name()))),
        }
    }
}

fn find(wanted: &AgentKey) -> Result<(Identity, Key), KeyError> {
    let identities = identities()?;
    let mut matching: Vec<&Identity> = identities.iter().filter(|identity| wanted.is(identity)).collect();
    let shown =
        |list: &[&Identity]| list.iter().map(|i| format!("{} {}", i.fingerprint(), i.comment)).collect();
    let uri = || format!("ssh-agent:{}", wanted.as_str());
    match (matching.pop(), matching.as_slice()) {
        (None, _) => Err(KeyError::NotFound {
            uri: uri(),
            place: "the ssh-agent".to_owned(),
            found: shown(&identities.iter().collect::<Vec<_>>()),
        }),
        (Some(identity), []) => {
            let key = identity.key().map_err(|reason| KeyError::Unusable { uri: uri(), reason })?;
            Ok((identity.clone(), key))
        }
        (Some(last), others) => {
            Err(KeyError::Ambiguous { uri: uri(), found: shown(&[others, &[last]].concat()) })
        }
    }
}

fn identities() -> Result<Vec<Identity>, KeyError> {
    match ask(&wire::LIST_REQUEST)? {
        Answer::Identities(identities) => Ok(identities),
        other => Err(agent(format!("it answered a request to list its keys with {}", other.name()))),
    }
}

fn agent(reason: String) -> KeyError {
    KeyError::Agent { reason }
}

/// One request on a connection of its own: nothing is held open while nobody signs.
#[cfg(unix)]
fn ask(request: &[u8]) -> Result<Answer, KeyError> {
    let path =
        env::var(SOCKET).ok_or_else(|| KeyError::NoAgent { reason: format!("{SOCKET} is not set") })?;
    let mut stream = UnixStream::connect(&path)
        .map_err(|error| KeyError::NoAgent { reason: format!("{SOCKET} is {path}: {error}") })?;
    let broken = |error: io::Error| agent(format!("the conversation at {path} broke off: {error}"));
    stream.set_read_timeout(Some(TIME_LIMIT)).map_err(broken)?;
    stream.set_write_timeout(Some(TIME_LIMIT)).map_err(broken)?;
    stream.write_all(request).map_err(broken)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(broken)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > wire::MAX_MESSAGE {
        return Err(agent(format!("an answer of {length} bytes, at most {} are read", wire::MAX_MESSAGE)));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).map_err(broken)?;
    wire::answer(&answer).map_err(|reason| agent(reason.to_owned()))
}

#[cfg(not(unix))]
fn ask(_: &[u8]) -> Result<Answer, KeyError> {
    Err(KeyError::NoAgent {
        reason: "agents are reached by a Unix socket, which this system has not".to_owned(),
    })
}
