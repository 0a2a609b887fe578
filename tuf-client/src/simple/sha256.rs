//! A SHA-256 digest as pages write it.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// A SHA-256 digest; written as 64 lower-case hexadecimal digits, read in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a digest is its bytes and never more")]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| Sha256Error { found: text.chars().take(80).collect() })
    }
}

/// A text that is no SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 digest (64 hexadecimal digits), found {found:?}")]
#[non_exhaustive]
pub struct Sha256Error {
    /// The text, shortened to 80 characters.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip_and_everything_else_is_refused() {
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(hex.parse::<Sha256>().unwrap().to_string(), hex);
        assert_eq!(hex.to_uppercase().parse::<Sha256>().unwrap().to_string(), hex);
        for text in ["", "00", &hex[1..], &format!("{hex}00"), &format!(" {}", &hex[1..]), &"g".repeat(64)] {
            assert!(text.parse::<Sha256>().is_err(), "{text:?}");
        }
    }
}
