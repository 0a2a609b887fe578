//! From the options to a client. There is no trust on first use: a root is given, or a store that has one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tuf_client::store::FsStore;
use tuf_client::text::utc;
use tuf_client::transport::{Credentials, HttpOptions, HttpTransport, Retry, SchemeTransport};
use tuf_client::{Client, ClientBuilder, Error, Limits, TargetCache, Url, View, Warning, dangerous, env};
use tuf_core::trust::RootChain;

use super::Global;
use super::error::Failure;
use super::output::{Output, WARNING};

const NO_ROOT: &str = "type `tuf-client --root root.json --url https://mirror.example/ init` once, with the root \
file that you got from the repository's operator; then give --root root.json or --store DIR (or set TUF_ROOT or \
TUF_STORE)";

/// Takes what was not given from the environment.
pub(crate) fn with_environment(mut global: Global) -> Global {
    let path = |name| env::var(name).map(PathBuf::from);
    global.root = global.root.or_else(|| path("TUF_ROOT"));
    if global.url.is_empty() {
        global.url.extend(env::var("TUF_URL"));
    }
    global.ca_file = global.ca_file.or_else(|| path("TUF_CA_FILE"));
    global.store = global.store.or_else(|| path("TUF_STORE"));
    global.cache = global.cache.or_else(|| path("TUF_CACHE"));
    global
}

/// The client that the options describe: at the store's URL, with the other URLs given as mirrors.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    let store = store(global)?;
    let first = store.url().clone();
    let mirrors: Vec<Url> = urls(global)?.into_iter().skip(1).collect();
    let all: Vec<Url> = std::iter::once(&first).chain(&mirrors).cloned().collect();
    let mut builder = Client::builder(store.root(), first)
        .limits(limits(global))
        .transport(transport(global, &all)?)
        .store(store);
    if let Some(directory) = &global.cache {
        builder = builder.cache(TargetCache::new(directory));
    }
    if global.refuse_clock_steps {
        builder = builder.refuse_clock_steps();
    }
    builder = match (global.offline, global.accept_expired) {
        (true, true) => dangerous::accept_expired(builder),
        (true, false) => builder.offline(),
        (false, _) => builder,
    };
    Ok(mirrors.into_iter().fold(builder, ClientBuilder::mirror).build()?)
}

/// Says what is not as it should be with a view, even if little is to be said.
pub(crate) fn announce(view: &View, out: &Output) {
    let insist = |text: &str| out.insist(&format!("{WARNING}warning:{WARNING:#} {text}"));
    // What was recovered is in the log already, which also has it when the refresh fails.
    for warning in view.warnings().iter().filter(|warning| !matches!(warning, Warning::Recovered(_))) {
        insist(&warning.to_string());
    }
    let snapshot = view.trusted().snapshot().header.version;
    if view.is_stale() {
        insist(&format!(
            "EXPIRED metadata is used: snapshot {snapshot}, which was valid until {}; what was withdrawn or replaced since is \
             not noticed",
            utc(&view.expires())
        ));
    } else if view.is_offline() {
        insist(&format!(
            "offline: snapshot {snapshot} as it was stored, valid until {}; the repository was not asked",
            utc(&view.expires())
        ));
    }
}

/// The transport that the options describe, with the environment's credentials for these URLs.
pub(crate) fn transport(global: &Global, urls: &[Url]) -> Result<Retry<SchemeTransport>, Failure> {
    let mut options = HttpOptions::default();
    options.ca_file.clone_from(&global.ca_file);
    options.credentials = Credentials::from_environment(urls).map_err(Error::from)?;
    let http = HttpTransport::new(options).map_err(Error::from)?;
    Ok(Retry::new(SchemeTransport::with_http(http)))
}

pub(crate) fn limits(global: &Global) -> Limits {
    let mut limits = Limits::default();
    limits.strict_key_ids = global.strict_key_ids;
    limits
}

fn urls(global: &Global) -> Result<Vec<Url>, Failure> {
    global.url.iter().map(|url| repository_url(url)).collect()
}

/// The store that the options describe: initialised if root and URL are given, else it must be there.
pub(crate) fn store(global: &Global) -> Result<FsStore, Failure> {
    let url = urls(global)?.into_iter().next();
    let Some(root) = &global.root else {
        let Some(directory) = &global.store else {
            return Err(Failure::new("no trusted root: neither --root nor --store was given").hint(NO_ROOT));
        };
        let store = FsStore::existing(directory)?;
        return match url {
            // Refuses a URL that the store is not for.
            Some(url) => Ok(FsStore::init(directory, store.root(), &url)?),
            None => Ok(store),
        };
    };
    let root = read(root)?;
    let directory = match &global.store {
        Some(directory) => directory.clone(),
        None => default_store(&root)?,
    };
    let url = match url {
        Some(url) => url,
        None => FsStore::existing(&directory)
            .map_err(|error| Failure::from(error).hint("give --url too; that initialises the store"))?
            .url()
            .clone(),
    };
    // A store must not be pinned to a file that is no root.
    RootChain::pinned(&Arc::from(&*root), Arc::new(Limits::default()))?;
    Ok(FsStore::init(&directory, &root, &url)?)
}

/// A whole local file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))
}

/// A URL, or a local directory as one.
pub(crate) fn repository_url(text: &str) -> Result<Url, Failure> {
    if text.contains("://") {
        // What is no URL may still hold a password.
        let shown = text.rsplit('@').next().unwrap_or(text);
        return Url::parse(text).map_err(|error| Failure::new(format!("{shown} is no URL: {error}")));
    }
    let directory = std::fs::canonicalize(text).map_err(|error| {
        Failure::new(format!("{text} is no URL and no directory that can be read: {error}"))
    })?;
    Url::from_directory_path(&directory)
        .map_err(|_| Failure::new(format!("{} cannot be written as a URL", directory.display())))
}

/// `<data dir>/tuf-client/<first 16 hex digits of the root's SHA-256>`.
fn default_store(root: &[u8]) -> Result<PathBuf, Failure> {
    let sum = HEXLOWER.encode(digest(&SHA256, root).as_ref());
    Ok(data_directory()?.join("tuf-client").join(sum.get(..16).unwrap_or(&sum)))
}

pub(crate) fn data_directory() -> Result<PathBuf, Failure> {
    // A relative one must be ignored (XDG base directory specification).
    let absolute = |name: &str| env::var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below_home = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    let directory = match cfg!(windows) {
        true => absolute("LOCALAPPDATA"),
        false => absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(below_home))),
    };
    directory
        .ok_or_else(|| Failure::new("this user has no data directory").hint("say where with --store DIR"))
}
