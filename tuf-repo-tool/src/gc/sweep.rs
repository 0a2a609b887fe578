//! Sweeping: every file that nothing needs, and that has been there long enough.

use std::collections::HashMap;
use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tuf_client::simple::Layout;

use super::mark::Marker;
use super::names::{Kind, is_package};
use super::{Amount, Options, Report};
use crate::error::Error;
use crate::event::Events;
use crate::publish::{TIMESTAMP, settle_lease, unfinished};
use crate::repository::{Published, Repository, repository_limits};
use crate::state::{Mark, State};
use crate::storage::{Listed, METADATA_LIMIT};

/// Files that are removed together: as many as a server takes in one request.
const BATCH: usize = 1000;
/// Unknown files that are named.
const NAMED: usize = 20;

/// Where a file is counted that nothing needs.
#[derive(Clone, Copy, Debug)]
enum Garbage {
    Snapshot,
    Role,
    Target,
}

pub(super) struct Sweep<'a> {
    pub(super) repository: &'a Repository,
    pub(super) state: &'a State,
    pub(super) options: &'a Options,
    pub(super) marker: Marker<'a>,
    pub(super) report: Report,
    /// The published state that everything that it needs is marked of.
    timestamp: Vec<u8>,
    /// The published version of each role, by its file's name.
    versions: HashMap<String, u64>,
    /// How far staging had come.
    staged: Option<Mark>,
    now: DateTime<Utc>,
    batch: Vec<(Listed, Garbage)>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(repository: &'a Repository, state: &'a State, options: &'a Options) -> Self {
        Self {
            repository,
            state,
            options,
            marker: Marker::new(repository),
            report: Report { deleted: options.delete, ..Report::default() },
            timestamp: Vec::new(),
            versions: HashMap::new(),
            staged: None,
            now: repository.now(),
            batch: Vec::new(),
        }
    }

    /// Marks what is staged now, published now, and begun on this machine. Staged first: what is staged no longer was published
    /// before it was looked for here. Whether anything is published.
    pub(super) async fn mark_present(&mut self) -> Result<bool, Error> {
        let mark = self.state.mark().await?;
        self.mark_staged(mark).await?;
        block_in_place(|| {
            self.mark_events()?;
            Ok(match self.repository.published()? {
                Some(published) => {
                    self.mark_published(&published)?;
                    true
                }
                None => false,
            })
        })
    }

    async fn mark_staged(&mut self, mark: Mark) -> Result<(), Error> {
        if self.staged.is_some_and(|seen| seen >= mark) {
            return Ok(());
        }
        let mut rows = std::pin::pin!(self.state.staged_rows());
        while let Some((path, change)) = rows.try_next().await? {
            if let Some(file) = change.file {
                self.marker.staged(&path, &file);
            }
        }
        block_in_place(|| self.marker.look_into_pages_if_needed())?;
        self.staged = Some(mark);
        Ok(())
    }

    fn mark_published(&mut self, published: &Published) -> Result<(), Error> {
        let set = published.set();
        self.timestamp = set.timestamp().bytes().to_vec();
        let name = |role: &tuf_core::RoleName| role.file_name(None);
        let snapshot = set.snapshot();
        let listed = snapshot.meta.iter().filter_map(|(file, meta)| {
            let role = tuf_core::RoleName::new(file.strip_suffix(".json")?).ok()?;
            Some((name(&role), meta.version))
        });
        self.versions = listed.collect();
        self.versions.insert(name(snapshot.role_name()), snapshot.header.version);
        self.mark_unfinished(published)?;
        self.marker.published(published)
    }

    /// What a publisher of this machine began, which the next one may end.
    fn mark_unfinished(&mut self, published: &Published) -> Result<(), Error> {
        let limits = repository_limits();
        for file in unfinished(self.repository, Some(published))? {
            self.marker.mark(&file.path);
            let targets = tuf_core::Envelope::parse(file.bytes, &limits)
                .and_then(|envelope| tuf_core::read_unverified::<tuf_core::Targets>(&envelope, &limits));
            if let Ok(targets) = targets {
                self.marker.waiting(&targets)?;
            }
        }
        Ok(())
    }

    /// What events that wait for signatures are made of.
    fn mark_events(&mut self) -> Result<(), Error> {
        for event in Events::of(self.repository).pending()? {
            for (role, version) in event.built_on() {
                self.marker.mark_role(role, version);
            }
            for targets in event.proposals().iter().filter_map(crate::event::Proposal::as_targets) {
                self.marker.waiting(targets)?;
            }
        }
        Ok(())
    }

    /// Marks what the snapshots list that are kept. The others are the first to go: what is left by a sweep that was killed
    /// is never a snapshot without its files.
    pub(super) async fn snapshots(&mut self) -> Result<(), Error> {
        let found = block_in_place(|| {
            let mut found = Vec::new();
            self.repository.storage().walk("metadata", &mut |listed| {
                if let Kind::Snapshot(version) = Kind::of(&listed.path) {
                    found.push((version, listed));
                }
                ControlFlow::Continue(())
            })?;
            found.sort_unstable_by_key(|(version, _)| *version);
            Ok::<_, Error>(found)
        })?;
        let published = self.versions.get("snapshot.json").copied().unwrap_or_default();
        let ages: Vec<_> = found.iter().map(|(version, listed)| (*version, listed.modified)).collect();
        let kept = super::keep::kept(&ages, published, self.options, self.now);
        for (version, listed) in found {
            if version == published || kept.contains(&version) {
                self.report.snapshots.push(version);
                self.report.kept.add(listed.length);
                if version != published {
                    block_in_place(|| self.marker.older(version))?;
                }
            } else {
                self.garbage(listed, Garbage::Snapshot);
            }
        }
        self.flush_all().await
    }

    /// Everything but snapshots.
    pub(super) async fn files(&mut self) -> Result<(), Error> {
        let storage = self.repository.storage().clone();
        block_in_place(|| {
            let mut failed = None;
            storage.walk("", &mut |listed| match self.file(listed) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            })?;
            failed.map_or(Ok(()), Err)
        })?;
        self.flush_all().await
    }

    fn file(&mut self, listed: Listed) -> Result<(), Error> {
        let kind = Kind::of(&listed.path);
        if self.marker.is_marked(&listed.path) || kind == Kind::Anchor {
            if !matches!(kind, Kind::Snapshot(_)) {
                self.report.kept.add(self.bytes(&listed));
            }
            return Ok(());
        }
        let garbage = match kind {
            // Looked at before; what came since is newer than anything here.
            Kind::Anchor | Kind::Snapshot(_) => return Ok(()),
            Kind::Unknown => {
                self.report.unknown.add(listed.length);
                if self.report.unknown_names.len() < NAMED {
                    self.report.unknown_names.push(listed.path);
                }
                return Ok(());
            }
            // It may be on its way to be published: by a publisher at work, or by one that will end what it began.
            Kind::Role(version, file)
                if self.versions.get(file).is_none_or(|published| version > *published) =>
            {
                self.report.ahead.add(listed.length);
                return Ok(());
            }
            Kind::Role(..) => Garbage::Role,
            Kind::Target => Garbage::Target,
        };
        if is_plain(&listed.path) {
            self.marker.look_into_pages()?;
            if self.marker.is_marked(&listed.path) {
                self.report.kept.add(self.bytes(&listed));
                return Ok(());
            }
        }
        self.garbage(listed, garbage);
        if self.batch.len() >= BATCH {
            return Handle::current().block_on(self.flush());
        }
        Ok(())
    }

    fn garbage(&mut self, listed: Listed, garbage: Garbage) {
        match self.now - listed.modified {
            age if age <= self.options.grace => self.report.young.add(listed.length),
            _ => self.batch.push((listed, garbage)),
        }
    }

    async fn flush_all(&mut self) -> Result<(), Error> {
        while !self.batch.is_empty() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Removes a batch, unless it is needed by now: while it is looked at and removed, nobody stages anything, and a publisher
    /// that began before finds out what is missing before it publishes.
    async fn flush(&mut self) -> Result<(), Error> {
        let rest = self.batch.split_off(self.batch.len().min(BATCH));
        let batch = std::mem::replace(&mut self.batch, rest);
        if !self.options.delete {
            self.count(&batch);
            return Ok(());
        }
        let storage = self.repository.storage().clone();
        settle_lease(&*storage, &self.options.publish).await?;
        let held = self.state.hold().await?;
        let removed = self.remove(batch, held.mark()).await;
        held.end(self.state).await?;
        if let Some(lease) = &self.options.publish.lease {
            lease.release().await?;
        }
        self.count(&removed?);
        Ok(())
    }

    async fn remove(
        &mut self,
        mut batch: Vec<(Listed, Garbage)>,
        staged: Mark,
    ) -> Result<Vec<(Listed, Garbage)>, Error> {
        self.mark_staged(staged).await?;
        block_in_place(|| {
            let storage = self.repository.storage();
            if storage.read(TIMESTAMP, METADATA_LIMIT)?.as_deref() != Some(&*self.timestamp) {
                self.report.published_meanwhile += 1;
                let nothing = || Error::Missing { storage: storage.url(), path: TIMESTAMP.to_owned() };
                let published = self.repository.published()?.ok_or_else(nothing)?;
                self.mark_published(&published)?;
            }
            if batch.iter().any(|(listed, _)| is_plain(&listed.path)) {
                self.marker.look_into_pages()?;
            }
            batch.retain(|(listed, _)| {
                let needed = self.marker.is_marked(&listed.path);
                if needed {
                    self.report.kept.add(self.bytes(listed));
                }
                !needed
            });
            let paths: Vec<_> = batch.iter().map(|(listed, _)| listed.path.clone()).collect();
            storage.remove(&paths)?;
            Ok(batch)
        })
    }

    fn count(&mut self, batch: &[(Listed, Garbage)]) {
        for (listed, garbage) in batch {
            let bytes = self.bytes(listed);
            let amount = match garbage {
                Garbage::Snapshot => &mut self.report.garbage.snapshots,
                Garbage::Role => &mut self.report.garbage.roles,
                Garbage::Target => &mut self.report.garbage.targets,
            };
            amount.add(bytes);
        }
    }

    /// What a file takes. A second name of a file takes nothing.
    fn bytes(&self, listed: &Listed) -> u64 {
        let is_link = self.repository.config.layout == Layout::Pep458
            && self.repository.storage().local().is_some()
            && is_plain(&listed.path);
        if is_link { 0 } else { listed.length }
    }
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Whether a file is one of a mirror under its plain name.
fn is_plain(path: &str) -> bool {
    path.strip_prefix("targets/").is_some_and(|name| {
        is_package(name) && !crate::storage::is_hash_prefixed(name.rsplit('/').next().unwrap_or(name))
    })
}
