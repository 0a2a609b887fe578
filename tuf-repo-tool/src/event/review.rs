//! An event as people see it before they sign: what changes, who must sign, who did.

use std::path::Path;

use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use tuf_core::{Draft, Envelope, KeyId, Metadata, Targets, TopLevel};

use super::bundle::{Bundle, envelope, limits};
use super::document::Recovery;
use super::proposal::Proposal;
use super::signatories::Signatories;
use super::{EventError, Order, diff};

/// An event, for people and programs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Review {
    /// Its ID.
    pub id: String,
    /// When it was opened.
    pub opened: DateTime<Utc>,
    /// Why, in the words of who opened it.
    pub reason: String,
    /// The version of the root on whose word all of this rests.
    pub root: u64,
    /// SHA-256 of the first root, hex: what a signer compares who gave no root.
    pub first_root: String,
    /// What is recovered from, if this is a recovery.
    pub recovery: Option<Recovery>,
    /// In which order they appear.
    pub order: Order,
    /// The proposed files.
    pub drafts: Vec<DraftReview>,
    /// What all signers read to each other.
    pub phrase: String,
    /// Whether every threshold is met.
    pub complete: bool,
}

/// A proposed file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DraftReview {
    /// The role.
    pub role: String,
    /// The version that is published, and the one that replaces it; a new role has none before.
    pub versions: (Option<u64>, u64),
    /// When the published file expires, and when the new one does.
    pub expires: (Option<DateTime<Utc>>, DateTime<Utc>),
    /// What changes besides.
    pub changes: Vec<String>,
    /// Who must sign; each of these must be met.
    pub signatures: Vec<SignatureReview>,
}

/// Signatures by the keys that one file names.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SignatureReview {
    /// That file: `root 3 (published)`.
    pub by: String,
    /// How many distinct keys must sign.
    pub threshold: u32,
    /// How many did.
    pub distinct: usize,
    /// The keys that signed.
    pub signed: Vec<String>,
    /// The keys that did not.
    pub missing: Vec<String>,
    /// Whether it is enough.
    pub met: bool,
}

impl Review {
    /// Looks at an event.
    ///
    /// # Errors
    /// [`EventError::Bundle`], which a bundle that was verified never causes.
    pub fn of(bundle: &Bundle) -> Result<Self, EventError> {
        let failed = |reason| EventError::Bundle { path: Path::new(bundle.id()).to_owned(), reason };
        let names = bundle.document().names;
        let mut drafts = Vec::new();
        for proposal in bundle.proposals() {
            let file = envelope(proposal).map_err(failed)?;
            let who = bundle.signatories(proposal);
            let signatures = who.iter().map(|who| signatures(who, &file, &names));
            let new = proposal.header();
            let old = published(bundle, proposal).map_err(failed)?;
            let (version, expires) = old.as_ref().map(|(version, expires, _)| (*version, *expires)).unzip();
            let empty = Draft::new(Targets::new(new.expires));
            let before = old.as_ref().map_or_else(|| empty.payload(), |(_, _, file)| file.signed());
            drafts.push(DraftReview {
                role: proposal.role().to_string(),
                versions: (version, new.version),
                expires: (expires, new.expires),
                changes: diff::lines(before, proposal.payload(), &names),
                signatures: signatures.collect(),
            });
        }
        let first = bundle.roots().first().map(|root| HEXLOWER.encode(digest(&SHA256, root).as_ref()));
        Ok(Self {
            id: bundle.id().to_owned(),
            opened: bundle.opened(),
            reason: bundle.reason().to_owned(),
            root: bundle.chain().root().header.version,
            first_root: first.unwrap_or_default(),
            recovery: bundle.recovery().cloned(),
            order: bundle.order(),
            complete: drafts.iter().all(|draft| draft.signatures.iter().all(|who| who.met)),
            drafts,
            phrase: bundle.phrase(),
        })
    }

    /// What is missing, a line for each threshold that is not met.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for draft in &self.drafts {
            for who in draft.signatures.iter().filter(|who| !who.met) {
                let mut keys: Vec<&str> =
                    who.missing.iter().filter_map(|key| key.split(" (").next()).collect();
                keys.sort_unstable();
                let (role, by) = (&draft.role, &who.by);
                let (have, needed) = (who.distinct, who.threshold);
                lines.push(format!("{role} has {have} of {needed} by {by}, missing {}", keys.join(", ")));
            }
        }
        lines
    }
}

/// The file that a proposal replaces.
type Replaced = (u64, DateTime<Utc>, Envelope);

fn published(bundle: &Bundle, proposal: &Proposal) -> Result<Option<Replaced>, String> {
    let role = proposal.role();
    let (header, bytes) = match role.top_level() {
        Some(TopLevel::Root) => (bundle.chain().root().header(), bundle.chain().root().bytes()),
        _ => {
            let Some(base) = bundle.base(role) else { return Ok(None) };
            (base.targets.value().header(), base.targets.bytes())
        }
    };
    let old = Envelope::parse(std::sync::Arc::clone(bytes), &limits()).map_err(|error| error.to_string())?;
    Ok(Some((header.version, header.expires, old)))
}

fn signatures(who: &Signatories<'_>, file: &Envelope, names: &diff::Names) -> SignatureReview {
    let verification = who.check(file);
    let named = |ids: &[KeyId]| -> Vec<String> {
        ids.iter().map(|id| diff::describe(id.as_str(), who.keys.get(id), names)).collect()
    };
    SignatureReview {
        by: who.by.clone(),
        threshold: verification.threshold,
        distinct: verification.distinct,
        signed: named(&verification.signed),
        missing: named(&[&verification.missing[..], &verification.invalid[..]].concat()),
        met: verification.is_met(),
    }
}
