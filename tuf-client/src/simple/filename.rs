//! File names of distributions.
//!
//! A file name cannot be taken apart without knowing whose it is: in `a-b-1.tar.gz` the project may be `a` or
//! `a-b`. So the project is always given, and a name that does not begin with it is refused; that is also what
//! keeps one project's page from offering another project's file.
//!
//! The characters are limited to those that mean themselves in a URL and on every file system, so that a name
//! taken here can be signed, stored and linked to as it is.

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;

use super::name::ProjectName;

/// The longest file name taken, in bytes: the limit of common file systems.
const MAX_BYTES: usize = 255;

/// Longest first where one ends with another.
const SDIST_SUFFIXES: [&str; 4] = [".tar.gz", ".tar.bz2", ".tgz", ".zip"];

/// Kinds that indexes once took uploads of (PEP 527) and still list.
const OTHER_SUFFIXES: [&str; 10] =
    [".tar.xz", ".tar.Z", ".tar", ".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg", ".apk"];

/// What a distribution file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DistKind {
    /// A legacy kind that today's installers pass over: an egg, a Windows installer, ….
    Other,
    /// A source distribution: `.tar.gz`, `.zip`, or the older `.tar.bz2` and `.tgz` (PEP 625, PEP 527).
    Sdist,
    /// A wheel (PEP 427).
    Wheel,
}

/// The file name of a distribution, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistFile {
    kind: DistKind,
    version: Option<Version>,
}

impl DistFile {
    /// Takes apart a file name of `project`.
    ///
    /// # Errors
    /// [`FileNameError`] if the name is unsafe, of no known kind, of another project, or (for wheels and source
    /// distributions) has no PEP 440 version.
    pub fn parse(file_name: &str, project: &ProjectName) -> Result<Self, FileNameError> {
        let parsed = check_safe(file_name).and_then(|()| {
            if let Some(stem) = file_name.strip_suffix(".whl") {
                wheel(stem, project)
            } else if let Some(stem) = strip_any(file_name, &SDIST_SUFFIXES) {
                let rest = after_name(stem, project)?;
                Ok(Self { kind: DistKind::Sdist, version: Some(version(rest)?) })
            } else if let Some(stem) = strip_any(file_name, &OTHER_SUFFIXES) {
                let rest = after_name(stem, project)?;
                let first = rest.split('-').next().unwrap_or(rest);
                Ok(Self { kind: DistKind::Other, version: version(first).ok() })
            } else {
                Err(Problem::Kind)
            }
        });
        parsed.map_err(|problem| FileNameError { file_name: shorten(file_name), problem })
    }

    /// Wheel, source distribution or other.
    #[must_use]
    pub fn kind(&self) -> DistKind {
        self.kind
    }

    /// The version; always there for wheels and source distributions.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }
}

/// `name-version(-build)?-python-abi-platform`, PEP 427.
fn wheel(stem: &str, project: &ProjectName) -> Result<DistFile, Problem> {
    let parts: Vec<&str> = stem.split('-').collect();
    let (name, raw_version, build, tags) = match *parts.as_slice() {
        [name, version, python, abi, platform] => (name, version, None, [python, abi, platform]),
        [name, version, build, python, abi, platform] => {
            (name, version, Some(build), [python, abi, platform])
        }
        _ => return Err(Problem::WheelParts { found: parts.len() }),
    };
    if !project.is_spelled(name) {
        return Err(Problem::Project { expected: project.clone() });
    }
    if let Some(build) = build.filter(|build| !build.starts_with(|first: char| first.is_ascii_digit())) {
        return Err(Problem::BuildTag { found: build.to_owned() });
    }
    let is_tag_character = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if let Some(tag) = tags.into_iter().find(|tag| tag.is_empty() || !tag.bytes().all(is_tag_character)) {
        return Err(Problem::Tag { found: tag.to_owned() });
    }
    Ok(DistFile { kind: DistKind::Wheel, version: Some(version(raw_version)?) })
}

/// What follows the project's name and its dash. Old source distributions have dashes in the name too, so every
/// dash is tried; at most one prefix normalises to the project's name.
fn after_name<'a>(stem: &'a str, project: &ProjectName) -> Result<&'a str, Problem> {
    stem.match_indices('-')
        .filter_map(|(at, dash)| Some((stem.get(..at)?, stem.get(at + dash.len()..)?)))
        .find(|(name, _)| project.is_spelled(name))
        .map(|(_, rest)| rest)
        .ok_or_else(|| Problem::Project { expected: project.clone() })
}

fn version(text: &str) -> Result<Version, Problem> {
    Version::from_str(text).map_err(|_| Problem::Version { found: text.to_owned() })
}

fn strip_any<'a>(text: &'a str, suffixes: &[&str]) -> Option<&'a str> {
    suffixes.iter().find_map(|suffix| text.strip_suffix(suffix))
}

fn check_safe(file_name: &str) -> Result<(), Problem> {
    if file_name.is_empty() {
        return Err(Problem::Empty);
    }
    if file_name.len() > MAX_BYTES {
        return Err(Problem::TooLong { found: file_name.len(), limit: MAX_BYTES });
    }
    if file_name.starts_with('.') {
        return Err(Problem::LeadingDot);
    }
    if let Some(found) = file_name.chars().find(|character| !is_plain(*character)) {
        return Err(Problem::Character { found });
    }
    // `<sha256>.<name>` is how a repository with consistent snapshots stores `<name>`.
    if file_name
        .split_once('.')
        .is_some_and(|(first, _)| first.len() == 64 && first.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(Problem::HashPrefix);
    }
    Ok(())
}

/// Whether a character stands for itself in a URL's path, on every file system and in HTML.
pub(super) fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!+,=@()".contains(character)
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_BYTES).collect()
}

/// Why a file name was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("file name {file_name:?}: {problem}")]
pub struct FileNameError {
    file_name: String,
    problem: Problem,
}

impl FileNameError {
    /// Whether the name is sound and belongs to the project, but its version is not PEP 440: old projects have
    /// such files, and no present-day installer looks at them.
    #[must_use]
    pub fn is_version(&self) -> bool {
        matches!(self.problem, Problem::Version { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    BuildTag { found: String },
    Character { found: char },
    Empty,
    HashPrefix,
    Kind,
    LeadingDot,
    Project { expected: ProjectName },
    Tag { found: String },
    TooLong { found: usize, limit: usize },
    Version { found: String },
    WheelParts { found: usize },
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildTag { found } => {
                write!(formatter, "expected a build tag that begins with a digit, found {found:?}")
            }
            Self::Character { found } => {
                write!(formatter, "expected ASCII letters, digits and -._~!+,=@() only, found {found:?}")
            }
            Self::Empty => formatter.write_str("expected a name, found nothing"),
            Self::HashPrefix => formatter
                .write_str("it begins with 64 hexadecimal digits and a dot, like a hash-prefixed target"),
            Self::Kind => {
                formatter.write_str("expected a wheel, a source distribution or a known older kind of file")
            }
            Self::LeadingDot => formatter.write_str("it begins with a dot"),
            Self::Project { expected } => {
                write!(formatter, "it does not belong to the project {expected}")
            }
            Self::Tag { found } => write!(formatter, "expected a wheel's compatibility tag, found {found:?}"),
            Self::TooLong { found, limit } => {
                write!(formatter, "expected at most {limit} bytes, found {found}")
            }
            Self::Version { found } => {
                write!(formatter, "expected a version (PEP 440), found {found:?}")
            }
            Self::WheelParts { found } => {
                write!(
                    formatter,
                    "expected 5 or 6 parts separated by dashes in a wheel's name, found {found}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file_name: &str, project: &str) -> Result<DistFile, FileNameError> {
        DistFile::parse(file_name, &ProjectName::new(project).unwrap())
    }

    #[test]
    fn names_of_the_project_are_taken_apart() {
        use DistKind::{Other, Sdist, Wheel};
        for (file_name, project, kind, version) in [
            ("demo-1.0-py3-none-any.whl", "demo", Wheel, Some("1.0")),
            ("Demo_Pkg-1.0-py2.py3-none-any.whl", "demo-pkg", Wheel, Some("1.0")),
            ("demo.pkg-1.0-py3-none-any.whl", "demo-pkg", Wheel, Some("1.0")),
            ("demo-1.0-1-py3-none-any.whl", "demo", Wheel, Some("1.0")),
            (
                "demo-1.0-2build-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "demo",
                Wheel,
                Some("1.0"),
            ),
            ("demo-1!2.0+cu118-py3-none-any.whl", "demo", Wheel, Some("1!2.0+cu118")),
            ("demo-1.0.post1.tar.gz", "demo", Sdist, Some("1.0.post1")),
            ("demo-1.0rc1.zip", "demo", Sdist, Some("1.0rc1")),
            ("demo-1.0.tar.bz2", "demo", Sdist, Some("1.0")),
            ("demo-1.0.tgz", "demo", Sdist, Some("1.0")),
            ("python-demo.Pkg-1.0.tar.gz", "python-demo-pkg", Sdist, Some("1.0")),
            ("a-b-1.tar.gz", "a-b", Sdist, Some("1")),
            ("demo-1.0-1.tar.gz", "demo", Sdist, Some("1.0.post1")),
            ("demo-v1.0-alpha.1.tar.gz", "demo", Sdist, Some("1.0a1")),
            ("demo-1.0-py2.7.egg", "demo", Other, Some("1.0")),
            ("demo-1.0.win32-py2.7.exe", "demo", Other, None),
            ("demo-1.0-1.noarch.rpm", "demo", Other, Some("1.0")),
            ("demo-1.0.tar.xz", "demo", Other, Some("1.0")),
        ] {
            let parsed = parse(file_name, project).unwrap();
            assert_eq!(parsed.kind(), kind, "{file_name}");
            assert_eq!(parsed.version(), version.map(|text| text.parse().unwrap()).as_ref(), "{file_name}");
        }
    }

    #[test]
    fn unsafe_foreign_and_malformed_names_are_refused() {
        let long = format!("demo-1.0{}.tar.gz", "0".repeat(250));
        let hashed = format!("{}.1-1.0.tar.gz", "a".repeat(64));
        for (file_name, project) in [
            ("", "demo"),
            (long.as_str(), "demo"),
            (hashed.as_str(), &format!("{}-1", "a".repeat(64))),
            (".demo-1.0.tar.gz", "demo"),
            ("../demo-1.0.tar.gz", "demo"),
            ("a/demo-1.0.tar.gz", "demo"),
            ("a\\demo-1.0.tar.gz", "demo"),
            ("demo-1.0\0.tar.gz", "demo"),
            ("demo-1.0\n.tar.gz", "demo"),
            ("demo-1.0%2f.tar.gz", "demo"),
            ("demo-1.0 .tar.gz", "demo"),
            ("demo-1.0?.tar.gz", "demo"),
            ("dèmo-1.0.tar.gz", "demo"),
            ("other-1.0.tar.gz", "demo"),
            ("other-1.0-py3-none-any.whl", "demo"),
            ("other-1.0-py2.7.egg", "demo"),
            ("demo-extra-1.0.tar.gz", "demo"),
            ("demo1.0.tar.gz", "demo"),
            ("demo.tar.gz", "demo"),
            ("demo-.tar.gz", "demo"),
            ("demo-1.0.linux-x86_64.tar.gz", "demo"),
            ("demo-latest.tar.gz", "demo"),
            ("demo-1.0.txt", "demo"),
            ("demo-1.0.WHL", "demo"),
            ("demo-1.0-py3-none.whl", "demo"),
            ("demo-1.0-1-2-py3-none-any.whl", "demo"),
            ("demo-1.0-build-py3-none-any.whl", "demo"),
            ("demo-1.0-py3--any.whl", "demo"),
            ("demo-x-py3-none-any.whl", "demo"),
            ("demo-1.0-py3-none-any.whl.metadata", "demo"),
        ] {
            assert!(parse(file_name, project).is_err(), "{file_name:?}");
        }
    }

    #[test]
    fn only_an_odd_version_counts_as_a_version_problem() {
        assert!(parse("demo-2004b-old.tar.gz", "demo").unwrap_err().is_version());
        assert!(!parse("other-1.0.tar.gz", "demo").unwrap_err().is_version());
    }

    #[test]
    fn messages_say_what_was_expected_and_found() {
        let error = parse("other-1.0.tar.gz", "demo").unwrap_err();
        assert_eq!(
            error.to_string(),
            "file name \"other-1.0.tar.gz\": it does not belong to the project demo"
        );
    }
}
