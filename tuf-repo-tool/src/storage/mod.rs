//! Where published files are: a directory, or a bucket of an S3 server. The same calls for both.
//!
//! All published files but a few are immutable ([`Storage::create`], [`Storage::place`]): their name carries a version or a
//! hash. What changes is replaced by [`Storage::swap`], which compares before it writes, so that of two publishers one
//! loses instead of hiding what the other one did.
//!
//! Calls block; a bucket's requests run on threads of their own, so they may be made on any thread.
//! [`storage_suite`] is what every implementation promises, as a test.

mod error;
mod headers;
mod local;
mod memory;
mod object;
mod parts;
mod probe;
mod s3;
mod suite;
mod transport;
mod verify;

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tuf_client::env;

pub use error::StorageError;
pub(crate) use headers::{Lifetime, is_hash_prefixed};
pub use local::LocalStorage;
pub use memory::MemoryStorage;
pub use object::{ObjectStorage, SWAP_DEADLINE};
pub use suite::storage_suite;
pub(crate) use transport::{METADATA_LIMIT, StorageTransport};
pub(crate) use verify::verify_file;

/// A place for published files. Paths are relative to its root, parts separated by `/`: `metadata/timestamp.json`.
pub trait Storage: fmt::Debug + Send + Sync {
    /// As the operator wrote it, without credentials; for messages.
    fn url(&self) -> String;

    /// The whole file; `None` if there is none.
    ///
    /// # Errors
    /// [`StorageError::TooLong`] if it has more than `limit` bytes, of which then no more than that were read; and whatever keeps it from being read.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, StorageError>;

    /// How many bytes a file has; `None` if there is none.
    ///
    /// # Errors
    /// Whatever keeps it from being looked at.
    fn length(&self, path: &str) -> Result<Option<u64>, StorageError>;

    /// Makes new files, durable on return. One that is there with the same bytes is fine. If it fails, some of the
    /// files may have been made.
    ///
    /// # Errors
    /// [`StorageError::Exists`] if one is there with other bytes, which stay; and whatever keeps them from being written.
    fn create(&self, files: &[NewFile]) -> Result<(), StorageError>;

    /// Makes a new file of any size out of a local one, which was verified by the caller and is left where it is. A file of the same
    /// length that is there is fine: its name carries its hash.
    ///
    /// # Errors
    /// [`StorageError::Exists`] if one of another length is there, which stays; and whatever keeps it from being written.
    fn place(&self, path: &str, local: &Path) -> Result<(), StorageError>;

    /// Replaces a file that still has exactly the bytes `expected` (`None`: that is not there), durable on return.
    ///
    /// Of callers that race with the same `expected`, exactly one succeeds where [`Storage::swaps`] says
    /// [`Swap::Atomic`].
    ///
    /// # Errors
    /// [`StorageError::Conflict`] if it has other bytes, which stay; and whatever keeps it from being written. A request that broke
    /// off may have been carried out.
    fn swap(&self, path: &str, expected: Option<&[u8]>, bytes: &[u8]) -> Result<(), StorageError>;

    /// Whether [`Storage::swap`] is atomic. A server is asked once, at the first call or the first write.
    ///
    /// # Errors
    /// If the server cannot be asked.
    fn swaps(&self) -> Result<Swap, StorageError>;

    /// Shows all files below a directory (empty: all), in no order and in memory that does not depend on their number, until
    /// `visit` breaks off. What is made or removed meanwhile may be shown or not.
    ///
    /// # Errors
    /// Whatever keeps it from being listed.
    fn walk(
        &self,
        directory: &str,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), StorageError>;

    /// All files below a directory (empty: all), sorted by path.
    ///
    /// # Errors
    /// Whatever keeps it from being listed.
    fn list(&self, directory: &str) -> Result<Vec<Listed>, StorageError> {
        let mut found = Vec::new();
        self.walk(directory, &mut |listed| {
            found.push(listed);
            ControlFlow::Continue(())
        })?;
        found.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        Ok(found)
    }

    /// Removes files; one that is not there is fine.
    ///
    /// # Errors
    /// Whatever keeps them from being removed; some may be gone.
    fn remove(&self, paths: &[String]) -> Result<(), StorageError>;

    /// The directory that the files are in, if they are on this machine.
    fn local(&self) -> Option<&Path> {
        None
    }
}

/// A file to make.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers make it; there is nothing else to say of a file")]
pub struct NewFile {
    /// Where, relative to the storage's root.
    pub path: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for NewFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewFile").field("path", &self.path).field("length", &self.bytes.len()).finish()
    }
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Where, relative to the storage's root.
    pub path: String,
    /// In bytes.
    pub length: u64,
    /// When it got these bytes, by the clock of whoever keeps them.
    pub modified: DateTime<Utc>,
}

/// What guards [`Storage::swap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Swap {
    /// The storage itself: of racing callers one wins.
    Atomic,
    /// Nothing: the file is compared and then replaced, and what another publisher does in between is lost. Publishers must
    /// exclude each other by other means.
    Unguarded,
}

impl fmt::Display for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Atomic => "atomic",
            Self::Unguarded => "unguarded",
        })
    }
}

/// The storage of a repository: what `storage` in its settings says, else its directory `public/`. No server is asked yet.
///
/// # Errors
/// [`StorageError::Url`]; [`StorageError::Setup`] if the environment's settings for S3 cannot be used.
pub fn open(url: Option<&str>, repository: &Path) -> Result<Arc<dyn Storage>, StorageError> {
    open_with(url, repository, env::vars())
}

/// As [`open`], with these variables instead of the environment's.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    url: Option<&str>,
    repository: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn Storage>, StorageError> {
    match url {
        None => Ok(Arc::new(LocalStorage::new(&repository.join("public"), &repository.join("state")))),
        Some(url) => Ok(Arc::new(s3::open(url, variables)?)),
    }
}

/// Refuses a path that could mean another file than it says, here or on any server.
fn check_path(path: &str) -> Result<(), StorageError> {
    let refuse = |reason| Err(StorageError::Path { path: path.to_owned(), reason });
    if path.chars().any(char::is_control) {
        return refuse("it has a control character");
    }
    for part in path.split('/') {
        match part {
            "" => return refuse("it has an empty part"),
            "." | ".." => return refuse("it does not stay below the storage's root"),
            // What a killed process left behind has such names, and is never listed.
            _ if is_temporary(part) => return refuse("it has the name of a temporary file"),
            _ => {}
        }
    }
    Ok(())
}

/// How [`tuf_client::durable`] calls files in the making.
const TEMPORARY: &str = ".tmp-";
/// What a server's promises are tried on.
const PROBE: &str = ".probe-";

/// Whether a name is of a file that was never published.
fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY) || name.starts_with(PROBE)
}

#[cfg(test)]
mod tests;
