//! What a published file is, by its name alone.

use crate::publish::TIMESTAMP;
use crate::storage::is_hash_prefixed;

/// A published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Never collected: a root, which clients of any age ask for one by one, and the timestamp.
    Anchor,
    Snapshot(u64),
    /// Of a targets role: version, and its file name without that.
    Role(u64, &'a str),
    /// A target under a hash, or a file of a mirror under its plain name.
    Target,
    /// Not one of a repository like this, or not one that can be told from others.
    Unknown,
}

impl<'a> Kind<'a> {
    pub(super) fn of(path: &'a str) -> Self {
        if path == TIMESTAMP {
            return Self::Anchor;
        }
        if let Some(name) = path.strip_prefix("metadata/") {
            return Self::of_metadata(name).unwrap_or(Self::Unknown);
        }
        match path.strip_prefix("targets/") {
            Some(name) if is_hashed(name) || is_package(name) => Self::Target,
            _ => Self::Unknown,
        }
    }

    fn of_metadata(name: &'a str) -> Option<Self> {
        let (version, file) = name.split_once('.')?;
        // As it is written: no sign and no zeros before it.
        let number: u64 = version.parse().ok().filter(|number: &u64| number.to_string() == version)?;
        match file {
            _ if file.contains('/') => None,
            "root.json" => Some(Self::Anchor),
            "snapshot.json" => Some(Self::Snapshot(number)),
            "timestamp.json" => None,
            _ => file.ends_with(".json").then_some(Self::Role(number, file)),
        }
    }
}

fn is_hashed(name: &str) -> bool {
    is_hash_prefixed(name.rsplit('/').next().unwrap_or(name))
}

/// `packages/aa/bb/60 hex digits/name`: where a mirror keeps the files of its upstream. Any other plain name may be somebody's.
pub(super) fn is_package(name: &str) -> bool {
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["packages", first, second, rest, _] => hex(first, 2) && hex(second, 2) && hex(rest, 60),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_name_and_in_doubt_it_is_unknown() {
        let hash = "ab".repeat(32);
        let package = format!("packages/ab/cd/{}/six-1.whl", "e".repeat(60));
        for (path, kind) in [
            ("metadata/timestamp.json", Kind::Anchor),
            ("metadata/1.root.json", Kind::Anchor),
            ("metadata/12.snapshot.json", Kind::Snapshot(12)),
            ("metadata/3.targets.json", Kind::Role(3, "targets.json")),
            ("metadata/3.bin-16-a.json", Kind::Role(3, "bin-16-a.json")),
            ("metadata/3.a.b.json", Kind::Role(3, "a.b.json")),
            ("metadata/3.%2E.json", Kind::Role(3, "%2E.json")),
            ("metadata/03.targets.json", Kind::Unknown),
            ("metadata/+3.targets.json", Kind::Unknown),
            ("metadata/3.targets.json.gz", Kind::Unknown),
            ("metadata/3.timestamp.json", Kind::Unknown),
            ("metadata/old/3.targets.json", Kind::Unknown),
            ("metadata/3.old/targets.json", Kind::Unknown),
            ("metadata/99999999999999999999.targets.json", Kind::Unknown),
            ("metadata/root.json", Kind::Unknown),
            ("metadata/targets.json", Kind::Unknown),
            ("index.html", Kind::Unknown),
            ("targets/a.txt", Kind::Unknown),
            ("targets/packages/six-1.whl", Kind::Unknown),
            ("other/1.root.json", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
        for name in [format!("{hash}.a"), format!("a b/{hash}.c.json"), format!("{hash}{hash}.a"), package] {
            assert_eq!(Kind::of(&format!("targets/{name}")), Kind::Target, "{name}");
        }
        for name in [format!("{hash}/a"), format!("a{hash}.a"), format!("{}.a", hash.to_uppercase())] {
            assert_eq!(Kind::of(&format!("targets/{name}")), Kind::Unknown, "{name}");
        }
    }
}
