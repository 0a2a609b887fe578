//! The command line: parses and prints, and decides nothing.
//!
//! Exit codes: 0 done or nothing to do, 1 failed, 2 usage, 3 more signatures needed, 4 refused as unsafe.

mod add;
mod adopt;
mod backup;
mod bins;
mod delegate;
mod doctor;
mod event;
mod gc;
mod init;
mod key;
mod log;
mod mirror;
mod output;
mod payload;
mod plan;
mod publish;
mod quickstart;
mod recover;
mod renew;
mod role;
mod rotate;
mod serve;
mod status;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tuf_repo_tool::{Error, Repository};

pub(crate) use output::Output;

/// Signs and publishes TUF repositories, and mirrors PyPI into them.
#[derive(Debug, Parser)]
#[command(name = "tuf-repo", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// The repository's directory
    #[arg(long, global = true, env = "TUF_REPO", value_name = "DIR", default_value = ".")]
    repo: PathBuf,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
    /// Print errors only
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Whether to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: output::Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a signed mirror of some projects, verify it and serve it
    Quickstart(quickstart::Args),
    /// Make a new repository: settings, keys, the first root
    Init(init::Args),
    /// Generate, import, list and show keys
    #[command(subcommand)]
    Key(key::Command),
    /// Change a role whose keys are elsewhere: threshold signing, also without a network
    #[command(subcommand)]
    Event(event::Command),
    /// Say what is mirrored, and mirror it
    #[command(subcommand)]
    Mirror(mirror::Command),
    /// Print the bytes that are signed of a metadata file, for signing them elsewhere
    Payload(payload::PayloadArgs),
    /// Put a signature that was made elsewhere into a metadata file, after checking it
    AddSignature(payload::SignatureArgs),
    /// Stage files as targets
    Add(add::Args),
    /// Stage that targets go
    Remove(add::RemoveArgs),
    /// Stage which other roles sign for some paths
    #[command(subcommand)]
    Delegate(delegate::Command),
    /// Show what other numbers of hash bins would cost, and resize them
    #[command(subcommand)]
    Bins(bins::Command),
    /// Show one role, and change how it is signed
    #[command(subcommand)]
    Role(role::Command),
    /// Show what a publish would do, and what it needs
    Plan,
    /// Publish what is staged, as one transaction
    Publish(publish::Args),
    /// After a compromise: show, or carry out, the way back to a snapshot that is known to be good
    Recover(recover::Args),
    /// Sign again what will expire
    Renew(renew::Args),
    /// Remove published files that nothing needs any more; without --delete, say which
    Gc(gc::Args),
    /// Look at everything that is published, as clients do and beyond
    Verify(verify::Args),
    /// Look at this machine: settings, keys, locks, storage, database, clock
    Doctor(doctor::Args),
    /// Replace keys, with no instant at which a client fails
    Rotate(rotate::Args),
    /// Show what was changed, by whom, when and why; verify that nothing of it was changed afterwards
    Log(log::Args),
    /// Show roles, versions, keys, expiries, and what needs doing
    Status(status::Args),
    /// Serve the published repository over HTTP
    Serve(serve::Args),
    /// Make all working state anew from what is published
    Rebuild(adopt::RebuildArgs),
    /// Take over a repository that is published, byte for byte
    Import(adopt::ImportArgs),
    /// Write settings, metadata and what is pending into one file; keys and files of targets if asked for
    Backup(backup::BackupArgs),
    /// Make a repository of a backup; what is published and newer stays
    Restore(backup::RestoreArgs),
}

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library said so.
    Error(Error),
    /// The command line did; what was asked cannot be.
    Message(String, Option<String>),
    /// The command line itself is wrong.
    Usage(&'static str),
    /// It was reported already.
    Reported(ExitCode),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&format!("the system gives no threads: {error}"), None);
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(dispatch(cli, &output));
    // A prompt or a lookup that hangs must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported(code)) => code,
        Err(Failure::Message(message, hint)) => {
            output.error(&message, hint.as_deref());
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            output.error(message, Some("`tuf-repo help COMMAND` lists what it takes"));
            ExitCode::from(2)
        }
        Err(Failure::Error(error)) => {
            output.error(&tuf_client::chain(&error), error.hint().as_deref());
            ExitCode::from(match (error.needs_signatures(), error.is_refusal()) {
                (true, _) => 3,
                (false, true) => 4,
                (false, false) => 1,
            })
        }
    }
}

async fn dispatch(cli: Cli, output: &Output) -> Result<(), Failure> {
    let repo = &cli.global.repo;
    match cli.command {
        Command::Quickstart(args) => quickstart::run(args, output).await,
        Command::Event(command) => event::run(command, repo, output).await,
        Command::Init(args) => init::run(&args, output).await,
        Command::Key(command) => key::run(command, repo, output),
        Command::Mirror(command) => mirror::run(command, Repository::open(repo)?, output).await,
        Command::Payload(args) => payload::payload(&args, repo),
        Command::AddSignature(args) => payload::add_signature(&args, repo, output),
        Command::Add(args) => add::add(args, &Repository::open(repo)?, output).await,
        Command::Remove(args) => add::remove(args, &Repository::open(repo)?, output).await,
        Command::Delegate(command) => delegate::run(command, repo, output).await,
        Command::Bins(command) => bins::run(command, &Repository::open(repo)?, output).await,
        Command::Role(command) => role::run(command, repo, output).await,
        Command::Plan => plan::run(&Repository::open(repo)?, output).await,
        Command::Publish(args) => publish::publish(&args, &Repository::open(repo)?, output).await,
        Command::Renew(args) => renew::run(&args, &Repository::open(repo)?, output).await,
        Command::Status(args) => status::run(&args, &Repository::open(repo)?, output).await,
        Command::Gc(args) => gc::run(&args, repo, output).await,
        Command::Recover(args) => recover::run(&args, &Repository::open(repo)?, output).await,
        Command::Backup(args) => backup::backup(&args, &Repository::open(repo)?, output).await,
        Command::Restore(args) => backup::restore(&args, output).await,
        Command::Import(args) => adopt::import(&args, output).await,
        Command::Rebuild(args) => adopt::rebuild(&args, repo, output).await,
        Command::Verify(args) => verify::run(args, &Repository::open(repo)?, output).await,
        Command::Doctor(args) => doctor::run(&args, repo, output).await,
        Command::Rotate(args) => rotate::run(args, Repository::open(repo)?, output).await,
        Command::Log(args) => log::run(&args, repo, output),
        Command::Serve(args) => serve::run(&args, &Repository::open(repo)?, output).await,
    }
}
