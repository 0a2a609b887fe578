//! Credentials for our own requests, each for one place only. They are in no log, no error and no `Debug`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use reqwest::header::HeaderValue;
use url::{Host, Origin};

use super::SetupError;
use crate::{env, url::Url};

const AUTHORIZATION: &str = "TUF_AUTHORIZATION";
/// Far above any netrc file.
const MAX_NETRC: u64 = 1024 * 1024;

/// What to present to which origin, or by netrc to which host.
///
/// The user info of a URL comes first, then what is set for its origin, then netrc.
#[derive(Clone, Default)]
pub struct Credentials {
    origins: Vec<(Origin, HeaderValue)>,
    hosts: Vec<(String, HeaderValue)>,
}

impl Credentials {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the environment says for the repository at these URLs: `TUF_AUTHORIZATION`, the whole value of the
    /// `Authorization` header, for their origins alone; and the netrc file named by `NETRC`, or `.netrc` in the home
    /// directory, for their hosts alone.
    ///
    /// # Errors
    /// [`SetupError::Credentials`].
    pub fn from_environment(urls: &[Url]) -> Result<Self, SetupError> {
        let mut credentials = Self::new();
        let named = env::var("NETRC").map(PathBuf::from);
        let home = env::var(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from);
        if let Some(path) = named.clone().or_else(|| Some(home?.join(".netrc"))) {
            match read_netrc(&path) {
                // Only the file that was asked for must be there.
                Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {}
                Err(source) => {
                    return Err(SetupError::Credentials { origin: path.display().to_string(), source });
                }
                Ok(text) => credentials.hosts = netrc(&text),
            }
        }
        let hosts: Vec<_> = urls.iter().filter_map(|url| host(&sent(url)?)).collect();
        credentials.hosts.retain(|(host, _)| hosts.contains(host));
        if let Some(value) = env::var(AUTHORIZATION) {
            for url in urls {
                credentials = credentials.for_origin(url, &value)?;
            }
        }
        Ok(credentials)
    }

    /// Presents `authorization`, the whole value of the `Authorization` header, to the origin of `url`: scheme,
    /// host and port.
    ///
    /// # Errors
    /// [`SetupError::Credentials`] if this is no value of a header.
    pub fn for_origin(mut self, url: &Url, authorization: &str) -> Result<Self, SetupError> {
        let value = header(authorization.trim()).ok_or_else(|| SetupError::Credentials {
            origin: AUTHORIZATION.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "there are control characters in it"),
        })?;
        // What cannot be read is never asked for.
        self.origins.extend(sent(url).map(|url| (url.origin(), value)));
        Ok(self)
    }

    /// Presents user names and passwords of a netrc file's text, each to its host.
    #[must_use]
    pub fn netrc(mut self, text: &str) -> Self {
        self.hosts.extend(netrc(text));
        self
    }

    /// For a URL as the HTTP client reads it.
    pub(super) fn authorization(&self, url: &url::Url) -> Option<HeaderValue> {
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let origin = self.origins.iter().find(|(origin, _)| *origin == url.origin());
        let by_host = || {
            let host = host(url)?;
            self.hosts.iter().find(|(name, _)| *name == host).map(|(_, value)| value.clone())
        };
        origin.map(|(_, value)| value.clone()).or_else(by_host)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.origins.len().saturating_add(self.hosts.len());
        f.debug_struct("Credentials").field("count", &count).finish_non_exhaustive()
    }
}

/// A URL as the HTTP client reads it.
pub(super) fn sent(url: &Url) -> Option<url::Url> {
    url::Url::parse(url.as_str()).ok()
}

fn host(url: &url::Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) => Some(name.to_ascii_lowercase()),
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    }
}

fn header(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read_netrc(path: &Path) -> io::Result<String> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() || found.len() > MAX_NETRC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file of at most 1 MiB"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if found.permissions().mode() & 0o004 != 0 {
            tracing::warn!(path = %path.display(), "everyone on this machine can read these passwords: chmod 600");
        }
    }
    std::fs::read_to_string(path)
}

/// The hosts of a netrc file with their Basic credentials. Words are separated by white space, or quoted. What is
/// not understood is passed over; `default` too, which would hand a password to any host, and macros, which
/// end with an empty line.
fn netrc(text: &str) -> Vec<(String, HeaderValue)> {
    let mut hosts = Vec::new();
    let (mut machine, mut login, mut password) = (None, None, None);
    let mut finish = |machine: Option<String>, login: &mut Option<String>, password: &mut Option<String>| {
        let (login, password) = (login.take().unwrap_or_default(), password.take());
        if let (Some(machine), Some(password)) = (machine, password)
            && let Some(value) =
                header(&format!("Basic {}", BASE64.encode(format!("{login}:{password}").as_bytes())))
        {
            hosts.push((machine, value));
        }
    };
    let mut rest = text;
    while let Some((word, after)) = next_word(rest) {
        rest = after;
        let mut argument = || {
            let (word, after) = next_word(rest)?;
            rest = after;
            Some(word)
        };
        match &*word {
            "machine" => {
                finish(machine.take(), &mut login, &mut password);
                machine = argument().map(|name| name.to_ascii_lowercase());
            }
            "default" => finish(machine.take(), &mut login, &mut password),
            "login" => login = argument(),
            "password" => password = argument(),
            "account" => drop(argument()),
            "macdef" => rest = after_macro(rest),
            comment if comment.starts_with('#') => {
                rest = rest.split_once('\n').map_or("", |(_, following)| following);
            }
            _ => {}
        }
    }
    finish(machine, &mut login, &mut password);
    hosts
}

fn after_macro(text: &str) -> &str {
    let end = text.find("\n\n").or_else(|| text.find("\n\r\n"));
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// The first word and what follows it. In a quoted word, a backslash stands before a quote or another backslash.
fn next_word(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        return (!word.is_empty()).then(|| (word.to_owned(), rest));
    };
    let mut word = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((word, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => word.extend(characters.next().map(|(_, escaped)| escaped)),
            other => word.push(other),
        }
    }
    Some((word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn basic(user: &str) -> String {
        format!("Basic {}", BASE64.encode(user.as_bytes()))
    }

    #[test]
    fn a_netrc_file_is_read_as_other_programs_read_it() {
        let text = "# mirrors\nmachine a.example login me password s1\n\
            machine B.EXAMPLE\n\tpassword \"s 2\\\"\" # the key\n\tlogin you\n\taccount x\n\
            machine no-password.example login x\n\
            macdef init\nmachine macro.example login x password x\n\n\
            machine token.example password t\n\
            default login any password any\nmachine a.example login later password later\n\
            machine cut.example login";
        let found: Vec<_> =
            netrc(text).into_iter().map(|(host, value)| (host, value.to_str().unwrap().to_owned())).collect();
        let expected = [
            ("a.example", basic("me:s1")),
            ("b.example", basic("you:s 2\"")),
            ("token.example", basic(":t")),
            ("a.example", basic("later:later")),
        ];
        assert_eq!(found, expected.map(|(host, value)| (host.to_owned(), value)));
    }

    #[test]
    fn only_the_origin_or_host_they_are_for_gets_them() {
        let credentials = Credentials::new()
            .netrc("machine a.example login me password s1 machine 127.0.0.1 login l password p")
            .for_origin(&url("https://a.example:8443/base/"), "Bearer t")
            .unwrap();
        let rows = [
            ("https://a.example:8443/other", Some("Bearer t".to_owned())),
            ("http://a.example:8443/", Some(basic("me:s1"))),
            ("https://a.example/", Some(basic("me:s1"))),
            ("http://127.0.0.1:99/", Some(basic("l:p"))),
            ("https://sub.a.example/", None),
            ("https://b.example:8443/", None),
            ("https://user:word@a.example:8443/", None),
            ("file:///a.example", None),
        ];
        for (asked, expected) in rows {
            let found = credentials.authorization(&sent(&url(asked)).unwrap());
            assert_eq!(found.map(|value| value.to_str().unwrap().to_owned()), expected, "{asked}");
        }
        assert_eq!(format!("{credentials:?}"), "Credentials { count: 3, .. }");
    }

    #[test]
    fn a_value_that_is_no_header_is_refused_without_being_told() {
        let error = Credentials::new().for_origin(&url("https://a.example/"), "Bearer s1\ns2").unwrap_err();
        let text = crate::error::chain(&error);
        assert!(text.contains("TUF_AUTHORIZATION") && !text.contains("s1"), "{text}");
    }
}
