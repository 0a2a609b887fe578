//! Which entries a backup has.

use super::{EVENTS, KEYS, LOG, PUBLIC, ROOT, SETTINGS, STAGED};
use crate::storage::is_hash_prefixed;

/// Why an entry is none that a backup has.
pub(super) fn strange(name: &str, sha256: &str) -> Option<String> {
    let is_file = |rest: &str, end: &str| {
        let stem = rest.strip_suffix(end).unwrap_or_default();
        !stem.is_empty()
            && !rest.contains('/')
            && !rest.starts_with(['.', '-'])
            && !rest.contains(char::is_control)
    };
    let is_known = match (name.strip_prefix(KEYS), name.strip_prefix(EVENTS), name.strip_prefix(PUBLIC)) {
        (Some(key), ..) => is_file(key, ".pem") || is_file(key, ".pub.json"),
        (_, Some(event), _) => is_file(event, ".tufsign"),
        (.., Some(path)) => path.starts_with("metadata/") || path.starts_with("targets/"),
        _ => [SETTINGS, ROOT, LOG, STAGED].contains(&name),
    };
    if !is_known {
        return Some(format!("{name:?} is no part of a backup"));
    }
    // The name of a target's file says what is in it, if it is a sha256.
    let target = name.strip_prefix(PUBLIC).filter(|path| path.starts_with("targets/"))?;
    let (hash, _) = target.rsplit('/').next()?.split_once('.')?;
    let is_sha256 = hash.len() == sha256.len() && is_hash_prefixed(&format!("{hash}.x"));
    (is_sha256 && hash != sha256).then(|| format!("{name} is not what its name says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_no_backup_has_are_refused_and_targets_are_what_their_names_say() {
        let sum = "ab".repeat(32);
        let (other, long) = ("cd".repeat(32), "ef".repeat(64));
        for known in [
            "tuf-repo.toml",
            "root.json",
            "log.ndjson",
            "keys/bin-n.pem",
            "keys/a b.pub.json",
            "state/staged.ndjson",
            "state/events/root-1.tufsign",
            "public/metadata/1.a.b.json",
            "public/targets/packages/aa/plain.whl",
            &format!("public/targets/d/{sum}.one.txt"),
            &format!("public/targets/{long}.one.txt"),
        ] {
            assert_eq!(strange(known, &sum), None, "{known}");
        }
        for unknown in [
            "manifest.txt",
            "state/lock",
            "state/state.db",
            "KEYS/root.pem",
            "keys/a/b.pem",
            "keys/.pem",
            "keys/..x.pem",
            "keys/-rf.pem",
            "keys/root.key",
            "keys/\u{1b}[31m.pem",
            "state/events/a/b.tufsign",
            "public/index.html",
            "public/metadata",
            &format!("public/targets/d/{other}.one.txt"),
        ] {
            assert!(strange(unknown, &sum).is_some(), "{unknown}");
        }
    }
}
