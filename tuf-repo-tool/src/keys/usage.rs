//! Where a key is used, by what was published.

use std::collections::BTreeMap;
use std::path::Path;

use tuf_core::{Envelope, Key, Limits, Root, TopLevel, read_unverified};

/// The versions of published roots in which the key may sign, by role; an empty map if there are none. `metadata` is
/// the directory of published metadata. Nothing is verified: this is for looking, not for trusting.
///
/// # Errors
/// The directory cannot be read. A file that is no root is left out.
pub fn in_published_roots(metadata: &Path, key: &Key) -> std::io::Result<BTreeMap<&'static str, Vec<u64>>> {
    let mut uses: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    let entries = match std::fs::read_dir(metadata) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(uses),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".root.json")) {
            continue;
        }
        let limits = Limits::default();
        let Ok(envelope) = Envelope::parse(std::fs::read(&path)?, &limits) else { continue };
        let Ok(root) = read_unverified::<Root>(&envelope, &limits) else { continue };
        for role in TopLevel::ALL {
            let mut keys = root.role(role).keyids.iter().filter_map(|id| root.keys.get(id));
            if keys.any(|listed| listed.public().is_some() && listed.public() == key.public()) {
                uses.entry(role.name()).or_default().push(root.header.version);
            }
        }
    }
    uses.values_mut().for_each(|versions| versions.sort_unstable());
    Ok(uses)
}
