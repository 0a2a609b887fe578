//! What a server does with conditional puts: tried, never assumed.
//!
//! `If-None-Match: *` (only if it is not there) and `If-Match: ETAG` (only if it is this one) are part of the S3 API, but
//! some servers ignore them and answer 200, some compare the ETag only without its quotes, and some compare and then write, with a gap in
//! between. The first two show in a few requests one after another; for the third, several puts race. A gap may still
//! hide: what passes here is as good as the server says it is.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

/// Puts that race in one round.
const RACERS: u8 = 8;
/// Rounds of each race.
const ROUNDS: u8 = 3;

/// What a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promises {
    /// `If-None-Match: *` on a put.
    pub(super) create: bool,
    /// `If-Match` on a put, and how it wants the ETag.
    pub(super) update: Option<EtagForm>,
}

/// How a server wants an ETag that it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EtagForm {
    /// As it gave it.
    AsGiven,
    /// Without its quotes.
    Unquoted,
}

impl EtagForm {
    pub(super) fn of(self, etag: &str) -> String {
        match self {
            Self::AsGiven => etag.to_owned(),
            Self::Unquoted => etag.trim_matches('"').to_owned(),
        }
    }
}

impl fmt::Display for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let create = if self.create { "kept" } else { "not kept" };
        let update = match self.update {
            Some(EtagForm::AsGiven) => "kept",
            Some(EtagForm::Unquoted) => "kept with the ETag unquoted",
            None => "not kept",
        };
        write!(f, "If-None-Match {create}, If-Match {update}")
    }
}

/// Tries it on objects whose path begins with `prefix`, and removes them.
pub(super) async fn probe(store: &Arc<dyn ObjectStore>, prefix: &str) -> Result<Promises, Error> {
    let paths: Vec<Path> =
        (0..=ROUNDS).map(|n| Path::parse(format!("{prefix}-{n}"))).collect::<Result<_, _>>()?;
    let found = promises(store, &paths).await;
    // Whatever came of it, nothing shall stay; a failure to clean up is only worth a word.
    for removed in join_all(paths.iter().map(|path| store.delete(path))).await {
        match removed {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%error, prefix, "an object of the probe stays behind"),
        }
    }
    found
}

async fn promises(store: &Arc<dyn ObjectStore>, paths: &[Path]) -> Result<Promises, Error> {
    let [path, racing @ ..] = paths else { return Ok(Promises { create: false, update: None }) };
    let create = creates(store, path).await? && all_rounds(store, racing, None).await?;
    let update = updates(store, path).await?;
    let update = match update {
        Some(form) if all_rounds(store, racing, Some(form)).await? => Some(form),
        _ => None,
    };
    Ok(Promises { create, update })
}

/// Whether an object that is there is left alone.
async fn creates(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<bool, Error> {
    let first = won(put(store, path, b"first", PutMode::Create).await)?;
    let second = won(put(store, path, b"second", PutMode::Create).await)?;
    let kept = first && !second && store.get(path).await?.bytes().await? == b"first"[..];
    if !kept {
        // What follows needs an object.
        put(store, path, b"first", PutMode::Overwrite).await?;
    }
    Ok(kept)
}

/// How the ETag must be given so that the object is replaced if it is the right one and only then.
async fn updates(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<EtagForm>, Error> {
    for form in [EtagForm::AsGiven, EtagForm::Unquoted] {
        let Some(stale) = etag(store, path).await? else { return Ok(None) };
        put(store, path, format!("before {form:?}").as_bytes(), PutMode::Overwrite).await?;
        let Some(good) = etag(store, path).await? else { return Ok(None) };
        if won(put(store, path, b"stale", if_match(form, &stale)).await)? {
            return Ok(None);
        }
        if won(put(store, path, b"good", if_match(form, &good)).await)? {
            let kept = store.get(path).await?.bytes().await? == b"good"[..];
            return Ok(kept.then_some(form));
        }
    }
    Ok(None)
}

/// Lets puts race on each path; whether each time exactly one of them won and its bytes stayed.
async fn all_rounds(
    store: &Arc<dyn ObjectStore>,
    paths: &[Path],
    update: Option<EtagForm>,
) -> Result<bool, Error> {
    for path in paths {
        let mode = match update {
            None => PutMode::Create,
            Some(form) => {
                put(store, path, b"before", PutMode::Overwrite).await?;
                match etag(store, path).await? {
                    Some(etag) => if_match(form, &etag),
                    None => return Ok(false),
                }
            }
        };
        let mut racing: FuturesUnordered<_> = (0..RACERS)
            .map(|n| {
                let mode = mode.clone();
                async move { (n, put(store, path, &[n], mode).await) }
            })
            .collect();
        let mut winners = Vec::new();
        while let Some((n, result)) = racing.next().await {
            if won(result)? {
                winners.push(n);
            }
        }
        if store.get(path).await?.bytes().await? != winners || winners.len() != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn put(store: &Arc<dyn ObjectStore>, path: &Path, bytes: &[u8], mode: PutMode) -> Result<(), Error> {
    let options = PutOptions { mode, ..PutOptions::default() };
    store.put_opts(path, PutPayload::from(bytes.to_vec()), options).await.map(|_| ())
}

async fn etag(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<String>, Error> {
    Ok(store.head(path).await?.e_tag)
}

pub(super) fn if_match(form: EtagForm, etag: &str) -> PutMode {
    PutMode::Update(UpdateVersion { e_tag: Some(form.of(etag)), version: None })
}

/// Whether a conditional put was carried out. A server that does not know the condition is one that does not keep it.
fn won(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(
            Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotImplemented { .. }
            | Error::NotSupported { .. },
        ) => Ok(false),
        // Some answer racing writers 409, or 501 to a header that they do not know.
        Err(error)
            if ["409 Conflict", "501 Not Implemented"]
                .iter()
                .any(|said| error.to_string().contains(said)) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
