//! Publishing is one transaction (design: immutable files first, the timestamp last). `specs/publishing.md` has all of it.
//!
//! 1. What changed is signed: hash bins, then the snapshot, then the timestamp.
//! 2. The journal on this machine is told what will be written.
//! 3. Versioned files are written, never over an existing one. No client looks at them yet.
//! 4. A real client runs the whole workflow on the staged state, once as a new client and once as one that
//!    knows the state published before.
//! 5. `timestamp.json` is replaced, if it still is the one that all this was built on: that is the publish.
//!
//! Killed anywhere, the old state or the new one is published, never a mix. Versioned files that no
//! timestamp ever reached are completed from the journal, or left alone: then their versions are skipped.

mod changes;
pub(crate) mod check;
pub(crate) mod clock;
mod commit;
mod elsewhere;
mod expiry;
mod first;
mod journal;
mod lease;
mod logged;
mod many;
mod pen;
mod plan;
mod read_back;
mod recovered;
mod renew;
mod root;
mod spread;
mod state_lease;
mod transaction;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;
use tracing::debug_span;

use crate::edit::{clear_staged, staged_changes};
use crate::error::Error;
use crate::keys::Passphrases;
use crate::log::Did;
use crate::repository::{Lock, Published, Repository};
use crate::rotate::{after_publish, follow_bins};
use crate::signing::Signers;
use crate::state::State;
use crate::storage::{NewFile, Storage, StorageError};
use commit::{Commit, Visible};
pub(crate) use expiry::Expiries;
use journal::Journal;
use pen::Pen;
use state_lease::StateLease;
pub(crate) use state_lease::{holder, machine};
use transaction::{Staged, Transaction};

pub use changes::{Change, Changes};
pub(crate) use elsewhere::{Listed, SignedElsewhere};
pub use first::bins_role;
pub(crate) use first::first_tree;
pub use lease::{LEASE, PublishLease};
pub(crate) use logged::{owes_a_line, settle as settle_line};
pub use pen::{Need, NeedKey};
pub(crate) use plan::exceeded;
pub use plan::{Download, Limit, Plan, PlannedRole, PlannedTarget, plan};
pub use read_back::read_back;
pub(crate) use recovered::{Recovered, publish_recovered};
pub use renew::{Renewed, renew};
pub use root::{publish_first_root, renew_root};
pub(crate) use root::{publish_next_root, settle, stands_under, write_root_copy};
pub(crate) use spread::{expires as expires_at, share as spread_share};

/// The one file that is replaced.
pub(crate) const TIMESTAMP: &str = "metadata/timestamp.json";
/// How long an old timestamp may be served: caches are told not to keep it, and some do for a minute.
const SERVED_WITHIN: Duration = Duration::from_secs(90);
/// How often a publish begins anew because a version is taken: once to find out, and then for those who race.
const SKIPS: u32 = 10;

/// Which roles are signed again although nothing in them changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewal {
    /// Every role whose signing period is over.
    All,
    /// Of the online roles (hash bins, snapshot, timestamp), those whose signing period is over.
    Online,
    /// None but what a change needs.
    None,
}

/// What a publish did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing had changed and nothing was due.
    Nothing,
    /// A new state is published.
    Published(Summary),
}

/// A published state, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// The version of the timestamp.
    pub timestamp: u64,
    /// The version of the snapshot.
    pub snapshot: u64,
    /// Every role that was signed: its file's name and length in bytes.
    pub signed: Vec<(String, usize)>,
    /// Targets added or changed.
    pub set: usize,
    /// Targets removed.
    pub removed: usize,
}

/// Which clients try the staged state before it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// A new one.
    Fresh,
    /// A new one, and one that knows the state published before.
    #[default]
    Default,
    /// Also one for every root there ever was, and one whose cache has expired.
    All,
}

/// How to publish.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Which clients try the staged state.
    pub check: Check,
    /// Whether the files of targets that are set are read again, every byte; else only their length is looked at.
    pub verify: bool,
    /// How often to begin anew when another publisher was faster.
    pub retry: u32,
    /// How long [`read_back()`] waits until the public URL serves what was published.
    pub served_within: Duration,
    /// What excludes other publishers where the storage cannot.
    pub lease: Option<Arc<dyn PublishLease>>,
    /// What the log says was done; absent: published, or renewed if nothing was to change.
    pub did: Option<Did>,
    /// Why, for the log.
    pub why: Option<String>,
    /// What else the log says: the event, the key.
    pub about: BTreeMap<String, serde_json::Value>,
    /// Whether to sign although the clock is behind what was signed before: then it was ahead at that time.
    pub clock_is_right: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            check: Check::Default,
            verify: false,
            retry: 3,
            served_within: SERVED_WITHIN,
            lease: None,
            did: None,
            why: None,
            about: BTreeMap::new(),
            clock_is_right: false,
        }
    }
}

impl Options {
    /// As part of an event, unless it is part of something larger.
    #[must_use]
    pub(crate) fn of_event(&self, id: &str, reason: &str) -> Self {
        let mut options = self.clone();
        options.did.get_or_insert(Did::EventFinish);
        options.why.get_or_insert_with(|| reason.to_owned());
        options.about.insert("event".to_owned(), id.into());
        options
    }

    /// With the lease of the state database, if the repository's machines share one.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn guarded(mut self, repository: &Repository) -> Result<Self, Error> {
        if repository.config.state.is_some() {
            let lease = StateLease::new(repository.open_state().await?);
            self.lease = Some(Arc::new(lease));
        }
        Ok(self)
    }
}

/// Publishes changes, and what is due.
///
/// # Errors
/// Why nothing was published. [`Error::Check`] if a client would refuse the new state, [`Error::Conflict`] if other publishers
/// were faster each time, [`Error::Unguarded`] if nothing excludes them.
pub async fn publish(
    repository: &Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    changes: &Changes,
    renewal: Renewal,
    options: &Options,
) -> Result<Outcome, Error> {
    let given = async || Ok(Cow::Borrowed(changes));
    let attempt = async || publish_once(repository, lock, passphrases, given, renewal, options).await;
    let done = anew(options, attempt).await?;
    block_in_place(|| {
        after_publish(repository, lock);
        follow_bins(repository, changes.edits());
    });
    Ok(warned(done).0)
}

/// What was done; why roles were passed over, in the log.
fn warned<T>((outcome, changes, postponed): (Outcome, T, Vec<Error>)) -> (Outcome, T) {
    for error in postponed {
        tracing::warn!("not renewed: {}", tuf_client::chain(&error));
    }
    (outcome, changes)
}

/// Publishes what is staged, and what is due of the online roles; also says what was staged. Another machine may stage and
/// publish meanwhile: what is staged is read after what is published, and again whenever that has changed.
///
/// # Errors
/// As [`publish`], and [`Error::State`].
pub async fn publish_staged(
    repository: &Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    state: &State,
    options: &Options,
) -> Result<(Outcome, Changes), Error> {
    let published = anew(options, async || {
        let mut read = None;
        let staged = async || {
            let (mark, changes) = staged_changes(state).await?;
            read = Some(mark);
            Ok(Cow::Owned(changes))
        };
        let published = publish_once(repository, lock, passphrases, staged, Renewal::Online, options);
        let (outcome, changes) = warned(published.await?);
        // What was staged meanwhile stays.
        if let Some(mark) = read {
            clear_staged(state, mark).await?;
        }
        Ok((outcome, changes.into_owned()))
    })
    .await?;
    block_in_place(|| {
        after_publish(repository, lock);
        follow_bins(repository, published.1.edits());
    });
    Ok(published)
}

/// Where the storage does not exclude other publishers: takes the lease, and sees to it that what they have announced is
/// what is published.
///
/// # Errors
/// [`Error::Unguarded`], [`Error::LeaseHeld`].
pub(crate) async fn settle_lease(storage: &dyn Storage, options: &Options) -> Result<(), Error> {
    if let Some(lease) = block_in_place(|| commit::guard(storage, options))? {
        lease::settle(storage, lease).await?;
    }
    Ok(())
}

/// The files that a dead publisher of this machine was about to make, in place of what is published now.
pub(crate) fn unfinished(
    repository: &Repository,
    published: Option<&Published>,
) -> Result<Vec<NewFile>, Error> {
    let expected = published.map(|published| &**published.set().timestamp().bytes());
    let entry = Journal::of(repository).read(expected)?;
    Ok(entry.map(|entry| entry.commit.files).unwrap_or_default())
}

/// Tries until no other publisher is faster, as often as the options say.
async fn anew<T>(options: &Options, mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut attempts = 0;
    loop {
        let result = attempt().await;
        if let Some(lease) = &options.lease {
            lease.release().await?;
        }
        match result {
            Err(error @ (Error::Conflict { .. } | Error::LeaseHeld { .. })) if attempts < options.retry => {
                attempts += 1;
                tracing::info!("{error}: beginning anew, {attempts} of {}", options.retry);
                tokio::time::sleep(pause(attempts)).await;
            }
            result => return result,
        }
    }
}

/// Longer each time, and not the same for all who race.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(u64::from(attempt.min(20)) * (50 + u64::from(std::process::id() % 50)))
}

/// One attempt. `changes` are asked for when it is known what they are built on. Also gives why roles that are due were
/// passed over.
async fn publish_once<'c>(
    repository: &Repository,
    _lock: &Lock,
    passphrases: &mut Passphrases,
    mut changes: impl AsyncFnMut() -> Result<Cow<'c, Changes>, Error>,
    renewal: Renewal,
    options: &Options,
) -> Result<(Outcome, Cow<'c, Changes>, Vec<Error>), Error> {
    let storage = &**repository.storage();
    settle_lease(storage, options).await?;
    let mut published = debug_span!("read").in_scope(|| block_in_place(|| repository.published_top()))?;
    let staged = changes().await?;
    let changes = &*staged;
    let asked =
        debug_span!("fingerprint").in_scope(|| journal::fingerprint(&(&repository.config, changes, renewal)));
    let completed = complete(repository, options, published.as_ref(), changes, &asked).await?;
    if let Some(summary) = &completed {
        published = block_in_place(|| repository.published_top())?;
        let version = published.as_ref().map(|published| published.set().timestamp().header.version);
        if version != Some(summary.timestamp) {
            // What was asked for is published, and somebody has built on it since.
            return Ok((Outcome::Published(summary.clone()), staged, Vec::new()));
        }
    }
    clock::check(repository, published.as_ref(), options)?;
    // What was finished is not done twice; what is due may be.
    let rest = Changes::default();
    let changes = if completed.is_some() { &rest } else { changes };
    let mut taken = BTreeSet::new();
    for _ in 0..SKIPS {
        let sign = || {
            let pen = Pen::Sign(Signers::new(repository, passphrases));
            let mut transaction = Transaction::new(repository, published.as_ref(), pen, &taken);
            let signed = transaction.sign_all(changes, renewal)?;
            Ok::<_, Error>((signed, transaction.postponed.into_values().collect()))
        };
        let (signed, postponed) = debug_span!("sign").in_scope(|| block_in_place(sign))?;
        let Some(signed) = signed else {
            return Ok((completed.map_or(Outcome::Nothing, Outcome::Published), staged, postponed));
        };
        let (step, expiries) = signed.into_commit(published.as_ref());
        match commit::commit(repository, options, published.as_ref(), changes, &asked, &step).await {
            Ok(()) => {
                if let Err(error) = debug_span!("keep").in_scope(|| expiries.save(repository)) {
                    tracing::warn!("the next publish will read every role: {}", tuf_client::chain(&error));
                }
                return Ok((Outcome::Published(step.summary), staged, postponed));
            }
            // A leftover of a dead publisher, or the work of one that is alive and on this way too.
            Err(Error::Storage(StorageError::Exists { .. })) => {
                let found = block_in_place(|| commit::timestamp(storage))?;
                if found != step.expected {
                    return Err(commit::conflict(step.expected.as_deref(), found.as_deref()));
                }
                let listed = block_in_place(|| storage.list("metadata"))?;
                taken = listed.into_iter().map(|file| file.path).collect();
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Unsettled { storage: storage.url() })
}

impl Staged {
    fn into_commit(self, published: Option<&Published>) -> (Commit, Expiries) {
        let commit = Commit {
            files: self.files,
            visible: Visible { roots: Vec::new(), timestamp: Some(self.timestamp) },
            expected: published.map(|published| published.set().timestamp().bytes().to_vec()),
            summary: self.summary,
        };
        (commit, self.expiries)
    }
}

/// Finishes what a dead publisher began, byte for byte, if it is just what is asked for now and nothing else was published
/// since. Else its entry is closed, and the versions it took are skipped.
async fn complete(
    repository: &Repository,
    options: &Options,
    published: Option<&Published>,
    changes: &Changes,
    asked: &str,
) -> Result<Option<Summary>, Error> {
    let journal = Journal::of(repository);
    let expected = published.map(|published| &**published.set().timestamp().bytes());
    let entry = block_in_place(|| journal.read(expected))?;
    logged::settle(repository)?;
    let Some(entry) = entry.filter(|entry| entry.asked == asked) else {
        journal.close()?;
        return Ok(None);
    };
    match commit::commit(repository, options, published, changes, asked, &entry.commit).await {
        Ok(()) => {
            tracing::info!("finished what a publisher that died had begun");
            Ok(Some(entry.commit.summary))
        }
        // It is too old by now, or its versions are not its own.
        Err(Error::Check { .. } | Error::Storage(StorageError::Exists { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod tests;
