//! The files of targets, and of pages that name files.

use std::collections::BTreeMap;

use tuf_client::simple::Layout;
use tuf_core::trust::Trusted;
use tuf_core::{Delegated, Hashes, RoleName, Scope, TargetFile, TargetPath, Targets};

use super::finding::Finding;
use super::rules;
use crate::error::Error;
use crate::mirror::project_of;
use crate::parallel;
use crate::reading::{self, Visitor};
use crate::repository::{Published, Repository};
use crate::storage::{StorageError, verify_file};

pub(super) struct Files<'a> {
    repository: &'a Repository,
    consistent: bool,
    read: bool,
    pub(super) threads: usize,
    pub(super) checked: u64,
    pub(super) bytes: u64,
    pub(super) findings: Vec<Finding>,
    /// What roles may sign for, as their delegators say; hash bins delegate nothing and are left out.
    scopes: BTreeMap<RoleName, Scope>,
}

/// One file to look at.
struct Wanted {
    /// As it is signed.
    name: String,
    /// Where it is.
    stored: String,
    file: TargetFile,
}

impl<'a> Files<'a> {
    pub(super) fn new(repository: &'a Repository, published: &Published, read: bool) -> Self {
        Self {
            repository,
            consistent: published.set().root().consistent_snapshot,
            read,
            threads: parallel::threads(&**repository.storage()),
            checked: 0,
            bytes: 0,
            findings: Vec::new(),
            scopes: BTreeMap::new(),
        }
    }

    fn look_at(&mut self, role: &Trusted<Targets>) -> Result<(), Error> {
        let wanted = role.targets.iter().filter_map(|(path, file)| {
            // What cannot be a path was found by the audit.
            let path = TargetPath::new(path).ok()?;
            let remote = path.remote(self.consistent.then_some(&file.hashes));
            Some(Wanted { name: path.to_string(), stored: Repository::target(&remote), file })
        });
        let wanted: Vec<_> = wanted.collect();
        let pages: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| Some((project_of(&wanted.name)?, *wanted.file.hashes.sha256()?)))
            .collect();
        self.look_at_all(role, wanted.into_iter())?;
        let repository = self.repository;
        let read = |(project, sha256)| reading::page(repository, &project, sha256);
        let mut named = Vec::new();
        parallel::each(self.threads, pages.into_iter(), read, |page| {
            match page {
                Ok(Some(page)) if page.layout() == Layout::Index => {
                    named.extend(page.files().iter().map(|file| Wanted {
                        name: file.path.clone(),
                        stored: Repository::target(&file.path),
                        file: TargetFile::new(file.size, Hashes::sha256_only(file.sha256)),
                    }));
                }
                // Missing or damaged: that was found as a target, or is when it is read.
                Ok(_) | Err(Error::Missing { .. } | Error::Published(_)) => {}
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        self.look_at_all(role, named.into_iter())
    }

    fn look_at_all(
        &mut self,
        role: &Trusted<Targets>,
        wanted: impl Iterator<Item = Wanted> + Send,
    ) -> Result<(), Error> {
        let (repository, read) = (self.repository, self.read);
        let work = |wanted: Wanted| (look(repository, &wanted, read), wanted.file.length);
        parallel::each(self.threads, wanted, work, |(found, length)| {
            self.checked += 1;
            self.bytes = self.bytes.saturating_add(length);
            let found = found?;
            self.findings.extend(
                found.map(|finding| finding.about(role.role_name().as_str(), Some(role.header.version))),
            );
            Ok(())
        })
    }

    fn note_scopes(&mut self, role: &Trusted<Targets>) {
        if let Some(Delegated::Roles(roles)) = role.delegations.as_ref().map(|delegations| &delegations.roles)
        {
            let named = roles.iter().filter(|below| matches!(below.scope, Scope::Paths(_)));
            self.scopes.extend(named.map(|below| (below.name, below.scope)));
        }
    }
}

impl Visitor for Files<'_> {
    fn role(&mut self, name: &RoleName, role: Result<&Trusted<Targets>, Error>) -> Result<(), Error> {
        match role {
            Ok(role) => {
                self.note_scopes(role);
                self.findings.extend(rules::delegations(role, self.scopes.get(name)));
                self.look_at(role)
            }
            // The audit has said so, and better.
            Err(Error::Published(_) | Error::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What is wrong with one file.
fn look(repository: &Repository, wanted: &Wanted, read: bool) -> Result<Option<Finding>, Error> {
    let Wanted { name, stored, file } = wanted;
    let storage = &**repository.storage();
    let expected = format!("{} bytes", file.length);
    let found = match storage.length(stored) {
        Ok(found) => found,
        // A link, or a directory.
        Err(error @ StorageError::Io { .. }) => {
            return Ok(Some(Finding::of("target-unreadable", &error.into())));
        }
        Err(error) => return Err(error.into()),
    };
    let restore = "restore it from a copy, or sync and publish again: its bytes are the same in every copy";
    Ok(match found {
        None => {
            let finding = Finding::error("target-missing", format!("{name}: there is no {stored}"));
            Some(finding.compare(expected, "no file".to_owned()).hint(restore))
        }
        Some(length) if length != file.length => {
            let finding = Finding::error("target-length", format!("{name}: {stored} has another length"));
            Some(finding.compare(expected, format!("{length} bytes")).hint(restore))
        }
        Some(_) if read => verify_file(storage, stored, file)?.err().map(|error| {
            let finding = Finding::error("target-hash", format!("{name}: {stored} has other bytes"));
            let expected = file.hashes.preferred().unwrap_or_default();
            finding.compare(expected, tuf_client::chain(&error)).hint(restore)
        }),
        Some(_) => None,
    })
}
