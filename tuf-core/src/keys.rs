//! The keys a file lists, and the keys and threshold of a role.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canonical::write_string;
use crate::json::Extra;
use crate::key::Key;
use crate::limits::Limits;
use crate::reader::{FieldError, Reader, required, write_array, write_map};
use crate::role::KeyId;

/// The keys of one file by their IDs. An ID means something only within this file.
pub type Keys = BTreeMap<KeyId, Key>;

/// Which keys may sign for a role, and how many of them must (spec 4.3, 4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleKeys {
    /// The IDs of the keys, in their order; shared by roles that have the same.
    pub keyids: Arc<[KeyId]>,
    /// How many distinct keys must sign; at least 1.
    threshold: u32,
    /// Unknown fields.
    pub extra: Extra,
}

impl RoleKeys {
    /// Keys and threshold for a role; a threshold of 0 becomes 1, as there is no role that nobody
    /// signs.
    #[must_use]
    pub fn new(keyids: Vec<KeyId>, threshold: u32) -> Self {
        Self { keyids: keyids.into(), threshold: threshold.max(1), extra: Extra::new() }
    }

    /// A role that no keys can sign for.
    pub(crate) fn nobody() -> Self {
        Self { keyids: Arc::default(), threshold: u32::MAX, extra: Extra::new() }
    }

    /// How many distinct keys must sign.
    #[must_use]
    pub const fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Changes the threshold; 0 becomes 1.
    pub fn set_threshold(&mut self, threshold: u32) {
        self.threshold = threshold.max(1);
    }

    pub(crate) fn write_keyids(&self, out: &mut String) {
        write_array(out, &*self.keyids, |out, id| write_string(out, id.as_str()));
    }
}

/// Reads `keyids` and `threshold` wherever they stand, of one role after the other. Thousands of roles of one file have the
/// same key IDs: those are read once, and shared.
#[derive(Default)]
pub(crate) struct RoleKeysReader<'a> {
    keyids: Option<Arc<[KeyId]>>,
    threshold: Option<u32>,
    /// The key IDs read last, and their text.
    last: Option<(&'a str, Arc<[KeyId]>)>,
}

impl<'a> RoleKeysReader<'a> {
    /// Reads one field; `false` if it is another.
    pub(crate) fn field(
        &mut self,
        key: &str,
        reader: &mut Reader<'a>,
        limits: &Limits,
    ) -> Result<bool, FieldError> {
        match key {
            "keyids" => self.keyids = Some(self.keyids(reader.raw(), limits)?),
            "threshold" => {
                let threshold = reader.integer()?;
                let valid = u32::try_from(threshold).ok().filter(|threshold| *threshold > 0);
                self.threshold =
                    Some(valid.ok_or_else(|| FieldError::new("a threshold of at least 1", threshold))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn keyids(&mut self, text: &'a str, limits: &Limits) -> Result<Arc<[KeyId]>, FieldError> {
        if let Some((_, shared)) = self.last.as_ref().filter(|(last, _)| *last == text) {
            return Ok(Arc::clone(shared));
        }
        let mut keyids = Vec::new();
        Reader::new(text).array(|reader| {
            keyids.push(KeyId::new(&reader.string()?));
            at_most(keyids.len(), limits.keys, "key IDs")
        })?;
        let (_, shared) = self.last.insert((text, keyids.into()));
        Ok(Arc::clone(shared))
    }

    /// What was read of this role; the next one may follow.
    pub(crate) fn finish(&mut self, extra: Extra) -> Result<RoleKeys, FieldError> {
        Ok(RoleKeys {
            keyids: required(self.keyids.take(), "keyids")?,
            threshold: required(self.threshold.take(), "threshold")?,
            extra,
        })
    }
}

pub(crate) fn at_most(count: usize, limit: usize, what: &'static str) -> Result<(), FieldError> {
    if count > limit {
        return Err(FieldError::new(format!("at most {limit} {what}"), "more"));
    }
    Ok(())
}

pub(crate) fn read_keys(reader: &mut Reader<'_>, limits: &Limits) -> Result<Keys, FieldError> {
    let mut keys = Keys::new();
    reader.object(|id, reader| {
        let key = Key::read(reader)?;
        let id = KeyId::new(&id);
        if limits.strict_key_ids && key.id() != id {
            return Err(FieldError::new(
                format!("the key's SHA-256, {}, as its ID (strict key IDs)", key.id()),
                id,
            ));
        }
        keys.insert(id, key);
        at_most(keys.len(), limits.keys, "keys")
    })?;
    Ok(keys)
}

pub(crate) fn write_keys(out: &mut String, keys: &Keys) {
    write_map(out, keys.iter().map(|(id, key)| (id.as_str(), key)), |out, key| key.write(out));
}
