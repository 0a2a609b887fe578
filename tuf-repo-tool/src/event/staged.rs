//! Staged edits of roles that are signed elsewhere: an event takes them from the state database, and gives them back if it is
//! given up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tuf_core::{Draft, RoleName, Targets};

use super::EventError;
use super::bundle::Bundle;
use super::document::Document;
use super::proposal::Proposal;
use super::store::Events;
use super::{Opening, open};
use crate::edit::{Edit, apply, event_for, forget_edits, stage_edit, staged_edits};
use crate::error::Error;
use crate::log::{self, Did, Entry};
use crate::repository::Repository;

/// Opens an event that makes the staged edits of a role, and those of the roles that these begin to delegate. From then on
/// they wait in the event, and are staged no longer.
///
/// # Errors
/// [`EventError::Draft`] if nothing is staged for the role, and those of [`open()`](super::open()).
pub async fn open_staged(repository: &Repository, mut opening: Opening) -> Result<Bundle, Error> {
    let state = repository.open_state().await?;
    let staged = staged_edits(&state).await?;
    if let Some(above) = event_for(&staged, &opening.role).filter(|above| *above != opening.role) {
        let role = &opening.role;
        let reason = format!("{role} changes with {above}: `tuf-repo event open {above} --staged`");
        return Err(EventError::Draft(reason).into());
    }
    let mut roles = BTreeSet::from([opening.role.clone()]);
    for edit in staged {
        if roles.contains(edit.delegator()) {
            if let Edit::AddDelegation(_) = edit {
                roles.insert(edit.role().clone());
            }
            opening.edits.push(edit);
        }
    }
    if opening.edits.is_empty() {
        let reason = format!("nothing is staged for {}: `tuf-repo delegate list`", opening.role);
        return Err(EventError::Draft(reason).into());
    }
    let bundle = open(repository, &opening)?;
    forget_edits(&state, bundle.edits()).await?;
    Ok(bundle)
}

/// Gives an event up: what it took of the staged edits is staged again. Its bundle is kept in `state/events/aborted/`; says
/// where, and how many edits were staged again.
///
/// # Errors
/// [`EventError::Missing`].
pub async fn abort(
    repository: &Repository,
    id: &str,
    why: Option<&str>,
) -> Result<(std::path::PathBuf, usize), Error> {
    let events = Events::of(repository);
    let _lock = events.lock()?;
    // A bundle that is damaged, or no longer verifies, is given up like any other.
    let edits = edits_in(&events.existing(id)?)?;
    let mut restaged = 0;
    if !edits.is_empty() {
        let state = repository.open_state().await?;
        let staged = staged_edits(&state).await?;
        for edit in edits.iter().filter(|edit| !staged.contains(edit)) {
            stage_edit(&state, edit).await?;
            restaged += 1;
        }
    }
    let kept = events.end(id, "aborted")?;
    log::append(repository, &Entry::new(Did::EventAbort).because(why).with("event", id))?;
    Ok((kept, restaged))
}

fn edits_in(path: &Path) -> Result<Vec<Edit>, Error> {
    let bytes = super::store::read_bytes(path)?;
    Ok(serde_json::from_slice::<Document>(&bytes).map(|document| document.edits).unwrap_or_default())
}

/// The drafts are the published files with the edits made in them, and nothing else.
pub(super) fn check(bundle: &Bundle) -> Result<(), String> {
    let mut made: BTreeMap<&RoleName, Targets> = BTreeMap::new();
    let mut new: BTreeSet<&RoleName> = BTreeSet::new();
    for edit in bundle.edits() {
        if let Edit::AddDelegation(_) = edit {
            new.insert(edit.role());
        }
        let by = edit.delegator();
        let Some(draft) = bundle.proposal(by).and_then(Proposal::as_targets) else {
            if new.contains(by) {
                // This machine signs it, when the event is finished.
                continue;
            }
            return Err(format!("it has edits of {by}, and no draft of it"));
        };
        let value = made.entry(by).or_insert_with(|| match bundle.base(by) {
            Some(base) => base.targets.value().clone(),
            None => Targets::new(draft.header.expires),
        });
        apply(edit, value).map_err(|error| error.to_string())?;
    }
    for (by, mut value) in made {
        let Some(proposal) = bundle.proposal(by) else { continue };
        value.header = proposal.header().clone();
        if Draft::new(value).payload() != proposal.payload() {
            return Err(format!("the draft of {by} is not what its edits make of the published file"));
        }
    }
    Ok(())
}
