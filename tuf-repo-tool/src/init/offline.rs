//! The preset `offline-root`: the keys of root, targets and bins are made in a directory of their own, sign the first
//! state, and are taken away. From then on those roles change by events ([`crate::event`]).

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use tuf_client::durable::{self, Access};

use super::{InitOptions, first_root, make_directories, make_key, place};
use crate::config::{Config, RoleConfig, RoleKind};
use crate::error::Error;
use crate::keys::{KeyUri, Passphrases, file};
use crate::log::Did;
use crate::publish::{Changes, Options, Renewal, publish};
use crate::repository::Repository;

/// How many hash bins, if nobody says: later their number could only be changed by those who hold the keys of bins.
const BINS: u32 = 256;

/// Both must sign (PEP 458: (2, 2) for targets and bins).
const PAIR: u32 = 2;

/// The keys that leave the machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OfflineKeys {
    /// Where they are written; not below the repository.
    pub directory: PathBuf,
    /// How many keys root has.
    pub root_keys: u32,
    /// How many of them must sign.
    pub root_threshold: u32,
}

impl OfflineKeys {
    /// Three keys of root, of which two must sign.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory, root_keys: 3, root_threshold: 2 }
    }
}

/// Makes a repository whose offline keys are elsewhere, and publishes its first state: nothing needs them again before
/// root, targets or bins change. Settings are written last, as in [`super::init`].
///
/// # Errors
/// [`Error::OfflineKeys`], [`Error::TooFewKeys`], and those of [`super::init`] and [`publish`].
pub async fn init_offline(
    directory: &Path,
    options: &InitOptions,
    offline: &OfflineKeys,
    passphrases: &mut Passphrases,
) -> Result<Repository, Error> {
    if Config::path(directory).exists() {
        return Err(Error::Exists { path: directory.to_owned() });
    }
    let away = absolute(&offline.directory)?;
    if away.starts_with(absolute(directory)?) {
        return Err(Error::OfflineKeys { path: offline.directory.clone(), repository: directory.to_owned() });
    }
    if offline.root_threshold == 0 || offline.root_threshold > offline.root_keys {
        let (threshold, keys) =
            (offline.root_threshold, usize::try_from(offline.root_keys).unwrap_or(usize::MAX));
        return Err(Error::TooFewKeys { role: RoleKind::Root.to_string(), threshold, keys });
    }
    // During the ceremony the keys are where they are made; the settings that stay name their public halves here.
    let made = |name: String| KeyUri::File(away.join(format!("{name}.pem")));
    let kept = |name: String| KeyUri::Public(Path::new("keys").join(format!("{name}.pub.json")));
    let ceremony = Repository::new(directory, config(options, offline, made))?;
    let stays = config(options, offline, kept);
    place::check(&ceremony).await?;
    make_directories(&ceremony)?;
    durable::create_dirs(&away, Access::Private)?;
    let lock = ceremony.lock()?;
    for (role, stays) in ceremony.config.roles.values().zip(stays.roles.values()) {
        for (key, public) in role.keys.iter().zip(&stays.keys) {
            let Some(path) = key.path(directory) else { continue };
            make_key(&path, &key.name(), options, passphrases)?;
            if let KeyUri::Public(public) = public {
                copy_public(&path, &directory.join(public))?;
            }
        }
    }
    first_root(&ceremony, options, passphrases)?;
    place::claim(&ceremony).await?;
    if ceremony.published()?.is_none() {
        let (did, why) = (Some(Did::Init), options.why.clone());
        let options = Options { did, why, ..Options::default() }.guarded(&ceremony).await?;
        let nothing = Changes::default();
        publish(&ceremony, &lock, passphrases, &nothing, Renewal::None, &options).await?;
    }
    stays.save(directory)?;
    drop(lock);
    Repository::open(directory)
}

fn config(options: &InitOptions, offline: &OfflineKeys, key: impl Fn(String) -> KeyUri) -> Config {
    let mut roles = BTreeMap::new();
    for kind in RoleKind::ALL {
        let (count, threshold) = match kind {
            RoleKind::Root => (offline.root_keys, offline.root_threshold),
            RoleKind::Targets | RoleKind::Bins => (PAIR, PAIR),
            RoleKind::BinN | RoleKind::Snapshot | RoleKind::Timestamp => (0, 1),
        };
        let here = KeyUri::File(Path::new("keys").join(format!("{kind}.pem")));
        let mut role = RoleConfig::new(kind, here);
        if count > 0 {
            role.keys = (1..=count).map(|n| key(format!("{kind}-{n}"))).collect();
        }
        role.threshold = threshold;
        roles.insert(kind, role);
    }
    let mut config = options.config(roles);
    config.bins.get_or_insert(BINS);
    config
}

/// Copies the public half of a key that is elsewhere to where the settings look for it.
pub(crate) fn copy_public(key: &Path, to: &Path) -> Result<(), Error> {
    let from = file::public_path(key);
    let bytes = std::fs::read(&from).map_err(|error| Error::io("read", &from, error))?;
    Ok(durable::write_atomic(to, &bytes)?)
}

/// Where a path leads, through links, although its end may not be there yet.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let failed = |error| Error::io("find", path, error);
    let path = std::path::absolute(path).map_err(failed)?;
    let (mut there, mut rest) = (path.clone(), Vec::new());
    while !there.exists() {
        match there.components().next_back() {
            Some(Component::Normal(name)) => rest.push(name.to_owned()),
            _ => return Err(failed(std::io::ErrorKind::InvalidInput.into())),
        }
        there.pop();
    }
    let mut found = std::fs::canonicalize(&there).map_err(failed)?;
    found.extend(rest.iter().rev());
    Ok(found)
}
