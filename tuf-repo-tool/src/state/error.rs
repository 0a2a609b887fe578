//! What can go wrong with the state database.

use std::sync::Arc;

use super::url::StateUrlError;

/// Why the state database could not do its work. `place` is the file, or the URL with its password masked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file is damaged.
    #[error("the state database {place} is damaged")]
    Damaged {
        /// The database.
        place: Arc<str>,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// The database refused a query, or broke off.
    #[error("the state database {place} failed")]
    Failed {
        /// The database.
        place: Arc<str>,
        /// Why.
        source: sqlx::Error,
    },
    /// The rows under this name belong to a repository with another root.
    #[error(
        "the state database {place} holds the state of another repository under the name {name:?}: expected first root {expected}, found {found}"
    )]
    Foreign {
        /// The database.
        place: Arc<str>,
        /// The name of the repository in the database.
        name: String,
        /// The sha256 of this repository's `1.root.json`.
        expected: String,
        /// The sha256 of the other's.
        found: String,
    },
    /// Another publisher has the lease.
    #[error(
        "another publisher is at work: {holder} has the lease (fence {fence}) for {seconds} more seconds"
    )]
    Held {
        /// Who has it.
        holder: String,
        /// Its fencing number.
        fence: u64,
        /// How long at most, by the database's clock, in seconds.
        seconds: u64,
    },
    /// The lease ran out or was taken over: what was to be guarded by it must not happen.
    #[error("the publisher's lease with fence {fence} is lost: {reason}")]
    Lost {
        /// The fencing number that is stale.
        fence: u64,
        /// Who has it now, or that it ran out.
        reason: String,
    },
    /// A newer tuf-repo wrote the database.
    #[error("the state database {place} has schema {found}: expected at most {known}")]
    Newer {
        /// The database.
        place: Arc<str>,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// A row says what this program never writes.
    #[error("the state database {place} is damaged: {row}: {reason}")]
    Row {
        /// The database.
        place: Arc<str>,
        /// Which row.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server does not answer, or refuses to let this program in.
    #[error("the state database {place} cannot be reached")]
    Unreachable {
        /// The database.
        place: Arc<str>,
        /// Why.
        source: sqlx::Error,
    },
    /// A target cannot be staged.
    #[error("target {path} cannot be staged: {reason}")]
    Unstageable {
        /// The target.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `state` in `tuf-repo.toml` is no URL of a database.
    #[error(transparent)]
    Url(#[from] StateUrlError),
}

const REBUILD: &str = "published files and keys are not in it. Lost are changes that were staged and not published, and what was known of \
     the upstream's pages. Move it aside with its -wal and -shm files, stage again, and run `tuf-repo mirror sync`";

impl StateError {
    /// Sorts what the driver says.
    pub(super) fn new(place: &Arc<str>, source: sqlx::Error) -> Self {
        let place = Arc::clone(place);
        let code = source.as_database_error().and_then(|error| Some(error.code()?.into_owned()));
        match (&source, code.as_deref()) {
            (_, Some(code)) if is_sqlite_damage(code) => Self::Damaged { place, source },
            // 08 connection, 28 authorisation, 3D no such database, 57P the server stops or starts, 53300 is full.
            (_, Some(code))
                if ["08", "28", "3D", "57P", "53300"]
                    .iter()
                    .any(|c| code.starts_with(c) && code.len() == 5) =>
            {
                Self::Unreachable { place, source }
            }
            (
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed,
                _,
            ) => Self::Unreachable { place, source },
            _ => Self::Failed { place, source },
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Damaged { .. } | Self::Row { .. } => REBUILD.to_owned(),
            Self::Failed { source, .. } => return failed_hint(source),
            Self::Foreign { .. } => {
                "give each repository its own name: state = \"postgres://…?repository=NAME\"; a state/ that was copied \
                 from another repository is moved aside"
                    .to_owned()
            }
            Self::Held { .. } => "wait until it has ended; a dead publisher's lease runs out by itself".to_owned(),
            Self::Lost { .. } => "nothing was published under it; run the command again".to_owned(),
            Self::Newer { .. } => "a newer tuf-repo wrote it: use that one, or a newer one".to_owned(),
            Self::Unreachable { .. } => {
                "is the server running, and does it let this user in? The password may come from PGPASSWORD or ~/.pgpass. \
                 What is published is served all the same"
                    .to_owned()
            }
            Self::Unstageable { .. } | Self::Url(_) => return None,
        })
    }
}

fn failed_hint(source: &sqlx::Error) -> Option<String> {
    let code = source.as_database_error()?.code()?;
    let hint = match &*code {
        "5" | "517" => "another process is writing to it: wait until it has ended",
        "8" | "14" => "this user must be able to write to it and to its directory",
        "13" | "53100" => "the disk is full: free some space and run the command again",
        code if is_sqlite(code, &[10]) => {
            "free some space if the disk is full, else look at the disk, and run the command again"
        }
        "25006" => "the server is read-only, a standby perhaps: name the primary in tuf-repo.toml",
        "42501" => "the user of the database needs the right to create tables in its schema",
        "40P01" => "two writers waited for each other: run the command again",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// `SQLITE_CORRUPT` and `SQLITE_NOTADB`, in whatever extended form. PostgreSQL's codes have five characters.
fn is_sqlite_damage(code: &str) -> bool {
    is_sqlite(code, &[11, 26])
}

/// Whether this is one of SQLite's codes, in whatever extended form.
fn is_sqlite(code: &str, codes: &[u32]) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| codes.contains(&(code & 0xff)))
}
