//! Signed pages, written: as the bytes that are signed, and as JSON and HTML for installers.
//!
//! Core metadata is offered with its hash or not at all, never as a bare `true`: installers would then take any
//! bytes for it. The field has its older name beside it, for installers from before PEP 714. Keys are sorted because
//! the fields below are.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

use super::page::Yanked;
use super::sha256::Sha256;
use super::signed::{Layout, SignedFile, SignedPage};

/// The Simple API version of the pages written here (PEP 629; 1.4 is PEP 792).
pub const API_VERSION: &str = "1.4";

impl SignedPage {
    /// The bytes to sign: compact JSON, keys and files sorted, the same for equal pages.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_json(Some(self.layout()), |file| JsonFile::new(file, file.url(), None))
    }

    /// The page in JSON (PEP 691) for an installer, with the address of each file by `file_url`.
    pub fn render_json(&self, file_url: impl Fn(&SignedFile) -> String) -> Vec<u8> {
        self.to_json(None, |file| JsonFile::new(file, file_url(file), Some(Metadata::of(file))))
    }

    /// The page in HTML (PEP 503) for an installer, with the address of each file by `file_url`.
    pub fn render_html(&self, file_url: impl Fn(&SignedFile) -> String) -> Vec<u8> {
        let mut out = String::new();
        match self.write_html(&mut out, file_url) {
            Ok(()) => out.into_bytes(),
            Err(fmt::Error) => unreachable!("writing to a string does not fail"),
        }
    }

    fn to_json<'a>(
        &'a self,
        layout: Option<Layout>,
        file: impl Fn(&'a SignedFile) -> JsonFile<'a>,
    ) -> Vec<u8> {
        let page = JsonPage {
            files: self.files().iter().map(file).collect(),
            meta: Meta { layout: layout.map(Layout::as_str), api_version: API_VERSION },
            name: self.name().as_str(),
            project_status: self.status().map(|status| Status { reason: self.status_reason(), status }),
            versions: self.versions(),
        };
        serde_json::to_vec(&page).expect("texts, numbers and lists always serialise")
    }

    fn write_html(&self, out: &mut String, file_url: impl Fn(&SignedFile) -> String) -> fmt::Result {
        writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
        writeln!(out, "<meta name=\"pypi:repository-version\" content=\"{API_VERSION}\">")?;
        if let Some(status) = self.status() {
            writeln!(out, "<meta name=\"pypi:project-status\" content=\"{}\">", Escaped(status))?;
        }
        if let Some(reason) = self.status_reason() {
            writeln!(out, "<meta name=\"pypi:project-status-reason\" content=\"{}\">", Escaped(reason))?;
        }
        let name = Escaped(self.name().as_str());
        writeln!(out, "<title>Links for {name}</title>\n</head>\n<body>\n<h1>Links for {name}</h1>")?;
        for file in self.files() {
            write!(out, "<a href=\"{}#sha256={}\"", Escaped(&file_url(file)), Sha256(file.sha256))?;
            if let Some(specifier) = &file.requires_python {
                write!(out, " data-requires-python=\"{}\"", Escaped(specifier))?;
            }
            if let Some(digest) = file.metadata_sha256.map(Sha256) {
                write!(
                    out,
                    " data-core-metadata=\"sha256={digest}\" data-dist-info-metadata=\"sha256={digest}\""
                )?;
            }
            if let Yanked::Yes { reason } = &file.yanked {
                write!(out, " data-yanked=\"{}\"", Escaped(reason))?;
            }
            writeln!(out, ">{}</a><br>", Escaped(&file.filename))?;
        }
        writeln!(out, "</body>\n</html>")
    }
}

/// A text with nothing in it that HTML takes for markup, inside of quotes or out.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#x27;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct JsonPage<'a> {
    files: Vec<JsonFile<'a>>,
    meta: Meta,
    name: &'a str,
    #[serde(rename = "project-status", skip_serializing_if = "Option::is_none")]
    project_status: Option<Status<'a>>,
    versions: &'a [String],
}

#[derive(Serialize)]
struct JsonFile<'a> {
    #[serde(rename = "core-metadata")]
    core_metadata: Metadata,
    #[serde(rename = "data-dist-info-metadata", skip_serializing_if = "Option::is_none")]
    legacy_metadata: Option<Metadata>,
    filename: &'a str,
    hashes: Hashes,
    #[serde(rename = "requires-python", skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    size: u64,
    #[serde(rename = "upload-time", skip_serializing_if = "Option::is_none")]
    upload_time: Option<&'a str>,
    url: String,
    yanked: JsonYanked<'a>,
}

impl<'a> JsonFile<'a> {
    fn new(file: &'a SignedFile, url: String, legacy_metadata: Option<Metadata>) -> Self {
        Self {
            core_metadata: Metadata::of(file),
            legacy_metadata,
            filename: &file.filename,
            hashes: Hashes::new(file.sha256),
            requires_python: file.requires_python.as_deref().filter(|specifier| !specifier.is_empty()),
            size: file.size,
            upload_time: file.upload_time.as_deref(),
            url,
            yanked: JsonYanked(&file.yanked),
        }
    }
}

#[derive(Serialize)]
struct Meta {
    #[serde(rename = "_layout", skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    #[serde(rename = "api-version")]
    api_version: &'static str,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    status: &'a str,
}

#[derive(Serialize)]
struct Hashes {
    sha256: String,
}

impl Hashes {
    fn new(digest: [u8; 32]) -> Self {
        Self { sha256: Sha256(digest).to_string() }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Metadata {
    Absent(bool),
    Hashed(Hashes),
}

impl Metadata {
    fn of(file: &SignedFile) -> Self {
        file.metadata_sha256.map_or(Self::Absent(false), |digest| Self::Hashed(Hashes::new(digest)))
    }
}

struct JsonYanked<'a>(&'a Yanked);

impl Serialize for JsonYanked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Yanked::No => serializer.serialize_bool(false),
            Yanked::Yes { reason } if reason.is_empty() => serializer.serialize_bool(true),
            Yanked::Yes { reason } => serializer.serialize_str(reason),
        }
    }
}
