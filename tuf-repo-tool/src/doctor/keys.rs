//! Every key that the settings name.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tokio::task::block_in_place;
use tuf_client::env;

use super::Check;
use crate::config::RoleKind;
use crate::keys::passphrase::Prompt;
use crate::keys::{self, KeyError, KeyUri, Passphrase, Passphrases};
use crate::repository::Repository;

/// Nobody is asked: what was not given is not known.
#[derive(Clone, Copy, Debug)]
struct Nobody;

impl Prompt for Nobody {
    fn ask(&self, _question: &str, _confirm: bool) -> io::Result<Option<Passphrase>> {
        Ok(None)
    }
}

/// Of whom a key is, and whether that role is signed without a person.
#[derive(Debug, Default)]
struct Use {
    roles: Vec<String>,
    online: bool,
}

pub(super) fn check(repository: &Repository, checks: &mut Vec<Check>) {
    let mut uses: BTreeMap<String, (&KeyUri, Use)> = BTreeMap::new();
    let mut add = |uri, role: &str, online| {
        let (_, used) = uses.entry(KeyUri::to_string(uri)).or_insert_with(|| (uri, Use::default()));
        used.roles.push(role.to_owned());
        used.online |= online;
    };
    for (kind, role) in &repository.config.roles {
        let online = matches!(kind, RoleKind::BinN | RoleKind::Snapshot | RoleKind::Timestamp);
        role.keys.iter().for_each(|uri| add(uri, kind.name(), online));
    }
    for (name, role) in &repository.config.delegations {
        role.keys.iter().for_each(|uri| add(uri, name, false));
    }
    let mut passphrases = Passphrases::new(env::var, Nobody);
    for (text, (uri, used)) in uses {
        let named = format!("{text}, for {}", used.roles.join(", "));
        checks.push(block_in_place(|| one(repository, uri, &named, used.online, &mut passphrases)));
    }
}

fn one(
    repository: &Repository,
    uri: &KeyUri,
    named: &str,
    online: bool,
    passphrases: &mut Passphrases,
) -> Check {
    let directory = repository.directory();
    let failed = |error: KeyError| Check::failed("key", &error.into());
    let about = |mut check: Check| {
        check.message = format!("{named}: {}", check.message);
        check
    };
    // What is not here cannot sign by itself.
    let elsewhere = |why: &str| match online {
        true => Check::error("key", format!("{named}: {why}, and nothing can be renewed without it")),
        false => Check::ok("key", format!("{named}: {why}; events are signed with it")),
    };
    if let Err(error) = keys::public(uri, directory) {
        return about(failed(error));
    }
    match uri {
        KeyUri::Public(_) => elsewhere("its private half is elsewhere"),
        KeyUri::File(_) => match uri.path(directory) {
            Some(path) if !path.exists() => elsewhere("its private half is not here"),
            Some(path) => about(file(uri, &path, directory, passphrases)),
            None => Check::ok("key", named),
        },
        KeyUri::Env(_) => match keys::open(uri, directory, passphrases) {
            Ok(_) => Check::ok("key", format!("{named}: can be used")),
            Err(error) => about(locked(error)),
        },
        KeyUri::Pkcs11(_) => Check::ok("key", format!("{named}: the token is here; its PIN was not tried")),
        _ => Check::ok("key", format!("{named}: can be asked")),
    }
}

fn file(uri: &KeyUri, path: &Path, directory: &Path, passphrases: &mut Passphrases) -> Check {
    let encrypted = match keys::file::is_encrypted(path) {
        Ok(encrypted) => encrypted,
        Err(error) => return locked(error),
    };
    match keys::open(uri, directory, passphrases) {
        Ok(_) if encrypted => Check::ok("key", "encrypted, and opens with the passphrase that is given"),
        Ok(_) => Check::warning("key", "it is not encrypted: whoever reads this disk has it")
            .hint("`tuf-repo key import` makes an encrypted copy; a key that was exposed is better replaced"),
        Err(error) => locked(error),
    }
}

/// A key that is locked is no failure where a person types the passphrase.
fn locked(error: KeyError) -> Check {
    match error {
        KeyError::NoPassphrase { .. } => {
            Check::warning("key", "locked, and no passphrase is given: whether it opens is not known")
                .hint("a timer or a daemon needs one: TUF_PASSPHRASE_FILE names a file that has it")
        }
        // Whoever can read it may have it.
        error @ KeyError::Permissions { .. } => Check::failed("key", &error.into()).unsafe_if(true),
        error => Check::failed("key", &error.into()),
    }
}
