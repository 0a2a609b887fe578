//! `--map`: `refresh`, `info` and `download` with several repositories that must agree.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use data_encoding::HEXLOWER;
use futures_util::{StreamExt, TryStreamExt, stream};
use ring::digest::{SHA256, digest};
use serde_json::{Map as Object, Value, json};
use tuf_client::Url;
use tuf_client::durable::{Access, Placed, WriteBatch, checked_join};
use tuf_client::multi::{Consensus, MAX_MAP_BYTES, Map, MultiClient, MultiView, roots_in};
use tuf_client::text::{table, utc};
use tuf_client::{Error, TargetPath, chain, env};

use super::error::{Failure, USAGE};
use super::output::Output;
use super::repository::target_json;
use super::{Command, Global, download, open};

/// Refuses options that contradict each other, wherever on the line they stand: clap looks at each level alone. What the
/// environment says of one repository does not count with a map.
pub(crate) fn check(global: &Global) -> Result<(), Failure> {
    let one = global.root.is_some() || !global.url.is_empty();
    match (&global.map, &global.roots) {
        (Some(_), _) if one => {
            Err(Failure::new("--map says where its repositories are: give neither --root nor --url")
                .code(USAGE))
        }
        (Some(_), _) if global.offline || global.cache.is_some() || global.refuse_clock_steps => {
            Err(Failure::new(
                "--offline, --cache and --refuse-clock-steps are for one repository: not with --map",
            )
            .code(USAGE))
        }
        (None, Some(_)) => Err(Failure::new("--roots is for --map").code(USAGE)),
        _ => Ok(()),
    }
}

/// A command with the map of `--map`.
pub(crate) async fn dispatch(
    global: &Global,
    map: &Path,
    command: Command,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        Command::Refresh => refresh(&client(global, map)?, out).await,
        Command::Info { target } => info(&client(global, map)?, &target, out).await,
        Command::Download { targets, output, parallel } => {
            let parallel = parallel.map_or(download::PARALLEL, usize::from);
            fetch(&client(global, map)?, (&targets, parallel), &output, out).await
        }
        _ => Err(Failure::new("--map is for refresh, info and download").code(USAGE)),
    }
}

fn client(global: &Global, path: &Path) -> Result<MultiClient, Failure> {
    let failed = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let whole = std::fs::canonicalize(path).map_err(failed)?;
    if std::fs::metadata(&whole).map_err(failed)?.len() > MAX_MAP_BYTES {
        return Err(Failure::new(format!(
            "{} is no map: it has more than {MAX_MAP_BYTES} bytes",
            path.display()
        )));
    }
    let map = Map::parse(&open::read(&whole)?).map_err(|error| {
        let mut failure = Failure::from(error);
        failure.message = format!("{}: {}", path.display(), failure.message);
        failure
    })?;
    // It is for one repository, and would be sent to the hosts of all.
    if env::var("TUF_AUTHORIZATION").is_some() {
        let hint =
            "unset it, and use a netrc file or user:password in the map's URLs, which are for one host each";
        return Err(Failure::new("TUF_AUTHORIZATION does not say for which repository it is").hint(hint));
    }
    let beside = || whole.parent().map(Path::to_owned).unwrap_or_default();
    let roots = global.roots.clone().unwrap_or_else(beside);
    let stores = match &global.store {
        Some(directory) => directory.clone(),
        None => default_stores(&whole)?,
    };
    let urls: Vec<Url> = map.repositories().flat_map(|(_, urls)| urls).cloned().collect();
    let transport = open::transport(global, &urls)?;
    Ok(MultiClient::builder(map, roots_in(&roots), &stores)
        .limits(open::limits(global))
        .transport(transport)
        .build()?)
}

/// `<data dir>/tuf-client/map-<first 16 hex digits of the SHA-256 of the map's path>`: the map may change, and what was
/// seen of its repositories still counts.
fn default_stores(map: &Path) -> Result<PathBuf, Failure> {
    let sum = HEXLOWER.encode(digest(&SHA256, map.as_os_str().as_encoded_bytes()).as_ref());
    Ok(open::data_directory()?.join("tuf-client").join(format!("map-{}", sum.get(..16).unwrap_or(&sum))))
}

async fn refresh(client: &MultiClient, out: &Output) -> Result<ExitCode, Failure> {
    let all = client.view().refresh_all().await;
    let text = || {
        let rows = all.iter().map(|(name, view)| {
            let state = match view {
                Ok(view) => {
                    let set = view.trusted();
                    let version = set.timestamp().header.version;
                    format!("timestamp {version}, expires {}", utc(&view.expires()))
                }
                Err(error) => format!("failed: {}", chain(&**error)),
            };
            vec![name.to_string(), state]
        });
        table(&rows.collect::<Vec<_>>(), &[])
    };
    let json = || {
        let each = all.iter().map(|(name, view)| {
            let state = match view {
                Ok(view) => json!({
                    "timestamp": view.trusted().timestamp().header.version,
                    "snapshot": view.trusted().snapshot().header.version,
                    "expires": utc(&view.expires()),
                }),
                Err(error) => Failure::from_error(error).to_json(),
            };
            (name.as_str().to_owned(), state)
        });
        json!({ "repositories": each.collect::<Object<_, _>>() })
    };
    out.result(text, json)?;
    let failed = all.iter().filter_map(|(_, view)| view.as_ref().err());
    Ok(ExitCode::from(failed.map(|error| Failure::from_error(error).code).max().unwrap_or_default()))
}

async fn info(client: &MultiClient, target: &str, out: &Output) -> Result<ExitCode, Failure> {
    let path = TargetPath::new(target).map_err(Error::from)?;
    let found = client.find(&path).await?;
    warn(&found, out);
    let text = || {
        let mut rows = vec![
            vec!["path".to_owned(), path.to_string()],
            vec!["length".to_owned(), found.file.length.to_string()],
        ];
        rows.extend(found.file.hashes.iter().map(|(algorithm, sum)| {
            vec![algorithm.escape_debug().to_string(), sum.escape_debug().to_string()]
        }));
        rows.push(vec!["mapping".to_owned(), found.mapping.to_string()]);
        for vote in &found.agreeing {
            rows.push(vec!["signed by".to_owned(), format!("{} of {}", vote.target.role, vote.repository)]);
            if let Some(custom) = &vote.target.file.custom {
                let custom = custom.as_canonical().escape_debug();
                rows.push(vec!["custom".to_owned(), format!("{custom} (of {} alone)", vote.repository)]);
            }
        }
        table(&rows, &[])
    };
    out.result(text, || found_json(&found))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(
    client: &MultiClient,
    (targets, parallel): (&[String], usize),
    directory: &Path,
    out: &Output,
) -> Result<ExitCode, Failure> {
    let paths: Result<Vec<_>, _> = targets.iter().map(TargetPath::new).collect();
    let paths = paths.map_err(Error::from)?;
    let bar = download::total_bar(out);
    let attempt = async |view: MultiView| {
        let found = stream::iter(&paths).map(|path| view.find(path)).buffered(download::PARALLEL);
        let found: Result<Vec<Consensus>, Error> = found.try_collect().await;
        let saved = view.save().await;
        let found = found?;
        saved?;
        bar.reset();
        bar.set_length(found.iter().map(|found| found.file.length).sum());
        let staged: Vec<_> = stream::iter(&found)
            .map(|found| async {
                let destination = checked_join(directory, found.path.as_str())?;
                let placed = found.stage(&destination, |bytes| bar.inc(bytes)).await?;
                Ok::<_, Error>((destination, placed))
            })
            .buffered(parallel)
            .try_collect()
            .await?;
        Ok::<_, Error>((found, staged))
    };
    let (found, staged) = match attempt(client.view()).await {
        // The repositories may have published in between.
        Err(error) if error.is_missing() => attempt(client.view()).await?,
        result => result?,
    };
    let files = commit(staged).await?;
    bar.finish_and_clear();
    found.iter().for_each(|found| warn(found, out));
    download::report(&files, || found.iter().map(found_json).collect(), out)
}

/// Gives all files their names, in one batch.
async fn commit(staged: Vec<(PathBuf, Option<Placed>)>) -> Result<Vec<PathBuf>, Failure> {
    let (files, placed): (Vec<PathBuf>, Vec<Option<Placed>>) = staged.into_iter().unzip();
    let commit = tokio::task::spawn_blocking(move || {
        let mut batch = WriteBatch::new(Access::Shared);
        for file in placed.into_iter().flatten() {
            batch.place(file);
        }
        batch.commit()
    });
    commit.await.map_err(|error| Failure::new(error.to_string()))??;
    Ok(files)
}

/// What did not stand in the way, but should be looked at.
fn warn(found: &Consensus, out: &Output) {
    let others = found.disagreeing.iter().map(ToString::to_string);
    let failed = found.failed.iter().map(ToString::to_string);
    let passed = found.passed_over.iter().map(|count| format!("passed over: {count}"));
    for text in passed.chain(others).chain(failed) {
        out.insist(&format!("warning: {}: {text}", found.path));
    }
}

fn found_json(found: &Consensus) -> Value {
    let agreeing: Vec<Value> = found
        .agreeing
        .iter()
        .map(|vote| {
            let mut json = target_json(&found.path, vote.target.role.as_str(), &vote.target.file);
            if let Some(fields) = json.as_object_mut() {
                fields.insert("repository".to_owned(), vote.repository.as_str().into());
            }
            json
        })
        .collect();
    let hashes: Object<_, _> =
        found.file.hashes.iter().map(|(name, sum)| (name.to_owned(), sum.into())).collect();
    let names = |text: Vec<String>| Value::from(text);
    json!({
        "path": found.path.as_str(),
        "length": found.file.length,
        "hashes": hashes,
        "mapping": found.mapping,
        "agreeing": agreeing,
        "disagreeing": names(found.disagreeing.iter().map(ToString::to_string).collect()),
        "failed": names(found.failed.iter().map(ToString::to_string).collect()),
        "passed_over": names(found.passed_over.iter().map(ToString::to_string).collect()),
    })
}
