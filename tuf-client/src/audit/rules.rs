//! The rules that look at one file: values in, findings out.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tuf_core::trust::Verification;
use tuf_core::{
    Delegated, Delegation, Delegations, Envelope, ErrorKind, Extra, Header, KeyId, Keys, PublicKey, RoleKeys,
    RoleName, Root, Scope, Strings, TargetMap, TargetPath, TopLevel,
};

use super::report::{Finding, Severity};
use crate::text::{span, utc};

/// The first release of the specification with the clarified rules on key rotation.
const RECENT_SPEC: [u64; 3] = [1, 0, 31];
/// How many examples a finding about many targets names.
const EXAMPLES: usize = 3;

/// The finding for what the machine refused.
pub(super) fn refused(error: &tuf_core::Error) -> Finding {
    let id = match error.kind() {
        ErrorKind::DuplicateSignature(_) => "duplicate-signature",
        ErrorKind::Expired { .. } => "expired",
        ErrorKind::Field(_) | ErrorKind::Json(_) => "malformed",
        ErrorKind::Hash { .. } => "hash-mismatch",
        ErrorKind::Length { .. } => "length-mismatch",
        ErrorKind::Limit { .. } => "over-limit",
        ErrorKind::Missing(_) => "missing-file",
        ErrorKind::NoKnownHash => "no-known-hash",
        ErrorKind::NotInSnapshot { .. } => "role-not-in-snapshot",
        ErrorKind::SpecVersion(_) => "unreadable-spec-version",
        ErrorKind::Threshold { .. } => "threshold",
        ErrorKind::Type { .. } => "wrong-type",
        ErrorKind::Version { expected, found }
            if error.role().is_some_and(|role| role.as_str() == "root") && found < expected =>
        {
            "root-rollback"
        }
        ErrorKind::Version { .. } => "version-mismatch",
        _ => "refused",
    };
    let attack = error.attack().map(|attack| format!(" ({attack})")).unwrap_or_default();
    let mut finding = Finding::error(id, format!("{}{attack}", error.kind())).hint(error.hint());
    if let Some(role) = error.role() {
        finding = finding.about(role, error.version());
    }
    finding
}

/// Expired, or nearly so: less than a tenth of its life is left where the file says how long that is, else
/// 2 hours for the roles that machines renew, 24 for the others.
pub(super) fn expiry(
    role: &RoleName,
    header: &Header,
    life: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let left = header.expires.signed_duration_since(now);
    let when = utc(&header.expires);
    if left <= TimeDelta::zero() {
        let message = format!("expired at {when}, {} ago", span(-left));
        let finding = Finding::error("expired", message).about(role, Some(header.version));
        return Some(finding.hint("sign a new version; until then every client refuses the repository"));
    }
    let online = matches!(role.top_level(), Some(TopLevel::Timestamp | TopLevel::Snapshot));
    let margin = life.map_or_else(|| TimeDelta::hours(if online { 2 } else { 24 }), |life| life / 10);
    (left < margin).then(|| {
        Finding::warning("expires-soon", format!("expires at {when}, in {}", span(left)))
            .about(role, Some(header.version))
            .hint("renew it in time; if it should have been renewed by now, look why it was not")
    })
}

/// How long a role lives, where tuf-on-ci wrote it down, in days.
pub(super) fn stated_life(extra: &Extra) -> Option<TimeDelta> {
    let days = extra.get("x-tuf-on-ci-expiry-period")?.to_value().as_i64()?;
    TimeDelta::try_days(days).filter(|life| *life > TimeDelta::zero())
}

/// Files that other clients would not read: limits of python-tuf, go-tuf and tuf-js, and tough's for the
/// snapshot.
pub(super) fn size(role: &RoleName, version: u64, bytes: usize) -> Vec<Finding> {
    const MANY: &str = "python-tuf, go-tuf and tuf-js";
    let limits: &[(&str, usize)] = match role.top_level() {
        Some(TopLevel::Root) => &[(MANY, 512_000)],
        Some(TopLevel::Timestamp) => &[(MANY, 16_384)],
        Some(TopLevel::Snapshot) => &[(MANY, 2_000_000), ("tough", 1_048_576)],
        _ => &[(MANY, 5_000_000)],
    };
    let over = limits.iter().filter(|(_, limit)| bytes > *limit);
    over.map(|(who, limit)| {
        let message = format!("{bytes} bytes, over the default limit of {who} ({limit})");
        Finding::warning("size-limit", message)
            .about(role, Some(version))
            .hint("spread the targets over more delegated roles, or leave hashes out of the snapshot")
    })
    .collect()
}

pub(super) fn spec_version(role: &RoleName, header: &Header) -> Option<Finding> {
    let parts: Vec<u64> = header.spec_version.split('.').filter_map(|part| part.parse().ok()).collect();
    (*parts < RECENT_SPEC[..]).then(|| {
        let message = format!("follows specification {}, older than 1.0.31", header.spec_version);
        Finding::note("old-spec-version", message).about(role, Some(header.version))
    })
}

/// The newest root as a policy.
pub(super) fn newest_root(root: &Root) -> Vec<Finding> {
    let mut findings = Vec::new();
    let role = TopLevel::Root.role();
    let about = |finding: Finding| finding.about(&role, Some(root.header.version));
    if root.extra.get("x-demonstration").is_some_and(|value| value.as_canonical() == "true") {
        findings.push(about(Finding::warning(
            "demonstration",
            "private keys are stored unencrypted; do not rely on this repository",
        )));
    }
    if root.role(TopLevel::Root).threshold() == 1 {
        findings.push(about(
            Finding::warning("root-threshold-1", "one key alone can replace everything")
                .hint("give root at least two keys and a threshold of 2"),
        ));
    }
    if !root.consistent_snapshot {
        findings.push(about(
            Finding::warning(
                "no-consistent-snapshot",
                "consistent_snapshot is off: clients that read during a publish get a mix and fail",
            )
            .hint("publish under versioned and hashed names and set consistent_snapshot"),
        ));
    }
    let own = material(&root.keys, root.role(TopLevel::Root));
    for other in [TopLevel::Timestamp, TopLevel::Snapshot, TopLevel::Targets] {
        for (_, id) in material(&root.keys, root.role(other)).iter().filter(|(key, _)| own.contains_key(*key))
        {
            let message = format!("key {} signs for root and for {}", id.short(), other.name());
            findings.push(about(if other == TopLevel::Targets {
                Finding::note("root-key-reused", message)
            } else {
                Finding::warning("root-key-online", message)
                    .hint("whoever breaks into the machine that signs it has a root key: use another key")
            }));
        }
    }
    findings
}

/// A role's usable keys by their material.
fn material<'a>(keys: &'a Keys, role: &'a RoleKeys) -> BTreeMap<&'a PublicKey, &'a KeyId> {
    role.keyids.iter().filter_map(|id| Some((keys.get(id)?.public()?, id))).collect()
}

/// The keys that a root or a file of delegations lists, and whether its roles can meet their thresholds.
pub(super) fn keys(
    by: &RoleName,
    version: u64,
    keys: &Keys,
    roles: &[(RoleName, &RoleKeys)],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let about = |finding: Finding| finding.about(by, Some(version));
    let mut ids: BTreeMap<&PublicKey, Vec<&KeyId>> = BTreeMap::new();
    for (id, key) in keys {
        if let Some(public) = key.public() {
            ids.entry(public).or_default().push(id);
        }
    }
    for twice in ids.values().filter(|ids| ids.len() > 1) {
        findings.push(about(
            Finding::warning(
                "key-under-two-ids",
                format!("one key stands under the IDs {}", list(twice.iter())),
            )
            .hint("it counts once; clients that count IDs would count it twice: list every key once"),
        ));
    }
    let unusable: Vec<_> = keys.iter().filter(|(_, key)| key.public().is_none()).collect();
    if !unusable.is_empty() {
        let each = unusable.iter().map(|(id, key)| {
            format!("{} ({}, {})", id.short(), key.keytype().escape_debug(), key.scheme().escape_debug())
        });
        let message = format!("cannot verify with {}", each.collect::<Vec<_>>().join(", "));
        findings.push(about(Finding::note("unusable-key", message)));
    }
    let odd: Vec<_> = keys.iter().filter(|(id, key)| key.id() != **id).map(|(id, _)| id).collect();
    if !odd.is_empty() {
        let message = format!("not the SHA-256 of the canonical key: {}", list(odd.iter()));
        findings.push(about(
            Finding::note("key-id-not-standard", message)
                .hint("clients that recompute key IDs refuse this file"),
        ));
    }
    let mut unknown: BTreeSet<&KeyId> = BTreeSet::new();
    for (role, role_keys) in roles {
        unknown.extend(role_keys.keyids.iter().filter(|id| !keys.contains_key(id)));
        let usable = material(keys, role_keys).len();
        if !usize::try_from(role_keys.threshold()).is_ok_and(|threshold| usable >= threshold) {
            let message = format!("{role} needs {} keys and has {usable} usable", role_keys.threshold());
            findings.push(about(
                Finding::error("threshold-unreachable", message)
                    .hint("no file of this role can ever be valid"),
            ));
        }
    }
    if !unknown.is_empty() {
        let message = format!("roles name keys that are not listed: {}", list(unknown.iter()));
        findings.push(about(Finding::note("unknown-key-id", message)));
    }
    findings
}

/// Whether a key's signature was made and does not verify. An empty one was not made yet, and a key that
/// cannot be used has none that could be told.
pub(super) fn is_invalid(id: &KeyId, envelope: &Envelope, keys: &Keys) -> bool {
    let signature = envelope.signatures().iter().find(|signature| signature.keyid() == id);
    signature.is_some_and(|signature| signature.bytes().is_some())
        && keys.get(id).is_some_and(|key| key.public().is_some())
}

/// Signatures of a file that meets its threshold.
pub(super) fn signatures(
    role: &RoleName,
    version: u64,
    found: &Verification,
    envelope: &Envelope,
    keys: &Keys,
) -> Option<Finding> {
    let invalid: Vec<_> = found.invalid.iter().filter(|id| is_invalid(id, envelope, keys)).collect();
    (found.is_met() && !invalid.is_empty()).then(|| {
        let message =
            format!("beside enough valid signatures there are invalid ones by {}", list(invalid.iter()));
        Finding::warning("invalid-signature", message)
            .about(role, Some(version))
            .hint("some tool signed other bytes, or the file was changed after signing")
    })
}

/// The entries of a targets role, apart from where it may sign.
pub(super) fn targets(role: &RoleName, version: u64, targets: &TargetMap) -> Vec<Finding> {
    let paths = |wanted: &dyn Fn(&str, &tuf_core::TargetFile) -> bool| -> Vec<String> {
        targets.iter().filter(|(path, file)| wanted(path, file)).map(|(path, _)| path.into_owned()).collect()
    };
    let unsafe_paths = paths(&|path, _| TargetPath::new(path).is_err());
    let unknown = paths(&|_, file| file.hashes.preferred().is_none());
    let weak = paths(&|_, file| file.hashes.sha256().is_none() && file.hashes.preferred().is_some());
    let mut findings = Vec::new();
    let mut add = |severity, id, paths: &[String], what: &str, hint| {
        if !paths.is_empty() {
            let message = format!("{} {what}: {}", count(paths.len()), examples(paths));
            findings.push(Finding::new(severity, id, message).about(role, Some(version)).hint(hint));
        }
    };
    let rename = "clients refuse such a name: rename the target";
    add(Severity::Error, "target-path", &unsafe_paths, "with a name that is no safe path", rename);
    let resign = "sign it with sha256";
    add(Severity::Error, "target-no-known-hash", &unknown, "without sha256 and sha512", resign);
    add(Severity::Warning, "target-without-sha256", &weak, "without sha256", resign);
    findings
}

/// Targets that no delegation to their role reaches.
pub(super) fn out_of_scope(role: &RoleName, version: u64, paths: &BTreeSet<Box<str>>) -> Option<Finding> {
    let paths: Vec<&str> = paths.iter().map(|path| &**path).collect();
    (!paths.is_empty()).then(|| {
        let message = format!("{} outside what is delegated to it: {}", count(paths.len()), examples(&paths));
        Finding::warning("target-out-of-scope", message)
            .about(role, Some(version))
            .hint("no client will find it: widen the delegation or move the target")
    })
}

/// Delegations that no search reaches, because an earlier one that terminates takes all their paths.
pub(super) fn shadowed(role: &RoleName, version: u64, delegations: &Delegations) -> Vec<Finding> {
    let Delegated::Roles(roles) = &delegations.roles else { return Vec::new() };
    let mut findings = Vec::new();
    let mut ending: Vec<Delegation> = Vec::new();
    for delegation in roles.iter() {
        if let Some(before) = ending.iter().find(|before| takes_all(&before.scope, &delegation.scope)) {
            let message = format!(
                "no search reaches {}: {} comes before it and terminates",
                delegation.name, before.name
            );
            findings.push(Finding::note("shadowed-delegation", message).about(role, Some(version)));
        }
        // Thousands of hash bins terminate and none takes another's paths: a few are enough to look at.
        if delegation.terminating && ending.len() < 64 {
            ending.push(delegation);
        }
    }
    findings
}

/// Whether every path of `inner` is one of `outer`. May say no where it is so.
fn takes_all(outer: &Scope, inner: &Scope) -> bool {
    match (outer, inner) {
        (Scope::PathHashPrefixes(outer), Scope::PathHashPrefixes(inner)) => {
            all_digests(outer)
                || inner.iter().all(|inner| outer.iter().any(|outer| inner.starts_with(&*outer)))
        }
        (Scope::PathHashPrefixes(outer), Scope::Paths(_)) => all_digests(outer),
        (Scope::Paths(outer), Scope::Paths(inner)) => inner
            .iter()
            .all(|inner| outer.iter().any(|outer| outer == inner || pattern_takes(&outer, &inner))),
        _ => false,
    }
}

fn all_digests(prefixes: &Strings) -> bool {
    // The empty one is a prefix of all.
    let any = prefixes.iter().any(|prefix| prefix.is_empty());
    any || "0123456789abcdef".chars().all(|digit| prefixes.iter().any(|prefix| prefix.chars().eq([digit])))
}

/// With `*` as the only wildcard in `outer`, the wildcards of `inner` can only be matched by it, so that it
/// takes whatever they stand for. A class could be matched piecewise: not decided.
fn pattern_takes(outer: &str, inner: &str) -> bool {
    !outer.contains(['?', '[']) && !inner.contains('[') && tuf_core::pattern::matches(outer, inner)
}

fn count(targets: usize) -> String {
    if targets == 1 { "1 target".to_owned() } else { format!("{targets} targets") }
}

fn examples(paths: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .take(EXAMPLES)
        .map(|path| path.as_ref().chars().take(200).collect::<String>().escape_debug().to_string())
        .collect();
    let more = if paths.len() > EXAMPLES { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn list<'a>(ids: impl Iterator<Item = &'a &'a KeyId>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_another_only_where_that_is_certain() {
        for (outer, inner, expected) in [
            ("a/*", "a/*.whl", true),
            ("*", "?", true),
            ("a/*", "a/*/b", false),
            ("?", "*", false),
            ("*b*", "[ab]", false),
            ("*.whl", "*", false),
            ("a?", "a?", true),
        ] {
            let scope = |pattern: &str| Scope::Paths(vec![pattern].into());
            assert_eq!(takes_all(&scope(outer), &scope(inner)), expected, "{outer} {inner}");
        }
        let digits: Vec<String> = "0123456789abcdef".chars().map(String::from).collect();
        let all = Scope::PathHashPrefixes(digits.clone().into());
        assert!(takes_all(&all, &Scope::Paths(vec!["x"].into())));
        let most = Scope::PathHashPrefixes(digits.into_iter().skip(1).collect());
        assert!(!takes_all(&most, &all) && takes_all(&all, &most));
    }

    #[test]
    fn old_versions_of_the_specification_are_told_by_number() {
        let role = TopLevel::Targets.role();
        let mut header = tuf_core::Targets::new(DateTime::UNIX_EPOCH).header;
        for (version, old) in
            [("1.0", true), ("1.0.9", true), ("1.0.31", false), ("1.0.34", false), ("1.1", false)]
        {
            version.clone_into(&mut header.spec_version);
            assert_eq!(spec_version(&role, &header).is_some(), old, "{version}");
        }
    }
}
