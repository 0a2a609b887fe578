//! An event that recovers from a compromise: its drafts start from a state that is known to be good, not from what is published.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use tuf_core::trust::{Authentic, RootChain};
use tuf_core::{Envelope, KeyId, PublicKey, RoleName, Root, Targets, TopLevel};

use super::bundle::{Bundle, limits};
use super::document::{Document, DraftFile, FORMAT, Order, PublishedFile, Recovery};
use super::open::names;
use super::phrase::proper_id;
use super::proposal::Proposal;
use super::store::Events;
use super::{EventError, KeyChanges, Opening};
use crate::error::Error;
use crate::repository::Repository;

/// What a recovery proposes.
#[derive(Debug)]
pub(crate) struct RecoveryDrafts {
    pub(crate) recovery: Recovery,
    /// Every root from the first to the one that is published now.
    pub(crate) roots: Vec<std::sync::Arc<[u8]>>,
    /// The files that drafts replace or depend on, each after its delegator.
    pub(crate) published: Vec<(Option<RoleName>, Authentic<Targets>)>,
    pub(crate) root: Root,
    /// Targets roles, each after its delegator.
    pub(crate) targets: Vec<(RoleName, Targets)>,
    /// For what new keys are called.
    pub(crate) keys: KeyChanges,
    pub(crate) reason: String,
}

/// Opens the event of a recovery.
///
/// # Errors
/// [`EventError::Draft`], [`EventError::Pending`].
pub(crate) fn open_recovery(repository: &Repository, drafts: RecoveryDrafts) -> Result<Bundle, Error> {
    let events = Events::of(repository);
    let _lock = events.lock()?;
    let mut proposals = vec![Proposal::root(drafts.root)];
    proposals.extend(drafts.targets.into_iter().map(|(role, value)| Proposal::targets(&role, None, value)));
    events.check_free(&proposals)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let published = drafts.published.iter().map(|(delegator, base)| PublishedFile {
        role: base.role_name().as_str().to_owned(),
        delegator: delegator.as_ref().map(|role| role.as_str().to_owned()),
        file: text(base.bytes()),
    });
    let files = proposals.iter().map(|proposal| DraftFile {
        role: proposal.role().as_str().to_owned(),
        delegator: None,
        file: proposal.text(),
    });
    let mut opening = Opening::new(TopLevel::Root.role(), drafts.reason.clone());
    opening.keys = drafts.keys;
    let document = Document {
        tufsign: FORMAT,
        id: proper_id(&proposals, Some(&drafts.recovery)),
        opened: repository.now().to_rfc3339_opts(SecondsFormat::Secs, true),
        reason: drafts.reason,
        roots: drafts.roots.iter().map(|root| text(root)).collect(),
        published: published.collect(),
        drafts: files.collect(),
        edits: Vec::new(),
        recovery: Some(drafts.recovery),
        names: names(repository, &opening),
        order: Order::RootFirst,
    };
    let bundle = Bundle::verify(document).map_err(EventError::Draft)?;
    events.begin(&bundle)?;
    Ok(bundle)
}

/// Whether the root of an event is the published one, by a recovery that did not come to its end.
///
/// # Errors
/// [`EventError::Outdated`] if another one is published under its version, [`EventError::Foreign`] if the event does not go on from
/// the published root.
pub(crate) fn root_is_published(repository: &Repository, bundle: &Bundle) -> Result<bool, Error> {
    let based_on = bundle.chain().root();
    let name = |version: u64| based_on.role_name().file_name(Some(version));
    let draft = bundle.proposals().iter().find(|proposal| proposal.as_root().is_some());
    let next = based_on.header.version.saturating_add(1);
    let Some(file) = repository.read_metadata(&name(next))? else { return Ok(false) };
    let follows =
        RootChain::pinned(based_on.bytes(), limits()).and_then(|chain| chain.next(&file.clone().into()));
    // What no client would follow is no root.
    if follows.is_err() {
        return Ok(false);
    }
    let now = Envelope::parse(file, &limits()).map_err(Error::Published)?;
    if draft.is_some_and(|draft| draft.payload() == now.signed()) {
        return Ok(true);
    }
    let (id, role) = (bundle.id().to_owned(), TopLevel::Root.role().to_string());
    Err(EventError::Outdated { id, role, based_on: based_on.header.version, published: next }.into())
}

/// A recovery replaces every key of timestamp and snapshot: else clients would keep the versions that they saw (spec 5.3.11),
/// or accept what the old keys sign.
pub(super) fn check(bundle: &Bundle) -> Result<(), String> {
    let Some(recovery) = bundle.recovery() else { return Ok(()) };
    if bundle.order() != Order::RootFirst {
        return Err("the root of a recovery comes before what it is for".to_owned());
    }
    let plain = |role: &String| role.len() <= 300 && !role.chars().any(char::is_control);
    if recovery.compromised.is_empty() || !recovery.compromised.iter().all(plain) {
        return Err("a recovery names the roles that are compromised".to_owned());
    }
    let Some(new) = bundle.proposals().iter().find_map(Proposal::as_root) else {
        return Err("a recovery has a draft of root".to_owned());
    };
    let old = bundle.chain().root().value();
    for role in [TopLevel::Timestamp, TopLevel::Snapshot] {
        if keys(old, role).intersection(&keys(new, role)).next().is_some() {
            return Err(format!("it calls itself a recovery and leaves {} a key that it had", role.name()));
        }
    }
    Ok(())
}

/// The keys that sign for a role, by their material: an ID says nothing.
fn keys(root: &Root, role: TopLevel) -> BTreeSet<PublicKey> {
    let key = |id: &KeyId| root.keys.get(id)?.public().cloned();
    root.role(role).keyids.iter().filter_map(key).collect()
}
