//! One download on its way to disk: what an earlier run left of it, what the cache has, and what is asked of mirrors.

use std::path::Path;

use tuf_core::Checker;

use crate::cache::TargetCache;
use crate::client::blocking;
use crate::download::{Wanted, refused};
use crate::durable::{Access, Placed};
use crate::error::{Error, ErrorKind};
use crate::mirrors::Mirror;
use crate::transport::{TransportErrorKind, redact};
use crate::view::View;

/// A download on its way.
pub(crate) struct Partial {
    wanted: Wanted,
    pub(crate) placed: Placed,
    /// Has seen exactly what is in the file.
    checker: Checker,
    pub(crate) complete: bool,
    /// Where it is kept, unless it comes from there.
    cache: Option<TargetCache>,
}

impl Partial {
    /// With what an earlier run left, or what the cache has.
    pub(crate) fn open(
        wanted: Wanted,
        destination: &Path,
        cache: Option<TargetCache>,
    ) -> Result<Self, Error> {
        let checker = Checker::new(&wanted.hashes, wanted.length)?;
        // Of another version nothing can be continued. So much of a hash is enough to keep apart what is verified anyway.
        let identity: String = wanted.hashes.preferred().unwrap_or_default().chars().take(40).collect();
        let placed = match Placed::resume(destination, &identity)? {
            Some(placed) => placed,
            None => Placed::create(destination, Access::Shared)?,
        };
        let mut partial = Self { wanted, placed, checker, complete: false, cache };
        let (checker, mut fits) = (&mut partial.checker, true);
        partial.placed.reread(|bytes| {
            fits = checker.update(bytes).is_ok();
            fits
        })?;
        partial.complete = fits && partial.checker.clone().finish().is_ok();
        if !fits || !partial.complete && partial.wanted.length == Some(partial.checker.seen()) {
            partial.restart()?;
        }
        if !partial.complete
            && let Some(cache) = partial.cache.take()
        {
            // What is in the part is worth keeping if the cache has nothing.
            let mut copy = Placed::create(destination, Access::Shared)?;
            partial.complete = cache.copy(&partial.wanted, |chunk| copy.append(chunk));
            if partial.complete {
                std::mem::replace(&mut partial.placed, copy).discard();
            } else {
                partial.cache = Some(cache);
            }
        }
        Ok(partial)
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.placed.restart()?;
        self.checker = Checker::new(&self.wanted.hashes, self.wanted.length)?;
        Ok(())
    }

    /// The verified file, which the cache gets too.
    pub(crate) async fn keep(self) -> Result<Placed, Error> {
        let Self { wanted, mut placed, cache, .. } = self;
        let Some(cache) = cache else { return Ok(placed) };
        blocking(move || {
            cache.put(&wanted, |file| {
                let mut written = Ok(());
                placed.reread(|bytes| {
                    written = file.append(bytes);
                    written.is_ok()
                })?;
                written
            });
            Ok::<_, Error>(placed)
        })
        .await
    }
}

impl View {
    /// Fetches what is missing.
    pub(crate) async fn fetch(&self, partial: &mut Partial, here: &mut impl FnMut(u64)) -> Result<(), Error> {
        self.client().needs_network(&partial.wanted.path)?;
        let mut asking = self.client().asking();
        while let Some(mirror) = asking.next() {
            let others = asking.has_next();
            let resumed = partial.checker.seen() > 0;
            let mut fetched = self.fetch_at(&mirror, partial, false, others, here).await;
            // Who wrote the beginning is not known: this mirror is to blame only for what it sent from the beginning.
            if resumed && fetched.as_ref().is_err_and(|error| error.is_refusal() || is_range(error)) {
                tracing::debug!(
                    path = partial.wanted.path,
                    "a download could not be continued, it starts anew"
                );
                fetched = self.fetch_at(&mirror, partial, true, others, here).await;
            }
            if asking.settle(&mirror, fetched)?.is_some() {
                return Ok(());
            }
        }
        Err(asking.failed())
    }

    /// Fetches the rest, or the whole, from one mirror. Wrong bytes are thrown away, right ones stay, whatever happens.
    async fn fetch_at(
        &self,
        mirror: &Mirror,
        partial: &mut Partial,
        whole: bool,
        others: bool,
        here: &mut impl FnMut(u64),
    ) -> Result<(), Error> {
        let from = if whole { 0 } else { partial.checker.seen() };
        let mut body = self.client().ask_at(mirror, &partial.wanted, from, others).await?;
        let url = redact(body.url());
        if body.start() != partial.checker.seen() {
            partial.restart()?;
        }
        while let Some(chunk) = body.next().await? {
            if let Err(source) = partial.checker.update(&chunk) {
                partial.restart()?;
                return Err(refused(&url, source));
            }
            partial.placed.append(&chunk)?;
            here(partial.checker.seen());
        }
        let Err(source) = partial.checker.clone().finish() else { return Ok(()) };
        partial.restart()?;
        Err(refused(&url, source))
    }
}

fn is_range(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Transport(error) if matches!(error.kind(), TransportErrorKind::Range { .. }))
}
