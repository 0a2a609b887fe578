//! Patterns and paths.

use tuf_core::{Hashes, RoleName, StoredFile, TargetPath, pattern, url_path};

/// `PATTERN\nPATH`: the same verdict as the naive matcher's.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data.get(..300).unwrap_or(data)) else { return };
    let (pattern, path) = text.split_once('\n').unwrap_or((text, text));
    assert_eq!(pattern::matches(pattern, path), naive(pattern, path), "{pattern:?} ~ {path:?}");
}

enum Element {
    Star,
    Any,
    Literal(char),
    Class(bool, Vec<(char, char)>),
}

fn naive(pattern: &str, path: &str) -> bool {
    let patterns: Vec<&str> = pattern.split('/').collect();
    let segments: Vec<&str> = path.split('/').collect();
    patterns.len() == segments.len()
        && patterns.iter().zip(segments).all(|(pattern, segment)| {
            table(&elements(&pattern.chars().collect::<Vec<_>>()), &segment.chars().collect::<Vec<_>>())
        })
}

fn elements(pattern: &[char]) -> Vec<Element> {
    let mut elements = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        let (element, length) = match pattern[at] {
            '*' => (Element::Star, 1),
            '?' => (Element::Any, 1),
            '[' => class(&pattern[at..]).unwrap_or((Element::Literal('['), 1)),
            literal => (Element::Literal(literal), 1),
        };
        elements.push(element);
        at += length;
    }
    elements
}

/// A class and its length; none if it is never closed.
fn class(pattern: &[char]) -> Option<(Element, usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    // The first member may be a bracket.
    let end = (start + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
    let members = &pattern[start..end];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == '-' {
            ranges.push((members[at], members[at + 2]));
            at += 3;
        } else {
            ranges.push((members[at], members[at]));
            at += 1;
        }
    }
    Some((Element::Class(negated, ranges), end + 1))
}

/// The textbook table: `row[n]` says whether the elements so far match the first `n` characters.
fn table(elements: &[Element], text: &[char]) -> bool {
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for element in elements {
        let mut next = vec![false; text.len() + 1];
        for n in 0..=text.len() {
            next[n] = match element {
                Element::Star => row[n] || (n > 0 && next[n - 1]),
                one => n > 0 && row[n - 1] && takes(one, text[n - 1]),
            };
        }
        row = next;
    }
    row[text.len()]
}

fn takes(element: &Element, character: char) -> bool {
    match element {
        Element::Star | Element::Any => true,
        Element::Literal(literal) => *literal == character,
        Element::Class(negated, ranges) => {
            ranges.iter().any(|(low, high)| *low <= character && character <= *high) != *negated
        }
    }
}

/// A target path that is accepted stays below its directory on every system; role names never leave
/// theirs.
pub fn target_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    role_name(text);
    let path = match TargetPath::new(text) {
        Ok(path) => path,
        Err(error) => return assert!(error.to_string().len() < 3_000),
    };
    assert_eq!(path.as_str(), text);
    let segments: Vec<&str> = text.split('/').collect();
    for segment in &segments {
        assert!(!matches!(*segment, "" | "." | "..") && segment.len() <= 255, "{text:?}");
        assert!(!segment.contains(['\\', ':', '\0', '\n']) && !segment.ends_with(['.', ' ']), "{text:?}");
    }
    assert_eq!(path.file_name(), *segments.last().unwrap());
    assert!(
        std::path::Path::new(text).components().all(|part| matches!(part, std::path::Component::Normal(_)))
    );

    let url = url_path(text);
    assert_eq!(url.matches('/').count(), segments.len() - 1);
    assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/%-._~".contains(&byte)), "{url}");
    assert_eq!(decoded(&url), text.as_bytes());

    let remote = path.remote(Some(&Hashes::sha256_only([0xab; 32])));
    let (directory, name) = remote.rsplit_once('/').unwrap_or(("", &remote));
    let plain = name.strip_prefix(&*"ab".repeat(32)).and_then(|name| name.strip_prefix('.')).unwrap();
    assert_eq!(plain, path.file_name());
    assert_eq!(directory, text.rsplit_once('/').map_or("", |(directory, _)| directory));
    assert!(pattern::matches(&vec!["*"; segments.len()].join("/"), text));
}

fn role_name(text: &str) {
    let Ok(role) = RoleName::new(text) else { return };
    let name = role.file_name(Some(7));
    let encoded = name.strip_prefix("7.").and_then(|name| name.strip_suffix(".json")).unwrap();
    assert_eq!(decoded(encoded), text.as_bytes());
    assert!(!name.contains(['/', '\\', ':']));
    let stored = StoredFile::Delegated(role).file_name();
    let stored = stored.strip_prefix("delegated/").unwrap();
    assert!(stored.len() <= 255 && !stored.contains(['/', '\\', ':']), "{stored}");
    assert!(TargetPath::new(stored).is_ok(), "no name that some system cannot hold: {stored}");
}

fn decoded(encoded: &str) -> Vec<u8> {
    let mut bytes = encoded.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            plain => plain,
        });
    }
    out
}
