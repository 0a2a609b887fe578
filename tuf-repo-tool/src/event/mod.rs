//! Threshold signing as events: a change to a role that is signed elsewhere waits in one self-contained file
//! (`specs/event.md`) until enough of its keys have signed.
//!
//! [`open()`] drafts the change, [`sign()`] adds signatures on any machine, [`Events::import`] merges them in any order, and
//! [`finish()`] publishes. Nothing that is pending holds a lock: `renew` and `publish` go on. What a bundle says is
//! believed only as far as its root chain vouches for it, by [`tuf_core::trust`].

mod base;
mod bundle;
mod diff;
mod document;
mod edit;
mod effects;
mod error;
mod finish;
mod open;
mod phrase;
mod proposal;
mod rebase;
mod recovery;
mod review;
mod sign;
mod signatories;
mod staged;
mod status;
mod store;
mod thresholds;

pub use bundle::Bundle;
pub use document::{Order, Recovery};
pub use edit::{KeyChanges, NamedKey};
pub(crate) use effects::{does, effects, named, signs};
pub use error::EventError;
pub use finish::{Finished, finish};
pub(crate) use open::{DEFAULT_PERIOD, published};
pub use open::{Opening, open};
pub use proposal::Proposal;
pub(crate) use recovery::{RecoveryDrafts, open_recovery, root_is_published};
pub use review::{DraftReview, Review, SignatureReview};
pub(crate) use sign::sign_here;
pub use sign::{Consent, sign};
pub use staged::{abort, open_staged};
pub use status::{EventStatus, status};
pub use store::{Events, read};
