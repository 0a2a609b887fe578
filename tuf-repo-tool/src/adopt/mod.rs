//! Takes over metadata that was published, by this program or another: `rebuild`, `import`, and the half of `restore` that is
//! about what clients see.
//!
//! [`Seen::read`] verifies all of it as a client would, but for expiry; [`settings`] derives `tuf-repo.toml` from it and from the
//! keys that are here. Bytes are never written anew: what is published stays byte for byte as it was signed.

mod error;
mod keyring;
mod periods;
mod rebuild;
mod seen;
mod settings;
mod source;
mod walk;

pub use error::AdoptError;
pub use rebuild::{RebuildOptions, Rebuilt, rebuild};
pub use settings::{AdoptedRole, Given};
pub use source::Source;

#[cfg(test)]
mod tests;
