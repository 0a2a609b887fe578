//! Bringing the mirror up to date with its upstream: pages are read, files are chosen, fetched, hashed and
//! put in place, and what is to be signed is staged. Nothing a client looks at changes here.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::block_in_place;
use tuf_client::simple::{DistFile, Layout, ProjectName, SignedPage};
use tuf_core::{Checker, Hashes, TargetFile, TargetPath};

use super::files::{Fetched, Files};
use super::select::latest;
use super::upstream::{Answer, Upstream, UpstreamError};
use crate::config::ProjectConfig;
use crate::error::Error;
use crate::publish::Changes;
use crate::repository::{Lock, Published, Repository};
use crate::state::{SeenPage, State};

/// Projects worked on at the same time.
const PROJECTS: usize = 4;
/// The largest page that is read back: PyPI's largest has some 20 MB.
pub(crate) const MAX_PAGE: u64 = 256 << 20;
/// Files of one project fetched at the same time.
const FILES: usize = 4;

/// What a sync tells while it runs, for progress bars.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A file will be fetched; its length, where the upstream says it.
    Fetching(String, Option<u64>),
    /// So many bytes came.
    Bytes(u64),
    /// A file is in place.
    Fetched(String),
}

/// Is told what happens.
pub type Progress<'a> = &'a (dyn Fn(Event) + Sync);

/// What a sync did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Every project, by name.
    pub projects: BTreeMap<ProjectName, Result<ProjectReport, Error>>,
}

impl Report {
    /// The number of files fetched.
    #[must_use]
    pub fn files(&self) -> usize {
        self.reports().map(|report| report.fetched).sum()
    }

    /// The number of bytes fetched.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.reports().map(|report| report.bytes).sum()
    }

    fn reports(&self) -> impl Iterator<Item = &ProjectReport> {
        self.projects.values().filter_map(|report| report.as_ref().ok())
    }
}

/// What a sync did for one project.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ProjectReport {
    /// Files that were fetched.
    pub fetched: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files on the page now.
    pub files: usize,
    /// What an operator should know: files passed over and why.
    pub notes: Vec<String>,
}

/// Mirrors the projects of `tuf-repo.toml` and stages what changed. A project that fails is reported and
/// keeps its published page; the others go on. Projects that are no longer listed are staged for removal.
///
/// # Errors
/// What keeps the whole sync from working: the state database, damaged published metadata.
pub async fn sync(
    repository: &Repository,
    _lock: &Lock,
    state: &State,
    upstream: &Upstream,
    progress: Progress<'_>,
) -> Result<Report, Error> {
    let published = repository.published()?;
    let files = Files { repository, upstream, progress };
    let staged = state.staged().await?;
    let worker = Worker { repository, state, upstream, files, published: published.as_ref(), staged };
    let config = &repository.config.mirror.projects;
    let projects = config.iter().filter_map(|(name, config)| Some((ProjectName::new(name).ok()?, config)));
    let mut report = Report::default();
    let mut results = stream::iter(projects)
        .map(|(project, config)| {
            let worker = &worker;
            async move {
                let result = worker.project(&project, config).await;
                (project, result)
            }
        })
        .buffer_unordered(PROJECTS);
    while let Some((project, result)) = results.next().await {
        report.projects.insert(project, result);
    }
    drop(results);
    worker.remove_unlisted().await?;
    Ok(report)
}

struct Worker<'a> {
    repository: &'a Repository,
    state: &'a State,
    upstream: &'a Upstream,
    files: Files<'a>,
    published: Option<&'a Published>,
    /// What earlier syncs staged and nobody published.
    staged: Changes,
}

impl Worker<'_> {
    async fn project(&self, project: &ProjectName, config: &ProjectConfig) -> Result<ProjectReport, Error> {
        let selection_name =
            config.latest.map_or_else(|| "all".to_owned(), |latest| format!("latest {latest}"));
        let upstream = self.upstream;
        let before = self.signed_page(project)?;
        let seen = self.state.seen_page(project.as_str()).await?;
        let complete = before.as_ref().map(|page| self.files.is_complete(page)).transpose()?;
        let etag = seen
            .filter(|seen| {
                complete == Some(true)
                    && !self.is_staged(project)
                    && seen.upstream == upstream.name()
                    && seen.selection == selection_name
            })
            .map(|seen| seen.etag);
        let (page, base, etag) = match upstream.page(project, etag.as_deref()).await? {
            Answer::Page { page, base, etag } => (page, base, etag),
            Answer::Unchanged => {
                let files = before.map_or(0, |page| page.files().len());
                return Ok(ProjectReport { files, ..ProjectReport::default() });
            }
        };

        let mut report = ProjectReport::default();
        let quarantined = page.status.as_deref() == Some(tuf_client::simple::QUARANTINED);
        let selection = latest(project, &page.files, config.latest);
        report.notes.extend(
            selection.unreadable.iter().map(|(file, why)| format!("{}: passed over: {why}", file.filename)),
        );
        // PEP 792: a mirror must not offer the files of a quarantined project.
        let kept = if quarantined { Vec::new() } else { selection.kept };
        let (kept, too_long): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|file| file.filename.len() <= self.files.longest_name());
        report.notes.extend(
            too_long.iter().map(|file| {
                format!("{}: passed over: too long a name with its hash before it", file.filename)
            }),
        );
        let fetched: Vec<Fetched> = stream::iter(kept)
            .map(|file| self.files.file(project, file, &base, before.as_ref()))
            .buffered(FILES)
            .try_collect()
            .await?;
        for file in &fetched {
            report.fetched += usize::from(file.new);
            report.bytes += if file.new { file.signed.size } else { 0 };
            report.notes.extend(file.note.clone());
        }
        report.files = fetched.len();
        let placed: Vec<_> = fetched.iter().map(|file| file.signed.clone()).collect();
        let changes = self.changes(project, page.status, page.status_reason, before.as_ref(), fetched)?;
        self.unstage(project).await?;
        self.state.stage(&changes).await?;
        // On this machine nobody removes files meanwhile. Another one may have taken what was there for garbage until it was
        // staged; publishing looks for targets, and files that only a page names are none.
        if self.repository.storage().local().is_none() && !self.files.are_in_place(&placed)? {
            let paths: Vec<_> = changes.targets().map(|(path, _)| path).collect();
            self.state.unstage(&paths).await?;
            return Err(UpstreamError::Swept { project: project.clone() }.into());
        }
        let seen = etag.map(|etag| SeenPage::new(upstream.name(), selection_name, etag));
        self.state.set_seen_page(project.as_str(), seen.as_ref()).await?;
        Ok(report)
    }

    /// The page of a project as it is published.
    fn signed_page(&self, project: &ProjectName) -> Result<Option<SignedPage>, Error> {
        let Some(published) = self.published else { return Ok(None) };
        let path = target_path(SignedPage::target_path(project))?;
        let Some(file) = published.find(&path)? else { return Ok(None) };
        let stored = Repository::target(&path.remote(Some(&file.hashes)));
        let missing = || Error::Missing { storage: self.repository.storage().url(), path: stored.clone() };
        let bytes =
            block_in_place(|| self.repository.storage().read(&stored, MAX_PAGE))?.ok_or_else(missing)?;
        // What is read here is signed again.
        Checker::check(&file.hashes, Some(file.length), &bytes).map_err(Error::Published)?;
        let refused = |source| UpstreamError::Page { project: project.clone(), source };
        Ok(Some(SignedPage::parse(&bytes, project).map_err(refused)?))
    }

    /// Whether an earlier sync staged something for a project: then its page changed too.
    fn is_staged(&self, project: &ProjectName) -> bool {
        TargetPath::new(SignedPage::target_path(project)).is_ok_and(|page| self.staged.contains(&page))
    }

    /// Forgets what an earlier sync staged for a project, and the page that it was staged from.
    async fn unstage(&self, project: &ProjectName) -> Result<(), Error> {
        if !self.is_staged(project) {
            return Ok(());
        }
        let staged = self.staged.iter().map(|(path, _)| path);
        let stale: Vec<_> = staged.filter(|path| is_of(path.as_str(), project)).collect();
        self.state.set_seen_page(project.as_str(), None).await?;
        Ok(self.state.unstage(&stale).await?)
    }

    /// What is to be signed for a project, compared with what is.
    fn changes(
        &self,
        project: &ProjectName,
        status: Option<String>,
        status_reason: Option<String>,
        before: Option<&SignedPage>,
        fetched: Vec<Fetched>,
    ) -> Result<Changes, Error> {
        let refused = |source| UpstreamError::Page { project: project.clone(), source };
        let mut targets: BTreeMap<TargetPath, TargetFile> = BTreeMap::new();
        let mut insert = |path: String, length, sha256| {
            target_path(path)
                .map(|path| targets.insert(path, TargetFile::new(length, Hashes::sha256_only(sha256))))
        };
        let mut files = Vec::new();
        for file in fetched {
            if self.files.layout() == Layout::Pep458 {
                insert(file.signed.path.clone(), file.signed.size, file.signed.sha256)?;
                if let Some((path, length, sha256)) = file.metadata {
                    insert(path, length, sha256)?;
                }
            }
            files.push(file.signed);
        }
        let page = SignedPage::new(project.clone(), self.files.layout(), status, status_reason, files)
            .map_err(refused)?;
        let bytes = page.to_bytes();
        let hashes = Hashes::of(&bytes);
        let path = target_path(SignedPage::target_path(project))?;
        let length = u64::try_from(bytes.len()).unwrap_or_default();
        self.files.store(Repository::target(&path.remote(Some(&hashes))), bytes)?;
        targets.insert(path, TargetFile::new(length, hashes));

        let mut changes = Changes::default();
        for path in before.map(|page| self.paths(page)).transpose()?.unwrap_or_default() {
            if !targets.contains_key(&path) {
                changes.remove(path);
            }
        }
        let signed = self.published.map(|published| published.find_all(targets.keys())).transpose()?;
        let signed = signed.unwrap_or_default();
        for (path, file) in &targets {
            if signed.get(path) != Some(file) {
                changes.set(path.clone(), file.clone());
            }
        }
        Ok(changes)
    }

    /// The target paths that a page brings with it, itself included.
    fn paths(&self, page: &SignedPage) -> Result<BTreeSet<TargetPath>, Error> {
        let mut paths = BTreeSet::from([target_path(SignedPage::target_path(page.name()))?]);
        if page.layout() == Layout::Pep458 {
            for file in page.files() {
                paths.insert(target_path(file.path.clone())?);
                if file.metadata_sha256.is_some() {
                    paths.insert(target_path(format!("{}.metadata", file.path))?);
                }
            }
        }
        Ok(paths)
    }

    /// Removes every published target that is a project's by its name, and of no project that stays.
    fn by_name(
        &self,
        published: &Published,
        project: &ProjectName,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        let listed = self.repository.config.mirror.projects.keys();
        let others: Vec<_> = listed.filter_map(|name| ProjectName::new(name).ok()).collect();
        for role in published.listing_roles() {
            for (path, _) in published.listing_role(&role)?.targets.iter() {
                if is_of(&path, project) && !others.iter().any(|other| is_of(&path, other)) {
                    changes.remove(target_path(path.into_owned())?);
                }
            }
        }
        Ok(())
    }

    /// Projects that are published but no longer in `tuf-repo.toml`.
    async fn remove_unlisted(&self) -> Result<(), Error> {
        let listed = &self.repository.config.mirror.projects;
        for (path, _) in self.staged.iter() {
            if let Some(project) = project_of(path.as_str())
                && !listed.contains_key(project.as_str())
            {
                self.unstage(&project).await?;
            }
        }
        let Some(published) = self.published else { return Ok(()) };
        let mut changes = Changes::default();
        for role in published.listing_roles() {
            for (path, _) in published.listing_role(&role)?.targets.iter() {
                let Some(project) = project_of(&path) else { continue };
                if listed.contains_key(project.as_str()) {
                    continue;
                }
                match self.signed_page(&project) {
                    Ok(page) => {
                        let paths = page.map(|page| self.paths(&page)).transpose()?;
                        paths.into_iter().flatten().for_each(|path| changes.remove(path));
                    }
                    // The page is lost: what it named is told by name.
                    Err(_) => self.by_name(published, &project, &mut changes)?,
                }
                self.state.set_seen_page(project.as_str(), None).await?;
            }
        }
        Ok(self.state.stage(&changes).await?)
    }
}

/// Whether a target path is that of a project's page, or by its name that of one of its files.
fn is_of(path: &str, project: &ProjectName) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let name = name.strip_suffix(".metadata").unwrap_or(name);
    path == SignedPage::target_path(project)
        || (path.starts_with("packages/") && DistFile::parse(name, project).is_ok())
}

/// The project whose page has this target path.
pub(crate) fn project_of(path: &str) -> Option<ProjectName> {
    ProjectName::new(path.strip_prefix("simple/")?.strip_suffix("/index.json")?).ok()
}

pub(super) fn target_path(path: String) -> Result<TargetPath, Error> {
    TargetPath::new(path).map_err(|error| tuf_client::Error::from(error).into())
}
