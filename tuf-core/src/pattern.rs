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
    let mut members = members.chars();
    while let Some(low) = members.next() {
        let mut range = members.clone();
        let high = match (range.next(), range.next()) {
            (Some('-'), Some(high)) => {
                members = range;
                high
            }
            _ => low,
        };
        if (low..=high).contains(&character) {
            return true;
        }
    }
    false
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
    fn hostile_patterns_take_linear_time() {
        let pattern = "*a".repeat(2_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(20_000)));
    }
}
