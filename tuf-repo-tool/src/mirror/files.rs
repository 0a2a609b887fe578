//! Files of a mirror: fetched, hashed, and put in place under their signed names. Nothing refers to them
//! before they are published, and nothing is ever under its final name before its hash is known.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest;
use tuf_client::Url;
use tuf_client::durable::{self, Access, Placed};
use tuf_client::simple::{
    CoreMetadata, DistFile, DistKind, Layout, PageFile, ProjectName, SignedFile, SignedPage,
};
use tuf_client::transport::{TransportError, TransportErrorKind};
use tuf_core::Hashes;

use super::sync::{Event, Progress, target_path};
use super::upstream::{Upstream, UpstreamError};
use super::wheel_metadata::read_metadata;
use crate::error::Error;
use crate::repository::Repository;

/// The largest file taken from an upstream that does not say its size: far above any on PyPI.
const MAX_FILE: u64 = 8 << 30;

/// The largest core metadata (PEP 658) taken, as clients have it.
const MAX_METADATA: u64 = 8 << 20;

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
        let mut fetched = match known.filter(|known| self.is_in_place(known)) {
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
    fn local(self, path: &str, sha256: [u8; 32]) -> Result<PathBuf, Error> {
        let path = target_path(path.to_owned())?;
        let hashes = Hashes::sha256_only(sha256);
        let hashed = (self.layout() == Layout::Pep458).then_some(&hashes);
        Ok(durable::checked_join(&self.repository.targets(), &path.remote(hashed))?)
    }

    fn is_in_place(self, file: &SignedFile) -> bool {
        let local = self.local(&file.path, file.sha256);
        local.is_ok_and(|local| std::fs::metadata(local).is_ok_and(|found| found.len() == file.size))
    }

    /// Whether everything that a page brings with it is in place, as the layout has it.
    pub(super) fn is_complete(self, page: &SignedPage) -> bool {
        page.layout() == self.layout()
            && page.files().iter().all(|file| {
                let metadata = file.metadata_sha256.is_none_or(|sha256| {
                    self.local(&format!("{}.metadata", file.path), sha256).is_ok_and(|local| local.is_file())
                });
                metadata && self.is_in_place(file)
            })
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
            let local = self.local(&path, sha256)?;
            if let Some(size) = std::fs::metadata(&local).ok().map(|found| found.len())
                && hash_file(&local).is_ok_and(|found| found == sha256)
            {
                self.link(&path, &local)?;
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
        let incoming = self.repository.targets().join("packages").join(&file.filename);
        let mut placed = Placed::create(&incoming, Access::Shared)?;
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
        self.place(placed, &path, sha256)?;
        progress(Event::Fetched(file.filename.clone()));
        Ok(Fetched { signed: SignedFile::new(path, sha256, size), metadata: None, new: true, note: None })
    }

    /// Gives verified bytes their name, and in layout pep458 the plain name too.
    fn place(self, placed: Placed, path: &str, sha256: [u8; 32]) -> Result<(), Error> {
        let local = self.local(path, sha256)?;
        tokio::task::block_in_place(|| placed.finish_as(&local))?;
        self.link(path, &local)
    }

    /// Gives bytes that are in place the plain name too, in layout pep458.
    fn link(self, path: &str, local: &Path) -> Result<(), Error> {
        if self.layout() == Layout::Pep458 {
            let plain = durable::checked_join(&self.repository.targets(), path)?;
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
        if let Some(sha256) = fetched.signed.metadata_sha256 {
            let local = self.local(&path, sha256)?;
            if let Ok(found) = std::fs::metadata(&local) {
                fetched.metadata = Some((path, found.len(), sha256));
                return Ok(());
            }
        }
        let bytes = match self.upstream_metadata(file, url).await? {
            Some(bytes) => bytes,
            None => {
                let wheel = self.local(&fetched.signed.path, fetched.signed.sha256)?;
                match tokio::task::block_in_place(|| read_metadata(&wheel, project, version)) {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        fetched.note = Some(format!("{}: no core metadata: {error}", file.filename));
                        return Ok(());
                    }
                }
            }
        };
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        let local = self.local(&path, sha256)?;
        // The hashed name of a very long file name does not fit into a file system.
        if local.file_name().is_some_and(|name| name.len() > 255) {
            fetched.note = Some(format!("{}: no core metadata: the name is too long", file.filename));
            return Ok(());
        }
        let mut placed = Placed::create(&local, Access::Shared)?;
        placed.append(&bytes)?;
        self.place(placed, &path, sha256)?;
        fetched.signed.metadata_sha256 = Some(sha256);
        fetched.metadata = Some((path, u64::try_from(bytes.len()).unwrap_or_default(), sha256));
        Ok(())
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
