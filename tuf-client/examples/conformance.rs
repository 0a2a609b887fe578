//! The client protocol of the public conformance suite (`theupdateframework/tuf-conformance`):
//!
//! ```text
//! pytest tuf_conformance --entrypoint target/release/examples/conformance
//! ```
//!
//! It is also an example of a store of one's own: the suite wants the newest metadata under unversioned
//! names, and runs one client at a time, so there is no lock.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tuf_client::Url;
use tuf_client::durable::{Access, WriteBatch, write_atomic};
use tuf_client::store::{Store, StoreError, StoreSession};
use tuf_client::tuf_core::{Batch, Change, StoredFile};
use tuf_client::{Client, TargetPath};

#[derive(Parser)]
struct Cli {
    #[arg(long)]
    metadata_dir: PathBuf,
    #[arg(long)]
    metadata_url: Option<Url>,
    #[arg(long)]
    target_name: Vec<String>,
    #[arg(long)]
    target_base_url: Option<Url>,
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init { root: PathBuf },
    Refresh,
    Download,
}

/// Unversioned names in one directory, old roots beside them.
#[derive(Clone, Debug)]
struct PlainStore(PathBuf);

impl PlainStore {
    fn path(&self, file: &StoredFile) -> PathBuf {
        self.0.join(match file {
            StoredFile::FloorTimestamp => StoredFile::Timestamp.file_name(),
            StoredFile::FloorSnapshot => StoredFile::Snapshot.file_name(),
            StoredFile::Delegated(role) => role.file_name(None),
            other => other.file_name(),
        })
    }
}

impl Store for PlainStore {
    fn open(&self) -> Result<Box<dyn StoreSession>, StoreError> {
        Ok(Box::new(self.clone()))
    }

    fn peek(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let fits = |bytes: &Vec<u8>| u64::try_from(bytes.len()).is_ok_and(|length| length <= max);
        Ok(std::fs::read(self.path(file)).ok().filter(fits))
    }
}

impl StoreSession for PlainStore {
    fn load(&self, file: &StoredFile, max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.peek(file, max)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = WriteBatch::new(Access::Shared);
        for change in batch.changes() {
            let Change::Write(file, bytes) = change else { continue };
            // The suite moves the clock as it likes.
            if *file == StoredFile::LastTime {
                continue;
            }
            writes.write(&self.path(file), bytes)?;
            if matches!(file, StoredFile::RootHistory(_)) {
                writes.write(&self.0.join("root.json"), bytes)?;
            }
        }
        Ok(writes.commit()?)
    }
}

fn main() -> ExitCode {
    let run =
        || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(Cli::parse()));
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            tracing::error!("{}", tuf_client::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error>> {
    let pinned = cli.metadata_dir.join("root_history").join("pinned.json");
    if let Command::Init { root } = &cli.command {
        let root = std::fs::read(root)?;
        write_atomic(&pinned, &root)?;
        return Ok(write_atomic(&cli.metadata_dir.join("root.json"), &root)?);
    }
    let url = cli.metadata_url.ok_or("--metadata-url is missing")?;
    let mut client = Client::builder(std::fs::read(&pinned)?, url.clone())
        .metadata_url(url)
        .store(PlainStore(cli.metadata_dir.clone()));
    if let Some(url) = cli.target_base_url {
        client = client.targets_url(url);
    }
    let view = client.build()?.refresh().await?;
    if matches!(cli.command, Command::Download) {
        let directory = cli.target_dir.ok_or("--target-dir is missing")?;
        for name in cli.target_name {
            let target = view.require(&TargetPath::new(name)?).await;
            view.save().await?;
            view.download(&target?, &directory).await?;
        }
    }
    Ok(())
}
