//! A new file of one role that waits for signatures.

use tuf_core::{
    BadSignature, Draft, Envelope, Error, Header, Key, KeyId, Limits, Metadata, RoleName, Root, Signature,
    Targets, TopLevel,
};

/// What an event proposes for a role: the whole file, with the signatures so far.
#[derive(Clone, Debug)]
pub struct Proposal {
    role: RoleName,
    delegator: Option<RoleName>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Root(Draft<Root>),
    Targets(Draft<Targets>),
}

impl Proposal {
    pub(super) fn root(value: Root) -> Self {
        Self { role: TopLevel::Root.role(), delegator: None, content: Content::Root(Draft::new(value)) }
    }

    /// `delegator`: who begins to delegate the role, if it is not published yet.
    pub(super) fn targets(role: &RoleName, delegator: Option<RoleName>, value: Targets) -> Self {
        Self { role: role.clone(), delegator, content: Content::Targets(Draft::new(value)) }
    }

    /// Reads a file. Its signatures are not checked.
    pub(super) fn parse(
        role: &RoleName,
        delegator: Option<RoleName>,
        text: &str,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let envelope = Envelope::parse(text.as_bytes(), limits)?;
        let content = match role.top_level() {
            Some(TopLevel::Root) => Content::Root(Draft::reopen(&envelope, limits)?),
            _ => Content::Targets(Draft::reopen(&envelope, limits)?),
        };
        Ok(Self { role: role.clone(), delegator, content })
    }

    /// The role.
    #[must_use]
    pub const fn role(&self) -> &RoleName {
        &self.role
    }

    /// Who begins to delegate the role; `None` if it is published already, or top-level.
    #[must_use]
    pub const fn delegator(&self) -> Option<&RoleName> {
        self.delegator.as_ref()
    }

    /// Version and expiry of the new file.
    #[must_use]
    pub fn header(&self) -> &Header {
        match &self.content {
            Content::Root(draft) => draft.value().header(),
            Content::Targets(draft) => draft.value().header(),
        }
    }

    /// The new root, if this is one.
    #[must_use]
    pub const fn as_root(&self) -> Option<&Root> {
        match &self.content {
            Content::Root(draft) => Some(draft.value()),
            Content::Targets(_) => None,
        }
    }

    /// The new targets, if this is a targets role.
    #[must_use]
    pub const fn as_targets(&self) -> Option<&Targets> {
        match &self.content {
            Content::Root(_) => None,
            Content::Targets(draft) => Some(draft.value()),
        }
    }

    /// What is signed: canonical `signed`.
    #[must_use]
    pub fn payload(&self) -> &str {
        match &self.content {
            Content::Root(draft) => draft.payload(),
            Content::Targets(draft) => draft.payload(),
        }
    }

    /// The file as it is now.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.content {
            Content::Root(draft) => draft.finish(),
            Content::Targets(draft) => draft.finish(),
        }
    }

    pub(super) fn signatures(&self) -> &[Signature] {
        match &self.content {
            Content::Root(draft) => draft.signatures(),
            Content::Targets(draft) => draft.signatures(),
        }
    }

    pub(super) fn attach(&mut self, id: &KeyId, key: &Key, signature: &[u8]) -> Result<(), BadSignature> {
        match &mut self.content {
            Content::Root(draft) => draft.attach(id, key, signature),
            Content::Targets(draft) => draft.attach(id, key, signature),
        }
    }

    /// The same proposal without signatures.
    pub(super) fn unsigned(&self) -> Self {
        match &self.content {
            Content::Root(draft) => Self::root(draft.value().clone()),
            Content::Targets(draft) => {
                Self::targets(&self.role, self.delegator.clone(), draft.value().clone())
            }
        }
    }
}
