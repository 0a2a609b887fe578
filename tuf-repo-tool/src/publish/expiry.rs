//! What is known of each targets role without reading it: its version, when it expires and how many targets it lists, so that a
//! publish of one change reads one hash bin of thousands; and who signs the bins. A cache in `state/`, checked against the
//! snapshot: lost, damaged or of another state, what it lacks is read again.

mod file;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use tuf_core::{Delegated, Delegations, Hashes, Metadata as _, RoleName, Snapshot};

use super::spread::Ripeness;
use crate::edit::{KnownBins, NamedBins, Tree, Visit};
use crate::error::Error;
use crate::publish::Listed;
use crate::repository::Published;

/// The expiry of every role that a snapshot has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiries {
    /// Which snapshot this is complete for; empty: none.
    snapshot: String,
    /// All roles but hash bins: who delegates to each (none to `targets`), and what is known of it.
    branches: BTreeMap<RoleName, (Option<RoleName>, Row)>,
    /// By their delegator.
    bins: BTreeMap<RoleName, Bins>,
}

/// What is known of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// 0: nothing is known.
    pub(crate) version: u64,
    /// In seconds since 1970.
    expires: i64,
    pub(crate) targets: u64,
}

/// The hash bins of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bins {
    named: NamedBins,
    /// In their order.
    rows: Vec<Row>,
    /// Who signs all of them.
    signed: Option<Signed>,
}

/// What a delegator says of all its bins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signed {
    /// Of which files, from `targets` down, this is true.
    files: String,
    listed: Listed,
}

impl Row {
    fn new(version: u64, expires: DateTime<Utc>, targets: usize) -> Self {
        let targets = u64::try_from(targets).unwrap_or(u64::MAX);
        Self { version, expires: expires.timestamp(), targets }
    }

    /// When the role expires.
    pub(crate) fn expires(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.expires, 0)
    }
}

impl Expiries {
    /// Whether this is all there is to know of what is published.
    pub(crate) fn is_of(&self, published: &Published) -> bool {
        self.snapshot == fingerprint(published)
    }

    /// Reads the roles that changed since, all of them if nothing is known.
    pub(super) fn complete(&mut self, published: &Published, tree: &mut Tree<'_>) -> Result<(), Error> {
        if !self.is_of(published) {
            let known = std::mem::take(self);
            let snapshot = published.set().snapshot();
            for visit in tree.all()? {
                let version = snapshot.role(&visit.role).map_or(0, |meta| meta.version);
                let row = match known.row(&visit).filter(|row| row.version == version) {
                    Some(row) => row,
                    None => {
                        let node = tree.take(&visit.role, visit.delegator.as_ref())?;
                        let Some(value) = node.value() else { continue };
                        Row::new(version, value.header.expires, value.targets.len())
                    }
                };
                self.set_row(&visit, row);
            }
            for (delegator, bins) in &mut self.bins {
                let known = known.bins.get(delegator).filter(|known| known.named == bins.named);
                bins.signed = known.and_then(|known| known.signed.clone());
            }
            self.snapshot = fingerprint(published);
        }
        self.learn(published, tree)
    }

    /// Notes who signs the bins of a role, unless that is known.
    fn learn(&mut self, published: &Published, tree: &mut Tree<'_>) -> Result<(), Error> {
        let files: Vec<_> = self.bins.keys().map(|role| self.files_above(published, role)).collect();
        for ((delegator, bins), files) in self.bins.iter_mut().zip(files) {
            if files.is_some() && bins.signed.as_ref().map(|signed| &signed.files) == files.as_ref() {
                continue;
            }
            let node = tree.find(delegator)?;
            let delegations = node.trusted().and_then(|base| base.delegations.as_ref());
            bins.signed = files
                .zip(delegations.and_then(|delegations| signers(delegations, &bins.named)))
                .map(|(files, listed)| Signed { files, listed });
        }
        Ok(())
    }

    /// The files on whose word a role says what it says. `None` if the snapshot does not have their hashes.
    fn files_above(&self, published: &Published, role: &RoleName) -> Option<String> {
        let mut files = Vec::new();
        let (mut next, mut seen) = (Some(role), BTreeSet::new());
        while let Some(role) = next.filter(|role| seen.insert((*role).clone())) {
            let meta = published.set().snapshot().role(role)?;
            files.push(format!("{}-{}", meta.version, meta.hashes.as_ref()?.preferred()?));
            next = self.branches.get(role)?.0.as_ref();
        }
        files.reverse();
        Some(files.join("/"))
    }

    /// What need not be read of the roles that delegate to hash bins.
    pub(super) fn known(&self, published: &Published) -> BTreeMap<RoleName, KnownBins> {
        let known = |(role, bins): (&RoleName, &Bins)| {
            let (delegator, row) = self.branches.get(role)?;
            let signed = bins.signed.as_ref()?;
            let holds = row.targets == 0 && self.files_above(published, role)? == signed.files;
            let (named, listed) = (bins.named.clone(), signed.listed.clone());
            let version = published.set().snapshot().role(role)?.version;
            let known = KnownBins { delegator: delegator.clone()?, version, bins: named, listed };
            holds.then(|| (role.clone(), known))
        };
        self.bins.iter().filter_map(known).collect()
    }

    /// Every role, who delegates to it, and what is known of it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Visit, Row)> {
        let branch = |(role, (delegator, row)): (&RoleName, &(Option<RoleName>, Row))| {
            (Visit { role: role.clone(), delegator: delegator.clone() }, *row)
        };
        let bins = self.bins.iter().flat_map(|(delegator, bins)| {
            let visit = |role| Visit { role, delegator: Some(delegator.clone()) };
            bins.named.names().map(visit).zip(bins.rows.iter().copied())
        });
        self.branches.iter().map(branch).chain(bins)
    }

    /// The roles that are to be signed again, or nearly. `ask` is given a role, and `judge` what that says and what is known of
    /// that role or, for a hash bin, of each beside it; thousands need no names.
    pub(super) fn select<T>(
        &self,
        ask: impl Fn(&RoleName) -> Option<T>,
        judge: impl Fn(&T, Row) -> Ripeness,
    ) -> Vec<(Visit, Ripeness)> {
        let judge = |asked: &T, row: &Row| Some(judge(asked, *row)).filter(|ripe| *ripe != Ripeness::Unripe);
        let mut found = Vec::new();
        for (role, (delegator, row)) in &self.branches {
            if let Some(ripeness) = ask(role).and_then(|asked| judge(&asked, row)) {
                found.push((Visit { role: role.clone(), delegator: delegator.clone() }, ripeness));
            }
        }
        for (delegator, bins) in &self.bins {
            let Some(asked) = bins.named.names().next().and_then(|first| ask(&first)) else { continue };
            let ripe: Vec<_> = bins.rows.iter().map(|row| judge(&asked, row)).collect();
            if ripe.iter().any(Option::is_some) {
                let named = bins.named.names().zip(ripe);
                found.extend(named.filter_map(|(role, ripeness)| {
                    Some((Visit { role, delegator: Some(delegator.clone()) }, ripeness?))
                }));
            }
        }
        found
    }

    /// What is known of one role.
    pub(crate) fn row(&self, visit: &Visit) -> Option<Row> {
        match visit.delegator.as_ref().and_then(|delegator| self.bins.get(delegator)) {
            Some(bins) => bins.rows.get(bins.named.index_of(&visit.role)?).copied(),
            None => {
                let (delegator, row) = self.branches.get(&visit.role)?;
                (*delegator == visit.delegator).then_some(*row)
            }
        }
    }

    fn set_row(&mut self, visit: &Visit, row: Row) {
        if let (Some(delegator), Some(named)) = (&visit.delegator, NamedBins::beside(visit)) {
            let empty = |named: NamedBins| Bins {
                rows: vec![Row::default(); usize::try_from(named.count()).unwrap_or_default()],
                named,
                signed: None,
            };
            let bins = self.bins.entry(delegator.clone()).or_insert_with(|| empty(named.clone()));
            if bins.named != named {
                *bins = empty(named);
            }
            let index = bins.named.index_of(&visit.role);
            if let Some(place) = index.and_then(|index| bins.rows.get_mut(index)) {
                *place = row;
                return;
            }
        }
        self.branches.insert(visit.role.clone(), (visit.delegator.clone(), row));
    }

    /// Notes a role that is signed anew.
    pub(super) fn set(&mut self, visit: &Visit, version: u64, expires: DateTime<Utc>, targets: usize) {
        self.set_row(visit, Row::new(version, expires, targets));
    }

    /// What is noted is of this snapshot now, if it was of the one published before and no role has gone.
    pub(super) fn follow(
        &mut self,
        before: Option<&Published>,
        snapshot: &Snapshot,
        bytes: &[u8],
        gone: bool,
    ) {
        let complete = before.is_none_or(|before| self.is_of(before));
        self.snapshot = match complete && !gone {
            true => {
                format!("{}-{}", snapshot.header.version, Hashes::of(bytes).preferred().unwrap_or_default())
            }
            false => String::new(),
        };
    }
}

/// Who signs these bins, if it is the same keys for each.
fn signers(delegations: &Delegations, bins: &NamedBins) -> Option<Listed> {
    let Delegated::Roles(roles) = &delegations.roles else { return None };
    let first = roles.iter().next()?.keys;
    let same = roles.iter().zip(bins.names()).all(|(role, name)| role.name == name && role.keys == first);
    (same && first.extra.is_empty()).then(|| Listed::of((&delegations.keys, &first)))
}

fn fingerprint(published: &Published) -> String {
    let snapshot = published.set().snapshot();
    let meta = &published.set().timestamp().snapshot;
    let hash = meta.hashes.as_ref().and_then(Hashes::preferred);
    let hash = hash.unwrap_or_else(|| Hashes::of(snapshot.bytes()).preferred().unwrap_or_default());
    format!("{}-{hash}", snapshot.header().version)
}
