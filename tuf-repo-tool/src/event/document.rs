//! The bundle as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::edit::Edit;

/// The version of the format that is written, and the only one that is read.
pub(super) const FORMAT: u32 = 1;

/// In which order a new root and the other files of an event appear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Order {
    /// The others first, signed for the published root and for the new one.
    #[default]
    RootLast,
    /// The root first, under which all that is published holds. What its new keys signed follows after a grace, in which
    /// clients get it: they need not hold under the root before. For keys that nobody has any more.
    RootFirst,
}

impl Order {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The bundle as JSON. Files of metadata are strings, so that they stay what they are to the last byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) tufsign: u32,
    pub(super) id: String,
    pub(super) opened: String,
    pub(super) reason: String,
    pub(super) roots: Vec<String>,
    pub(super) published: Vec<PublishedFile>,
    pub(super) drafts: Vec<DraftFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) edits: Vec<Edit>,
    /// The event goes back to a known good state, with a root that nothing published before holds under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recovery: Option<Recovery>,
    pub(super) names: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Order::is_default")]
    pub(super) order: Order,
}

/// What a recovery goes back to, and why it must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recovery {
    /// The version of the last snapshot that is known to be good.
    pub known_good: u64,
    /// The roles whose keys are not trusted any more; hash bins together as `bin-n`.
    pub compromised: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedFile {
    pub(super) role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) delegator: Option<String>,
    pub(super) file: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftFile {
    pub(super) role: String,
    /// Who delegates a role that is not published yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) delegator: Option<String>,
    pub(super) file: String,
}
