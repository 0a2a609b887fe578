//! The bundle: one self-contained file for a change that waits for signatures (format: `specs/event.md`).
//!
//! A [`Bundle`] exists only verified: its root chain holds, what it says is published is signed as that chain demands,
//! each proposal is the next version of its role, and each signature in it was made by a key that may sign. All of that
//! goes through [`tuf_core::trust`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use tuf_core::trust::RootChain;
use tuf_core::{Envelope, Key, KeyId, Limits, Metadata, RoleName, Root, Targets, TopLevel};

use super::base::{Base, Roots, read_published};
use super::document::{Document, DraftFile, FORMAT, Order, PublishedFile, Recovery};
use super::phrase::{digest, proper_id};
use super::proposal::Proposal;
use super::signatories::Signatories;
use super::{EventError, phrase};
use crate::edit::Edit;
use crate::error::Error;

/// Bytes of a bundle: `bins` with 16,384 delegations takes 3 MB, and is in it twice.
pub(super) const MAX_BYTES: u64 = 32 << 20;

const MAX_FILES: usize = 64;
const MAX_NAMES: usize = 1_024;
const MAX_EDITS: usize = 1_024;
const MAX_REASON: usize = 1_000;

/// How many versions may be left out: those that a publisher left behind when it died. A root has no gaps.
pub(super) const MAX_SKIPPED: u64 = 16;

/// An event, verified.
#[derive(Clone, Debug)]
pub struct Bundle {
    id: String,
    opened: DateTime<Utc>,
    reason: String,
    roots: Vec<Arc<[u8]>>,
    chain: RootChain,
    published: Vec<Base>,
    proposals: Vec<Proposal>,
    edits: Vec<Edit>,
    recovery: Option<Recovery>,
    names: BTreeMap<String, String>,
    order: Order,
}

pub(super) fn limits() -> Arc<Limits> {
    Arc::new(Limits::default())
}

impl Bundle {
    /// Reads and verifies a bundle; `path` is for messages.
    ///
    /// # Errors
    /// [`EventError::Bundle`] with what is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, EventError> {
        let refused = |reason: String| EventError::Bundle { path: path.to_owned(), reason };
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
            return Err(refused(format!("larger than {MAX_BYTES} bytes")));
        }
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| refused(format!("not a bundle of format {FORMAT}: {error}")))?;
        Self::verify(document).map_err(refused)
    }

    /// Everything that is checked of a bundle, whether it was read or is being made.
    pub(super) fn verify(document: Document) -> Result<Self, String> {
        if document.tufsign != FORMAT {
            return Err(format!("format {} where {FORMAT} is read", document.tufsign));
        }
        if document.reason.len() > MAX_REASON || document.reason.chars().any(char::is_control) {
            return Err(format!("a reason is one line of at most {MAX_REASON} bytes"));
        }
        let plain = |text: &str| text.len() <= 200 && !text.chars().any(char::is_control);
        if document.names.len() > MAX_NAMES
            || !document.names.iter().all(|(id, name)| plain(id) && plain(name))
        {
            return Err("names of keys are plain, short and few".to_owned());
        }
        if document.edits.len() > MAX_EDITS {
            return Err(format!("more than {MAX_EDITS} edits"));
        }
        if document.published.len() > MAX_FILES
            || document.drafts.is_empty()
            || document.drafts.len() > MAX_FILES
        {
            return Err(format!(
                "a bundle has 1 to {MAX_FILES} drafts and at most {MAX_FILES} published files"
            ));
        }
        let opened = DateTime::parse_from_rfc3339(&document.opened)
            .map_err(|error| format!("opened: {error}"))?
            .with_timezone(&Utc);
        let roots = Roots::read(document.roots)?;
        let published = read_published(&roots, document.published, document.recovery.is_some())?;
        let Roots { files: roots, chain, .. } = roots;
        let mut bundle = Self {
            id: document.id,
            opened,
            reason: document.reason,
            roots,
            chain,
            published,
            proposals: Vec::new(),
            edits: document.edits,
            recovery: document.recovery,
            names: document.names,
            order: document.order,
        };
        for draft in document.drafts {
            let role = RoleName::new(&draft.role).map_err(|error| error.to_string())?;
            if bundle.proposal(&role).is_some() {
                return Err(format!("two drafts of {role}"));
            }
            let delegator = draft.delegator.as_deref().map(RoleName::new).transpose();
            let delegator = delegator.map_err(|error| error.to_string())?;
            let proposal = Proposal::parse(&role, delegator, &draft.file, &limits())
                .map_err(|error| format!("the draft of {role}: {}", tuf_client::chain(&error)))?;
            if proposal.text() != draft.file {
                return Err(format!("the draft of {role} is not canonical"));
            }
            bundle.check_version(&proposal)?;
            super::thresholds::check(&bundle, &proposal)?;
            bundle.proposals.push(proposal);
        }
        for proposal in &bundle.proposals {
            bundle.check_signatures(proposal)?;
        }
        super::staged::check(&bundle)?;
        super::recovery::check(&bundle)?;
        let proper = proper_id(&bundle.proposals, bundle.recovery());
        if bundle.id != proper {
            return Err(format!("it calls itself {:?}; its drafts are those of {proper}", bundle.id));
        }
        Ok(bundle)
    }

    /// The bundle as a file.
    ///
    /// # Errors
    /// None in practice: all of it is text.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(&self.document())?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn document(&self) -> Document {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let published = |base: &Base| PublishedFile {
            role: base.targets.role_name().as_str().to_owned(),
            delegator: base.delegator.as_ref().map(|role| role.as_str().to_owned()),
            file: text(base.targets.bytes()),
        };
        let draft = |proposal: &Proposal| DraftFile {
            role: proposal.role().as_str().to_owned(),
            delegator: proposal.delegator().map(|role| role.as_str().to_owned()),
            file: proposal.text(),
        };
        Document {
            tufsign: FORMAT,
            id: self.id.clone(),
            opened: self.opened.to_rfc3339_opts(SecondsFormat::Secs, true),
            reason: self.reason.clone(),
            roots: self.roots.iter().map(|root| text(root)).collect(),
            published: self.published.iter().map(published).collect(),
            drafts: self.proposals.iter().map(draft).collect(),
            edits: self.edits.clone(),
            recovery: self.recovery.clone(),
            names: self.names.clone(),
            order: self.order,
        }
    }

    fn check_version(&self, proposal: &Proposal) -> Result<(), String> {
        let role = proposal.role();
        let old = match (self.based_on(role), proposal.delegator()) {
            (Some(old), None) => old,
            (Some(_), Some(_)) => return Err(format!("{role} is published, and no new role")),
            (None, by) => return self.check_new(role, by),
        };
        let new = proposal.header().version;
        let skipped = match (proposal.as_root(), &self.recovery) {
            (Some(_), _) => 0,
            (None, None) => MAX_SKIPPED,
            // Whoever had its keys may have written any number of versions.
            (None, Some(_)) => u64::MAX,
        };
        let first = old.saturating_add(1);
        if (first..=first.saturating_add(skipped)).contains(&new) {
            return Ok(());
        }
        Err(format!("the draft of {role} has version {new}, where {first} comes after {old}"))
    }

    /// A role that is not published is one that a draft before this begins to delegate.
    fn check_new(&self, role: &RoleName, by: Option<&RoleName>) -> Result<(), String> {
        let none = || format!("a draft of {role}, which nobody delegated");
        let by = by.filter(|_| role.top_level().is_none()).ok_or_else(none)?;
        let lists =
            |value: &Targets| value.delegations.as_ref().is_some_and(|to| to.role_keys(role).is_some());
        if self.base(by).is_some_and(|base| lists(base.targets.value())) {
            return Err(format!("{by} delegates {role} already, and its published file is missing"));
        }
        let listed = self.proposal(by).and_then(Proposal::as_targets).is_some_and(lists);
        if listed { Ok(()) } else { Err(none()) }
    }

    /// Every signature was made by a key that may sign, over this very payload.
    fn check_signatures(&self, proposal: &Proposal) -> Result<(), String> {
        let role = proposal.role();
        let envelope = envelope(proposal)?;
        let mut known: BTreeSet<KeyId> = BTreeSet::new();
        for signatories in self.signatories(proposal) {
            let verification = signatories.check(&envelope);
            if let Some(id) = verification.invalid.first() {
                return Err(format!(
                    "the signature by {} is not over this draft of {role}: the draft or the signature was changed",
                    self.name(id)
                ));
            }
            known.extend(verification.signed);
        }
        match proposal.signatures().iter().find(|signature| !known.contains(signature.keyid())) {
            Some(foreign) => {
                Err(format!("the draft of {role} is signed by {}, who may not", self.name(foreign.keyid())))
            }
            None => Ok(()),
        }
    }

    /// Who must sign a proposal: each of these, with its own threshold.
    pub(super) fn signatories<'a>(&'a self, proposal: &'a Proposal) -> Vec<Signatories<'a>> {
        let old = self.chain.root();
        let new = self.proposals.iter().find_map(Proposal::as_root);
        let by_root = |root: &'a Root, state: &str, role: TopLevel| {
            let version = root.header().version;
            Signatories::new(old.role_name(), version, state, &root.keys, root.role(role).clone())
        };
        if let Some(top) = proposal.role().top_level() {
            // The new root itself, also while it is being checked and is not among the proposals yet.
            let new = proposal.as_root().or(new);
            // What follows the new root holds under that one only.
            let follows = self.order == Order::RootFirst && top != TopLevel::Root && new.is_some();
            let published = (!follows).then(|| by_root(old, "published", top));
            return published.into_iter().chain(new.map(|new| by_root(new, "draft", top))).collect();
        }
        let base = self.base(proposal.role()).and_then(|base| base.delegator.as_ref());
        let delegator = base.or_else(|| proposal.delegator());
        let of = |value: &'a Targets, by: &'a RoleName, state: &str| {
            let delegations = value.delegations.as_ref()?;
            let role = delegations.role_keys(proposal.role())?;
            Some(Signatories::new(by, value.header.version, state, &delegations.keys, role))
        };
        let signatories = delegator.and_then(|by| {
            match self.proposal(by).and_then(Proposal::as_targets) {
                // Both appear in the same snapshot: only the new word counts.
                Some(new) => of(new, by, "draft"),
                None => of(self.base(by)?.targets.value(), by, "published"),
            }
        });
        signatories.into_iter().collect()
    }

    /// Attaches a key's signature wherever it may sign; `sign` makes it. Says for which roles.
    pub(super) fn sign(
        &mut self,
        key: &Key,
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<RoleName>, Error> {
        let mut signed = Vec::new();
        for index in 0..self.proposals.len() {
            let Some(proposal) = self.proposals.get(index) else { continue };
            let ids = self.ids_of(proposal, key);
            let Some(proposal) = self.proposals.get_mut(index).filter(|_| !ids.is_empty()) else { continue };
            let signature = sign(proposal.payload().as_bytes())?;
            let role = proposal.role().clone();
            for id in ids {
                proposal
                    .attach(&id, key, &signature)
                    .map_err(|source| Error::Signature { role: role.to_string(), source })?;
            }
            signed.push(role);
        }
        Ok(signed)
    }

    /// Whether a key may sign one of the proposals, and has not.
    pub(crate) fn wants(&self, key: &Key) -> bool {
        self.proposals.iter().any(|proposal| {
            let signed = |id: &KeyId| proposal.signatures().iter().any(|signature| signature.keyid() == id);
            self.ids_of(proposal, key).iter().any(|id| !signed(id))
        })
    }

    fn ids_of(&self, proposal: &Proposal, key: &Key) -> BTreeSet<KeyId> {
        let signatories = self.signatories(proposal);
        signatories.iter().flat_map(|signatories| signatories.ids_of(key)).cloned().collect()
    }

    /// Takes over the signatures of another copy of this event; each is verified here. Says how many were new.
    ///
    /// # Errors
    /// [`EventError::Foreign`] if it is another event, or its drafts are others.
    pub fn merge(&mut self, other: &Self) -> Result<usize, EventError> {
        let foreign = |reason: String| EventError::Foreign { id: other.id.clone(), reason };
        let same = |(ours, theirs): (&Proposal, &Proposal)| {
            ours.role() == theirs.role() && ours.payload() == theirs.payload()
        };
        let both = self.proposals.iter().zip(&other.proposals);
        if self.id != other.id || self.proposals.len() != other.proposals.len() || !both.clone().all(same) {
            return Err(foreign("its drafts are not those that were opened".to_owned()));
        }
        let mut attached = 0;
        for index in 0..self.proposals.len() {
            let Some((ours, theirs)) = self.proposals.get(index).zip(other.proposals.get(index)) else {
                continue;
            };
            let new: Vec<(KeyId, Key, Vec<u8>)> = theirs
                .signatures()
                .iter()
                .filter(|theirs| !ours.signatures().iter().any(|ours| ours.keyid() == theirs.keyid()))
                .filter_map(|theirs| {
                    let of = |who: &Signatories<'_>| {
                        who.role
                            .keyids
                            .contains(theirs.keyid())
                            .then(|| who.keys.get(theirs.keyid()).cloned())?
                    };
                    let key = self.signatories(ours).iter().find_map(of)?;
                    let signature = theirs.bytes()?;
                    // Under another root this ID may be another key's.
                    let valid = key.verify(ours.payload().as_bytes(), &signature);
                    valid.then(|| (theirs.keyid().clone(), key, signature))
                })
                .collect();
            let Some(ours) = self.proposals.get_mut(index) else { continue };
            for (id, key, signature) in new {
                ours.attach(&id, &key, &signature).map_err(|error| foreign(error.to_string()))?;
                attached += 1;
            }
        }
        Ok(attached)
    }

    /// Checks that the chain of this bundle holds for somebody who knows this root.
    ///
    /// # Errors
    /// [`EventError::Pin`].
    pub fn check_pin(&self, known: &[u8]) -> Result<(), EventError> {
        let failed = |reason: String| EventError::Pin(reason);
        let pinned = RootChain::pinned(&Arc::from(known), limits())
            .map_err(|error| failed(format!("your file is no root: {}", tuf_client::chain(&error))))?;
        let version = pinned.root().header.version;
        let same = |root: &Arc<[u8]>| {
            let root = Envelope::parse(Arc::clone(root), &limits()).ok();
            let known = Envelope::parse(Arc::clone(pinned.root().bytes()), &limits()).ok();
            root.zip(known).is_some_and(|(root, known)| root.signed() == known.signed())
        };
        let newest = self.chain.root().header.version;
        match self.roots.iter().position(same) {
            Some(_) => Ok(()),
            None if version > newest => Err(failed(format!(
                "you know root {version}, and it is based on root {newest}: it is outdated"
            ))),
            None => Err(failed(format!("your root {version} is not its root {version}"))),
        }
    }

    pub(super) fn base(&self, role: &RoleName) -> Option<&Base> {
        self.published.iter().find(|base| base.targets.role_name() == role)
    }

    /// The version that a draft of this role replaces.
    /// The role files that it has as published, by role and version.
    pub(crate) fn built_on(&self) -> impl Iterator<Item = (&RoleName, u64)> {
        self.published.iter().map(|base| (base.targets.role_name(), base.targets.header.version))
    }

    pub(super) fn based_on(&self, role: &RoleName) -> Option<u64> {
        match role.top_level() {
            Some(TopLevel::Root) => Some(self.chain.root().header.version),
            _ => self.base(role).map(|base| base.targets.header.version),
        }
    }

    /// The event's ID, which is also its file's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What all signers read to each other before they sign.
    #[must_use]
    pub fn phrase(&self) -> String {
        phrase::phrase(&digest(&self.proposals, self.recovery()))
    }

    /// When it was opened.
    #[must_use]
    pub const fn opened(&self) -> DateTime<Utc> {
        self.opened
    }

    /// Why, in the words of who opened it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The published roots, oldest first.
    #[must_use]
    pub fn roots(&self) -> &[Arc<[u8]>] {
        &self.roots
    }

    pub(crate) const fn chain(&self) -> &RootChain {
        &self.chain
    }

    /// In which order its files appear.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// The staged edits that the drafts make.
    #[must_use]
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// What the event recovers from, if it is a recovery: then its root is published without dual signatures.
    #[must_use]
    pub const fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_ref()
    }

    /// The proposed files.
    #[must_use]
    pub fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }

    /// The proposal for a role.
    #[must_use]
    pub fn proposal(&self, role: &RoleName) -> Option<&Proposal> {
        self.proposals.iter().find(|proposal| proposal.role() == role)
    }

    /// What whoever opened the event calls a key, with the start of its ID; nobody signed for the name.
    pub(super) fn name(&self, id: &KeyId) -> String {
        match self.names.get(id.as_str()) {
            Some(name) => format!("{name} ({})", id.short().escape_debug()),
            None => format!("key {}", id.short().escape_debug()),
        }
    }
}

pub(super) fn envelope(proposal: &Proposal) -> Result<Envelope, String> {
    Envelope::parse(proposal.text().into_bytes(), &limits()).map_err(|error| error.to_string())
}
