//! `tuf-repo.toml`: what a repository is to be. What it is, the published metadata says.

mod edit;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use tuf_client::durable;
use tuf_client::simple::{Layout, ProjectName};
use tuf_core::RoleName;

use crate::edit::NamedBins;
use crate::error::Error;
use crate::keys::KeyUri;
use crate::state::StateUrl;

pub(crate) use edit::SettingsFile;

const FILE: &str = "tuf-repo.toml";

/// The highest [`Config::min_version`]: from there on, there is no end of versions that every client can read (2^53 - 1 is the last
/// that is one in all programming languages).
pub const HIGHEST_MIN_VERSION: u64 = 1 << 52;

/// The settings of a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Which files are targets.
    #[serde(with = "layout")]
    pub layout: Layout,
    /// Where published files are: `s3://BUCKET/PREFIX`; absent: the directory `public/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// How many hash bins; absent: as the number of targets asks for when they are first published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<u32>,
    /// The database of the repository's state; absent: the file `state/state.db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateUrl>,
    /// Where clients get what is published; asked after publishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<url::Url>,
    /// Nothing is signed with a version below this: after a restore, clients have seen versions that are lost. Timestamp,
    /// snapshot and hash bins that have a lower one are signed anew by the next publish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<u64>,
    /// Keys, thresholds and times of every role.
    pub roles: BTreeMap<RoleKind, RoleConfig>,
    /// Keys and times of the delegated roles that this machine signs, by name; hash bins below the role `NAME`
    /// together as `NAME-bin-n`. Who may sign for them, and how many must, the delegating role says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub delegations: BTreeMap<String, DelegationConfig>,
    /// What is mirrored.
    #[serde(default)]
    pub mirror: Mirror,
}

/// The kinds of roles that a repository signs (PEP 458).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RoleKind {
    /// `root`.
    Root,
    /// `targets`: delegates to `bins`, or lists the files itself.
    Targets,
    /// `bins`: delegates to the hash bins.
    Bins,
    /// Every hash bin.
    BinN,
    /// `snapshot`.
    Snapshot,
    /// `timestamp`.
    Timestamp,
}

impl RoleKind {
    /// All kinds, in the order of trust.
    pub const ALL: [Self; 6] =
        [Self::Root, Self::Targets, Self::Bins, Self::BinN, Self::Snapshot, Self::Timestamp];

    /// The name in settings and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Bins => "bins",
            Self::BinN => "bin-n",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// How long its metadata is valid unless told otherwise.
    const fn default_expires(self) -> Period {
        match self {
            Self::Root | Self::Targets | Self::Bins => Period(TimeDelta::days(365)),
            Self::BinN => Period(TimeDelta::days(30)),
            Self::Snapshot => Period(TimeDelta::days(7)),
            Self::Timestamp => Period(TimeDelta::days(1)),
        }
    }
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keys, threshold and times of a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RoleConfig {
    /// Where the keys are.
    pub keys: Vec<KeyUri>,
    /// How many must sign.
    pub threshold: u32,
    /// How long a signed file is valid.
    pub expires: Period,
    /// After how long `renew` signs it again; absent: half of `expires`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_after: Option<Period>,
}

impl RoleConfig {
    /// One key, valid for as long as this kind of role usually is.
    #[must_use]
    pub fn new(kind: RoleKind, key: KeyUri) -> Self {
        Self { keys: vec![key], threshold: 1, expires: kind.default_expires(), renew_after: None }
    }

    /// After how long the role is signed again.
    #[must_use]
    pub fn renew_after(&self) -> TimeDelta {
        self.renew_after.map_or(self.expires.0 / 2, |period| period.0)
    }
}

/// Keys and times of a delegated role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DelegationConfig {
    /// Where the keys are.
    pub keys: Vec<KeyUri>,
    /// How long a signed file is valid.
    pub expires: Period,
    /// After how long `renew` signs it again; absent: half of `expires`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_after: Option<Period>,
}

impl DelegationConfig {
    /// Keys, for a role that is valid for `expires`.
    #[must_use]
    pub const fn new(keys: Vec<KeyUri>, expires: Period) -> Self {
        Self { keys, expires, renew_after: None }
    }

    /// After how long the role is signed again.
    #[must_use]
    pub fn renew_after(&self) -> TimeDelta {
        self.renew_after.map_or(self.expires.0 / 2, |period| period.0)
    }
}

/// How this machine signs one role: the same for the roles of PEP 458 and for delegated ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) keys: &'a [KeyUri],
    pub(crate) expires: TimeDelta,
    pub(crate) renew_after: TimeDelta,
}

/// What is mirrored, and from where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Mirror {
    /// The upstream index; absent: the one that pip here uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<url::Url>,
    /// The projects, by normalised name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<String, ProjectConfig>,
}

/// What is mirrored of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProjectConfig {
    /// Only this many of the newest releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<usize>,
}

impl ProjectConfig {
    /// The newest `latest` releases, or all.
    #[must_use]
    pub const fn new(latest: Option<usize>) -> Self {
        Self { latest }
    }
}

impl Config {
    /// The file in a repository's directory.
    #[must_use]
    pub fn path(repository: &Path) -> PathBuf {
        repository.join(FILE)
    }

    /// Reads the settings of a repository.
    ///
    /// # Errors
    /// [`Error::NotARepository`], [`Error::Config`].
    pub fn load(repository: &Path) -> Result<Self, Error> {
        let path = Self::path(repository);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotARepository { path: repository.to_owned() });
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let refused = |reason: String| Error::Config { path: path.clone(), reason };
        let config: Self = toml::from_str(&text).map_err(|error| refused(explain(&text, &error)))?;
        config.check().map_err(refused)?;
        Ok(config)
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, repository: &Path) -> Result<(), Error> {
        Ok(durable::write_atomic(&Self::path(repository), self.text(repository)?.as_bytes())?)
    }

    /// The settings as they are written.
    pub(crate) fn text(&self, repository: &Path) -> Result<String, Error> {
        toml::to_string(self)
            .map_err(|error| Error::Config { path: Self::path(repository), reason: error.to_string() })
    }

    fn check(&self) -> Result<(), String> {
        let needed = |kind: &RoleKind| self.has_bins() || !matches!(kind, RoleKind::Bins | RoleKind::BinN);
        if let Some(missing) =
            RoleKind::ALL.iter().filter(|kind| needed(kind)).find(|kind| !self.roles.contains_key(kind))
        {
            return Err(format!("the section [roles.{missing}] is missing"));
        }
        if let Some((kind, _)) = self.roles.iter().find(|(_, role)| role.threshold == 0) {
            return Err(format!("[roles.{kind}]: the threshold must be at least 1"));
        }
        if let Some((kind, role)) = self.roles.iter().find(|(_, role)| role.renew_after() >= role.expires.0) {
            return Err(format!("[roles.{kind}]: renew_after must be less than expires ({})", role.expires));
        }
        for (name, role) in &self.delegations {
            if role.keys.is_empty() {
                return Err(format!("[delegations.{name:?}]: keys is empty"));
            }
            if role.renew_after() >= role.expires.0 {
                return Err(format!(
                    "[delegations.{name:?}]: renew_after must be less than expires ({})",
                    role.expires
                ));
            }
        }
        if let Some(name) = self.mirror.projects.keys().find(|name| !ProjectName::is_normalised(name)) {
            return Err(format!("[mirror.projects.{name}]: not a normalised project name"));
        }
        if let Some(least) = self.min_version.filter(|least| *least > HIGHEST_MIN_VERSION) {
            return Err(format!("min_version is {least}, and {HIGHEST_MIN_VERSION} at most"));
        }
        match self.bins.map(tuf_core::bins::HashBins::new) {
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether files are spread over hash bins.
    #[must_use]
    pub fn has_bins(&self) -> bool {
        self.roles.contains_key(&RoleKind::Bins)
    }

    /// How this machine signs a role; `None`: another one does.
    pub(crate) fn terms(&self, role: &RoleName) -> Option<Terms<'_>> {
        let section = section(role);
        let kind = RoleKind::ALL.into_iter().find(|kind| kind.name() == section);
        match kind {
            Some(kind) => self.roles.get(&kind).map(|role| Terms {
                keys: &role.keys,
                expires: role.expires.0,
                renew_after: role.renew_after(),
            }),
            None => self.delegations.get(&*section).map(|role| Terms {
                keys: &role.keys,
                expires: role.expires.0,
                renew_after: role.renew_after(),
            }),
        }
    }

    /// How long a role is valid, and after how long it is signed again if not at half of that.
    pub(crate) fn periods(&self, role: &RoleName) -> Option<(Period, Option<Period>)> {
        let section = section(role);
        match RoleKind::ALL.into_iter().find(|kind| kind.name() == section) {
            Some(kind) => self.roles.get(&kind).map(|role| (role.expires, role.renew_after)),
            None => self.delegations.get(&*section).map(|role| (role.expires, role.renew_after)),
        }
    }

    /// Changes how long a role is valid, and after how long it is signed again.
    ///
    /// # Errors
    /// [`Error::Config`] if the role has no section, or could not be signed like this; then nothing is changed.
    pub fn set_periods(
        &mut self,
        role: &RoleName,
        expires: Option<Period>,
        renew_after: Option<Period>,
    ) -> Result<(), Error> {
        let mut changed = self.clone();
        let section = section(role).into_owned();
        let kind = RoleKind::ALL.into_iter().find(|kind| kind.name() == section);
        let delegations = &mut changed.delegations;
        let periods = match kind {
            Some(kind) => changed.roles.get_mut(&kind).map(|role| (&mut role.expires, &mut role.renew_after)),
            None => delegations.get_mut(&section).map(|role| (&mut role.expires, &mut role.renew_after)),
        };
        let refused = |reason| Error::Config { path: FILE.into(), reason };
        let Some((valid, renewed)) = periods else {
            return Err(refused(format!("there is no section for role {role}: another machine signs it")));
        };
        *valid = expires.unwrap_or(*valid);
        *renewed = renew_after.or(*renewed);
        changed.check().map_err(refused)?;
        *self = changed;
        Ok(())
    }

    /// Changes the keys that this machine signs a delegated role with.
    pub fn set_keys(&mut self, role: &RoleName, keys: Vec<KeyUri>) {
        let section = section(role).into_owned();
        let kind = RoleKind::ALL.into_iter().find(|kind| kind.name() == section);
        if let Some(role) = kind.and_then(|kind| self.roles.get_mut(&kind)) {
            role.keys = keys;
        } else {
            let new = DelegationConfig::new(Vec::new(), RoleKind::Targets.default_expires());
            self.delegations.entry(section).or_insert(new).keys = keys;
        }
    }

    /// The settings of a role; [`Config::load`] saw to it that they are there.
    pub(crate) fn role(&self, kind: RoleKind) -> Result<&RoleConfig, Error> {
        self.roles.get(&kind).ok_or_else(|| Error::Config {
            path: FILE.into(),
            reason: format!("the section [roles.{kind}] is missing"),
        })
    }
}

/// What is wrong with a file, with the place. A line with a URL is not repeated: it may hold a password.
fn explain(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let number = before.lines().count().max(1);
    match text.lines().nth(number - 1) {
        Some(line) if line.contains("://") => format!("line {number}: {}", error.message()),
        _ => error.to_string(),
    }
}

/// The section that says how a targets role is signed: its name, and of hash bins what they have in common:
/// `bin-n` for `bin-16-3`, `x-bin-n` for `x-bin-16-3`.
pub(crate) fn section(role: &RoleName) -> Cow<'_, str> {
    match NamedBins::split(role) {
        Some(("", _)) => "bin-n".into(),
        Some((above, _)) => format!("{above}-bin-n").into(),
        None => role.as_str().into(),
    }
}

/// A span of time as people write it: `365d`, `12h`, `30m`, `90s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub(crate) TimeDelta);

impl Period {
    /// So long a span.
    #[must_use]
    pub const fn new(span: TimeDelta) -> Self {
        Self(span)
    }

    /// The span.
    #[must_use]
    pub const fn delta(self) -> TimeDelta {
        self.0
    }
}

/// Not a [`Period`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected a time like 365d, 12h, 30m or 90s, found {0:?}")]
pub struct PeriodError(String);

const UNITS: [(char, i64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let parse = || {
            let (unit, seconds) = *UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
            let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
            TimeDelta::try_seconds(number.checked_mul(seconds)?).filter(|delta| delta.num_days() < 36_500)
        };
        parse().map(Self).ok_or_else(|| PeriodError(text.to_owned()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.num_seconds();
        match UNITS.iter().find(|(_, length)| seconds % length == 0) {
            Some((unit, length)) => write!(f, "{}{unit}", seconds / length),
            None => write!(f, "{seconds}s"),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// [`Layout`] by its name.
mod layout {
    use serde::{Deserialize, Deserializer, Serializer};
    use tuf_client::simple::Layout;

    pub(super) fn serialize<S: Serializer>(layout: &Layout, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(layout.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Layout, D::Error> {
        match &*String::deserialize(deserializer)? {
            "pep458" => Ok(Layout::Pep458),
            "index" => Ok(Layout::Index),
            other => Err(serde::de::Error::custom(format!("expected pep458 or index, found {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_as_they_are_written() {
        for text in ["365d", "12h", "30m", "90s", "1d"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        assert_eq!("24h".parse::<Period>().unwrap().to_string(), "1d");
        for text in ["", "d", "1", "1w", "-1d", "0d", "1.5d", "99999999999999999d", "40000d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
