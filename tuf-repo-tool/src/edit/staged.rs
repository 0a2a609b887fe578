//! Staged changes, targets and edits of roles together, as the state database keeps them.

use super::{Edit, EditError};
use crate::error::Error;
use crate::publish::Changes;
use crate::state::{Mark, StagedEdit, State, StateError};

/// Stages an edit of a role, after those that are staged.
///
/// # Errors
/// [`Error::State`].
pub async fn stage_edit(state: &State, edit: &Edit) -> Result<(), Error> {
    let text = serde_json::to_string(edit)
        .map_err(|error| EditError::Damaged { position: 0, reason: error.to_string() })?;
    Ok(state.stage_edit(edit.role().as_str(), &text).await?)
}

/// The staged edits of roles, in their order.
///
/// # Errors
/// [`Error::State`]; [`EditError::Damaged`] for one that cannot be read.
pub async fn staged_edits(state: &State) -> Result<Vec<Edit>, Error> {
    let read = |(index, edit): (usize, &StagedEdit)| {
        serde_json::from_str(&edit.edit)
            .map_err(|error| EditError::Damaged { position: index + 1, reason: error.to_string() }.into())
    };
    state.edits().await?.iter().enumerate().map(read).collect()
}

/// Forgets staged edits that are just these: one for each.
///
/// # Errors
/// As [`staged_edits`].
pub(crate) async fn forget_edits(state: &State, edits: &[Edit]) -> Result<(), Error> {
    let (staged, rows) = (staged_edits(state).await?, state.edits().await?);
    let mut found: Vec<u64> = Vec::new();
    for edit in edits {
        let same = |(one, row): &(&Edit, &StagedEdit)| *one == edit && !found.contains(&row.position);
        found.extend(staged.iter().zip(&rows).find(same).map(|(_, row)| row.position));
    }
    Ok(state.unstage_edits(&found).await?)
}

/// Everything that is staged, and up to where: what is staged later stays when this is published.
///
/// # Errors
/// As [`staged_edits`].
pub async fn staged_changes(state: &State) -> Result<(Mark, Changes), Error> {
    let mark = state.mark().await?;
    let mut changes = state.staged().await?;
    changes.set_edits(staged_edits(state).await?);
    Ok((mark, changes))
}

/// Forgets what was published.
///
/// # Errors
/// [`StateError`].
pub async fn clear_staged(state: &State, mark: Mark) -> Result<(), StateError> {
    state.clear_staged(mark).await?;
    state.clear_edits(mark).await
}
