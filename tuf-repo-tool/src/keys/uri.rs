//! Where a key lives, as the settings file writes it.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::KeyError;

/// The place of a private key: `file:keys/root.pem`, or `file:/media/offline/root.pem`.
///
/// The path is taken as it is written, without percent-encoding. Other schemes are refused until something stands
/// behind them.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum KeyUri {
    /// A PKCS#8 PEM file; a relative path starts at the repository's directory.
    File(PathBuf),
}

impl KeyUri {
    /// The file behind the URI, for a repository in the directory `repository`.
    pub fn path(&self, repository: &Path) -> PathBuf {
        match self {
            // An absolute path replaces the one it is joined to.
            Self::File(path) => repository.join(path),
        }
    }

    /// The key's name: the file name without its extension. Messages and passphrase variables go by it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => super::file::name_of(path),
        }
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "file:{}", path.display()),
        }
    }
}

impl FromStr for KeyUri {
    type Err = KeyError;

    fn from_str(uri: &str) -> Result<Self, KeyError> {
        let bad = |reason| KeyError::BadUri { uri: uri.to_owned(), reason };
        let Some((scheme, rest)) = uri.split_once(':') else {
            return Err(bad("it has no scheme; write file:keys/NAME.pem"));
        };
        if scheme != "file" {
            return Err(KeyError::UnsupportedScheme { uri: uri.to_owned(), scheme: scheme.to_owned() });
        }
        // `file:///media/root.pem` names no host, and so the same file as `file:/media/root.pem`.
        let path = match rest.strip_prefix("//") {
            Some(local) if local.starts_with('/') => local,
            Some(_) => {
                return Err(bad("a file on another host cannot be read; write file:keys/NAME.pem"));
            }
            None => rest,
        };
        if path.contains('\0') {
            return Err(bad("a path has no NUL character"));
        }
        let path = Path::new(path);
        if !matches!(path.components().next_back(), Some(Component::Normal(_))) {
            return Err(bad("it names no file"));
        }
        Ok(Self::File(path.to_owned()))
    }
}

impl TryFrom<String> for KeyUri {
    type Error = KeyError;

    fn try_from(uri: String) -> Result<Self, KeyError> {
        uri.parse()
    }
}

impl From<KeyUri> for String {
    fn from(uri: KeyUri) -> Self {
        uri.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_starts_at_the_repository_and_an_absolute_one_does_not() {
        for (uri, path, name) in [
            ("file:keys/root.pem", "/repo/keys/root.pem", "root"),
            ("file:../offline/root-2.pem", "/repo/../offline/root-2.pem", "root-2"),
            ("file:/media/a/root.pem", "/media/a/root.pem", "root"),
            ("file:///media/a/root.pem", "/media/a/root.pem", "root"),
            ("file:keys/100%25.pem", "/repo/keys/100%25.pem", "100%25"),
        ] {
            let parsed: KeyUri = uri.parse().unwrap();
            assert_eq!(parsed.path(Path::new("/repo")), Path::new(path), "{uri}");
            assert_eq!(parsed.name(), name, "{uri}");
            assert_eq!(parsed.to_string().parse::<KeyUri>().unwrap(), parsed, "{uri}");
        }
    }

    #[test]
    fn another_scheme_is_refused_and_the_supported_one_named() {
        for uri in ["pkcs11:token=tuf", "ssh-agent:root", "FILE:keys/root.pem"] {
            let error = uri.parse::<KeyUri>().unwrap_err();
            assert!(matches!(error, KeyError::UnsupportedScheme { .. }), "{uri}: {error}");
            assert!(error.to_string().contains("\"file:\""), "{error}");
        }
    }

    #[test]
    fn a_uri_that_names_no_file_is_refused() {
        for uri in ["", "keys/root.pem", "file:", "file:/", "file:..", "file://host/root.pem", "file:a\0b"] {
            assert!(matches!(uri.parse::<KeyUri>(), Err(KeyError::BadUri { .. })), "{uri:?}");
        }
    }
}
