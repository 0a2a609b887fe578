//! One role, as it is published and as this machine signs it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::{Metadata, RoleName, TopLevel, trust::Trusted};

use super::stage::edited;
use super::{Edit, EditError, Keyring, NamedBins};
use crate::config::section;
use crate::error::Error;
use crate::publish::{Listed, NeedKey, bins_role};
use crate::repository::Repository;

/// One role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RoleView {
    /// Its name.
    pub role: String,
    /// Who delegates to it; `None` for the four of root.
    pub delegator: Option<String>,
    /// How many must sign.
    pub threshold: u32,
    /// The keys that may.
    pub keys: Vec<NeedKey>,
    /// The published version, if it is one file.
    pub version: Option<u64>,
    /// When that expires.
    pub expires: Option<DateTime<Utc>>,
    /// How long it is valid when it is signed here.
    pub valid: Option<String>,
    /// After how long it is signed again here, if that is not half of it.
    pub renewed_after: Option<String>,
    /// Staged edits of it.
    pub staged: Vec<String>,
}

/// Looks at one role; `bin-n` and `NAME-bin-n` stand for all hash bins of `bins` and of `NAME`.
///
/// # Errors
/// [`EditError::NoRole`].
pub fn view(repository: &Repository, staged: &[Edit], role: &RoleName) -> Result<RoleView, Error> {
    let none = || EditError::NoRole { role: role.clone() };
    let published = repository.published()?;
    let published = published.as_ref();
    let mut tree = edited(repository, published, staged)?;
    let mut keyring = Keyring::new(repository);
    let mut view = RoleView {
        role: role.as_str().to_owned(),
        delegator: None,
        threshold: 0,
        keys: Vec::new(),
        version: None,
        expires: None,
        valid: None,
        renewed_after: None,
        staged: staged.iter().filter(|edit| edit.role() == role).map(Edit::describe).collect(),
    };
    let mut sign = |view: &mut RoleView, role: &RoleName, authority: &Listed| {
        view.threshold = authority.role.threshold();
        view.keys = keyring.holders(role, authority).into_iter().map(NeedKey::from).collect();
    };
    if let Some(top) = role.top_level() {
        let published = published.ok_or_else(none)?.set();
        sign(&mut view, role, &Listed::of_root(published.root(), top));
        match top {
            TopLevel::Timestamp => view.is(published.timestamp()),
            TopLevel::Snapshot => view.is(published.snapshot()),
            TopLevel::Targets => view.is(published.targets()),
            _ => view.is(published.root()),
        }
    } else if let Some(above) = above_bins(role) {
        let bin = tree.find(&above)?.bins().and_then(|bins| bins.names().next()).ok_or_else(none)?;
        sign(&mut view, &bin, &tree.authority(&above, &bin).ok_or_else(none)?);
        view.delegator = Some(above.as_str().to_owned());
    } else {
        if let Some(base) = tree.find(role)?.trusted() {
            view.is(base);
        }
        let above = tree.delegator(role).ok_or_else(none)?;
        sign(&mut view, role, &tree.authority(above, role).ok_or_else(none)?);
        view.delegator = Some(above.as_str().to_owned());
    }
    if let Some((valid, renewed)) = repository.config.periods(role) {
        view.valid = Some(valid.to_string());
        view.renewed_after = renewed.map(|period| period.to_string());
    }
    Ok(view)
}

impl RoleView {
    fn is<T: Metadata>(&mut self, role: &Trusted<T>) {
        let header = role.header();
        self.version = Some(header.version);
        self.expires = Some(header.expires);
    }
}

/// The role that delegates to the hash bins that a name stands for, together or one of them.
fn above_bins(role: &RoleName) -> Option<RoleName> {
    let section = section(role);
    let above = match NamedBins::split(role) {
        Some((above, _)) => above,
        None if section == "bin-n" => "",
        None => role.as_str().strip_suffix("-bin-n")?,
    };
    if above.is_empty() { Some(bins_role()) } else { RoleName::new(above).ok() }
}
