//! Target paths, and the one place where they become file names and URLs.

use std::fmt;

use ring::digest;

use crate::hashes::Hashes;
use crate::role::percent_encode;

/// A target path (spec 4.5): relative, `/`-separated, and safe to map into a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(Box<str>);

/// Why a string is no target path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target path {path:?} {problem}")]
pub struct PathError {
    path: String,
    problem: &'static str,
}

/// Device names that Windows opens whatever the directory and the extension.
const WINDOWS_DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

impl TargetPath {
    /// Checks a path. Names that would leave a directory on any system are refused: absolute ones,
    /// `.` and `..` and empty segments, backslashes, colons, trailing dots and spaces, Windows device
    /// names, control characters, and segments over 255 bytes.
    ///
    /// # Errors
    /// [`PathError`] saying what is wrong with it.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        match problem(&path) {
            None => Ok(Self(path.into())),
            Some(problem) => Err(PathError { path: path.chars().take(200).collect(), problem }),
        }
    }

    /// The path as signed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// SHA-256 of the path, by which hash bins are chosen (spec 4.5, `path_hash_prefixes`).
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    /// The path on the repository, not yet percent-encoded: `dir/name`, or `dir/HASH.name` under
    /// consistent snapshots (spec 6.2.1). sha256 is preferred.
    #[must_use]
    pub fn remote(&self, consistent: Option<&Hashes>) -> String {
        match consistent.and_then(Hashes::preferred) {
            Some(hash) => match self.0.rsplit_once('/') {
                Some((directory, name)) => format!("{directory}/{hash}.{name}"),
                None => format!("{hash}.{}", self.0),
            },
            None => self.0.to_string(),
        }
    }
}

/// A path below the repository's base as it stands in a URL: every segment percent-encoded.
#[must_use]
pub fn url_path(remote: &str) -> String {
    remote.split('/').map(percent_encode).collect::<Vec<_>>().join("/")
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}

fn problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.len() > 4096 {
        return Some("is longer than 4096 bytes");
    }
    if path.contains('\\') {
        return Some("holds a backslash");
    }
    if path.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    path.split('/').find_map(|segment| match segment {
        "" => Some("has an empty segment"),
        "." | ".." => Some("has a segment . or .."),
        long if long.len() > 255 => Some("has a segment over 255 bytes"),
        // A drive, or a stream of another file.
        colon if colon.contains(':') => Some("holds a colon"),
        // Windows drops these, so that "a/.. /b" would be "a/../b".
        trailing if trailing.ends_with(['.', ' ']) => Some("has a segment that ends in a dot or a space"),
        other if is_windows_device(other) => Some("names a Windows device"),
        _ => None,
    })
}

pub(crate) fn is_windows_device(segment: &str) -> bool {
    let stem = segment.split(['.', ':']).next().unwrap_or_default().trim_end().to_ascii_lowercase();
    WINDOWS_DEVICES.contains(&&*stem)
        || ["com", "lpt"].iter().any(|port| {
            stem.strip_prefix(port).is_some_and(|rest| {
                matches!(rest, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            })
        })
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl AsRef<str> for TargetPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_leave_their_folder() {
        for path in [
            "",
            "/etc/passwd",
            "..",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:/x",
            "c:",
            "a/NUL",
            "aux.txt",
            "com1",
            "a\nb",
            "a\0",
            "con ",
        ] {
            assert!(TargetPath::new(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b.c", ".hidden", "a..b", "simple/six/index.json", "é/ü", "console", "a b"] {
            assert!(TargetPath::new(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn the_hash_goes_before_the_last_segment() {
        let path = TargetPath::new("a/b/c.txt").unwrap();
        let hashes = Hashes::sha256_only([0xab; 32]);
        assert_eq!(path.remote(Some(&hashes)), format!("a/b/{}.c.txt", "ab".repeat(32)));
        assert_eq!(path.remote(None), "a/b/c.txt");
        assert_eq!(url_path("a b/c#d"), "a%20b/c%23d");
    }
}
