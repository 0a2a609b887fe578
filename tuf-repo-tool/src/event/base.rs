//! What a bundle says is published, verified from its first root down.

use std::sync::Arc;

use tuf_core::trust::{Authentic, Authority, RootChain};
use tuf_core::{Envelope, RoleName, Root, Targets, TopLevel};

use super::bundle::limits;
use super::document::PublishedFile;

/// Far more than any repository has had.
const MAX_ROOTS: usize = 4_096;

/// Every published root from the first, as files and as the chain that they are.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    pub(super) files: Vec<Arc<[u8]>>,
    pub(super) chain: RootChain,
    /// The roots before the last.
    earlier: Vec<Authentic<Root>>,
}

impl Roots {
    pub(super) fn read(texts: Vec<String>) -> Result<Self, String> {
        if texts.len() > MAX_ROOTS {
            return Err(format!("more than {MAX_ROOTS} roots"));
        }
        let files: Vec<Arc<[u8]>> = texts.into_iter().map(|text| Arc::from(text.into_bytes())).collect();
        let (first, later) = files.split_first().ok_or("it has no root")?;
        let failed = |error: tuf_core::Error| format!("its roots: {}", tuf_client::chain(&error));
        let mut chain = RootChain::pinned(first, limits()).map_err(failed)?;
        let mut earlier = Vec::new();
        for root in later {
            let next = chain.next(root).map_err(failed)?;
            earlier.push(std::mem::replace(&mut chain, next).root().clone());
        }
        Ok(Self { files, chain, earlier })
    }
}

/// A targets role as it is published, on the word of the file that delegates to it.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) delegator: Option<RoleName>,
    pub(super) targets: Authentic<Targets>,
}

/// Published targets roles: each signed as the root, or one that comes before it, demands. A recovery may go back to targets of an
/// earlier root, whose keys were rotated since.
pub(super) fn read_published(
    roots: &Roots,
    files: Vec<PublishedFile>,
    recovers: bool,
) -> Result<Vec<Base>, String> {
    let mut published: Vec<Base> = Vec::new();
    for file in files {
        let name = |name: &str| RoleName::new(name).map_err(|error| error.to_string());
        let role = name(&file.role)?;
        let delegator = file.delegator.as_deref().map(name).transpose()?;
        if published.iter().any(|base| *base.targets.role_name() == role) {
            return Err(format!("two published files of {role}"));
        }
        let failed = |error: tuf_core::Error| format!("its published {role}: {}", tuf_client::chain(&error));
        let envelope = Envelope::parse(file.file.into_bytes(), &limits()).map_err(failed)?;
        let role_keys;
        let mut others: &[Authentic<Root>] = &[];
        let authority = match (&delegator, role.top_level()) {
            (None, Some(TopLevel::Targets)) => {
                others = if recovers { &roots.earlier } else { &[] };
                of_targets(roots.chain.root())
            }
            (Some(by), None) => {
                let by = published.iter().find(|base| base.targets.role_name() == by);
                let delegated = by.and_then(|by| {
                    let delegations = by.targets.delegations.as_ref()?;
                    Some((&by.targets, &delegations.keys, delegations.role_keys(&role)?))
                });
                let (by, keys, listed) = delegated.ok_or_else(|| format!("nobody delegated {role}"))?;
                role_keys = listed;
                Authority::new(by.role_name(), by.header.version, keys, &role_keys)
            }
            _ => return Err(format!("{role} is no targets role, or says not who delegates it")),
        };
        let verify = |by: &Authority<'_>| by.verify::<Targets>(&role, &envelope, &limits());
        let targets = verify(&authority).or_else(|error| {
            let earlier = others.iter().rev().find_map(|root| verify(&of_targets(root)).ok());
            earlier.ok_or_else(|| failed(error))
        })?;
        published.push(Base { delegator, targets });
    }
    Ok(published)
}

fn of_targets(root: &Authentic<Root>) -> Authority<'_> {
    Authority::new(root.role_name(), root.header.version, &root.keys, root.role(TopLevel::Targets))
}
