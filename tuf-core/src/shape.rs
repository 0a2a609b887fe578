//! Elements of one shape, passed over together: thousands of hash bins differ only inside of their strings, and thousands
//! of versions only in their digits. What has the shape of a canonical value is canonical, without a look at its parts.

use std::ops::Range;

use crate::canonical::plain_length;

/// Bytes that are compared together.
const BLOCK: usize = 16;
/// Longer values are never so many that it matters.
const LONGEST: usize = 1024;
/// A number of more digits may be too large for its field.
const DIGITS: usize = 9;
/// After how many values of no known shape one is learned, at first and after each that was of use.
const PATIENCE: u32 = 4;

/// No byte of UTF-8: stands for any byte that needs no escape.
const PLAIN: u8 = 0xff;
/// What follows the value.
const ANY: u8 = 0xfe;

/// The shape of a canonical value: another value of the same length, in which only these are other, is as canonical as it.
/// Inside of a string that is no name: bytes that need no escape, by such. In a number: digits, by digits, if no leading
/// zero comes of it. Names of members, and strings with escapes, are the same.
#[derive(Debug, Default)]
struct Shape {
    /// The least byte that may stand there.
    least: Vec<u8>,
    /// And the greatest.
    greatest: Vec<u8>,
    length: usize,
    has_strings: bool,
}

impl Shape {
    fn learn(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.length = bytes.len();
        self.has_strings = false;
        let padded = bytes.len().next_multiple_of(BLOCK);
        for list in [&mut self.least, &mut self.greatest] {
            list.clear();
            list.extend_from_slice(bytes);
        }
        self.least.resize(padded, 0);
        self.greatest.resize(padded, ANY);
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            at += match byte {
                b'"' => {
                    let plain = plain_length(rest);
                    let after = (rest.get(plain), rest.get(plain + 1));
                    if after.0 != Some(&b'"') {
                        plain + 1 + escaped(rest.get(plain..).unwrap_or_default())
                    } else {
                        if after.1 != Some(&b':') {
                            self.has_strings = true;
                            self.free(at + 1..at + 1 + plain, b' ', PLAIN);
                        }
                        plain + 2
                    }
                }
                b'0'..=b'9' => {
                    let more = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    if *byte != b'0' && more < DIGITS {
                        self.free(at..at + 1, b'1', b'9');
                        self.free(at + 1..at + 1 + more, b'0', b'9');
                    }
                    more + 1
                }
                _ => 1,
            };
        }
    }

    fn free(&mut self, range: Range<usize>, least: u8, greatest: u8) {
        for (list, bound) in [(&mut self.least, least), (&mut self.greatest, greatest)] {
            list.get_mut(range.clone()).unwrap_or_default().fill(bound);
        }
    }

    /// Whether a value of this shape stands at the start of `bytes`. If too little follows, it says no.
    fn fits(&self, bytes: &[u8]) -> bool {
        let Some(bytes) = bytes.get(..self.least.len()) else { return false };
        let bounds = blocks(&self.least).zip(blocks(&self.greatest));
        // Without a branch for each byte, so that the compiler looks at all of a block at once.
        bounds.zip(blocks(bytes)).all(|((least, greatest), found)| {
            let mut other = 0_u8;
            for ((least, greatest), found) in least.iter().zip(greatest).zip(found) {
                let special = (*greatest == PLAIN) & ((*found == b'"') | (*found == b'\\'));
                other |= u8::from((found < least) | (found > greatest) | special);
            }
            other == 0
        })
    }
}

fn blocks(list: &[u8]) -> impl Iterator<Item = &[u8; BLOCK]> {
    list.as_chunks().0.iter()
}

/// The length of the rest of a string, its end included.
fn escaped(rest: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += match rest.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => 2,
            Some(_) => 1,
            None => return rest.len(),
        };
    }
}

/// The elements of one list, or the values of one object, one after the other.
#[derive(Debug)]
pub(crate) struct Repeats {
    shape: Shape,
    /// How many in a row were of no shape that is known.
    misses: u32,
    /// After how many a shape is learned: most lists are short, and some are of no shape at all.
    patience: u32,
    /// Whether a shape with strings is of use: where all that is asked of a string is that it is one.
    strings: bool,
}

impl Repeats {
    /// For values in which a string may be any string.
    pub(crate) const fn of_any_strings() -> Self {
        Self::new(true)
    }

    /// For values whose strings have a meaning: only those without are passed over.
    pub(crate) const fn without_strings() -> Self {
        Self::new(false)
    }

    const fn new(strings: bool) -> Self {
        let shape = Shape { least: Vec::new(), greatest: Vec::new(), length: 0, has_strings: false };
        Self { shape, misses: 0, patience: PATIENCE, strings }
    }

    /// The length of the value at the start of `bytes`, if it has the shape of one before it, and something follows it.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.shape.length == 0 || !self.shape.fits(bytes) {
            return None;
        }
        (self.misses, self.patience) = (0, PATIENCE);
        Some(self.shape.length)
    }

    /// Takes a canonical value that was looked at, for those after it; true if they are now compared with it.
    pub(crate) fn learn(&mut self, value: &str) -> bool {
        self.misses += 1;
        if self.misses < self.patience || value.len() > LONGEST || !value.starts_with(['{', '[']) {
            return false;
        }
        self.misses = 0;
        self.patience = self.patience.saturating_mul(2);
        self.shape.learn(value);
        if self.shape.has_strings && !self.strings {
            self.shape.length = 0;
        }
        self.shape.length > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Repeats, Shape};
    use crate::canonical::canonicalize;

    fn fits(shape: &str, text: &str) -> bool {
        let mut learned = Shape::default();
        learned.learn(shape);
        learned.fits(format!("{text}{}", " ".repeat(16)).as_bytes())
    }

    #[test]
    fn only_what_changes_no_meaning_may_differ() {
        for (shape, same) in [
            (r#"{"a":["xyz",10],"b":true}"#, r#"{"a":["\u{e9}z",99],"b":true}"#),
            (r#"["a\"b","c"]"#, r#"["a\"b","]"]"#),
            (r#"[-7,"",0]"#, r#"[-1,"",0]"#),
            (r#"["12345678"]"#, r#"["{\u{2028}:,]["]"#),
        ] {
            let same = same.replace("\\u{e9}", "é").replace("\\u{2028}", "\u{2028}");
            assert!(fits(shape, &same), "{shape} {same}");
        }
        for (shape, other) in [
            (r#"{"a":["xyz",10]}"#, r#"{"b":["xyz",10]}"#),
            (r#"{"a":["xyz",10]}"#, r#"{"a":["xyz",01]}"#),
            (r#"{"a":["xyz",10]}"#, r#"{"a":["x\"z",10]}"#),
            (r#"{"a":["xyz",10]}"#, r#"{"a":["x","z",10]}"#),
            (r#"{"a":["xyz",10]}"#, "{\"a\":[\"x\u{1}z\",10]}"),
            (r#"{"a":["xyz",10]}"#, r#"{"a":["xyz",1.]}"#),
            (r#"{"a":["xyz",10]}"#, r#"{"a":["xyz",-1]}"#),
            (r#"[0]"#, "[1]"),
            (r#"[1]"#, "[0]"),
            (r#"[1234567890]"#, "[1234567891]"),
            (r#"["a\"b","c"]"#, r#"["a\\b","c"]"#),
            (r#"[true]"#, "[null]"),
            (r#"["\\"]"#, r#"["ab"]"#),
        ] {
            assert!(!fits(shape, other), "{shape} {other}");
        }
        let mut learned = Shape::default();
        learned.learn("[1]");
        assert!(!learned.fits(b"[1]"), "nothing follows");
    }

    #[test]
    fn shapes_are_learned_where_there_are_many() {
        let (mut any, mut numbers) = (Repeats::of_any_strings(), Repeats::without_strings());
        let text = |number: u32| format!(r#"{{"a":"{number:04}"}},                "#);
        let passed = (0..100).filter(|number| {
            let text = text(*number);
            numbers.learn(&text[..12]);
            assert_eq!(numbers.pass(text.as_bytes()), None);
            let passed = any.pass(text.as_bytes());
            assert!(passed.is_none_or(|length| length == 12));
            passed.is_some() || any.learn(&text[..12])
        });
        assert_eq!(passed.count(), 97);
    }

    /// A value, and bytes that are put over some of its own.
    fn values() -> impl Strategy<Value = (String, Vec<(usize, u8)>)> {
        let leaf = prop_oneof![
            "[a-c\\\\\"{}:,é]{0,6}".prop_map(serde_json::Value::from),
            (-99..999_i64).prop_map(Into::into)
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        let bytes = prop::sample::select(b"a\"\\0129-{}[]:, \x01".to_vec());
        (value.prop_map(|value| value.to_string()), prop::collection::vec((0..64_usize, bytes), 0..4))
    }

    proptest! {
        #[test]
        fn what_has_the_shape_of_a_canonical_value_is_canonical((text, changes) in values()) {
            let shape = canonicalize(text.as_bytes(), 64).unwrap().into_owned();
            let mut bytes = shape.clone().into_bytes();
            for (at, byte) in changes {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            if let Ok(text) = String::from_utf8(bytes) && fits(&shape, &text) {
                prop_assert_eq!(&*canonicalize(text.as_bytes(), 64).unwrap(), &*text);
            }
        }
    }
}
