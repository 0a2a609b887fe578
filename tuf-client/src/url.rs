//! Where a repository is: one URL type for every build.
//!
//! Strict (RFC 3986), small and without tables of characters, so that an embedder pays for those only with the feature
//! `http`, whose HTTP client brings them. That client reads the text again, its own way; whatever decides about an origin is
//! decided on what it read.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use iri_string::types::{UriReferenceStr, UriStr, UriString};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Far above any real one.
const MAX_LENGTH: usize = 16 * 1024;
/// Everything but what stands for itself in a segment (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An absolute URL with an authority, in normal form: scheme and host in lower case, no dot segments, no default port, and a
/// path that is at least `/`. [`fmt::Display`] gives all of it, [`fmt::Debug`] no user info and no query.
///
/// ```
/// use tuf_client::Url;
///
/// let base: Url = "HTTPS://Mirror.example:443/tuf/./".parse()?;
/// assert_eq!(base.as_str(), "https://mirror.example/tuf/");
/// assert_eq!(base.join("metadata/1.root.json")?.path(), "/tuf/metadata/1.root.json");
/// assert!(Url::parse("https://mirror.example/a b").is_err(), "a space is written %20");
/// # Ok::<_, tuf_client::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(UriString);

/// Why a text is no [`Url`]. Does not repeat the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`] if it is not one by RFC 3986 with an authority (`//`), or is over 16 KiB. All of it is ASCII: a host name in
    /// another script is written in its `xn--` form, other characters as `%XX`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_LENGTH {
            return Err(UrlError("it is longer than 16 KiB"));
        }
        if !text.is_ascii() {
            return Err(UrlError(
                "it is not all ASCII: write a host name in its xn-- form and other characters as %XX",
            ));
        }
        let uri = UriStr::new(text).map_err(|_| {
            UrlError("it is not of the form scheme://host/path, or has characters to be written as %XX")
        })?;
        Self::normal(&uri.normalize().to_string())
    }

    /// What is left to do for a URL in the normal form that holds for every scheme.
    fn normal(text: &str) -> Result<Self, UrlError> {
        let uri = UriStr::new(text).map_err(|_| UrlError("it has no normal form"))?;
        let (scheme, path) = (uri.scheme_str(), uri.path_str());
        let authority = uri.authority_components().ok_or(UrlError("it has no // after the scheme"))?;
        let default = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        if default.is_some() && authority.host().is_empty() {
            return Err(UrlError("it names no host"));
        }
        let port = match authority.port() {
            None | Some("") => None,
            Some(port) => Some(port.parse::<u16>().map_err(|_| UrlError("its port is not 0 to 65535"))?),
        };
        let mut normal = format!("{scheme}://");
        if let Some(user) = authority.userinfo() {
            normal.push_str(user);
            normal.push('@');
        }
        normal.push_str(authority.host());
        if let Some(port) = port.filter(|_| port != default) {
            normal.push_str(&format!(":{port}"));
        }
        normal.push_str(if path.is_empty() { "/" } else { path });
        for (mark, part) in [('?', uri.query_str()), ('#', uri.fragment_str())] {
            if let Some(part) = part {
                normal.push(mark);
                normal.push_str(part);
            }
        }
        UriString::try_from(normal).map(Self).map_err(|_| UrlError("it has no normal form"))
    }

    /// What this reference stands for, seen from here (RFC 3986, 5.2): `metadata/` below a URL that ends in `/`.
    ///
    /// # Errors
    /// [`UrlError`] if it is no reference, or leads to what is no URL here.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference =
            UriReferenceStr::new(reference).map_err(|_| UrlError("what is joined to it is no URL"))?;
        Self::parse(&reference.resolve_against(self.0.to_absolute()).to_string())
    }

    /// The `file` URL of an absolute path.
    ///
    /// # Errors
    /// [`UrlError`] if the path is relative, not on a local drive, or (but on Unix) not Unicode.
    pub fn from_file_path(path: impl AsRef<Path>) -> Result<Self, UrlError> {
        Self::parse(&local::to_url(path.as_ref()).ok_or(UrlError("it is no absolute local path"))?)
    }

    /// As [`Url::from_file_path`], of a directory: it ends in `/`, so that names can be joined to it.
    ///
    /// # Errors
    /// The same.
    pub fn from_directory_path(path: impl AsRef<Path>) -> Result<Self, UrlError> {
        Self::from_file_path(path)?.as_directory()
    }

    /// The same, with a path that ends in `/`.
    pub(crate) fn as_directory(&self) -> Result<Self, UrlError> {
        if self.path().ends_with('/') {
            return Ok(self.clone());
        }
        let (before, path) = self.split();
        let after = self.as_str().get(before.len() + path.len()..).unwrap_or_default();
        Self::parse(&format!("{before}{path}/{after}"))
    }

    /// The path of a `file` URL of this machine.
    #[must_use]
    pub fn to_file_path(&self) -> Option<PathBuf> {
        let local = self.scheme() == "file" && matches!(self.host(), "" | "localhost");
        local.then(|| local::from_url(self.path()))?
    }

    /// All of it, user info and query included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// In lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.scheme_str()
    }

    /// Name or address, in lower case; an IPv6 address in brackets. May be empty in a `file` URL.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.authority_components().map_or("", |authority| authority.host())
    }

    /// The port, if it is not the scheme's own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.0.authority_components()?.port()?.parse().ok()
    }

    /// From the first `/` on, percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path_str()
    }

    /// What follows `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.0.query_str()
    }

    /// What follows `#`.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.0.fragment_str()
    }

    /// The same without user info: what it stands for, whoever asks.
    #[must_use]
    pub fn without_user(&self) -> Self {
        UriString::try_from(self.rebuilt(true)).map_or_else(|_| self.clone(), Self)
    }

    /// Without user info, query and fragment.
    pub(crate) fn redacted(&self) -> String {
        self.rebuilt(false)
    }

    /// Without user info; `whole` is with query and fragment.
    fn rebuilt(&self, whole: bool) -> String {
        let (before, path) = self.split();
        let start = before.rfind('@').map_or_else(|| self.scheme().len() + "://".len(), |at| at + 1);
        let host = before.get(start..).unwrap_or_default();
        let after = self.as_str().get(before.len() + path.len()..).filter(|_| whole).unwrap_or_default();
        format!("{}://{host}{path}{after}", self.scheme())
    }

    /// What comes before the path, and the path.
    fn split(&self) -> (&str, &str) {
        let authority = self.0.authority_str().map_or(0, str::len);
        let before = self.scheme().len() + "://".len() + authority;
        (self.as_str().get(..before).unwrap_or_default(), self.path())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Url").field(&self.redacted()).finish()
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

#[cfg(unix)]
mod local {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Component};

    use super::{Path, PathBuf, SEGMENT, percent_decode_str, percent_encode};

    pub(super) fn to_url(path: &Path) -> Option<String> {
        let mut components = path.components();
        (components.next() == Some(Component::RootDir)).then_some(())?;
        let segments =
            components.map(|part| percent_encode(part.as_os_str().as_bytes(), SEGMENT).to_string());
        Some(format!("file:///{}", segments.collect::<Vec<_>>().join("/")))
    }

    pub(super) fn from_url(path: &str) -> Option<PathBuf> {
        let bytes: Vec<u8> = percent_decode_str(path).collect();
        Some(PathBuf::from(OsStr::from_bytes(&bytes)))
    }
}

#[cfg(not(unix))]
mod local {
    use std::path::{Component, Prefix};

    use super::{Path, PathBuf, SEGMENT, percent_decode_str, percent_encode};

    /// `C:\a` is `file:///C:/a`.
    pub(super) fn to_url(path: &Path) -> Option<String> {
        let mut components = path.components();
        let Some(Component::Prefix(prefix)) = components.next() else { return None };
        let (Prefix::Disk(drive) | Prefix::VerbatimDisk(drive)) = prefix.kind() else { return None };
        (components.next() == Some(Component::RootDir)).then_some(())?;
        let segments = components
            .map(|part| Some(percent_encode(part.as_os_str().to_str()?.as_bytes(), SEGMENT).to_string()));
        Some(format!("file:///{}:/{}", char::from(drive), segments.collect::<Option<Vec<_>>>()?.join("/")))
    }

    pub(super) fn from_url(path: &str) -> Option<PathBuf> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let path = PathBuf::from(path.strip_prefix('/')?.replace('/', "\\"));
        path.is_absolute().then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn one_spelling_of_each() {
        for (text, normal) in [
            ("https://h.example", "https://h.example/"),
            ("HTTPS://H.Example:443/A", "https://h.example/A"),
            ("http://h:80", "http://h/"),
            ("http://h:/x", "http://h/x"),
            ("http://h:443/x", "http://h:443/x"),
            ("https://h/a/./b/../c/", "https://h/a/c/"),
            ("https://h/../../a", "https://h/a"),
            ("https://h/%7euser/%2f", "https://h/~user/%2F"),
            ("https://u:p@h/?q#f", "https://u:p@h/?q#f"),
            ("https://[::1]:8443/x", "https://[::1]:8443/x"),
            ("file:///a/b", "file:///a/b"),
        ] {
            assert_eq!(url(text).as_str(), normal, "{text}");
            assert_eq!(url(normal).as_str(), normal, "normal twice");
        }
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        for text in [
            "",
            "h.example/x",
            "/x",
            "//h/x",
            "mailto:a@h",
            "https:h/x",
            "https:///x",
            "https://:8443/x",
            "https://h:99999/",
            "https://h:8o/",
            "https://a@b@h/",
            "https://good.example\\@evil.example/",
            "https://h/a b",
            "https://h/a\nb",
            "https://h\t/",
            "https://h/%zz",
            "https://h/|",
            "https://bücher.example/",
            " https://h/",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
        assert!(Url::parse(&format!("https://h/{}", "a".repeat(MAX_LENGTH))).is_err());
    }

    #[test]
    fn references_are_resolved() {
        let base = url("https://u:p@h/r/metadata/?q#f");
        for (reference, result) in [
            ("1.root.json", "https://u:p@h/r/metadata/1.root.json"),
            ("1...%2Fx.json", "https://u:p@h/r/metadata/1...%2Fx.json"),
            ("../targets/", "https://u:p@h/r/targets/"),
            ("/x", "https://u:p@h/x"),
            ("http://other", "http://other/"),
        ] {
            assert_eq!(base.join(reference).unwrap().as_str(), result);
        }
        assert!(base.join("a b").is_err());
        assert!(base.join("mailto:a").is_err());
        assert_eq!(url("https://u@h/r?q").as_directory().unwrap().as_str(), "https://u@h/r/?q");
    }

    #[test]
    fn secrets_go_and_come() {
        let secret = url("https://user:pw@h:1/a?token=t#f");
        assert_eq!(secret.redacted(), "https://h:1/a");
        assert_eq!(secret.without_user().as_str(), "https://h:1/a?token=t#f");
        assert_eq!(format!("{secret:?}"), "Url(\"https://h:1/a\")");
        assert_eq!(url("https://h/@").redacted(), "https://h/@");
    }

    #[cfg(unix)]
    #[test]
    fn paths_come_back_as_they_were() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

        for path in [&b"/"[..], b"/a b/100%/\xc3\xa9", b"/not\xffunicode", b"/a?b#c:d", b"/~u/%2e%2e/x"] {
            let path = Path::new(OsStr::from_bytes(path));
            assert_eq!(Url::from_file_path(path).unwrap().to_file_path().unwrap(), path);
            let directory = Url::from_directory_path(path).unwrap();
            assert!(directory.path().ends_with('/'), "{directory}");
        }
        assert!(Url::from_file_path("a/b").is_err());
        assert_eq!(url("file://localhost/a").to_file_path(), Some(PathBuf::from("/a")));
        assert_eq!(url("file://elsewhere/a").to_file_path(), None);
        assert_eq!(url("https://h/a").to_file_path(), None);
    }
}
