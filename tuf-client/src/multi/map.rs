//! The map file: read strictly, and checked as a whole before anything is done with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tuf_core::{Json, TargetPath, pattern, url_path};

use super::error::{MapError, MapErrorKind, Place};
use crate::client::directory;
use crate::transport::redact;
use crate::url::Url;

/// Bytes of a map file: room for thousands of mappings, written by people.
pub const MAX_MAP_BYTES: u64 = 1 << 20;
/// Repositories of one mapping. Finding out who agrees is a search through their combinations.
pub const MAX_PER_MAPPING: usize = 16;
/// Repositories of one map: each has a store and takes part in a full refresh.
const MAX_REPOSITORIES: usize = 256;

/// The name of a repository: a word of the map's author, not a path. Every character that could mean something to a file
/// system is encoded in [`RepositoryName::directory`]; what looks like a path, or could not be a directory on every
/// system, is no name at all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Box<str>);

impl RepositoryName {
    fn new(name: &str) -> Result<Self, MapErrorKind> {
        if name.contains(['/', '\\']) {
            return Err(MapErrorKind::Name("it is a path, and a name must not be one"));
        }
        if name.chars().any(char::is_control) {
            return Err(MapErrorKind::Name("it holds a control character"));
        }
        let name = Self(name.into());
        // One segment, which every system takes for a plain name.
        if TargetPath::new(name.directory()).is_err() {
            let problem = "no directory can have that name on every system: it is empty, too long, `.` or `..`, ends in \
                a dot, or names a device";
            return Err(MapErrorKind::Name(problem));
        }
        Ok(name)
    }

    /// The name as the map has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory of this repository, among roots and among stores: the name with all but letters, digits and
    /// `-._~` percent-encoded, which is one plain path segment.
    #[must_use]
    pub fn directory(&self) -> String {
        url_path(&self.0)
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// One entry of `mapping`: which repositories are asked for some paths, and how many must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// Patterns, as in delegations: `*` does not match `/`.
    pub paths: Vec<String>,
    /// Whom to ask, in this order.
    pub repositories: Vec<RepositoryName>,
    /// If these do not agree on a target, no later mapping is asked for it.
    pub terminating: bool,
    /// How many of the repositories must sign for the same length and hashes: at least one, at most all.
    pub threshold: usize,
}

impl Mapping {
    /// Whether one of the patterns matches.
    #[must_use]
    pub fn covers(&self, path: &TargetPath) -> bool {
        self.paths.iter().any(|pattern| pattern::matches(pattern, path.as_str()))
    }
}

/// A map file (TAP 4): which repositories must agree on which targets.
///
/// It is the user's own and never comes from a repository. See `specs/map.md` for the format.
#[derive(Clone)]
pub struct Map {
    repositories: BTreeMap<RepositoryName, Vec<Url>>,
    mappings: Vec<Mapping>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMap {
    repositories: BTreeMap<String, Value>,
    mapping: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMapping {
    paths: Vec<String>,
    repositories: Vec<String>,
    terminating: bool,
    threshold: u64,
}

impl Map {
    /// Reads a map file. Everything about it is checked here, so that a map with one wrong entry is no map.
    ///
    /// # Errors
    /// [`MapError`] says what is wrong, with which repository or with which mapping, counted from 0.
    pub fn parse(bytes: &[u8]) -> Result<Self, MapError> {
        let file = |kind| MapError::new(Place::File, kind);
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_MAP_BYTES) {
            return Err(file(MapErrorKind::TooMany { what: "bytes", limit: MAX_MAP_BYTES }));
        }
        // The strict reader of metadata: it refuses what names a member twice.
        let json = Json::parse(bytes).map_err(|error| file(MapErrorKind::Json(error)))?;
        let raw: RawMap = object(json.to_value()).map_err(file)?;
        let repositories = repositories(raw.repositories)?;
        if raw.mapping.is_empty() {
            return Err(file(MapErrorKind::Empty("mapping")));
        }
        let read = |(index, value)| {
            mapping(value, &repositories).map_err(|kind| MapError::new(Place::Mapping(index), kind))
        };
        let mappings = raw.mapping.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { repositories, mappings })
    }

    /// The repositories by name, each with the URLs of its copies, the first one first.
    pub fn repositories(&self) -> impl Iterator<Item = (&RepositoryName, &[Url])> {
        self.repositories.iter().map(|(name, urls)| (name, &**urls))
    }

    /// The mappings in their order.
    #[must_use]
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The mappings that are asked for a path one after the other, with their index: those that match, up to the first
    /// that is terminating.
    pub fn matching(&self, path: &TargetPath) -> impl Iterator<Item = (usize, &Mapping)> {
        let mut ended = false;
        self.mappings.iter().enumerate().filter(|(_, mapping)| mapping.covers(path)).take_while(
            move |(_, mapping)| {
                let wanted = !ended;
                ended |= mapping.terminating;
                wanted
            },
        )
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls = |urls: &[Url]| urls.iter().map(redact).collect::<Vec<_>>();
        let repositories: BTreeMap<_, _> = self.repositories().map(|(name, all)| (name, urls(all))).collect();
        f.debug_struct("Map").field("repositories", &repositories).field("mappings", &self.mappings).finish()
    }
}

fn shape<T: DeserializeOwned>(value: Value) -> Result<T, MapErrorKind> {
    serde_json::from_value(value).map_err(|error| MapErrorKind::Shape(error.to_string()))
}

/// As [`shape`]: serde would also take an array for a struct.
fn object<T: DeserializeOwned>(value: Value) -> Result<T, MapErrorKind> {
    if !value.is_object() {
        return Err(MapErrorKind::Shape("it is no object".to_owned()));
    }
    shape(value)
}

fn repositories(raw: BTreeMap<String, Value>) -> Result<BTreeMap<RepositoryName, Vec<Url>>, MapError> {
    if raw.len() > MAX_REPOSITORIES {
        let limit = u64::try_from(MAX_REPOSITORIES).unwrap_or(u64::MAX);
        return Err(MapError::new(Place::File, MapErrorKind::TooMany { what: "repositories", limit }));
    }
    let mut directories: HashMap<String, RepositoryName> = HashMap::new();
    let mut owners: HashMap<Url, RepositoryName> = HashMap::new();
    let mut repositories = BTreeMap::new();
    for (name, value) in raw {
        let wrong = |kind| MapError::new(Place::Repository(name.clone()), kind);
        let parsed = RepositoryName::new(&name).map_err(wrong)?;
        // Some file systems do not tell upper from lower case: two repositories would share a store.
        if let Some(other) = directories.insert(parsed.directory().to_ascii_lowercase(), parsed.clone()) {
            return Err(wrong(MapErrorKind::SameDirectory(other)));
        }
        let texts: Vec<String> = shape(value).map_err(wrong)?;
        if texts.is_empty() {
            return Err(wrong(MapErrorKind::Empty("list of URLs")));
        }
        let mut urls = Vec::new();
        for text in texts {
            let url = repository_url(&text).map_err(wrong)?;
            // Whether for one repository or for two that would then count as two.
            if let Some(other) = owners.insert(url.without_user(), parsed.clone()) {
                return Err(wrong(MapErrorKind::SharedUrl { url: redact(&url), with: other }));
            }
            urls.push(url);
        }
        repositories.insert(parsed, urls);
    }
    Ok(repositories)
}

fn repository_url(text: &str) -> Result<Url, MapErrorKind> {
    let url = Url::parse(text).map_err(|error| {
        // What is no URL may still hold a password.
        MapErrorKind::Url(format!("{:?} is no URL: {error}", text.rsplit('@').next().unwrap_or(text)))
    })?;
    match url.scheme() {
        "http" | "https" => {}
        "file" if url.to_file_path().is_some() => {}
        "file" => return Err(MapErrorKind::Url(format!("{} is no local path", redact(&url)))),
        _ => {
            return Err(MapErrorKind::Url(format!(
                "{}: only http, https and file can be fetched",
                redact(&url)
            )));
        }
    }
    directory(&url).map_err(|error| MapErrorKind::Url(error.to_string()))
}

fn mapping(value: Value, defined: &BTreeMap<RepositoryName, Vec<Url>>) -> Result<Mapping, MapErrorKind> {
    let raw: RawMapping = object(value)?;
    if raw.paths.is_empty() {
        return Err(MapErrorKind::Empty("list of paths"));
    }
    for pattern in &raw.paths {
        if let Some(problem) = pattern::problem(pattern) {
            return Err(MapErrorKind::Pattern { pattern: pattern.clone(), problem });
        }
    }
    if raw.repositories.is_empty() {
        return Err(MapErrorKind::Empty("list of repositories"));
    }
    if raw.repositories.len() > MAX_PER_MAPPING {
        let limit = u64::try_from(MAX_PER_MAPPING).unwrap_or(u64::MAX);
        return Err(MapErrorKind::TooMany { what: "repositories in one mapping", limit });
    }
    let mut repositories = Vec::new();
    let mut seen = HashSet::new();
    for name in raw.repositories {
        let Some((known, _)) = defined.iter().find(|(known, _)| known.as_str() == name) else {
            return Err(MapErrorKind::Undefined(name));
        };
        if !seen.insert(known) {
            return Err(MapErrorKind::Repeated(known.clone()));
        }
        repositories.push(known.clone());
    }
    let bad = MapErrorKind::Threshold { threshold: raw.threshold, repositories: repositories.len() };
    let threshold = usize::try_from(raw.threshold).ok().filter(|n| (1..=repositories.len()).contains(n));
    Ok(Mapping {
        paths: raw.paths,
        repositories,
        terminating: raw.terminating,
        threshold: threshold.ok_or(bad)?,
    })
}

#[cfg(test)]
mod tests;
