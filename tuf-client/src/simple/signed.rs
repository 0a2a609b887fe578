//! A project page as a mirror signs it.
//!
//! It has the shape of a PEP 691 page, so that any reader of such pages can read it, and it says more: length and
//! SHA-256 of every file, where each file is below the mirror's `targets/`, and by which layout.

use std::collections::BTreeSet;

use pep440_rs::Version;

use super::error::PageError;
use super::filename::{DistFile, is_plain};
use super::json;
use super::name::ProjectName;
use super::page::{CoreMetadata, MAX_FILES, MAX_TEXT_BYTES, Page, PageFile, QUARANTINED, Yanked, at_most};
use super::sha256::Sha256;

/// From `simple/<project>/` up to where `packages/` is.
const UP: &str = "../../";

/// How the mirror keeps its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Only pages are targets; files have their plain names and are covered by the page.
    Index,
    /// Pages, files and `.metadata` are all targets, with hash-prefixed names (PEP 458).
    Pep458,
}

impl Layout {
    /// The layout's name in a page: `index` or `pep458`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Pep458 => "pep458",
        }
    }
}

/// One file of a [`SignedPage`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedFile {
    /// The file's name: the last part of `path`.
    pub filename: String,
    /// The target path: `packages/…/<filename>`.
    pub path: String,
    /// Its SHA-256 digest, measured.
    pub sha256: [u8; 32],
    /// Its length in bytes, measured.
    pub size: u64,
    /// SHA-256 digest of `<path>.metadata`, if the mirror has that.
    pub metadata_sha256: Option<[u8; 32]>,
    /// When it was uploaded, as upstream says.
    pub upload_time: Option<String>,
    /// Which Python versions it is for, as upstream says.
    pub requires_python: Option<String>,
    /// Whether it was yanked.
    pub yanked: Yanked,
}

impl SignedFile {
    /// The file at a target path, which ends with the file's name.
    #[must_use]
    pub fn new(path: impl Into<String>, sha256: [u8; 32], size: u64) -> Self {
        let path = path.into();
        Self {
            filename: path.rsplit('/').next().unwrap_or_default().to_owned(),
            path,
            sha256,
            size,
            metadata_sha256: None,
            upload_time: None,
            requires_python: None,
            yanked: Yanked::No,
        }
    }

    /// The address in the page: relative to `simple/<project>/`.
    pub(super) fn url(&self) -> String {
        format!("{UP}{}", self.path)
    }

    /// Takes the file of a lenient page, if nothing is missing.
    fn from_page(file: PageFile) -> Result<Self, PageError> {
        let field = |name: &str| PageError::Missing { field: format!("{}: {name}", file.filename) };
        let sha256 = file.sha256.ok_or_else(|| field("hashes.sha256"))?;
        let size = file.size.ok_or_else(|| field("size"))?;
        let metadata_sha256 = match file.core_metadata {
            CoreMetadata::Absent => None,
            CoreMetadata::Sha256(digest) => Some(digest),
            CoreMetadata::Unhashed => {
                return Err(PageError::CoreMetadata { file_name: file.filename });
            }
        };
        let Some(path) = file.url.strip_prefix(UP) else {
            return Err(PageError::FilePath { file_name: file.filename, found: file.url });
        };
        Ok(Self {
            path: path.to_owned(),
            sha256,
            size,
            metadata_sha256,
            filename: file.filename,
            upload_time: file.upload_time,
            requires_python: file.requires_python,
            yanked: file.yanked,
        })
    }

    /// `packages/`, clean segments, and the file's name last: what may be joined to any base, URL or directory.
    fn check(&self, project: &ProjectName) -> Result<DistFile, PageError> {
        let dist = DistFile::parse(&self.filename, project)?;
        let clean = |segment: &str| {
            !segment.is_empty()
                && segment.len() <= 255
                && !matches!(segment, "." | "..")
                && segment.chars().all(is_plain)
        };
        let is_sound = self.path.len() <= MAX_TEXT_BYTES - UP.len()
            && self.path.starts_with("packages/")
            && self.path.split('/').all(clean)
            && self.path.rsplit('/').next() == Some(&self.filename);
        if !is_sound {
            return Err(PageError::FilePath { file_name: self.filename.clone(), found: self.url() });
        }
        let reason = match &self.yanked {
            Yanked::No => None,
            Yanked::Yes { reason } => Some(reason),
        };
        for text in [self.upload_time.as_ref(), self.requires_python.as_ref(), reason].into_iter().flatten() {
            at_most(format_args!("{}: bytes of a text", self.filename), text.len(), MAX_TEXT_BYTES)?;
        }
        Ok(dist)
    }
}

/// One project's page as the mirror signs it: every file has a hash, a length and a safe path, and is the project's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPage {
    name: ProjectName,
    layout: Layout,
    status: Option<String>,
    status_reason: Option<String>,
    files: Vec<SignedFile>,
    versions: Vec<String>,
}

impl SignedPage {
    /// Makes a page; files are sorted by name.
    ///
    /// # Errors
    /// [`PageError`] for whatever [`SignedPage::parse`] would refuse.
    pub fn new(
        name: ProjectName,
        layout: Layout,
        status: Option<String>,
        status_reason: Option<String>,
        mut files: Vec<SignedFile>,
    ) -> Result<Self, PageError> {
        at_most("files", files.len(), MAX_FILES)?;
        for text in [&status, &status_reason].into_iter().flatten() {
            at_most("bytes of the project's status", text.len(), MAX_TEXT_BYTES)?;
        }
        if status.as_deref() == Some(QUARANTINED) && !files.is_empty() {
            return Err(PageError::Quarantined { found: files.len() });
        }
        for file in &mut files {
            // An empty specifier says nothing, and pages do not distinguish the two.
            file.requires_python.take_if(|specifier| specifier.is_empty());
        }
        files.sort_by(|left, right| left.filename.cmp(&right.filename));
        let mut versions: BTreeSet<Version> = BTreeSet::new();
        let mut previous: Option<&str> = None;
        for file in &files {
            if previous == Some(&file.filename) {
                return Err(PageError::DuplicateFile { file_name: file.filename.clone() });
            }
            previous = Some(&file.filename);
            versions.extend(file.check(&name)?.version().cloned());
        }
        let versions = versions.iter().map(ToString::to_string).collect();
        // A reason without a status has no place in the page.
        let status_reason = status_reason.filter(|_| status.is_some());
        Ok(Self { name, layout, status, status_reason, files, versions })
    }

    /// Reads a signed page of `project`.
    ///
    /// The bytes need not be the ones that [`SignedPage::to_bytes`] would write; unknown fields are ignored.
    ///
    /// # Errors
    /// [`PageError`], naming what was expected and found, for anything that is not strictly such a page.
    pub fn parse(bytes: &[u8], project: &ProjectName) -> Result<Self, PageError> {
        let json::Document { page, layout } = json::parse(bytes, project)?;
        let layout = match layout.as_deref() {
            Some("index") => Layout::Index,
            Some("pep458") => Layout::Pep458,
            Some(other) => {
                return Err(PageError::Layout { found: other.chars().take(40).collect() });
            }
            None => {
                return Err(PageError::Missing { field: "meta._layout".to_owned() });
            }
        };
        let Page { name, status, status_reason, files, .. } = page;
        let files = files.into_iter().map(SignedFile::from_page).collect::<Result<_, _>>()?;
        Self::new(name, layout, status, status_reason, files)
    }

    /// Whose page it is.
    #[must_use]
    pub fn name(&self) -> &ProjectName {
        &self.name
    }

    /// How the mirror keeps the files.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The project's status marker (PEP 792), if it has one.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// Why the project has that status.
    #[must_use]
    pub fn status_reason(&self) -> Option<&str> {
        self.status_reason.as_deref()
    }

    /// The files, sorted by name.
    #[must_use]
    pub fn files(&self) -> &[SignedFile] {
        &self.files
    }

    /// The file of that name.
    #[must_use]
    pub fn file(&self, file_name: &str) -> Option<&SignedFile> {
        let found = self.files.binary_search_by(|file| file.filename.as_str().cmp(file_name)).ok()?;
        self.files.get(found)
    }

    /// The versions of the files, oldest first, normalised (PEP 440).
    #[must_use]
    pub fn versions(&self) -> &[String] {
        &self.versions
    }

    /// The target path of a project's page.
    #[must_use]
    pub fn target_path(project: &ProjectName) -> String {
        format!("simple/{project}/index.json")
    }

    /// What to ask the mirror for, below `targets/`, to get a file of this page.
    #[must_use]
    pub fn remote_path(&self, file: &SignedFile) -> String {
        self.stored_as(&file.path, file.sha256)
    }

    /// What to ask the mirror for, below `targets/`, to get a file's core metadata; none if the mirror has none.
    #[must_use]
    pub fn remote_metadata_path(&self, file: &SignedFile) -> Option<String> {
        file.metadata_sha256.map(|digest| self.stored_as(&format!("{}.metadata", file.path), digest))
    }

    fn stored_as(&self, path: &str, digest: [u8; 32]) -> String {
        match (self.layout, path.rsplit_once('/')) {
            (Layout::Pep458, Some((folder, name))) => format!("{folder}/{}.{name}", Sha256(digest)),
            _ => path.to_owned(),
        }
    }
}
