//! `tuf-repo quickstart`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use tuf_repo_tool::keys::Passphrases;
use tuf_repo_tool::publish::{Options, renew};
use tuf_repo_tool::quickstart::{prepare, verify};
use url::Url;

use super::log::Reason;
use super::mirror::{extend, names, run_sync};
use super::output::size;
use super::{Failure, Output, publish, serve};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the mirror; it is made if it is not there
    directory: PathBuf,
    /// Projects to mirror
    #[arg(required = true, value_name = "PROJECT")]
    projects: Vec<String>,
    /// Only the newest N final releases of each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    latest: u32,
    /// The upstream index [default: the one that pip here uses]
    #[arg(long, value_name = "URL")]
    upstream: Option<Url>,
    /// Stop after verifying, do not serve
    #[arg(long)]
    once: bool,
    /// Where to serve
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    listen: std::net::SocketAddr,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let projects = names(&args.projects)?;
    let latest = usize::try_from(args.latest).ok();
    let mut passphrases = Passphrases::from_environment();
    let mut repository =
        prepare(&args.directory, &projects, latest, args.upstream.as_ref(), &mut passphrases).await?;
    let (mut document, failed) = run_sync(&mut repository, None, output).await?;
    let (outcome, unserved) = publish::publish_staged(&repository, Reason::default()).await?;
    output.say(&publish::text(&outcome, "nothing to publish"));
    extend(&mut document, publish::document(&outcome));
    publish::report(unserved, output)?;
    // One that slept for days has expired.
    renew(&repository, &mut passphrases, &Options::default()).await?;
    let verified = verify(&repository).await?;
    output.say(&format!(
        "verified as a new client: {} targets, {}, every byte",
        verified.targets,
        size(verified.bytes)
    ));
    let figures = json!({ "targets": verified.targets, "bytes": verified.bytes });
    extend(&mut document, json!({ "verified": figures }));
    if failed {
        output.result(&document, "");
        return Err(Failure::Reported(ExitCode::FAILURE));
    }
    let project = projects.first().map(ToString::to_string).unwrap_or_default();
    let elsewhere = repository.storage().local().is_none();
    let url = match &repository.config.public_url {
        Some(url) => url.to_string(),
        None if elsewhere => "URL".to_owned(),
        None => format!("http://{}", args.listen),
    };
    let next = next_command(&args.directory, &project, &url);
    extend(&mut document, json!({ "next": next }));
    if elsewhere {
        let storage = repository.storage().url();
        output.result(
            &document,
            &format!("\nPublished in {storage}, for any web server in front of it\nInstall:     {next}"),
        );
        return Ok(());
    }
    if args.once {
        let directory = args.directory.display();
        output.result(
            &document,
            &format!("\nServe it:    tuf-repo --repo {directory} serve --renew\nInstall:     {next}"),
        );
        return Ok(());
    }
    let listener = serve::listen(args.listen).await?;
    output.result(&document, &format!("\nInstall from it, in another terminal:\n    {next}\n"));
    serve::keep_serving(&repository, listener, true, output).await
}

/// What a person types next.
fn next_command(directory: &Path, project: &str, url: &str) -> String {
    let root = directory.join("root.json");
    format!("{} --root {} --url {url} run -- pip install {project}", client(), root.display())
}

/// How to call the client from here: by its name, by its path, or through cargo.
fn client() -> String {
    let name = format!("tuf-client{}", std::env::consts::EXE_SUFFIX);
    let path = tuf_client::env::var("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|directory| directory.join(&name).is_file()) {
        return "tuf-client".to_owned();
    }
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name(&name));
    match beside.filter(|beside| beside.is_file()) {
        Some(beside) => beside.display().to_string(),
        None => "cargo run --release --bin tuf-client --".to_owned(),
    }
}
