//! What is published at the end of a recovery: the drafts, every hash bin anew, a snapshot and a timestamp, all under the new root.

use chrono::TimeDelta;
use tuf_core::trust::Authentic;
use tuf_core::{
    MetaFile, Metadata, RoleName, Root, Snapshot, TargetFile, TargetPath, Targets, Timestamp, TopLevel,
};

use super::RecoverError;
use super::compare::{History, good_value};
use super::survey::{Branch, Survey, bins_section};
use crate::config::RoleKind;
use crate::error::Error;
use crate::event::{Bundle, DEFAULT_PERIOD, root_is_published};
use crate::keys::Passphrases;
use crate::log::Did;
use crate::publish::{Changes, Listed, Options, Recovered, Summary, expires_at, publish_recovered};
use crate::repository::{Lock, Repository};
use crate::signing::Signers;
use crate::storage::{METADATA_LIMIT, NewFile, Storage, verify_file};

/// Whether a recovery was published that was killed before it could say so: only the new keys sign under the new root.
pub(super) fn carried(repository: &Repository, bundle: &Bundle) -> Result<bool, Error> {
    Ok(root_is_published(repository, bundle)?
        && repository.published().is_ok_and(|published| published.is_some()))
}

/// Signs and publishes.
pub(super) async fn publish(
    survey: &Survey<'_>,
    repository: &Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    bundle: &Bundle,
    options: &Options,
) -> Result<Summary, Error> {
    let root = bundle.proposals().iter().find(|proposal| proposal.as_root().is_some());
    let root = root.ok_or(RecoverError::NotUnderWay)?;
    let asked = format!("recovery {} {}", bundle.id(), root.text());
    let (text, expected) = (root.text(), survey.found.bytes.clone());
    let make = || {
        let root_value = root.as_root().ok_or(RecoverError::NotUnderWay)?;
        let mut writing = Writing {
            survey,
            repository,
            signers: Signers::new(repository, passphrases),
            snapshot: survey.good.value().clone(),
            entries: Vec::new(),
            files: Vec::new(),
            summary: Summary::default(),
            changes: Changes::default(),
        };
        writing.put_back_roots()?;
        writing.targets(bundle)?;
        let timestamp = writing.top(root_value)?;
        writing.put_back_targets()?;
        let path = Repository::metadata_path(&root.role().file_name(Some(root.header().version)));
        let next = match root_is_published(repository, bundle)? {
            true => None,
            false => {
                // Clients would stop at what somebody else put there.
                set_aside(repository, &path, text.as_bytes())?;
                Some(NewFile { path, bytes: text.clone().into_bytes() })
            }
        };
        let Writing { files, summary, changes, .. } = writing;
        Ok(Recovered { files, root: next, timestamp, summary, changes })
    };
    let mut options = options.of_event(bundle.id(), bundle.reason());
    options.did = Some(Did::Recover);
    publish_recovered(repository, lock, &options, &asked, expected, text.as_bytes(), make).await
}

struct Writing<'a, 'p> {
    survey: &'a Survey<'a>,
    /// With the new keys in its settings.
    repository: &'a Repository,
    signers: Signers<'p>,
    snapshot: Snapshot,
    entries: Vec<(RoleName, MetaFile)>,
    files: Vec<NewFile>,
    summary: Summary,
    /// Targets that are again what they were, or stay as they are.
    changes: Changes,
}

impl Writing<'_, '_> {
    /// Every targets role: as it was drafted, as it is, or of hash bins signed anew.
    fn targets(&mut self, bundle: &Bundle) -> Result<(), Error> {
        let history = History::read(self.survey);
        for branch in &self.survey.branches {
            let draft = bundle.proposal(&branch.role);
            let value = match draft.and_then(|draft| Some((draft, draft.as_targets()?))) {
                Some((draft, value)) => {
                    if self.survey.lost.contains_key(branch.role.as_str()) {
                        let compared = history.compare(
                            self.survey,
                            &branch.role,
                            &good_value(self.survey, branch, &branch.role)?,
                        )?;
                        self.changed(compared.restored, compared.differences.len());
                    }
                    self.add(&branch.role, value.header.version, draft.text().into_bytes(), true);
                    value
                }
                None => {
                    self.keep(&branch.role, &branch.file)?;
                    branch.file.value()
                }
            };
            let value = value.clone();
            self.bins(branch, &value, &history)?;
        }
        Ok(())
    }

    fn bins(&mut self, branch: &Branch, delegator: &Targets, history: &History) -> Result<(), Error> {
        let Some(section) = bins_section(branch) else { return Ok(()) };
        let lost = self.survey.lost.contains_key(&section);
        for role in Survey::bins_of(branch) {
            let terms = self.repository.config.terms(&role);
            let mut value = match lost {
                true => {
                    let compared =
                        history.compare(self.survey, &role, &good_value(self.survey, branch, &role)?)?;
                    self.changed(compared.restored, compared.differences.len());
                    compared.value
                }
                false => {
                    let Some((file, _)) = self.survey.newest(&role, Some(&branch.file))? else { continue };
                    if terms.is_none() {
                        // Another machine signs it.
                        self.keep(&role, &file)?;
                        continue;
                    }
                    file.value().clone()
                }
            };
            let delegations = delegator.delegations.as_ref();
            let listed = delegations.and_then(|to| Some(Listed::of((&to.keys, &to.role_keys(&role)?))));
            let listed: Vec<Listed> = listed.into_iter().collect();
            let version = self.survey.next_version(&role);
            let period = terms.map_or(DEFAULT_PERIOD, |terms| terms.expires);
            value.header.version = version;
            value.header.expires = expires_at(self.repository.now(), period, &role);
            let uris = terms.map_or(&[][..], |terms| terms.keys);
            let bytes = self.signers.sign(value, &role, uris, &listed)?;
            self.add(&role, version, bytes, false);
        }
        Ok(())
    }

    fn changed(&mut self, restored: Vec<(TargetPath, TargetFile)>, differences: usize) {
        self.summary.set += restored.len();
        self.summary.removed += differences.saturating_sub(restored.len());
        for (path, file) in restored {
            self.changes.set(path, file);
        }
    }

    /// Thousands of bins with hashes would take the snapshot over the limits of every client.
    fn add(&mut self, role: &RoleName, version: u64, bytes: Vec<u8>, hashed: bool) {
        let meta = if hashed { MetaFile::of(version, &bytes) } else { MetaFile::version(version) };
        self.entries.push((role.clone(), meta));
        self.write(role.file_name(Some(version)), bytes);
    }

    fn write(&mut self, name: String, bytes: Vec<u8>) {
        self.summary.signed.push((name.clone(), bytes.len()));
        self.files.push(NewFile { path: Repository::metadata_path(&name), bytes });
    }

    /// A role that nobody signs anew: its file has to be there, whatever became of it.
    fn keep(&mut self, role: &RoleName, file: &Authentic<Targets>) -> Result<(), Error> {
        let version = file.header.version;
        let meta = match role_is_bin(role) {
            true => MetaFile::version(version),
            false => MetaFile::of(version, file.bytes()),
        };
        self.entries.push((role.clone(), meta));
        put_back(self.repository, &role.file_name(Some(version)), file.bytes())
    }

    fn put_back_roots(&self) -> Result<(), Error> {
        for root in &self.survey.evidence.roots {
            put_back(self.repository, &root.role_name().file_name(Some(root.header.version)), root.bytes())?;
        }
        Ok(())
    }

    /// Snapshot and timestamp, by the keys of the new root alone.
    fn top(&mut self, root: &Root) -> Result<Vec<u8>, Error> {
        self.snapshot.meta.extend(std::mem::take(&mut self.entries));
        let mut snapshot = std::mem::replace(&mut self.snapshot, Snapshot::new(self.repository.now()));
        let version = self.survey.snapshot_version();
        snapshot.header.version = version;
        snapshot.header.expires = self.repository.now() + self.period(RoleKind::Snapshot)?;
        let bytes = self.sign(snapshot, RoleKind::Snapshot, root)?;
        let meta = MetaFile::of(version, &bytes);
        self.write(TopLevel::Snapshot.role().file_name(Some(version)), bytes);
        let mut timestamp = Timestamp::new(self.repository.now() + self.period(RoleKind::Timestamp)?, meta);
        timestamp.header_mut().version = self.survey.timestamp_version()?;
        (self.summary.timestamp, self.summary.snapshot) = (timestamp.header.version, version);
        let bytes = self.sign(timestamp, RoleKind::Timestamp, root)?;
        self.summary.signed.push((TopLevel::Timestamp.role().file_name(None), bytes.len()));
        Ok(bytes)
    }

    fn period(&self, kind: RoleKind) -> Result<TimeDelta, Error> {
        Ok(self.repository.config.role(kind)?.expires.delta())
    }

    fn sign<T: Metadata>(&mut self, value: T, kind: RoleKind, root: &Root) -> Result<Vec<u8>, Error> {
        let keys = &self.repository.config.role(kind)?.keys;
        self.signers.sign(value, &T::KIND.role(), keys, &[Listed::of_root(root, T::KIND)])
    }

    /// The files of restored targets are there, and what was signed; else they are taken from the copy.
    fn put_back_targets(&self) -> Result<(), Error> {
        let storage = &**self.repository.storage();
        let mut missing = Vec::new();
        for (path, file) in self.changes.iter() {
            let Some(file) = file else { continue };
            let place = Repository::target(&path.remote(Some(&file.hashes)));
            let is_good = |storage: &dyn Storage| -> Result<bool, Error> {
                Ok(storage.length(&place)? == Some(file.length)
                    && verify_file(storage, &place, file)?.is_ok())
            };
            if is_good(storage)? {
                continue;
            }
            let archive = self.survey.evidence.archive.as_ref();
            let Some(copy) = archive.filter(|archive| is_good(*archive).unwrap_or(false)) else {
                missing.push(path.to_string());
                continue;
            };
            set_aside(self.repository, &place, &[])?;
            if let Some(local) = copy.local() {
                storage.place(&place, &local.join(&place))?;
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(RecoverError::Files(missing).into()) }
    }
}

fn role_is_bin(role: &RoleName) -> bool {
    crate::edit::NamedBins::split(role).is_some()
}

/// A metadata file is there, and what it was.
fn put_back(repository: &Repository, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = Repository::metadata_path(name);
    set_aside(repository, &path, bytes)?;
    Ok(repository.storage().create(&[NewFile { path, bytes: bytes.to_vec() }])?)
}

/// Takes a file out of the way that is not what it should be. It is evidence, and is kept in `state/set-aside/`.
fn set_aside(repository: &Repository, path: &str, wanted: &[u8]) -> Result<(), Error> {
    let storage = &**repository.storage();
    let Some(found) = storage.read(path, METADATA_LIMIT)? else { return Ok(()) };
    if found == wanted {
        return Ok(());
    }
    let kept = tuf_client::durable::checked_join(&repository.state().join("set-aside"), path)?;
    tuf_client::durable::write_private(&kept, &found)?;
    tracing::warn!("{path} was not what was signed: what was there is kept as {}", kept.display());
    Ok(storage.remove(&[path.to_owned()])?)
}
