//! A repository in one file, and back.
//!
//! A backup has everything that published metadata cannot give again (settings, keys, what is staged or pending) and the
//! metadata itself; files of targets only if that is asked for. Restoring never takes back what clients have seen: where
//! something newer is published, that stays.

mod archive;
mod error;
mod make;
mod names;
mod restore;
mod staged;

pub use error::BackupError;
pub use make::{BackedUp, BackupOptions, WhichKeys, backup};
pub use restore::{RestoreOptions, Restored, restore};

/// Where the parts of a repository are in an archive.
const SETTINGS: &str = "tuf-repo.toml";
const ROOT: &str = "root.json";
const LOG: &str = "log.ndjson";
const KEYS: &str = "keys/";
const STAGED: &str = "state/staged.ndjson";
const EVENTS: &str = "state/events/";
const PUBLIC: &str = "public/";
