//! Reads typed values out of canonical text, in one pass.
//!
//! The text has been validated by [`crate::canonical`], so this reader only meets well-formed input;
//! it still never panics on any other. It is not a JSON reader: canonical form has raw control
//! characters in strings.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Utc};

use crate::canonical::plain_length;
use crate::json::{Extra, Json};
use crate::text::Text;

/// A field that is missing, of the wrong type, or impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    path: Vec<String>,
    expected: Cow<'static, str>,
    found: String,
}

impl FieldError {
    pub(crate) fn new(expected: impl Into<Cow<'static, str>>, found: impl fmt::Display) -> Self {
        Self { path: Vec::new(), expected: expected.into(), found: shorten(&found.to_string()) }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::new("it to be there", "nothing").at(field)
    }

    pub(crate) fn at(mut self, field: &str) -> Self {
        self.path.push(shorten(field));
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("field ")?;
        for (index, part) in self.path.iter().rev().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write!(f, "{}", part.escape_debug())?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found.escape_debug())
    }
}

impl std::error::Error for FieldError {}

/// The first 80 characters, for messages: a hostile file must not fill the log.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A cursor over canonical text.
#[derive(Debug)]
#[expect(unnameable_types, reason = "stands in the sealed trait behind `Metadata`")]
pub struct Reader<'a> {
    text: &'a str,
    pos: usize,
    /// The file that the text is a part of, and where it starts there.
    file: Option<(&'a Arc<[u8]>, usize)>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, pos: 0, file: None }
    }

    /// Of text that starts at this byte of a file.
    pub(crate) const fn within(file: &'a Arc<[u8]>, start: usize, text: &'a str) -> Self {
        Self { text, pos: 0, file: Some((file, start)) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &'static str) -> FieldError {
        FieldError::new(expected, self.text.get(self.pos..).unwrap_or_default())
    }

    /// Where the cursor is, in bytes from the start of the text.
    pub(crate) const fn position(&self) -> usize {
        self.pos
    }

    /// The text from an earlier position to here.
    pub(crate) fn since(&self, position: usize) -> &'a str {
        self.text.get(position..self.pos).unwrap_or_default()
    }

    /// As [`Self::since`], to keep.
    pub(crate) fn kept_since(&self, position: usize) -> Text {
        match self.file {
            Some((file, start)) => Text::Shared(Arc::clone(file), start + position..start + self.pos),
            None => Text::Own(self.since(position).to_owned()),
        }
    }

    /// The text from here on.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.pos..).unwrap_or_default()
    }

    /// Passes so many bytes, and gives them.
    pub(crate) fn skip(&mut self, length: usize) -> &'a str {
        let start = self.pos;
        self.pos += length;
        self.since(start)
    }

    /// Passes the colon between key and value.
    pub(crate) fn colon(&mut self) {
        self.eat(b':');
    }

    /// Reads an object; `each` is given every key and must read its value.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(Cow<'a, str>, &mut Self) -> Result<(), FieldError>,
    ) -> Result<(), FieldError> {
        if !self.eat(b'{') {
            return Err(self.unexpected("an object"));
        }
        while !self.eat(b'}') {
            self.eat(b',');
            let key = self.string()?;
            self.colon();
            let name = key.clone();
            each(key, self).map_err(|error| error.at(&name))?;
        }
        Ok(())
    }

    /// Reads an array; `each` must read one element.
    pub(crate) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), FieldError>,
    ) -> Result<(), FieldError> {
        if !self.eat(b'[') {
            return Err(self.unexpected("an array"));
        }
        while !self.eat(b']') {
            self.eat(b',');
            if self.peek().is_none() {
                return Err(self.unexpected("a closing bracket"));
            }
            each(self)?;
        }
        Ok(())
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, FieldError> {
        if !self.eat(b'"') {
            return Err(self.unexpected("a string"));
        }
        let start = self.pos;
        let mut escaped = false;
        loop {
            self.pos += plain_length(self.rest());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.pos += 2;
                }
                // A control character.
                Some(_) => self.pos += 1,
                None => return Err(self.unexpected("the end of a string")),
            }
        }
        let raw = self.text.get(start..self.pos).unwrap_or_default();
        self.pos += 1;
        if !escaped {
            return Ok(Cow::Borrowed(raw));
        }
        let mut text = String::with_capacity(raw.len());
        let mut characters = raw.chars();
        while let Some(character) = characters.next() {
            text.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
        }
        Ok(Cow::Owned(text))
    }

    /// The next string of an array of strings: a cursor of its own for each pass.
    pub(crate) fn next_string(&mut self) -> Option<Cow<'a, str>> {
        if matches!(self.peek(), Some(b'[' | b',')) {
            self.pos += 1;
        }
        self.string().ok()
    }

    pub(crate) fn owned_string(&mut self) -> Result<String, FieldError> {
        self.string().map(Cow::into_owned)
    }

    /// Reads an integer from 0 to 2^64-1.
    pub(crate) fn integer(&mut self) -> Result<u64, FieldError> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        let digits = self.text.get(start..self.pos).unwrap_or_default();
        digits.parse().map_err(|_| {
            self.pos = start;
            self.unexpected("an integer from 0 to 18446744073709551615")
        })
    }

    /// Reads an integer of at least 1: a version.
    pub(crate) fn version(&mut self) -> Result<u64, FieldError> {
        match self.integer()? {
            0 => Err(FieldError::new("a version of at least 1", 0)),
            version => Ok(version),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, FieldError> {
        match self.raw() {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(FieldError::new("true or false", other)),
        }
    }

    /// Reads a time: RFC 3339 with an optional fraction, and strict.
    pub(crate) fn time(&mut self) -> Result<DateTime<Utc>, FieldError> {
        let text = self.string()?;
        parse_time(&text).ok_or_else(|| FieldError::new("a time like 2030-01-31T12:00:00Z", text))
    }

    pub(crate) fn json(&mut self) -> Json {
        Json::from_canonical(self.raw())
    }

    /// Skips one value and gives its text.
    pub(crate) fn raw(&mut self) -> &'a str {
        let start = self.pos;
        let mut depth = 0_u32;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    // An unfinished string moves to the end of the text, which ends the loop.
                    if self.string().is_err() {
                        self.pos = self.text.len();
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.pos += 1;
                }
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    self.pos += 1;
                }
                b',' if depth == 0 => break,
                _ => self.pos += 1,
            }
            if depth == 0 && !matches!(self.peek(), Some(b'a'..=b'z' | b'0'..=b'9')) {
                break;
            }
        }
        self.text.get(start..self.pos).unwrap_or_default()
    }
}

/// A field that must be there.
pub(crate) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, FieldError> {
    value.ok_or_else(|| FieldError::missing(field))
}

/// `YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM|-HH:MM)`, nothing laxer. Writers must say `Z` (spec 4.2); the first root of
/// a public repository says `-06:00`, and who starts from it has to get past it.
pub(crate) fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let (local, offset) = match text.strip_suffix('Z') {
        Some(local) => (local, TimeDelta::zero()),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            (local, parse_offset(offset)?)
        }
    };
    let (whole, fraction) = local.split_once('.').map_or((local, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A leap second is no time that chrono can compare; nobody signs one.
    if !looks_like(whole, "0000-00-00T00:00:00")
        || whole.ends_with(":60")
        || !fraction.is_none_or(|f| digits(f) && f.len() <= 9)
    {
        return None;
    }
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    let time = local.checked_sub_signed(offset)?;
    // What is read must be writable.
    (0..=9999).contains(&time.year()).then(|| time.and_utc())
}

/// `+HH:MM` or `-HH:MM`. `-00:00` is no offset but says that there is none to be known (RFC 3339 4.3).
fn parse_offset(text: &str) -> Option<TimeDelta> {
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':').filter(|_| looks_like(rest, "00:00"))?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let offset = TimeDelta::minutes(hours * 60 + minutes);
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        "+" => Some(offset),
        "-" if !offset.is_zero() => Some(-offset),
        _ => None,
    }
}

/// Whether a text has a digit where `shape` has a zero, and is `shape` elsewhere.
fn looks_like(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(found, wanted)| match wanted {
            b'0' => found.is_ascii_digit(),
            other => found == other,
        })
}

/// The name of a field, and what writes its value.
pub(crate) type Field<'a> = (&'a str, &'a dyn Fn(&mut String));

/// Writes an object: known fields and unknown ones together, in the order of their keys.
pub(crate) fn write_object(out: &mut String, extra: &Extra, fields: &[Field<'_>]) {
    let mut unknown = extra.iter().filter(|(key, _)| fields.iter().all(|(name, _)| name != key)).peekable();
    let mut first = true;
    let mut key = |out: &mut String, name: &str| {
        out.push(if std::mem::take(&mut first) { '{' } else { ',' });
        crate::canonical::write_string(out, name);
        out.push(':');
    };
    for (name, write) in fields {
        while let Some((extra_key, json)) = unknown.next_if(|(extra_key, _)| extra_key.as_str() < *name) {
            key(out, extra_key);
            out.push_str(json.as_canonical());
        }
        key(out, name);
        write(out);
    }
    for (extra_key, json) in unknown {
        key(out, extra_key);
        out.push_str(json.as_canonical());
    }
    if first {
        out.push('{');
    }
    out.push('}');
}

/// Writes `{key: value, …}` from entries that are sorted by key.
pub(crate) fn write_map<K: AsRef<str>, V>(
    out: &mut String,
    entries: impl IntoIterator<Item = (K, V)>,
    write: impl Fn(&mut String, V),
) {
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        crate::canonical::write_string(out, key.as_ref());
        out.push(':');
        write(out, value);
    }
    out.push('}');
}

/// Writes `[value, …]`.
pub(crate) fn write_array<V>(
    out: &mut String,
    values: impl IntoIterator<Item = V>,
    write: impl Fn(&mut String, V),
) {
    out.push('[');
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, value);
    }
    out.push(']');
}

/// Writes a time as TUF has it: whole seconds, `Z`.
pub(crate) fn write_time(out: &mut String, time: &DateTime<Utc>) {
    crate::canonical::write_string(out, &time.format("%Y-%m-%dT%H:%M:%SZ").to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_strict_rfc_3339() {
        for text in [
            "2030-01-31T12:00:00Z",
            "2030-01-31T12:00:00.120Z",
            "2030-01-31T12:00:00+00:00",
            "2030-01-31T12:00:00.99008-06:00",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(parse_time(text).is_some(), "{text}");
        }
        for text in [
            "",
            "2030-01-31",
            "2030-01-31 12:00:00Z",
            "2030-01-31T12:00:00",
            "2030-01-31t12:00:00z",
            "2030-01-31T12:00:00+2:00",
            "2030-01-31T12:00:00+0200",
            "2030-01-31T12:00:00+24:00",
            "2030-01-31T12:00:00-02:60",
            "2030-01-31T12:00:00~02:00",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "é2:00",
            "2030-01-31T12:00:60Z",
            "2030-02-30T12:00:00Z",
            "2030-01-31T12:00:00.Z",
            "+2030-01-31T12:00:00Z",
            "12030-01-31T12:00:00Z",
            "2030-01-31T12:00:00-00:00",
        ] {
            assert!(parse_time(text).is_none(), "{text}");
        }
        for (text, utc) in [
            ("2021-12-18T13:28:12.99008-06:00", "2021-12-18T19:28:12.99008Z"),
            ("2030-01-01T00:30:00+05:45", "2029-12-31T18:45:00Z"),
        ] {
            assert_eq!(parse_time(text), parse_time(utc), "{text}");
        }
    }

    #[test]
    fn raw_skips_exactly_one_value() {
        for (text, expected) in [
            (r#"{"a":[1,{"b":"]}"}]},2"#, r#"{"a":[1,{"b":"]}"}]}"#),
            ("12,3", "12"),
            ("-12]", "-12"),
            (r#""a,b","c""#, r#""a,b""#),
            ("true}", "true"),
            ("[],", "[]"),
            (r#""\"","#, r#""\"""#),
        ] {
            assert_eq!(Reader::new(text).raw(), expected);
        }
    }

    #[test]
    fn extra_fields_are_written_in_order() {
        let extra: Extra =
            [("b".to_owned(), Json::parse(b"1").unwrap()), ("z".to_owned(), Json::parse(b"[]").unwrap())]
                .into();
        let mut out = String::new();
        write_object(&mut out, &extra, &[("a", &|out| out.push('0')), ("c", &|out| out.push('2'))]);
        assert_eq!(out, r#"{"a":0,"b":1,"c":2,"z":[]}"#);
        out.clear();
        write_object(&mut out, &Extra::new(), &[]);
        assert_eq!(out, "{}");
    }
}
