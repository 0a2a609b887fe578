//! Takes over metadata that was published, by this program or another: `rebuild`, `import`, and the half of `restore` that is
//! about what clients see.
//!
//! `Seen::read` verifies all of it as a client would, but for expiry; `settings` derives `tuf-repo.toml` from it and from the
//! keys that are here. Bytes are never written anew: what is published stays byte for byte as it was signed.

mod carry;
mod error;
mod fresh;
mod import;
mod keyring;
mod periods;
mod rebuild;
mod seen;
mod settings;
mod source;
mod walk;

pub(crate) use carry::Carrier;
pub use error::AdoptError;
pub(crate) use fresh::Fresh;
pub use import::{ImportOptions, Imported, import};
pub(crate) use import::{Spool, carry_metadata, carry_targets, clear, published_timestamp};
pub(crate) use keyring::names;
pub use rebuild::{RebuildOptions, Rebuilt, rebuild};
pub(crate) use seen::Seen;
pub use settings::{AdoptedRole, Given};
pub use source::Source;

#[cfg(test)]
mod tests;
