//! Asks for passphrases when the daemon starts, not in the night.

use crate::config::{Config, RoleKind};
use crate::edit::is_here;
use crate::error::Error;
use crate::keys::{self, KeyUri, Passphrases};
use crate::repository::Repository;

/// Opens every key that is on this machine once, so that all passphrases and PINs are known from now on; nobody is asked
/// again. Returns what failed and is not needed every day.
///
/// # Errors
/// [`Error::Key`] if too few keys of an online role (timestamp, snapshot, hash bins) can be opened.
pub fn unlock(repository: &Repository, passphrases: &mut Passphrases) -> Result<Vec<Error>, Error> {
    let mut failed = Vec::new();
    for (online, threshold, uris) in roles(&repository.config) {
        let (mut opened, mut first) = (0, None);
        for uri in uris.iter().filter(|uri| is_here(uri, repository)) {
            match keys::open(uri, repository.directory(), passphrases) {
                Ok(_) => opened += 1,
                Err(error) if first.is_none() => first = Some(Error::Key(error)),
                Err(error) => failed.push(Error::Key(error)),
            }
        }
        match first {
            Some(error) if online && opened < threshold => return Err(error),
            first => failed.extend(first),
        }
    }
    passphrases.ask_nobody();
    Ok(failed)
}

/// Of each role that this machine signs: whether that is needed every day, how many keys must, and where they are.
fn roles(config: &Config) -> impl Iterator<Item = (bool, u32, &[KeyUri])> {
    let online = |kind: &RoleKind| matches!(kind, RoleKind::Timestamp | RoleKind::Snapshot | RoleKind::BinN);
    let top = config.roles.iter().map(move |(kind, role)| (online(kind), role.threshold, &*role.keys));
    top.chain(config.delegations.values().map(|role| (false, 1, &*role.keys)))
}
