//! The only module that knows the cryptographic providers: ring, and aws-lc-rs for ML-DSA.

#[cfg(feature = "ml-dsa")]
pub(crate) mod ml_dsa;

use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::pem::LineEnding;
use der::{Decode, Encode, Reader as _, SliceReader};
use ring::signature;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::key::PublicKey;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

pub(crate) fn verify(key: &PublicKey, message: &[u8], sig: &[u8]) -> bool {
    let unparsed = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
        signature::UnparsedPublicKey::new(algorithm, key).verify(message, sig)
    };
    match key {
        PublicKey::Ed25519(key) => unparsed(&signature::ED25519, key),
        PublicKey::EcdsaP256(point) => unparsed(&signature::ECDSA_P256_SHA256_ASN1, point),
        PublicKey::EcdsaP384(point) => unparsed(&signature::ECDSA_P384_SHA384_ASN1, point),
        PublicKey::Rsa { modulus, exponent } => {
            signature::RsaPublicKeyComponents { n: &**modulus, e: &**exponent }.verify(
                &signature::RSA_PSS_2048_8192_SHA256,
                message,
                sig,
            )
        }
        #[cfg(feature = "ml-dsa")]
        PublicKey::MlDsa44(_) | PublicKey::MlDsa65(_) | PublicKey::MlDsa87(_) => {
            return ml_dsa::ParameterSet::of(key).is_some_and(|(set, key)| set.verify(key, message, sig));
        }
    }
    .is_ok()
}

/// An uncompressed point of a known curve.
pub(crate) fn ec_point(point: &[u8]) -> Option<PublicKey> {
    match (point.first(), point.len()) {
        (Some(4), 65) => Some(PublicKey::EcdsaP256(point.into())),
        (Some(4), 97) => Some(PublicKey::EcdsaP384(point.into())),
        _ => None,
    }
}

/// Reads a PEM `PUBLIC KEY` (SubjectPublicKeyInfo).
pub(crate) fn from_pem(pem: &str) -> Option<PublicKey> {
    let (label, document) = der::pem::decode_vec(pem.trim().as_bytes()).ok()?;
    if label != "PUBLIC KEY" {
        return None;
    }
    let info = SubjectPublicKeyInfoRef::from_der(&document).ok()?;
    let bits = info.subject_public_key.as_bytes()?;
    match info.algorithm.oid {
        EC_PUBLIC_KEY => {
            let curve = info.algorithm.parameters_oid().ok()?;
            ec_point(bits).filter(|key| match key {
                PublicKey::EcdsaP256(_) => curve == P256,
                _ => curve == P384,
            })
        }
        RSA_ENCRYPTION => {
            let mut reader = SliceReader::new(bits).ok()?;
            let (modulus, exponent) = reader
                .sequence(|reader| Ok::<_, der::Error>((UintRef::decode(reader)?, UintRef::decode(reader)?)))
                .ok()?;
            (reader.is_finished()).then(|| PublicKey::Rsa {
                modulus: modulus.as_bytes().into(),
                exponent: exponent.as_bytes().into(),
            })
        }
        #[cfg(feature = "ml-dsa")]
        oid => ml_dsa::from_spki(oid, info.algorithm.parameters.is_some(), bits),
        #[cfg(not(feature = "ml-dsa"))]
        _ => None,
    }
}

/// Writes a PEM `PUBLIC KEY`; ed25519 keys, which TUF keeps in hex, included.
pub(crate) fn to_pem(key: &PublicKey) -> String {
    encode(key).unwrap_or_default()
}

fn encode(key: &PublicKey) -> Option<String> {
    let (oid, curve, bits): (_, _, Vec<u8>) = match key {
        PublicKey::Ed25519(key) => (ObjectIdentifier::new_unwrap("1.3.101.112"), None, key.to_vec()),
        PublicKey::EcdsaP256(point) => (EC_PUBLIC_KEY, Some(P256), point.to_vec()),
        PublicKey::EcdsaP384(point) => (EC_PUBLIC_KEY, Some(P384), point.to_vec()),
        PublicKey::Rsa { modulus, exponent } => {
            let body = [UintRef::new(modulus).ok()?, UintRef::new(exponent).ok()?].to_vec();
            (RSA_ENCRYPTION, None, body.to_der().ok()?)
        }
        #[cfg(feature = "ml-dsa")]
        PublicKey::MlDsa44(_) | PublicKey::MlDsa65(_) | PublicKey::MlDsa87(_) => {
            let (set, key) = ml_dsa::ParameterSet::of(key)?;
            (set.oid, None, key.to_vec())
        }
    };
    let parameters = match (&curve, oid) {
        (Some(curve), _) => Some(curve.into()),
        (None, RSA_ENCRYPTION) => Some(der::asn1::Null.into()),
        (None, _) => None,
    };
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(&bits).ok()?,
    };
    der::pem::encode_string("PUBLIC KEY", LineEnding::LF, &info.to_der().ok()?).ok()
}
