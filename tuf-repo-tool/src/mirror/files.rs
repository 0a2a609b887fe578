//! Files of a mirror: fetched, hashed, and put in place under their signed names. Nothing refers to them
//! before they are published, and nothing is ever under its final name before its hash is known.

use std::io::Cursor;
use std::path::Path;

use data_encoding::HEXLOWER;
use pep440_rs::Version;
use ring::digest;
use tokio::task::block_in_place;
use tuf_client::Url;
use tuf_client::durable::{self, Placed};
use tuf_client::simple::{
    CoreMetadata, DistFile, DistKind, Layout, PageFile, ProjectName, SignedFile, SignedPage,
};
use tuf_client::transport::{TransportError, TransportErrorKind};
use tuf_core::Hashes;

use super::sync::{Event, Progress, target_path};
use super::upstream::{Upstream, UpstreamError};
use super::wheel_metadata::{WheelError, open_wheel, read_metadata};
use crate::error::Error;
use crate::repository::Repository;
use crate::storage::{NewFile, StorageError};

/// The largest file taken from an upstream that does not say its size: far above any on PyPI.
const MAX_FILE: u64 = 8 << 30;

/// The largest core metadata (PEP 658) taken, as clients have it.
const MAX_METADATA: u64 = 8 << 20;

/// The largest wheel that is read back from a storage elsewhere for its core metadata.
const MAX_READ_BACK: u64 = 256 << 20;

/// The files of one mirror.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) repository: &'a Repository,
    pub(super) upstream: &'a Upstream,
    pub(super) progress: Progress<'a>,
}

/// A file that is in place.
pub(super) struct Fetched {
    pub(super) signed: SignedFile,
    /// Path, length and sha256 of its core metadata.
    pub(super) metadata: Option<(String, u64, [u8; 32])>,
    pub(super) new: bool,
    pub(super) note: Option<String>,
}

impl Files<'_> {
    /// Puts one file in place, unless it is there already.
    pub(super) async fn file(
        self,
        project: &ProjectName,
        file: &PageFile,
        base: &url::Url,
        before: Option<&SignedPage>,
    ) -> Result<Fetched, Error> {
        let bad_url = || UpstreamError::Url { filename: file.filename.clone(), url: file.url.clone() };
        let url = base.join(&file.url).map_err(|_| bad_url())?;
        let url = Url::parse(url.as_str()).map_err(|_| bad_url())?;
        let known = before.and_then(|page| page.file(&file.filename));
        if let (Some(known), Some(found)) = (known, file.sha256)
            && known.sha256 != found
        {
            return Err(replaced(file, known, found));
        }
        // Without a hash on the page, a file under the same name is taken to be the same, as PyPI never
        // reuses one.
        let in_place = known.map(|known| self.is_in_place(known)).transpose()?;
        let mut fetched = match known.filter(|_| in_place == Some(true)) {
            Some(known) => Fetched { signed: known.clone(), metadata: None, new: false, note: None },
            None => self.fetch(file, &url, known).await?,
        };
        fetched.signed.upload_time.clone_from(&file.upload_time);
        fetched.signed.requires_python.clone_from(&file.requires_python);
        fetched.signed.yanked.clone_from(&file.yanked);
        self.core_metadata(project, file, &url, &mut fetched).await?;
        Ok(fetched)
    }

    pub(super) fn layout(self) -> Layout {
        self.repository.config.layout
    }

    /// Where bytes of a target are kept: under the hashed name, which clients ask for, or the plain one.
    fn stored(self, path: &str, sha256: [u8; 32]) -> Result<String, Error> {
        let path = target_path(path.to_owned())?;
        let hashes = Hashes::sha256_only(sha256);
        let hashed = (self.layout() == Layout::Pep458).then_some(&hashes);
        Ok(Repository::target(&path.remote(hashed)))
    }

    /// The length of what is kept of a target.
    fn stored_length(self, path: &str, sha256: [u8; 32]) -> Result<Option<u64>, Error> {
        let stored = self.stored(path, sha256)?;
        Ok(block_in_place(|| self.repository.storage().length(&stored))?)
    }

    fn is_in_place(self, file: &SignedFile) -> Result<bool, Error> {
        Ok(self.stored_length(&file.path, file.sha256)? == Some(file.size))
    }

    /// Whether everything that a page brings with it is in place, as the layout has it.
    pub(super) fn is_complete(self, page: &SignedPage) -> Result<bool, Error> {
        if page.layout() != self.layout() {
            return Ok(false);
        }
        self.are_in_place(page.files())
    }

    /// Whether files are in place, with their core metadata.
    pub(super) fn are_in_place(self, files: &[SignedFile]) -> Result<bool, Error> {
        for file in files {
            let metadata = match file.metadata_sha256 {
                Some(sha256) => self.stored_length(&format!("{}.metadata", file.path), sha256)?.is_some(),
                None => true,
            };
            if !metadata || !self.is_in_place(file)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The longest file name that the layout can store, in bytes: common file systems take 255, and the hash
    /// before the name takes 65.
    pub(super) fn longest_name(self) -> usize {
        match self.layout() {
            Layout::Pep458 => 255 - 65,
            _ => 255,
        }
    }

    async fn fetch(self, file: &PageFile, url: &Url, known: Option<&SignedFile>) -> Result<Fetched, Error> {
        let progress = self.progress;
        // An interrupted sync may have left the file in place, verified.
        if let Some(sha256) = file.sha256 {
            let path =
                upstream_path(url, &file.filename).unwrap_or_else(|| own_path(&sha256, &file.filename));
            if let Some(size) = self.stored_length(&path, sha256)?
                && self.is_intact(&path, sha256)?
            {
                self.link(&path, sha256)?;
                return Ok(Fetched {
                    signed: SignedFile::new(path, sha256, size),
                    metadata: None,
                    new: false,
                    note: None,
                });
            }
        }
        progress(Event::Fetching(file.filename.clone(), file.size));
        let mut body = self.upstream.fetch(url).await.map_err(UpstreamError::from)?;
        let mut placed = self.repository.incoming()?;
        let mut hasher = digest::Context::new(&digest::SHA256);
        while let Some(chunk) = body.next().await.map_err(UpstreamError::from)? {
            hasher.update(&chunk);
            placed.append(&chunk)?;
            let limit = file.size.unwrap_or(MAX_FILE);
            if placed.written() > limit {
                let kind = TransportErrorKind::TooLarge { limit, declared: None };
                return Err(UpstreamError::from(TransportError::new(url, kind)).into());
            }
            progress(Event::Bytes(u64::try_from(chunk.len()).unwrap_or_default()));
        }
        if let (None, Some(expected)) = (file.sha256, file.size)
            && expected != placed.written()
        {
            let kind = TransportErrorKind::Truncated { expected: Some(expected), received: placed.written() };
            return Err(UpstreamError::from(TransportError::new(url, kind)).into());
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hasher.finish().as_ref());
        if let Some(expected) = file.sha256.filter(|expected| *expected != sha256) {
            return Err(UpstreamError::Hash {
                filename: file.filename.clone(),
                expected: HEXLOWER.encode(&expected),
                found: HEXLOWER.encode(&sha256),
            }
            .into());
        }
        if let Some(known) = known.filter(|known| known.sha256 != sha256) {
            return Err(replaced(file, known, sha256));
        }
        let path = upstream_path(url, &file.filename).unwrap_or_else(|| own_path(&sha256, &file.filename));
        let size = placed.written();
        self.place(&placed, &path, sha256)?;
        progress(Event::Fetched(file.filename.clone()));
        Ok(Fetched { signed: SignedFile::new(path, sha256, size), metadata: None, new: true, note: None })
    }

    /// Whether what is kept of a target has the bytes that its hash says. What is elsewhere was put there whole, under
    /// the name of its hash, by whoever had verified it.
    fn is_intact(self, path: &str, sha256: [u8; 32]) -> Result<bool, Error> {
        let Some(root) = self.repository.storage().local() else { return Ok(true) };
        let local = durable::checked_join(root, &self.stored(path, sha256)?)?;
        Ok(block_in_place(|| hash_file(&local)).is_ok_and(|found| found == sha256))
    }

    /// Gives verified bytes their name, and in layout pep458 the plain name too.
    fn place(self, placed: &Placed, path: &str, sha256: [u8; 32]) -> Result<(), Error> {
        let stored = self.stored(path, sha256)?;
        let storage = self.repository.storage();
        block_in_place(|| {
            // Other bytes under this name are damage: these were verified.
            if storage.length(&stored)?.is_some() {
                storage.remove(std::slice::from_ref(&stored))?;
            }
            storage.place(&stored, placed.path())
        })?;
        self.link(path, sha256)
    }

    /// Stores a page, or another small file, under its hashed name.
    pub(super) fn store(self, stored: String, bytes: Vec<u8>) -> Result<(), Error> {
        let storage = self.repository.storage();
        let file = [NewFile { path: stored, bytes }];
        Ok(block_in_place(|| match storage.create(&file) {
            Err(StorageError::Exists { .. }) => {
                let damaged: Vec<_> = file.iter().map(|file| file.path.clone()).collect();
                storage.remove(&damaged)?;
                storage.create(&file)
            }
            done => done,
        })?)
    }

    /// Gives bytes that are in place the plain name too, in layout pep458 on a local disk.
    fn link(self, path: &str, sha256: [u8; 32]) -> Result<(), Error> {
        if self.layout() == Layout::Pep458
            && let Some(root) = self.repository.storage().local()
        {
            let local = durable::checked_join(root, &self.stored(path, sha256)?)?;
            let plain = durable::checked_join(root, &Repository::target(path))?;
            match std::fs::hard_link(local, &plain) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    // For people and plain web servers; clients of this repository never read it.
                    tracing::debug!(%error, file = %plain.display(), "no plain name");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Core metadata of a wheel (PEP 658): as the upstream has it, or out of the wheel.
    async fn core_metadata(
        self,
        project: &ProjectName,
        file: &PageFile,
        url: &Url,
        fetched: &mut Fetched,
    ) -> Result<(), Error> {
        let Ok(dist) = DistFile::parse(&file.filename, project) else { return Ok(()) };
        let (DistKind::Wheel, Some(version)) = (dist.kind(), dist.version()) else { return Ok(()) };
        let path = format!("{}.metadata", fetched.signed.path);
        if let Some(sha256) = fetched.signed.metadata_sha256
            && let Some(length) = self.stored_length(&path, sha256)?
        {
            fetched.metadata = Some((path, length, sha256));
            return Ok(());
        }
        let bytes = match self.upstream_metadata(file, url).await? {
            Some(bytes) => bytes,
            None => match block_in_place(|| self.wheel_metadata(&fetched.signed, project, version))? {
                Ok(bytes) => bytes,
                Err(error) => {
                    fetched.note = Some(format!("{}: no core metadata: {error}", file.filename));
                    return Ok(());
                }
            },
        };
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        let stored = self.stored(&path, sha256)?;
        // The hashed name of a very long file name does not fit into a file system.
        if stored.rsplit('/').next().is_some_and(|name| name.len() > 255) {
            fetched.note = Some(format!("{}: no core metadata: the name is too long", file.filename));
            return Ok(());
        }
        let length = u64::try_from(bytes.len()).unwrap_or_default();
        self.store(stored, bytes)?;
        self.link(&path, sha256)?;
        fetched.signed.metadata_sha256 = Some(sha256);
        fetched.metadata = Some((path, length, sha256));
        Ok(())
    }

    /// Core metadata out of a wheel that is in place.
    fn wheel_metadata(
        self,
        wheel: &SignedFile,
        project: &ProjectName,
        version: &Version,
    ) -> Result<Result<Vec<u8>, WheelError>, Error> {
        let stored = self.stored(&wheel.path, wheel.sha256)?;
        let storage = self.repository.storage();
        if let Some(root) = storage.local() {
            return Ok(open_wheel(&durable::checked_join(root, &stored)?, project, version));
        }
        let bytes = storage.read(&stored, MAX_READ_BACK)?.unwrap_or_default();
        Ok(read_metadata(Path::new(&stored), Cursor::new(bytes), project, version))
    }

    async fn upstream_metadata(self, file: &PageFile, url: &Url) -> Result<Option<Vec<u8>>, Error> {
        let promised = match file.core_metadata {
            CoreMetadata::Absent => return Ok(None),
            CoreMetadata::Sha256(sum) => Some(sum),
            _ => None,
        };
        let name = url.path().rsplit('/').next().unwrap_or_default();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let bad_url = |_| UpstreamError::Url { filename: file.filename.clone(), url: file.url.clone() };
        let url = url.join(&format!("./{name}.metadata{query}")).map_err(bad_url)?;
        let body = match self.upstream.fetch(&url).await {
            Ok(body) => body,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(UpstreamError::from(error).into()),
        };
        let bytes = body.collect(MAX_METADATA).await.map_err(UpstreamError::from)?;
        let found = digest::digest(&digest::SHA256, &bytes);
        match promised {
            Some(promised) if found.as_ref() != promised => Err(UpstreamError::Hash {
                filename: format!("{}.metadata", file.filename),
                expected: HEXLOWER.encode(&promised),
                found: HEXLOWER.encode(found.as_ref()),
            }
            .into()),
            _ => Ok(Some(bytes)),
        }
    }
}

fn replaced(file: &PageFile, known: &SignedFile, found: [u8; 32]) -> Error {
    let (mirrored, found) = (HEXLOWER.encode(&known.sha256), HEXLOWER.encode(&found));
    UpstreamError::Replaced { filename: file.filename.clone(), mirrored, found }.into()
}

/// The upstream's path below its file host, if it has PyPI's form, so that lock files map one to one.
fn upstream_path(url: &Url, filename: &str) -> Option<String> {
    let segments: Vec<&str> = url.path().split('/').collect();
    let [.., packages, first, second, rest, name] = segments.as_slice() else { return None };
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let keeps =
        *packages == "packages" && hex(first, 2) && hex(second, 2) && hex(rest, 60) && *name == filename;
    keeps.then(|| format!("packages/{first}/{second}/{rest}/{name}"))
}

/// The path of a file whose upstream path is of another form.
fn own_path(sha256: &[u8; 32], filename: &str) -> String {
    let hex = HEXLOWER.encode(sha256);
    let (first, rest) = hex.split_at(2);
    let (second, rest) = rest.split_at(2);
    format!("packages/{first}/{second}/{rest}/{filename}")
}

fn hash_file(path: &Path) -> std::io::Result<[u8; 32]> {
    use std::io::Read;
    let mut file = std::fs::File::open(path)?;
    let mut hasher = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some([]) | None => break,
            Some(bytes) => hasher.update(bytes),
        }
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(hasher.finish().as_ref());
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_path_is_kept_only_in_its_form() {
        let rest = "c".repeat(60);
        let url = |path: &str| Url::parse(&format!("https://files.example{path}")).unwrap();
        let good = format!("/packages/aa/bb/{rest}/six-1.whl");
        assert_eq!(upstream_path(&url(&good), "six-1.whl").as_deref(), good.strip_prefix('/'));
        for path in [
            format!("/packages/aa/bb/{rest}/other-1.whl"),
            format!("/packages/AA/bb/{rest}/six-1.whl"),
            format!("/packages/aa/bb/{}/six-1.whl", "c".repeat(59)),
            format!("/other/aa/bb/{rest}/six-1.whl"),
            "/six-1.whl".to_owned(),
        ] {
            assert_eq!(upstream_path(&url(&path), "six-1.whl"), None, "{path}");
        }
        let own = own_path(&[0xab; 32], "six-1.whl");
        assert_eq!(upstream_path(&url(&format!("/{own}")), "six-1.whl"), Some(own));
    }
}
