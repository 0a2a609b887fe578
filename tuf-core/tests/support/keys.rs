//! Key pairs of tests. The ed25519 ones come from their seed; the RSA one is published with the tests.

use std::rc::Rc;

use data_encoding::HEXLOWER;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::Value;
use tuf_core::{Key, PublicKey};

pub(crate) struct Pair {
    signer: Signer,
    pub(crate) key: Key,
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    #[cfg(feature = "ml-dsa")]
    MlDsa(aws_lc_rs::signature::PqdsaKeyPair),
}

impl Pair {
    /// The ed25519 key of a seed.
    pub(crate) fn ed(seed: u32) -> Rc<Self> {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&seed.to_be_bytes());
        let pair = Ed25519KeyPair::from_seed_unchecked(&bytes).unwrap();
        let public = PublicKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
        Rc::new(Self { signer: Signer::Ed25519(pair), key: Key::from_public(&public) })
    }

    /// A fresh P-256 key.
    pub(crate) fn p256() -> Rc<Self> {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, PublicKey::EcdsaP256)
    }

    /// A fresh P-384 key.
    pub(crate) fn p384() -> Rc<Self> {
        Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, PublicKey::EcdsaP384)
    }

    fn ecdsa(
        algorithm: &'static ring::signature::EcdsaSigningAlgorithm,
        public: fn(Box<[u8]>) -> PublicKey,
    ) -> Rc<Self> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let key = Key::from_public(&public(pair.public_key().as_ref().into()));
        Rc::new(Self { signer: Signer::Ecdsa(pair), key })
    }

    /// The RSA key of the tests.
    pub(crate) fn rsa() -> Rc<Self> {
        let pem = include_str!("test-only-rsa.pem");
        let (_, document) = der::pem::decode_vec(pem.trim().as_bytes()).unwrap();
        let pair = RsaKeyPair::from_pkcs8(&document).unwrap();
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
        let public = PublicKey::Rsa { modulus: parts.n.into(), exponent: parts.e.into() };
        Rc::new(Self { signer: Signer::Rsa(pair), key: Key::from_public(&public) })
    }

    /// The ML-DSA key of a seed, in one of the sets 44, 65 and 87.
    #[cfg(feature = "ml-dsa")]
    pub(crate) fn ml_dsa(set: u32, seed: u8) -> Rc<Self> {
        use aws_lc_rs::signature::{self, KeyPair as _, PqdsaKeyPair};
        let algorithm = match set {
            44 => &signature::ML_DSA_44_SIGNING,
            65 => &signature::ML_DSA_65_SIGNING,
            87 => &signature::ML_DSA_87_SIGNING,
            other => panic!("no ML-DSA-{other}"),
        };
        let pair = PqdsaKeyPair::from_seed(algorithm, &[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().into();
        let key = Key::from_public(&match set {
            44 => PublicKey::MlDsa44(public),
            65 => PublicKey::MlDsa65(public),
            _ => PublicKey::MlDsa87(public),
        });
        Rc::new(Self { signer: Signer::MlDsa(pair), key })
    }

    /// The key ID of the specification.
    pub(crate) fn id(&self) -> String {
        self.key.id().as_str().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        self.key.to_json().unwrap()
    }

    /// A signature; all but ed25519 make another one every time.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Signer::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            // TAP 21: "tuf", version 1, SHA-512.
            #[cfg(feature = "ml-dsa")]
            Signer::MlDsa(pair) => {
                let digest = ring::digest::digest(&ring::digest::SHA512, message);
                let signed = [&[0x74, 0x75, 0x66, 0x01], digest.as_ref()].concat();
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(&signed, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A signature of pure ML-DSA over the message itself, which TAP 21 forbids.
    #[cfg(feature = "ml-dsa")]
    pub(crate) fn sign_pure(&self, message: &[u8]) -> Vec<u8> {
        let Signer::MlDsa(pair) = &self.signer else { panic!("no ML-DSA key") };
        let mut signature = vec![0; pair.algorithm().signature_len()];
        pair.sign(message, &mut signature).unwrap();
        signature
    }

    pub(crate) fn sign_hex(&self, message: &[u8]) -> String {
        HEXLOWER.encode(&self.sign(message))
    }
}
