//! One file as the report shows it: who may sign it, and who did.

use chrono::{DateTime, Utc};
use tuf_core::trust::{Authority, Verification};
use tuf_core::{Envelope, Header, Keys, RoleKeys, RoleName, Root, TopLevel};

use super::report::{KeyReport, RoleReport};
use super::rules;
use crate::text::utc;

/// Keys and threshold of a role, and the file that says so.
pub(super) struct Grant<'a> {
    pub(super) by: (&'a RoleName, u64),
    pub(super) keys: &'a Keys,
    pub(super) role: &'a RoleKeys,
}

impl<'a> Grant<'a> {
    pub(super) fn top_level(root: &'a Root, by: &'a RoleName, role: TopLevel) -> Self {
        Self { by: (by, root.header.version), keys: &root.keys, role: root.role(role) }
    }

    pub(super) fn check(&self, envelope: &Envelope) -> Verification {
        Authority::new(self.by.0, self.by.1, self.keys, self.role).check(envelope)
    }
}

/// What can be said of a file before it is accepted.
pub(super) fn describe(
    role: &RoleName,
    delegator: Option<&RoleName>,
    file: String,
    bytes: usize,
    envelope: Option<&Envelope>,
    grant: &Grant<'_>,
) -> RoleReport {
    let found = envelope.map(|envelope| grant.check(envelope));
    let ids = |ids: &[tuf_core::KeyId]| ids.iter().map(ToString::to_string).collect();
    let keys = grant.role.keyids.iter().map(|id| {
        let key = grant.keys.get(id);
        KeyReport {
            id: id.to_string(),
            keytype: key.map(|key| key.keytype().to_owned()),
            scheme: key.map(|key| key.scheme().to_owned()),
            usable: key.is_some_and(|key| key.public().is_some()),
        }
    });
    let (mut invalid, mut missing) = (Vec::new(), Vec::new());
    if let (Some(found), Some(envelope)) = (&found, envelope) {
        missing.clone_from(&found.missing);
        for id in &found.invalid {
            let list = if rules::is_invalid(id, envelope, grant.keys) { &mut invalid } else { &mut missing };
            list.push(id.clone());
        }
    }
    RoleReport {
        role: role.to_string(),
        delegator: delegator.map(ToString::to_string),
        file,
        accepted: false,
        version: envelope.and_then(|envelope| envelope.claims().version),
        expires: None,
        expires_in: None,
        spec_version: None,
        bytes,
        threshold: grant.role.threshold(),
        keys: keys.collect(),
        signed: found.map(|found| ids(&found.signed)).unwrap_or_default(),
        invalid: ids(&invalid),
        missing: ids(&missing),
        targets: None,
        delegations: None,
    }
}

pub(super) fn accept(report: &mut RoleReport, header: &Header, now: DateTime<Utc>) {
    report.accepted = true;
    report.version = Some(header.version);
    report.expires = Some(utc(&header.expires));
    report.expires_in = Some(header.expires.signed_duration_since(now).num_seconds());
    report.spec_version = Some(header.spec_version.clone());
}
