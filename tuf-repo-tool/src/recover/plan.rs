//! What a recovery would do, and what is known of what happened.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tuf_core::{KeyId, RoleName, TopLevel};

use super::compare::{Difference, DifferenceKind, History, good_value, lost_roles};
use super::evidence::sha256;
use super::record::{NewKey, Record};
use super::survey::{Survey, bins_section};
use super::{MissingKey, Request, keys};
use crate::config::section;
use crate::edit::Keyring;
use crate::error::Error;
use crate::publish::Need;
use crate::repository::Repository;

/// What a recovery would do.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Stands for what was asked for and for what was published when this was made; `--apply --plan ID` does just this.
    pub id: String,
    /// The SHA-256 of the timestamp that the plan is bound to, in hex; `none` if there is none.
    pub timestamp: String,
    /// Why clients refuse what is published, if they do.
    pub problem: Option<String>,
    /// What is gone back to.
    pub known_good: SnapshotFacts,
    /// Every later snapshot that is there, published or not.
    pub later: Vec<SnapshotFacts>,
    /// The snapshot that is published.
    pub published: Option<u64>,
    /// Whose keys are no longer trusted.
    pub lost: Vec<LostRole>,
    /// Which keys are replaced.
    pub keys: Vec<KeyPlan>,
    /// Keys for which nobody has named another: `--apply` wants them.
    pub missing_keys: Vec<MissingKey>,
    /// What people sign, in the order of trust.
    pub signing: Vec<Signing>,
    /// How many hash bins are signed anew.
    pub bins: usize,
    /// What becomes of targets.
    pub targets: Counts,
    /// Roles that only later snapshots list: they are gone afterwards.
    pub foreign: Vec<String>,
    /// What could not be read of what happened.
    pub unreadable: Vec<String>,
    /// The versions of the new root, snapshot and timestamp.
    pub versions: BTreeMap<String, u64>,
    /// The SHA-256 of the root that is published now, in hex.
    pub root_sha256: String,
    /// The event that is under way.
    pub event: Option<String>,
}

/// A snapshot.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SnapshotFacts {
    /// Its version.
    pub version: u64,
    /// The SHA-256 of its file, in hex; absent for those that were only compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// When it was signed, by its expiry and the period of `tuf-repo.toml`: an attacker may have chosen another.
    pub signed_about: DateTime<Utc>,
    /// When it expires.
    pub expires: DateTime<Utc>,
}

/// A role whose keys are no longer trusted.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LostRole {
    /// The role; hash bins together as `bin-n`.
    pub role: String,
    /// Why.
    pub because: String,
}

/// A key that is replaced.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyPlan {
    /// The role.
    pub role: String,
    /// The ID of the key that goes.
    pub old: Option<String>,
    /// Where it is.
    pub old_uri: Option<String>,
    /// Where the new one is.
    pub new_uri: String,
    /// Whether it is there; else it is made.
    pub exists: bool,
}

/// A file that people sign.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Signing {
    /// The role.
    pub role: String,
    /// The version before, and the new one.
    pub versions: (u64, u64),
    /// The threshold, and the keys that it had before and that may sign this.
    pub now: Need,
    /// The new keys.
    pub new: Vec<String>,
}

/// Targets that were different, by what was done to them.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// They were not there when all was well, and go.
    pub added: u64,
    /// They were other files, and are again what they were.
    pub changed: u64,
    /// They were taken away, and are there again.
    pub removed: u64,
    /// Of all these, those that stay as they are.
    pub kept: u64,
}

impl Counts {
    fn add(&mut self, difference: &Difference) {
        *match difference.kind {
            DifferenceKind::Added => &mut self.added,
            DifferenceKind::Changed => &mut self.changed,
            DifferenceKind::Removed => &mut self.removed,
        } += 1;
        self.kept += u64::from(difference.kept);
    }
}

/// What a recovery would do. Each target that was different is given to `each` as it is found; none is kept.
///
/// # Errors
/// [`super::RecoverError`], [`Error::Storage`], and what `each` gives.
pub fn plan(
    repository: &Repository,
    request: &Request,
    mut each: impl FnMut(&Difference) -> Result<(), Error>,
) -> Result<Plan, Error> {
    let survey = Survey::of(repository, request)?;
    let record = Record::load(repository)?.filter(|record| record.request == *request);
    let (chosen, missing) = match &record {
        Some(record) => (record.keys.clone(), Vec::new()),
        None => keys::choose(&survey)?,
    };
    let history = History::read(&survey);
    let mut plan = outline(&survey, &history, &chosen)?;
    plan.missing_keys = missing;
    plan.event = record.and_then(|record| record.event);
    for (branch, role) in
        lost_roles(&survey).filter(|(branch, role)| !history.is_untouched(&survey, branch, role))
    {
        let compared = history.compare(&survey, &role, &good_value(&survey, branch, &role)?)?;
        plan.unreadable.extend(compared.unreadable);
        for difference in &compared.differences {
            plan.targets.add(difference);
            each(difference)?;
        }
    }
    Ok(plan)
}

/// The ID of a plan.
pub(super) fn id(request: &Request, timestamp: &str) -> String {
    let Request { compromised, known_good, keep, .. } = request;
    let asked = format!("{compromised:?} {known_good} {keep:?} {timestamp}");
    sha256(asked.as_bytes()).chars().take(16).collect()
}

fn outline(survey: &Survey<'_>, history: &History, chosen: &[NewKey]) -> Result<Plan, Error> {
    let repository = survey.evidence.repository;
    let period = repository
        .config
        .periods(&TopLevel::Snapshot.role())
        .map(|(period, _)| period.delta())
        .unwrap_or_default();
    let facts = |version: u64, sha256: Option<String>| {
        let expires = history.expires.get(&version).copied().unwrap_or(survey.good.header.expires);
        SnapshotFacts { version, sha256, signed_about: expires - period, expires }
    };
    let timestamp = survey.found.sha256();
    let root = survey.evidence.root()?;
    let versions = [
        ("root", root.header.version + 1),
        ("snapshot", survey.snapshot_version()),
        ("timestamp", survey.timestamp_version()?),
    ];
    let directory = repository.directory();
    Ok(Plan {
        id: id(&survey.request, &timestamp),
        timestamp,
        problem: survey.found.problem.clone(),
        known_good: facts(survey.request.known_good, Some(survey.good_sha256.clone())),
        later: history.snapshots.iter().skip(1).map(|version| facts(*version, None)).collect(),
        published: survey.found.snapshot.as_ref().map(|found| found.header.version),
        lost: survey
            .lost
            .iter()
            .map(|(role, because)| LostRole { role: role.clone(), because: because.clone() })
            .collect(),
        keys: chosen
            .iter()
            .map(|new| KeyPlan {
                role: new.role.clone(),
                old: new.old.clone(),
                old_uri: new.old_uri.as_ref().map(ToString::to_string),
                new_uri: new.uri.to_string(),
                exists: new.uri.path(directory).is_none_or(|path| path.exists()),
            })
            .collect(),
        signing: signing(survey, chosen)?,
        bins: survey
            .branches
            .iter()
            .filter(|branch| bins_section(branch).is_some())
            .flat_map(Survey::bins_of)
            .count(),
        targets: Counts::default(),
        foreign: history.foreign.iter().cloned().collect(),
        unreadable: history.unreadable.clone(),
        versions: versions.map(|(role, version)| (role.to_owned(), version)).into(),
        root_sha256: sha256(root.bytes()),
        missing_keys: Vec::new(),
        event: None,
    })
}

/// What people sign: root, and every targets role that is drafted.
fn signing(survey: &Survey<'_>, chosen: &[NewKey]) -> Result<Vec<Signing>, Error> {
    let repository = survey.evidence.repository;
    let mut keyring = Keyring::new(repository);
    let root = survey.evidence.root()?;
    let mut rows = vec![(TopLevel::Root.role(), root.header.version, root.header.version + 1)];
    for branch in survey.drafted() {
        rows.push((branch.role.clone(), branch.file.header.version, survey.next_version(&branch.role)));
    }
    let mut signing = Vec::new();
    for (role, before, after) in rows {
        let name = section(&role).into_owned();
        let listed = survey.listed_of(&name)?;
        let section_name = RoleName::new(&name).unwrap_or_else(|_| role.clone());
        let mut holders = keyring.holders(&section_name, &listed);
        // The old keys of root sign its next version still; those of other roles sign nothing more.
        let gone = |id: &KeyId| survey.replaced.iter().any(|old| old.section == name && old.id == *id);
        holders.retain(|holder| role.top_level() == Some(TopLevel::Root) || !gone(&holder.id));
        signing.push(Signing {
            role: name.clone(),
            versions: (before, after),
            now: Need {
                roles: 1,
                threshold: listed.role.threshold(),
                keys: holders.into_iter().map(Into::into).collect(),
            },
            new: chosen.iter().filter(|new| new.role == name).map(|new| new.uri.name()).collect(),
        });
    }
    Ok(signing)
}
