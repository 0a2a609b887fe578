//! The Update Framework (TUF, specification 1.0.34) without I/O.
//!
//! This crate reads, verifies, searches and writes TUF metadata. It opens no file and no connection and
//! reads no clock: bytes and the time are parameters.
//!
//! With the feature `ml-dsa` ML-DSA keys (TAP 21) count; it brings aws-lc-rs, which needs a C compiler.
//!
//! Which part do I need?
//!
//! - A program that downloads: take the crate `tuf-client`, which drives this one.
//! - Your own client: drive [`refresh::Refresh`] and [`trust::Search`].
//! - A program that signs: the typed values ([`Root`], [`Timestamp`], [`Snapshot`], [`Targets`]) and
//!   [`Draft`].
//! - A program that only looks: [`Envelope::parse`] and [`read_unverified`].
//!
//! ```
//! use std::sync::Arc;
//! use tuf_core::{Limits, refresh::{Refresh, Step}};
//!
//! # fn fetch(_: &str, _: u64) -> Option<Vec<u8>> { None }
//! fn update(pinned_root: Arc<[u8]>, now: chrono::DateTime<chrono::Utc>) -> Result<(), tuf_core::Error> {
//!     let mut refresh = Refresh::new(&pinned_root, now, Arc::new(Limits::default()))?;
//!     loop {
//!         match refresh.step() {
//!             Step::Load { .. } => refresh.give(None)?, // no store
//!             Step::Fetch { name, max, .. } => refresh.give(fetch(&name, max))?,
//!             _ => break,
//!         }
//!     }
//!     let (trusted, _to_store) = refresh.finish();
//!     println!("snapshot {}", trusted.map_or(0, |set| set.snapshot().header.version));
//!     Ok(())
//! }
//! ```

pub mod bins;
pub mod canonical;
mod crypto;
mod delegation;
mod editor;
mod envelope;
mod error;
mod hashes;
mod json;
mod key;
mod keys;
mod limits;
mod metadata;
pub mod pattern;
mod reader;
pub mod refresh;
mod role;
mod role_list;
mod root;
mod shape;
mod snapshot;
mod sorted;
mod strings;
mod target_path;
mod targets;
mod text;
mod timestamp;
pub mod trust;

pub use delegation::{Delegated, Delegation, Delegations, Scope};
pub use editor::{BadSignature, Draft, read_unverified};
pub use envelope::{Claims, Envelope, Signature};
pub use error::{Attack, Error, ErrorKind};
pub use hashes::{Checker, Hashes};
pub use json::{Extra, Json};
pub use key::{Key, PublicKey};
pub use keys::{Keys, RoleKeys};
pub use limits::Limits;
pub use metadata::{Header, Metadata, SPEC_VERSION};
pub use reader::FieldError;
pub use refresh::{Batch, Change, StoredFile};
pub use role::{KeyId, RoleName, RoleNameError, TopLevel};
pub use role_list::RoleList;
pub use root::Root;
pub use snapshot::{Meta, MetaFile, Snapshot};
pub use strings::Strings;
pub use target_path::{PathError, TargetPath, url_path};
pub use targets::{TargetFile, TargetMap, Targets};
pub use timestamp::Timestamp;
