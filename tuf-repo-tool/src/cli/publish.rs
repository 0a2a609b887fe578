//! `tuf-repo publish` and `tuf-repo renew`.

use std::process::ExitCode;

use serde_json::{Value, json};
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::{Changes, Outcome, Renewal, publish as publish_changes, renew_root};
use tuf_repo_tool::{Error, Repository};

use super::output::size;
use super::{Failure, Output, open_state};

pub(crate) async fn publish(repository: &Repository, output: &Output) -> Result<(), Failure> {
    let outcome = publish_staged(repository).await?;
    output.result(&document(&outcome), &text(&outcome, "nothing to publish"));
    Ok(())
}

/// Publishes what is staged, and what is due of the online roles.
pub(crate) async fn publish_staged(repository: &Repository) -> Result<Outcome, Error> {
    let lock = repository.lock()?;
    let state = open_state(repository).await?;
    let mark = state.mark().await?;
    let changes = state.staged().await?;
    let mut passphrases = Passphrases::from_environment();
    let outcome = publish_changes(repository, &lock, &mut passphrases, &changes, Renewal::Online).await?;
    state.clear_staged(mark).await?;
    Ok(outcome)
}

pub(crate) async fn renew(repository: &Repository, output: &Output) -> Result<(), Failure> {
    let (outcome, unsigned) = renew_due(repository, &mut Passphrases::from_environment()).await?;
    output.result(&document(&outcome), &text(&outcome, "nothing is due"));
    unsigned.map_or(Ok(()), |error| {
        output.complain(&tuf_client::chain(&error), error.hint().as_deref());
        Err(Failure::Reported(ExitCode::FAILURE))
    })
}

/// Signs again what is due, root included; staged changes wait for `publish`. Also says why an offline role
/// that is due was not signed: that must not stop what clients need every day.
pub(crate) async fn renew_due(
    repository: &Repository,
    passphrases: &mut Passphrases,
) -> Result<(Outcome, Option<Error>), Error> {
    let lock = repository.lock()?;
    let nothing = Changes::default();
    // From the root down: below an expired role, nothing could be published.
    let root = match repository.published()? {
        Some(published) => renew_root(repository, &lock, &published, passphrases).err(),
        None => None,
    };
    match publish_changes(repository, &lock, passphrases, &nothing, Renewal::All).await {
        Ok(outcome) => Ok((outcome, root)),
        Err(error) => {
            let online = publish_changes(repository, &lock, passphrases, &nothing, Renewal::Online).await?;
            Ok((online, root.or(Some(error))))
        }
    }
}

/// What was published, for people.
pub(crate) fn text(outcome: &Outcome, nothing: &str) -> String {
    let Outcome::Published(summary) = outcome else { return nothing.to_owned() };
    let bytes: usize = summary.signed.iter().map(|(_, length)| length).sum();
    format!(
        "published snapshot {}, timestamp {}: {} targets set, {} removed, {} files signed ({})",
        summary.snapshot,
        summary.timestamp,
        summary.set,
        summary.removed,
        summary.signed.len(),
        size(u64::try_from(bytes).unwrap_or_default())
    )
}

/// What was published, for programs.
pub(crate) fn document(outcome: &Outcome) -> Value {
    let Outcome::Published(summary) = outcome else { return json!({ "published": false }) };
    let signed = summary.signed.iter().map(|(name, length)| json!({"file": name, "length": length}));
    json!({
        "published": true,
        "snapshot": summary.snapshot,
        "timestamp": summary.timestamp,
        "set": summary.set,
        "removed": summary.removed,
        "signed": signed.collect::<Vec<_>>(),
    })
}
