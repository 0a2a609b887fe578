//! What other numbers of hash bins would cost clients.

use serde::Serialize;
use tuf_core::{Draft, MetaFile, Metadata, RoleName, Targets};

use super::{Edit, EditBins, EditError, NamedBins, Tree, apply};
use crate::error::Error;
use crate::publish::{Limit, exceeded};
use crate::repository::Repository;

/// The hash bins below a role, and what other numbers of them would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sizing {
    /// The role above them.
    pub role: String,
    /// How many there are now.
    pub count: u32,
    /// For how many targets this is reckoned.
    pub targets: u64,
    /// The bytes that one target takes on average.
    pub bytes_per_target: u64,
    /// Numbers of bins, ascending.
    pub choices: Vec<Choice>,
}

/// What so many bins cost, in bytes without compression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Choice {
    /// How many bins.
    pub count: u32,
    /// The file of the role above them.
    pub delegations: u64,
    /// The snapshot, which goes on listing the bins that were.
    pub snapshot: u64,
    /// One bin, on average.
    pub bin: u64,
    /// What a client downloads that has everything of an older snapshot: the new one and two bins (PEP 458).
    pub returning: u64,
    /// What one downloads that has nothing: the role above the bins as well.
    pub new: u64,
    /// Limits of clients that are exceeded.
    pub limits: Vec<Limit>,
    /// Whether a returning client downloads least, of all that no client refuses.
    pub recommended: bool,
}

/// Reckons what numbers of hash bins below a role cost, for so many targets as there are or `targets`. Reads every bin.
///
/// # Errors
/// [`EditError::NoBins`], [`Error::Published`].
pub fn sizing(repository: &Repository, role: &RoleName, targets: Option<u64>) -> Result<Sizing, Error> {
    let none = || EditError::NoBins { role: role.clone() };
    let published = repository.published()?.ok_or_else(none)?;
    let mut tree = Tree::new(&published);
    let node = tree.find(role)?;
    let (bins, above) = node.bins().cloned().zip(node.trusted().cloned()).ok_or_else(none)?;
    let (mut count, mut bytes) = (0, 0);
    for bin in bins.names() {
        let bin = published.delegated(&above, &bin)?;
        count += length(bin.targets.len());
        bytes += length(bin.bytes().len());
    }
    let empty = Draft::new(Targets::new(above.header.expires)).payload().len();
    let empty = length(empty) + signatures(&above);
    let bytes_per_target = bytes.saturating_sub(empty * u64::from(bins.count())) / count.max(1);
    let targets = targets.unwrap_or(count);
    let snapshot = published.set().snapshot();
    let choose = |wanted: u32| -> Result<Choice, Error> {
        let (mut value, mut listed) = (above.value().clone(), snapshot.value().clone());
        if wanted != bins.count() {
            let mut edit = EditBins::new(role.clone());
            edit.count = Some(wanted);
            apply(&Edit::EditBins(edit), &mut value)?;
            let new = NamedBins::of(role, value.delegations.as_ref().ok_or_else(none)?).ok_or_else(none)?;
            let new = new.names().filter(|bin| listed.role(bin).is_none()).collect::<Vec<_>>();
            listed.meta.extend(new.into_iter().map(|bin| (bin, MetaFile::version(1))));
        }
        let delegations = length(Draft::new(value).payload().len()) + signatures(&above);
        let snapshot = length(Draft::new(listed).payload().len()) + signatures(snapshot);
        let bin = empty + bytes_per_target * targets / u64::from(wanted);
        let returning = snapshot + 2 * bin;
        let files = [
            (role.as_str(), "targets", delegations),
            ("snapshot", "snapshot", snapshot),
            ("a bin", "targets", bin),
        ];
        let limits = files.into_iter().flat_map(|(file, kind, bytes)| exceeded(file, kind, bytes)).collect();
        Ok(Choice {
            count: wanted,
            delegations,
            snapshot,
            bin,
            returning,
            new: returning + delegations,
            limits,
            recommended: false,
        })
    };
    let wanted = (0..=16)
        .map(|bits| 1 << bits)
        .filter(|count| *count >= bins.count() / 8 && *count / 16 <= bins.count());
    let mut choices = wanted.map(choose).collect::<Result<Vec<_>, _>>()?;
    let fit = choices.iter_mut().filter(|choice| choice.limits.is_empty());
    if let Some(best) = fit.min_by_key(|choice| choice.returning) {
        best.recommended = true;
    }
    Ok(Sizing { role: role.as_str().to_owned(), count: bins.count(), targets, bytes_per_target, choices })
}

/// The bytes of a file that are not what is signed.
fn signatures<T: Metadata>(file: &tuf_core::trust::Trusted<T>) -> u64 {
    length(file.bytes().len()).saturating_sub(length(Draft::new(file.value().clone()).payload().len()))
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
