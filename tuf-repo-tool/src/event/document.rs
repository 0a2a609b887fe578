//! The bundle as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::edit::Edit;

/// The version of the format that is written, and the only one that is read.
pub(super) const FORMAT: u32 = 1;

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
    pub(super) names: BTreeMap<String, String>,
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
