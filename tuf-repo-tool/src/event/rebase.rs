//! What a pending event is based on, compared with what is published now.

use std::sync::Arc;

use tuf_core::{Envelope, RoleName, TopLevel};

use super::EventError;
use super::bundle::{Bundle, limits};
use super::document::PublishedFile;
use super::open::path_to;
use super::proposal::Proposal;
use super::recovery::root_is_published;
use super::store::published_roots;
use crate::error::Error;
use crate::repository::{Published, Repository};

/// An event that can go on.
#[derive(Clone, Debug)]
pub(super) struct Rebased {
    /// The event, its signatories those of what is published now.
    pub(super) bundle: Bundle,
    /// Roles whose proposed file is published already, by a `finish` that did not come to its end.
    pub(super) done: Vec<RoleName>,
}

enum Base {
    Current,
    Done,
}

/// As [`rebase`], on what is published now. A recovery is based on what is known to be good: whatever is published below the
/// root is no matter to it, and may not even verify.
///
/// # Errors
/// As [`rebase`].
pub(super) fn rebase_now(repository: &Repository, bundle: Bundle) -> Result<Rebased, Error> {
    if bundle.recovery().is_some() {
        let done = match root_is_published(repository, &bundle)? {
            true => vec![TopLevel::Root.role()],
            false => Vec::new(),
        };
        return Ok(Rebased { bundle, done });
    }
    rebase(repository, &super::open::published(repository)?, bundle)
}

/// Brings an event up to what is published now: other roles may have changed since it was opened, and with them who
/// must sign. What it changes itself must be as it was.
///
/// # Errors
/// [`EventError::Outdated`], [`EventError::Foreign`].
pub(super) fn rebase(
    repository: &Repository,
    published: &Published,
    bundle: Bundle,
) -> Result<Rebased, Error> {
    let roots = published_roots(repository, published)?;
    if roots.iter().zip(bundle.roots()).any(|(ours, theirs)| ours != theirs)
        || roots.len() < bundle.roots().len()
    {
        let reason = "its roots are not those that are published here".to_owned();
        return Err(EventError::Foreign { id: bundle.id().to_owned(), reason }.into());
    }
    let mut done = Vec::new();
    for proposal in bundle.proposals() {
        if let Base::Done = base(published, &bundle, proposal)? {
            done.push(proposal.role().clone());
        }
    }
    let changes_root = bundle.proposals().iter().any(|proposal| proposal.as_root().is_some());
    if changes_root || !done.is_empty() {
        return Ok(Rebased { bundle, done });
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut document = bundle.document();
    document.roots = roots.iter().map(|root| text(root)).collect();
    document.published.clear();
    for proposal in bundle.proposals() {
        for (delegator, base) in path_to(published, proposal.role())?.unwrap_or_default() {
            let role = base.role_name().as_str();
            if document.published.iter().all(|file| file.role != role) {
                document.published.push(PublishedFile {
                    role: role.to_owned(),
                    delegator: delegator.map(|role| role.as_str().to_owned()),
                    file: text(base.bytes()),
                });
            }
        }
    }
    for (draft, proposal) in document.drafts.iter_mut().zip(bundle.proposals()) {
        draft.file = proposal.unsigned().text();
    }
    let id = bundle.id().to_owned();
    let mut rebased = Bundle::verify(document).map_err(|reason| EventError::Foreign { id, reason })?;
    rebased.merge(&bundle)?;
    Ok(Rebased { bundle: rebased, done })
}

fn base(published: &Published, bundle: &Bundle, proposal: &Proposal) -> Result<Base, Error> {
    let role = proposal.role();
    let (bytes, version) = match role.top_level() {
        Some(TopLevel::Root) => {
            let root = published.set().root();
            (Some(Arc::clone(root.bytes())), root.header.version)
        }
        _ => match path_to(published, role)?.as_ref().and_then(|path| path.last()) {
            Some((_, now)) => (Some(Arc::clone(now.bytes())), now.header.version),
            None => (None, 0),
        },
    };
    let before = match role.top_level() {
        Some(TopLevel::Root) => Some(bundle.chain().root().bytes()),
        _ => bundle.base(role).map(|base| base.targets.bytes()),
    };
    // A new role is published no more than it was.
    if bytes.as_ref() == before && (bytes.is_some() || proposal.delegator().is_some()) {
        return Ok(Base::Current);
    }
    let signed = bytes.and_then(|bytes| Envelope::parse(bytes, &limits()).ok());
    if signed.is_some_and(|now| now.signed() == proposal.payload()) {
        return Ok(Base::Done);
    }
    let based_on = bundle.based_on(role).unwrap_or_default();
    let (id, role) = (bundle.id().to_owned(), role.to_string());
    Err(EventError::Outdated { id, role, based_on, published: version }.into())
}
