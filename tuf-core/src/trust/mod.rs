//! Trust: the one verifier, the chain from the pinned root to a target, and the search.

mod chain;
mod search;
mod verify;

pub use chain::{Floor, FreshRoot, FreshSnapshot, FreshTimestamp, RootChain, TrustedSet};
pub use search::{Found, Search, SearchStep};
pub use verify::{Authentic, Authority, Trusted, Verification};
