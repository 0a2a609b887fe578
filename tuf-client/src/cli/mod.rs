//! The command line: parses and prints, and decides nothing.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 usage, 4 refused as unsafe
//! (or an audit finding at or above `--fail-on`), 130 ended by Ctrl-C; `run` returns its child's.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anstream::ColorChoice;
use clap::{Parser, Subcommand, ValueEnum};
use tuf_client::audit::Severity;
use tuf_client::proxy::DirectHost;

mod audit;
mod download;
mod error;
mod inspect;
mod multi;
mod open;
mod output;
mod proxy;
mod repository;
mod run;

use error::{Failure, USAGE};
use output::Output;

/// After Ctrl-C, what is being written to disk at that moment may take so long to finish.
const LAST_WRITES: Duration = Duration::from_secs(2);

const MAX_WORKERS: usize = 4;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 4 refused as unsafe, 130 ended by Ctrl-C; `run` returns its command's.
Nothing is trusted on first use: give the root file that you got from the repository's operator (--root), or a \
store that was initialised with it (--store).
Credentials for the repository: user:password in the URL, a netrc file (NETRC, or .netrc in the home directory), or \
TUF_AUTHORIZATION, the whole value of that header. They go to the repository's own hosts only, and are not passed on to \
the command of `run`. Proxies: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY (also socks5://) and NO_PROXY.";

/// A TUF client that only ever hands over verified bytes.
#[derive(Debug, Parser)]
#[command(name = "tuf-client", version, after_help = EXIT_CODES)]
struct Args {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The trusted root metadata, from a source you trust [env: TUF_ROOT]
    #[arg(long, global = true, value_name = "FILE")]
    root: Option<PathBuf>,
    /// The repository's base, or a local directory: metadata/ and targets/ are below it. Given again, it names another
    /// copy to fall back on; the store is for the first one and remembers no other [env: TUF_URL, one]
    #[arg(long, global = true, value_name = "URL")]
    url: Vec<String>,
    /// Certificate authorities (PEM) to trust for https besides the system's [env: TUF_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where trusted metadata is kept [env: TUF_STORE] [default: by the root, in the user's data directory]
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Keep downloaded targets here too, and take them from here when the metadata names the same content [env: TUF_CACHE]
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Ask nobody: use what store and cache have, as long as it has not expired
    #[arg(long, global = true)]
    offline: bool,
    /// With --offline: use it even if it has expired. What was withdrawn or replaced since is not noticed
    #[arg(long, global = true, requires = "offline")]
    accept_expired: bool,
    /// Fail if the clock was set back since an earlier refresh, instead of warning once: expiry cannot be judged then
    #[arg(long, global = true)]
    refuse_clock_steps: bool,
    /// Several repositories that must agree, as this map file (TAP 4) says; for refresh, info and download. --store is
    /// then where each of them gets a store [default: by the map's path, in the user's data directory]
    #[arg(long, global = true, value_name = "FILE")]
    map: Option<PathBuf>,
    /// The trusted roots of the map's repositories, each at DIR/NAME/root.json [default: beside the map]
    #[arg(long, global = true, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Refuse metadata with a key under another ID than its SHA-256 (many repositories have such)
    #[arg(long, global = true)]
    strict_key_ids: bool,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more on stderr (twice: still more)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Store the trusted root and the URL, for all later commands
    Init,
    /// Bring the trusted metadata up to date
    Refresh,
    /// List targets
    List {
        /// A path pattern (`*` does not match `/`) or a part of the path
        pattern: Option<String>,
    },
    /// Show what is signed of a target, and by whom
    Info {
        /// The target's path
        target: String,
    },
    /// Download targets, verified; nothing is written unless all of them are what was signed
    Download {
        /// The targets' paths
        #[arg(required = true)]
        targets: Vec<String>,
        /// Where to, below which each target gets its path
        #[arg(long, short, value_name = "DIR", default_value = ".")]
        output: PathBuf,
        /// How many at the same time [default: 8]
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=64))]
        parallel: Option<u16>,
    },
    /// Serve the verified repository to pip and uv on this machine
    Proxy {
        /// Where to listen; port 0 takes a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Run a command behind the verifying proxy, on one pinned snapshot
    Run {
        /// Where the proxy listens; port 0 takes a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// A host that may be reached unverified; may be given several times
        #[arg(long, value_name = "HOST[:PORT]")]
        allow_direct: Vec<DirectHost>,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Say everything one metadata file says (--root FILE checks its signatures)
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Audit a repository; needs no store and writes none
    Audit {
        /// The repository's base, or a local directory
        repository: String,
        /// How to print the report
        #[arg(long, default_value = "text")]
        format: Format,
        /// Exit with 4 if there is a finding this bad: error, warning or note
        #[arg(long, value_name = "SEVERITY", default_value = "warning")]
        fail_on: Severity,
        /// Fetch and check every target (default for a local directory)
        #[arg(long, overrides_with = "no_files")]
        files: bool,
        /// Do not (default for a URL)
        #[arg(long, overrides_with = "files")]
        no_files: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The whole program.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help goes to stdout, usage errors to stderr; a closed pipe is nobody's business.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let color = match args.global.color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    color.write_global();
    // `run` lists at its end what was refused; in between, stderr is its command's.
    output::log(&args.global, if matches!(args.command, Command::Run { .. }) { "error" } else { "warn" });
    let json = args.global.json || matches!(args.command, Command::Audit { format: Format::Json, .. });
    let out = Output::new(json, args.global.quiet);
    let runtime = match runtime(&args.command) {
        Ok(runtime) => runtime,
        Err(error) => return out.failed(&Failure::new(format!("no runtime: {error}"))),
    };
    let code = runtime.block_on(async {
        // `run` passes signals on to its command; all other work is undone by being dropped.
        let interruptible = !matches!(args.command, Command::Run { .. });
        tokio::select! {
            result = dispatch(args, &out) => result.unwrap_or_else(|failure| out.failed(&failure)),
            () = interrupted(), if interruptible => ExitCode::from(130),
        }
    });
    runtime.shutdown_timeout(LAST_WRITES);
    code
}

/// One command is one task, whose requests are answered soonest on its own thread. A proxy has many to answer, but the work
/// is the network's and the disk's: threads for all processors of a large machine would only cost their start.
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    if !matches!(command, Command::Proxy { .. } | Command::Run { .. } | Command::Audit { .. }) {
        return tokio::runtime::Builder::new_current_thread().enable_all().build();
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = processors.min(MAX_WORKERS);
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn dispatch(args: Args, out: &Output) -> Result<ExitCode, Failure> {
    multi::check(&args.global)?;
    if args.global.accept_expired && matches!(args.command, Command::Proxy { .. } | Command::Run { .. }) {
        let why = "--accept-expired is not for proxy and run: an installer cannot be told that what it gets has expired";
        return Err(Failure::new(why).hint("download the targets, and install from there").code(USAGE));
    }
    let global = open::with_environment(args.global);
    if let Some(map) = &global.map {
        return multi::dispatch(&global, map, args.command, out).await;
    }
    match args.command {
        Command::Init => repository::init(&global, out),
        Command::Refresh => repository::refresh(&global, out).await,
        Command::List { pattern } => repository::list(&global, pattern.as_deref(), out).await,
        Command::Info { target } => repository::info(&global, &target, out).await,
        Command::Download { targets, output, parallel } => {
            download::download(&global, &targets, &output, parallel.map(usize::from), out).await
        }
        Command::Proxy { listen } => proxy::proxy(&global, listen, out).await,
        Command::Run { listen, allow_direct, command } => {
            run::run(&global, listen, allow_direct, command, out).await
        }
        Command::Inspect { file } => inspect::inspect(&global, &file, out),
        Command::Audit { repository, fail_on, files, no_files, .. } => {
            let files = (files || no_files).then_some(files);
            audit::audit(&global, &repository, fail_on, files, out).await
        }
    }
}
