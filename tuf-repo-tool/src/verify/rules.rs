//! What is asked besides what the audit asks.

use tuf_client::text::{span, utc};
use tuf_core::trust::Trusted;
use tuf_core::{Delegated, Scope, Targets};

use super::finding::Finding;
use crate::edit::{Edit, EditDelegation, EditScope, warnings};
use crate::publish::clock;
use crate::repository::{Published, Repository};

/// This machine's clock is behind the one by which the timestamp was signed.
pub(super) fn clock(repository: &Repository, published: &Published) -> Option<Finding> {
    let (signed, behind) = clock::behind(repository, published)?;
    (behind > clock::TOLERANCE).then(|| {
        let timestamp = published.set().timestamp();
        let message = format!("this machine's clock is {} behind what was signed", span(behind));
        Finding::error("clock", message)
            .compare(format!("after {}", utc(&signed)), utc(&repository.now()))
            .about("timestamp", Some(timestamp.header.version))
            .hint("set the clock of this machine, or of the one that signed; let NTP keep both")
    })
}

/// Delegations whose patterns are seldom meant. `above` is what the delegator itself may sign for, if not everything.
pub(super) fn delegations(role: &Trusted<Targets>, above: Option<&Scope>) -> Vec<Finding> {
    let Some(Delegated::Roles(roles)) = role.delegations.as_ref().map(|delegations| &delegations.roles)
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for below in roles.iter() {
        let Scope::Paths(patterns) = &below.scope else { continue };
        let mut edit = EditDelegation::new(role.role_name().clone(), below.name.clone());
        edit.scope = Some(EditScope::Paths(patterns.iter().map(|pattern| pattern.into_owned()).collect()));
        for warning in warnings(&Edit::EditDelegation(edit), above) {
            let message = format!("delegation to {}: {warning}", below.name);
            let finding = Finding::warning("delegation-pattern", message);
            findings.push(
                finding
                    .about(role.role_name().as_str(), Some(role.header.version))
                    .hint(format!("`tuf-repo delegate edit {}` changes it", below.name)),
            );
        }
    }
    findings
}
