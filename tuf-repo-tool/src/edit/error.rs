//! Why an edit of roles, or a target for a role, is refused.

use tuf_core::RoleName;

use crate::config::section;

/// Why what is staged cannot be, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// A number of hash bins that cannot be.
    #[error("role {role}: {count} is no number of hash bins: expected a power of two from 1 to 65536")]
    BinCount {
        /// The role above them.
        role: RoleName,
        /// The number asked for.
        count: u32,
    },
    /// The role is delegated to already.
    #[error("role {role} is delegated already, by {delegator}")]
    Delegated {
        /// The role.
        role: RoleName,
        /// Who delegates to it.
        delegator: RoleName,
    },
    /// A hash bin, or the role above hash bins.
    #[error("role {delegator} has hash bins or is one: it delegates to no other role")]
    HashBins {
        /// The role that delegates.
        delegator: RoleName,
    },
    /// A staged edit cannot be read.
    #[error("staged edit {position} cannot be read: {reason}")]
    Damaged {
        /// Which one, from 1.
        position: usize,
        /// Why.
        reason: String,
    },
    /// A key that no client of ours can use.
    #[error("role {role}: key {keyid} ({scheme}) is damaged or of an unknown kind")]
    Key {
        /// The role.
        role: RoleName,
        /// The key's ID.
        keyid: String,
        /// Its scheme.
        scheme: String,
    },
    /// A name that stands for something else, or that no role can have.
    #[error("{name:?} cannot be the name of a delegated role: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The role has no hash bins.
    #[error("role {role} has no hash bins that have their keys in common")]
    NoBins {
        /// The role.
        role: RoleName,
    },
    /// A role would go before its version is what clients may have seen.
    #[error("role {role} would go with a version below min_version")]
    TooEarly {
        /// The role.
        role: RoleName,
    },
    /// There is no such role.
    #[error("there is no role {role}")]
    NoRole {
        /// The role.
        role: RoleName,
    },
    /// The role does not delegate to this one.
    #[error("role {delegator} does not delegate to {role}")]
    NotDelegated {
        /// The role that would delegate.
        delegator: RoleName,
        /// The role.
        role: RoleName,
    },
    /// No client would look for the target in this role.
    #[error("target {path}: a client does not look for it in role {role}: {reason}")]
    NotFound {
        /// The target.
        path: String,
        /// The role that was asked for.
        role: RoleName,
        /// Why not.
        reason: String,
    },
    /// A published target whose name is none.
    #[error("role {role} lists {path:?}, which is no target path: {reason}")]
    NotAPath {
        /// The role.
        role: RoleName,
        /// The name.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A pattern or prefix that means nothing.
    #[error("role {role}: {pattern:?} {reason}")]
    Pattern {
        /// The role.
        role: RoleName,
        /// The pattern or prefix.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no such place in the order.
    #[error("role {role}: expected a position from 1 to {last}, found {found}")]
    Position {
        /// The role.
        role: RoleName,
        /// The last place.
        last: usize,
        /// The one asked for.
        found: u32,
    },
    /// Keys and thresholds of top-level roles are root's.
    #[error("what is delegated to role {role} stands in root, whose keys sign apart from everything else")]
    Root {
        /// The role.
        role: RoleName,
    },
    /// The hash bins are as the edit would make them.
    #[error("the hash bins below role {role} are so already: {count} of them, {threshold} keys sign each")]
    SameBins {
        /// The role above them.
        role: RoleName,
        /// How many there are.
        count: u32,
        /// How many keys must sign each.
        threshold: u32,
    },
    /// The keys of this machine do not suffice.
    #[error("role {role} needs {threshold} signatures, and this machine has {here} of its keys; missing: {}", missing.join(" "))]
    SignedElsewhere {
        /// The role.
        role: RoleName,
        /// How many must sign.
        threshold: u32,
        /// How many can sign here.
        here: usize,
        /// The other keys: where the settings say they are, or their IDs.
        missing: Vec<String>,
        /// The role whose event takes the staged edits because of which it is signed.
        staged: Option<RoleName>,
    },
    /// More signatures are asked for than there are keys.
    #[error("role {role}: a threshold of {threshold} cannot be met by {keys} distinct keys")]
    Threshold {
        /// The role.
        role: RoleName,
        /// The threshold asked for.
        threshold: u32,
        /// How many distinct keys there are.
        keys: usize,
    },
    /// An event goes on from what is published.
    #[error("role {role} is to be signed with keys that are elsewhere, and nothing is published yet")]
    Unpublished {
        /// The role.
        role: RoleName,
    },
}

impl EditError {
    /// What to do instead.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BinCount { .. } | Self::SameBins { .. } => {
                "`tuf-repo bins plan` shows what each number costs clients".to_owned()
            }
            Self::NoBins { .. } => "`tuf-repo delegate list` shows which roles have hash bins".to_owned(),
            Self::Delegated { role, .. } => {
                format!("`tuf-repo delegate edit {role}` changes it; another role needs another name")
            }
            Self::Damaged { .. } => {
                "`tuf-repo delegate reset` forgets all staged edits of roles; staged targets stay".to_owned()
            }
            Self::TooEarly { .. } => {
                "the snapshot keeps the version of a role that goes, and clients may have seen a higher one: `tuf-repo renew` first, \
                 and then `tuf-repo publish`"
                    .to_owned()
            }
            Self::HashBins { .. } => "delegate from targets, or from a role without bins".to_owned(),
            Self::Key { .. } => "ed25519, ECDSA on P-256 and P-384, and RSA keys can be used".to_owned(),
            Self::Name { .. } => "choose another name".to_owned(),
            Self::NoRole { .. } | Self::NotDelegated { .. } => {
                "`tuf-repo delegate list` shows all roles; what is staged for one that is gone is forgotten by \
                 `tuf-repo delegate reset`"
                    .to_owned()
            }
            Self::NotFound { path, .. } => {
                format!("without --role the delegations decide; `tuf-repo remove {path}` takes it from where it is")
            }
            Self::NotAPath { .. } => "another program wrote it, and no client takes it; sign the role without it first".to_owned(),
            Self::Pattern { .. } => {
                "each segment of a pattern matches one segment of a path; see docs/publishing.md".to_owned()
            }
            Self::Position { .. } => "position 1 is asked first; --before ROLE names a place, too".to_owned(),
            Self::Root { .. } => "`tuf-repo event open root` changes it".to_owned(),
            Self::SignedElsewhere { staged: Some(role), .. } => {
                format!(
                    "`tuf-repo event open {role} --staged` makes what is staged a file that the holders of the other keys \
                     can sign; then `tuf-repo publish` goes on with the rest"
                )
            }
            Self::SignedElsewhere { role, .. } => match &*section(role) {
                online @ ("snapshot" | "timestamp" | "bin-n") => {
                    format!("name its keys in [roles.{online}] of tuf-repo.toml, on a machine that has them")
                }
                _ => format!("`tuf-repo event open {role}` makes a file that the holders of the other keys can sign"),
            },
            Self::Unpublished { .. } => "`tuf-repo publish` first, then stage this".to_owned(),
            Self::Threshold { .. } => "name more keys with --key, or ask for fewer signatures".to_owned(),
        })
    }

    /// Whether all is well but for signatures of keys that are elsewhere.
    #[must_use]
    pub const fn needs_signatures(&self) -> bool {
        matches!(self, Self::Root { .. } | Self::SignedElsewhere { .. })
    }
}
