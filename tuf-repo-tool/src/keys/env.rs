//! A private key in an environment variable, as CI systems hand secrets out: PKCS#8 PEM, perhaps encrypted, or the 32
//! bytes of an Ed25519 seed in hex or base64.
//!
//! Whoever can read this process's environment can read the key. The variable `NAME_PUB` may hold the public half, so
//! that an encrypted key need not be unlocked to be listed; if it is set, the private half must belong to it.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use pkcs8::SecretDocument;
use tuf_client::env;
use tuf_core::Key;
use zeroize::Zeroizing;

use super::private::{self, Document, Secret, SoftwareSigner, Unusable};
use super::public::parse as parse_public;
use super::{KeyError, Passphrases};

/// Unlocks the key in a variable.
pub(super) fn open(variable: &str, passphrases: &mut Passphrases) -> Result<SoftwareSigner, KeyError> {
    let (secret, key) = signer_of(variable, &document(variable, passphrases)?)?;
    let key = match listed(variable)? {
        Some(listed) if listed.public() == key.public() => listed,
        Some(listed) => {
            let reason =
                format!("it has key ID {}, but {} says {}", key.id(), public_variable(variable), listed.id());
            return Err(bad(variable, reason));
        }
        None => key,
    };
    Ok(SoftwareSigner::new(variable.to_owned(), key, secret))
}

/// The public half of the key in a variable.
pub(super) fn public(variable: &str) -> Result<Key, KeyError> {
    if let Some(listed) = listed(variable)? {
        return Ok(listed);
    }
    let found = read(variable)?;
    if found.encrypted {
        return Err(KeyError::PublicLocked {
            uri: format!("env:{variable}"),
            hint: format!("put it in {}, as PEM or as a TUF key object", public_variable(variable)),
        });
    }
    Ok(signer_of(variable, &found.der)?.1)
}

/// The private key in a variable, as an unencrypted document.
pub(super) fn document(variable: &str, passphrases: &mut Passphrases) -> Result<SecretDocument, KeyError> {
    let Document { encrypted, der } = read(variable)?;
    if !encrypted {
        return Ok(der);
    }
    passphrases.unlock(variable, |passphrase| {
        private::decrypt(&der, passphrase.as_bytes()).map_err(|unusable| match unusable {
            Unusable::WrongPassphrase => KeyError::WrongPassphrase { key: variable.to_owned() },
            unusable => describe(variable, unusable),
        })
    })
}

fn listed(variable: &str) -> Result<Option<Key>, KeyError> {
    let name = public_variable(variable);
    env::var(&name).map(|text| parse_public(&text).map_err(|reason| bad(&name, reason))).transpose()
}

fn public_variable(variable: &str) -> String {
    format!("{variable}_PUB")
}

fn read(variable: &str) -> Result<Document, KeyError> {
    let text = env::var(variable).map(Zeroizing::new);
    let text = text.ok_or_else(|| bad(variable, "it is not set, or empty".to_owned()))?;
    parse(text.trim()).map_err(|unusable| describe(variable, unusable))
}

fn parse(text: &str) -> Result<Document, Unusable> {
    if text.starts_with("-----BEGIN") {
        return Document::from_pem(text);
    }
    let decoded = [&HEXLOWER_PERMISSIVE, &BASE64, &BASE64_NOPAD].into_iter().find_map(|encoding| {
        encoding.decode(text.as_bytes()).map(Zeroizing::new).ok().filter(|b| b.len() == 32)
    });
    let seed: Option<&[u8; 32]> = decoded.as_ref().and_then(|bytes| bytes.as_slice().try_into().ok());
    let der = seed.and_then(|seed| private::from_seed(seed).ok()).ok_or_else(|| {
        Unusable::Damaged(
            "neither a PEM PKCS#8 private key nor the 32 bytes of an Ed25519 seed in hex or base64"
                .to_owned(),
        )
    })?;
    Ok(Document { encrypted: false, der })
}

fn signer_of(variable: &str, document: &SecretDocument) -> Result<(Secret, Key), KeyError> {
    let secret = Secret::from_pkcs8(document).map_err(|unusable| describe(variable, unusable))?;
    let public =
        secret.public().ok_or_else(|| bad(variable, "its public half has the wrong length".to_owned()))?;
    Ok((secret, Key::from_public(&public)))
}

fn describe(variable: &str, unusable: Unusable) -> KeyError {
    match unusable {
        Unusable::Damaged(reason) | Unusable::Unsupported(reason) => bad(variable, reason),
        Unusable::WrongPassphrase => KeyError::WrongPassphrase { key: variable.to_owned() },
    }
}

fn bad(variable: &str, reason: String) -> KeyError {
    KeyError::BadVariable { variable: variable.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_in_hex_and_base64_and_nothing_else_is_taken_for_one() {
        let key = |text: &str| {
            let found = parse(text).map_err(|error| format!("{error:?}"))?;
            signer_of("X", &found.der).map(|(_, key)| key).map_err(|error| error.to_string())
        };
        // RFC 8032, section 7.1, test 1.
        let expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let base64 = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        for text in [seed, &seed.to_uppercase(), base64, base64.trim_end_matches('=')] {
            assert_eq!(key(text).unwrap().to_json().unwrap()["keyval"]["public"], expected, "{text}");
        }
        for text in
            ["", "00", &seed[2..], &format!("{seed}00"), "correct horse battery staple", "-----BEGIN X-----"]
        {
            assert!(key(text).is_err(), "{text}");
        }
    }
}
