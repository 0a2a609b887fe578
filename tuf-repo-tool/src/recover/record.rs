//! `state/recovery.json`: the recovery that is under way, so that whoever runs it again goes on with it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tuf_client::durable;

use super::{RecoverError, Request};
use crate::error::Error;
use crate::keys::KeyUri;
use crate::repository::Repository;

/// A recovery that began.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) request: Request,
    /// The SHA-256 of the timestamp that the plan is bound to.
    pub(super) timestamp: String,
    pub(super) keys: Vec<NewKey>,
    /// The event, once it is open.
    pub(super) event: Option<String>,
}

/// A key that comes in place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// The role; hash bins together as `bin-n`.
    pub(super) role: String,
    /// The ID of the key that goes; absent: none does.
    pub(super) old: Option<String>,
    /// Where `tuf-repo.toml` says that one is.
    pub(super) old_uri: Option<KeyUri>,
    pub(super) uri: KeyUri,
}

impl Record {
    fn path(repository: &Repository) -> PathBuf {
        repository.state().join("recovery.json")
    }

    /// The recovery that is under way, if one is.
    pub(super) fn load(repository: &Repository) -> Result<Option<Self>, Error> {
        let path = Self::path(repository);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let record = serde_json::from_slice(&bytes);
        Ok(Some(record.map_err(|error| Error::io("read", &path, std::io::Error::other(error)))?))
    }

    pub(super) fn save(&self, repository: &Repository) -> Result<(), Error> {
        let path = Self::path(repository);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::io("write", &path, std::io::Error::other(error)))?;
        Ok(durable::write_private(&path, &bytes)?)
    }

    pub(super) fn remove(repository: &Repository) -> Result<(), Error> {
        let path = Self::path(repository);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn is_other(&self, request: &Request) -> Result<(), RecoverError> {
        if self.request == *request {
            return Ok(());
        }
        Err(RecoverError::UnderWay {
            compromised: self.request.roles().join(", "),
            known_good: self.request.known_good,
            event: self.event.clone(),
        })
    }
}
