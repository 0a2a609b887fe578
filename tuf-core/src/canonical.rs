//! Canonical JSON (OLPC), the form in which metadata is signed (TUF spec 4.2).
//!
//! Objects are sorted by the code points of their keys, there is no white space, numbers are
//! integers, and strings are raw UTF-8 in which only `"` and `\` are escaped. Control characters
//! therefore stand raw in canonical form, which makes it not quite JSON: [`to_wire`] gives the JSON
//! text that stands for a canonical text.
//!
//! Reading is one strict pass: what is canonical already is borrowed, anything else is rewritten.
//! Floats, duplicate keys, lone surrogates and deep nesting are refused. Published crates normalise
//! Unicode or sort by UTF-16 and so break the signatures of other implementations.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::reader::shorten;
use crate::shape::Repeats;

/// Why a text is not JSON that canonical form can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not acceptable JSON at byte {offset}: {problem}")]
pub struct JsonError {
    offset: usize,
    problem: JsonProblem,
}

impl JsonError {
    /// Where reading stopped, in bytes from the start.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What was wrong there.
    #[must_use]
    pub const fn problem(&self) -> &JsonProblem {
        &self.problem
    }
}

/// What is wrong with a JSON text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonProblem {
    /// Nested more deeply than the limit.
    #[error("nested more than {0} deep")]
    Depth(u32),
    /// An object has the same key twice.
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
    /// A number with a fraction or an exponent.
    #[error("a number that is not an integer")]
    Float,
    /// A `\u` escape that is half of a surrogate pair.
    #[error("half a surrogate pair")]
    Surrogate,
    /// Anything that the grammar does not allow here.
    #[error("expected {0}")]
    Syntax(&'static str),
    /// The text is not UTF-8.
    #[error("not UTF-8")]
    Utf8,
}

/// The canonical form of one JSON text; borrowed where it already is canonical.
///
/// # Errors
/// [`JsonError`] if the text is not JSON, or holds what canonical form cannot.
///
/// ```
/// let text = br#"{ "b": 1, "a": "\u00e9" }"#;
/// assert_eq!(tuf_core::canonical::canonicalize(text, 64)?, r#"{"a":"é","b":1}"#);
/// # Ok::<(), tuf_core::canonical::JsonError>(())
/// ```
pub fn canonicalize(raw: &[u8], max_depth: u32) -> Result<Cow<'_, str>, JsonError> {
    let text = utf8(raw)?;
    let mut scanner = Scanner::new(text, max_depth);
    scanner.white_space();
    let span = scanner.span(0)?;
    scanner.end()?;
    scanner.canonical_text(&span)
}

/// A key and its value in canonical form.
pub(crate) type Member<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The members of the outermost object, each value in canonical form. This is how an envelope is
/// opened: `signed` stays borrowed even where the rest of the file is not canonical.
pub(crate) fn members(raw: &[u8], max_depth: u32) -> Result<Vec<Member<'_>>, JsonError> {
    let mut scanner = Scanner::new(utf8(raw)?, max_depth);
    let mut spans: Vec<(Cow<'_, str>, Span)> = Vec::new();
    let mut seen = BTreeSet::new();
    scanner.white_space();
    scanner.object(|scanner, key| {
        if !seen.insert(key.clone()) {
            return Err(scanner.error(JsonProblem::DuplicateKey(shorten(&key))));
        }
        let span = scanner.span(1)?;
        spans.push((key, span));
        Ok(())
    })?;
    scanner.end()?;
    spans.into_iter().map(|(key, span)| Ok((key, scanner.canonical_text(&span)?))).collect()
}

fn utf8(raw: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(raw)
        .map_err(|error| JsonError { offset: error.valid_up_to(), problem: JsonProblem::Utf8 })
}

/// JSON text for a canonical text: the same, with control characters escaped.
#[must_use]
pub fn to_wire(canonical: &str) -> Cow<'_, str> {
    if !canonical.bytes().any(|byte| byte < 0x20) {
        return Cow::Borrowed(canonical);
    }
    let mut wire = String::with_capacity(canonical.len() + 16);
    for character in canonical.chars() {
        if character < ' ' {
            wire.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            wire.push(character);
        }
    }
    Cow::Owned(wire)
}

/// How many bytes from the start are neither `"` nor `\` nor a control character. Eight are looked at together: most
/// of metadata is the inside of strings.
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The high bit of each byte that is less than `n`; bytes above the first such one may show it falsely.
    let less = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGH;
    let mut length = 0;
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let special = less(word, 0x20)
            | less(word ^ (ONES * u64::from(b'"')), 1)
            | less(word ^ (ONES * u64::from(b'\\')), 1);
        if special != 0 {
            return length + usize::try_from(special.trailing_zeros() / 8).unwrap_or_default();
        }
        length += 8;
        rest = after;
    }
    length + rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

/// Appends a string in canonical form, quotes included.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, after) = rest.split_at(plain_length(rest.as_bytes()));
        out.push_str(plain);
        let Some(special) = after.bytes().next() else { break };
        // Control characters stay as they are.
        if matches!(special, b'"' | b'\\') {
            out.push('\\');
        }
        let (special, after) = after.split_at(1);
        out.push_str(special);
        rest = after;
    }
    out.push('"');
}

/// A scanned value: where it stands, and whether it is canonical there.
struct Span {
    range: Range<usize>,
    canonical: bool,
}

/// Strict reader of received text. `pos` never passes the end; every step is bounded by it.
struct Scanner<'a> {
    text: &'a str,
    pos: usize,
    max_depth: u32,
}

impl<'a> Scanner<'a> {
    const fn new(text: &'a str, max_depth: u32) -> Self {
        Self { text, pos: 0, max_depth }
    }

    const fn error(&self, problem: JsonProblem) -> JsonError {
        JsonError { offset: self.pos, problem }
    }

    const fn syntax(&self, expected: &'static str) -> JsonError {
        self.error(JsonProblem::Syntax(expected))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// Skips white space; true if there was any.
    fn white_space(&mut self) -> bool {
        let start = self.pos;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
        self.pos != start
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.white_space();
        if self.peek().is_some() { Err(self.syntax("the end of the file")) } else { Ok(()) }
    }

    fn span(&mut self, depth: u32) -> Result<Span, JsonError> {
        let start = self.pos;
        let canonical = self.check(depth)?;
        Ok(Span { range: start..self.pos, canonical })
    }

    fn canonical_text(&self, span: &Span) -> Result<Cow<'a, str>, JsonError> {
        let text = self.text.get(span.range.clone()).unwrap_or_default();
        if span.canonical {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(text.len());
        let mut scanner = Self { text: self.text, pos: span.range.start, max_depth: self.max_depth };
        scanner.rewrite(&mut out)?;
        Ok(Cow::Owned(out))
    }

    /// Reads `{ key : value, ... }`; `each` reads the value.
    fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        if !self.eat(b'{') {
            return Err(self.syntax("an object"));
        }
        self.white_space();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.white_space();
            let key = self.string()?.1;
            self.white_space();
            if !self.eat(b':') {
                return Err(self.syntax("a colon"));
            }
            self.white_space();
            each(self, key)?;
            self.white_space();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.syntax("a comma or a closing brace"));
            }
        }
    }

    /// Validates one value; true if it stands there in canonical form. Duplicate keys show as keys
    /// that do not ascend, and are named when the value is rewritten.
    fn check(&mut self, depth: u32) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b'{') => self.check_object(depth),
            Some(b'[') => self.check_array(depth),
            Some(b'"') => Ok(self.string()?.0),
            Some(b'-' | b'0'..=b'9') => Ok(self.integer()? != "-0"),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.syntax("a value")),
        }
    }

    fn check_depth(&self, depth: u32) -> Result<u32, JsonError> {
        if depth >= self.max_depth {
            return Err(self.error(JsonProblem::Depth(self.max_depth)));
        }
        Ok(depth + 1)
    }

    fn check_object(&mut self, depth: u32) -> Result<bool, JsonError> {
        let depth = self.check_depth(depth)?;
        self.pos += 1;
        let mut canonical = !self.white_space();
        if self.eat(b'}') {
            return Ok(canonical);
        }
        let mut previous: Option<Cow<'a, str>> = None;
        let mut repeats = Repeats::of_any_strings();
        loop {
            canonical &= !self.white_space();
            let (plain, key) = self.string()?;
            canonical &= plain && previous.as_deref().is_none_or(|previous| previous < &*key);
            canonical &= !self.white_space();
            if !self.eat(b':') {
                return Err(self.syntax("a colon"));
            }
            canonical &= !self.white_space();
            canonical &= self.check_repeated(depth, &mut repeats)?;
            canonical &= !self.white_space();
            if self.eat(b'}') {
                return Ok(canonical);
            }
            if !self.eat(b',') {
                return Err(self.syntax("a comma or a closing brace"));
            }
            previous = Some(key);
        }
    }

    fn check_array(&mut self, depth: u32) -> Result<bool, JsonError> {
        let depth = self.check_depth(depth)?;
        self.pos += 1;
        let mut canonical = !self.white_space();
        if self.eat(b']') {
            return Ok(canonical);
        }
        let mut repeats = Repeats::of_any_strings();
        loop {
            canonical &= !self.white_space();
            canonical &= self.check_repeated(depth, &mut repeats)?;
            canonical &= !self.white_space();
            if self.eat(b']') {
                return Ok(canonical);
            }
            if !self.eat(b',') {
                return Err(self.syntax("a comma or a closing bracket"));
            }
        }
    }

    /// As [`Self::check`], of one value of many.
    fn check_repeated(&mut self, depth: u32, repeats: &mut Repeats) -> Result<bool, JsonError> {
        if let Some(length) = repeats.pass(self.text.as_bytes().get(self.pos..).unwrap_or_default()) {
            self.pos += length;
            return Ok(true);
        }
        let start = self.pos;
        let canonical = self.check(depth)?;
        if canonical {
            repeats.learn(self.text.get(start..self.pos).unwrap_or_default());
        }
        Ok(canonical)
    }

    fn word(&mut self, word: &'static str) -> Result<bool, JsonError> {
        if self.text.get(self.pos..).is_some_and(|rest| rest.starts_with(word)) {
            self.pos += word.len();
            return Ok(true);
        }
        Err(self.syntax("a value"))
    }

    fn integer(&mut self) -> Result<&'a str, JsonError> {
        let start = self.pos;
        self.eat(b'-');
        let digits = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == digits {
            return Err(self.syntax("a digit"));
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(self.error(JsonProblem::Float));
        }
        if self.text.as_bytes().get(digits) == Some(&b'0') && self.pos > digits + 1 {
            return Err(self.syntax("a number without leading zeros"));
        }
        Ok(self.text.get(start..self.pos).unwrap_or_default())
    }

    /// Skips what stands for itself in a string.
    fn plain(&mut self) {
        self.pos += plain_length(self.text.as_bytes().get(self.pos..).unwrap_or_default());
    }

    /// One string: whether it stands there in canonical form, and its text.
    fn string(&mut self) -> Result<(bool, Cow<'a, str>), JsonError> {
        if !self.eat(b'"') {
            return Err(self.syntax("a string"));
        }
        let start = self.pos;
        self.plain();
        match self.peek() {
            Some(b'"') => {
                let text = self.text.get(start..self.pos).unwrap_or_default();
                self.pos += 1;
                return Ok((true, Cow::Borrowed(text)));
            }
            Some(b'\\') => {}
            Some(_) => return Err(self.syntax("no raw control character in a string")),
            None => return Err(self.syntax("the end of the string")),
        }
        let mut canonical = true;
        let mut text = self.text.get(start..self.pos).unwrap_or_default().to_owned();
        loop {
            let plain = self.pos;
            self.plain();
            text.push_str(self.text.get(plain..self.pos).unwrap_or_default());
            if self.eat(b'"') {
                return Ok((canonical, Cow::Owned(text)));
            }
            if !self.eat(b'\\') {
                return Err(self.syntax("the end of the string"));
            }
            let escape = self.peek().ok_or_else(|| self.syntax("an escape"))?;
            self.pos += 1;
            canonical &= matches!(escape, b'"' | b'\\');
            text.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode_escape()?,
                _ => return Err(self.syntax("an escape that JSON has")),
            });
        }
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.four_hex()?;
        let code = match first {
            0xD800..0xDC00 => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return Err(self.error(JsonProblem::Surrogate));
                }
                let second = self.four_hex()?;
                if !(0xDC00..0xE000).contains(&second) {
                    return Err(self.error(JsonProblem::Surrogate));
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| self.error(JsonProblem::Surrogate))
    }

    fn four_hex(&mut self) -> Result<u32, JsonError> {
        let digits = self
            .text
            .get(self.pos..self.pos + 4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(|| self.syntax("four hex digits"))?;
        self.pos += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.syntax("four hex digits"))
    }

    /// Writes one value, which [`Self::check`] has passed, in canonical form.
    fn rewrite(&mut self, out: &mut String) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => {
                let mut sorted: Vec<(Cow<'a, str>, String)> = Vec::new();
                self.object(|scanner, key| {
                    let mut value = String::new();
                    scanner.rewrite(&mut value)?;
                    sorted.push((key, value));
                    Ok(())
                })?;
                sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
                if let Some([(key, _), _]) =
                    sorted.windows(2).find(|pair| matches!(pair, [left, right] if left.0 == right.0))
                {
                    return Err(self.error(JsonProblem::DuplicateKey(shorten(key))));
                }
                out.push('{');
                for (index, (key, value)) in sorted.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(out, key);
                    out.push(':');
                    out.push_str(value);
                }
                out.push('}');
            }
            Some(b'[') => {
                self.pos += 1;
                out.push('[');
                let mut first = true;
                loop {
                    self.white_space();
                    if self.eat(b']') {
                        break;
                    }
                    if !first {
                        self.eat(b',');
                        self.white_space();
                        out.push(',');
                    }
                    first = false;
                    self.rewrite(out)?;
                }
                out.push(']');
            }
            Some(b'"') => write_string(out, &self.string()?.1),
            Some(b'-' | b'0'..=b'9') => {
                let digits = self.integer()?;
                out.push_str(if digits == "-0" { "0" } else { digits });
            }
            _ => {
                let start = self.pos;
                self.check(0)?;
                out.push_str(self.text.get(start..self.pos).unwrap_or_default());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        canonicalize(text.as_bytes(), 64).unwrap().into_owned()
    }

    fn problem(text: &[u8]) -> JsonProblem {
        canonicalize(text, 64).unwrap_err().problem
    }

    #[test]
    fn rewrites_what_is_not_canonical() {
        for (text, expected) in [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            ("[1 , -2,\t0 ]", "[1,-2,0]"),
            ("-0", "0"),
            (r#"{"b":1,"a":{"d":[],"c":null}}"#, r#"{"a":{"c":null,"d":[]},"b":1}"#),
            (r#""\u0041\/\b\n\u00e9""#, "\"A/\u{8}\né\""),
            (r#""\"\\""#, r#""\"\\""#),
            (r#""\ud83d\ude00""#, "\"😀\""),
            // U+FFFF sorts before non-BMP by code point; UTF-16 would say otherwise.
            ("{\"😀\":1,\"\u{ffff}\":2}", "{\"\u{ffff}\":2,\"😀\":1}"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
            // No Unicode normalisation: these are two keys.
            ("{\"e\u{301}\":1,\"é\":2}", "{\"e\u{301}\":1,\"é\":2}"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
            assert_eq!(canonical(&to_wire(expected)), expected, "again: {text}");
        }
    }

    #[test]
    fn plain_text_is_measured_as_byte_by_byte() {
        let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
        for special in 0..=255 {
            for other in [b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff, special] {
                for at in 0..20 {
                    let mut bytes = [other; 20];
                    bytes[at] = special;
                    let expected = bytes.iter().take_while(|byte| plain(byte)).count();
                    assert_eq!(plain_length(&bytes), expected, "{special} at {at} among {other}");
                }
            }
        }
    }

    #[test]
    fn borrows_what_is_canonical() {
        let text = r#"{"a":[1,"x"],"b":{"c":true}}"#;
        assert!(matches!(canonicalize(text.as_bytes(), 64).unwrap(), Cow::Borrowed(_)));
    }

    #[test]
    fn refuses_what_canonical_form_cannot_hold() {
        for text in ["1.0", "1e3", "-1E2", "[0.5]"] {
            assert_eq!(problem(text.as_bytes()), JsonProblem::Float, "{text}");
        }
        for text in [r#"{"a":1,"a":2}"#, r#"{"b":1,"a":2,"\u0061":3}"#, r#"[{"a":1,"a":1}]"#] {
            assert_eq!(problem(text.as_bytes()), JsonProblem::DuplicateKey("a".into()), "{text}");
        }
        for text in [r#""\ud800""#, r#""\ud800\u0041""#, r#""\udc00""#] {
            assert_eq!(problem(text.as_bytes()), JsonProblem::Surrogate, "{text}");
        }
        assert_eq!(problem("[".repeat(100_000).as_bytes()), JsonProblem::Depth(64));
        assert_eq!(problem(b"\"\xff\""), JsonProblem::Utf8);
        for text in [
            "",
            "nul",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "01",
            "-",
            "\"\n\"",
            "\u{feff}{}",
            "{} {}",
            "NaN",
            "\"\\x\"",
        ] {
            assert!(matches!(problem(text.as_bytes()), JsonProblem::Syntax(_)), "{text}");
        }
    }

    #[test]
    fn members_stay_borrowed_in_a_file_that_is_not_canonical() {
        let text = br#"{ "signed": {"a":1}, "signatures": [ ] }"#;
        let members = members(text, 64).unwrap();
        assert!(matches!(&members[0], (key, Cow::Borrowed(r#"{"a":1}"#)) if key == "signed"));
        assert!(matches!(&members[1], (_, Cow::Owned(text)) if text == "[]"));
    }
}
