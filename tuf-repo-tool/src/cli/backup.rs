//! `tuf-repo backup` and `tuf-repo restore`.

use std::path::PathBuf;

use tuf_client::clock;
use tuf_repo_tool::backup::{self as library, BackupOptions, RestoreOptions, WhichKeys};
use tuf_repo_tool::{HIGHEST_MIN_VERSION, Repository};
use url::Url;

use super::log::Reason;
use super::output::size;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The archive to write; it must not exist
    file: PathBuf,
    /// Put private keys into it: all of keys/ (the full backup of PEP 458), or without those of root, targets and bins (online)
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    keys: Option<KeysName>,
    /// Take private keys that are not encrypted as well: whoever reads the archive can sign with them
    #[arg(long, requires = "keys")]
    unencrypted_keys: bool,
    /// Put the files of targets into it
    #[arg(long)]
    targets: bool,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum KeysName {
    All,
    Online,
}

pub(crate) async fn backup(
    args: &BackupArgs,
    repository: &Repository,
    output: &Output,
) -> Result<(), Failure> {
    let mut options = BackupOptions::default();
    options.keys = match args.keys {
        None => WhichKeys::None,
        Some(KeysName::All) => WhichKeys::All,
        Some(KeysName::Online) => WhichKeys::Online,
    };
    options.plain_keys = args.unencrypted_keys;
    options.targets = args.targets;
    options.why = args.reason.text().map(str::to_owned);
    let done = library::backup(repository, &args.file, &options).await?;
    let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    let text = format!(
        "{}: timestamp {}, {} files ({}), {} staged changes, {} pending events\nprivate keys in it: {}\nthey suffice to sign: {}\n\
         they do not suffice for: {}",
        args.file.display(),
        done.timestamp,
        done.files,
        size(done.bytes),
        done.staged,
        done.events,
        list(&done.keys),
        list(&done.signs),
        list(&done.lacks)
    );
    output.result(&done, &text);
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The archive
    file: PathBuf,
    /// The directory of the repository; it must not be one yet
    directory: PathBuf,
    /// Sign from now on with versions from N on: when clients have seen newer ones than the backup has, and those are lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=HIGHEST_MIN_VERSION))]
    min_version: Option<u64>,
    /// Where published files are, s3://BUCKET/PREFIX, instead of where the backup says
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// Where clients get what is published, instead of where the backup says: what is newer there is taken
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
    #[command(flatten)]
    reason: Reason,
}

pub(crate) async fn restore(args: &RestoreArgs, output: &Output) -> Result<(), Failure> {
    let mut options = RestoreOptions::default();
    options.min_version = args.min_version;
    options.storage.clone_from(&args.storage);
    options.public_url.clone_from(&args.public_url);
    options.why = args.reason.text().map(str::to_owned);
    let done = library::restore(&args.file, &args.directory, &options, clock::now()).await?;
    let directory = args.directory.display();
    let from = match done.published_from.as_str() {
        "backup" => "published metadata is that of the backup".to_owned(),
        place => format!(
            "published metadata is that of {place}, which is as new as the backup's or newer, and stays"
        ),
    };
    let text = format!(
        "{directory} is restored from a backup of {} with timestamp {}\n{from}: timestamp {}\nprivate keys: {}; files of targets: {}; \
         staged changes: {}; pending events: {}\nNext: tuf-repo --repo {directory} status",
        done.made.format("%Y-%m-%d %H:%M"),
        done.backup,
        done.timestamp,
        if done.keys.is_empty() { "none".to_owned() } else { done.keys.join(" ") },
        done.targets,
        done.staged,
        done.events,
    );
    done.notes.iter().for_each(|note| output.warn(note));
    output.result(&done, &text);
    Ok(())
}
