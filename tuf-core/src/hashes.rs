//! Signed hashes, and checking bytes against them while they stream by.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::digest;

use crate::error::{Error, ErrorKind};
use crate::reader::{FieldError, Reader, write_map};

/// The hashes of a file (spec 4.4, 4.5). sha256 and sha512 are checked; others are carried.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hashes {
    sha256: Option<[u8; 32]>,
    sha512: Option<Box<[u8; 64]>>,
    other: BTreeMap<String, String>,
}

/// As signed: in hex.
impl fmt::Debug for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Hashes {
    /// What the builders write: sha256.
    #[must_use]
    pub const fn sha256_only(digest: [u8; 32]) -> Self {
        Self { sha256: Some(digest), sha512: None, other: BTreeMap::new() }
    }

    /// The sha256 of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::sha256_only(crate::target_path::sha256(bytes))
    }

    /// The signed sha256.
    #[must_use]
    pub const fn sha256(&self) -> Option<&[u8; 32]> {
        self.sha256.as_ref()
    }

    /// The digest that names the file under consistent snapshots, in hex: sha256, else sha512.
    #[must_use]
    pub fn preferred(&self) -> Option<String> {
        let sha512 = || self.sha512.as_ref().map(|sum| HEXLOWER.encode(&sum[..]));
        self.sha256.map(|sum| HEXLOWER.encode(&sum)).or_else(sha512)
    }

    /// Algorithm and hex digest of every hash, known or not.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        let sha256 = self.sha256.map(|sum| ("sha256", HEXLOWER.encode(&sum)));
        let sha512 = self.sha512.as_ref().map(|sum| ("sha512", HEXLOWER.encode(&sum[..])));
        let other = self.other.iter().map(|(name, sum)| (name.as_str(), sum.clone()));
        sha256.into_iter().chain(sha512).chain(other)
    }

    /// Whether two sets of hashes can be of the same bytes, and say so: they share sha256 or sha512, and no
    /// algorithm that both name, known here or not, has two digests.
    #[must_use]
    pub fn agree(&self, other: &Self) -> bool {
        fn pair<'a, T: ?Sized + PartialEq>(one: Option<&'a T>, two: Option<&'a T>) -> Option<bool> {
            one.zip(two).map(|(one, two)| one == two)
        }
        let strong = [
            pair(self.sha256.as_ref(), other.sha256.as_ref()),
            pair(self.sha512.as_ref(), other.sha512.as_ref()),
        ];
        let mut rest = self.other.iter().map(|(name, sum)| pair(Some(sum), other.other.get(name)));
        strong.contains(&Some(true)) && !strong.contains(&Some(false)) && rest.all(|same| same != Some(false))
    }

    /// The hashes of both, for bytes that must match all of them. Meant for two that [`Self::agree`]: where they do not,
    /// this one's digest stays.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.sha256 = both.sha256.or(other.sha256);
        both.sha512 = both.sha512.or_else(|| other.sha512.clone());
        for (name, sum) in &other.other {
            both.other.entry(name.clone()).or_insert_with(|| sum.clone());
        }
        both
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, FieldError> {
        let mut hashes = Self::default();
        reader.object(|key, reader| {
            let text = reader.string()?;
            match &*key {
                "sha256" => hashes.sha256 = Some(fixed(&text)?),
                "sha512" => hashes.sha512 = Some(Box::new(fixed(&text)?)),
                _ => {
                    hashes.other.insert(key.into_owned(), text.into_owned());
                }
            }
            Ok(())
        })?;
        Ok(hashes)
    }

    pub(crate) fn write(&self, out: &mut String) {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable();
        write_map(out, all, |out, sum| crate::canonical::write_string(out, &sum));
    }
}

fn fixed<const N: usize>(text: &str) -> Result<[u8; N], FieldError> {
    let mut sum = [0; N];
    // The length first: with another one, decoding panics.
    if text.len() == 2 * N && HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut sum).is_ok() {
        return Ok(sum);
    }
    Err(FieldError::new(format!("{} hex digits", 2 * N), text))
}

/// Checks length and hashes of bytes as they come. It buffers nothing, so that it serves files of any
/// size; the caller makes nothing visible before [`Checker::finish`] says so.
#[derive(Clone)]
pub struct Checker {
    expected: Hashes,
    length: Option<u64>,
    seen: u64,
    sha256: Option<digest::Context>,
    sha512: Option<digest::Context>,
}

impl Checker {
    /// Expects `hashes` and, if it is known, an exact length in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NoKnownHash`] if there is nothing to check by.
    pub fn new(hashes: &Hashes, length: Option<u64>) -> Result<Self, Error> {
        if hashes.sha256.is_none() && hashes.sha512.is_none() {
            return Err(ErrorKind::NoKnownHash.into());
        }
        Ok(Self {
            expected: hashes.clone(),
            length,
            seen: 0,
            sha256: hashes.sha256.map(|_| digest::Context::new(&digest::SHA256)),
            sha512: hashes.sha512.as_ref().map(|_| digest::Context::new(&digest::SHA512)),
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Length`] as soon as there are more than were signed.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.seen = self.seen.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some(expected) = self.length.filter(|length| self.seen > *length) {
            return Err(ErrorKind::Length { expected, found: self.seen }.into());
        }
        for context in [&mut self.sha256, &mut self.sha512].into_iter().flatten() {
            context.update(bytes);
        }
        Ok(())
    }

    /// How many bytes came so far.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Says whether what came is what was signed.
    ///
    /// # Errors
    /// [`ErrorKind::Length`] or [`ErrorKind::Hash`].
    pub fn finish(self) -> Result<(), Error> {
        if let Some(expected) = self.length.filter(|length| self.seen != *length) {
            return Err(ErrorKind::Length { expected, found: self.seen }.into());
        }
        let sha512 = self.expected.sha512.as_ref().map(|sum| &sum[..]);
        let sha256 = self.expected.sha256.as_ref().map(|sum| &sum[..]);
        for (algorithm, expected, context) in
            [("sha256", sha256, self.sha256), ("sha512", sha512, self.sha512)]
        {
            let (Some(expected), Some(context)) = (expected, context) else { continue };
            let found = context.finish();
            if found.as_ref() != expected {
                return Err(ErrorKind::Hash {
                    algorithm,
                    expected: HEXLOWER.encode(expected),
                    found: HEXLOWER.encode(found.as_ref()),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Checks bytes that are all there.
    ///
    /// # Errors
    /// As [`Checker::update`] and [`Checker::finish`].
    pub fn check(hashes: &Hashes, length: Option<u64>, bytes: &[u8]) -> Result<(), Error> {
        let mut checker = Self::new(hashes, length)?;
        checker.update(bytes)?;
        checker.finish()
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("expected", &self.expected)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_if_a_strong_one_is_the_same_and_none_is_another() {
        let read = |text: &str| Hashes::read(&mut Reader::new(text)).unwrap();
        let [a, b] = ["a", "b"].map(|digit| format!(r#""sha256":"{}""#, digit.repeat(64)));
        let [c, d] = ["c", "d"].map(|digit| format!(r#""sha512":"{}""#, digit.repeat(128)));
        let rows = [
            (a.clone(), a.clone(), true),
            (a.clone(), a.to_uppercase().replace("SHA", "sha"), true),
            (a.clone(), b.clone(), false),
            (a.clone(), c.clone(), false),
            (c.clone(), c.clone(), true),
            (format!("{a},{c}"), a.clone(), true),
            (format!("{a},{c}"), c.clone(), true),
            (format!("{a},{c}"), format!("{a},{d}"), false),
            (format!("{a},{c}"), format!("{b},{c}"), false),
            (r#""md5":"x""#.to_owned(), r#""md5":"x""#.to_owned(), false),
            (format!(r#""md5":"x",{a}"#), format!(r#""md5":"y",{a}"#), false),
            (format!(r#""md5":"x",{a}"#), format!(r#""crc":"y",{a}"#), true),
            (String::new(), String::new(), false),
        ];
        for (one, two, expected) in rows {
            let [x, y] = [&one, &two].map(|text| read(&format!("{{{text}}}")));
            assert_eq!((x.agree(&y), y.agree(&x)), (expected, expected), "{one} ~ {two}");
            if expected {
                let both = x.and(&y);
                assert!(both.agree(&x) && both.agree(&y), "{one} ~ {two}");
                assert_eq!(both, y.and(&x));
            }
        }
        let both = read(&format!("{{{a}}}")).and(&read(&format!("{{{c}}}")));
        assert_eq!(both, read(&format!("{{{a},{c}}}")));
    }

    #[test]
    fn every_known_hash_must_match_and_one_must_be_known() {
        let text = r#"{"md5":"x","sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","sha512":"00"}"#;
        assert!(Hashes::read(&mut Reader::new(text)).is_err());
        let good = Hashes::of(b"abc");
        assert!(Checker::check(&good, Some(3), b"abc").is_ok());
        assert!(matches!(Checker::check(&good, Some(3), b"abd").unwrap_err().kind(), ErrorKind::Hash { .. }));
        assert!(matches!(
            Checker::check(&good, Some(4), b"abc").unwrap_err().kind(),
            ErrorKind::Length { .. }
        ));
        assert!(matches!(
            Checker::check(&good, Some(2), b"abc").unwrap_err().kind(),
            ErrorKind::Length { .. }
        ));
        let unknown = Hashes::read(&mut Reader::new(r#"{"md5":"x"}"#)).unwrap();
        assert!(matches!(Checker::check(&unknown, None, b"").unwrap_err().kind(), ErrorKind::NoKnownHash));
        let mut both = good;
        both.sha512 = Some(Box::new([0; 64]));
        assert!(Checker::check(&both, None, b"abc").is_err(), "the second hash counts too");
    }
}
