//! What is published, beside what this machine has.

use tokio::task::block_in_place;
use tuf_client::text::utc;
use tuf_core::{Envelope, Limits, TopLevel};

use super::Check;
use crate::config::RoleKind;
use crate::error::Error;
use crate::repository::{Published, Repository};
use crate::rotate::{Overlap, begun, overlaps};
use crate::status::differs;

/// Reads what is published, and the copy of its root.
pub(super) fn read(repository: &Repository, checks: &mut Vec<Check>) -> Option<Published> {
    let published = match block_in_place(|| repository.published()) {
        Ok(Some(published)) => published,
        Ok(None) => {
            let check = Check::warning("published", "nothing is published yet");
            checks.push(check.hint("`tuf-repo publish` publishes the first state"));
            return None;
        }
        Err(error) => {
            checks.push(Check::failed("published", &error));
            return None;
        }
    };
    let set = published.set();
    let (version, expires) = (set.timestamp().header.version, utc(&set.expires()));
    checks.push(if set.expires() <= repository.now() {
        Check::error("published", format!("timestamp {version}: expired at {expires}, clients refuse it"))
            .hint("`tuf-repo renew`, and see why no timer did")
    } else {
        Check::ok("published", format!("timestamp {version}, valid until {expires}"))
    });
    checks.push(root_copy(repository, &published));
    Some(published)
}

/// The trust anchor that this machine hands out.
fn root_copy(repository: &Repository, published: &Published) -> Check {
    let (root, path) = (published.set().root(), repository.directory().join("root.json"));
    let version = root.header.version;
    let hint = "`tuf-repo renew` writes it again; find out who changed it, and to whom it was given";
    match std::fs::read(&path) {
        Ok(bytes) if bytes == **root.bytes() => {
            Check::ok("root-copy", format!("root.json is the published root {version}"))
        }
        Ok(bytes) => match older(repository, &bytes) {
            // Another machine has published the newest.
            Some(old) => Check::warning(
                "root-copy",
                format!("root.json is root {old}, and root {version} is published"),
            )
            .hint("`tuf-repo renew` brings it up to date; clients that get the old one find their way"),
            None => Check::error("root-copy", format!("root.json is not the published root {version}"))
                .unsafe_if(true)
                .hint(hint),
        },
        Err(error) => {
            let error = Error::io("read", &path, error);
            Check::warning("root-copy", tuf_client::chain(&error)).hint(hint)
        }
    }
}

/// The version of a published root that is not the newest, by its bytes.
fn older(repository: &Repository, bytes: &[u8]) -> Option<u64> {
    let version = Envelope::parse(bytes, &Limits::default()).ok()?.claims().version?;
    let name = TopLevel::Root.role().file_name(Some(version));
    let found = block_in_place(|| repository.read_metadata(&name)).ok()??;
    (found == bytes).then_some(version)
}

/// Differences between the settings and what is published.
pub(super) fn settings(repository: &Repository, published: Option<&Published>, checks: &mut Vec<Check>) {
    let before = checks.len();
    let config = &repository.config;
    if let Some(published) = published {
        // While keys overlap, the settings name one more than is published.
        let overlaps = block_in_place(|| overlaps(repository, published)).unwrap_or_default();
        for Overlap { role, key, until } in &overlaps {
            let until = until.map_or_else(String::new, |until| format!(" until {}", utc(&until)));
            checks.push(Check::ok("settings", format!("{role}: {key} was replaced and signs too{until}")));
        }
        let begun = begun(repository);
        let rotates = |kind: &RoleKind| {
            overlaps.iter().any(|overlap| overlap.role == *kind)
                || begun.iter().any(|(role, ..)| role == kind)
        };
        for kind in config.roles.keys().filter(|kind| !rotates(kind)) {
            let signed = published.role_keys(*kind);
            if signed.is_some_and(|signed| differs(repository, *kind, &signed)) {
                let message = format!(
                    "{kind}: published metadata names other keys or another threshold than tuf-repo.toml"
                );
                let check = Check::warning("settings", message);
                checks.push(check.hint(format!(
                    "clients follow what is published; `tuf-repo role show {kind}` shows both, an event changes what is published"
                )));
            }
        }
        let bins = published.bins().map(|(_, bins)| bins.roles().count());
        let wanted = config.bins.and_then(|bins| usize::try_from(bins).ok());
        if let (Some(bins), Some(wanted)) = (bins, wanted)
            && bins != wanted
        {
            let message = format!("{bins} hash bins are published, and tuf-repo.toml says {wanted}");
            checks.push(Check::warning("settings", message).hint("write the number that is published"));
        }
    }
    for kind in [RoleKind::Snapshot, RoleKind::Timestamp] {
        if !config.roles.contains_key(&kind) {
            let check = Check::error("settings", format!("tuf-repo.toml has no [roles.{kind}]"));
            checks.push(check.hint("nothing can be published without it: add its keys and times"));
        }
    }
    if checks.len() == before {
        checks.push(Check::ok("settings", "tuf-repo.toml agrees with what is published"));
    }
}
