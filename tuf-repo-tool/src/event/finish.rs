//! Publishing a finished event.

use tuf_core::{Envelope, Limits, RoleName};

use super::bundle::Bundle;
use super::proposal::Proposal;
use super::rebase::{Rebased, rebase};
use super::review::Review;
use super::store::Events;
use super::{EventError, Order, open};
use crate::edit::forget_edits;
use crate::error::Error;
use crate::keys::Passphrases;
use crate::publish::{
    Changes, Options, Outcome, Renewal, SignedElsewhere, publish, publish_next_root, settle, stands_under,
};
use crate::repository::{Lock, Repository};
use crate::rotate::{follow, grace};

/// What finishing an event did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The event.
    pub id: String,
    /// The version of the root that was published.
    pub root: Option<u64>,
    /// What was published of the other roles.
    pub outcome: Outcome,
    /// Whether other roles are still to follow that root: [`Order::RootFirst`].
    pub follows: bool,
}

/// Publishes an event to which nothing is missing. A root appears only after timestamp, snapshot and targets that hold
/// under it as well as under the one before are published (dual signatures). A `finish` that was killed is finished
/// by the next.
///
/// # Errors
/// [`EventError::Incomplete`] saying who is missing, [`EventError::Outdated`], [`EventError::Missing`], and why nothing
/// was published.
pub async fn finish(
    repository: &Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    id: &str,
    options: &Options,
) -> Result<Finished, Error> {
    let events = Events::of(repository);
    if events.load(id)?.recovery().is_some() {
        return crate::recover::finish(repository, lock, passphrases, id, options).await;
    }
    let _events = events.lock()?;
    let published = open::published(repository)?;
    let Rebased { bundle, done } = rebase(repository, &published, events.load(id)?)?;
    let missing = Review::of(&bundle)?.missing();
    if !missing.is_empty() {
        return Err(EventError::Incomplete { id: id.to_owned(), missing }.into());
    }
    let options = &options.of_event(id, bundle.reason());
    if !done.is_empty() {
        settle(repository, &published, lock)?;
    }
    let root = bundle.proposals().iter().find(|proposal| proposal.as_root().is_some());
    let root = root.filter(|root| !done.contains(root.role()));
    if let (Order::RootFirst, None) = (bundle.order(), root) {
        wait(repository, &bundle)?;
    }
    let signed = elsewhere(repository, &bundle, &done, root)?;
    let mut outcome = Outcome::Nothing;
    if !signed.is_empty()
        || root.and_then(Proposal::as_root).is_some_and(|root| stands_under(&published, root).is_err())
    {
        let mut changes = Changes::default();
        changes.set_elsewhere(signed);
        // What this machine signs of the roles that are new.
        changes.set_edits(bundle.edits().to_vec());
        outcome = publish(repository, lock, passphrases, &changes, Renewal::Online, options).await?;
    }
    if !bundle.edits().is_empty() {
        // Only if this was killed while it was opened.
        forget_edits(&repository.open_state().await?, bundle.edits()).await?;
    }
    let mut version = None;
    if let Some(root) = root {
        publish_next_root(repository, lock, root.text().as_bytes(), options).await?;
        version = Some(root.header().version);
    }
    let follows = follows_root(&bundle, root);
    if !follows {
        follow(repository, lock, &bundle)?;
        events.finished(id)?;
    }
    Ok(Finished { id: id.to_owned(), root: version, outcome, follows })
}

/// Until clients have got the root that came first.
fn wait(repository: &Repository, bundle: &Bundle) -> Result<(), Error> {
    let root = bundle.proposals().iter().find(|proposal| proposal.as_root().is_some());
    let Some(root) = root.map(|root| root.header().version) else { return Ok(()) };
    let until = grace(repository, root)?;
    if repository.now() < until {
        return Err(EventError::Grace { id: bundle.id().to_owned(), root, until }.into());
    }
    Ok(())
}

/// Whether the targets roles come only after the root, which is still to come.
fn follows_root(bundle: &Bundle, root: Option<&Proposal>) -> bool {
    bundle.order() == Order::RootFirst && root.is_some()
}

/// The files that the publish takes as they are, but for those that it published before it was killed.
fn elsewhere(
    repository: &Repository,
    bundle: &Bundle,
    done: &[RoleName],
    root: Option<&Proposal>,
) -> Result<SignedElsewhere, Error> {
    let mut signed = SignedElsewhere::default();
    let now = |proposal: &&Proposal| !done.contains(proposal.role()) && !follows_root(bundle, root);
    for proposal in bundle.proposals().iter().filter(now) {
        if let Some(value) = proposal.as_targets() {
            let text = match leftover(repository, bundle, proposal)? {
                Some(text) => text,
                None => proposal.text(),
            };
            signed.add(proposal.role().clone(), value.clone(), text);
        }
    }
    if let Some((proposal, value)) = root.and_then(|root| Some((root, root.as_root()?))) {
        signed.set_root(value.clone(), proposal.text());
    }
    Ok(signed)
}

/// The file as a `finish` wrote it that was killed before anybody could reach it: it may have had fewer signatures, but
/// enough, and a file that is there is never replaced.
fn leftover(repository: &Repository, bundle: &Bundle, proposal: &Proposal) -> Result<Option<String>, Error> {
    let name = proposal.role().file_name(Some(proposal.header().version));
    let Some(bytes) = repository.read_metadata(&name)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let written = Envelope::parse(text.as_bytes(), &Limits::default()).map_err(Error::Published)?;
    let met = bundle.signatories(proposal).iter().all(|who| who.check(&written).is_met());
    if written.signed() == proposal.payload() && met {
        return Ok(Some(text));
    }
    let (id, role) = (bundle.id().to_owned(), proposal.role().to_string());
    let based_on = bundle.based_on(proposal.role()).unwrap_or_default();
    Err(EventError::Outdated { id, role, based_on, published: proposal.header().version }.into())
}
