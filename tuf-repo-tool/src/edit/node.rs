//! One targets role of the tree: as it is published and as it will be, or what is known of it without reading it.

use tuf_core::trust::{Authentic, Trusted};
use tuf_core::{Delegations, RoleName, TargetPath, Targets};

use super::NamedBins;
use crate::publish::Listed;

/// What a role says that lists no targets and delegates to hash bins, as it was when it was verified: of 16,384 delegations
/// (3 MB), a publish of one change needs no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownBins {
    /// Who delegates to the role.
    pub(crate) delegator: RoleName,
    /// The role's version.
    pub(crate) version: u64,
    pub(crate) bins: NamedBins,
    /// Who signs every one of them.
    pub(crate) listed: Listed,
}

/// One targets role.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(super) delegator: Option<RoleName>,
    base: Option<Base>,
    pub(super) edited: Option<Targets>,
    pub(super) bins: Option<NamedBins>,
    /// The published bins that all of `bins` are made of when they are asked for: there may be thousands.
    pub(super) made_of: Option<NamedBins>,
}

/// A published role.
#[derive(Clone, Debug)]
enum Base {
    /// On the word of a delegator that was read.
    Trusted(Trusted<Targets>),
    /// On the word of [`KnownBins`].
    Authentic(Authentic<Targets>),
}

impl Base {
    fn authentic(&self) -> &Authentic<Targets> {
        match self {
            Self::Trusted(base) => base,
            Self::Authentic(base) => base,
        }
    }
}

impl Node {
    pub(super) fn new(delegator: Option<RoleName>, role: &RoleName, base: Trusted<Targets>) -> Self {
        let bins = base.delegations.as_ref().and_then(|delegations| NamedBins::of(role, delegations));
        Self { delegator, base: Some(Base::Trusted(base)), edited: None, bins, made_of: None }
    }

    pub(super) const fn known(delegator: RoleName, base: Authentic<Targets>) -> Self {
        Self {
            delegator: Some(delegator),
            base: Some(Base::Authentic(base)),
            edited: None,
            bins: None,
            made_of: None,
        }
    }

    /// A role that is not published yet.
    pub(super) fn made(role: &RoleName, delegator: Option<RoleName>, value: Targets) -> Self {
        let bins = value.delegations.as_ref().and_then(|delegations| NamedBins::of(role, delegations));
        Self { delegator, base: None, edited: Some(value), bins, made_of: None }
    }

    /// The role as it will be.
    pub(crate) fn value(&self) -> Option<&Targets> {
        self.edited.as_ref().or_else(|| self.base.as_ref().map(|base| base.authentic().value()))
    }

    /// As [`Node::value`], to change it.
    pub(crate) fn into_value(self) -> Option<Targets> {
        let base = self.base;
        self.edited.or_else(|| base.map(|base| base.authentic().value().clone()))
    }

    /// The role as it is published.
    pub(crate) fn base(&self) -> Option<&Authentic<Targets>> {
        self.base.as_ref().map(Base::authentic)
    }

    /// As [`Node::base`], to read those below it.
    pub(crate) const fn trusted(&self) -> Option<&Trusted<Targets>> {
        match &self.base {
            Some(Base::Trusted(base)) => Some(base),
            _ => None,
        }
    }

    /// Whether its file must be signed for what was edited in it.
    pub(crate) const fn is_edited(&self) -> bool {
        self.edited.is_some()
    }

    pub(super) fn delegations(&self) -> Option<&Delegations> {
        self.value()?.delegations.as_ref()
    }

    pub(super) fn lists_nothing(&self) -> bool {
        self.value().is_some_and(|value| value.targets.is_empty())
    }

    /// The hash bins that the role delegates to.
    pub(crate) const fn bins(&self) -> Option<&NamedBins> {
        self.bins.as_ref()
    }

    pub(super) fn covering(&self, path: &TargetPath) -> Vec<(RoleName, bool)> {
        match (&self.bins, self.delegations()) {
            // One digest, instead of comparing it with thousands of prefixes.
            (Some(bins), Some(_)) => vec![(bins.role_of(path), false)],
            (None, Some(delegations)) => delegations.covering(path),
            (_, None) => Vec::new(),
        }
    }
}
