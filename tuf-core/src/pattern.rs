//! Path patterns of delegations (spec 4.5): `*`, `?`, `[...]` and `[!...]`, none of which matches `/`.
//!
//! Glob libraries speak six dialects of this one sentence; this one is byte-exact, the same on every
//! system, has no escapes, and takes time linear in pattern times segment.

/// Whether `path` matches `pattern`: as many segments, and each matches.
///
/// ```
/// use tuf_core::pattern::matches;
/// assert!(matches("packages/*/*.whl", "packages/ab/six.whl"));
/// assert!(!matches("packages/*", "packages/ab/six.whl"));
/// ```
#[must_use]
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut patterns = pattern.split('/');
    let mut segments = path.split('/');
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if segment_matches(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// What keeps a pattern from matching any target path, or from meaning what it seems to: for patterns that a person
/// wrote. A delegation with such a pattern is not refused, it only matches what it matches.
///
/// ```
/// use tuf_core::pattern::problem;
/// assert_eq!(problem("packages/[a-c]*.whl"), None);
/// assert_eq!(problem("/packages/*"), Some("begins with a slash, which no target path does"));
/// ```
#[must_use]
pub fn problem(pattern: &str) -> Option<&'static str> {
    if pattern.is_empty() {
        return Some("is empty");
    }
    if pattern.len() > 4096 {
        return Some("is longer than 4096 bytes");
    }
    if pattern.starts_with('/') {
        return Some("begins with a slash, which no target path does");
    }
    if pattern.contains('\\') {
        return Some("holds a backslash: nothing is escaped with one, and no target path has one");
    }
    if pattern.chars().any(char::is_control) {
        return Some("holds a control character, which no target path does");
    }
    pattern.split('/').find_map(|segment| match segment {
        "" => Some("has an empty segment, which no target path has"),
        "." | ".." => Some("has a segment . or .., which no target path has"),
        "**" => Some("has a segment **, which matches one segment only, as * does"),
        segment => class_problem(segment),
    })
}

fn class_problem(segment: &str) -> Option<&'static str> {
    let mut rest = segment;
    while let Some((_, after)) = rest.split_once('[') {
        let Some((_, members, after)) = class(after) else {
            return Some("has a [ that is never closed");
        };
        if ranges(members).any(|(low, high)| low > high) {
            return Some("has a range that ends before it begins");
        }
        rest = after;
    }
    None
}

/// The classic greedy match with one point to go back to: the last `*`.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    // How much pattern the last closing bracket needs: nothing shorter is searched for one again.
    let closed = pattern.rfind(']').map_or(usize::MAX, |at| pattern.len() - at);
    let (mut pattern, mut rest) = (pattern, segment);
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(after) = pattern.strip_prefix('*') {
            pattern = after;
            retry = Some((after, rest));
            continue;
        }
        match (one(pattern, closed, rest.chars().next()), rest.chars().next()) {
            (Some(after), Some(character)) => {
                pattern = after;
                rest = rest.get(character.len_utf8()..).unwrap_or_default();
            }
            (None, None) if pattern.is_empty() => return true,
            _ => {
                // Let the last `*` take one character more.
                let Some((after, tried)) = retry else { return false };
                let Some(character) = tried.chars().next() else { return false };
                let next = tried.get(character.len_utf8()..).unwrap_or_default();
                pattern = after;
                rest = next;
                retry = Some((after, next));
            }
        }
    }
}

/// If the first element of `pattern` matches `character`, the pattern after it. No class is closed in the
/// last `closed - 1` bytes.
fn one(pattern: &str, closed: usize, character: Option<char>) -> Option<&str> {
    let character = character?;
    let first = pattern.chars().next()?;
    let after = pattern.get(first.len_utf8()..).unwrap_or_default();
    match first {
        '?' => Some(after),
        '[' => match (after.len() >= closed).then(|| class(after)).flatten() {
            Some((negated, members, rest)) => (in_class(members, character) != negated).then_some(rest),
            // A bracket that is never closed stands for itself.
            None => (character == '[').then_some(after),
        },
        literal => (literal == character).then_some(after),
    }
}

/// Splits `!abc]rest`: whether negated, the members, the pattern after it. A `]` that comes first is
/// a member.
fn class(pattern: &str) -> Option<(bool, &str, &str)> {
    let (negated, body) = pattern.strip_prefix('!').map_or((false, pattern), |body| (true, body));
    let search_from = usize::from(body.starts_with(']'));
    let end = body.get(search_from..)?.find(']')? + search_from;
    Some((negated, body.get(..end)?, body.get(end + 1..)?))
}

fn in_class(members: &str, character: char) -> bool {
    ranges(members).any(|(low, high)| (low..=high).contains(&character))
}

/// The members of a class, single ones as ranges of one.
fn ranges(members: &str) -> impl Iterator<Item = (char, char)> {
    let mut members = members.chars();
    std::iter::from_fn(move || {
        let low = members.next()?;
        let mut range = members.clone();
        Some(match (range.next(), range.next()) {
            (Some('-'), Some(high)) => {
                members = range;
                (low, high)
            }
            _ => (low, low),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_specification() {
        for (pattern, path, expected) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("**", "a/b", false),
            ("*/*", "a/b", true),
            ("*.tgz", "foo.tgz", true),
            ("*.tgz", "foo.txt", false),
            ("foo-version-?.tgz", "foo-version-2.tgz", true),
            ("foo-version-?.tgz", "foo-version-alpha.tgz", false),
            ("targets/*.tgz", "targets/foo.txt", false),
            ("Foo/*", "foo/a", false),
            ("*", ".hidden", true),
            ("{a,b}", "a", false),
            ("!a", "b", false),
            ("[!a]", "b", true),
            ("[!a]", "a", false),
            ("[^a]", "b", false),
            ("[^a]", "^", true),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("[", "a", false),
            ("a\\*", "a*", false),
            ("?", "é", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*a", "aaaa", true),
            ("a/*", "a/", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} ~ {path}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_told() {
        for pattern in [
            "*",
            "a/b",
            "*/*.tgz",
            "[abc]",
            "[]]",
            "[!]]",
            "[a-c]x[!0-9]",
            "[^a]",
            "{a,b}",
            "a**b",
            "é?",
            "]",
        ] {
            assert_eq!(problem(pattern), None, "{pattern}");
        }
        for (pattern, part) in [
            ("", "empty"),
            ("/a", "slash"),
            ("a//b", "empty segment"),
            ("a/", "empty segment"),
            ("../a", ".."),
            ("a/./b", ". or"),
            ("a/**", "**"),
            ("a\\*", "backslash"),
            ("a\n", "control"),
            ("[a", "never closed"),
            ("[]", "never closed"),
            ("[a/b]", "never closed"),
            ("[a][b", "never closed"),
            ("x[z-a]", "range"),
            (&"a".repeat(4097), "longer"),
        ] {
            assert!(problem(pattern).is_some_and(|problem| problem.contains(part)), "{pattern:?}");
        }
    }

    #[test]
    fn hostile_patterns_take_linear_time() {
        let pattern = "*a".repeat(2_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(20_000)));
    }
}
