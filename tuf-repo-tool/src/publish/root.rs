//! Root is a publish of its own.

use tuf_client::durable;
use tuf_core::trust::RootChain;
use tuf_core::{Extra, Root, TopLevel};

use crate::config::RoleKind;
use crate::error::Error;
use crate::keys::Passphrases;
use crate::repository::{Lock, Published, Repository};
use crate::signing::{Signers, public_keys};
use crate::storage::NewFile;

const TOP_LEVEL: [(TopLevel, RoleKind); 4] = [
    (TopLevel::Root, RoleKind::Root),
    (TopLevel::Targets, RoleKind::Targets),
    (TopLevel::Snapshot, RoleKind::Snapshot),
    (TopLevel::Timestamp, RoleKind::Timestamp),
];

/// Signs and publishes the first root, with unknown fields `extra`.
///
/// # Errors
/// [`Error::Key`], [`Error::TooFewKeys`], [`Error::File`].
pub fn publish_first_root(
    repository: &Repository,
    passphrases: &mut Passphrases,
    extra: Extra,
) -> Result<(), Error> {
    let config = &repository.config;
    let mut root = Root::new(repository.now() + config.role(RoleKind::Root)?.expires.delta());
    for (role, kind) in TOP_LEVEL {
        root.set_role(role, &public_keys(repository, kind)?, config.role(kind)?.threshold);
    }
    root.extra = extra;
    let bytes = Signers::new(repository, passphrases).sign(root, RoleKind::Root)?;
    write(repository, 1, &bytes)
}

/// Signs the root again under the next version, with the same keys, if its signing period is over. Clients
/// follow it whatever else is published.
///
/// # Errors
/// [`Error::Key`], or [`Error::Published`] if the keys are no longer those of the published root.
pub fn renew_root(
    repository: &Repository,
    _lock: &Lock,
    published: &Published,
    passphrases: &mut Passphrases,
) -> Result<Option<u64>, Error> {
    let role = repository.config.role(RoleKind::Root)?;
    let root = published.set().root();
    let left = root.header.expires - repository.now();
    if (role.expires.delta() - role.renew_after()..=role.expires.delta()).contains(&left) {
        // A renewal that was killed may have left the copy behind.
        let copy = repository.directory().join("root.json");
        if std::fs::read(&copy).ok().as_deref() != Some(&**root.bytes()) {
            durable::write_atomic(&copy, root.bytes())?;
        }
        return Ok(None);
    }
    let mut next = root.value().clone();
    next.header.version += 1;
    next.header.expires = repository.now() + role.expires.delta();
    let version = next.header.version;
    let bytes = Signers::new(repository, passphrases).sign(next, RoleKind::Root)?;
    // What a client will do with it.
    let limits = std::sync::Arc::new(tuf_core::Limits::default());
    RootChain::pinned(root.bytes(), limits)
        .and_then(|chain| chain.next(&bytes.as_slice().into()))
        .map_err(Error::Published)?;
    write(repository, version, &bytes)?;
    Ok(Some(version))
}

fn write(repository: &Repository, version: u64, bytes: &[u8]) -> Result<(), Error> {
    let path = Repository::metadata_path(&format!("{version}.root.json"));
    repository.storage().create(&[NewFile { path, bytes: bytes.to_vec() }])?;
    Ok(durable::write_atomic(&repository.directory().join("root.json"), bytes)?)
}
