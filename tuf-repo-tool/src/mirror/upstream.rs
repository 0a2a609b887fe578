//! The upstream index: its pages, as JSON where it offers that, else HTML.

use std::sync::Arc;

use futures_util::StreamExt;
use tuf_client::simple::{Page, PageError, ProjectName};
use tuf_client::transport::{
    Body, HttpOptions, HttpTransport, Pace, SetupError, Transport, TransportError, TransportErrorKind,
    Waiting, redact,
};
use tuf_client::{Url, UrlError};

/// What we read, in the order of preference.
const ACCEPT: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
/// The largest page read: PyPI's largest have some 10 MB.
const MAX_PAGE: u64 = 64 << 20;

/// An index to mirror from.
#[derive(Clone, Debug)]
pub struct Upstream {
    base: Url,
    http: Arc<HttpTransport>,
}

/// What the upstream answered for a project.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The page is the one we have seen.
    Unchanged,
    /// The page.
    Page {
        page: Box<Page>,
        /// What its relative URLs are relative to, as browsers and installers resolve them.
        base: url::Url,
        etag: Option<String>,
    },
}

/// Why a project could not be mirrored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// A file's hash or length is not what the upstream's page says.
    #[error("{filename}: the upstream's page promises sha256 {expected}, but what came has {found}")]
    Hash {
        /// The file.
        filename: String,
        /// The hash on the page.
        expected: String,
        /// The hash of what came.
        found: String,
    },
    /// A file that was mirrored has other bytes upstream now, under the same name.
    #[error(
        "{filename}: was mirrored with sha256 {mirrored}, and the upstream now has {found} under the same name"
    )]
    Replaced {
        /// The file.
        filename: String,
        /// What was mirrored.
        mirrored: String,
        /// What the upstream has.
        found: String,
    },
    /// The page cannot be used.
    #[error("the page of {project}: {source}")]
    Page {
        /// The project.
        project: ProjectName,
        /// What is wrong.
        source: PageError,
    },
    /// The HTTP client could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A page or file could not be fetched.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A file was in place and is not any more.
    #[error(
        "files of {project} were removed while its page was staged: another machine took them for garbage; sync again"
    )]
    Swept {
        /// The project.
        project: ProjectName,
    },
    /// The upstream does not have this project.
    #[error("the upstream {upstream} has no project {project}")]
    UnknownProject {
        /// The project.
        project: ProjectName,
        /// The index that was asked.
        upstream: String,
    },
    /// The upstream's own URL cannot be used.
    #[error("the URL of the upstream cannot be used: {0}")]
    Base(#[from] UrlError),
    /// A URL on the page leads nowhere.
    #[error("{filename}: its URL {url:?} cannot be used")]
    Url {
        /// The file.
        filename: String,
        /// The URL as the page has it.
        url: String,
    },
}

impl Upstream {
    /// An index by the URL of its project list, such as `https://index.example/simple/`.
    ///
    /// # Errors
    /// [`UpstreamError::Base`], [`UpstreamError::Setup`].
    pub fn new(mut base: url::Url) -> Result<Self, UpstreamError> {
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let base = Url::parse(base.as_str())?;
        let mut options = HttpOptions::default();
        // There is only one try.
        options.pace = Pace::default();
        options.user_agent = Some(concat!("tuf-repo/", env!("CARGO_PKG_VERSION")).to_owned());
        Ok(Self { base, http: Arc::new(HttpTransport::new(options)?) })
    }

    /// The index, without credentials.
    #[must_use]
    pub fn name(&self) -> String {
        redact(&self.base)
    }

    pub(crate) async fn page(
        &self,
        project: &ProjectName,
        etag: Option<&str>,
    ) -> Result<Answer, UpstreamError> {
        let url = self
            .base
            .join(&format!("{project}/"))
            .map_err(|_| UpstreamError::Url { filename: project.to_string(), url: self.name() })?;
        let mut request = self.http.client().get(url.as_str()).header("accept", ACCEPT);
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let failed = |error: reqwest::Error| {
            let kind = if error.is_connect() { TransportErrorKind::Connect } else { TransportErrorKind::Io };
            TransportError::new(&url, kind).with_source(error)
        };
        let limit = Pace::default().headers;
        let late =
            |_| TransportError::new(&url, TransportErrorKind::Timeout { waiting: Waiting::Headers, limit });
        let response = tokio::time::timeout(limit, request.send()).await.map_err(late)?.map_err(failed)?;
        match response.status().as_u16() {
            200 => {}
            304 => return Ok(Answer::Unchanged),
            404 | 410 => {
                return Err(UpstreamError::UnknownProject {
                    project: project.clone(),
                    upstream: self.name(),
                });
            }
            status => return Err(TransportError::new(&url, TransportErrorKind::Status(status)).into()),
        }
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (content_type, etag) = (header("content-type").unwrap_or_default(), header("etag"));
        let base = response.url().clone();
        let length = response.content_length();
        let body_url = url.clone();
        let chunks = response.bytes_stream().map(move |chunk| {
            chunk.map_err(|error| TransportError::new(&body_url, TransportErrorKind::Io).with_source(error))
        });
        let body = Pace::default()
            .apply(&url, std::future::ready(Ok(Body::from_stream(&url, length, chunks))))
            .await?
            .collect(MAX_PAGE)
            .await?;
        let page = Page::parse(&content_type, &body, project)
            .map_err(|source| UpstreamError::Page { project: project.clone(), source })?;
        let base = page.base.as_deref().and_then(|relative| base.join(relative).ok()).unwrap_or(base);
        Ok(Answer::Page { page: Box::new(page), base, etag })
    }

    pub(crate) async fn fetch(&self, url: &Url) -> Result<Body, TransportError> {
        self.http.fetch(url).await
    }
}
