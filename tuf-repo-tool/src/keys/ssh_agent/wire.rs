//! What is said to an agent, and how its answers are read (the OpenSSH agent protocol; RFC 4251, section 5, for strings and
//! numbers): strictly, and with limits, since an agent may be at the far end of a forwarded connection.

use tuf_core::{Key, PublicKey};

use crate::keys::{ecdsa, public};

/// As long as OpenSSH's own agent lets a message be.
pub(super) const MAX_MESSAGE: usize = 256 * 1024;

/// OpenSSH's agent holds no more.
const MAX_IDENTITIES: u32 = 2048;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Length 1, and the request to list keys.
pub(super) const LIST_REQUEST: [u8; 5] = [0, 0, 0, 1, REQUEST_IDENTITIES];

/// What an agent answers.
#[derive(Debug)]
pub(super) enum Answer {
    Failure,
    Identities(Vec<Identity>),
    Signature(Vec<u8>),
}

impl Answer {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Failure => "a refusal",
            Self::Identities(_) => "a list of keys",
            Self::Signature(_) => "a signature",
        }
    }
}

/// A key that the agent holds.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) blob: Vec<u8>,
    pub(super) comment: String,
}

impl Identity {
    pub(super) fn fingerprint(&self) -> String {
        public::openssh_fingerprint(&self.blob)
    }

    /// The key for TUF, or why there is none.
    pub(super) fn key(&self) -> Result<Key, String> {
        let mut reader = Reader(&self.blob);
        let kind = reader.string().ok_or("its public half is malformed")?;
        let kind = String::from_utf8_lossy(kind);
        let public = match &*kind {
            "ssh-ed25519" => reader.string().and_then(public::from_point),
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" => {
                reader.string().and_then(|_| reader.string()).and_then(public::from_point)
            }
            "ssh-rsa" => {
                return Err("an agent signs with RSA only as PKCS#1 v1.5, and TUF takes RSASSA-PSS: use an Ed25519 or \
                            ECDSA key"
                    .to_owned());
            }
            fido if fido.starts_with("sk-") => {
                return Err(
                    "a FIDO key signs a message of its own around the payload, which TUF has no scheme for: \
                            use an Ed25519 or ECDSA key"
                        .to_owned(),
                );
            }
            other => {
                return Err(format!(
                    "keys of type {other:?} have no scheme in TUF: use Ed25519 or ECDSA on P-256 or P-384"
                ));
            }
        };
        // Written again it must be the same to the byte: no curve of another name, nothing behind the key.
        public
            .filter(|public| public::openssh_blob(public).as_ref() == Some(&self.blob))
            .map(|public| Key::from_public(&public))
            .ok_or_else(|| format!("its public half is no sound {kind} key"))
    }
}

/// The message that asks for a signature; `None` if it is longer than an agent reads.
pub(super) fn sign_request(blob: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    // Flags 0: they choose among hashes of RSA only.
    let body = [&[SIGN_REQUEST][..], &public::fields(&[blob, payload])?, &[0; 4]].concat();
    let length = u32::try_from(body.len()).ok()?;
    (body.len() <= MAX_MESSAGE).then(|| [&length.to_be_bytes()[..], &body].concat())
}

/// Reads an answer, without the length before it.
pub(super) fn answer(message: &[u8]) -> Result<Answer, &'static str> {
    let malformed = "its answer is malformed";
    let (kind, rest) = message.split_first().ok_or(malformed)?;
    let mut reader = Reader(rest);
    let answer = match *kind {
        // What follows a failure, if anything, differs among agents.
        FAILURE => return Ok(Answer::Failure),
        IDENTITIES_ANSWER => {
            let count = reader.number().ok_or(malformed)?;
            if count > MAX_IDENTITIES {
                return Err("it says that it holds more than 2048 keys");
            }
            let mut identities = Vec::new();
            for _ in 0..count {
                let blob = reader.string().ok_or(malformed)?.to_vec();
                let comment = String::from_utf8_lossy(reader.string().ok_or(malformed)?).into_owned();
                identities.push(Identity { blob, comment });
            }
            Answer::Identities(identities)
        }
        SIGN_RESPONSE => Answer::Signature(reader.string().ok_or(malformed)?.to_vec()),
        _ => return Err("its answer is of an unknown kind: that is no ssh-agent, or a newer one"),
    };
    if reader.0.is_empty() { Ok(answer) } else { Err(malformed) }
}

/// The signature in an agent's answer, in the encoding TUF wants for this key.
pub(super) fn signature(blob: &[u8], key: &Key) -> Result<Vec<u8>, String> {
    let mut reader = Reader(blob);
    let (kind, body) = reader
        .string()
        .zip(reader.string())
        .filter(|_| reader.0.is_empty())
        .ok_or("its signature is malformed")?;
    let expected = match key.public() {
        Some(PublicKey::Ed25519(_)) => "ssh-ed25519",
        // OpenSSH and TUF have the same names for these.
        _ => key.scheme(),
    };
    if kind != expected.as_bytes() {
        return Err(format!(
            "its signature is of type {:?}, expected {expected}",
            String::from_utf8_lossy(kind)
        ));
    }
    if matches!(key.public(), Some(PublicKey::Ed25519(_))) {
        return Ok(body.to_vec());
    }
    let mut numbers = Reader(body);
    let signature = numbers.positive().zip(numbers.positive()).filter(|_| numbers.0.is_empty());
    signature.and_then(|(r, s)| ecdsa::der(r, s)).ok_or_else(|| "its signature is malformed".to_owned())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    /// A positive number, without superfluous zeros (RFC 4251, section 5).
    fn positive(&mut self) -> Option<&'a [u8]> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => Some(rest),
            number @ [1..0x80, ..] => Some(number),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[kind][..], &parts.concat()].concat()
    }

    #[test]
    fn answers_are_read_to_the_last_byte() {
        let one = public::fields(&[b"blob", b"me"]).unwrap();
        let good = message(12, &[&[0, 0, 0, 1], &one]);
        assert!(
            matches!(answer(&good), Ok(Answer::Identities(list)) if list.len() == 1 && list[0].comment == "me")
        );
        assert!(matches!(answer(&[5]), Ok(Answer::Failure)));
        assert!(matches!(
            answer(&message(14, &[&public::fields(&[b"x"]).unwrap()])),
            Ok(Answer::Signature(_))
        ));
        for end in 0..good.len() {
            assert!(answer(&good[..end]).is_err(), "{end}");
        }
        for (bad, part) in [
            (message(12, &[&[0, 0, 0, 1], &one, &[0]]), "malformed"),
            (message(12, &[&[0, 0, 8, 1]]), "2048"),
            (message(12, &[&[0xff; 4]]), "2048"),
            (message(14, &[&[0xff; 4], b"x"]), "malformed"),
            (message(99, &[]), "unknown kind"),
        ] {
            let error = answer(&bad).unwrap_err();
            assert!(error.contains(part), "{bad:?}: {error}");
        }
    }

    #[test]
    fn numbers_of_a_signature_are_positive_and_minimal() {
        for (bytes, read) in [
            (&[0, 0, 0, 1, 1][..], Some(&[1][..])),
            (&[0, 0, 0, 2, 0, 0x80], Some(&[0x80])),
            (&[0, 0, 0, 2, 0, 0x7f], None),
            (&[0, 0, 0, 1, 0x80], None),
            (&[0, 0, 0, 1, 0], None),
            (&[0, 0, 0, 0], None),
            (&[0, 0, 0, 9, 1], None),
        ] {
            assert_eq!(Reader(bytes).positive(), read, "{bytes:?}");
        }
    }

    #[test]
    fn keys_that_tuf_cannot_use_are_refused_by_name() {
        for (blob, part) in [
            (public::fields(&[b"ssh-rsa", b"e", b"n"]), "PKCS#1 v1.5"),
            (public::fields(&[b"sk-ssh-ed25519@openssh.com", &[1; 32], b"ssh:"]), "FIDO"),
            (public::fields(&[b"ssh-dss"]), "ssh-dss"),
            (public::fields(&[b"ssh-ed25519", &[1; 31]]), "no sound"),
            (public::fields(&[b"ssh-ed25519", &[1; 32], b""]), "no sound"),
            (public::fields(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 65]]), "no sound"),
            (Some(vec![0, 0, 0, 9]), "malformed"),
        ] {
            let identity = Identity { blob: blob.unwrap(), comment: String::new() };
            let error = identity.key().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_payload_larger_than_a_message_is_not_sent() {
        assert!(sign_request(b"blob", &[0; 1000]).is_some());
        assert!(sign_request(b"blob", &vec![0; MAX_MESSAGE]).is_none());
    }
}
