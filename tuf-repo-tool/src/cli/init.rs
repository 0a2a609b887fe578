//! `tuf-repo init`.

use std::path::PathBuf;

use tuf_client::simple::Layout;
use tuf_core::bins::HashBins;
use tuf_repo_tool::keys::{Algorithm, Passphrases};
use tuf_repo_tool::state::{StateUrl, StateUrlError};
use tuf_repo_tool::{InitOptions, OfflineKeys, Preset, init, init_offline};
use url::Url;

use super::log::Reason;
use super::{Failure, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the new repository
    directory: PathBuf,
    /// Its roles: those of PEP 458 with hash bins, the four of TUF, or those of PEP 458 with root, targets and bins signed
    /// elsewhere
    #[arg(long, default_value = "mirror")]
    preset: PresetName,
    /// Which files are targets: all (pep458), or the pages, which name the files by hash (index)
    #[arg(long, default_value = "pep458")]
    layout: LayoutName,
    /// Where published files are, s3://BUCKET/PREFIX; the server and its credentials are in the usual variables AWS_… [default:
    /// the directory public/]
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    /// The database that several machines share, postgres://USER@HOST/DATABASE; with ?repository=NAME if several repositories
    /// share it [default: a file in state/]
    #[arg(long, value_name = "URL", value_parser = state_url)]
    state: Option<StateUrl>,
    /// Where clients get what is published: asked after each publish
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
    /// The number of hash bins, a power of two [default: as many as the first publish needs]
    #[arg(long, value_name = "COUNT", value_parser = bin_count)]
    bins: Option<u32>,
    /// What kind of keys to generate: ed25519, ecdsa-p256, ecdsa-p384
    #[arg(long, value_name = "TYPE", default_value = "ed25519")]
    key_type: String,
    /// Where the keys of root, targets and bins are written with offline-root; take them away afterwards
    #[arg(long, value_name = "DIR", required_if_eq("preset", "offline-root"))]
    offline_keys: Option<PathBuf>,
    /// How many keys root has with offline-root
    #[arg(long, value_name = "N", default_value_t = 3, requires = "offline_keys")]
    root_keys: u32,
    /// How many of them must sign
    #[arg(long, value_name = "N", default_value_t = 2, requires = "offline_keys")]
    root_threshold: u32,
    /// Leave the keys unencrypted: for trying out only
    #[arg(long)]
    no_passphrase: bool,
    #[command(flatten)]
    reason: Reason,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PresetName {
    Mirror,
    Plain,
    OfflineRoot,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LayoutName {
    Pep458,
    Index,
}

fn bin_count(text: &str) -> Result<u32, String> {
    let count: u32 = text.parse().map_err(|_| "not a number".to_owned())?;
    HashBins::new(count).map_err(|error| error.to_string())?;
    Ok(count)
}

/// A URL without a password: every user of the machine can see the arguments of a command.
pub(super) fn state_url(text: &str) -> Result<StateUrl, String> {
    let url: StateUrl = text.parse().map_err(|error: StateUrlError| error.to_string())?;
    match url.has_password() {
        false => Ok(url),
        true => Err("others can see a password here: put it into ~/.pgpass or PGPASSWORD".to_owned()),
    }
}

pub(crate) async fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let algorithm: Algorithm = args.key_type.parse().map_err(tuf_repo_tool::Error::from)?;
    let mut options = InitOptions::default();
    options.preset = match args.preset {
        PresetName::Mirror | PresetName::OfflineRoot => Preset::Mirror,
        PresetName::Plain => Preset::Plain,
    };
    options.layout = match args.layout {
        LayoutName::Pep458 => Layout::Pep458,
        LayoutName::Index => Layout::Index,
    };
    options.storage = args.storage.clone();
    options.state = args.state.clone();
    options.public_url = args.public_url.clone();
    options.bins = args.bins;
    options.algorithm = algorithm;
    options.encrypted = !args.no_passphrase;
    options.why = args.reason.text().map(str::to_owned);
    let mut passphrases = Passphrases::from_environment();
    let repository = match (args.preset, &args.offline_keys) {
        (PresetName::OfflineRoot, Some(keys)) => {
            let mut offline = OfflineKeys::new(keys.clone());
            offline.root_keys = args.root_keys;
            offline.root_threshold = args.root_threshold;
            let repository = init_offline(&args.directory, &options, &offline, &mut passphrases).await?;
            output.say(&format!(
                "{} holds the keys of root, targets and bins: give each to its holder, and leave none of them here",
                keys.display()
            ));
            repository
        }
        (_, Some(_)) => return Err(Failure::Usage("--offline-keys is for --preset offline-root")),
        (_, None) => init(&args.directory, &options, &mut passphrases).await?,
    };
    let root = repository.directory().join("root.json");
    let directory = repository.directory().display();
    output.result(
        &serde_json::json!({"repository": repository.directory(), "root": root}),
        &format!(
            "{directory} is a new repository; {} is its trust anchor: hand it out.\n\
             Next: tuf-repo --repo {directory} mirror add PROJECT…",
            root.display()
        ),
    );
    Ok(())
}
