//! Signatures that are wrong in the ways that Wycheproof looks for, made from good ones of our own.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::support::Pair;

/// The order of the group of P-256, of P-384 and of edwards25519, big-endian.
const P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const P384: &str =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
const ED25519: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";

/// Variants of the signatures that were recorded, and of an ed25519 one.
pub(super) fn cases(recorded: &[Value]) -> Vec<Value> {
    let by_name = |name: &str| recorded.iter().find(|case| case["name"] == name).unwrap();
    let mut cases = ed25519();
    cases.extend(ecdsa("P-256", by_name("P-256, keytype ecdsa, PEM"), P256));
    cases.extend(ecdsa("P-384", by_name("P-384, keytype ecdsa, PEM"), P384));
    cases.extend(rsa(by_name("RSA-PSS, salt of 32 bytes")));
    cases
}

fn case(like: &Value, name: &str, signature: &[u8], valid: bool) -> Value {
    let mut case = like.clone();
    case.as_object_mut().unwrap().remove("recorded");
    case["name"] = name.into();
    case["signature"] = HEXLOWER.encode(signature).into();
    case["valid"] = valid.into();
    case
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Big-endian numbers of any length: `a + b`, one byte longer if it has to be.
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let length = a.len().max(b.len()) + 1;
    let mut digits = vec![0_u8; length];
    let mut carry = 0_u16;
    let digit =
        |number: &[u8], at: usize| number.len().checked_sub(at + 1).map_or(0, |at| u16::from(number[at]));
    for at in 0..length {
        let total = digit(a, at) + digit(b, at) + carry;
        digits[length - 1 - at] = total.to_be_bytes()[1];
        carry = total >> 8;
    }
    if digits[0] == 0 { digits.split_off(1) } else { digits }
}

/// `a - b` of the same length, where `a` is larger.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let mut digits: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let digit = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(digit < 0);
            u8::try_from(digit.rem_euclid(256)).unwrap()
        })
        .collect();
    digits.reverse();
    digits
}

fn ed25519() -> Vec<Value> {
    let pair = Pair::ed(7);
    let like = json!({"key": pair.json(), "keyid": pair.id(), "message": "a message", "usable": true});
    let good = pair.sign(b"a message");
    let (point, scalar) = good.split_at(32);
    // Little-endian on the wire.
    let scalar_be: Vec<u8> = scalar.iter().rev().copied().collect();
    let mut malleable = sum(&scalar_be, &hex(ED25519));
    malleable.reverse();
    let flipped = |at: usize, bit: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= bit;
        bytes
    };
    let identity = [&[1_u8][..], &[0; 63]].concat();
    [
        ("ed25519, S + L in the place of S", [point, &malleable].concat()),
        ("ed25519, S is zero", [point, &[0; 32]].concat()),
        ("ed25519, R is zero", [&[0; 32][..], scalar].concat()),
        ("ed25519, all zero", vec![0; 64]),
        ("ed25519, all ones", vec![0xff; 64]),
        ("ed25519, R is the neutral element and S zero", identity),
        ("ed25519, R and S exchanged", [scalar, point].concat()),
        ("ed25519, first bit of R flipped", flipped(0, 1)),
        ("ed25519, sign of R flipped", flipped(31, 0x80)),
        ("ed25519, highest bit of S set", flipped(63, 0x80)),
        ("ed25519, a byte more", [&good[..], &[0]].concat()),
        ("ed25519, a byte before", [&[0][..], &good].concat()),
        ("ed25519, twice", [&good[..], &good].concat()),
    ]
    .map(|(name, signature)| case(&like, name, &signature, false))
    .into()
}

/// DER of a length below 128.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A number that is not negative, in DER.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or_else(|| number.len().saturating_sub(1));
    let number = &number[start..];
    let zero: &[u8] = if number.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    der(2, &[zero, number].concat())
}

fn pair(r: &[u8], s: &[u8]) -> Vec<u8> {
    der(0x30, &[integer(r), integer(s)].concat())
}

/// The content of the first value, and what follows it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes[2..].split_at(usize::from(bytes[1]))
}

/// Without the zero that keeps it from being negative, and as long as the order.
fn padded(number: &[u8], length: usize) -> Vec<u8> {
    let significant: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    [vec![0; length - significant.len()], significant].concat()
}

fn ecdsa(curve: &str, like: &Value, order: &str) -> Vec<Value> {
    let order = hex(order);
    let good = hex(like["signature"].as_str().unwrap());
    let (body, _) = split(&good);
    let (r, rest) = split(body);
    let (s, _) = split(rest);
    let (r, s) = (padded(r, order.len()), padded(s, order.len()));
    let [r_der, s_der] = [integer(&r), integer(&s)];
    let zeros = vec![0; order.len()];
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let long_form = [&[0x30, 0x81, good[1]][..], body].concat();
    let padded_r = der(2, &[&[0, 0][..], &r].concat());
    let negative_r = der(2, &[&[0xff][..], &r].concat());
    let appended = der(0x30, &[body, &[5, 0]].concat());
    [
        // Either of s and n-s holds: signatures are not unique, so nobody may count or deduplicate by them.
        ("n - s in the place of s", pair(&r, &difference(&order, &s)), true),
        ("r is zero", pair(&zeros, &s), false),
        ("s is zero", pair(&r, &zeros), false),
        ("r and s are zero", pair(&zeros, &zeros), false),
        ("r is one and s is one", pair(&[1], &[1]), false),
        ("r is the order", pair(&order, &s), false),
        ("s is the order", pair(&r, &order), false),
        ("r + n in the place of r", pair(&sum(&r, &order), &s), false),
        ("s + n in the place of s", pair(&r, &sum(&s, &order)), false),
        ("r and s exchanged", pair(&s, &r), false),
        ("r with zeros before it", der(0x30, &[&padded_r[..], &s_der].concat()), false),
        ("r is negative", der(0x30, &[&negative_r[..], &s_der].concat()), false),
        ("a length in the long form", long_form, false),
        ("bytes after the sequence", [&good[..], &[0]].concat(), false),
        ("a value after s", appended, false),
        ("only r", der(0x30, &r_der), false),
        ("an empty sequence", vec![0x30, 0], false),
        ("a set, no sequence", [&[0x31][..], &good[1..]].concat(), false),
        ("the last byte is missing", good[..good.len() - 1].to_vec(), false),
        ("the last bit flipped", flipped, false),
        ("nothing", Vec::new(), false),
    ]
    .map(|(name, signature, valid)| case(like, &format!("{curve}, {name}"), &signature, valid))
    .into()
}

fn rsa(like: &Value) -> Vec<Value> {
    let good = hex(like["signature"].as_str().unwrap());
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    let mut one = vec![0; good.len()];
    *one.last_mut().unwrap() = 1;
    [
        ("a bit flipped", flipped),
        ("zero", vec![0; good.len()]),
        ("one", one),
        ("larger than the modulus", vec![0xff; good.len()]),
        ("a zero before it", [&[0][..], &good].concat()),
        ("a zero after it", [&good[..], &[0]].concat()),
        ("the first byte is missing", good[1..].to_vec()),
        ("the last byte is missing", good[..good.len() - 1].to_vec()),
        ("nothing", Vec::new()),
    ]
    .map(|(name, signature)| case(like, &format!("RSA-PSS, {name}"), &signature, false))
    .into()
}
