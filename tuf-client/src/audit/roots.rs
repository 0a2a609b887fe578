//! The walk along the chain of roots.

use std::sync::Arc;

use tuf_core::trust::RootChain;
use tuf_core::{Envelope, ErrorKind, Root, TopLevel, read_unverified};

use super::describe::{Grant, accept, describe};
use super::report::Finding;
use super::walk::Walk;
use super::{AUDIT_BYTES, rules};
use crate::error::Error;

/// A weekly root for 78 years.
const MAX_ROOTS: usize = 4_096;

impl Walk {
    /// Follows the chain as far as it holds.
    pub(super) async fn roots(&mut self, mut chain: RootChain) -> Result<RootChain, Error> {
        let role = TopLevel::Root.role();
        while self.report.roots.len() < MAX_ROOTS {
            let version = chain.next_version();
            let Some(bytes) =
                self.client.fetch_metadata((&role, &role.file_name(Some(version)), AUDIT_BYTES)).await?
            else {
                let after = role.file_name(Some(version.saturating_add(1)));
                if self.client.fetch_metadata((&role, &after, AUDIT_BYTES)).await?.is_some() {
                    let message = format!("{version}.root.json is missing, but {after} is there");
                    let finding = Finding::error("root-gap", message).about(&role, Some(version));
                    self.add(finding.hint("no client gets past the gap: publish the missing root"));
                }
                return Ok(chain);
            };
            let bytes: Arc<[u8]> = bytes.into();
            match chain.next(&bytes) {
                Ok(next) => {
                    self.root(&bytes, Some(chain.root()), Some(next.root()));
                    chain = next;
                }
                Err(error) => {
                    let told = self.root(&bytes, Some(chain.root()), None);
                    if !told || !matches!(error.kind(), ErrorKind::Threshold { .. }) {
                        self.add(rules::refused(&error));
                    }
                    let message =
                        format!("going on with root {}, as every client does", version.saturating_sub(1));
                    self.add(Finding::note("not-audited", message).about(&role, Some(version)));
                    return Ok(chain);
                }
            }
        }
        self.add(Finding::error("over-limit", format!("more than {MAX_ROOTS} roots")));
        Ok(chain)
    }

    /// Reports one root; says whether a threshold that it does not meet was found, its own or its
    /// predecessor's.
    pub(super) fn root(&mut self, bytes: &Arc<[u8]>, before: Option<&Root>, accepted: Option<&Root>) -> bool {
        let role = TopLevel::Root.role();
        let Ok(envelope) = Envelope::parse(Arc::clone(bytes), &self.limits) else { return false };
        let Ok(root) = read_unverified::<Root>(&envelope, &self.limits) else { return false };
        let version = root.header.version;
        let own = Grant::top_level(&root, &role, TopLevel::Root);
        let before = before.map(|root| Grant::top_level(root, &role, TopLevel::Root));
        let mut unmet = false;
        for grant in before.iter().chain([&own]) {
            let found = grant.check(&envelope);
            if !found.is_met() {
                unmet = true;
                let by = format!("root {}", grant.by.1);
                let kind = ErrorKind::Threshold { valid: found.distinct, threshold: found.threshold, by };
                self.add(rules::refused(&kind.into()).about(&role, Some(version)));
            }
            self.extend(rules::signatures(&role, version, &found, &envelope, grant.keys));
        }
        self.extend(rules::size(&role, version, bytes.len()));
        let mut report =
            describe(&role, None, role.file_name(Some(version)), bytes.len(), Some(&envelope), &own);
        if let Some(root) = accepted {
            accept(&mut report, &root.header, self.now);
        }
        self.report.roots.push(report);
        unmet
    }
}
