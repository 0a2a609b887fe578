//! Marking: what the published state and the snapshots that are kept list, down to the last file.

use std::collections::{HashMap, HashSet};

use tuf_client::simple::{Layout, ProjectName};
use tuf_core::trust::Trusted;
use tuf_core::{
    Delegations, Envelope, Metadata, RoleName, Snapshot, TargetFile, TargetPath, Targets, TopLevel,
    read_unverified,
};

use super::marks::Marks;
use super::names::is_package;
use crate::error::Error;
use crate::mirror::project_of;
use crate::parallel;
use crate::reading::{self, Visitor};
use crate::repository::{MAX_METADATA, Published, Repository, repository_limits};

/// What is needed, as far as it is known.
#[derive(Debug)]
pub(super) struct Marker<'a> {
    repository: &'a Repository,
    threads: usize,
    /// Paths in the storage that must stay.
    files: Marks,
    /// Role files that were looked into; of the published state, after their signatures were checked.
    seen: Marks,
    verified: Marks,
    /// What the role files that were looked into delegate.
    delegations: HashMap<String, Delegations>,
    /// Pages of projects that were not looked into.
    pages: Vec<Page>,
    /// Role files and pages of older snapshots that are not there, or damaged.
    pub(super) incomplete: u64,
}

/// The published state must be read to the end; an older one, which a dead publisher may have left without all of its files,
/// as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Published,
    Older,
}

/// A project's page, by its hash.
type Page = (ProjectName, [u8; 32], Of);

impl<'a> Marker<'a> {
    pub(super) fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            threads: parallel::threads(&**repository.storage()),
            files: Marks::default(),
            seen: Marks::default(),
            verified: Marks::default(),
            delegations: HashMap::new(),
            pages: Vec::new(),
            incomplete: 0,
        }
    }

    /// Whether a file must stay.
    pub(super) fn is_marked(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    pub(super) fn mark(&mut self, path: &str) {
        self.files.insert(path);
    }

    /// The file of a role.
    pub(super) fn mark_role(&mut self, role: &RoleName, version: u64) {
        self.mark(&Repository::metadata_path(&role.file_name(Some(version))));
    }

    /// The file of a target, under each of its names.
    fn mark_target(&mut self, path: &TargetPath, file: &TargetFile) {
        let (directory, name) = match path.as_str().rsplit_once('/') {
            Some((directory, name)) => (format!("{directory}/"), name),
            None => (String::new(), path.as_str()),
        };
        for (_, hash) in file.hashes.iter() {
            self.mark(&Repository::target(&format!("{directory}{hash}.{name}")));
        }
        if is_package(path.as_str()) {
            self.mark(&Repository::target(path.as_str()));
        }
    }

    /// Everything that is published, verified: what is not signed would unmark what is.
    pub(super) fn published(&mut self, published: &Published) -> Result<(), Error> {
        let snapshot = published.set().snapshot();
        self.mark_role(snapshot.role_name(), snapshot.header.version);
        self.listed(snapshot);
        reading::walk(published, self.threads, self)
    }

    /// What a snapshot lists that is not the published one. Its signature is not checked: whoever writes one keeps files,
    /// and loses none.
    pub(super) fn older(&mut self, version: u64) -> Result<(), Error> {
        self.mark_role(&TopLevel::Snapshot.role(), version);
        let Some(snapshot) = self.read::<Snapshot>(&TopLevel::Snapshot.role(), version)? else {
            self.incomplete += 1;
            return Ok(());
        };
        self.listed(&snapshot);
        let mut level = vec![TopLevel::Targets.role()];
        let mut visited: HashSet<RoleName> = level.iter().cloned().collect();
        while !level.is_empty() {
            let versioned = |role: RoleName| {
                let version = snapshot.role(&role)?.version;
                Some((role, version))
            };
            let wanted: Vec<(RoleName, u64)> = level.into_iter().filter_map(versioned).collect();
            let unread: Vec<_> = wanted
                .iter()
                .filter(|(role, version)| !self.seen.contains(&file_of(role, *version)))
                .cloned()
                .collect();
            let repository = self.repository;
            let read = |(role, version)| {
                let found = read_metadata::<Targets>(repository, &role, version);
                (role, version, found)
            };
            parallel::each(self.threads, unread.into_iter(), read, |(role, version, found)| match found? {
                Some(targets) => self.look_into(&role, &targets, Of::Older),
                None => {
                    self.seen.insert(&file_of(&role, version));
                    self.incomplete += 1;
                    Ok::<_, Error>(())
                }
            })?;
            level = wanted
                .iter()
                .filter_map(|(role, version)| self.delegations.get(&file_of(role, *version)))
                .flat_map(Delegations::role_names)
                .filter(|role| visited.insert(role.clone()))
                .collect();
        }
        Ok(())
    }

    /// A targets role that is not published, or not yet: in a journal or an event.
    pub(super) fn waiting(&mut self, targets: &Targets) -> Result<(), Error> {
        for (path, file) in targets.targets.iter() {
            if let Ok(path) = TargetPath::new(path) {
                self.wanted(&path, &file, Of::Older);
            }
        }
        self.look_into_pages_if_needed()
    }

    /// A target that is staged.
    pub(super) fn staged(&mut self, path: &TargetPath, file: &TargetFile) {
        self.wanted(path, file, Of::Older);
    }

    /// A target, and if it is a project's page, what that names.
    fn wanted(&mut self, path: &TargetPath, file: &TargetFile, of: Of) {
        let known = self.files.contains(&Repository::target(&path.remote(Some(&file.hashes))));
        self.mark_target(path, file);
        if let (Some(project), Some(sha256), false) = (project_of(path.as_str()), file.hashes.sha256(), known)
        {
            self.pages.push((project, *sha256, of));
        }
    }

    /// Every role file that a snapshot lists, also of roles that nobody delegates any more: clients never ask for these, and they
    /// are few.
    fn listed(&mut self, snapshot: &Snapshot) {
        for (file, meta) in snapshot.meta.iter() {
            if let Some(role) = file.strip_suffix(".json").and_then(|name| RoleName::new(name).ok()) {
                self.mark_role(&role, meta.version);
            }
        }
    }

    fn look_into(&mut self, role: &RoleName, targets: &Targets, of: Of) -> Result<(), Error> {
        let name = file_of(role, targets.header.version);
        if !self.seen.insert(&name) {
            return Ok(());
        }
        if let Some(delegations) = &targets.delegations {
            self.delegations.insert(name, delegations.clone());
        }
        for (path, file) in targets.targets.iter() {
            if let Ok(path) = TargetPath::new(path) {
                self.wanted(&path, &file, of);
            }
        }
        self.look_into_pages_if_needed()
    }

    /// In a layout in which files are no targets, only the page names them; in the other one, a page is read when a file turns up
    /// that nothing else names.
    pub(super) fn look_into_pages_if_needed(&mut self) -> Result<(), Error> {
        match self.repository.config.layout {
            Layout::Index => self.look_into_pages(),
            _ => Ok(()),
        }
    }

    /// Looks into the pages that were left out.
    pub(super) fn look_into_pages(&mut self) -> Result<(), Error> {
        let pages = std::mem::take(&mut self.pages);
        self.mark_pages(pages)
    }

    fn mark_pages(&mut self, pages: Vec<Page>) -> Result<(), Error> {
        let repository = self.repository;
        let read = |(project, sha256, of): Page| (reading::page(repository, &project, sha256), of);
        parallel::each(self.threads, pages.into_iter(), read, |(page, of)| {
            match (page, of) {
                (Ok(Some(page)), _) if page.layout() == Layout::Index => {
                    for file in page.files() {
                        self.mark(&Repository::target(&file.path));
                        if file.metadata_sha256.is_some() {
                            self.mark(&Repository::target(&format!("{}.metadata", file.path)));
                        }
                    }
                }
                // One whose files are targets themselves, or that is no page of a mirror.
                (Ok(_), _) => {}
                (Err(Error::Published(_) | Error::Missing { .. }), Of::Older) => self.incomplete += 1,
                (Err(error), _) => return Err(error),
            }
            Ok(())
        })
    }

    fn read<T: Metadata>(&self, role: &RoleName, version: u64) -> Result<Option<T>, Error> {
        read_metadata(self.repository, role, version)
    }
}

impl Visitor for Marker<'_> {
    fn wants(&mut self, role: &RoleName, version: u64) -> bool {
        let file = file_of(role, version);
        // Others may have to be verified by one that delegates.
        !self.verified.contains(&file) || self.delegations.contains_key(&file)
    }

    fn role(&mut self, name: &RoleName, role: Result<&Trusted<Targets>, Error>) -> Result<(), Error> {
        let role = role?;
        self.verified.insert(&file_of(name, role.header.version));
        self.look_into(name, role, Of::Published)
    }
}

fn file_of(role: &RoleName, version: u64) -> String {
    role.file_name(Some(version))
}

/// A metadata file, not verified; `None` if it is not there or damaged.
fn read_metadata<T: Metadata>(
    repository: &Repository,
    role: &RoleName,
    version: u64,
) -> Result<Option<T>, Error> {
    let path = Repository::metadata_path(&file_of(role, version));
    let Some(bytes) = repository.storage().read(&path, MAX_METADATA)? else { return Ok(None) };
    let limits = repository_limits();
    let read = Envelope::parse(bytes, &limits).and_then(|envelope| read_unverified(&envelope, &limits));
    Ok(read.ok())
}
