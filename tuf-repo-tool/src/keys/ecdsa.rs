//! ECDSA signatures: tokens and some services give the two numbers side by side, TUF wants them as ASN.1 DER.

use pkcs8::der::Encode;
use pkcs8::der::asn1::UintRef;

/// `SEQUENCE { INTEGER r, INTEGER s }` (RFC 3279, section 2.2.3); `None` if either is empty or absurdly long.
pub(super) fn der(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    [UintRef::new(r).ok()?, UintRef::new(s).ok()?].to_vec().to_der().ok()
}

/// The same of r and s in one piece, each half as long as the whole (IEEE P1363; PKCS#11's form).
pub(crate) fn der_of_halves(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(signature.len() / 2)?;
    (!r.is_empty() && r.len() == s.len()).then(|| der(r, s)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_shortest_positive_integers() {
        for (halves, expected) in [
            (&[1, 2][..], Some(&[0x30, 6, 2, 1, 1, 2, 1, 2][..])),
            // A high bit would make it negative, leading zeros are not minimal.
            (&[0x80, 0, 0, 1], Some(&[0x30, 8, 2, 3, 0, 0x80, 0, 2, 1, 1])),
            (&[0, 0], Some(&[0x30, 6, 2, 1, 0, 2, 1, 0])),
            (&[1, 2, 3], None),
            (&[], None),
        ] {
            assert_eq!(der_of_halves(halves).as_deref(), expected, "{halves:?}");
        }
    }
}
