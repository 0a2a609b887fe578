//! `state = "postgres://…"`: which database holds the state, and under which name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tuf_client::env;
use url::{Host, Url};

/// The name of a repository in its database unless the URL gives another one.
pub(super) const DEFAULT_NAME: &str = "default";

/// The parameter that is ours; all others are PostgreSQL's.
const REPOSITORY: &str = "repository";

/// A PostgreSQL database, as `postgres://USER@HOST/DATABASE?repository=NAME`. Shown, its password is masked.
///
/// What the URL leaves out comes from the usual environment: `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`,
/// `PGDATABASE`, `PGSSLMODE`, `~/.pgpass`. Staged targets will be signed, so that a server elsewhere must
/// prove its name (`sslmode=verify-full`) unless the URL or `PGSSLMODE` says otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct StateUrl {
    url: Url,
    repository: String,
}

/// Why a text is no [`StateUrl`]. Does not repeat the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state: expected postgres://USER@HOST/DATABASE?repository=NAME, {0}")]
pub struct StateUrlError(String);

impl StateUrl {
    /// Under which name this repository's rows are in the database.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Whether it has a password, which is better kept in `~/.pgpass` or `PGPASSWORD`.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.url.password().is_some() || parameters(&self.url).any(|(name, _)| name == "password")
    }

    /// What the driver gets: without our parameter, and with `sslmode` where the server must be asked for its name.
    pub(super) fn driver_url(&self) -> Url {
        let mut url = self.url.clone();
        let pairs: Vec<(String, String)> = parameters(&url).filter(|(name, _)| name != REPOSITORY).collect();
        url.set_query(None);
        for (name, value) in &pairs {
            url.query_pairs_mut().append_pair(name, value);
        }
        let says_ssl = pairs.iter().any(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode"));
        if !says_ssl && env::var("PGSSLMODE").is_none() && !self.is_local() {
            url.query_pairs_mut().append_pair("sslmode", "verify-full");
        }
        url
    }

    /// Whether the server is on this machine: a socket or the loopback.
    fn is_local(&self) -> bool {
        let named = parameters(&self.url).filter(|(name, _)| matches!(&**name, "host" | "hostaddr"));
        let host = named
            .map(|(_, host)| host)
            .last()
            .or_else(|| self.url.host_str().filter(|host| !host.is_empty()).map(str::to_owned))
            .or_else(|| env::var("PGHOSTADDR"))
            .or_else(|| env::var("PGHOST"));
        host.is_none_or(|host| is_loopback(&host))
    }
}

fn is_loopback(host: &str) -> bool {
    if host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f") {
        return true;
    }
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost",
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => host == "::1",
    }
}

fn parameters(url: &Url) -> impl Iterator<Item = (String, String)> {
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned()))
}

impl FromStr for StateUrl {
    type Err = StateUrlError;

    fn from_str(text: &str) -> Result<Self, StateUrlError> {
        let refused = |why: String| StateUrlError(why);
        let url: Url = text.parse().map_err(|error| refused(format!("found no URL: {error}")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused(format!(
                "found {}: without `state` it is a file in state/",
                if text.contains("://") { url.scheme() } else { "another text" }
            )));
        }
        let named = parameters(&url).filter(|(name, _)| name == REPOSITORY).map(|(_, value)| value);
        let mut names: Vec<String> = named.collect();
        let repository = names.pop().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        if !names.is_empty() {
            return Err(refused("found repository= twice".to_owned()));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if repository.is_empty() || repository.len() > 100 || !repository.chars().all(plain) {
            return Err(refused(format!(
                "found repository={repository:?}: a name is up to 100 letters, digits, '-', '_' and '.'"
            )));
        }
        Ok(Self { url, repository })
    }
}

impl fmt::Display for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        if url.password().is_some() {
            // Fails only for a URL that cannot have one.
            let _ = url.set_password(Some("***"));
        }
        let pairs: Vec<(String, String)> = parameters(&url).collect();
        if pairs.iter().any(|(name, _)| name == "password") {
            url.set_query(None);
            for (name, value) in &pairs {
                url.query_pairs_mut().append_pair(name, if name == "password" { "***" } else { value });
            }
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateUrl({self})")
    }
}

/// As the operator wrote it, password included: it goes back into `tuf-repo.toml`.
impl Serialize for StateUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.url.as_str())
    }
}

impl<'de> Deserialize<'de> for StateUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        for (text, shown, name) in [
            ("postgres://u@127.0.0.1:5432/db", "postgres://u@127.0.0.1:5432/db", "default"),
            ("postgres://u:se%40cret@h/db", "postgres://u:***@h/db", "default"),
            ("postgresql://h/db?repository=pypi", "postgresql://h/db?repository=pypi", "pypi"),
            (
                "postgres:///db?host=/run/pg&password=x%26y",
                "postgres:///db?host=%2Frun%2Fpg&password=***",
                "default",
            ),
        ] {
            let url: StateUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.repository()), (shown, name), "{text}");
            assert_eq!(url.has_password(), shown.contains("***"));
            assert_eq!(format!("{url:?}"), format!("StateUrl({shown})"));
            assert_eq!(serde_json::to_value(&url).unwrap(), text, "it is written back as it was");
            assert!(!url.driver_url().as_str().contains("repository"), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        for text in [
            "",
            "state.db",
            "sqlite:///secret.db",
            "mysql://u:secret@h/db",
            "postgres://u:secret@h:port/db",
            "postgres://u:secret@h/db?repository=",
            "postgres://u:secret@h/db?repository=a/b",
            "postgres://u:secret@h/db?repository=a&repository=b",
        ] {
            let said = text.parse::<StateUrl>().unwrap_err().to_string();
            assert!(
                said.starts_with("state: expected postgres://") && !said.contains("secret"),
                "{text}: {said}"
            );
        }
    }

    #[test]
    fn a_server_elsewhere_must_prove_its_name() {
        for (text, verified) in [
            ("postgres://u@127.0.0.1/db", false),
            ("postgres://u@[::1]/db", false),
            ("postgres://u@localhost/db", false),
            ("postgres://u@%2Frun%2Fpg/db", false),
            ("postgres:///db?host=/run/pg", false),
            ("postgres://u@db.example/db", true),
            ("postgres://u@10.0.0.1/db", true),
            ("postgres:///db?host=db.example", true),
            ("postgres://u@localhost/db?host=db.example", true),
            ("postgres://u@db.example/db?sslmode=disable", false),
        ] {
            let url = text.parse::<StateUrl>().unwrap().driver_url();
            assert_eq!(url.as_str().contains("sslmode=verify-full"), verified, "{text} -> {url}");
        }
    }
}
