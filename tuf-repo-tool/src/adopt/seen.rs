//! What is published, as far as settings follow from it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use tuf_client::simple::Layout;
use tuf_core::trust::Trusted;
use tuf_core::{Delegated, Envelope, KeyId, Limits, Metadata, RoleName, TopLevel};

use super::periods::unspread;
use super::walk::{Chain, Met, written};
use super::{AdoptError, Source};
use crate::config::{RoleKind, section};
use crate::error::Error;
use crate::publish::Listed;

/// Everything that one walk through published metadata shows.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) chain: Chain,
    /// By the section of the settings: hash bins of one role together.
    pub(super) sections: BTreeMap<String, Section>,
    /// Delegated to, and not in the snapshot.
    pub(super) absent: Vec<RoleName>,
    /// Roles that delegate to succinct hash bins (TAP 15).
    pub(super) succinct: Vec<RoleName>,
    /// How many targets are listed.
    pub(crate) targets: usize,
    /// Projects of which there is a page.
    pub(super) projects: BTreeSet<String>,
    /// Whether files of projects are targets.
    has_files: bool,
}

/// What was signed of roles that have one section.
#[derive(Debug)]
pub(super) struct Section {
    /// Keys and threshold, each that was named.
    pub(super) listed: Vec<Listed>,
    /// Who signed the file met first, in its order.
    pub(super) signed_by: Vec<KeyId>,
    /// The longest span from the time a file was written to its expiry.
    pub(super) span: TimeDelta,
    /// When the first of them expires.
    pub(super) expires: DateTime<Utc>,
    /// The highest version.
    pub(super) version: u64,
    pub(super) roles: usize,
}

impl Seen {
    /// Reads a source. `each` is given every targets role, delegators first.
    ///
    /// # Errors
    /// [`AdoptError`]: what does not verify, what is not there, and [`AdoptError::Plain`].
    pub(crate) async fn read(
        source: &Source,
        now: DateTime<Utc>,
        mut each: impl AsyncFnMut(&Chain, &Met<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let chain = Chain::read(source).await?;
        if !chain.set.root().consistent_snapshot {
            return Err(AdoptError::Plain { source_name: source.name().to_owned() }.into());
        }
        let written = written(source)?;
        let mut seen = Facts { written, now, sections: BTreeMap::new() };
        let root = chain.set.root().clone();
        let top = |role| vec![Listed::of_root(root.value(), role)];
        seen.add(&root, top(TopLevel::Root), Some(root.header.version));
        seen.add(chain.set.timestamp(), top(TopLevel::Timestamp), None);
        seen.add(chain.set.snapshot(), top(TopLevel::Snapshot), Some(chain.set.snapshot().header.version));
        let (mut succinct, mut targets, mut has_files) = (Vec::new(), 0, false);
        let mut projects = BTreeSet::new();
        let absent = chain
            .each_role(source, async |met| {
                let role = met.role;
                let listed = match met.delegator.and_then(|delegator| delegator.delegations.as_ref()) {
                    Some(delegations) => delegations
                        .role_keys(role.role_name())
                        .map(|keys| Listed::of((&delegations.keys, &keys))),
                    None => Some(Listed::of_root(root.value(), TopLevel::Targets)),
                };
                seen.add(role, listed.into_iter().collect(), Some(role.header.version));
                if role
                    .delegations
                    .as_ref()
                    .is_some_and(|below| matches!(below.roles, Delegated::Succinct(_)))
                {
                    succinct.push(role.role_name().clone());
                }
                targets += role.targets.len();
                for (path, _) in role.targets.iter() {
                    has_files |= path.starts_with("packages/");
                    let page = path.strip_prefix("simple/").and_then(|path| path.strip_suffix("/index.json"));
                    projects.extend(page.filter(|project| !project.contains('/')).map(str::to_owned));
                }
                each(&chain, &met).await
            })
            .await?;
        let sections = seen.sections;
        Ok(Self { chain, sections, absent, succinct, targets, projects, has_files })
    }

    /// Keys and threshold of every role, as first named; hash bins of one role together.
    pub(crate) fn authorities(&self) -> impl Iterator<Item = (&str, &Listed)> {
        self.sections.iter().filter_map(|(name, section)| Some((&**name, section.listed.first()?)))
    }

    /// Which files are targets: those of projects are not, where only their pages are.
    pub(super) fn layout(&self) -> Layout {
        match !self.projects.is_empty() && !self.has_files {
            true => Layout::Index,
            false => Layout::Pep458,
        }
    }

    /// Whether the roles are those of PEP 458.
    pub(super) fn has_bins(&self) -> bool {
        let has = |kind: RoleKind| self.sections.contains_key(kind.name());
        has(RoleKind::Bins) || has(RoleKind::BinN)
    }
}

struct Facts {
    written: BTreeMap<String, DateTime<Utc>>,
    now: DateTime<Utc>,
    sections: BTreeMap<String, Section>,
}

impl Facts {
    fn add<T: Metadata>(&mut self, role: &Trusted<T>, listed: Vec<Listed>, version: Option<u64>) {
        let name = role.role_name();
        let header = role.header();
        let written = self.written.get(&name.file_name(version)).copied().unwrap_or(self.now);
        let span = unspread(header.expires - written, name);
        let section = self.sections.entry(section(name).into_owned()).or_insert_with(|| Section {
            listed: Vec::new(),
            signed_by: signers(role.bytes()),
            span,
            expires: header.expires,
            version: 0,
            roles: 0,
        });
        for listed in listed {
            if !section.listed.contains(&listed) {
                section.listed.push(listed);
            }
        }
        section.span = section.span.max(span);
        section.expires = section.expires.min(header.expires);
        section.version = section.version.max(header.version);
        section.roles += 1;
    }
}

/// Who signed a file that was verified.
fn signers(file: &[u8]) -> Vec<KeyId> {
    let envelope = Envelope::parse(file, &Limits::default());
    let signatures = envelope.iter().flat_map(Envelope::signatures);
    signatures.map(|signature| signature.keyid().clone()).collect()
}
