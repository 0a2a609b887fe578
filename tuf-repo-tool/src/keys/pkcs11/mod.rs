//! Keys on tokens that speak PKCS#11: hardware modules, smart cards, a TPM, SoftHSM.
//!
//! Hashes are made here and the token only signs them: that is what every token can. ECDSA signatures come as r and s side
//! by side and become DER; RSA is RSASSA-PSS with SHA-256 and a salt as long as the hash (TUF 1.0.34, section 4.2.1).
//!
//! A wrong PIN costs a try, and a token locks itself after a few. So a PIN is never guessed: passphrases that were meant
//! for other keys, or for all, are not tried at a token.

mod module;
mod object;
mod uri;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ring::digest::{SHA256, SHA384, digest};
use ring::rand::{SecureRandom, SystemRandom};
use tuf_core::{Key, PublicKey};

pub use uri::Pkcs11Uri;

use super::{Algorithm, KeyError, Passphrases, Signer, ecdsa};
use module::Token;
use object::PublicObject;

/// A key on a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenEntry {
    /// Its URI, as settings take it.
    pub uri: Pkcs11Uri,
    /// The public half, or why TUF cannot use the key.
    pub key: Result<Key, String>,
}

/// The keys on the tokens that a URI's attributes fit, as far as they can be seen without a PIN.
///
/// # Errors
/// [`KeyError::NoModule`], [`KeyError::NoToken`], [`KeyError::Token`].
pub fn list(uri: &Pkcs11Uri) -> Result<Vec<TokenEntry>, KeyError> {
    let mut entries = Vec::new();
    for token in module::tokens(uri)? {
        let session = token.session(uri)?;
        entries.extend(object::public_keys(&session, uri)?.into_iter().map(|found| TokenEntry {
            uri: Pkcs11Uri { pin_source: uri.pin_source.clone(), ..token.uri_of(&found.label, &found.id) },
            key: found.key,
        }));
    }
    Ok(entries)
}

/// The public half of a key, without a PIN.
pub(super) fn public(uri: &Pkcs11Uri) -> Result<Key, KeyError> {
    let token = module::token(uri)?;
    let session = token.session(uri)?;
    let found = object::public_keys(&session, uri)?;
    if found.is_empty() && token.info.login_required() && everything(&session, uri)?.is_empty() {
        return Err(KeyError::PublicLocked {
            uri: uri.to_string(),
            hint: "the token shows no public keys before it is unlocked; `tuf-repo key import --public` unlocks it \
                   once and keeps the public half"
                .to_owned(),
        });
    }
    usable(uri, only(uri, &token, &session, found)?).map(|(_, key)| key)
}

/// Unlocks the token and finds the key.
pub(super) fn open(
    uri: &Pkcs11Uri,
    repository: &Path,
    passphrases: &Passphrases,
) -> Result<TokenSigner, KeyError> {
    let token = module::token(uri)?;
    let session = token.unlocked(uri, repository, false, passphrases)?;
    let found = object::public_keys(&session, uri)?;
    let (found, key) = usable(uri, only(uri, &token, &session, found)?)?;
    // The URI may name the pair by its label only, and two pairs may share it: the ID tells which one.
    let mut pair = uri.clone();
    if !found.id.is_empty() {
        pair.id = Some(found.id);
    }
    let private = object::find(&session, &pair, ObjectClass::PRIVATE_KEY)?;
    match private.as_slice() {
        [handle] if object::wants_pin_each_time(&session, *handle) => Err(KeyError::Unusable {
            uri: uri.to_string(),
            reason:
                "the key wants its PIN for every signature (CKA_ALWAYS_AUTHENTICATE), which is not supported"
                    .to_owned(),
        }),
        [handle] => Ok(TokenSigner { uri: uri.clone(), key, handle: *handle, session: Mutex::new(session) }),
        [] => Err(KeyError::NotFound {
            uri: uri.to_string(),
            place: format!("token {}, which has only its public half", token.info.label()),
            found: everything(&session, uri)?.iter().map(name).collect(),
        }),
        _ => Err(KeyError::Ambiguous {
            uri: uri.to_string(),
            found: vec![format!("{} private keys of this label and ID", private.len())],
        }),
    }
}

/// Makes a key on the token; its private half never leaves it.
///
/// # Errors
/// [`KeyError::Ambiguous`] if the token has a key of this label or ID, [`KeyError::CannotGenerate`], and those of
/// unlocking.
pub fn generate(
    uri: &Pkcs11Uri,
    repository: &Path,
    algorithm: Algorithm,
    passphrases: &Passphrases,
) -> Result<(Pkcs11Uri, Key), KeyError> {
    let Some(label) = uri.object.clone() else {
        let reason = "a new key needs a label: object=NAME";
        return Err(KeyError::BadUri { uri: uri.to_string(), reason });
    };
    let token = module::token(uri)?;
    let (mechanism, needed) = match algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => {
            (Mechanism::EccKeyPairGen, MechanismType::ECC_KEY_PAIR_GEN)
        }
        Algorithm::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, MechanismType::ECC_EDWARDS_KEY_PAIR_GEN),
        Algorithm::Rsa3072 => (Mechanism::RsaPkcsKeyPairGen, MechanismType::RSA_PKCS_KEY_PAIR_GEN),
    };
    if !token.can(needed) {
        return Err(KeyError::CannotGenerate { algorithm, place: "this token" });
    }
    let session = token.unlocked(uri, repository, true, passphrases)?;
    let id = uri.id.clone().map_or_else(|| random_id(uri), Ok)?;
    for (object, id) in [(Some(label.clone()), None), (None, Some(id.clone()))] {
        let taken = Pkcs11Uri { object, id, ..Pkcs11Uri::default() };
        if !object::find(&session, &taken, ObjectClass::PRIVATE_KEY)?.is_empty() {
            return Err(KeyError::TokenHasKey { uri: uri.to_string(), token: token.info.label().to_owned() });
        }
    }
    let named =
        [Attribute::Token(true), Attribute::Label(label.clone().into_bytes()), Attribute::Id(id.clone())];
    let public =
        [&named[..], &[Attribute::Private(false), Attribute::Verify(true)], &object::kind(algorithm)]
            .concat();
    let private = [
        &named[..],
        &[
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ],
    ]
    .concat();
    session
        .generate_key_pair(&mechanism, &public, &private)
        .map_err(|error| KeyError::token(uri, "generate a key", error))?;
    let made = Pkcs11Uri { pin_source: uri.pin_source.clone(), ..token.uri_of(&label, &id) };
    let found = object::public_keys(&session, &made)?;
    let (_, key) = usable(&made, only(&made, &token, &session, found)?)?;
    Ok((made, key))
}

fn random_id(uri: &Pkcs11Uri) -> Result<Vec<u8>, KeyError> {
    let mut id = vec![0; 8];
    SystemRandom::new()
        .fill(&mut id)
        .map_err(|_| KeyError::Sign { key: uri.name(), action: "be generated" })?;
    Ok(id)
}

/// All public keys that this session sees on the token.
fn everything(session: &Session, uri: &Pkcs11Uri) -> Result<Vec<PublicObject>, KeyError> {
    let all = Pkcs11Uri { object: None, id: None, ..uri.clone() };
    object::public_keys(session, &all)
}

fn name(found: &PublicObject) -> String {
    Pkcs11Uri { object: Some(found.label.clone()), id: Some(found.id.clone()), ..Pkcs11Uri::default() }
        .to_string()
}

fn only(
    uri: &Pkcs11Uri,
    token: &Token,
    session: &Session,
    mut found: Vec<PublicObject>,
) -> Result<PublicObject, KeyError> {
    match (found.pop(), found.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(KeyError::NotFound {
            uri: uri.to_string(),
            place: format!("token {}", token.info.label()),
            found: everything(session, uri)?.iter().map(name).collect(),
        }),
        (Some(last), others) => Err(KeyError::Ambiguous {
            uri: uri.to_string(),
            found: others.iter().chain([&last]).map(name).collect(),
        }),
    }
}

fn usable(uri: &Pkcs11Uri, found: PublicObject) -> Result<(PublicObject, Key), KeyError> {
    match found.key.clone() {
        Ok(key) => Ok((found, key)),
        Err(reason) => Err(KeyError::Unusable { uri: uri.to_string(), reason }),
    }
}

/// A key on an unlocked token.
pub(super) struct TokenSigner {
    uri: Pkcs11Uri,
    key: Key,
    handle: ObjectHandle,
    /// One operation at a time: PKCS#11 allows no more in a session.
    session: Mutex<Session>,
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TokenSigner")
            .field("uri", &self.uri.to_string())
            .field("key", &self.key.id())
            .finish_non_exhaustive()
    }
}

impl Signer for TokenSigner {
    fn public(&self) -> &Key {
        &self.key
    }

    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, KeyError> {
        let pss = Mechanism::RsaPkcsPss(PkcsPssParams {
            hash_alg: MechanismType::SHA256,
            mgf: PkcsMgfType::MGF1_SHA256,
            s_len: 32.into(),
        });
        let (mechanism, hash) = match self.key.public() {
            Some(PublicKey::EcdsaP256(_)) => (Mechanism::Ecdsa, Some(&SHA256)),
            Some(PublicKey::EcdsaP384(_)) => (Mechanism::Ecdsa, Some(&SHA384)),
            Some(PublicKey::Rsa { .. }) => (pss, Some(&SHA256)),
            _ => (Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)), None),
        };
        let hashed = hash.map(|algorithm| digest(algorithm, payload));
        let message = hashed.as_ref().map_or(payload, AsRef::as_ref);
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = session
            .sign(&mechanism, self.handle, message)
            .map_err(|error| KeyError::token(&self.uri, "sign", error))?;
        drop(session);
        match mechanism {
            Mechanism::Ecdsa => ecdsa::der_of_halves(&signature)
                .ok_or_else(|| KeyError::Sign { key: self.uri.name(), action: "sign" }),
            _ => Ok(signature),
        }
    }
}
