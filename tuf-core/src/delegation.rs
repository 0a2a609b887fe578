//! Delegations (spec 4.5): which role may sign for which paths, in which order.

use data_encoding::HEXLOWER;

use crate::bins::SuccinctBins;
use crate::canonical::write_string;
use crate::json::Extra;
use crate::keys::{Keys, RoleKeys, RoleKeysReader, read_keys, write_keys};
use crate::limits::Limits;
use crate::pattern;
use crate::reader::{FieldError, Reader, required, write_object};
use crate::role::RoleName;
use crate::role_list::RoleList;
use crate::strings::Strings;
use crate::target_path::TargetPath;

/// Which paths a delegated role may sign for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Paths that match one of these patterns; see [`crate::pattern`].
    Paths(Strings),
    /// Paths whose SHA-256, in lower-case hex, starts with one of these prefixes. The empty one is a prefix of all:
    /// were it of none, a role put before others to shadow them would be passed over.
    PathHashPrefixes(Strings),
}

impl Scope {
    /// Whether a path is in scope.
    #[must_use]
    pub fn covers(&self, path: &TargetPath) -> bool {
        match self {
            Self::Paths(patterns) => patterns.iter().any(|pattern| pattern::matches(&pattern, path.as_str())),
            Self::PathHashPrefixes(prefixes) => {
                let digest = HEXLOWER.encode(&path.digest());
                prefixes.iter().any(|prefix| digest.starts_with(&*prefix))
            }
        }
    }
}

/// One delegated role.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delegation {
    /// The role's name.
    pub name: RoleName,
    /// Its keys and threshold.
    pub keys: RoleKeys,
    /// If it covers a path, no later delegation is asked for that path.
    pub terminating: bool,
    /// The paths it may sign for.
    pub scope: Scope,
    /// Unknown fields.
    pub extra: Extra,
}

impl Delegation {
    /// A delegation that does not terminate.
    #[must_use]
    pub const fn new(name: RoleName, keys: RoleKeys, scope: Scope) -> Self {
        Self { name, keys, terminating: false, scope, extra: Extra::new() }
    }

    pub(crate) fn read<'a>(
        reader: &mut Reader<'a>,
        keys: &mut RoleKeysReader<'a>,
        limits: &Limits,
    ) -> Result<Self, FieldError> {
        let (mut name, mut terminating) = (None, None);
        let (mut paths, mut prefixes, mut extra) = (None, None, Extra::new());
        let strings =
            |reader: &mut Reader<'_>| Strings::read(reader, limits.patterns, "path patterns or prefixes");
        reader.object(|key, reader| {
            match &*key {
                "name" => name = Some(read_name(reader)?),
                "terminating" => terminating = Some(reader.boolean()?),
                "paths" => paths = Some(strings(reader)?),
                "path_hash_prefixes" => prefixes = Some(strings(reader)?),
                key if keys.field(key, reader, limits)? => {}
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        let scope = match (paths, prefixes) {
            (Some(patterns), None) => Scope::Paths(patterns),
            (None, Some(prefixes)) => Scope::PathHashPrefixes(prefixes),
            (both, _) => {
                let found = if both.is_some() { "both" } else { "neither" };
                return Err(FieldError::new("either paths or path_hash_prefixes", found));
            }
        };
        Ok(Self {
            name: required(name, "name")?,
            // `terminating` and the scope are fields of their own; what is left is unknown.
            keys: keys.finish(Extra::new())?,
            // An example of the specification (4.5) has none. Nothing else ever meant that the search ends here, and who
            // is without the delegator's keys cannot take the field away.
            terminating: terminating.unwrap_or(false),
            scope,
            extra,
        })
    }

    pub(crate) fn write(&self, out: &mut String) {
        let (scope, values) = match &self.scope {
            Scope::Paths(patterns) => ("paths", patterns),
            Scope::PathHashPrefixes(prefixes) => ("path_hash_prefixes", prefixes),
        };
        write_object(
            out,
            &self.extra,
            &[
                ("keyids", &|out| self.keys.write_keyids(out)),
                ("name", &|out| write_string(out, self.name.as_str())),
                (scope, &|out| values.write(out)),
                ("terminating", &|out| out.push_str(if self.terminating { "true" } else { "false" })),
                ("threshold", &|out| out.push_str(&self.keys.threshold().to_string())),
            ],
        );
    }
}

pub(crate) fn read_name(reader: &mut Reader<'_>) -> Result<RoleName, FieldError> {
    let name = reader.string()?;
    let name = RoleName::new(&name)
        .map_err(|_| FieldError::new("a role name of 1 to 255 bytes without NUL", &name))?;
    // Such a role would share a file name, and a rollback floor, with a top-level role.
    match name.top_level() {
        Some(_) => Err(FieldError::new("a name that is no top-level role's", name)),
        None => Ok(name),
    }
}

/// The delegated roles of one file: named ones in order of priority, or succinct hash bins (TAP 15).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delegated {
    /// Roles in order of priority.
    Roles(RoleList),
    /// Hash bins that differ only in their number.
    Succinct(SuccinctBins),
}

/// `delegations` of a targets file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delegations {
    /// The keys that the delegated roles may name.
    pub keys: Keys,
    /// The roles.
    pub roles: Delegated,
    /// Unknown fields.
    pub extra: Extra,
}

impl Delegations {
    /// Delegations to these roles.
    #[must_use]
    pub const fn new(keys: Keys, roles: Delegated) -> Self {
        Self { keys, roles, extra: Extra::new() }
    }

    /// The roles that may sign for a path, by priority, each with its `terminating`. Hash prefixes are
    /// compared against one digest of the path, computed once.
    #[must_use]
    pub fn covering(&self, path: &TargetPath) -> Vec<(RoleName, bool)> {
        match &self.roles {
            Delegated::Roles(roles) => roles.covering(path),
            Delegated::Succinct(bins) => bins.role_of(path).map(|role| (role, true)).into_iter().collect(),
        }
    }

    /// Keys and threshold of a delegated role, if there is a delegation to it.
    #[must_use]
    pub fn role_keys(&self, role: &RoleName) -> Option<RoleKeys> {
        match &self.roles {
            Delegated::Roles(roles) => roles.get(role).map(|delegation| delegation.keys),
            Delegated::Succinct(bins) => bins.contains(role).then(|| bins.keys.clone()),
        }
    }

    /// The names of all delegated roles.
    #[must_use]
    pub fn role_names(&self) -> Vec<RoleName> {
        match &self.roles {
            Delegated::Roles(roles) => roles.iter().map(|role| role.name).collect(),
            Delegated::Succinct(bins) => bins.role_names().collect(),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, FieldError> {
        let (mut keys, mut roles, mut succinct, mut extra) = (None, None, None, Extra::new());
        reader.object(|key, reader| {
            match &*key {
                "keys" => keys = Some(read_keys(reader, limits)?),
                "roles" => roles = Some(RoleList::read(reader, limits)?),
                "succinct_roles" => succinct = Some(SuccinctBins::read(reader, limits)?),
                _ => {
                    extra.insert(key.into_owned(), reader.json());
                }
            }
            Ok(())
        })?;
        let roles = match (roles, succinct) {
            (Some(roles), None) => Delegated::Roles(roles),
            (None, Some(bins)) => Delegated::Succinct(bins),
            (both, _) => {
                let found = if both.is_some() { "both" } else { "neither" };
                return Err(FieldError::new("either roles or succinct_roles", found));
            }
        };
        Ok(Self { keys: required(keys, "keys")?, roles, extra })
    }

    pub(crate) fn write(&self, out: &mut String) {
        let keys = |out: &mut String| write_keys(out, &self.keys);
        let roles = |out: &mut String| match &self.roles {
            Delegated::Roles(roles) => out.push_str(roles.as_canonical()),
            Delegated::Succinct(bins) => bins.write(out),
        };
        let name = match &self.roles {
            Delegated::Roles(_) => "roles",
            Delegated::Succinct(_) => "succinct_roles",
        };
        write_object(out, &self.extra, &[("keys", &keys), (name, &roles)]);
    }
}
