//! Root is a publish of its own.

use std::sync::Arc;

use tuf_client::durable;
use tuf_core::trust::{Authority, RootChain};
use tuf_core::{
    Envelope, Error as Refusal, Extra, Limits, Metadata, Root, Snapshot, Targets, Timestamp, TopLevel,
};

use super::clock;
use super::commit::{Commit, Visible, commit, commit_root};
use super::journal::{self, Journal};
use super::{Changes, Check, Listed, Options, Summary, logged, spread};
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
    let listed = Listed::configured(repository, RoleKind::Root)?;
    let keys = &config.role(RoleKind::Root)?.keys;
    let bytes = Signers::new(repository, passphrases).sign(root, &TopLevel::Root.role(), keys, &[listed])?;
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
    options: &Options,
) -> Result<Option<u64>, Error> {
    let role = repository.config.role(RoleKind::Root)?;
    let root = published.set().root();
    let left = root.header.expires - repository.now();
    if !spread::is_due(left, role.expires.delta(), role.renew_after()) {
        copy_root(repository, published)?;
        return Ok(None);
    }
    clock::check(repository, Some(published), options)?;
    let mut next = root.value().clone();
    next.header.version += 1;
    next.header.expires = repository.now() + role.expires.delta();
    let version = next.header.version;
    let listed = Listed::of_root(root, TopLevel::Root);
    let mut signers = Signers::new(repository, passphrases);
    let bytes = signers.sign(next, &TopLevel::Root.role(), &role.keys, &[listed])?;
    // What a client will do with it.
    RootChain::pinned(root.bytes(), Arc::new(Limits::default()))
        .and_then(|chain| chain.next(&bytes.as_slice().into()))
        .map_err(Error::Published)?;
    let path = Repository::metadata_path(&format!("{version}.root.json"));
    let step = root_alone(published, NewFile { path, bytes });
    commit_root(repository, options, &step)?;
    let [root] = &step.visible.roots[..] else { return Ok(Some(version)) };
    write_root_copy(repository, &root.bytes)?;
    Ok(Some(version))
}

/// Publishes the next root, which was signed elsewhere. What is published must hold under it already.
///
/// # Errors
/// [`Error::NextRoot`], [`Error::Check`], [`Error::Storage`], [`Error::File`].
pub(crate) async fn publish_next_root(
    repository: &Repository,
    _lock: &Lock,
    bytes: &[u8],
    options: &Options,
) -> Result<(), Error> {
    let Some(published) = repository.published()? else { return write(repository, 1, bytes) };
    let next = RootChain::pinned(published.set().root().bytes(), Arc::new(Limits::default()))
        .and_then(|chain| chain.next(&Arc::from(bytes)))
        .map_err(Error::Published)?;
    stands_under(&published, next.root())?;
    let path = Repository::metadata_path(&format!("{}.root.json", next.root().header.version));
    let step = root_alone(&published, NewFile { path, bytes: bytes.to_vec() });
    // Clients of every root there ever was, the next one included.
    let mut options = options.clone();
    options.check = Check::All;
    let (asked, nothing) = (journal::fingerprint(&bytes), Changes::default());
    commit(repository, &options, Some(&published), &nothing, &asked, &step).await?;
    write_root_copy(repository, bytes)
}

/// A root, and nothing else.
fn root_alone(published: &Published, root: NewFile) -> Commit {
    Commit {
        files: Vec::new(),
        visible: Visible { roots: vec![root], timestamp: None },
        expected: Some(published.set().timestamp().bytes().to_vec()),
        summary: Summary::default(),
    }
}

/// Whether the published timestamp, snapshot and targets hold under a root: whoever has it next to them must accept all.
///
/// # Errors
/// [`Error::NextRoot`] naming the first that does not.
pub(crate) fn stands_under(published: &Published, root: &Root) -> Result<(), Error> {
    let set = published.set();
    stands::<Targets>(root, set.targets().bytes())?;
    stands::<Snapshot>(root, set.snapshot().bytes())?;
    stands::<Timestamp>(root, set.timestamp().bytes())
}

/// Whether a file of a top-level role holds under a root.
///
/// # Errors
/// [`Error::NextRoot`].
pub(super) fn stands<T: Metadata>(root: &Root, file: &[u8]) -> Result<(), Error> {
    let (by, version) = (TopLevel::Root.role(), root.header.version);
    let verify = || -> Result<(), Refusal> {
        let envelope = Envelope::parse(file, &Limits::default())?;
        let authority = Authority::new(&by, version, &root.keys, root.role(T::KIND));
        authority.verify::<T>(&T::KIND.role(), &envelope, &Limits::default()).map(drop)
    };
    verify().map_err(|source| Error::NextRoot { version, role: T::KIND, source })
}

fn write(repository: &Repository, version: u64, bytes: &[u8]) -> Result<(), Error> {
    let path = Repository::metadata_path(&format!("{version}.root.json"));
    repository.storage().create(&[NewFile { path, bytes: bytes.to_vec() }])?;
    write_root_copy(repository, bytes)
}

/// Ends what a publisher began that was killed after clients could see it.
pub(crate) fn settle(repository: &Repository, published: &Published, _lock: &Lock) -> Result<(), Error> {
    copy_root(repository, published)?;
    logged::settle(repository)?;
    Journal::of(repository).close()
}

/// The published root as `root.json`: whoever published it may have been killed before.
fn copy_root(repository: &Repository, published: &Published) -> Result<(), Error> {
    let (root, copy) = (published.set().root().bytes(), repository.directory().join("root.json"));
    match std::fs::read(&copy).ok().as_deref() == Some(&**root) {
        true => Ok(()),
        false => write_root_copy(repository, root),
    }
}

/// The newest root beside the settings, to hand out.
pub(crate) fn write_root_copy(repository: &Repository, bytes: &[u8]) -> Result<(), Error> {
    Ok(durable::write_atomic(&repository.directory().join("root.json"), bytes)?)
}
