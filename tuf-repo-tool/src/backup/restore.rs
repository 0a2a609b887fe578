//! Makes a repository of a backup, and never an older one than clients have seen.

use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tokio::task::block_in_place;
use tuf_client::durable::{self, Access, Placed};

use super::archive::Archive;
use super::names::strange;
use super::staged::Listed;
use super::{BackupError, EVENTS, KEYS, LOG, PUBLIC, ROOT, SETTINGS, STAGED, staged};
use crate::adopt::{
    Carrier, Fresh, Seen, Source, Spool, carry_metadata, carry_targets, clear, published_timestamp,
};
use crate::config::Config;
use crate::error::Error;
use crate::log::{self, Did, Entry};
use crate::repository::Repository;
use crate::rotate::overlaps;
use crate::status::differs;
use crate::storage::NewFile;

/// How a backup is restored.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Where published files are, instead of where the backup says.
    pub storage: Option<String>,
    /// Where clients get what is published, instead of where the backup says.
    pub public_url: Option<url::Url>,
    /// The version with which the next timestamp, snapshot and everything that is signed here begin.
    pub min_version: Option<u64>,
    /// Why, for the log.
    pub why: Option<String>,
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// When the backup was made.
    pub made: DateTime<Utc>,
    /// The version of the backup's timestamp.
    pub backup: u64,
    /// The version of the timestamp that is published now.
    pub timestamp: u64,
    /// Where published metadata was taken from: `backup`, or where something as new was found.
    pub published_from: String,
    /// The private keys that were restored.
    pub keys: Vec<String>,
    /// How many files of targets were restored.
    pub targets: u64,
    /// How many staged changes were.
    pub staged: usize,
    /// How many pending events were.
    pub events: usize,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Restores a backup into `directory`, which is no repository yet. What the storage has published, or the public URL still
/// serves, wins over what is in the backup if it is newer.
///
/// # Errors
/// [`BackupError`] for an archive that is not whole, [`Error::Taken`] if the storage holds another repository,
/// [`crate::adopt::AdoptError`] if metadata does not verify: in all these cases nothing was restored.
pub async fn restore(
    path: &Path,
    directory: &Path,
    options: &RestoreOptions,
    now: DateTime<Utc>,
) -> Result<Restored, Error> {
    let archive = block_in_place(|| Archive::open(path))?;
    let mut entries = archive.manifest.files.iter();
    if let Some(reason) = entries.find_map(|(name, entry)| strange(name, &entry.sha256)) {
        return Err(archive.damaged(reason));
    }
    spare_keys(&archive, directory)?;
    let fresh = Fresh::begin(directory)?;
    let work = fresh.work()?;
    let spool = Spool::new(work.path());
    block_in_place(|| unpack_metadata(&archive, &spool))?;
    let config = config(&archive, work.path(), options)?;
    let ours = spool.source()?;
    let seen = Seen::read(&ours, now, async |_, _| Ok(())).await.map_err(|error| archive.refused(error))?;
    let found = seen.chain.timestamp_version();
    if seen.chain.first_root() != archive.manifest.first_root || found != archive.manifest.timestamp {
        return Err(archive.damaged("its metadata is not that of the repository that its manifest names"));
    }
    if let Some(asked) = options.min_version.filter(|asked| *asked <= found) {
        return Err(BackupError::MinVersion { asked, found }.into());
    }
    let staged = archive.read(STAGED)?.unwrap_or_default();
    let staged = staged::Restored::read(&staged).map_err(|reason| archive.damaged(reason))?;

    let mut repository = Repository::new(directory, config)?;
    let mut notes = Vec::new();
    let is_published = block_in_place(|| published_timestamp(&repository, &seen.chain))?.is_some();
    let lock = repository.lock()?;
    let newest =
        newest(&repository, &seen, is_published, now, &work.path().join("found"), &mut notes).await?;
    let version = newest.seen(&seen).chain.timestamp_version();
    // That of the backup may not have been reached yet.
    let least = options.min_version.max(repository.config.min_version);
    repository.config.min_version = least.filter(|least| *least > version);
    if options.min_version.is_some() && repository.config.min_version.is_none() {
        notes.push(format!("timestamp {version} is published: --min-version was not needed"));
    }
    if repository.config.min_version.is_some() {
        notes.push(
            "a newer root, targets or bins that is lost stays lost: what it said is signed again, where its keys are elsewhere by an event \
             (`tuf-repo event open`)"
                .to_owned(),
        );
        notes.push(
            "run `tuf-repo renew` before anything else; then roles that were made after the backup, by `delegate add` or `bins resize`, must be \
             made again under the same names before clients come: they refuse a snapshot that does not list them any more"
                .to_owned(),
        );
    }
    let mut staged = staged;
    if version > found && !staged.is_empty() {
        let source = newest.source(&repository)?;
        let (then, today) = (listed(&ours, &staged, now).await?, listed(&source, &staged, now).await?);
        let outdated = staged.without_outdated(&then, &today);
        notes.extend(outdated_note(&outdated, found));
        if staged.has_edits() {
            notes.push(format!(
                "changes of roles that were staged at timestamp {found} are staged again; if they were published since, publishing them \
                 again fails or undoes what came after: `tuf-repo plan` shows them"
            ));
        }
    }
    if matches!(newest, Newest::Backup) && repository.config.min_version.is_none() {
        notes.push(format!(
            "nothing newer than timestamp {version} was found; if clients saw a newer one since {}, they refuse everything up to it as a \
             rollback: then restore with --min-version N, with N above the last version that they saw",
            archive.manifest.at.format("%Y-%m-%d %H:%M")
        ));
    }
    let source = match &newest {
        Newest::Url(source, ..) => source,
        _ => &ours,
    };
    let carrier = Carrier::new(source, &repository, false);
    let put = put(&archive, &repository, &seen, &newest, &spool, &carrier, &staged).await;
    let mut created = carrier.into_done().created;
    let counts = match put {
        Ok(counts) => counts,
        Err(error) => {
            // The directory itself goes with `fresh`.
            if (repository.storage().local().is_none() || fresh.had_public())
                && let Err(error) = block_in_place(|| clear(&**repository.storage(), &mut created))
            {
                tracing::warn!(
                    "{} could not be cleared: {}",
                    repository.storage().url(),
                    tuf_client::chain(&error)
                );
            }
            return Err(error);
        }
    };
    fresh.keep();
    let entry = Entry::new(Did::Restore).because(options.why.as_deref()).with("backup", found);
    let entry = entry.with("made", archive.manifest.at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let entry = repository
        .config
        .min_version
        .into_iter()
        .fold(entry, |entry, least| entry.with("min_version", least));
    log::append_at(directory, now, &newest.seen(&seen).chain.adopted(entry))?;
    if !matches!(newest, Newest::Backup) {
        notes.extend(block_in_place(|| other_keys(&repository))?);
    }
    drop(lock);
    if counts.targets == 0 && seen.targets > 0 && matches!(newest, Newest::Backup) {
        notes.push(format!(
            "the backup has no files of targets: bring them to {} before clients come; `tuf-client audit --files` names what \
             is missing",
            repository.storage().url()
        ));
    }
    Ok(Restored {
        made: archive.manifest.at,
        backup: found,
        timestamp: version,
        published_from: newest.name(&repository),
        keys: counts.keys,
        targets: counts.targets,
        staged: counts.staged,
        events: counts.events,
        notes,
    })
}

/// Where the newest published state is.
enum Newest {
    Backup,
    Storage(Box<Seen>),
    Url(Source, Box<Seen>, Spool),
}

impl Newest {
    fn seen<'a>(&'a self, backup: &'a Seen) -> &'a Seen {
        match self {
            Self::Backup => backup,
            Self::Storage(seen) | Self::Url(_, seen, _) => seen,
        }
    }

    /// Where it can be read; not asked for what is the backup's.
    fn source(&self, repository: &Repository) -> Result<Source, Error> {
        match self {
            Self::Url(_, _, spool) => spool.source(),
            Self::Backup | Self::Storage(_) => Source::of(repository.storage()),
        }
    }

    fn name(&self, repository: &Repository) -> String {
        match self {
            Self::Backup => "backup".to_owned(),
            Self::Storage(_) => repository.storage().url(),
            Self::Url(source, ..) => source.name().to_owned(),
        }
    }
}

/// What is listed of the targets that are staged: who signed for each, and what.
async fn listed(source: &Source, staged: &staged::Restored, now: DateTime<Utc>) -> Result<Listed, Error> {
    let mut listed = Listed::new();
    Seen::read(source, now, async |_, met| {
        let role = met.role();
        for (path, file) in staged.paths().filter_map(|path| Some((path, role.targets.get(path)?))) {
            listed.entry(path.to_string()).or_default().push((role.role_name().clone(), file));
        }
        Ok(())
    })
    .await?;
    Ok(listed)
}

/// Keys that are in the directory already are not overwritten by others of the same name.
fn spare_keys(archive: &Archive, directory: &Path) -> Result<(), Error> {
    for (name, entry) in archive.manifest.files.iter().filter(|(name, _)| name.starts_with(KEYS)) {
        let path = directory.join(name);
        match std::fs::read(&path).map(zeroize::Zeroizing::new) {
            Ok(found) if log::sha256(&found) != entry.sha256 => {
                return Err(BackupError::OtherKey { path }.into());
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("read", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Roles of which the settings of the backup are not what is published.
fn other_keys(repository: &Repository) -> Result<Vec<String>, Error> {
    let Some(published) = repository.published()? else { return Ok(Vec::new()) };
    let overlaps = overlaps(repository, &published)?;
    let kinds = repository.config.roles.keys().copied();
    let differs = kinds.filter(|kind| {
        overlaps.iter().all(|overlap| overlap.role != *kind)
            && published.role_keys(*kind).is_some_and(|signed| differs(repository, *kind, &signed))
    });
    let note = |kind| {
        format!(
            "{kind}: other keys or another threshold are published than the settings of the backup say; with the keys in keys/, \
             `tuf-repo rebuild --settings` derives them anew"
        )
    };
    Ok(differs.map(note).collect())
}

/// What the operator should know of changes that are not staged again.
fn outdated_note(outdated: &[String], found: u64) -> Option<String> {
    let first = outdated.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(" ");
    let more = if outdated.len() > 8 { " …" } else { "" };
    (!outdated.is_empty()).then(|| {
        format!(
            "{} changes that were staged at timestamp {found} are left out, because what is published of these targets was changed \
             since: {first}{more}",
            outdated.len()
        )
    })
}

/// Looks where published files are to be, and where clients get them.
async fn newest(
    repository: &Repository,
    backup: &Seen,
    is_published: bool,
    now: DateTime<Utc>,
    spool: &Path,
    notes: &mut Vec<String>,
) -> Result<Newest, Error> {
    let version = backup.chain.timestamp_version();
    if is_published {
        let source = Source::of(repository.storage())?;
        let seen = Seen::read(&source, now, async |_, _| Ok(())).await?;
        if seen.chain.timestamp_version() >= version {
            return Ok(Newest::Storage(Box::new(seen)));
        }
    }
    let Some(url) = &repository.config.public_url else { return Ok(Newest::Backup) };
    let source = Source::open(url.as_str(), None, None)?;
    let found = Spool::new(spool);
    match found.fill(&source, now).await {
        Ok(seen) if seen.chain.first_root() != backup.chain.first_root() => {
            notes.push(format!("{source} serves another repository: it was left out of account"));
        }
        Ok(seen) if seen.chain.timestamp_version() > version => {
            return Ok(Newest::Url(source, Box::new(seen), found));
        }
        Ok(_) => {}
        Err(error) => {
            notes.push(format!(
                "{source} does not serve anything newer that verifies: {}",
                tuf_client::chain(&error)
            ));
        }
    }
    Ok(Newest::Backup)
}

#[derive(Default)]
struct Counts {
    keys: Vec<String>,
    targets: u64,
    staged: usize,
    events: usize,
}

/// Writes everything; the settings come last.
async fn put(
    archive: &Archive,
    repository: &Repository,
    backup: &Seen,
    newest: &Newest,
    spool: &Spool,
    carrier: &Carrier<'_>,
    staged: &staged::Restored,
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    block_in_place(|| unpack(archive, repository, carrier, &mut counts))?;
    let seen = match newest {
        Newest::Storage(seen) => seen,
        Newest::Backup => {
            carry_metadata(repository, &backup.chain, spool, carrier)?;
            backup
        }
        Newest::Url(_, seen, found) => {
            carry_targets(&seen.chain, found, carrier).await?;
            carry_metadata(repository, &seen.chain, found, carrier)?;
            seen
        }
    };
    let directory = repository.directory();
    durable::write_atomic(&directory.join(ROOT), seen.chain.set.root().bytes())?;
    let state = repository.open_state().await?;
    counts.staged = staged.stage(&state).await?;
    repository.config.save(directory)?;
    Ok(counts)
}

/// Keys, log, events and files of targets.
fn unpack(
    archive: &Archive,
    repository: &Repository,
    carrier: &Carrier<'_>,
    counts: &mut Counts,
) -> Result<(), Error> {
    let directory = repository.directory();
    archive.each(|name, _, reader| {
        if let Some(target) = name.strip_prefix(PUBLIC).filter(|path| path.starts_with("targets/")) {
            let mut placed = Placed::create(&carrier.incoming, Access::Shared)?;
            let mut buffer = vec![0; 256 * 1024];
            loop {
                let read = reader.read(&mut buffer).map_err(|error| archive.damaged(error.to_string()))?;
                match buffer.get(..read) {
                    Some(bytes) if !bytes.is_empty() => placed.append(bytes)?,
                    _ => break,
                }
            }
            counts.targets += 1;
            return carrier.place(target, &placed);
        }
        let is_private = name.starts_with(KEYS) && name.ends_with(".pem");
        if is_private || name.starts_with(KEYS) || name.starts_with(EVENTS) || name == LOG {
            let bytes = zeroize::Zeroizing::new(archive.bytes(reader)?);
            let path = durable::checked_join(directory, name)?;
            match name.ends_with(".pub.json") {
                true => durable::write_atomic(&path, &bytes)?,
                false => durable::write_private(&path, &bytes)?,
            }
            counts.events += usize::from(name.starts_with(EVENTS));
            let key = name.strip_prefix(KEYS).and_then(|name| name.strip_suffix(".pem"));
            counts.keys.extend(key.map(str::to_owned));
        }
        Ok(())
    })
}

fn unpack_metadata(archive: &Archive, spool: &Spool) -> Result<(), Error> {
    archive.each(|name, _, reader| {
        let Some(path) = name.strip_prefix(PUBLIC).filter(|path| path.starts_with("metadata/")) else {
            return Ok(());
        };
        spool.add(NewFile { path: path.to_owned(), bytes: archive.bytes(reader)? })
    })
}

/// The settings of the backup, with what was asked for instead.
fn config(archive: &Archive, work: &Path, options: &RestoreOptions) -> Result<Config, Error> {
    let bytes = archive.read(SETTINGS)?.ok_or_else(|| archive.damaged("it has no settings"))?;
    durable::write_private(&Config::path(work), &bytes)?;
    let mut config = Config::load(work).map_err(|error| match error {
        Error::Config { reason, .. } => archive.damaged(format!("its {SETTINGS}: {reason}")),
        error => error,
    })?;
    if options.storage.is_some() {
        config.storage.clone_from(&options.storage);
    }
    if options.public_url.is_some() {
        config.public_url.clone_from(&options.public_url);
    }
    Ok(config)
}
