//! The upstream to mirror when nobody names one: the index that pip uses on this machine.
//!
//! No index is written into this program. pip knows one, and a machine behind a company proxy has told pip already;
//! so pip is asked, at run time: `PIP_INDEX_URL`, then its configuration, then the default that its help prints.

use std::fmt;
use std::process::{Command, Stdio};

use tuf_client::env;
use url::Url;

const VARIABLE: &str = "PIP_INDEX_URL";

/// The settings that count, strongest first, as pip itself orders them for `pip download`; `install` is what people
/// set who never download.
const SETTINGS: [&str; 4] =
    [":env:.index-url", "download.index-url", "install.index-url", "global.index-url"];

/// How pip is started, in the order tried.
const PROGRAMS: [&[&str]; 2] = [&["python3", "-m", "pip"], &["pip"]];

/// What pip shows in place of a password.
const PIP_REDACTED: &str = "****";

/// An index URL from pip's settings. It may hold credentials; neither `Display` nor `Debug` prints them.
#[derive(Clone, Eq, PartialEq)]
pub struct PipUpstream {
    url: Url,
    source: Source,
}

/// Where pip's index URL was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// pip's own default, from its help.
    Default,
    /// The environment variable `PIP_INDEX_URL`.
    Environment,
    /// This setting of `pip config list`.
    Setting(&'static str),
}

/// Why pip's settings name no upstream. No message repeats a URL: it may hold a password.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PipError {
    /// Some setting names an index that cannot be mirrored from.
    #[error("the index URL from {origin} cannot be used: {reason}; give --upstream URL")]
    BadUrl {
        /// Where the URL was found.
        origin: Source,
        /// What is wrong with it.
        reason: String,
    },
    /// pip runs, but its help prints no default index.
    #[error("pip has no index URL in its configuration and prints no default; give --upstream URL")]
    NoDefault,
    /// pip cannot be run.
    #[error(
        "no upstream: PIP_INDEX_URL is not set and pip cannot be run (tried `python3 -m pip` and `pip`); give --upstream URL"
    )]
    NoPip,
}

impl PipUpstream {
    /// The index's base URL; its path ends in `/`.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it was found.
    pub fn source(&self) -> Source {
        self.source
    }

    fn new(raw: &str, origin: Source) -> Result<Self, PipError> {
        let bad = |reason: &str| PipError::BadUrl { origin, reason: reason.to_owned() };
        let mut url = Url::parse(raw.trim()).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it is neither http nor https"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it has a query or a fragment"));
        }
        if url.password() == Some(PIP_REDACTED) {
            return Err(bad("pip does not tell its password"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self { url, source: origin })
    }
}

impl fmt::Display for PipUpstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.url.clone();
        if !shown.username().is_empty() || shown.password().is_some() {
            // Both succeed for every URL with a host, which http and https URLs have; if not, show less.
            if shown.set_username("***").and_then(|()| shown.set_password(None)).is_err() {
                return out.write_str("(URL with credentials)");
            }
        }
        write!(out, "{shown}")
    }
}

impl fmt::Debug for PipUpstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PipUpstream").field("url", &self.to_string()).field("source", &self.source).finish()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("pip's default"),
            Self::Environment => out.write_str(VARIABLE),
            Self::Setting(key) => write!(out, "pip's setting {key}"),
        }
    }
}

/// Asks the environment, then pip. Blocking: starting pip takes about a second.
///
/// # Errors
/// [`PipError`]; the answer to each is to name the upstream.
pub fn default_upstream() -> Result<PipUpstream, PipError> {
    discover(env::var(VARIABLE), run_pip)
}

/// `run` runs pip as one of [`PROGRAMS`] with arguments; `None` if that failed.
fn discover(
    variable: Option<String>,
    run: impl Fn(&[&str], &[&str]) -> Option<String>,
) -> Result<PipUpstream, PipError> {
    if let Some(raw) = variable.filter(|raw| !raw.trim().is_empty()) {
        return PipUpstream::new(&raw, Source::Environment);
    }
    for program in PROGRAMS {
        let Some(listing) = run(program, &["config", "list"]) else {
            continue;
        };
        if let Some((key, raw)) = configured(&listing) {
            return PipUpstream::new(raw, Source::Setting(key));
        }
        let help = run(program, &["download", "--help"]).ok_or(PipError::NoDefault)?;
        return PipUpstream::new(&printed_default(&help).ok_or(PipError::NoDefault)?, Source::Default);
    }
    Err(PipError::NoPip)
}

fn run_pip(program: &[&str], arguments: &[&str]) -> Option<String> {
    let (name, leading) = program.split_first()?;
    let output = Command::new(name)
        .args(leading)
        .args(arguments)
        // pip wraps its help to this width, and breaks a word at a hyphen.
        .env("COLUMNS", "1000")
        .env("NO_COLOR", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The strongest index URL in the output of `pip config list`, whose lines are `key='value'` with Python's quotes.
fn configured(listing: &str) -> Option<(&'static str, &str)> {
    SETTINGS.iter().find_map(|setting| {
        let raw = listing.lines().find_map(|line| line.trim().strip_prefix(setting)?.strip_prefix('='))?;
        let value = ['\'', '"']
            .iter()
            .find_map(|quote| raw.strip_prefix(*quote)?.strip_suffix(*quote))
            .unwrap_or(raw)
            .trim();
        (!value.is_empty()).then_some((*setting, value))
    })
}

/// The URL after `--index-url <url> … (default …)` in the output of `pip download --help`, which may be wrapped.
fn printed_default(help: &str) -> Option<String> {
    let (_, option) = help.split_once("--index-url")?;
    let (_, after) = option.split_once("(default")?;
    let (raw, _) = after.split_once(')')?;
    let url: String = raw.trim_start_matches(':').split_whitespace().collect();
    (!url.is_empty()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://index.example/simple/";

    #[test]
    fn the_strongest_setting_of_pip_counts() {
        for (listing, expected) in [
            ("", None),
            ("global.timeout='60'\nglobal.extra-index-url='https://other.example/'\n", None),
            ("global.index-url=''\n", None),
            ("global.index-url='https://index.example/simple'\n", Some("global.index-url")),
            ("global.index-url=\"https://index.example/simple\"\r\n", Some("global.index-url")),
            (
                "global.index-url='https://g.example'\ninstall.index-url='https://index.example/simple'",
                Some("install.index-url"),
            ),
            (
                "download.index-url='https://index.example/simple'\ninstall.index-url='https://i.example'",
                Some("download.index-url"),
            ),
            (
                ":env:.index-url='https://index.example/simple'\ndownload.index-url='https://d.example'",
                Some(":env:.index-url"),
            ),
        ] {
            let found = configured(listing);
            assert_eq!(found, expected.map(|key| (key, "https://index.example/simple")), "{listing:?}");
        }
    }

    #[test]
    fn the_default_is_found_in_the_help_however_it_is_wrapped() {
        for (help, expected) in [
            (
                "  -i, --index-url <url>  Base URL (default https://index.example/simple). This",
                Some("https://index.example/simple"),
            ),
            (
                "  --find-links <url>          (default nothing)\n  -i, --index-url <url>       Base URL of the Package Index (default\n                              https://index.example/simple). This should point to a\n                              repository compliant with PEP 503",
                Some("https://index.example/simple"),
            ),
            (
                "--index-url <url>  (default https://long-\n        name.index.example/simple)",
                Some("https://long-name.index.example/simple"),
            ),
            (
                "--index-url <url>  (default: https://index.example/simple)",
                Some("https://index.example/simple"),
            ),
            ("--index-url <url>  Base URL of the index", None),
            ("--index-url <url>  (default ) or so", None),
            ("--extra-index-url <url> (default https://index.example/simple)", None),
        ] {
            assert_eq!(printed_default(help).as_deref(), expected, "{help}");
        }
    }

    #[test]
    fn the_url_ends_in_a_slash_and_is_one_to_mirror_from() {
        for raw in [URL, "https://index.example/simple", " https://index.example/simple\n"] {
            assert_eq!(PipUpstream::new(raw, Source::Default).unwrap().url().as_str(), URL);
        }
        for raw in [
            "index.example",
            "file:///srv/simple",
            "https://index.example/?a",
            "https://u:****@index.example/",
            "",
        ] {
            let error = PipUpstream::new(raw, Source::Environment).unwrap_err();
            assert!(matches!(error, PipError::BadUrl { .. }), "{raw}");
            assert!(error.to_string().starts_with("the index URL from PIP_INDEX_URL"), "{error}");
        }
    }

    #[test]
    fn credentials_are_kept_and_never_printed() {
        for raw in [
            "https://user:secret@index.example/simple",
            "https://secret@index.example/simple",
            "https://:secret@index.example/simple",
        ] {
            let upstream = PipUpstream::new(raw, Source::Default).unwrap();
            assert!(upstream.url().as_str().contains("secret"));
            assert_eq!(upstream.to_string(), "https://***@index.example/simple/");
            assert!(!format!("{upstream:?}").contains("secret"));
        }
        let error = PipUpstream::new("ftp://user:secret@index.example", Source::Default).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn the_variable_comes_before_pip_and_the_configuration_before_the_default() {
        let help = "--index-url <url> (default https://default.example/simple).";
        let pip = |name: &'static str, listing: &'static str| {
            move |program: &[&str], arguments: &[&str]| match arguments {
                ["config", "list"] if program.first() == Some(&name) => Some(listing.to_owned()),
                ["download", "--help"] => Some(help.to_owned()),
                _ => None,
            }
        };
        let configured = "global.index-url='https://index.example/simple'";
        let variable = Some("https://variable.example/".to_owned());
        for (variable, name, listing, url, source) in [
            (variable, "pip", configured, "https://variable.example/", Source::Environment),
            (Some(" ".to_owned()), "python3", configured, URL, Source::Setting("global.index-url")),
            (None, "pip", configured, URL, Source::Setting("global.index-url")),
            (None, "python3", "", "https://default.example/simple/", Source::Default),
        ] {
            let upstream = discover(variable, pip(name, listing)).unwrap();
            assert_eq!((upstream.url().as_str(), upstream.source()), (url, source));
        }
        assert_eq!(discover(None, |_, _| None), Err(PipError::NoPip));
        assert_eq!(discover(None, |_, arguments| Some(arguments.concat())), Err(PipError::NoDefault));
        assert!(PipError::NoPip.to_string().contains("--upstream URL"));
    }
}
