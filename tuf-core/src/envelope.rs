//! The signed file: `{"signatures": [...], "signed": {...}}` (spec 4.2).
//!
//! An envelope keeps the exact bytes that came, for the store, and the canonical form of `signed`, the
//! only text that signatures are checked over and typed values are read from.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::canonical::{self, to_wire, write_string};
use crate::error::{Error, ErrorKind};
use crate::json::{Extra, Json};
use crate::limits::Limits;
use crate::reader::{FieldError, Reader, required, shorten, write_array, write_object};
use crate::role::KeyId;

/// One entry of `signatures`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub(crate) keyid: KeyId,
    pub(crate) sig: String,
    pub(crate) extra: Extra,
}

impl Signature {
    /// The key that is said to have signed.
    #[must_use]
    pub const fn keyid(&self) -> &KeyId {
        &self.keyid
    }

    /// The signature; `None` if it is not hex. Some tools leave it empty for a signer who has not
    /// signed yet, so that is no error.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        HEXLOWER_PERMISSIVE.decode(self.sig.as_bytes()).ok().filter(|bytes| !bytes.is_empty())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
        let (mut keyid, mut sig, mut extra) = (None, None, Extra::new());
        reader.object(|key, reader| {
            match &*key {
                "keyid" => keyid = Some(KeyId::new(&reader.string()?)),
                "sig" => sig = Some(reader.owned_string()?),
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        Ok(Self { keyid: required(keyid, "keyid")?, sig: required(sig, "sig")?, extra })
    }

    fn write(&self, out: &mut String) {
        write_object(
            out,
            &self.extra,
            &[
                ("keyid", &|out| write_string(out, self.keyid.as_str())),
                ("sig", &|out| write_string(out, &self.sig)),
            ],
        );
    }
}

/// A file of metadata whose signatures have not been checked yet.
#[derive(Clone)]
pub struct Envelope {
    bytes: Arc<[u8]>,
    /// Where `signed` stands in `bytes`, or its canonical form if it is not canonical there.
    signed: Signed,
    signatures: Vec<Signature>,
    extra: Extra,
}

#[derive(Clone)]
enum Signed {
    InPlace(std::ops::Range<usize>),
    Rewritten(Arc<str>),
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// [`ErrorKind::Json`], [`ErrorKind::Field`] for a part that is missing or malformed,
    /// [`ErrorKind::DuplicateSignature`], [`ErrorKind::Limit`] for too many signatures.
    pub fn parse(bytes: impl Into<Arc<[u8]>>, limits: &Limits) -> Result<Self, Error> {
        let bytes = bytes.into();
        let (mut signed, mut signatures, mut extra) = (None, None, Extra::new());
        for (key, text) in canonical::members(&bytes, limits.json_depth)? {
            match &*key {
                "signed" => signed = Some(locate(&bytes, text)),
                "signatures" => signatures = Some(read_signatures(&text, limits)?),
                _ => {
                    extra.insert(key.into_owned(), Json::from_canonical(&text));
                }
            }
        }
        let signed = required(signed, "signed")?;
        let signatures = required(signatures, "signatures")?;
        Ok(Self { bytes, signed, signatures, extra })
    }

    /// The exact bytes that were received.
    #[must_use]
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// `signed` in canonical form.
    #[must_use]
    pub fn signed(&self) -> &str {
        match &self.signed {
            Signed::InPlace(range) => self
                .bytes
                .get(range.clone())
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .unwrap_or_default(),
            Signed::Rewritten(text) => text,
        }
    }

    /// Reads `signed`.
    pub(crate) fn reader(&self) -> Reader<'_> {
        match &self.signed {
            Signed::InPlace(range) => Reader::within(&self.bytes, range.start, self.signed()),
            Signed::Rewritten(text) => Reader::new(text),
        }
    }

    /// The signatures, in their order.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// `_type`, `version` and `expires` as they stand, not yet trusted. For messages and inspection.
    #[must_use]
    pub fn claims(&self) -> Claims {
        let mut claims = Claims::default();
        // A field that cannot be read stays `None`.
        let _ = self.reader().object(|key, reader| {
            match &*key {
                "_type" => claims.kind = reader.owned_string().ok(),
                "version" => claims.version = reader.integer().ok(),
                _ => {
                    reader.raw();
                }
            }
            Ok(())
        });
        claims
    }

    /// The file for a canonical `signed` and its signatures. The only writer of metadata files.
    pub(crate) fn write(signed: &str, signatures: &[Signature], extra: &Extra) -> String {
        let mut out = String::with_capacity(signed.len() + 256 * signatures.len() + 64);
        write_object(
            &mut out,
            extra,
            &[
                ("signatures", &|out| write_array(out, signatures, |out, signature| signature.write(out))),
                ("signed", &|out| out.push_str(signed)),
            ],
        );
        to_wire(&out).into_owned()
    }

    pub(crate) const fn extra(&self) -> &Extra {
        &self.extra
    }
}

/// What an envelope says of itself before anything was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// `_type`, if it is a string.
    pub kind: Option<String>,
    /// `version`, if it is an integer.
    pub version: Option<u64>,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("bytes", &self.bytes.len())
            .field("claims", &self.claims())
            .finish_non_exhaustive()
    }
}

/// Borrowed text becomes a range of `bytes`, so that the envelope can own both.
fn locate(bytes: &[u8], text: Cow<'_, str>) -> Signed {
    match text {
        Cow::Borrowed(text) => {
            let start = text.as_ptr().addr() - bytes.as_ptr().addr();
            Signed::InPlace(start..start + text.len())
        }
        Cow::Owned(text) => Signed::Rewritten(text.into()),
    }
}

fn read_signatures(text: &str, limits: &Limits) -> Result<Vec<Signature>, Error> {
    let mut signatures = Vec::new();
    Reader::new(text)
        .array(|reader| {
            signatures.push(Signature::read(reader)?);
            Ok(())
        })
        .map_err(|error| error.at("signatures"))?;
    if signatures.len() > limits.signatures {
        let limit = u64::try_from(limits.signatures).unwrap_or(u64::MAX);
        return Err(ErrorKind::Limit { what: "signatures", limit }.into());
    }
    let mut seen = BTreeSet::new();
    match signatures.iter().find(|signature| !seen.insert(&signature.keyid)) {
        Some(twice) => {
            let keyid = KeyId::new(&shorten(twice.keyid.as_str()));
            Err(ErrorKind::DuplicateSignature(keyid).into())
        }
        None => Ok(signatures),
    }
}
