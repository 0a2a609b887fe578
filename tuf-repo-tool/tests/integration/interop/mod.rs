//! Other implementations read what `tuf-repo` writes, and `tuf-client` reads what they write. Their side is in
//! `interop/` at the top of the workspace.

mod delegations;
mod lookalike;
mod lookalikes;
mod ours;
pub(crate) mod peer;
mod theirs;
mod tuftool;
