//! `tuf-repo key`.

use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use tuf_core::Key;
use tuf_repo_tool::keys::{self, Algorithm, KeyError, KeyUri, Passphrases};
use tuf_repo_tool::{Config, Error};

use super::{Failure, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Generate a key into keys/NAME.pem
    Generate {
        /// The key's name
        name: String,
        /// ed25519, ecdsa-p256 or ecdsa-p384
        #[arg(long, value_name = "TYPE", default_value = "ed25519")]
        key_type: String,
        /// Leave the key unencrypted: only its mode 0600 protects it then
        #[arg(long)]
        no_passphrase: bool,
    },
    /// List the keys in keys/, and which roles use them
    List,
    /// Show one key: its ID and its public half
    Show {
        /// The key's name
        name: String,
    },
}

pub(crate) fn run(command: Command, repo: &Path, output: &Output) -> Result<(), Failure> {
    let config = Config::load(repo)?;
    match command {
        Command::Generate { name, key_type, no_passphrase } => {
            let algorithm: Algorithm = key_type.parse().map_err(Error::from)?;
            let path = uri(&name)?.path(repo);
            let passphrase = match no_passphrase {
                true => None,
                false => Some(Passphrases::from_environment().choose(&name).map_err(Error::from)?),
            };
            let key = keys::file::generate(&path, algorithm, passphrase.as_ref()).map_err(Error::from)?;
            let text = format!("{}: {} key {}", path.display(), key.keytype(), key.id());
            output.result(&describe(&name, &key, &config), &text);
        }
        Command::List => {
            let mut table = Table::new();
            table.load_style(NOTHING).set_header(["KEY", "TYPE", "ID", "ENCRYPTED", "ROLES"]);
            let mut documents = Vec::new();
            for name in names(repo)? {
                let uri = uri(&name)?;
                let key = keys::public(&uri, repo).map_err(Error::from)?;
                let encrypted = keys::file::is_encrypted(&uri.path(repo)).map_err(Error::from)?;
                let encrypted = if encrypted { "yes" } else { "no" };
                let roles = roles(&name, &config).join(" ");
                table.add_row([name.as_str(), key.scheme(), &key.id().short(), encrypted, &roles]);
                documents.push(describe(&name, &key, &config));
            }
            output.result(&documents, &table.to_string());
        }
        Command::Show { name } => {
            let key = keys::public(&uri(&name)?, repo).map_err(Error::from)?;
            let json = key.to_json().map_err(|error| Failure::Message(error.to_string(), None))?;
            let text = format!(
                "key     {name}\nid      {}\nscheme  {}\nroles   {}\npublic  {}",
                key.id(),
                key.scheme(),
                roles(&name, &config).join(" "),
                json.pointer("/keyval/public").and_then(|value| value.as_str()).unwrap_or_default().trim()
            );
            output.result(&describe(&name, &key, &config), &text);
        }
    }
    Ok(())
}

fn uri(name: &str) -> Result<KeyUri, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        let message = format!("a key's name has letters, digits, `-`, `_` and `.` only, not {name:?}");
        return Err(Failure::Message(message, None));
    }
    Ok(format!("file:keys/{name}.pem").parse().map_err(|error: KeyError| Error::from(error))?)
}

fn names(repo: &Path) -> Result<Vec<String>, Failure> {
    let directory = repo.join("keys");
    let entries = std::fs::read_dir(&directory)
        .map_err(|error| Failure::Message(format!("cannot read {}: {error}", directory.display()), None))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".pem").map(str::to_owned))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

fn roles(name: &str, config: &Config) -> Vec<String> {
    let uses = |keys: &[KeyUri]| keys.iter().any(|key| key.name() == name);
    config.roles.iter().filter(|(_, role)| uses(&role.keys)).map(|(kind, _)| kind.to_string()).collect()
}

fn describe(name: &str, key: &Key, config: &Config) -> serde_json::Value {
    serde_json::json!({
        "name": name,
        "keyid": key.id().as_str(),
        "keytype": key.keytype(),
        "scheme": key.scheme(),
        "roles": roles(name, config),
        "key": key.to_json().unwrap_or_default(),
    })
}
