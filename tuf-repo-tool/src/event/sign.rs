//! Signing a bundle, on any machine.

use std::path::Path;

use tuf_core::RoleName;

use super::bundle::Bundle;
use super::store::Events;
use super::{EventError, phrase, store};
use crate::error::Error;
use crate::keys::{self, KeyUri, Passphrases, Signer};
use crate::repository::Repository;
use crate::signing::is_elsewhere;

/// How a signer says that this is what is to be signed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Consent {
    /// Whoever asks has shown the review, and the signer agreed.
    Given,
    /// The check phrase, as the signer was told it.
    Phrase(String),
}

/// Signs every draft of a bundle that these keys may sign, and writes it back as a whole. Signatures that others added
/// to the file meanwhile are kept. `reviewed` is what the signer saw: a file that is another by now is refused.
///
/// # Errors
/// [`EventError::NotASigner`], [`EventError::Phrase`], [`EventError::Foreign`], [`Error::Key`], [`Error::Signature`].
pub fn sign(
    path: &Path,
    reviewed: &Bundle,
    signers: &[Box<dyn Signer>],
    names: &[String],
    consent: &Consent,
) -> Result<(Bundle, Vec<RoleName>), Error> {
    if let Consent::Phrase(found) = consent {
        let expected = reviewed.phrase();
        if phrase::normalised(found) != expected {
            return Err(EventError::Phrase { expected, found: found.clone() }.into());
        }
    }
    let mut ours = reviewed.clone();
    let mut signed = Vec::new();
    for (signer, name) in signers.iter().zip(names) {
        let roles = ours.sign(signer.public(), |payload| signer.sign(payload).map_err(Error::from))?;
        if roles.is_empty() {
            let (key, keyid) = (name.clone(), signer.public().id().to_string());
            return Err(EventError::NotASigner { key, keyid, id: reviewed.id().to_owned() }.into());
        }
        signed.extend(roles);
    }
    signed.sort();
    signed.dedup();
    let _lock = store::lock(&path.with_added_extension("lock"))?;
    let mut now = store::read(path)?;
    now.merge(&ours)?;
    store::write(path, &now)?;
    Ok((now, signed))
}

/// Signs a pending event with each of these keys that is on this machine and that it lacks. Also gives why the first of
/// them failed that did.
///
/// # Errors
/// [`EventError::Missing`], [`EventError::Bundle`], [`Error::Signature`].
pub(crate) fn sign_here(
    repository: &Repository,
    passphrases: &mut Passphrases,
    id: &str,
    uris: &[KeyUri],
) -> Result<(Bundle, Option<Error>), Error> {
    let events = Events::of(repository);
    let _lock = events.lock()?;
    let (mut bundle, mut signed, mut failed) = (events.load(id)?, false, None);
    for uri in uris {
        let Ok(key) = keys::public(uri, repository.directory()) else { continue };
        if !bundle.wants(&key) {
            continue;
        }
        match keys::open(uri, repository.directory(), passphrases) {
            Ok(signer) => {
                bundle.sign(signer.public(), |payload| signer.sign(payload).map_err(Error::from))?;
                signed = true;
            }
            Err(error) if is_elsewhere(&error) => {}
            Err(error) => drop(failed.get_or_insert_with(|| Error::from(error))),
        }
    }
    if signed {
        events.save(&bundle)?;
    }
    Ok((bundle, failed))
}
