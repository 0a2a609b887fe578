//! Where a key lives, as the settings file writes it.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AgentKey, KeyError, Pkcs11Uri};

/// The place of a private key, such as `file:keys/root.pem`.
///
/// Paths and command lines are taken as they are written, without percent-encoding; `pkcs11:` is RFC 7512.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum KeyUri {
    /// `env:NAME`: an environment variable that holds a PKCS#8 PEM text or the seed of an Ed25519 key.
    Env(String),
    /// `exec:PROGRAM ARGUMENTS`: a program that signs.
    Exec(String),
    /// `file:PATH`: a PKCS#8 PEM file; a relative path starts at the repository's directory.
    File(PathBuf),
    /// `pkcs11:ATTRIBUTES`: a key on a token.
    Pkcs11(Pkcs11Uri),
    /// `pub:PATH`: only the public half is here, in this file; the key is elsewhere.
    Public(PathBuf),
    /// `ssh-agent:SHA256:…` or `ssh-agent:COMMENT`: a key in a running agent.
    SshAgent(AgentKey),
}

/// Every scheme, with a line on what stands after it.
const SCHEMES: [(&str, &str); 6] = [
    ("file", "keys/NAME.pem"),
    ("env", "VARIABLE"),
    ("pkcs11", "token=LABEL;object=LABEL?module-path=/PATH"),
    ("ssh-agent", "SHA256:FINGERPRINT"),
    ("exec", "PROGRAM ARGUMENTS"),
    ("pub", "keys/NAME.pub.json"),
];

impl KeyUri {
    /// The private key's file, for a repository in the directory `repository`; `None` if it is in no file.
    pub fn path(&self, repository: &Path) -> Option<PathBuf> {
        match self {
            // An absolute path replaces the one it is joined to.
            Self::File(path) => Some(repository.join(path)),
            _ => None,
        }
    }

    /// The key's name: of a file its name without extensions. Messages and passphrase variables go by it.
    pub fn name(&self) -> String {
        match self {
            Self::Env(variable) => variable.clone(),
            Self::Exec(command) => {
                let words = super::exec::words(command).unwrap_or_default();
                super::file::name_of(Path::new(words.first().map_or("exec", String::as_str)))
            }
            Self::File(path) => super::file::name_of(path),
            Self::Pkcs11(uri) => uri.name(),
            Self::Public(path) => {
                let name = super::file::name_of(path);
                name.strip_suffix(".pub").map(str::to_owned).unwrap_or(name)
            }
            Self::SshAgent(key) => key.as_str().to_owned(),
        }
    }

    /// Whether a text begins with the scheme of a key URI: one can be told from the name of a key or a path.
    #[must_use]
    pub fn is_uri(text: &str) -> bool {
        text.split_once(':').is_some_and(|(scheme, _)| SCHEMES.iter().any(|(known, _)| *known == scheme))
    }

    /// The schemes, as they are written.
    pub(super) fn examples() -> String {
        SCHEMES.map(|(scheme, rest)| format!("{scheme}:{rest}")).join(", ")
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(variable) => write!(out, "env:{variable}"),
            Self::Exec(command) => write!(out, "exec:{command}"),
            Self::File(path) => write!(out, "file:{}", path.display()),
            Self::Pkcs11(uri) => uri.fmt(out),
            Self::Public(path) => write!(out, "pub:{}", path.display()),
            Self::SshAgent(key) => write!(out, "ssh-agent:{}", key.as_str()),
        }
    }
}

impl FromStr for KeyUri {
    type Err = KeyError;

    fn from_str(uri: &str) -> Result<Self, KeyError> {
        let bad = |reason| KeyError::BadUri { uri: shown(uri), reason };
        let Some((scheme, rest)) = uri.split_once(':') else {
            return Err(bad("it has no scheme; write file:keys/NAME.pem"));
        };
        match scheme {
            "env" if is_variable(rest) => Ok(Self::Env(rest.to_owned())),
            "env" => Err(bad("a variable's name has letters, digits and `_` only, and no digit first")),
            "exec" => super::exec::words(rest).map(|_| Self::Exec(rest.to_owned())).map_err(bad),
            "file" => file_path(rest).map(Self::File).map_err(bad),
            "pkcs11" => match Pkcs11Uri::parse(rest).map_err(bad)? {
                uri if uri.names_a_key() => Ok(Self::Pkcs11(uri)),
                _ => Err(bad("it names no key: object=LABEL or id=%01 is missing")),
            },
            "pub" => file_path(rest).map(Self::Public).map_err(bad),
            "ssh-agent" => AgentKey::parse(rest).map(Self::SshAgent).map_err(bad),
            _ => Err(KeyError::UnsupportedScheme { uri: shown(uri), scheme: scheme.to_owned() }),
        }
    }
}

/// A URI for a message: what may be a PIN is not repeated.
fn shown(uri: &str) -> String {
    uri.split_once("pin-value").map_or_else(|| uri.to_owned(), |(before, _)| format!("{before}pin-value=…"))
}

fn is_variable(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn file_path(rest: &str) -> Result<PathBuf, &'static str> {
    // `file:///media/root.pem` names no host, and so the same file as `file:/media/root.pem`.
    let path = match rest.strip_prefix("//") {
        Some(local) if local.starts_with('/') => local,
        Some(_) => return Err("a file on another host cannot be read; write file:keys/NAME.pem"),
        None => rest,
    };
    if path.contains('\0') {
        return Err("a path has no NUL character");
    }
    let path = Path::new(path);
    match path.components().next_back() {
        Some(Component::Normal(_)) => Ok(path.to_owned()),
        _ => Err("it names no file"),
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
            assert_eq!(parsed.path(Path::new("/repo")).as_deref(), Some(Path::new(path)), "{uri}");
            assert_eq!(parsed.name(), name, "{uri}");
            assert_eq!(parsed.to_string().parse::<KeyUri>().unwrap(), parsed, "{uri}");
        }
    }

    #[test]
    fn another_scheme_is_refused_and_the_supported_ones_named() {
        for uri in ["tpm:root", "https://index.example/root.pem", "FILE:keys/root.pem"] {
            let error = uri.parse::<KeyUri>().unwrap_err();
            assert!(matches!(error, KeyError::UnsupportedScheme { .. }), "{uri}: {error}");
            assert!(error.to_string().contains("file:keys/NAME.pem, env:"), "{error}");
        }
    }

    #[test]
    fn every_kind_of_key_has_a_uri_and_a_name() {
        for (uri, name) in [
            ("env:CI_ROOT_KEY", "CI_ROOT_KEY"),
            ("exec:/opt/kms/sign-with.sh --key \"projects/a b\"", "sign-with"),
            ("pkcs11:token=tuf;object=root?module-path=/usr/lib/p11.so", "root"),
            ("pub:keys/holder-1.pub.json", "holder-1"),
            ("ssh-agent:root@example.org", "root@example.org"),
            (
                "ssh-agent:SHA256:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",
                "SHA256:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",
            ),
        ] {
            let parsed: KeyUri = uri.parse().unwrap();
            assert!(KeyUri::is_uri(uri));
            assert_eq!((parsed.to_string().as_str(), parsed.name().as_str()), (uri, name));
            assert_eq!(parsed.path(Path::new("/repo")), None);
        }
        assert!(!KeyUri::is_uri("root") && !KeyUri::is_uri("C:\\root.pem"));
    }

    #[test]
    fn a_uri_that_names_no_key_is_refused_and_no_pin_repeated() {
        for uri in [
            "env:",
            "env:A B",
            "env:1A",
            "exec:",
            "exec:'",
            "pkcs11:",
            "pkcs11:token=tuf",
            "pub:",
            "ssh-agent:",
            "ssh-agent:SHA256:short",
            "pkcs11:object=root?pin-value=4711",
        ] {
            let error = uri.parse::<KeyUri>().unwrap_err();
            assert!(matches!(error, KeyError::BadUri { .. }), "{uri:?}");
            assert!(!error.to_string().contains("4711"), "{error}");
        }
    }

    #[test]
    fn a_uri_that_names_no_file_is_refused() {
        for uri in ["", "keys/root.pem", "file:", "file:/", "file:..", "file://host/root.pem", "file:a\0b"] {
            assert!(matches!(uri.parse::<KeyUri>(), Err(KeyError::BadUri { .. })), "{uri:?}");
        }
    }
}
