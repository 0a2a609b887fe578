//! A project page as an upstream index gave it.

use std::fmt;

use super::error::PageError;
use super::name::ProjectName;
use super::{html, json};

/// The longest page taken, in bytes. PyPI's largest pages are below 20 MiB.
pub const MAX_PAGE_BYTES: usize = 64 << 20;

/// The most files (and the most versions) of one page. PyPI's largest projects have about 20,000 files.
pub const MAX_FILES: usize = 100_000;

/// The longest text of one field, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// The status of a project that must not be installed (PEP 792).
pub const QUARANTINED: &str = "quarantined";

/// One project's page as some index gave it: lenient, any field that the API calls optional may be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Whose page it is.
    pub name: ProjectName,
    /// The address that relative URLs of an HTML page refer to, if it names one (`<base href>`), itself perhaps relative.
    pub base: Option<String>,
    /// Status marker of PEP 792: `active`, `archived`, `quarantined`, `deprecated`; unknown ones are kept.
    pub status: Option<String>,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// All versions (PEP 700), in the page's order and spelling; empty where the index does not tell.
    pub versions: Vec<String>,
    /// The files in the page's order.
    pub files: Vec<PageFile>,
    /// PyPI's serial number of the last change.
    pub last_serial: Option<u64>,
}

impl Page {
    /// Reads a page, as JSON or HTML by its content type.
    ///
    /// # Errors
    /// [`PageError`] for another content type or API generation, another project's page, too much of anything,
    /// and JSON with repeated keys or wrong types. A hash that is no SHA-256 digest is an error, not an absent hash.
    pub fn parse(content_type: &str, body: &[u8], project: &ProjectName) -> Result<Self, PageError> {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        at_most("the page's bytes", body.len(), MAX_PAGE_BYTES)?;
        match media.as_str() {
            "application/vnd.pypi.simple.v1+json" | "application/json" => {
                Ok(json::parse(body, project)?.page)
            }
            "application/vnd.pypi.simple.v1+html" | "text/html" => html::parse(body, project),
            _ => Err(PageError::ContentType { found: media }),
        }
    }

    pub(super) fn empty(name: ProjectName) -> Self {
        Self {
            name,
            base: None,
            status: None,
            status_reason: None,
            versions: Vec::new(),
            files: Vec::new(),
            last_serial: None,
        }
    }
}

/// One file of a [`Page`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageFile {
    /// The file's name, unchecked: see [`DistFile::parse`](super::DistFile::parse).
    pub filename: String,
    /// Where it is, as in the page (perhaps relative), without the fragment of an HTML page.
    pub url: String,
    /// Its SHA-256 digest.
    pub sha256: Option<[u8; 32]>,
    /// Its length in bytes (PEP 700).
    pub size: Option<u64>,
    /// When it was uploaded (PEP 700), as in the page.
    pub upload_time: Option<String>,
    /// Which Python versions it is for, a version specifier, unchecked.
    pub requires_python: Option<String>,
    /// Whether its metadata can be fetched alone (PEP 658, PEP 714).
    pub core_metadata: CoreMetadata,
    /// Whether it was yanked (PEP 592).
    pub yanked: Yanked,
}

impl PageFile {
    /// A file of which no more is known.
    #[must_use]
    pub fn new(filename: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            filename: filename.into(),
            url: url.into(),
            sha256: None,
            size: None,
            upload_time: None,
            requires_python: None,
            core_metadata: CoreMetadata::Absent,
            yanked: Yanked::No,
        }
    }
}

/// Whether a distribution's core metadata can be fetched without the distribution (PEP 658, PEP 714).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoreMetadata {
    /// It cannot.
    #[default]
    Absent,
    /// It can, and this is its digest.
    Sha256([u8; 32]),
    /// It can, but the page has no SHA-256 digest of it.
    Unhashed,
}

/// Whether a file was yanked: kept for those who pinned it, not for anyone else (PEP 592).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Yanked {
    /// It was not.
    #[default]
    No,
    /// It was.
    #[non_exhaustive]
    Yes {
        /// Why; may be empty.
        reason: String,
    },
}

impl Yanked {
    /// Yanked for a reason, which may be empty.
    #[must_use]
    pub fn yes(reason: impl Into<String>) -> Self {
        Self::Yes { reason: reason.into() }
    }

    /// Whether the file was yanked.
    #[must_use]
    pub fn is_yanked(&self) -> bool {
        matches!(self, Self::Yes { .. })
    }
}

/// Refuses more of `what` than `limit`.
pub(super) fn at_most(what: impl fmt::Display, found: usize, limit: usize) -> Result<(), PageError> {
    if found > limit {
        return Err(PageError::TooMuch { found, limit, what: what.to_string() });
    }
    Ok(())
}

/// Refuses another major API version than 1 (PEP 629).
pub(super) fn check_api_version(found: &str) -> Result<(), PageError> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match found.trim().split_once('.') {
        Some(("1", minor)) if is_number(minor) => Ok(()),
        _ => Err(PageError::ApiVersion { found: found.chars().take(40).collect() }),
    }
}
