//! Who must sign a proposal.

use tuf_core::trust::{Authority, Verification};
use tuf_core::{Envelope, Key, KeyId, Keys, RoleKeys, RoleName};

/// Who must sign a proposal, according to one file.
#[derive(Clone, Debug)]
pub(super) struct Signatories<'a> {
    /// The file: `root 3 (published)`.
    pub(super) by: String,
    pub(super) keys: &'a Keys,
    pub(super) role: RoleKeys,
    name: &'a RoleName,
    version: u64,
}

impl<'a> Signatories<'a> {
    pub(super) fn new(by: &'a RoleName, version: u64, state: &str, keys: &'a Keys, role: RoleKeys) -> Self {
        Self { by: format!("{by} {version} ({state})"), keys, role, name: by, version }
    }

    /// The key IDs under which a key may sign.
    pub(super) fn ids_of(&self, key: &Key) -> impl Iterator<Item = &KeyId> {
        let (keys, public) = (self.keys, key.public().cloned());
        self.role
            .keyids
            .iter()
            .filter(move |id| public.is_some() && keys.get(id).and_then(Key::public) == public.as_ref())
    }

    pub(super) fn check(&self, envelope: &Envelope) -> Verification {
        Authority::new(self.name, self.version, self.keys, &self.role).check(envelope)
    }
}
