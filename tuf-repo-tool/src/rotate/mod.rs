//! Replacing keys, so that at no instant a client of the old root or of the new one fails (`docs/rotation.md`).
//!
//! A rotation has no state of its own: each call of [`rotate()`] looks at what is published, at the events that are pending
//! and at `tuf-repo.toml`, and does what is next: makes the new key, opens the one event that is needed, signs it with
//! every key that is here, finishes it. `state/rotation.json` only remembers names and times.

mod error;
mod follow;
mod overlap;
mod state;
mod successor;
mod survey;

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tuf_core::{Key, RoleName, TopLevel};

use crate::config::{Config, Period, SettingsFile};
use crate::error::Error;
use crate::event::{
    self, Bundle, EventError, Events, Finished, KeyChanges, NamedKey, Opening, Order, Review, abort, does,
    effects, finish, open, published, sign_here, signs,
};
use crate::init::absolute;
use crate::keys::{KeyUri, Passphrases};
use crate::log::Did;
use crate::publish::{Check, Options, Outcome};
use crate::repository::{Lock, Published, Repository};
use state::Rotations;
use survey::{Grant, Wanted};

pub use error::RotateError;
pub(crate) use follow::{follow, follow_bins};
pub use overlap::{Overlap, end_overlaps, overlaps};
pub(crate) use overlap::{after_publish, begun, overlapping};

/// How long both keys sign, and how long what a new key signed waits for clients to have its root. A web server's memory
/// of "404: no next root" is over by then, and the refresh of every client that had begun.
const DEFAULT_OVERLAP: TimeDelta = TimeDelta::hours(1);

/// What is to be replaced, and by what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rotate {
    /// The old keys: names, URIs, or starts of key IDs.
    pub keys: Vec<String>,
    /// The new ones, in that order; empty: they are made beside the old ones.
    pub to: Vec<KeyUri>,
    /// Where new keys are made of which the old ones are not here; the keys there sign.
    pub offline_keys: Option<PathBuf>,
    /// How long both sign; absent: an hour, or what was said before.
    pub overlap: Option<Period>,
    /// Nobody has the old keys any more.
    pub discarded: bool,
    /// Whether new keys whose old ones are not here are encrypted.
    pub encrypted: bool,
    /// Why, for those who sign; one line.
    pub reason: Option<String>,
}

impl Rotate {
    /// The replacement of these keys by new ones beside them.
    #[must_use]
    pub const fn new(keys: Vec<String>) -> Self {
        Self {
            keys,
            to: Vec::new(),
            offline_keys: None,
            overlap: None,
            discarded: false,
            encrypted: true,
            reason: None,
        }
    }
}

/// One key that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Replaced {
    /// The old key's name.
    pub key: String,
    /// Its ID.
    pub keyid: String,
    /// Where the new one is.
    pub by: String,
    /// Its ID.
    pub new_keyid: String,
    /// The roles that it signs for.
    pub roles: Vec<String>,
}

/// How far a rotation has come.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rotated {
    /// What is being replaced; empty if all of that was done before.
    pub replaced: Vec<Replaced>,
    /// The event that does it, with its file.
    pub event: Option<(String, PathBuf)>,
    /// Who must still sign.
    pub missing: Vec<String>,
    /// What was published.
    pub finished: Option<Finished>,
    /// When what follows the new root may be published.
    pub waits: Option<DateTime<Utc>>,
    /// Old keys that go on signing beside the new ones.
    pub overlaps: Vec<Overlap>,
    /// Whether old keys are still listed, and the same command again goes on.
    pub more: bool,
}

/// An old key and the one that takes over.
struct Pair {
    old: Wanted,
    uri: KeyUri,
    new: Key,
}

/// Replaces keys, or goes on with it: what is missing of it is in the result, and the same call goes on from there.
///
/// # Errors
/// [`RotateError`], and those of [`open()`] and [`finish()`].
pub async fn rotate(
    repository: &mut Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    request: &Rotate,
    options: &Options,
) -> Result<Rotated, Error> {
    if !request.to.is_empty() && request.to.len() != request.keys.len() {
        return Err(RotateError::Count { keys: request.keys.len(), to: request.to.len() }.into());
    }
    let away = request.offline_keys.as_deref().map(|away| outside(repository, away)).transpose()?;
    let request = Rotate { offline_keys: away, ..request.clone() };
    let published = published(repository)?;
    let grants = survey::grants(&published)?;
    let mut olds = Vec::new();
    for text in &request.keys {
        olds.push(survey::find(repository, &grants, text)?);
    }
    let listed = |old: &Wanted| grants.iter().any(|grant| grant.id_of(&old.key).is_some());
    if !olds.iter().any(listed) {
        return wind_up(repository, lock, passphrases, &olds, options).await;
    }
    let mut pairs = Vec::new();
    for (index, old) in olds.into_iter().enumerate() {
        if listed(&old) {
            let to = request.to.get(index);
            let (uri, new) = successor::successor(repository, passphrases, &request, &grants, &old, to)?;
            pairs.push(Pair { old, uri, new });
        }
    }
    let plan = Plan::new(&published, &grants, &pairs, request.discarded)?;
    // If another event is in the way, the settings stay as they are.
    let id = plan.event(repository, &request).await?;
    repository.config = name_new(repository, &grants, &pairs)?;
    let uris = signers(repository, request.offline_keys.as_deref())?;
    let (bundle, failed) = sign_here(repository, passphrases, &id, &uris)?;
    let mut rotated = Rotated {
        replaced: pairs.iter().map(|pair| pair.report(&grants)).collect(),
        event: Some((id.clone(), Events::of(repository).path(&id))),
        missing: Review::of(&bundle)?.missing(),
        ..Rotated::default()
    };
    if !rotated.missing.is_empty() {
        return failed.map_or(Ok(rotated), Err);
    }
    apply(repository, lock, passphrases, &id, options, &mut rotated).await?;
    Ok(rotated)
}

/// What is left to do when nothing that is published names the keys any more: an event that was killed is finished, and
/// the overlap goes on.
async fn wind_up(
    repository: &mut Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    olds: &[Wanted],
    options: &Options,
) -> Result<Rotated, Error> {
    let mut rotated = Rotated::default();
    let removes = |bundle: &Bundle| {
        let removed: Vec<Key> = effects(bundle).into_iter().flat_map(|effect| effect.removed).collect();
        olds.iter().any(|old| removed.iter().any(|key| key.public() == old.key.public()))
    };
    let pending = Events::of(repository).pending()?;
    if let Some(bundle) = pending.iter().find(|bundle| removes(bundle)) {
        let id = bundle.id().to_owned();
        apply(repository, lock, passphrases, &id, options, &mut rotated).await?;
        rotated.event = Some((id.clone(), Events::of(repository).path(&id)));
        return Ok(rotated);
    }
    rotated.overlaps = overlaps(repository, &published(repository)?)?;
    rotated.overlaps.retain(|overlap| olds.iter().any(|old| old.uri.as_ref() == Some(&overlap.key)));
    match olds.first() {
        Some(old) if rotated.overlaps.is_empty() => {
            Err(RotateError::Unused { key: old.name.clone(), keyid: old.key.id().to_string() }.into())
        }
        _ => Ok(rotated),
    }
}

/// Publishes the event, after clients of every root were run on it.
async fn apply(
    repository: &mut Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    id: &str,
    options: &Options,
    rotated: &mut Rotated,
) -> Result<(), Error> {
    let mut options = options.clone();
    options.check = Check::All;
    options.did = Some(Did::Rotate);
    match finish(repository, lock, passphrases, id, &options).await {
        Ok(finished) => rotated.finished = Some(finished),
        Err(Error::Event(EventError::Grace { until, .. })) => rotated.waits = Some(until),
        Err(error) => return Err(error),
    }
    repository.config = Config::load(repository.directory())?;
    let published = published(repository)?;
    if let Some(Finished { follows: true, root: Some(version), .. }) = rotated.finished {
        rotated.waits = Some(grace(repository, version)?);
    }
    rotated.overlaps = overlaps(repository, &published)?;
    let grants = survey::grants(&published)?;
    let is_listed =
        |id: &str| grants.iter().flat_map(|grant| &grant.keys).any(|(_, key)| key.id().as_str() == id);
    rotated.more = rotated.waits.is_some() || rotated.replaced.iter().any(|old| is_listed(&old.keyid));
    let mut noted = Rotations::load(repository);
    noted.retain(|id, rotation| is_listed(id) || rotation.until.is_some());
    noted.save(repository)
}

/// When what follows a root may be published: noted when it is first asked for.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn grace(repository: &Repository, root: u64) -> Result<DateTime<Utc>, Error> {
    let before = Rotations::load(repository);
    let mut noted = before.clone();
    let until = noted.grace(root, repository.now());
    if noted != before {
        noted.save(repository)?;
    }
    Ok(until)
}

/// A directory for offline keys, which is not in the repository.
fn outside(repository: &Repository, away: &Path) -> Result<PathBuf, Error> {
    let found = absolute(away)?;
    match found.starts_with(absolute(repository.directory())?) {
        true => {
            Err(Error::OfflineKeys { path: away.to_owned(), repository: repository.directory().to_owned() })
        }
        false => Ok(found),
    }
}

/// Names the new keys beside the old ones: from now on this machine can sign with both.
fn name_new(repository: &Repository, grants: &[Grant], pairs: &[Pair]) -> Result<Config, Error> {
    let mut settings = SettingsFile::open(repository.directory())?;
    for pair in pairs {
        for role in pair.roles(grants) {
            settings.add_key(&role, &pair.uri);
        }
    }
    settings.save()
}

/// Every key that may be here: those that the settings name, and those in the directory of offline keys.
fn signers(repository: &Repository, away: Option<&Path>) -> Result<Vec<KeyUri>, Error> {
    let mut uris = follow::known_uris(repository);
    let Some(away) = away else { return Ok(uris) };
    let failed = |error| Error::io("read", away, error);
    for entry in std::fs::read_dir(away).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "pem") {
            uris.push(KeyUri::File(path));
        }
    }
    Ok(uris)
}

impl Pair {
    fn roles(&self, grants: &[Grant]) -> Vec<String> {
        let listed = grants.iter().filter(|grant| grant.id_of(&self.old.key).is_some());
        listed.map(|grant| grant.role.clone()).collect()
    }

    fn report(&self, grants: &[Grant]) -> Replaced {
        Replaced {
            key: self.old.name.clone(),
            keyid: self.old.key.id().to_string(),
            by: self.uri.to_string(),
            new_keyid: self.new.id().to_string(),
            roles: self.roles(grants),
        }
    }
}

/// The next event of a rotation.
struct Plan {
    added: Vec<(String, NamedKey)>,
    removed: Vec<(String, Key, String)>,
    /// The published targets hold only with keys that nobody has: they are signed anew under a root that lists both.
    union: bool,
}

impl Plan {
    fn new(published: &Published, grants: &[Grant], pairs: &[Pair], discarded: bool) -> Result<Self, Error> {
        let mut plan = Self { added: Vec::new(), removed: Vec::new(), union: false };
        for grant in grants {
            let going: Vec<&Pair> =
                pairs.iter().filter(|pair| grant.id_of(&pair.old.key).is_some()).collect();
            let gone: Vec<&Key> = going.iter().map(|pair| &pair.old.key).collect();
            let union = discarded
                && grant.role == TopLevel::Targets.name()
                && !going.is_empty()
                && !grant.targets_hold_without(&gone, published)?;
            plan.union |= union;
            for pair in going {
                if grant.id_of(&pair.new).is_none() {
                    let new = NamedKey::new(pair.uri.name(), pair.new.clone());
                    plan.added.push((grant.role.clone(), new));
                }
                if let Some(id) = grant.id_of(&pair.old.key).filter(|_| !union) {
                    plan.removed.push((grant.role.clone(), pair.old.key.clone(), id.to_string()));
                }
            }
        }
        Ok(plan)
    }

    /// The ID of the event: of one that is pending and does just this, or of a new one.
    async fn event(&self, repository: &Repository, request: &Rotate) -> Result<String, Error> {
        let targets = TopLevel::Targets.role();
        let added: Vec<(String, Key)> =
            self.added.iter().map(|(role, new)| (role.clone(), new.key.clone())).collect();
        let removed: Vec<(String, Key)> =
            self.removed.iter().map(|(role, old, _)| (role.clone(), old.clone())).collect();
        let is_it =
            |bundle: &&Bundle| does(bundle, &added, &removed) && (!self.union || signs(bundle, &targets));
        let pending = Events::of(repository).pending()?;
        if let Some(id) = pending.iter().find(is_it).map(Bundle::id) {
            if event::status(repository, Some(id))?.iter().all(|event| event.outdated.is_none()) {
                return Ok(id.to_owned());
            }
            // What it changes has changed since: its signatures are over a version that can no longer be the next.
            abort(repository, id, Some("outdated: the rotation opens it anew")).await?;
        }
        Ok(open(repository, &self.opening(repository, request, targets)?)?.id().to_owned())
    }

    fn opening(
        &self,
        repository: &Repository,
        request: &Rotate,
        targets: RoleName,
    ) -> Result<Opening, Error> {
        let mut changes = KeyChanges::default();
        changes.add.clone_from(&self.added);
        changes.remove = self.removed.iter().map(|(role, _, id)| (role.clone(), id.clone())).collect();
        let reason = request.reason.clone().unwrap_or_else(|| format!("rotate {}", request.keys.join(" ")));
        if !self.union {
            return Opening::of_keys(repository, &changes, reason);
        }
        let is_root = |(role, _): &(String, NamedKey)| survey::is_top(role);
        let mut opening = match changes.add.is_empty() && changes.remove.is_empty() {
            true => Opening::new(targets.clone(), reason),
            false => Opening::of_keys(repository, &changes, reason)?,
        };
        if changes.add.iter().any(is_root) {
            opening.order = Order::RootFirst;
            opening.also.entry(targets).or_default();
        } else if opening.role != targets {
            // The root lists both already.
            let below = std::mem::replace(&mut opening.role, targets);
            opening.also.insert(below, std::mem::take(&mut opening.keys));
        }
        Ok(opening)
    }
}

impl Rotated {
    /// What was published of the targets roles, snapshot and timestamp.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        self.finished.as_ref().map_or(&Outcome::Nothing, |finished| &finished.outcome)
    }
}
