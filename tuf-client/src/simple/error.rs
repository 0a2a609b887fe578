//! Why a page was refused.

use super::filename::FileNameError;
use super::name::ProjectName;

/// Why a page was refused. Each message says what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A page of another API generation (PEP 629: refuse an unknown major version).
    #[error("expected a page of Simple API version 1.x, found version {found:?}")]
    #[non_exhaustive]
    ApiVersion {
        /// The page's version.
        found: String,
    },
    /// Neither JSON nor HTML.
    #[error(
        "expected the content type application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html or \
         text/html, found {found:?}"
    )]
    #[non_exhaustive]
    ContentType {
        /// The content type, without parameters.
        found: String,
    },
    /// A file's core metadata is announced without the hash that would protect it.
    #[error("{file_name}: expected core-metadata to be false or to have a sha256, found neither")]
    #[non_exhaustive]
    CoreMetadata {
        /// The distribution file.
        file_name: String,
    },
    /// One file name twice.
    #[error("{file_name}: expected each file once, found it twice")]
    #[non_exhaustive]
    DuplicateFile {
        /// The file name.
        file_name: String,
    },
    /// One JSON key twice in an object: two readers could see two values.
    #[error("expected each key once in {object}, found {key:?} twice")]
    #[non_exhaustive]
    DuplicateKey {
        /// The repeated key.
        key: String,
        /// Which object, e.g. `files[3]`.
        object: String,
    },
    /// A field has the wrong type or value.
    #[error("{field}: {problem}")]
    #[non_exhaustive]
    Field {
        /// Which field, e.g. `files[3].size`.
        field: String,
        /// What was expected and found.
        problem: String,
    },
    /// A file name that is unsafe, malformed or of another project.
    #[error(transparent)]
    FileName(#[from] FileNameError),
    /// A file of a signed page whose address is not the one its name demands.
    #[error(
        "{file_name}: expected a plain path below ../../packages/ that ends with the file's name, found {found:?}"
    )]
    #[non_exhaustive]
    FilePath {
        /// The distribution file.
        file_name: String,
        /// The address as the page has it.
        found: String,
    },
    /// No JSON.
    #[error("expected a page in JSON: {problem}")]
    #[non_exhaustive]
    Json {
        /// What the JSON reader said.
        problem: String,
    },
    /// A signed page of an unknown layout.
    #[error("expected meta._layout to be \"pep458\" or \"index\", found {found:?}")]
    #[non_exhaustive]
    Layout {
        /// The layout's name.
        found: String,
    },
    /// A field that must be there is not.
    #[error("{field}: expected a value, found none")]
    #[non_exhaustive]
    Missing {
        /// Which field, e.g. `files[3].url`.
        field: String,
    },
    /// The page is another project's.
    #[error("expected the page of {expected}, found that of {found:?}")]
    #[non_exhaustive]
    Project {
        /// The project asked for.
        expected: ProjectName,
        /// The name in the page.
        found: String,
    },
    /// A signed page of a quarantined project offers files (PEP 792: it must not).
    #[error("expected no files of a quarantined project, found {found}")]
    #[non_exhaustive]
    Quarantined {
        /// How many files there are.
        found: usize,
    },
    /// More of something than is taken.
    #[error("{what}: expected at most {limit}, found {found}")]
    #[non_exhaustive]
    TooMuch {
        /// How much there is.
        found: usize,
        /// The most that is taken.
        limit: usize,
        /// Of what, with its unit, e.g. `files`.
        what: String,
    },
}
