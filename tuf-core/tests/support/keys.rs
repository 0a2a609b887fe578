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

    /// The key ID of the specification.
    pub(crate) fn id(&self) -> String {
        self.key.id().as_str().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        self.key.to_json().unwrap()
    }

    /// A signature; ECDSA and RSA-PSS make another one every time.
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
        }
    }

    pub(crate) fn sign_hex(&self, message: &[u8]) -> String {
        HEXLOWER.encode(&self.sign(message))
    }
}
