//! Targets as bytes: opened, read and downloaded through one view, one or many at a time.
//!
//! What is in a part that an earlier run left, in the cache, or at a mirror is all the same: nothing is handed over before
//! length and hashes matched.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tuf_core::{Checker, Hashes, TargetFile};

use crate::client::blocking;
use crate::durable::{Access, Placed, WriteBatch, checked_join, sweep_downloads};
use crate::error::{Error, ErrorKind};
use crate::mirrors::Mirror;
use crate::partial::Partial;
use crate::transport::redact;
use crate::view::{Target, View};

/// Downloads at the same time, unless told otherwise.
const PARALLEL: usize = 8;

/// Some bytes below `targets/` that are known by exact length and hash: a target, or a file that a
/// verified page names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// The path below `targets/`, not percent-encoded, with the hash prefix where the layout has one.
    pub path: String,
    /// The exact length in bytes, where it was signed.
    pub length: Option<u64>,
    /// The hashes.
    pub hashes: Hashes,
}

impl Wanted {
    /// A file of this length and sha256.
    #[must_use]
    pub const fn new(path: String, length: u64, sha256: [u8; 32]) -> Self {
        Self { path, length: Some(length), hashes: Hashes::sha256_only(sha256) }
    }

    /// A file of this sha256, whose length was not signed: whoever reads it must set a limit.
    #[must_use]
    pub const fn of_hash(path: String, sha256: [u8; 32]) -> Self {
        Self { path, length: None, hashes: Hashes::sha256_only(sha256) }
    }
}

/// What happens to one target of a [`View::download_all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Its turn has come.
    Started,
    /// So many more bytes are here, from wherever. Each byte is told once, also if it had to be fetched again.
    Bytes(u64),
    /// It is here and verified. It gets its name when all of them are.
    Verified,
}

/// Who is told what happens to which target.
type Told<'a> = &'a (dyn Fn(&Target, Progress) + Send + Sync);

/// How [`View::download_all`] works.
#[derive(Clone)]
#[non_exhaustive]
pub struct DownloadOptions<'a> {
    parallel: usize,
    progress: Option<Told<'a>>,
}

impl Default for DownloadOptions<'_> {
    fn default() -> Self {
        Self { parallel: PARALLEL, progress: None }
    }
}

impl fmt::Debug for DownloadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadOptions").field("parallel", &self.parallel).finish_non_exhaustive()
    }
}

impl<'a> DownloadOptions<'a> {
    /// With so many downloads at the same time, at least one. Default 8. Each holds a connection, a file and a chunk in memory,
    /// no more.
    #[must_use]
    pub fn parallel(mut self, downloads: usize) -> Self {
        self.parallel = downloads.max(1);
        self
    }

    /// Tells `progress` what happens. It is called between reads: it should return at once.
    #[must_use]
    pub fn progress(mut self, progress: &'a (dyn Fn(&Target, Progress) + Send + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl View {
    /// What to ask the repository for, to get a target.
    #[must_use]
    pub fn wanted(&self, target: &Target) -> Wanted {
        let consistent = self.trusted().root().consistent_snapshot.then_some(&target.file.hashes);
        Wanted {
            path: target.path.remote(consistent),
            length: Some(target.file.length),
            hashes: target.file.hashes.clone(),
        }
    }

    /// Reads and verifies a whole file of at most `max` bytes into memory, from the cache or the first mirror that has it
    /// right.
    ///
    /// # Errors
    /// As [`View::open`], and what fails verification.
    pub async fn read(&self, wanted: &Wanted, max: u64) -> Result<Bytes, Error> {
        if wanted.length.is_some_and(|length| length > max) {
            return Err(too_long(max).into());
        }
        self.check_fresh()?;
        let client = self.client();
        if let Some(cache) = client.cache() {
            let (cache, wanted) = (cache.clone(), wanted.clone());
            if let Some(bytes) = blocking(move || Ok::<_, Error>(cache.read(&wanted, max))).await? {
                return Ok(bytes);
            }
        }
        client.needs_network(&wanted.path)?;
        let mut asking = client.asking();
        while let Some(mirror) = asking.next() {
            let read = self.read_at(&mirror, wanted, max, asking.has_next()).await;
            if let Some(bytes) = asking.settle(&mirror, read)? {
                if let Some(cache) = client.cache() {
                    let (cache, wanted, bytes) = (cache.clone(), wanted.clone(), bytes.clone());
                    blocking(move || {
                        cache.put(&wanted, |file| file.append(&bytes));
                        Ok::<_, Error>(())
                    })
                    .await?;
                }
                return Ok(bytes);
            }
        }
        Err(asking.failed())
    }

    async fn read_at(
        &self,
        mirror: &Mirror,
        wanted: &Wanted,
        max: u64,
        others: bool,
    ) -> Result<Bytes, Error> {
        let mut body = self.client().ask_at(mirror, wanted, 0, others).await?;
        let url = redact(body.url());
        let refused = |source| refused(&url, source);
        let mut checker = Checker::new(&wanted.hashes, wanted.length)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await? {
            checker.update(&chunk).map_err(refused)?;
            if checker.seen() > max {
                return Err(refused(too_long(max)));
            }
            bytes.extend_from_slice(&chunk);
        }
        checker.finish().map_err(refused)?;
        Ok(bytes.into())
    }

    /// Downloads a target below `directory`, as its path says. The file appears under its name only
    /// after length and hashes matched; it is streamed, never whole in memory.
    ///
    /// What is broken off stays beside it as `.part-…`, named by the wanted hash, and the next download goes on there.
    /// Such parts are removed when they are a week old.
    ///
    /// # Errors
    /// As [`View::open`], what fails verification, or a local file that cannot be written.
    pub async fn download(&self, target: &Target, directory: &Path) -> Result<PathBuf, Error> {
        let destination = checked_join(directory, target.path.as_str())?;
        self.download_to(target, &destination).await?;
        Ok(destination)
    }

    /// Downloads a target to exactly this file. If it is there already, with the right bytes, it stays.
    ///
    /// # Errors
    /// As [`View::download`].
    pub async fn download_to(&self, target: &Target, destination: &Path) -> Result<(), Error> {
        match self.stage(target, destination, |_| ()).await? {
            Some(file) => blocking(move || file.finish()).await,
            None => Ok(()),
        }
    }

    /// Downloads many targets below `directory`, several at the same time: all of them appear, synced to disk together,
    /// or none. Gives their files, in the order of `targets`. What was complete when another one failed is not
    /// fetched again the next time.
    ///
    /// ```no_run
    /// # async fn example(view: tuf_client::View, targets: Vec<tuf_client::Target>) -> Result<(), tuf_client::Error> {
    /// use tuf_client::{DownloadOptions, Progress, Target};
    ///
    /// let told = |target: &Target, what: Progress| {
    ///     if what == Progress::Verified {
    ///         println!("{} is verified", target.path);
    ///     }
    /// };
    /// let options = DownloadOptions::default().parallel(4).progress(&told);
    /// let files = view.download_all(&targets, "downloads".as_ref(), &options).await?;
    /// assert_eq!(files.len(), targets.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`View::download`], for the first target that fails.
    pub async fn download_all(
        &self,
        targets: &[Target],
        directory: &Path,
        options: &DownloadOptions<'_>,
    ) -> Result<Vec<PathBuf>, Error> {
        let destination = |target: &Target| checked_join(directory, target.path.as_str());
        let files = targets.iter().map(destination).collect::<Result<Vec<_>, _>>()?;
        let parents: BTreeSet<_> = files.iter().filter_map(|file| Some(file.parent()?.to_owned())).collect();
        blocking(move || {
            parents.iter().try_for_each(|directory| sweep_downloads(directory).map(drop)).map_err(Error::from)
        })
        .await?;
        let tell = |target: &Target, what| {
            if let Some(progress) = options.progress {
                progress(target, what);
            }
        };
        let stage = async |(target, destination): (&Target, &PathBuf)| {
            tell(target, Progress::Started);
            let file = self.stage(target, destination, |bytes| tell(target, Progress::Bytes(bytes))).await?;
            tell(target, Progress::Verified);
            Ok::<_, Error>(file)
        };
        // The batch holds no open files, however many there are.
        let batch = stream::iter(targets.iter().zip(&files))
            .map(stage)
            .buffer_unordered(options.parallel)
            .try_fold(WriteBatch::new(Access::Shared), async |mut batch, file| {
                if let Some(file) = file {
                    batch.place(file);
                }
                Ok(batch)
            })
            .await?;
        blocking(move || batch.commit()).await?;
        Ok(files)
    }

    /// Downloads and verifies a target into a temporary file beside its destination, for whoever wants many
    /// to appear together. `None` if the destination has the right bytes already. `progress` is told of every byte
    /// once, also if another mirror has to start anew.
    ///
    /// # Errors
    /// As [`View::download`].
    pub async fn stage(
        &self,
        target: &Target,
        destination: &Path,
        progress: impl Fn(u64),
    ) -> Result<Option<Placed>, Error> {
        self.stage_wanted(self.wanted(target), target.file.clone(), destination, progress).await
    }

    /// As [`View::stage`], for who knows more of the bytes than this repository signed: `file` is what they must be,
    /// `wanted` what to ask for.
    pub(crate) async fn stage_wanted(
        &self,
        wanted: Wanted,
        file: TargetFile,
        destination: &Path,
        progress: impl Fn(u64),
    ) -> Result<Option<Placed>, Error> {
        self.check_fresh()?;
        let mut told = 0_u64;
        let mut progress = |here: u64| {
            if here > told {
                progress(here - told);
                told = here;
            }
        };
        let (length, there, cache) = (file.length, destination.to_owned(), self.client().cache().cloned());
        // Small files are many: each way to another thread and back costs as much as the file itself.
        let open = move || {
            if holds(&there, &file) { Ok(None) } else { Partial::open(wanted, &there, cache).map(Some) }
        };
        let Some(mut partial) = blocking(open).await? else {
            progress(length);
            return Ok(None);
        };
        progress(partial.placed.written());
        if !partial.complete
            && let Err(error) = self.fetch(&mut partial, &mut progress).await
        {
            if partial.placed.written() == 0 {
                partial.placed.discard();
            } else if let Some(directory) = destination.parent().map(Path::to_owned) {
                // Whenever a part is left, old ones go.
                blocking(move || {
                    drop(partial);
                    sweep_downloads(&directory)
                })
                .await?;
            }
            return Err(error);
        }
        partial.keep().await.map(Some)
    }
}

pub(crate) fn each_chunk<E: From<std::io::Error>>(
    file: &mut std::fs::File,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(chunk) if read > 0 => take(chunk)?,
            _ => return Ok(()),
        }
    }
}

pub(crate) fn refused(url: &str, source: tuf_core::Error) -> Error {
    ErrorKind::Refused { url: url.to_owned(), source }.into()
}

fn too_long(limit: u64) -> tuf_core::Error {
    tuf_core::ErrorKind::Limit { what: "bytes in one file", limit }.into()
}

/// Whether a local file has exactly the signed bytes.
fn holds(path: &Path, file: &TargetFile) -> bool {
    let check = || -> Option<()> {
        let found = std::fs::symlink_metadata(path).ok()?;
        if !found.is_file() || found.len() != file.length {
            return None;
        }
        let mut checker = Checker::new(&file.hashes, Some(file.length)).ok()?;
        let mut opened = std::fs::File::open(path).ok()?;
        each_chunk(&mut opened, |chunk| checker.update(chunk).map_err(std::io::Error::other)).ok()?;
        checker.finish().ok()
    };
    check().is_some()
}
