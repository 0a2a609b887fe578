//! Fuzz targets of tuf-core, each a function of bytes that panics if something is wrong.
//!
//! The binaries in `fuzz_targets/` hand them to libFuzzer; `tests/seeds.rs` runs the same functions over
//! `corpus/` and mutations of it, on any toolchain. See `cargo xtask fuzz`.

#![forbid(unsafe_code)]

mod formats;
mod input;
mod names;
mod refresh;
mod repo;
mod search;

pub use formats::{envelope, json, key, root, snapshot, targets, timestamp};
pub use names::{pattern, target_path};
pub use refresh::refresh_script;
pub use repo::honest_payloads;
pub use search::search_script;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets by their names, which are those of their binaries and of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 11] = [
    ("envelope", envelope),
    ("json", json),
    ("key", key),
    ("pattern", pattern),
    ("refresh_script", refresh_script),
    ("root", root),
    ("search_script", search_script),
    ("snapshot", snapshot),
    ("target_path", target_path),
    ("targets", targets),
    ("timestamp", timestamp),
];
