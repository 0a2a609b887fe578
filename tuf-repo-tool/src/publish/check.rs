//! The staged state, as clients will see it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use tokio::task::block_in_place;
use tuf_client::store::MemoryStore;
use tuf_client::transport::{Body, Transport, TransportError};
use tuf_client::{Client, Target, Url, View};
use tuf_core::trust::Trusted;
use tuf_core::{RoleName, Targets};

use super::commit::Commit;
use super::{Changes, Check, Options, TIMESTAMP};
use crate::error::Error;
use crate::repository::{Published, Repository};
use crate::storage::{METADATA_LIMIT, Storage, StorageTransport, verify_file};

/// Requests to a server at the same time.
const PARALLEL: usize = 16;

/// What clients see of the storage: it, but for the files that are not there yet.
#[derive(Clone, Debug)]
struct StagedTransport {
    storage: StorageTransport,
    staged: Shared<Files>,
}

type Shared<T> = Arc<Mutex<T>>;
type Files = BTreeMap<String, Vec<u8>>;

fn set<T>(shared: &Shared<T>, value: T) {
    *shared.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

fn get<T: Clone>(shared: &Shared<T>) -> T {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Transport for StagedTransport {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        Box::pin(async move {
            let staged =
                |path| self.staged.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
            match self.storage.path(url).and_then(staged) {
                Some(bytes) => Ok(Body::from_bytes(url, bytes)),
                None => self.storage.fetch(url).await,
            }
        })
    }
}

/// A client of the staged state, whose clock is set by hand.
pub(crate) struct Tester {
    pub(crate) client: Client,
    staged: Shared<Files>,
    now: Shared<DateTime<Utc>>,
}

impl Tester {
    pub(crate) fn new(repository: &Repository, root: &Arc<[u8]>, staged: Files) -> Result<Self, Error> {
        let storage = StorageTransport::new(repository.storage())?;
        let base = storage.base().clone();
        let (staged, now) = (Arc::new(Mutex::new(staged)), Arc::new(Mutex::new(repository.now())));
        let transport = StagedTransport { storage, staged: Arc::clone(&staged) };
        let clock = Arc::clone(&now);
        let client = Client::builder(Arc::clone(root), base)
            .transport(transport)
            .store(MemoryStore::new())
            .clock(move || get(&clock))
            .build()?;
        Ok(Self { client, staged, now })
    }

    /// From now on it is this time for the client.
    pub(crate) fn set_time(&self, now: DateTime<Utc>) {
        set(&self.now, now);
    }

    async fn refresh(&self, who: &str) -> Result<View, Error> {
        self.client.refresh().await.map_err(|error| failed(who, error))
    }
}

fn failed(who: &str, error: tuf_client::Error) -> Error {
    Error::Check { stage: format!("by {who}"), source: Box::new(error) }
}

/// Runs clients on what is staged, and checks that every target that was set is there.
pub(super) async fn check(
    repository: &Repository,
    options: &Options,
    published: Option<&Published>,
    commit: &Commit,
    changes: &Changes,
) -> Result<(), Error> {
    let root = repository.first_root()?;
    let before: Option<Vec<u8>> = published.map(|published| published.set().timestamp().bytes().to_vec());
    let roots = || commit.visible.roots.iter().map(|file| (file.path.clone(), file.bytes.clone()));
    let with = |timestamp: &Option<Vec<u8>>| -> Files {
        roots().chain(timestamp.clone().map(|bytes| (TIMESTAMP.to_owned(), bytes))).collect()
    };
    let after = with(commit.visible.timestamp.as_ref().map_or(&before, |_| &commit.visible.timestamp));

    let mut root = root;
    let mut who = "a new client";
    if let Some(next) = changes.elsewhere().next_root() {
        let next: Arc<[u8]> = next.as_bytes().into();
        Tester::new(repository, &next, after.clone())?.refresh("a client of the next root").await?;
        // Under a root that has expired there is no client: the next one heals that.
        if published.is_some_and(|published| published.set().root().header.expires <= repository.now()) {
            (root, who) = (next, "a client of the next root");
        }
    }
    let view = Tester::new(repository, &root, after.clone())?.refresh(who).await?;
    check_roles(&view, commit).await.map_err(|error| failed(who, error))?;
    check_targets(repository, options, &view, changes).await?;

    if let Some(published) = published.filter(|_| options.check != Check::Fresh) {
        let expired = returning(repository, published, &after, None).await?;
        // Later than its cache, and not later than what is staged: else no client can be there.
        if options.check == Check::All && !expired {
            let later = published.set().timestamp().header.expires + TimeDelta::seconds(1);
            if later < view.expires() {
                returning(repository, published, &after, Some(later)).await?;
            }
        }
    }
    if options.check == Check::All {
        old_roots(repository, &view, &after).await?;
    }
    Ok(())
}

/// A client that knows the state published before comes back: `at` that time, or now. Whether nobody can be tried whose cache
/// is still valid.
async fn returning(
    repository: &Repository,
    published: &Published,
    after: &Files,
    at: Option<DateTime<Utc>>,
) -> Result<bool, Error> {
    let now = at.unwrap_or_else(|| repository.now());
    let valid = published.set().expires() - TimeDelta::seconds(1);
    let before = BTreeMap::from([(TIMESTAMP.to_owned(), published.set().timestamp().bytes().to_vec())]);
    let tester = Tester::new(repository, &repository.first_root()?, before)?;
    // It came when what was published was still valid.
    tester.set_time(valid.min(repository.now()));
    if tester.client.refresh().await.is_err() {
        // Then there is no client that knows it.
        return Ok(true);
    }
    tester.set_time(now);
    set(&tester.staged, after.clone());
    let expired = now > valid;
    let who =
        if expired { "a client whose cache has expired" } else { "a client of the state published before" };
    tester.refresh(who).await?;
    Ok(expired)
}

/// Clients that were given any of the roots there ever were.
async fn old_roots(repository: &Repository, view: &View, after: &Files) -> Result<(), Error> {
    for version in 2..=view.trusted().root().header.version {
        let path = format!("metadata/{version}.root.json");
        let root = match after.get(&path) {
            Some(bytes) => Some(bytes.clone()),
            None => block_in_place(|| repository.storage().read(&path, METADATA_LIMIT))?,
        };
        let missing =
            || Error::Published(tuf_core::ErrorKind::Missing(format!("{version}.root.json")).into());
        let root: Arc<[u8]> = root.ok_or_else(missing)?.into();
        let tester = Tester::new(repository, &root, after.clone())?;
        tester.refresh(&format!("a client that was given root {version}")).await?;
    }
    Ok(())
}

/// Every role that was signed loads, on the word of its delegator. Reads no role that was not signed, but for those on the
/// way to it.
async fn check_roles(view: &View, commit: &Commit) -> Result<(), tuf_client::Error> {
    let mut staged: BTreeSet<&str> = commit.files.iter().map(|file| &*file.path).collect();
    let path = |role: &RoleName, version| Repository::metadata_path(&role.file_name(Some(version)));
    let name = |role: &RoleName| Some(path(role, view.trusted().meta(role).ok()?.version));
    // Loaded by every client.
    let set = view.trusted();
    let snapshot = tuf_core::TopLevel::Snapshot.role();
    staged.remove(&*path(&snapshot, set.snapshot().header.version));
    let targets = set.targets();
    staged.remove(&*path(targets.role_name(), targets.header.version));

    let mut delegators: VecDeque<Trusted<Targets>> = VecDeque::from([targets.clone()]);
    let mut on_the_way: VecDeque<(Trusted<Targets>, RoleName)> = VecDeque::new();
    let mut seen = BTreeSet::new();
    while !staged.is_empty() {
        let Some(delegator) = delegators.pop_front() else {
            // None that is known delegates to it: one level further down.
            let Some((delegator, role)) = on_the_way.pop_front() else { break };
            delegators.push_back(view.role(&delegator, &role).await?);
            continue;
        };
        let roles = delegator.delegations.as_ref().map(tuf_core::Delegations::role_names).unwrap_or_default();
        for role in roles {
            let Some(file) = name(&role).filter(|_| seen.insert(role.clone())) else { continue };
            if staged.remove(&*file) {
                delegators.push_back(view.role(&delegator, &role).await?);
            } else {
                on_the_way.push_back((delegator.clone(), role));
            }
        }
    }
    match staged.first() {
        None => Ok(()),
        Some(left) => Err(tuf_core::Error::from(tuf_core::ErrorKind::Missing((*left).to_owned())).into()),
    }
}

async fn check_targets(
    repository: &Repository,
    options: &Options,
    view: &View,
    changes: &Changes,
) -> Result<(), Error> {
    let mut targets = Vec::new();
    for (path, file) in changes.iter() {
        let Some(file) = file else { continue };
        let target = view.require(path).await.map_err(|error| failed("a new client", error))?;
        if target.file != *file {
            return Err(Error::StagedFile {
                path: path.to_string(),
                place: format!("role {}", target.role),
                expected: format!("{} bytes with {:?}", file.length, file.hashes),
                found: format!("{} bytes with {:?}", target.file.length, target.file.hashes),
            });
        }
        let place = format!("targets/{}", view.wanted(&target).path);
        targets.push((target, place));
    }
    let storage = &**repository.storage();
    block_in_place(|| {
        // A disk has nothing to wait for.
        let share = if storage.local().is_some() { targets.len() } else { targets.len().div_ceil(PARALLEL) };
        std::thread::scope(|scope| {
            let workers: Vec<_> = targets
                .chunks(share.max(1))
                .map(|part| {
                    scope.spawn(move || {
                        part.iter().try_for_each(|(target, place)| look(storage, options, target, place))
                    })
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

/// The file of a target is there, and as long as was signed. Its bytes were hashed when they were put in place; they are
/// read again if that is asked for.
fn look(storage: &dyn Storage, options: &Options, target: &Target, place: &str) -> Result<(), Error> {
    let refused = |expected: String, found: String| Error::StagedFile {
        path: target.path.to_string(),
        place: format!("{}/{place}", storage.url().trim_end_matches('/')),
        expected,
        found,
    };
    let expected = target.file.length;
    match storage.length(place)? {
        Some(found) if found == expected => {}
        Some(found) => return Err(refused(format!("{expected} bytes"), format!("{found} bytes"))),
        None => return Err(refused(format!("{expected} bytes"), "no file".to_owned())),
    }
    if options.verify
        && let Err(error) = verify_file(storage, place, &target.file)?
    {
        return Err(refused(
            format!("{expected} bytes with {:?}", target.file.hashes),
            tuf_client::chain(&error),
        ));
    }
    Ok(())
}
