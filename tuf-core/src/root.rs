//! Root metadata (spec 4.3): the keys and thresholds of the four top-level roles.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use crate::json::Extra;
use crate::key::Key;
use crate::keys::{Keys, RoleKeys, RoleKeysReader, read_keys, write_keys};
use crate::limits::Limits;
use crate::metadata::{Header, Metadata, sealed};
use crate::reader::{FieldError, Reader, required, write_map, write_object};
use crate::role::{RoleName, TopLevel};

/// Root metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// The common fields.
    pub header: Header,
    /// Whether files are published under versioned and hashed names (spec 6.2). Absent reads as false.
    pub consistent_snapshot: bool,
    /// All keys that a role may name.
    pub keys: Keys,
    /// The four top-level roles, and any other that is carried, such as `mirrors`.
    roles: BTreeMap<String, RoleKeys>,
    /// Unknown fields.
    pub extra: Extra,
}

impl Root {
    /// An empty root, version 1, with consistent snapshots. It cannot sign for anything before
    /// [`Root::set_role`] was called for the four roles.
    #[must_use]
    pub fn new(expires: DateTime<Utc>) -> Self {
        Self {
            header: Header::new(expires),
            consistent_snapshot: true,
            keys: Keys::new(),
            roles: TopLevel::ALL
                .iter()
                .map(|role| (role.name().to_owned(), RoleKeys::new(Vec::new(), 1)))
                .collect(),
            extra: Extra::new(),
        }
    }

    /// Keys and threshold of a top-level role.
    #[must_use]
    pub fn role(&self, role: TopLevel) -> &RoleKeys {
        static NOBODY: LazyLock<RoleKeys> = LazyLock::new(RoleKeys::nobody);
        // Reading and building see to it that all four are there.
        self.roles.get(role.name()).unwrap_or(&NOBODY)
    }

    /// Whether a role has the same keys and threshold in another root.
    pub(crate) fn same_keys(&self, other: &Self, role: TopLevel) -> bool {
        let [ours, theirs] = [self.role(role), other.role(role)];
        ours == theirs && ours.keyids.iter().all(|id| self.keys.get(id) == other.keys.get(id))
    }

    /// The names of all roles listed, the carried ones included.
    pub fn role_names(&self) -> impl Iterator<Item = RoleName> {
        self.roles.keys().filter_map(|name| RoleName::new(name).ok())
    }

    /// Gives a role these keys, under the key IDs of the specification. Keys that no role names any
    /// more are dropped.
    pub fn set_role<'a>(&mut self, role: TopLevel, keys: impl IntoIterator<Item = &'a Key>, threshold: u32) {
        let mut keyids = Vec::new();
        for key in keys {
            keyids.push(key.id());
            self.keys.insert(key.id(), key.clone());
        }
        self.roles.insert(role.name().to_owned(), RoleKeys::new(keyids, threshold));
        let roles = &self.roles;
        self.keys.retain(|id, _| roles.values().any(|role| role.keyids.contains(id)));
    }
}

impl Metadata for Root {
    const KIND: TopLevel = TopLevel::Root;

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_mut(&mut self) -> &mut Header {
        &mut self.header
    }
}

#[derive(Debug, Default)]
#[expect(unnameable_types, reason = "stands in the sealed trait behind `Metadata`")]
pub struct Parts {
    consistent_snapshot: bool,
    keys: Option<Keys>,
    roles: Option<BTreeMap<String, RoleKeys>>,
}

impl sealed::Sealed for Root {
    type Parts = Parts;

    fn read_field(
        parts: &mut Parts,
        key: &str,
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<bool, FieldError> {
        match key {
            "consistent_snapshot" => parts.consistent_snapshot = reader.boolean()?,
            "keys" => parts.keys = Some(read_keys(reader, limits)?),
            "roles" => {
                let mut roles = BTreeMap::new();
                reader.object(|name, reader| {
                    let (mut keys, mut extra) = (RoleKeysReader::default(), Extra::new());
                    reader.object(|key, reader| {
                        if !keys.field(&key, reader, limits)? {
                            extra.insert(key.into_owned(), reader.json());
                        }
                        Ok(())
                    })?;
                    roles.insert(name.into_owned(), keys.finish(extra)?);
                    Ok(())
                })?;
                parts.roles = Some(roles);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn build(header: Header, parts: Parts, extra: Extra) -> Result<Self, FieldError> {
        let roles = required(parts.roles, "roles")?;
        for role in TopLevel::ALL {
            if !roles.contains_key(role.name()) {
                return Err(FieldError::missing(role.name()).at("roles"));
            }
        }
        Ok(Self {
            header,
            consistent_snapshot: parts.consistent_snapshot,
            keys: required(parts.keys, "keys")?,
            roles,
            extra,
        })
    }

    fn write_fields<'a>(&'a self) -> Vec<sealed::OwnField<'a>> {
        vec![
            (
                "consistent_snapshot",
                Box::new(|out| out.push_str(if self.consistent_snapshot { "true" } else { "false" })),
            ),
            ("keys", Box::new(|out| write_keys(out, &self.keys))),
            (
                "roles",
                Box::new(|out| {
                    write_map(out, &self.roles, |out, role| {
                        write_object(
                            out,
                            &role.extra,
                            &[
                                ("keyids", &|out| role.write_keyids(out)),
                                ("threshold", &|out| out.push_str(&role.threshold().to_string())),
                            ],
                        );
                    });
                }),
            ),
        ]
    }

    fn extra(&self) -> &Extra {
        &self.extra
    }
}
