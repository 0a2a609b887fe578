//! The one verifier. Every signature threshold of the workspace goes through [`Authority::check`]:
//! root by its predecessor and itself, top-level roles, delegated roles, ceremonies, audit. Two copies
//! of it are how delegated roles came to skip checks elsewhere (CVE-2026-6966, CVE-2026-6967).
//!
//! It counts distinct *public keys*, by their decoded material, never key IDs: one key under two IDs,
//! or in two encodings, counts once (GHSA-3633-5h82-39pq). It verifies at most one signature for each
//! authorised key ID, so that thousands of junk signatures cost nothing (CVE-2020-6173).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::envelope::Envelope;
use crate::error::{Error, ErrorKind};
use crate::key::PublicKey;
use crate::keys::{Keys, RoleKeys};
use crate::limits::Limits;
use crate::metadata::{self, Metadata};
use crate::role::{KeyId, RoleName};

/// Who may sign for a role, according to one file.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// The file that says so, for messages: its role and version.
    by: (&'a RoleName, u64),
    keys: &'a Keys,
    role: &'a RoleKeys,
}

/// What the signatures of a file come to, under one authority.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Authorised key IDs with a valid signature.
    pub signed: Vec<KeyId>,
    /// Authorised key IDs with a signature that does not verify.
    pub invalid: Vec<KeyId>,
    /// Authorised key IDs without a signature.
    pub missing: Vec<KeyId>,
    /// The number of distinct keys among `signed`.
    pub distinct: usize,
    /// The number of distinct keys needed.
    pub threshold: u32,
}

impl Verification {
    /// Whether enough distinct keys signed.
    #[must_use]
    pub fn is_met(&self) -> bool {
        usize::try_from(self.threshold).is_ok_and(|threshold| threshold > 0 && self.distinct >= threshold)
    }
}

impl<'a> Authority<'a> {
    /// The keys that `keys` lists for `role`, on the word of the file `by`.
    #[must_use]
    pub const fn new(by: &'a RoleName, version: u64, keys: &'a Keys, role: &'a RoleKeys) -> Self {
        Self { by: (by, version), keys, role }
    }

    /// Counts who signed. This decides nothing; it is for [`Authority::verify`], for ceremonies that
    /// ask who is missing, and for audits.
    #[must_use]
    pub fn check(&self, envelope: &Envelope) -> Verification {
        let (mut signed, mut invalid, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut distinct: BTreeSet<&PublicKey> = BTreeSet::new();
        let unique: BTreeSet<&KeyId> = self.role.keyids.iter().collect();
        for id in unique {
            let Some(signature) = envelope.signatures().iter().find(|entry| entry.keyid() == id) else {
                missing.push(id.clone());
                continue;
            };
            let public = self.keys.get(id).and_then(|key| Some((key, key.public()?)));
            let valid = signature.bytes().zip(public).and_then(|(bytes, (key, public))| {
                key.verify(envelope.signed().as_bytes(), &bytes).then_some(public)
            });
            match valid {
                Some(public) => {
                    distinct.insert(public);
                    signed.push(id.clone());
                }
                None => invalid.push(id.clone()),
            }
        }
        Verification { signed, invalid, missing, distinct: distinct.len(), threshold: self.role.threshold() }
    }

    /// Verifies a file of `role`: first the signatures, then, from the verified text, the typed value.
    ///
    /// # Errors
    /// [`ErrorKind::Threshold`], or what is wrong with the value.
    pub fn verify<T: Metadata>(
        &self,
        role: &RoleName,
        envelope: &Envelope,
        limits: &Limits,
    ) -> Result<Authentic<T>, Error> {
        let in_context =
            |error: Error| error.in_role(role).at_version(envelope.claims().version.unwrap_or_default());
        let verification = self.check(envelope);
        if !verification.is_met() {
            let (by, version) = self.by;
            return Err(in_context(
                ErrorKind::Threshold {
                    valid: verification.distinct,
                    threshold: verification.threshold,
                    by: format!("{by} {version}"),
                }
                .into(),
            ));
        }
        let value = metadata::read::<T>(envelope, limits).map_err(in_context)?;
        Ok(Authentic(Arc::new(Inner { role: role.clone(), value, bytes: Arc::clone(envelope.bytes()) })))
    }
}

/// Metadata whose signatures hold. That makes its version a rollback floor, no more: it may have
/// expired or be outdated. Only the verifier makes one:
///
/// ```compile_fail
/// # fn f(root: tuf_core::Root) {
/// tuf_core::trust::Authentic(root);
/// # }
/// ```
pub struct Authentic<T>(Arc<Inner<T>>);

struct Inner<T> {
    role: RoleName,
    value: T,
    bytes: Arc<[u8]>,
}

impl<T> Authentic<T> {
    /// The role that was verified.
    #[must_use]
    pub fn role_name(&self) -> &RoleName {
        &self.0.role
    }

    /// The typed value.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.0.value
    }

    /// The exact bytes received.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.0.bytes
    }
}

impl<T> Deref for Authentic<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Clone for Authentic<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Metadata> fmt::Debug for Authentic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role_name(), self.header().version)
    }
}

/// Authentic metadata that is also fresh, above the rollback floor, and the one that the chain wants
/// here. Only the chain makes one:
///
/// ```compile_fail
/// # fn f(authentic: tuf_core::trust::Authentic<tuf_core::Root>) {
/// tuf_core::trust::Trusted::new(authentic);
/// # }
/// ```
pub struct Trusted<T> {
    authentic: Authentic<T>,
    /// The snapshot under which a targets role was verified; roles above it have none.
    snapshot: Option<SnapshotId>,
}

/// Which snapshot it was: equal to itself and its clones only.
#[derive(Clone, Debug, Default)]
pub(super) struct SnapshotId(Arc<()>);

impl<T> Trusted<T> {
    pub(super) const fn new(authentic: Authentic<T>) -> Self {
        Self { authentic, snapshot: None }
    }

    pub(super) fn into_authentic(self) -> Authentic<T> {
        self.authentic
    }

    pub(super) fn under(self, snapshot: &SnapshotId) -> Self {
        Self { snapshot: Some(snapshot.clone()), ..self }
    }

    /// # Errors
    /// [`ErrorKind::OtherSnapshot`] if this was not verified under that snapshot.
    pub(super) fn must_be_under(&self, snapshot: &SnapshotId) -> Result<(), Error> {
        match &self.snapshot {
            Some(own) if Arc::ptr_eq(&own.0, &snapshot.0) => Ok(()),
            _ => Err(Error::new(ErrorKind::OtherSnapshot(self.role_name().clone()))),
        }
    }
}

impl<T> Deref for Trusted<T> {
    type Target = Authentic<T>;

    fn deref(&self) -> &Authentic<T> {
        &self.authentic
    }
}

impl<T> Clone for Trusted<T> {
    fn clone(&self) -> Self {
        Self { authentic: self.authentic.clone(), snapshot: self.snapshot.clone() }
    }
}

impl<T: Metadata> fmt::Debug for Trusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.authentic.fmt(f)
    }
}
