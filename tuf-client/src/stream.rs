//! A file as a stream of chunks, from the cache or from one mirror after the other.
//!
//! A mirror that stalls or breaks off in the middle is an honest fault: another one goes on from there, since what was handed
//! out cannot be taken back. The hash over all of it decides in the end.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tuf_core::Checker;

use crate::cache::Filling;
use crate::client::{Client, blocking};
use crate::download::{Wanted, refused};
use crate::error::Error;
use crate::mirrors::{Asking, Mirror};
use crate::transport::{Body, FileTransport, Pace, Transport, redact};
use crate::view::View;

/// How often one mirror is asked for the rest of a file that it broke off.
const TURNS: usize = 2;

impl Client {
    /// Asks one mirror for what follows byte `from` of a file; the whole of it may come all the same ([`Body::start`]). With
    /// `others` to ask after this one, it is not waited for as long.
    pub(crate) async fn ask_at(
        &self,
        mirror: &Mirror,
        wanted: &Wanted,
        from: u64,
        others: bool,
    ) -> Result<Body, Error> {
        let url = self.target_url(mirror, &wanted.path)?;
        let transport = self.transport();
        let asked = if from == 0 { transport.fetch(&url) } else { transport.fetch_from(&url, from) };
        let pace = if others { Pace::one_try() } else { Pace::default() };
        let body = pace.apply(&url, asked).await?;
        check_declared(wanted, &body)?;
        Ok(body)
    }
}

/// A length that is declared wrong is refused before the first byte.
fn check_declared(wanted: &Wanted, body: &Body) -> Result<(), Error> {
    let found = body.length().map(|length| body.start().saturating_add(length));
    match (wanted.length, found) {
        (Some(expected), Some(found)) if expected != found => {
            Err(refused(&redact(body.url()), tuf_core::ErrorKind::Length { expected, found }.into()))
        }
        _ => Ok(()),
    }
}

impl View {
    /// Opens a stream of bytes that are verified when the stream has ended, not before. The cache is asked first, then
    /// mirrors until one begins to answer; if that one stalls or breaks off later, the others are asked to go on. What turns out
    /// wrong at the end is an error, and the next stream is asked of another mirror. What turns out right is put into the
    /// cache.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ViewExpired`], [`crate::ErrorKind::Transport`], [`crate::ErrorKind::NotStored`], or a signed
    /// entry without a known hash.
    pub async fn open(&self, wanted: &Wanted) -> Result<VerifiedBody, Error> {
        self.check_fresh()?;
        let client = self.client();
        let checker = Checker::new(&wanted.hashes, wanted.length)?;
        let stream = |body, asking| VerifiedBody {
            body,
            skip: 0,
            checker: Some(checker),
            wanted: wanted.clone(),
            client: client.clone(),
            asking,
            served: Vec::new(),
            filling: None,
        };
        if let Some(cache) = client.cache() {
            let (cache, wanted_there) = (cache.clone(), wanted.clone());
            let found = blocking(move || Ok::<_, Error>(cache.find(&wanted_there))).await?;
            // It is verified again as it is read.
            if let Some(url) = found
                && let Ok(body) = FileTransport::new().fetch(&url).await
                && check_declared(wanted, &body).is_ok()
            {
                return Ok(stream(body, client.asking()));
            }
        }
        client.needs_network(&wanted.path)?;
        let mut asking = client.asking();
        while let Some(mirror) = asking.next() {
            let opened = client.ask_at(&mirror, wanted, 0, asking.has_next()).await;
            if let Some(body) = asking.settle(&mirror, opened)? {
                let mut stream = stream(body, asking);
                stream.served.push(mirror);
                if let Some(cache) = client.cache() {
                    let (cache, wanted) = (cache.clone(), wanted.clone());
                    stream.filling = blocking(move || Ok::<_, Error>(cache.begin(&wanted))).await?;
                }
                return Ok(stream);
            }
        }
        Err(asking.failed())
    }
}

/// Chunks as they come. `Ok(None)` comes only after length and hashes matched; whoever must not see
/// unverified bytes holds them back until then.
#[derive(Debug)]
pub struct VerifiedBody {
    body: Body,
    /// Bytes of the body that another one brought before.
    skip: u64,
    /// Gone once the end was verified.
    checker: Option<Checker>,
    wanted: Wanted,
    client: Client,
    /// Who may go on.
    asking: Asking,
    /// Whose bytes these are, the last one's turn being now. Nobody's, if they come from the cache.
    served: Vec<Arc<Mirror>>,
    /// The copy for the cache.
    filling: Option<Filling>,
}

impl VerifiedBody {
    /// The next chunk.
    ///
    /// # Errors
    /// As soon as there is a byte too many, at the end if length or hash do not match, or what the transport says of the last
    /// mirror that could be asked.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let mut chunk = match self.body.next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return self.end().await,
                Err(error) => {
                    self.go_on(error.into()).await?;
                    continue;
                }
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            chunk.advance(skipped);
            self.skip -= u64::try_from(skipped).unwrap_or_default();
            let Some(checker) = &mut self.checker else { return Ok(Some(chunk)) };
            if chunk.is_empty() {
                continue;
            }
            if let Err(source) = checker.update(&chunk) {
                return Err(self.refuse(source));
            }
            if let Some(filling) = self.filling.take() {
                self.filling = filling.append(&chunk);
            }
            return Ok(Some(chunk));
        }
    }

    async fn end(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(checker) = self.checker.take() else { return Ok(None) };
        if let Err(source) = checker.finish() {
            return Err(self.refuse(source));
        }
        if let Some(filling) = self.filling.take() {
            blocking(move || {
                filling.keep();
                Ok::<_, Error>(())
            })
            .await?;
        }
        Ok(None)
    }

    /// Whose bytes were wrong is not known if there were several.
    fn refuse(&mut self, source: tuf_core::Error) -> Error {
        self.filling = None;
        let mut urls = Vec::new();
        for mirror in &self.served {
            if let Ok(url) = self.client.target_url(mirror, &self.wanted.path)
                && !urls.contains(&redact(&url))
            {
                urls.push(redact(&url));
            }
        }
        if urls.is_empty() {
            urls.push(redact(self.body.url()));
        }
        let error = refused(&urls.join(" and "), source);
        for mirror in &self.served {
            self.client.copies().blame(mirror, &error);
        }
        error
    }

    /// Has another mirror send the rest, or in the end the same one.
    async fn go_on(&mut self, error: Error) -> Result<(), Error> {
        let from = self.checker.as_ref().map_or(0, Checker::seen);
        tracing::debug!(path = self.wanted.path, from, %error, "a stream broke off");
        match self.served.last().cloned() {
            Some(mirror) => {
                let turns = self.served.iter().filter(|other| Arc::ptr_eq(other, &mirror)).count();
                if turns < TURNS {
                    self.asking.again(&mirror);
                }
                self.asking.settle(&mirror, Err::<(), _>(error))?;
            }
            // The cache's file cannot be read any further.
            None => self.client.needs_network(&self.wanted.path)?,
        }
        while let Some(mirror) = self.asking.next() {
            let opened = self.client.ask_at(&mirror, &self.wanted, from, self.asking.has_next()).await;
            if let Some(body) = self.asking.settle(&mirror, opened)? {
                // A body that begins later would be a fault of the transport; the hash shows it.
                self.skip = from.saturating_sub(body.start());
                self.body = body;
                self.served.push(mirror);
                return Ok(());
            }
        }
        Err(self.asking.failed())
    }
}
