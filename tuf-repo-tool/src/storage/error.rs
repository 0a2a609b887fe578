//! What can go wrong with the storage of published files.

use std::io;
use std::path::{Path, PathBuf};

use tuf_client::durable::{DurableError, LockError};

/// Why published files could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A file that was to be replaced is not what it was.
    #[error(
        "{path} in {storage} is not what it was when this command read it: another publisher has changed it"
    )]
    Conflict {
        /// The storage's URL.
        storage: String,
        /// The file.
        path: String,
    },
    /// A file that is never rewritten is there with other bytes.
    #[error("{path} in {storage} exists with other bytes, and such a file is never rewritten")]
    Exists {
        /// The storage's URL.
        storage: String,
        /// The file.
        path: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] DurableError),
    /// A file or directory could not be read.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another process is replacing a file just now.
    #[error("the storage {storage} is {source}")]
    Lock {
        /// The storage's URL.
        storage: String,
        /// Who has it.
        source: LockError,
    },
    /// The path is none of a published file.
    #[error("the path {path:?} cannot be published: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The server of a bucket refused a request, or could not be asked.
    #[error("cannot {action} {} in {storage}: {reason}", if path.is_empty() { "files" } else { path })]
    Server {
        /// The storage's URL.
        storage: String,
        /// What was tried.
        action: &'static str,
        /// The file; empty if it is about more than one.
        path: String,
        /// What the server said, or why it could not be asked.
        reason: String,
    },
    /// The settings of the environment for a bucket cannot be used.
    #[error("{storage} cannot be used with the settings of the environment: {reason}")]
    Setup {
        /// The storage's URL.
        storage: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A file is longer than anything that is expected there.
    #[error("{path} in {storage} has more than {limit} bytes")]
    TooLong {
        /// The storage's URL.
        storage: String,
        /// The file.
        path: String,
        /// How many bytes were allowed.
        limit: u64,
    },
    /// The URL is none of a storage.
    #[error("{url} cannot be used as storage: {reason}")]
    Url {
        /// As written.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StorageError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn server(
        storage: &str,
        action: &'static str,
        path: &str,
        error: &object_store::Error,
    ) -> Self {
        Self::Server { storage: storage.to_owned(), action, path: path.to_owned(), reason: reason(error) }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Conflict { .. } => "run the command again: it starts from what is published now".to_owned(),
            Self::Exists { .. } => {
                "a publisher that died may have left it: run the command again; if it stays, see who else writes there"
                    .to_owned()
            }
            Self::File(error) => return error.hint().map(str::to_owned),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "check the owner and the permissions of the path".to_owned()
            }
            Self::Io { .. } => return None,
            Self::Lock { .. } => "wait until it has ended, or stop it".to_owned(),
            Self::Path { .. } => "publish it under another name".to_owned(),
            Self::Server { reason, .. } => return server_hint(reason).map(str::to_owned),
            Self::Setup { .. } => "see AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_CA_BUNDLE".to_owned(),
            Self::TooLong { .. } => "look at what is there: this program did not write it".to_owned(),
            Self::Url { .. } => {
                "`storage` in tuf-repo.toml is s3://BUCKET/PREFIX; without it, the directory public/ is used".to_owned()
            }
        })
    }
}

/// What a server said in its own words, without the rest of its document, which repeats the request; else the innermost reason.
fn reason(error: &object_store::Error) -> String {
    let text = error.to_string();
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(said, _)| said)
    };
    if let Some(code) = element("Code") {
        let message = element("Message").map(|message| format!(": {message}"));
        return format!("the server says {code}{}", message.unwrap_or_default());
    }
    if let Some((_, status)) = text.split_once("non-2xx status code: ") {
        return format!(
            "the server says {}",
            status.lines().next().unwrap_or_default().trim_end_matches(": ")
        );
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn server_hint(reason: &str) -> Option<&'static str> {
    const HINTS: [(&[&str], &str); 5] = [
        (
            &["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthFailure"],
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
        ),
        (&["AccessDenied", "403"], "allow these credentials to read, write, list and delete there"),
        (&["NoSuchBucket"], "make the bucket, or correct `storage` in tuf-repo.toml and AWS_ENDPOINT_URL"),
        (&["RequestTimeTooSkewed"], "set this machine's clock"),
        (
            &["refused", "dns", "lookup", "timed out", "no answer", "unreachable"],
            "check AWS_ENDPOINT_URL, and that its server runs; then run the command again",
        ),
    ];
    let found = HINTS.iter().find(|(words, _)| words.iter().any(|word| reason.contains(word)));
    found.map(|(_, hint)| *hint)
}
