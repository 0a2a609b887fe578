//! What is staged, as lines of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tuf_core::canonical::to_wire;
use tuf_core::{Hashes, Json, RoleName, TargetFile, TargetPath};

use crate::edit::{Edit, stage_edit, staged_changes};
use crate::error::Error;
use crate::publish::{Change, Changes};
use crate::state::State;

/// One change: a target is set, goes, or a role is edited.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
enum Line {
    Edit(Edit),
    Remove { path: String, role: Option<String> },
    Set { path: String, length: u64, sha256: String, custom: Option<Box<RawValue>>, role: Option<String> },
}

/// Everything that is staged, and how many changes that is.
pub(super) async fn write(state: &State) -> Result<(Vec<u8>, usize), Error> {
    let (_, changes) = staged_changes(state).await?;
    let mut lines: Vec<Line> = changes.edits().iter().cloned().map(Line::Edit).collect();
    for (path, Change { file, role }) in changes.targets() {
        let (path, role) = (path.as_str().to_owned(), role.as_ref().map(|role| role.as_str().to_owned()));
        lines.push(match file {
            None => Line::Remove { path, role },
            Some(file) => Line::Set {
                path,
                length: file.length,
                sha256: file.hashes.preferred().unwrap_or_default(),
                custom: file.custom.as_ref().and_then(|custom| {
                    RawValue::from_string(to_wire(custom.as_canonical()).into_owned()).ok()
                }),
                role,
            },
        });
    }
    let mut bytes = Vec::new();
    for line in &lines {
        bytes.extend(serde_json::to_vec(line).unwrap_or_default());
        bytes.push(b'\n');
    }
    Ok((bytes, lines.len()))
}

/// Targets by their paths, as roles list them.
pub(super) type Listed = BTreeMap<String, Vec<(RoleName, TargetFile)>>;

/// What was staged when a backup was made.
#[derive(Debug, Default)]
pub(super) struct Restored {
    edits: Vec<Edit>,
    targets: Changes,
}

impl Restored {
    /// Reads lines as [`write`] writes them; the error says which is none.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut restored = Self::default();
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line.is_empty() {
                continue;
            }
            restored.take(line).map_err(|reason| format!("line {number} of what was staged: {reason}"))?;
        }
        Ok(restored)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let name = |role: Option<String>| role.map(|role| RoleName::new(&role)).transpose();
        let (path, file, role) = match serde_json::from_slice(line).map_err(|error| text(&error))? {
            Line::Edit(edit) => {
                self.edits.push(edit);
                return Ok(());
            }
            Line::Remove { path, role } => (path, None, role),
            Line::Set { path, length, sha256, custom, role } => {
                let sum = data_encoding::HEXLOWER.decode(sha256.as_bytes()).map_err(|error| text(&error))?;
                let sum = <[u8; 32]>::try_from(sum).map_err(|_| "a sha256 has 64 hex digits".to_owned())?;
                let mut file = TargetFile::new(length, Hashes::sha256_only(sum));
                let custom = custom.map(|custom| Json::parse(custom.get().as_bytes())).transpose();
                file.custom = custom.map_err(|error| text(&error))?;
                (path, Some(file), role)
            }
        };
        let path = TargetPath::new(path).map_err(|error| text(&error))?;
        self.targets.change(path, file, name(role).map_err(|error| text(&error))?);
        Ok(())
    }

    /// How many changes that is.
    pub(super) fn len(&self) -> usize {
        self.edits.len() + self.targets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The targets that are staged.
    pub(super) fn paths(&self) -> impl Iterator<Item = &TargetPath> {
        self.targets.targets().map(|(path, _)| path)
    }

    /// Whether roles were changed, besides targets.
    pub(super) fn has_edits(&self) -> bool {
        !self.edits.is_empty()
    }

    /// Leaves out the targets that are not published as they were when this was staged, and gives their paths: a staged change
    /// was published since, or something newer was, which it would undo.
    pub(super) fn without_outdated(&mut self, then: &Listed, now: &Listed) -> Vec<String> {
        let staged = std::mem::take(&mut self.targets);
        let mut outdated = Vec::new();
        for (path, Change { file, role }) in staged.targets() {
            match then.get(path.as_str()) == now.get(path.as_str()) {
                true => self.targets.change(path.clone(), file.clone(), role.clone()),
                false => outdated.push(path.to_string()),
            }
        }
        outdated
    }

    /// Stages it again; gives how many changes that is.
    pub(super) async fn stage(&self, state: &State) -> Result<usize, Error> {
        for edit in &self.edits {
            stage_edit(state, edit).await?;
        }
        if !self.targets.is_empty() {
            state.stage(&self.targets).await?;
        }
        Ok(self.len())
    }
}
