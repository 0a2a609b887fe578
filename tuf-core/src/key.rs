//! Public keys: ed25519, ECDSA P-256 and P-384, RSA-PSS-SHA256 (spec 4.2), ML-DSA with feature `ml-dsa` (TAP 21).
//!
//! A key that this program cannot use is carried, never fatal to the file that lists it: a crypto
//! migration must not break deployed clients. The algorithm comes from the key alone, never from a
//! signature (CVE-2015-9258).

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::canonical::{JsonError, write_string};
use crate::crypto;
use crate::error::Error;
use crate::json::{Extra, Json};
use crate::reader::{FieldError, Reader, required, write_object};
use crate::role::KeyId;

/// Key material, decoded. Two keys are the same key if and only if these are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PublicKey {
    /// Ed25519, 32 bytes.
    Ed25519([u8; 32]),
    /// ECDSA on P-256 with SHA-256: the uncompressed point (SEC1), 65 bytes.
    EcdsaP256(Box<[u8]>),
    /// ECDSA on P-384 with SHA-384: the uncompressed point (SEC1), 97 bytes.
    EcdsaP384(Box<[u8]>),
    /// RSASSA-PSS with SHA-256 and a 32-byte salt: big-endian, without leading zeros.
    Rsa {
        /// n, 2048 to 8192 bits.
        modulus: Box<[u8]>,
        /// e.
        exponent: Box<[u8]>,
    },
    /// ML-DSA-44 (FIPS 204) over TAP 21's digest: the encoded key, 1,312 bytes.
    #[cfg(feature = "ml-dsa")]
    MlDsa44(Box<[u8]>),
    /// ML-DSA-65: 1,952 bytes.
    #[cfg(feature = "ml-dsa")]
    MlDsa65(Box<[u8]>),
    /// ML-DSA-87: 2,592 bytes.
    #[cfg(feature = "ml-dsa")]
    MlDsa87(Box<[u8]>),
}

/// A public key as metadata lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    keytype: String,
    scheme: String,
    /// `keyval.public` in canonical form; keys of unknown types may have none.
    value: Option<Json>,
    value_extra: Extra,
    extra: Extra,
    public: Option<PublicKey>,
}

impl Key {
    /// The key object for key material, as the builders write it: hex for ed25519, PEM for the others.
    #[must_use]
    pub fn from_public(public: &PublicKey) -> Self {
        let (keytype, scheme, value) = match public {
            PublicKey::Ed25519(bytes) => ("ed25519", "ed25519", HEXLOWER.encode(bytes)),
            PublicKey::EcdsaP256(_) => ("ecdsa", "ecdsa-sha2-nistp256", crypto::to_pem(public)),
            PublicKey::EcdsaP384(_) => ("ecdsa", "ecdsa-sha2-nistp384", crypto::to_pem(public)),
            PublicKey::Rsa { .. } => ("rsa", "rsassa-pss-sha256", crypto::to_pem(public)),
            #[cfg(feature = "ml-dsa")]
            PublicKey::MlDsa44(_) | PublicKey::MlDsa65(_) | PublicKey::MlDsa87(_) => {
                let scheme = crypto::ml_dsa::ParameterSet::of(public).map_or("", |(set, _)| set.scheme);
                ("ml-dsa", scheme, crypto::to_pem(public))
            }
        };
        Self {
            keytype: keytype.to_owned(),
            scheme: scheme.to_owned(),
            value: Some(Json::from_canonical(&quoted(&value))),
            value_extra: Extra::new(),
            extra: Extra::new(),
            public: Some(public.clone()),
        }
    }

    /// Reads a key object.
    ///
    /// # Errors
    /// If `keytype` or `scheme` is missing or no string, or `keyval` no object. An unknown type or a
    /// malformed value is no error: the key is carried, and [`Key::public`] is `None`.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, Error> {
        let json = Json::from_value(value)?;
        Ok(Self::read(&mut Reader::new(json.as_canonical()))?)
    }

    /// The key object.
    ///
    /// # Errors
    /// [`JsonError`] never, for a key that was read or built here.
    pub fn to_json(&self) -> Result<serde_json::Value, JsonError> {
        Ok(Json::parse(crate::canonical::to_wire(&self.canonical()).as_bytes())?.to_value())
    }

    /// The key object in canonical form.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The key ID that the specification demands of writers: the SHA-256 of the canonical key object
    /// (spec 4.2). Readers take IDs as they come (TAP 12).
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::new(&HEXLOWER.encode(&crate::target_path::sha256(self.canonical().as_bytes())))
    }

    /// The key material, if this program can use it.
    #[must_use]
    pub const fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// `keytype` as signed.
    #[must_use]
    pub fn keytype(&self) -> &str {
        &self.keytype
    }

    /// `scheme` as signed.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether `signature` is this key's signature over `message`. A key that cannot be used has none.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.as_ref().is_some_and(|public| crypto::verify(public, message, signature))
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
        let (mut keytype, mut scheme, mut keyval, mut value) = (None, None, None, None::<Json>);
        let (mut value_extra, mut extra) = (Extra::new(), Extra::new());
        reader.object(|key, reader| {
            match &*key {
                "keytype" => keytype = Some(reader.owned_string()?),
                "scheme" => scheme = Some(reader.owned_string()?),
                "keyval" => {
                    keyval = Some(());
                    reader.object(|key, reader| {
                        if key == "public" {
                            value = Some(reader.json());
                        } else {
                            value_extra.insert(key.into_owned(), reader.json());
                        }
                        Ok(())
                    })?;
                }
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        let keytype = required(keytype, "keytype")?;
        let scheme = required(scheme, "scheme")?;
        required(keyval, "keyval")?;
        // Keys of unknown types may keep their material elsewhere, or in another form.
        let text = value.as_ref().and_then(|value| Reader::new(value.as_canonical()).owned_string().ok());
        let public = text.and_then(|text| decode(&keytype, &scheme, &text));
        Ok(Self { keytype, scheme, value, value_extra, extra, public })
    }

    pub(crate) fn write(&self, out: &mut String) {
        let text = self.value.as_ref().map_or("", Json::as_canonical);
        let public: (&str, &dyn Fn(&mut String)) = ("public", &|out| out.push_str(text));
        let value = if self.value.is_some() { std::slice::from_ref(&public) } else { &[] };
        write_object(
            out,
            &self.extra,
            &[
                ("keytype", &|out| write_string(out, &self.keytype)),
                ("keyval", &|out| write_object(out, &self.value_extra, value)),
                ("scheme", &|out| write_string(out, &self.scheme)),
            ],
        );
    }
}

/// Decodes the material of a known combination of type and scheme.
fn decode(keytype: &str, scheme: &str, value: &str) -> Option<PublicKey> {
    let public = match (keytype, scheme) {
        ("ed25519", "ed25519") => PublicKey::Ed25519(hex(value)?.try_into().ok()?),
        ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256")
        | ("ecdsa" | "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
            // Before PEM, some tools wrote the point in hex.
            let public = match hex(value) {
                Some(point) => crypto::ec_point(&point)?,
                None => crypto::from_pem(value)?,
            };
            match public {
                PublicKey::EcdsaP256(_) if scheme.ends_with("256") => public,
                PublicKey::EcdsaP384(_) if scheme.ends_with("384") => public,
                _ => return None,
            }
        }
        ("rsa", "rsassa-pss-sha256") => {
            crypto::from_pem(value).filter(|key| matches!(key, PublicKey::Rsa { .. }))?
        }
        // The scheme names set and version together; another version is another scheme, and unknown.
        #[cfg(feature = "ml-dsa")]
        ("ml-dsa", scheme) => crypto::from_pem(value).filter(|key| {
            crypto::ml_dsa::ParameterSet::of(key).is_some_and(|(set, _)| set.scheme == scheme)
        })?,
        _ => return None,
    };
    Some(public)
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(&mut out, text);
    out
}

fn hex(value: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_carried_to_the_last_field() {
        for text in [
            r#"{"keytype":"ml-dsa","keyval":{"public":"x"},"scheme":"ml-dsa-44/1"}"#,
            r#"{"keytype":"sigstore-oidc","keyval":{"identity":"a@example.org","issuer":"https://issuer.example"},"scheme":"Fulcio"}"#,
            r#"{"keyid_hash_algorithms":["sha256"],"keytype":"ed25519","keyval":{"public":"00"},"scheme":"ed25519","x-note":1}"#,
        ] {
            let key = Key::read(&mut Reader::new(text)).unwrap();
            assert!(key.public().is_none());
            assert!(!key.verify(b"", b""));
            assert_eq!(key.canonical(), text);
        }
    }

    #[test]
    fn a_key_needs_its_type_its_scheme_and_its_value() {
        let whole = serde_json::json!({"keytype": "k", "scheme": "s", "keyval": {"public": "x"}});
        Key::from_json(&whole).unwrap();
        for field in ["keytype", "scheme", "keyval"] {
            let mut part = whole.clone();
            part.as_object_mut().unwrap().remove(field);
            let error = Key::from_json(&part).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn a_scheme_of_another_curve_is_unusable() {
        let public = crypto::ec_point(&[&[4][..], &[1; 64]].concat()).unwrap();
        let key = Key::from_public(&public);
        let text = key.canonical().replace("nistp256", "nistp384");
        assert!(Key::read(&mut Reader::new(&text)).unwrap().public().is_none());
        assert_eq!(Key::read(&mut Reader::new(&key.canonical())).unwrap(), key);
    }
}
