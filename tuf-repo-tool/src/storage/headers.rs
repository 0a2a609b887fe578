//! What the HTTP headers of a published file say: how long caches may keep it, and what it is.
//!
//! Files whose name holds a version or a hash never change and may be cached for ever. A stale `timestamp.json` is a
//! freeze. The server of this program sends them, and a bucket keeps them with each object.

/// How long a file's bytes stay what they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lifetime {
    /// The name holds a version or a hash.
    Immutable,
    /// The one file whose age is what clients check.
    Never,
    /// Replaced by a later publish: caches ask again each time.
    Revalidate,
}

impl Lifetime {
    /// Of a published file, by the parts of its path.
    pub(crate) fn of(segments: &[&str]) -> Self {
        match segments {
            ["metadata", "timestamp.json"] => Self::Never,
            ["metadata", .., name] if is_versioned(name) => Self::Immutable,
            ["targets", "packages", ..] => Self::Immutable,
            ["targets", .., name] if is_hash_prefixed(name) => Self::Immutable,
            _ => Self::Revalidate,
        }
    }

    /// The value of `Cache-Control`.
    pub(crate) const fn cache_control(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::Never => "no-store",
            Self::Revalidate => "no-cache",
        }
    }
}

/// The value of `Content-Type`, by the last part of the path.
pub(super) fn content_type(path: &str) -> &'static str {
    const TYPES: [(&str, &str); 7] = [
        (".json", "application/json"),
        (".html", "text/html; charset=utf-8"),
        (".txt", "text/plain; charset=utf-8"),
        (".metadata", "text/plain; charset=utf-8"),
        (".gz", "application/gzip"),
        (".tgz", "application/gzip"),
        (".zip", "application/zip"),
    ];
    let found = TYPES.iter().find(|(ending, _)| path.ends_with(ending));
    found.map_or("application/octet-stream", |(_, content_type)| content_type)
}

/// `N.role.json`, the names of consistent snapshots (TUF 1.0.34, section 6.2).
fn is_versioned(name: &str) -> bool {
    name.split_once('.').is_some_and(|(version, rest)| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) && rest.ends_with(".json")
    })
}

/// `<hex digest>.name`, SHA-256 or SHA-512.
pub(crate) fn is_hash_prefixed(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, _)| {
        matches!(hash.len(), 64 | 128) && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
