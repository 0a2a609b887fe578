//! Which roles and keys a recovery is about: what is restored from where, and who is no longer trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tuf_core::trust::Authentic;
use tuf_core::{Key, KeyId, PublicKey, RoleName, Snapshot, Targets, TopLevel};

use super::evidence::{Evidence, Found};
use super::then::Then;
use super::{RecoverError, Request};
use crate::config::{RoleKind, section};
use crate::edit::NamedBins;
use crate::error::Error;
use crate::publish::{Listed, Options, clock};
use crate::repository::Repository;

/// How far above what is known to be good a version may be and still be taken for one that the repository wrote itself.
const SANE: u64 = 1_000_000;

/// How many files of a role are tried for one that its keys signed.
const TRIED: usize = 64;

/// What timestamps may have been renewed since the last known version: the file has no version in its name, so nobody kept the old ones.
const MARGIN: u64 = 10_000;

/// One targets role but hash bins, as it will be restored.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) role: RoleName,
    pub(super) delegator: Option<RoleName>,
    pub(super) file: Authentic<Targets>,
    pub(super) bins: Option<NamedBins>,
    /// Whether it is as in the snapshot that is known to be good, not newer.
    pub(super) is_good: bool,
}

/// A key that a role is to have no longer.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    /// The role; hash bins together as `bin-n`.
    pub(super) section: String,
    pub(super) id: KeyId,
    pub(super) key: Key,
}

/// Everything that a recovery depends on.
#[derive(Debug)]
pub(super) struct Survey<'a> {
    pub(super) evidence: Evidence<'a>,
    pub(super) request: Request,
    pub(super) found: Found,
    pub(super) good: Authentic<Snapshot>,
    pub(super) good_sha256: String,
    pub(super) then: Then,
    /// The roles whose content is restored, and why.
    pub(super) lost: BTreeMap<String, String>,
    pub(super) replaced: Vec<Replaced>,
    pub(super) branches: Vec<Branch>,
    /// Every metadata file of the storage, by path.
    pub(super) listed: BTreeSet<String>,
    /// The versions of each role that later snapshots list.
    versions: BTreeMap<RoleName, BTreeSet<u64>>,
    /// The versions of all snapshots after the good one that are there.
    pub(super) later: Vec<u64>,
}

/// The roles that root lists, as sections.
fn top_level(section: &str) -> Option<TopLevel> {
    TopLevel::ALL.into_iter().find(|role| role.name() == section)
}

impl<'a> Survey<'a> {
    pub(super) fn of(repository: &'a Repository, request: &Request) -> Result<Self, Error> {
        let evidence = Evidence::read(repository, request.archive.as_deref())?;
        let (good, good_sha256) = evidence.good_snapshot(request.known_good)?;
        let then = Then::read(&evidence, &good)?;
        let found = evidence.found()?;
        let listed: BTreeSet<String> =
            repository.storage().list("metadata")?.into_iter().map(|file| file.path).collect();
        let later = evidence.later_snapshots(request.known_good, listed.iter().map(String::as_str));
        let mut survey = Self {
            evidence,
            request: request.clone(),
            found,
            good,
            good_sha256,
            then,
            lost: BTreeMap::new(),
            replaced: Vec::new(),
            branches: Vec::new(),
            listed,
            versions: BTreeMap::new(),
            later,
        };
        survey.read_versions();
        survey.find_lost()?;
        Ok(survey)
    }

    fn read_versions(&mut self) {
        for version in &self.later {
            // One that does not verify lists nothing that anybody believed.
            let Ok((snapshot, _)) = self.evidence.snapshot(*version) else { continue };
            for (file, meta) in snapshot.meta.iter() {
                let role = file.strip_suffix(".json").and_then(|name| RoleName::new(name).ok());
                if let Some(role) =
                    role.filter(|role| self.good.role(role).is_none_or(|good| good.version < meta.version))
                {
                    self.versions.entry(role).or_default().insert(meta.version);
                }
            }
        }
    }

    /// Roles that share a key share its fate.
    fn find_lost(&mut self) -> Result<(), Error> {
        for named in &self.request.compromised {
            self.lost.insert(named.role.clone(), "named as compromised".to_owned());
        }
        let stolen = loop {
            self.branches = self.restored()?;
            let (mut stolen, mut of): (BTreeSet<PublicKey>, BTreeMap<PublicKey, String>) = Default::default();
            for role in self.lost.keys() {
                for (_, key) in self.stolen_of(role)? {
                    if let Some(public) = key.public() {
                        stolen.insert(public.clone());
                        of.entry(public.clone()).or_insert_with(|| role.clone());
                    }
                }
            }
            let mut more = Vec::new();
            for role in self.sections().into_iter().filter(|role| !self.lost.contains_key(role)) {
                let shared =
                    self.keys_of(&role)?.into_iter().find_map(|(_, key)| of.get(key.public()?).cloned());
                more.extend(shared.map(|with| (role, format!("it has a key of {with}"))));
            }
            if more.is_empty() {
                break stolen;
            }
            self.lost.extend(more);
        };
        for role in self.sections() {
            let is_stolen = |key: &Key| key.public().is_some_and(|public| stolen.contains(public));
            // Without new keys of both, clients would keep the versions that they have seen (spec 5.3.11).
            let always = matches!(top_level(&role), Some(TopLevel::Timestamp | TopLevel::Snapshot));
            let keys = self.keys_of(&role)?.into_iter().filter(|(_, key)| always || is_stolen(key));
            let replaced = keys.map(|(id, key)| Replaced { section: role.clone(), id, key });
            self.replaced.extend(replaced);
        }
        let root = self.evidence.root()?;
        let threshold = root.role(TopLevel::Root).threshold();
        let compromised = self.replaced.iter().filter(|key| key.section == "root").count();
        if usize::try_from(threshold).is_ok_and(|threshold| compromised >= threshold) {
            return Err(RecoverError::Root { compromised, threshold }.into());
        }
        Ok(())
    }

    /// Every role that has keys, hash bins together.
    pub(super) fn sections(&self) -> Vec<String> {
        let mut all: Vec<String> = TopLevel::ALL.iter().map(|role| role.name().to_owned()).collect();
        for branch in &self.branches {
            if branch.delegator.is_some() {
                all.push(branch.role.as_str().to_owned());
            }
            all.extend(bins_section(branch));
        }
        all
    }

    /// The keys that sign for a role, with the IDs that they have there.
    pub(super) fn keys_of(&self, role: &str) -> Result<Vec<(KeyId, Key)>, Error> {
        let listed = self.listed_of(role)?;
        Ok(listed.keys.iter().map(|(id, key)| (id.clone(), key.clone())).collect())
    }

    /// Keys and threshold of a role as they are now.
    pub(super) fn listed_of(&self, role: &str) -> Result<Listed, Error> {
        if let Some(top) = top_level(role) {
            return Ok(Listed::of_root(self.evidence.root()?, top));
        }
        for branch in &self.branches {
            let Some(delegations) = branch.file.delegations.as_ref() else { continue };
            let first = match bins_section(branch).as_deref() == Some(role) {
                true => branch.bins.as_ref().and_then(|bins| bins.names().next()),
                false => RoleName::new(role).ok(),
            };
            if let Some(keys) = first.and_then(|name| delegations.role_keys(&name)) {
                return Ok(Listed::of((&delegations.keys, &keys)));
            }
        }
        let known = self.sections().join(", ");
        Err(RecoverError::Role(format!("there is no role {role}: {known}")).into())
    }

    /// Those of the keys of a role that are compromised: all, unless one is named.
    fn stolen_of(&self, role: &str) -> Result<Vec<(KeyId, Key)>, Error> {
        let mut keys = self.keys_of(role)?;
        let named: Vec<&str> = self
            .request
            .compromised
            .iter()
            .filter(|named| named.role == role)
            .filter_map(|named| named.key.as_deref())
            .collect();
        if named.is_empty() {
            if role == TopLevel::Root.name()
                && self.request.compromised.iter().any(|named| named.role == role)
            {
                let ids: Vec<String> = keys.iter().map(|(id, _)| id.short()).collect();
                let message = format!("which key of root? --compromised root=KEYID, of {}", ids.join(", "));
                return Err(RecoverError::Role(message).into());
            }
            // A role that only shares a key loses that one, which was found by whom it shares it with.
            if !self.request.compromised.iter().any(|named| named.role == role) {
                keys.clear();
            }
            return Ok(keys);
        }
        let starts = |id: &KeyId| named.iter().any(|start| id.as_str().starts_with(start));
        if let Some(unknown) =
            named.iter().find(|start| !keys.iter().any(|(id, _)| id.as_str().starts_with(**start)))
        {
            let ids: Vec<String> = keys.iter().map(|(id, _)| id.short()).collect();
            return Err(RecoverError::Role(format!("{role} has no key {unknown}: {}", ids.join(", "))).into());
        }
        keys.retain(|(id, _)| starts(id));
        Ok(keys)
    }

    /// Every role but hash bins, delegators first: of those that are lost the file of the good snapshot, of others the newest.
    fn restored(&self) -> Result<Vec<Branch>, Error> {
        let (mut found, mut seen): (Vec<Branch>, BTreeSet<RoleName>) = Default::default();
        let mut pending = vec![(TopLevel::Targets.role(), None::<RoleName>)];
        while let Some((role, delegator)) = pending.pop() {
            if !seen.insert(role.clone()) {
                continue;
            }
            let by = delegator.as_ref().and_then(|by| found.iter().find(|branch| branch.role == *by));
            let by = by.map(|branch| branch.file.clone());
            let Some((file, is_good)) = self.newest(&role, by.as_ref())? else { continue };
            let delegations = file.delegations.as_ref();
            let bins = delegations.and_then(|delegations| NamedBins::of(&role, delegations));
            if bins.is_none() {
                let below = delegations.map(tuf_core::Delegations::role_names).unwrap_or_default();
                pending.extend(below.into_iter().rev().map(|below| (below, Some(role.clone()))));
            }
            found.push(Branch { role, delegator, file, bins, is_good });
        }
        Ok(found)
    }

    /// The file of a role that is restored, and whether it is that of the good snapshot; `None` if it was never published.
    pub(super) fn newest(
        &self,
        role: &RoleName,
        by: Option<&Authentic<Targets>>,
    ) -> Result<Option<(Authentic<Targets>, bool)>, Error> {
        let mut newest = self.good_file(role, by)?;
        if self.lost.contains_key(&*section(role)) && newest.is_some() {
            return Ok(newest.map(|file| (file, true)));
        }
        let mut is_good = true;
        let good = newest.as_ref().map_or(0, |file| file.header.version);
        // What its keys signed is as good as ever, whoever made the snapshots.
        let versions = self.versions.get(role).into_iter().flat_map(|versions| versions.iter().rev());
        for version in versions.copied().take_while(|version| *version > good).take(TRIED) {
            let Some(bytes) = self.evidence.seen(&role.file_name(Some(version)))? else { continue };
            let file = self.evidence.targets(role, by, bytes);
            if let Ok(file) = file
                && file.header.version == version
            {
                (newest, is_good) = (Some(file), false);
                break;
            }
        }
        match (&newest, self.good.role(role)) {
            (None, Some(_)) => {
                let reason = format!(
                    "no file of {role} that it or the published snapshot lists is signed as it must be"
                );
                Err(RecoverError::KnownGood { version: self.request.known_good, reason }.into())
            }
            _ => Ok(newest.map(|file| (file, is_good))),
        }
    }

    /// The file that the good snapshot lists. One that no longer holds under its delegator is none, but for the content of a role
    /// that is lost: who may sign for that is replaced anyway.
    pub(super) fn good_file(
        &self,
        role: &RoleName,
        by: Option<&Authentic<Targets>>,
    ) -> Result<Option<Authentic<Targets>>, Error> {
        let Some(meta) = self.good.role(role) else { return Ok(None) };
        let name = role.file_name(Some(meta.version));
        let refused = |reason: String| RecoverError::KnownGood { version: self.request.known_good, reason };
        let lost = self.lost.contains_key(&*section(role));
        let Some(bytes) = self.evidence.good(&name)? else {
            return if lost {
                Err(refused(format!("{name}, which it lists, is missing")).into())
            } else {
                Ok(None)
            };
        };
        let checked = meta.check(&bytes).map_err(Error::Published).and_then(|()| {
            match self.evidence.targets(role, by, bytes.clone()) {
                Err(error) if lost => self.then.file(&self.evidence, role, bytes).ok_or(error),
                verified => verified,
            }
        });
        match checked {
            Ok(file) if file.header.version == meta.version => Ok(Some(file)),
            Ok(_) if !lost => Ok(None),
            Ok(file) => Err(refused(format!("{name} has version {}", file.header.version)).into()),
            Err(_) if !lost => Ok(None),
            Err(error) => Err(refused(format!("{name}: {}", tuf_client::chain(&error))).into()),
        }
    }

    /// The refusal of a good snapshot that lacks a role.
    pub(super) fn not_listed(&self, role: &RoleName) -> RecoverError {
        let reason = format!("it does not list {role}");
        RecoverError::KnownGood { version: self.request.known_good, reason }
    }

    /// # Errors
    /// [`Error::Clock`].
    pub(super) fn check_clock(&self, options: &Options) -> Result<(), Error> {
        let repository = self.evidence.repository;
        let period = repository.config.role(RoleKind::Snapshot)?.expires.delta();
        clock::check_recovery(repository, self.good.header.expires - period, options)
    }

    /// Whether one role is somewhere above another.
    pub(super) fn is_above(&self, above: &RoleName, role: &RoleName) -> bool {
        let mut next = self.branch(role).and_then(|branch| branch.delegator.as_ref());
        // Each role was found once, on its way down.
        while let Some(delegator) = next {
            if delegator == above {
                return true;
            }
            next = self.branch(delegator).and_then(|branch| branch.delegator.as_ref());
        }
        false
    }

    pub(super) fn branch(&self, role: &RoleName) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.role == *role)
    }

    /// The targets roles whose files must be signed by whoever signs for them: those that are lost, those that name other keys from
    /// now on, and those that have expired.
    pub(super) fn drafted(&self) -> Vec<&Branch> {
        let replaced: BTreeSet<&str> = self.replaced.iter().map(|key| key.section.as_str()).collect();
        let now = self.evidence.repository.now();
        let must = |branch: &&Branch| {
            let below = |other: &Branch| {
                other.delegator.as_ref() == Some(&branch.role) && replaced.contains(other.role.as_str())
            };
            self.lost.contains_key(branch.role.as_str())
                || replaced.contains(branch.role.as_str())
                || bins_section(branch).is_some_and(|bins| replaced.contains(bins.as_str()))
                || self.branches.iter().any(below)
                || branch.file.header.expires <= now
        };
        self.branches.iter().filter(must).collect()
    }

    /// The version that a role gets: above the good one and the published one, unless that is one that only an attacker
    /// would write, and one that no file has.
    pub(super) fn next_version(&self, role: &RoleName) -> u64 {
        let good = self.good.role(role).map_or(0, |meta| meta.version);
        let found =
            self.found.snapshot.as_ref().and_then(|found| found.role(role)).map_or(0, |meta| meta.version);
        self.free(role, sane(good, found))
    }

    pub(super) fn snapshot_version(&self) -> u64 {
        let good = self.request.known_good;
        let newest = self.later.iter().copied().filter(|version| sane(good, *version) == *version).max();
        self.free(&TopLevel::Snapshot.role(), newest.unwrap_or(good))
    }

    pub(super) fn timestamp_version(&self) -> Result<u64, Error> {
        let archived = self.evidence.archived_timestamp()?.map_or(0, |timestamp| timestamp.header.version);
        let known = archived.max(self.request.known_good);
        let found = self.found.timestamp.as_ref().map_or(0, |timestamp| timestamp.header.version);
        Ok(sane(known, found).saturating_add(MARGIN))
    }

    fn free(&self, role: &RoleName, above: u64) -> u64 {
        let taken =
            |version: &u64| self.listed.contains(&Repository::metadata_path(&role.file_name(Some(*version))));
        (above.saturating_add(1)..).find(|version| !taken(version)).unwrap_or(u64::MAX)
    }

    /// Whether this is one of the hash bins there will be.
    pub(super) fn is_bin(&self, role: &RoleName) -> bool {
        self.branches.iter().filter_map(|branch| branch.bins.as_ref()).any(|bins| bins.has(role))
    }

    /// Every hash bin that one role delegates to.
    pub(super) fn bins_of(branch: &Branch) -> impl Iterator<Item = RoleName> {
        branch.bins.iter().flat_map(NamedBins::names)
    }

    pub(super) fn limits(&self) -> &Arc<tuf_core::Limits> {
        &self.evidence.limits
    }
}

/// What the hash bins of a role are called together.
pub(super) fn bins_section(branch: &Branch) -> Option<String> {
    branch.bins.as_ref()?;
    Some(match branch.role.as_str() {
        "bins" => RoleKind::BinN.name().to_owned(),
        other => format!("{other}-{}", RoleKind::BinN.name()),
    })
}

/// The higher of two versions, unless only an attacker would have written that.
const fn sane(good: u64, found: u64) -> u64 {
    if found > good && found - good <= SANE { found } else { good }
}
