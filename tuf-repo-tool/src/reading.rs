//! Reading all that is published, in several threads: for a server, one request after the other would take hours.

use std::collections::HashSet;

use data_encoding::HEXLOWER;
use tuf_client::simple::{ProjectName, SignedPage};
use tuf_core::trust::Trusted;
use tuf_core::{Checker, Hashes, RoleName, Targets};

use crate::error::Error;
use crate::mirror::MAX_PAGE;
use crate::parallel;
use crate::repository::{Published, Repository};

/// Is shown every targets role that is published.
pub(crate) trait Visitor {
    /// Whether a role's file need be read.
    fn wants(&mut self, _role: &RoleName, _version: u64) -> bool {
        true
    }

    /// A role, on the word of its delegator, or why it cannot be had.
    ///
    /// # Errors
    /// What ends the walk.
    fn role(&mut self, name: &RoleName, role: Result<&Trusted<Targets>, Error>) -> Result<(), Error>;
}

/// Shows `targets` and every role below it that the snapshot has, delegators first; each once.
///
/// # Errors
/// Those of the visitor.
pub(crate) fn walk(published: &Published, threads: usize, visitor: &mut impl Visitor) -> Result<(), Error> {
    let snapshot = published.set().snapshot();
    let top = published.set().targets();
    visitor.role(top.role_name(), Ok(top))?;
    let (mut delegators, mut visited) = (vec![top.clone()], HashSet::new());
    while let Some(delegator) = delegators.pop() {
        let Some(delegations) = &delegator.delegations else { continue };
        let mut wants = |role: &RoleName| {
            let Some(meta) = snapshot.role(role) else { return false };
            visitor.wants(role, meta.version) && visited.insert(role.clone())
        };
        let below: Vec<_> = delegations.role_names().into_iter().filter(|role| wants(role)).collect();
        let read = |name: RoleName| {
            let role = published.delegated(&delegator, &name);
            (name, role)
        };
        parallel::each(threads, below.into_iter(), read, |(name, role)| match role {
            Ok(role) => {
                visitor.role(&name, Ok(&role))?;
                if role.delegations.is_some() {
                    delegators.push(role);
                }
                Ok(())
            }
            Err(error) => visitor.role(&name, Err(error)),
        })?;
    }
    Ok(())
}

/// A project's page, of this hash; `None` if it is none of a mirror.
///
/// # Errors
/// [`Error::Missing`], [`Error::Published`] if it has another hash, [`Error::Storage`].
pub(crate) fn page(
    repository: &Repository,
    project: &ProjectName,
    sha256: [u8; 32],
) -> Result<Option<SignedPage>, Error> {
    let path = SignedPage::target_path(project);
    let Some((directory, name)) = path.rsplit_once('/') else { return Ok(None) };
    let stored = Repository::target(&format!("{directory}/{}.{name}", HEXLOWER.encode(&sha256)));
    let storage = repository.storage();
    let missing = || Error::Missing { storage: storage.url(), path: stored.clone() };
    let bytes = storage.read(&stored, MAX_PAGE)?.ok_or_else(missing)?;
    Checker::check(&Hashes::sha256_only(sha256), None, &bytes).map_err(Error::Published)?;
    Ok(SignedPage::parse(&bytes, project).ok())
}
