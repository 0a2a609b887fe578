//! Private keys as PKCS#8 documents (RFC 5958, RFC 5208) and as things that sign. No files here.
//!
//! Three facts shape it. OpenSSL 3.0 cannot read the PKCS#8 v2 that ring writes for Ed25519, so Ed25519 keys are
//! written as v1 (RFC 8410, section 7) around a seed of our own. OpenSSL refuses scrypt that needs more than 32 MiB,
//! so N is 2^14 and p makes up for it. PBES2 with AES-CBC carries no checksum: a wrong passphrase shows as bad padding
//! or, once in 256, as bytes that are no PKCS#8.

use std::fmt;

use pkcs8::pkcs5::{self, pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PSS_SHA256, RsaKeyPair,
};
use tuf_core::{Key, PublicKey};
use zeroize::Zeroizing;

use super::{Algorithm, KeyError, Signer};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const NIST_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const NIST_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// RFC 8410, section 7: SEQUENCE { version 0, AlgorithmIdentifier ed25519, OCTET STRING { OCTET STRING seed } }.
const ED25519_V1_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// scrypt cost: N = 2^14, r = 8 (16 MiB), p = 5; about 0.4 s on a small server.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 5;

pub(super) const PLAIN_LABEL: &str = "PRIVATE KEY";
pub(super) const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Why a document is not a key that signs.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is not well formed, or its parts contradict each other.
    Damaged(String),
    /// It is well formed, but of a kind that is not supported.
    Unsupported(String),
    /// It is encrypted with something else.
    WrongPassphrase,
}

/// The cryptography library failed; it says no more.
#[derive(Debug)]
pub(super) struct Refused;

impl From<ring::error::Unspecified> for Refused {
    fn from(_: ring::error::Unspecified) -> Self {
        Self
    }
}

/// A PKCS#8 document out of a PEM file.
pub(super) struct Document {
    pub(super) encrypted: bool,
    pub(super) der: SecretDocument,
}

impl Document {
    pub(super) fn from_pem(text: &str) -> Result<Self, Unusable> {
        let (label, der) =
            SecretDocument::from_pem(text).map_err(|error| Unusable::Damaged(error.to_string()))?;
        match label {
            PLAIN_LABEL => Ok(Self { encrypted: false, der }),
            ENCRYPTED_LABEL => Ok(Self { encrypted: true, der }),
            other => Err(Unusable::Unsupported(format!(
                "a PEM file of type {other:?}; `openssl pkcs8 -topk8` makes PKCS#8 of a private key"
            ))),
        }
    }
}

/// A private key in the memory of this process.
pub struct SoftwareSigner {
    name: String,
    key: Key,
    secret: Secret,
}

impl SoftwareSigner {
    /// `key` is the form in which the public half is listed.
    pub(super) fn new(name: String, key: Key, secret: Secret) -> Self {
        Self { name, key, secret }
    }
}

impl fmt::Debug for SoftwareSigner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SoftwareSigner")
            .field("name", &self.name)
            .field("key", &self.key.id())
            .finish_non_exhaustive()
    }
}

impl Signer for SoftwareSigner {
    fn public(&self) -> &Key {
        &self.key
    }

    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.secret.sign(payload).map_err(|_| KeyError::Sign { key: self.name.clone(), action: "sign" })
    }

    fn in_process(&self) -> bool {
        true
    }
}

/// A private key, ready to sign.
pub(super) enum Secret {
    EcdsaP256(EcdsaKeyPair),
    EcdsaP384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Secret {
    /// Reads an unencrypted PKCS#8 document, and checks that its public half belongs to the private one.
    pub(super) fn from_pkcs8(document: &SecretDocument) -> Result<Self, Unusable> {
        let info = info_of(document)?;
        let der = document.as_bytes();
        match info.algorithm.oid {
            // v1, which carries no public key, as well as v2.
            ED25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self::Ed25519).map_err(rejected("Ed25519")),
            EC_PUBLIC_KEY => match info.algorithm.parameters_oid() {
                Ok(NIST_P256) => {
                    ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Self::EcdsaP256).map_err(rejected("P-256"))
                }
                Ok(NIST_P384) => {
                    ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, der).map(Self::EcdsaP384).map_err(rejected("P-384"))
                }
                Ok(curve) => Err(Unusable::Unsupported(format!("curve {curve}: P-256 and P-384 are supported"))),
                Err(_) => Err(Unusable::Unsupported("an EC key without a named curve".to_owned())),
            },
            RSA => RsaKeyPair::from_pkcs8(der).map(Self::Rsa).map_err(|error| {
                // A size is no damage. The words are ring's; it gives no codes.
                match error.to_string().as_str() {
                    size @ ("TooSmall" | "TooLarge") => Unusable::Unsupported(format!(
                        "this RSA key cannot sign ({size}): sizes from 2048 to 4096 bits, in whole bytes, are supported"
                    )),
                    _ => rejected("RSA")(error),
                }
            }),
            other => Err(Unusable::Unsupported(format!(
                "private key algorithm {other}: Ed25519, ECDSA (P-256, P-384) and RSA are supported"
            ))),
        }
    }

    /// The public half; `None` only for a shape that no well-formed key has.
    pub(super) fn public(&self) -> Option<PublicKey> {
        Some(match self {
            Self::EcdsaP256(pair) => PublicKey::EcdsaP256(pair.public_key().as_ref().into()),
            Self::EcdsaP384(pair) => PublicKey::EcdsaP384(pair.public_key().as_ref().into()),
            Self::Ed25519(pair) => PublicKey::Ed25519(pair.public_key().as_ref().try_into().ok()?),
            Self::Rsa(pair) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                PublicKey::Rsa { modulus: n.into(), exponent: e.into() }
            }
        })
    }

    /// Ed25519; ECDSA with the curve's hash, in DER; RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    pub(super) fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, Refused> {
        let random = SystemRandom::new();
        match self {
            Self::EcdsaP256(pair) | Self::EcdsaP384(pair) => {
                Ok(pair.sign(&random, payload)?.as_ref().to_vec())
            }
            Self::Ed25519(pair) => Ok(pair.sign(payload).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, payload, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    der: &[u8],
) -> Result<EcdsaKeyPair, ring::error::KeyRejected> {
    EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new())
}

fn rejected(kind: &'static str) -> impl Fn(ring::error::KeyRejected) -> Unusable {
    move |error| Unusable::Damaged(format!("not a sound {kind} key ({error})"))
}

fn info_of(document: &SecretDocument) -> Result<PrivateKeyInfoRef<'_>, Unusable> {
    PrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| Unusable::Damaged(format!("no PKCS#8 private key: {error}")))
}

/// A new private key, as an unencrypted PKCS#8 v1 document.
pub(super) fn generate(algorithm: Algorithm) -> Result<SecretDocument, Refused> {
    let random = SystemRandom::new();
    let der = Zeroizing::new(match algorithm {
        Algorithm::EcdsaP256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)?.as_ref().to_vec()
        }
        Algorithm::EcdsaP384 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random)?.as_ref().to_vec()
        }
        Algorithm::Ed25519 => {
            let mut seed = Zeroizing::new([0; 32]);
            random.fill(&mut *seed)?;
            return from_seed(&seed);
        }
        // ring makes none.
        Algorithm::Rsa3072 => return Err(Refused),
    });
    SecretDocument::try_from(der.as_slice()).map_err(|_| Refused)
}

/// An Ed25519 key (RFC 8032, section 5.1.5: the seed is the private key) as a PKCS#8 v1 document.
pub(super) fn from_seed(seed: &[u8; 32]) -> Result<SecretDocument, Refused> {
    // One allocation of the right size: a vector that grows leaves a copy behind.
    let der = Zeroizing::new([ED25519_V1_PREFIX.as_slice(), seed].concat());
    SecretDocument::try_from(der.as_slice()).map_err(|_| Refused)
}

/// Encrypts a PKCS#8 document: PBES2 with scrypt and AES-256-CBC, which OpenSSL reads.
pub(super) fn encrypt(document: &SecretDocument, passphrase: &[u8]) -> Result<SecretDocument, Refused> {
    let random = SystemRandom::new();
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    random.fill(&mut salt)?;
    random.fill(&mut iv)?;
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P).map_err(|_| Refused)?;
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|_| Refused)?;
    info_of(document).map_err(|_| Refused)?.encrypt_with_params(parameters, passphrase).map_err(|_| Refused)
}

/// Decrypts an `ENCRYPTED PRIVATE KEY` document.
pub(super) fn decrypt(document: &SecretDocument, passphrase: &[u8]) -> Result<SecretDocument, Unusable> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| Unusable::Damaged(format!("no encrypted PKCS#8 private key: {error}")))?;
    if encrypted.encrypted_data.as_bytes().is_empty() {
        return Err(Unusable::Damaged("its encrypted part is empty".to_owned()));
    }
    let plain = encrypted.decrypt(passphrase).map_err(|error| match error {
        // Bad padding, or plain text that is no DER.
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            Unusable::WrongPassphrase
        }
        other => Unusable::Unsupported(format!("its encryption cannot be undone: {other}")),
    })?;
    if info_of(&plain).is_err() {
        return Err(Unusable::WrongPassphrase);
    }
    Ok(plain)
}
