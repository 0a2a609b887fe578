//! Carrying a recovery out: keys, one event, signatures, and the publish.

use std::path::PathBuf;

use tuf_core::{RoleName, TopLevel};

use super::compare::{History, good_value};
use super::publish::{carried, publish};
use super::record::{NewKey, Record};
use super::survey::{Survey, bins_section};
use super::{RecoverError, Request, keys, plan};
use crate::edit::is_here;
use crate::error::Error;
use crate::event::{
    self, Bundle, Consent, Events, Finished, Recovery, RecoveryDrafts, Review, open_recovery,
    root_is_published,
};
use crate::keys::{KeyUri, Passphrases, Signer};
use crate::publish::{Options, Outcome};
use crate::repository::{Lock, Repository};

/// How far a recovery came.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a recovery waits or is published; callers handle both")]
pub enum Applied {
    /// People must sign.
    Waiting(Waiting),
    /// It is published.
    Published(Finished),
}

/// What a recovery waits for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Waiting {
    /// The event.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// What is missing, a line for each threshold that is not met.
    pub missing: Vec<String>,
    /// What all signers read to each other.
    pub phrase: String,
}

/// Carries a recovery out as far as it comes: `request` begins one, or has to be the one that is under way. With `plan`, what is
/// published must be what that plan was made for; then it is what this recovery is bound to from now on.
///
/// # Errors
/// [`RecoverError`], [`Error::Event`], [`Error::Key`], and those of [`crate::publish::publish`].
pub async fn apply(
    repository: &Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    request: Option<&Request>,
    plan: Option<&str>,
    options: &Options,
) -> Result<Applied, Error> {
    let mut record = under_way(repository)?;
    if let (Some(begun), Some(request)) = (&record, request)
        && let Err(error) = begun.is_other(request)
    {
        // Nobody has signed anything of it yet.
        if begun.event.is_some() {
            return Err(error.into());
        }
        record = None;
    }
    let request =
        record.as_ref().map(|record| &record.request).or(request).ok_or(RecoverError::NotUnderWay)?.clone();
    if let Some(id) = record.as_ref().and_then(|record| record.event.clone())
        && Events::of(repository).is_finished(&id)
    {
        return Ok(Applied::Published(finish(repository, lock, passphrases, &id, options).await?));
    }
    let survey = Survey::of(repository, &request)?;
    let record = match record.take() {
        Some(mut record) => {
            bind(&survey, &mut record, plan)?;
            record
        }
        None => {
            let timestamp = survey.found.sha256();
            let id = plan::id(&request, &timestamp);
            if let Some(planned) = plan.filter(|plan| *plan != id) {
                let (planned, found) =
                    (format!("{planned}, another state"), format!("timestamp {timestamp}"));
                return Err(RecoverError::Moved { planned, found, plan: id }.into());
            }
            let done = Events::of(repository).finished_recovery(survey.evidence.root()?.header.version)?;
            if let Some(done) =
                done.filter(|done| plan.is_none() && done.recovery() == Some(&asked(&request)))
            {
                return Err(RecoverError::Done { event: done.id().to_owned(), plan: id }.into());
            }
            survey.check_clock(options)?;
            // Whatever of the known good state is missing or was never signed is found before anything is made.
            plan::plan(repository, &request, |_| Ok(()))?;
            let (keys, missing) = keys::choose(&survey)?;
            if !missing.is_empty() {
                return Err(RecoverError::NoNewKey(missing).into());
            }
            let record = Record { request, timestamp, keys, event: None };
            record.save(repository)?;
            record
        }
    };
    keys::make(&survey, &record.keys, passphrases)?;
    let id = open(&survey, record)?;
    let bundle = sign(repository, &id, passphrases)?;
    let review = Review::of(&bundle)?;
    if !review.complete {
        let bundle = Events::of(repository).path(&id);
        let (missing, phrase) = (review.missing(), review.phrase);
        return Ok(Applied::Waiting(Waiting { id, bundle, missing, phrase }));
    }
    Ok(Applied::Published(finish(repository, lock, passphrases, &id, options).await?))
}

/// The recovery that is under way, unless its event was given up.
fn under_way(repository: &Repository) -> Result<Option<Record>, Error> {
    let Some(record) = Record::load(repository)? else { return Ok(None) };
    let events = Events::of(repository);
    let given_up =
        record.event.as_ref().is_some_and(|id| !events.path(id).exists() && !events.is_finished(id));
    if given_up {
        Record::remove(repository)?;
        return Ok(None);
    }
    Ok(Some(record))
}

/// Refuses a state that moved on since the plan was made, unless this very state was planned for. From the new root on nothing
/// can move: only the new keys sign.
fn bind(survey: &Survey<'_>, record: &mut Record, plan: Option<&str>) -> Result<(), Error> {
    let repository = survey.evidence.repository;
    let timestamp = survey.found.sha256();
    let id = plan::id(&record.request, &timestamp);
    if plan == Some(&*id) && record.timestamp != timestamp {
        record.timestamp.clone_from(&timestamp);
        record.save(repository)?;
    }
    let root_is_out = match &record.event {
        Some(event) => root_is_published(repository, &Events::of(repository).load(event)?)?,
        None => false,
    };
    if !root_is_out && (record.timestamp != timestamp || plan.is_some_and(|plan| plan != id)) {
        let planned = match plan.filter(|plan| *plan != id) {
            Some(plan) => format!("{plan}, another state"),
            None => format!("timestamp {}", record.timestamp),
        };
        return Err(RecoverError::Moved { planned, found: format!("timestamp {timestamp}"), plan: id }.into());
    }
    Ok(())
}

fn asked(request: &Request) -> Recovery {
    Recovery { known_good: request.known_good, compromised: request.roles() }
}

/// Opens the event, unless that was done before.
fn open(survey: &Survey<'_>, mut record: Record) -> Result<String, Error> {
    let repository = survey.evidence.repository;
    if let Some(id) = record.event {
        return Ok(id);
    }
    let recovery = asked(&record.request);
    // Killed after it was opened, and before that was written down.
    let mut pending = Events::of(repository).pending()?.into_iter();
    let id = match pending.find(|event| event.recovery() == Some(&recovery)) {
        Some(event) => event.id().to_owned(),
        None => {
            let drafts = drafts(survey, &record.keys, recovery, record.request.reason.clone())?;
            open_recovery(repository, drafts)?.id().to_owned()
        }
    };
    record.event = Some(id.clone());
    record.save(repository)?;
    Ok(id)
}

fn drafts(
    survey: &Survey<'_>,
    new: &[NewKey],
    recovery: Recovery,
    reason: String,
) -> Result<RecoveryDrafts, Error> {
    let repository = survey.evidence.repository;
    let refused = event::EventError::Draft;
    let period = |role: &RoleName| {
        let configured = repository.config.periods(role).map(|(period, _)| period.delta());
        configured.unwrap_or(event::DEFAULT_PERIOD)
    };
    let mut root = survey.evidence.root()?.value().clone();
    let top: Vec<String> = TopLevel::ALL.iter().map(|role| role.name().to_owned()).collect();
    keys::changes(survey, new, &top)?.apply_to_root(&mut root).map_err(refused)?;
    root.header.version += 1;
    root.header.expires = repository.now() + period(&TopLevel::Root.role());
    let history = History::read(survey);
    let (mut targets, mut published) = (Vec::new(), Vec::new());
    for branch in survey.drafted() {
        let mut value = match survey.lost.contains_key(branch.role.as_str()) {
            true => history.compare(survey, &branch.role, &good_value(survey, branch, &branch.role)?)?.value,
            false => branch.file.value().clone(),
        };
        let below = survey.branches.iter().filter(|other| other.delegator.as_ref() == Some(&branch.role));
        let below: Vec<String> =
            below.map(|other| other.role.as_str().to_owned()).chain(bins_section(branch)).collect();
        let changes = keys::changes(survey, new, &below)?;
        changes.apply_to_delegations(&branch.role, value.delegations.as_mut()).map_err(refused)?;
        value.header.version = survey.next_version(&branch.role);
        value.header.expires = repository.now() + period(&branch.role);
        targets.push((branch.role.clone(), value));
    }
    for branch in &survey.branches {
        let leads = |(role, _): &(RoleName, _)| *role == branch.role || survey.is_above(&branch.role, role);
        if targets.iter().any(leads) {
            published.push((branch.delegator.clone(), branch.file.clone()));
        }
    }
    let named = keys::changes(survey, new, &survey.sections())?;
    let roots = survey.evidence.roots.iter().map(|root| std::sync::Arc::clone(root.bytes())).collect();
    Ok(RecoveryDrafts { recovery, roots, published, root, targets, keys: named, reason })
}

/// Signs with every key that is here and may.
fn sign(repository: &Repository, id: &str, passphrases: &mut Passphrases) -> Result<Bundle, Error> {
    let events = Events::of(repository);
    let mut bundle = events.load(id)?;
    let config = &repository.config;
    let configured = config
        .roles
        .values()
        .flat_map(|role| &role.keys)
        .chain(config.delegations.values().flat_map(|role| &role.keys));
    let new = Record::load(repository)?.map(|record| record.keys).unwrap_or_default();
    let uris: Vec<KeyUri> = configured.cloned().chain(new.into_iter().map(|new| new.uri)).collect();
    for uri in uris.iter().filter(|uri| is_here(uri, repository)) {
        let Ok(key) = crate::keys::public(uri, repository.directory()) else { continue };
        if !bundle.wants(&key) {
            continue;
        }
        let signer: Box<dyn Signer> = crate::keys::open(uri, repository.directory(), passphrases)?;
        (bundle, _) = event::sign(&events.path(id), &bundle, &[signer], &[uri.name()], &Consent::Given)?;
    }
    Ok(bundle)
}

/// Publishes a recovery to which nothing is missing, or ends one that was killed.
///
/// # Errors
/// [`event::EventError::Incomplete`], [`RecoverError::Moved`], [`RecoverError::NotUnderWay`]; why nothing was published.
pub(crate) async fn finish(
    repository: &Repository,
    lock: &Lock,
    passphrases: &mut Passphrases,
    id: &str,
    options: &Options,
) -> Result<Finished, Error> {
    let record = under_way(repository)?.filter(|record| record.event.as_deref() == Some(id));
    let mut record = record.ok_or(RecoverError::NotUnderWay)?;
    let events = Events::of(repository);
    let mut finished = Finished { id: id.to_owned(), root: None, outcome: Outcome::Nothing, follows: false };
    if !events.is_finished(id) {
        let _events = events.lock()?;
        let bundle = events.load(id)?;
        let missing = Review::of(&bundle)?.missing();
        if !missing.is_empty() {
            return Err(event::EventError::Incomplete { id: id.to_owned(), missing }.into());
        }
        let survey = Survey::of(repository, &record.request)?;
        bind(&survey, &mut record, None)?;
        let root = bundle.proposals().iter().find_map(event::Proposal::as_root);
        let version = root.map(|root| root.header.version);
        let mut changed = repository.clone();
        changed.config = keys::settings(&repository.config, &record.keys);
        if !carried(&changed, &bundle)? {
            survey.check_clock(options)?;
            let summary = publish(&survey, &changed, lock, passphrases, &bundle, options).await?;
            finished.outcome = Outcome::Published(summary);
            finished.root = version;
        }
        let published = changed.published()?;
        keys::save_settings(repository, published.as_ref(), &record.keys)?;
        events.finished(id)?;
    }
    forget_pages(repository).await?;
    Record::remove(repository)?;
    Ok(finished)
}

/// What was mirrored since is gone: the next `mirror sync` looks at every page again.
async fn forget_pages(repository: &Repository) -> Result<(), Error> {
    if repository.config.mirror.projects.is_empty() {
        return Ok(());
    }
    let state = repository.open_state().await?;
    for project in repository.config.mirror.projects.keys() {
        state.set_seen_page(project, None).await?;
    }
    Ok(())
}
