//! From a map, its roots and a directory of stores to clients, and the search through the mappings.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesOrdered, StreamExt};
use tokio::sync::Mutex;
use tuf_core::trust::RootChain;
use tuf_core::{Limits, TargetPath};

use super::consensus::{Consensus, Count, Said};
use super::error::{MapError, MapErrorKind, Place, RepositoryFault};
use super::map::{MAX_PER_MAPPING, Map, RepositoryName};
use crate::client::{Client, ClientBuilder, Clock};
use crate::clock;
use crate::durable::checked_join;
use crate::error::{Error, ErrorKind};
use crate::store::{FsStore, StoreError, StoreErrorKind};
use crate::transport::{Body, Retry, SchemeTransport, Transport, TransportError};
use crate::url::Url;
use crate::view::View;

type Roots = Box<dyn Fn(&RepositoryName) -> io::Result<Vec<u8>>>;

/// Makes a [`MultiClient`].
pub struct MultiClientBuilder {
    map: Map,
    roots: Roots,
    store: PathBuf,
    transport: Option<Arc<dyn Transport>>,
    limits: Limits,
    clock: Clock,
    deadline: Option<Duration>,
}

impl fmt::Debug for MultiClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiClientBuilder").field("map", &self.map).finish_non_exhaustive()
    }
}

impl MultiClientBuilder {
    /// How bytes are fetched, from all repositories. Default: `http`, `https` and `file` URLs, with [`Retry`].
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// How much is read at most, of each repository.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What tells the time. Default: the system clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Longest time for the refresh of one repository: as [`ClientBuilder::deadline`].
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The client. First every root is read and checked; then the stores are opened, or created, each in a directory of
    /// its own. Nothing is fetched.
    ///
    /// # Errors
    /// [`ErrorKind::Map`], before anything was created unless it is about a store; or what keeps the default transport
    /// from being set up.
    pub fn build(self) -> Result<MultiClient, Error> {
        let mut pinned = BTreeMap::new();
        for (name, _) in self.map.repositories() {
            let wrong = |kind| MapError::of_repository(name, kind);
            let root: Arc<[u8]> =
                (self.roots)(name).map_err(|error| wrong(MapErrorKind::NoRoot(error)))?.into();
            RootChain::pinned(&root, Arc::new(self.limits.clone()))
                .map_err(|error| wrong(MapErrorKind::Root(error)))?;
            pinned.insert(name.clone(), root);
        }
        distinct(&self.map, &pinned)?;
        let transport = match &self.transport {
            Some(transport) => Arc::clone(transport),
            None => Arc::new(Retry::new(SchemeTransport::new()?)),
        };
        // A directory that is the store of one repository holds no others.
        if self.store.join("store.json").exists() {
            return Err(MapError::new(Place::File, MapErrorKind::OneStore(self.store)).into());
        }
        let mut clients = BTreeMap::new();
        for (name, urls) in self.map.repositories() {
            let (Some(root), Some((first, mirrors))) = (pinned.get(name), urls.split_first()) else {
                continue;
            };
            let store = open(&self.store, name, root, urls)
                .map_err(|error| MapError::of_repository(name, MapErrorKind::Store(error)))?;
            let clock = Arc::clone(&self.clock);
            let mut builder = Client::builder(Arc::clone(root), first.clone())
                .transport(Shared(Arc::clone(&transport)))
                .store(store)
                .limits(self.limits.clone())
                .clock(move || clock());
            if let Some(deadline) = self.deadline {
                builder = builder.deadline(deadline);
            }
            let builder = mirrors.iter().cloned().fold(builder, ClientBuilder::mirror);
            clients.insert(name.clone(), builder.build()?);
        }
        Ok(MultiClient(Arc::new(Inner { map: self.map, clients })))
    }
}

/// Repositories of which more than one is needed must not be one under two names.
fn distinct(map: &Map, pinned: &BTreeMap<RepositoryName, Arc<[u8]>>) -> Result<(), MapError> {
    for (index, mapping) in map.mappings().iter().enumerate().filter(|(_, mapping)| mapping.threshold > 1) {
        let mut seen: BTreeMap<&[u8], &RepositoryName> = BTreeMap::new();
        for two in &mapping.repositories {
            if let Some(one) = pinned.get(two).and_then(|root| seen.insert(&**root, two)) {
                let kind = MapErrorKind::SameRoot { one: one.clone(), two: two.clone() };
                return Err(MapError::new(Place::Mapping(index), kind));
            }
        }
    }
    Ok(())
}

/// The repository's own store. One that was made for any of its URLs stays good when they change places.
fn open(directory: &Path, name: &RepositoryName, root: &[u8], urls: &[Url]) -> Result<FsStore, StoreError> {
    let directory = checked_join(directory, &name.directory())?;
    let mut refused = None;
    for url in urls {
        match FsStore::init(&directory, root, url) {
            Err(error) if matches!(error.kind(), StoreErrorKind::OtherUrl { .. }) => {
                refused.get_or_insert(error);
            }
            result => return result,
        }
    }
    Err(refused.unwrap_or_else(|| StoreError::new(&directory, StoreErrorKind::NotInitialised)))
}

/// One transport, and with it one set of connections, for all repositories.
#[derive(Debug)]
struct Shared(Arc<dyn Transport>);

impl Transport for Shared {
    fn fetch<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        self.0.fetch(url)
    }

    fn fetch_metadata<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Body, TransportError>> {
        self.0.fetch_metadata(url)
    }
}

/// A client of all repositories of a map. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct MultiClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    map: Map,
    clients: BTreeMap<RepositoryName, Client>,
}

impl MultiClient {
    /// A client for this map. `roots` gives the pinned root of each repository: bytes that came to the user in a
    /// way the user trusts. `store` is where each repository gets a store, in the directory
    /// [`RepositoryName::directory`].
    pub fn builder(
        map: Map,
        roots: impl Fn(&RepositoryName) -> io::Result<Vec<u8>> + 'static,
        store: &Path,
    ) -> MultiClientBuilder {
        MultiClientBuilder {
            map,
            roots: Box::new(roots),
            store: store.to_owned(),
            transport: None,
            limits: Limits::default(),
            clock: Arc::new(clock::now),
            deadline: None,
        }
    }

    /// The map.
    #[must_use]
    pub fn map(&self) -> &Map {
        &self.0.map
    }

    /// A view in which each repository is refreshed and pinned when it is needed first.
    #[must_use]
    pub fn view(&self) -> MultiView {
        let pins = self.0.clients.keys().map(|name| (name.clone(), Mutex::default())).collect();
        MultiView(Arc::new(ViewInner { client: self.clone(), pins }))
    }

    /// Finds a target in a new view; see [`MultiView::find`]. What was fetched for it is stored.
    ///
    /// # Errors
    /// Those of [`MultiView::find`] and [`MultiView::save`].
    pub async fn find(&self, path: &TargetPath) -> Result<Consensus, Error> {
        let view = self.view();
        let found = view.find(path).await;
        let saved = view.save().await;
        let found = found?;
        saved.map(|()| found)
    }

    /// Finds a target in a new view and downloads it below `directory`. If the repositories lack a file that their
    /// metadata names, they may have published in between: one more try is made.
    ///
    /// # Errors
    /// Those of [`MultiClient::find`] and [`Consensus::download`].
    pub async fn download(&self, path: &TargetPath, directory: &Path) -> Result<PathBuf, Error> {
        match self.find(path).await?.download(directory).await {
            Err(error) if error.is_missing() => self.find(path).await?.download(directory).await,
            result => result,
        }
    }
}

/// All repositories of a map, each pinned to one snapshot when it is needed first. A repository that failed stays
/// failed in this view. Cheap to clone; clones share what is pinned.
#[derive(Clone, Debug)]
pub struct MultiView(Arc<ViewInner>);

#[derive(Debug)]
struct ViewInner {
    client: MultiClient,
    /// A lock is held while its repository is refreshed, so that it is refreshed once.
    pins: BTreeMap<RepositoryName, Mutex<Pin>>,
}

#[derive(Debug, Default)]
struct Pin {
    view: Option<Result<View, Arc<Error>>>,
    /// It was refreshed once more because a file was missing.
    renewed: bool,
}

impl MultiView {
    /// Finds the target on which enough repositories agree: as TAP 4 says, mapping by mapping in their order, and in each
    /// repository by repository until the threshold is reached. All repositories of a mapping are refreshed at the
    /// same time, those of other mappings are not. What counts is their order and what they say, not who is first to
    /// answer. Metadata that had to be fetched is stored by [`MultiView::save`].
    ///
    /// # Errors
    /// [`ErrorKind::NotMapped`] if no mapping covers the path; [`ErrorKind::NotEnoughAgree`] with what each repository of
    /// each mapping tried says. A repository that fails is one that does not agree.
    pub async fn find(&self, path: &TargetPath) -> Result<Consensus, Error> {
        let mut passed_over = Vec::new();
        for (index, mapping) in self.0.client.map().matching(path) {
            let mut count = Count::new(path, (index, mapping));
            let answers = mapping.repositories.iter().map(|name| self.answer(name, path));
            let mut answers: FuturesOrdered<_> = answers.collect();
            while let Some((name, said)) = answers.next().await {
                if let Some(mut consensus) = count.hear(name, said) {
                    consensus.passed_over = passed_over;
                    return Ok(consensus);
                }
            }
            passed_over.push(count.not_enough());
        }
        Err(match passed_over.is_empty() {
            true => ErrorKind::NotMapped(path.clone()).into(),
            false => ErrorKind::NotEnoughAgree(passed_over).into(),
        })
    }

    /// Refreshes and pins every repository of the map, as far as that was not done. What each of them says of itself, by
    /// name.
    pub async fn refresh_all(&self) -> Vec<(RepositoryName, Result<View, Arc<Error>>)> {
        let each: Vec<_> = self.0.pins.keys().map(|name| self.refreshed(name)).collect();
        stream::iter(each).buffered(MAX_PER_MAPPING).collect().await
    }

    async fn refreshed(&self, name: &RepositoryName) -> (RepositoryName, Result<View, Arc<Error>>) {
        (name.clone(), self.pinned(name).await)
    }

    async fn answer<'a>(&self, name: &'a RepositoryName, path: &TargetPath) -> (&'a RepositoryName, Said) {
        (name, self.ask(name, path).await)
    }

    /// Stores the delegated roles that were fetched.
    ///
    /// # Errors
    /// [`ErrorKind::Repositories`] with the stores that could not be written; the others were.
    pub async fn save(&self) -> Result<(), Error> {
        let mut faults = Vec::new();
        for (name, pin) in &self.0.pins {
            let view = pin.lock().await.view.clone();
            if let Some(Ok(view)) = view
                && let Err(error) = view.save().await
            {
                faults.push(RepositoryFault::new(name, Arc::new(error)));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(ErrorKind::Repositories(faults).into()) }
    }

    async fn ask(&self, name: &RepositoryName, path: &TargetPath) -> Said {
        let view = self.pinned(name).await?;
        match view.find(path).await {
            Err(error) if error.is_missing() => {
                let view = self.renewed(name, Arc::new(error)).await?;
                let found = view.find(path).await.map_err(Arc::new)?;
                Ok((view, found))
            }
            Err(error) => Err(Arc::new(error)),
            Ok(found) => Ok((view, found)),
        }
    }

    async fn pinned(&self, name: &RepositoryName) -> Result<View, Arc<Error>> {
        let (client, pin) = self.of(name)?;
        let mut pin = pin.lock().await;
        match &pin.view {
            Some(view) => view.clone(),
            None => pin.view.insert(client.refresh().await.map_err(Arc::new)).clone(),
        }
    }

    /// A newer view of a repository that lacks a file: it may have published in between (PEP 458). It is refreshed
    /// once more and not again, whoever asks.
    async fn renewed(&self, name: &RepositoryName, missing: Arc<Error>) -> Result<View, Arc<Error>> {
        let (client, pin) = self.of(name)?;
        let mut pin = pin.lock().await;
        if !pin.renewed {
            pin.view = Some(Ok(client.refresh().await.map_err(Arc::new)?));
            pin.renewed = true;
        }
        pin.view.clone().unwrap_or(Err(missing))
    }

    fn of(&self, name: &RepositoryName) -> Result<(&Client, &Mutex<Pin>), Arc<Error>> {
        let found = self.0.client.0.clients.get(name).zip(self.0.pins.get(name));
        // Unreachable: mappings name only what the map defines.
        found.ok_or_else(|| {
            let kind = MapErrorKind::Undefined(name.as_str().to_owned());
            Arc::new(MapError::of_repository(name, kind).into())
        })
    }
}

/// Roots from a directory: `DIRECTORY/NAME/root.json`, where NAME is [`RepositoryName::directory`].
pub fn roots_in(directory: &Path) -> impl Fn(&RepositoryName) -> io::Result<Vec<u8>> + use<> {
    let directory = directory.to_owned();
    move |name| {
        let path = directory.join(name.directory()).join("root.json");
        read(&path, Limits::default().root_bytes)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

/// A local file of at most `max` bytes.
fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= max) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max} bytes")))
}
