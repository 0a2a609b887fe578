//! Names of roles and keys. A name is never a path: the one place that makes a file name of it is here.

use std::fmt;

/// The four top-level roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TopLevel {
    /// `root`: who may sign for the four roles.
    Root,
    /// `timestamp`: which snapshot is current.
    Timestamp,
    /// `snapshot`: which version of every targets role belongs together.
    Snapshot,
    /// `targets`: the hashes and lengths of files, and who else may sign for some of them.
    Targets,
}

impl TopLevel {
    /// All four, in the order of the trust chain.
    pub const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];

    /// The role's name, which is also its `_type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }

    /// The role as a [`RoleName`].
    #[must_use]
    pub fn role(self) -> RoleName {
        RoleName(self.name().into())
    }
}

/// The name of a role: any non-empty string of at most 255 bytes without NUL (spec 4.5 sets no grammar).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Box<str>);

/// A name that no role can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role name has 1 to 255 bytes and no NUL: {0:?}")]
pub struct RoleNameError(String);

impl RoleName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`RoleNameError`] if it is empty, longer than 255 bytes or holds NUL.
    pub fn new(name: &str) -> Result<Self, RoleNameError> {
        if name.is_empty() || name.len() > 255 || name.contains('\0') {
            return Err(RoleNameError(name.chars().take(80).collect()));
        }
        Ok(Self(name.into()))
    }

    /// The name as signed.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The top-level role of this name, if it is one.
    #[must_use]
    pub fn top_level(&self) -> Option<TopLevel> {
        TopLevel::ALL.into_iter().find(|role| role.name() == self.as_str())
    }

    /// The name of the metadata file: `ROLE.json`, or `VERSION.ROLE.json` under consistent snapshots
    /// (spec 6.2), as one path segment that is the same in a URL and on disk.
    #[must_use]
    pub fn file_name(&self, version: Option<u64>) -> String {
        let name = percent_encode(&self.0);
        version.map_or_else(|| format!("{name}.json"), |version| format!("{version}.{name}.json"))
    }

    /// The name of the file in a store: as [`Self::file_name`], but also one that Windows and file
    /// systems with names of 255 bytes can hold.
    pub(crate) fn store_name(&self) -> String {
        let mut name = percent_encode(&self.0);
        if name.len() > 200 {
            // Characters are never cut: what is left is ASCII.
            let sum = data_encoding::HEXLOWER.encode(&crate::target_path::sha256(self.0.as_bytes()));
            name = format!("{}%{sum}", name.get(..100).unwrap_or_default());
        }
        if let Some(first) = name.bytes().next().filter(|_| crate::target_path::is_windows_device(&name)) {
            name = format!("%{first:02X}{}", name.get(1..).unwrap_or_default());
        }
        format!("{name}.json")
    }

    /// The name under which snapshot metadata lists this role: unencoded (spec 4.4).
    #[must_use]
    pub fn snapshot_entry(&self) -> String {
        format!("{}.json", self.0)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl From<TopLevel> for RoleName {
    fn from(role: TopLevel) -> Self {
        role.role()
    }
}

/// A key ID: opaque, and only unique within the file that uses it (TAP 12).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// Any string is a key ID.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The ID as signed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters, for tables.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.chars().take(8).collect()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Encodes all but unreserved characters (RFC 3986), so that the result is one path segment
/// everywhere. A leading dot cannot make `.` or `..`, because something always follows.
pub(crate) fn percent_encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_name_is_one_path_segment() {
        for (name, file) in [
            ("bins", "bins.json"),
            ("../x", "..%2Fx.json"),
            ("/abs", "%2Fabs.json"),
            ("a\\b:c", "a%5Cb%3Ac.json"),
            ("?#%", "%3F%23%25.json"),
            ("é", "%C3%A9.json"),
            ("..", "...json"),
        ] {
            assert_eq!(RoleName::new(name).unwrap().file_name(None), file);
        }
        assert_eq!(RoleName::new("bins").unwrap().file_name(Some(7)), "7.bins.json");
        for name in ["", "a\0b", &"x".repeat(256)] {
            assert!(RoleName::new(name).is_err());
        }
    }
    #[test]
    fn a_store_name_is_one_that_every_system_can_hold() {
        let long = format!("con.{}", "x".repeat(250));
        for (name, start) in [("aux", "%61ux.json"), (&*long, "%63on.xxx"), (&long[4..], "xxx")] {
            let stored = RoleName::new(name).unwrap().store_name();
            assert!(stored.starts_with(start) && stored.len() <= 255, "{stored}");
            assert!(crate::TargetPath::new(&*stored).is_ok(), "{stored}");
        }
    }
}
