//! Reads what is published as a client would, but for expiry: every root, the top-level roles, and every targets role on the
//! word of each role that delegates to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tuf_core::refresh::{Refresh, Step};
use tuf_core::trust::{Trusted, TrustedSet};
use tuf_core::{Delegations, Hashes, Limits, RoleName, Targets, TopLevel};

use super::{AdoptError, Source};
use crate::error::Error;
use crate::log::{Entry, Point};
use crate::repository::repository_limits;

/// Metadata files fetched at the same time.
const PARALLEL: usize = 8;

/// The top-level metadata of a source, verified from the first root on.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Every root from the first.
    pub(crate) roots: Vec<Arc<[u8]>>,
    pub(crate) set: TrustedSet,
}

/// A targets role as it was met first.
#[derive(Debug)]
pub(crate) struct Met<'a> {
    pub(super) role: &'a Trusted<Targets>,
    /// `None` for `targets`.
    pub(super) delegator: Option<&'a Trusted<Targets>>,
}

impl Met<'_> {
    pub(crate) const fn role(&self) -> &Trusted<Targets> {
        self.role
    }
}

impl Chain {
    /// Verifies roots, timestamp, snapshot and targets of a source, at a time at which nothing has expired.
    pub(crate) async fn read(source: &Source) -> Result<Self, Error> {
        let limits: Arc<Limits> = Arc::new(repository_limits());
        let name = TopLevel::Root.role().file_name(Some(1));
        let unpublished =
            |file: String| AdoptError::Unpublished { source_name: source.name().to_owned(), file };
        let first = source.metadata(&name, limits.root_bytes).await?;
        let first: Arc<[u8]> = first.ok_or_else(|| unpublished(name.clone()))?.into();
        let refused = |file: &str| {
            let (source_name, file) = (source.name().to_owned(), file.to_owned());
            move |source| AdoptError::Refused { source_name, file, source }
        };
        let mut refresh = Refresh::new(&first, DateTime::<Utc>::MIN_UTC, limits).map_err(refused(&name))?;
        let mut roots = vec![first];
        loop {
            match refresh.step() {
                Step::Load { file, .. } => refresh.give(None).map_err(refused(&file.file_name()))?,
                Step::Fetch { role, name, max } => {
                    let bytes = source.metadata(&name, max).await?;
                    let is_root = role.top_level() == Some(TopLevel::Root);
                    if bytes.is_none() && !is_root {
                        return Err(unpublished(name).into());
                    }
                    let root: Option<Arc<[u8]>> = bytes.as_deref().filter(|_| is_root).map(Arc::from);
                    refresh.give(bytes).map_err(refused(&name))?;
                    roots.extend(root);
                }
                _ => break,
            }
        }
        let (set, _) = refresh.finish();
        let set = set.ok_or_else(|| unpublished(TopLevel::Timestamp.role().file_name(None)))?;
        Ok(Self { roots, set })
    }

    /// The timestamp's version.
    pub(crate) fn timestamp_version(&self) -> u64 {
        self.set.timestamp().header.version
    }

    /// Tells the log what was found published.
    pub(crate) fn adopted(&self, entry: Entry) -> Entry {
        let timestamp = Point::of(self.set.timestamp().bytes(), self.timestamp_version());
        entry.adopted(self.set.root().header.version, timestamp)
    }

    /// The sha256 of the first root: which repository this is.
    pub(crate) fn first_root(&self) -> String {
        let first = self.roots.first().map(|root| Hashes::of(root));
        first.as_ref().and_then(Hashes::preferred).unwrap_or_default()
    }

    /// Visits every targets role once, delegators first, and verifies it on the word of all who delegate to it. Gives the
    /// roles that are delegated to and that the snapshot does not have: no client gets them.
    pub(super) async fn each_role(
        &self,
        source: &Source,
        mut each: impl AsyncFnMut(Met<'_>) -> Result<(), Error>,
    ) -> Result<Vec<RoleName>, Error> {
        let top = self.set.targets().clone();
        each(Met { role: &top, delegator: None }).await?;
        let (mut absent, mut met) = (BTreeSet::new(), BTreeSet::from([top.role_name().clone()]));
        let mut edges: BTreeSet<(RoleName, RoleName)> = BTreeSet::new();
        let mut pending = vec![top];
        while let Some(delegator) = pending.pop() {
            let names = delegator.delegations.as_ref().map(Delegations::role_names).unwrap_or_default();
            let mut wanted = Vec::new();
            for role in names {
                match self.set.meta(&role) {
                    Ok(meta) if edges.insert((delegator.role_name().clone(), role.clone())) => {
                        wanted.push((role, meta));
                    }
                    Ok(_) => {}
                    Err(_) => drop(absent.insert(role)),
                }
            }
            let limit = self.set.limits().targets_bytes;
            let fetch = async |(role, meta): (RoleName, tuf_core::MetaFile)| {
                let file = role.file_name(Some(meta.version));
                let bytes =
                    source.metadata(&file, meta.length.map_or(limit, |length| length.min(limit))).await;
                (role, file, bytes)
            };
            let mut fetched = stream::iter(wanted).map(fetch).buffered(PARALLEL);
            while let Some((role, file, bytes)) = fetched.next().await {
                let missing =
                    || AdoptError::Unpublished { source_name: source.name().to_owned(), file: file.clone() };
                let bytes: Arc<[u8]> = bytes?.ok_or_else(missing)?.into();
                let trusted = self.set.delegated(&delegator, &role, &bytes).map_err(|error| {
                    AdoptError::Refused { source_name: source.name().to_owned(), file, source: error }
                })?;
                if met.insert(role) {
                    each(Met { role: &trusted, delegator: Some(&delegator) }).await?;
                }
                if trusted.delegations.is_some() {
                    pending.push(trusted);
                }
            }
        }
        Ok(absent.into_iter().collect())
    }
}

/// Names of files with the time at which they got their bytes, where the source tells.
pub(super) fn written(source: &Source) -> Result<BTreeMap<String, DateTime<Utc>>, Error> {
    let Some(storage) = source.storage() else { return Ok(BTreeMap::new()) };
    let listed = tokio::task::block_in_place(|| storage.list("metadata"))?;
    let name = |path: String| path.strip_prefix("metadata/").map(str::to_owned);
    Ok(listed.into_iter().filter_map(|file| Some((name(file.path)?, file.modified))).collect())
}
