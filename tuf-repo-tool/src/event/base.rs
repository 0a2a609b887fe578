//! What a bundle says is published, verified from its first root down.

use std::sync::Arc;

use tuf_core::trust::{Authentic, Authority, RootChain};
use tuf_core::{Envelope, RoleName, Targets, TopLevel};

use super::bundle::limits;
use super::document::PublishedFile;

/// Far more than any repository has had.
const MAX_ROOTS: usize = 4_096;

/// Every published root from the first, as files and as the chain that they are.
#[derive(Clone, Debug)]
pub(super) struct Roots {
    pub(super) files: Vec<Arc<[u8]>>,
    pub(super) chain: RootChain,
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
        for root in later {
            chain = chain.next(root).map_err(failed)?;
        }
        Ok(Self { files, chain })
    }
}

/// A targets role as it is published, on the word of the file that delegates to it.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) delegator: Option<RoleName>,
    pub(super) targets: Authentic<Targets>,
}

/// Published targets roles: each signed as the root, or one that comes before it, demands.
pub(super) fn read_published(chain: &RootChain, files: Vec<PublishedFile>) -> Result<Vec<Base>, String> {
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
        let root = chain.root();
        let role_keys;
        let authority = match (&delegator, role.top_level()) {
            (None, Some(TopLevel::Targets)) => {
                let keys = root.role(TopLevel::Targets);
                Authority::new(root.role_name(), root.header.version, &root.keys, keys)
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
        let targets = authority.verify::<Targets>(&role, &envelope, &limits()).map_err(failed)?;
        published.push(Base { delegator, targets });
    }
    Ok(published)
}
