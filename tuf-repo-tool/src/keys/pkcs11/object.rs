//! Keys as a token describes them.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use pkcs8::der::Decode;
use pkcs8::der::asn1::OctetStringRef;
use tuf_core::{Key, PublicKey};

use super::Pkcs11Uri;
use crate::keys::{Algorithm, KeyError, public};

/// DER of the curves' object identifiers, as `CKA_EC_PARAMS` holds them.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// Ed25519 by RFC 8410, and as PKCS#11 3.0 first named it: the string "edwards25519".
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

/// The public half of a key on a token.
#[derive(Clone, Debug)]
pub(super) struct PublicObject {
    pub(super) label: String,
    pub(super) id: Vec<u8>,
    /// The key, or why TUF cannot use it.
    pub(super) key: Result<Key, String>,
}

/// The objects of a class that a URI's attributes fit.
pub(super) fn find(
    session: &Session,
    uri: &Pkcs11Uri,
    class: ObjectClass,
) -> Result<Vec<ObjectHandle>, KeyError> {
    let mut template = vec![Attribute::Token(true), Attribute::Class(class)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(uri.id.clone().map(Attribute::Id));
    session.find_objects(&template).map_err(|error| KeyError::token(uri, "look for keys", error))
}

/// The public keys that a URI's attributes fit.
pub(super) fn public_keys(session: &Session, uri: &Pkcs11Uri) -> Result<Vec<PublicObject>, KeyError> {
    find(session, uri, ObjectClass::PUBLIC_KEY)?
        .into_iter()
        .map(|handle| {
            describe(session, handle).map_err(|error| KeyError::token(uri, "describe a key", error))
        })
        .collect()
}

fn describe(session: &Session, handle: ObjectHandle) -> cryptoki::error::Result<PublicObject> {
    let mut wanted = vec![AttributeType::Label, AttributeType::Id, AttributeType::KeyType];
    let (mut label, mut id, mut kind) = (String::new(), Vec::new(), None);
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8_lossy(&bytes).into_owned(),
            Attribute::Id(bytes) => id = bytes,
            Attribute::KeyType(found) => kind = Some(found),
            _ => {}
        }
    }
    wanted = match kind {
        Some(KeyType::RSA) => vec![AttributeType::Modulus, AttributeType::PublicExponent],
        Some(KeyType::EC | KeyType::EC_EDWARDS) => vec![AttributeType::EcParams, AttributeType::EcPoint],
        _ => {
            let reason = "it is no Ed25519, ECDSA or RSA key".to_owned();
            return Ok(PublicObject { label, id, key: Err(reason) });
        }
    };
    let key = material(&session.get_attributes(handle, &wanted)?).map(|public| Key::from_public(&public));
    Ok(PublicObject { label, id, key })
}

fn material(attributes: &[Attribute]) -> Result<PublicKey, String> {
    let (mut params, mut point, mut modulus, mut exponent) = (None, None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::EcParams(bytes) => params = Some(bytes.as_slice()),
            Attribute::EcPoint(bytes) => point = Some(bytes.as_slice()),
            Attribute::Modulus(bytes) => modulus = Some(trimmed(bytes)),
            Attribute::PublicExponent(bytes) => exponent = Some(trimmed(bytes)),
            _ => {}
        }
    }
    match (params, point, modulus, exponent) {
        (_, _, Some(modulus), Some(exponent)) if (256..=1024).contains(&modulus.len()) => {
            Ok(PublicKey::Rsa { modulus: modulus.into(), exponent: exponent.into() })
        }
        (_, _, Some(modulus), Some(_)) => {
            Err(format!("RSA with {} bits: 2048 to 8192 are supported", modulus.len() * 8))
        }
        (Some(params), Some(point), ..) => curve_key(params, point),
        _ => Err("the token does not give its public half out".to_owned()),
    }
}

fn curve_key(params: &[u8], point: &[u8]) -> Result<PublicKey, String> {
    // PKCS#11 wraps the point in an OCTET STRING; some tokens do not.
    let point = <&OctetStringRef>::from_der(point).map_or(point, |octets| octets.as_bytes());
    let key = public::from_point(point);
    match (params, key) {
        (P256, Some(key @ PublicKey::EcdsaP256(_)))
        | (P384, Some(key @ PublicKey::EcdsaP384(_)))
        | (ED25519 | EDWARDS25519, Some(key @ PublicKey::Ed25519(_))) => Ok(key),
        (P256 | P384 | ED25519 | EDWARDS25519, _) => Err("its public half does not fit its curve".to_owned()),
        _ => Err("its curve is not supported: P-256, P-384 and Ed25519 are".to_owned()),
    }
}

fn trimmed(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}

/// Whether unlocking the token is not enough to use the key.
pub(super) fn wants_pin_each_time(session: &Session, handle: ObjectHandle) -> bool {
    session
        .get_attributes(handle, &[AttributeType::AlwaysAuthenticate])
        .is_ok_and(|found| found.contains(&Attribute::AlwaysAuthenticate(true)))
}

/// The attributes that choose what kind of key is made.
pub(super) fn kind(algorithm: Algorithm) -> Vec<Attribute> {
    match algorithm {
        Algorithm::EcdsaP256 => vec![Attribute::EcParams(P256.to_vec())],
        Algorithm::EcdsaP384 => vec![Attribute::EcParams(P384.to_vec())],
        Algorithm::Ed25519 => vec![Attribute::EcParams(EDWARDS25519.to_vec())],
        Algorithm::Rsa3072 => {
            vec![Attribute::ModulusBits(3072.into()), Attribute::PublicExponent(vec![1, 0, 1])]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_wrapped_or_bare_if_it_fits_its_curve() {
        let p256 = [&[4][..], &[7; 64]].concat();
        let wrapped = [&[4, 65][..], &p256].concat();
        for (params, point, usable) in [
            (P256, &wrapped[..], true),
            (P256, &p256, true),
            (P384, &wrapped, false),
            (ED25519, &wrapped, false),
            (ED25519, &[5; 32], true),
            (EDWARDS25519, &[&[4, 32][..], &[5; 32]].concat(), true),
            (P256, &wrapped[..60], false),
            (P256, &[], false),
            (b"\x06\x05\x2b\x81\x04\x00\x23", &wrapped, false),
        ] {
            assert_eq!(curve_key(params, point).is_ok(), usable, "{params:?} {point:?}");
        }
    }

    #[test]
    fn an_rsa_key_needs_its_size_and_both_numbers() {
        let modulus = |bytes: usize| Attribute::Modulus([&[0][..], &vec![0xff; bytes]].concat());
        let exponent = || Attribute::PublicExponent(vec![1, 0, 1]);
        assert!(material(&[modulus(256), exponent()]).is_ok());
        assert!(material(&[modulus(128), exponent()]).unwrap_err().contains("1024 bits"));
        assert!(material(&[modulus(256)]).unwrap_err().contains("does not give"));
    }
}
