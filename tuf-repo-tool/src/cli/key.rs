//! `tuf-repo key`.

mod show;

use std::path::{Path, PathBuf};

use tuf_client::clock;
use tuf_core::Key;
use tuf_repo_tool::keys::{self, Algorithm, KeyError, KeyUri, Passphrase, Passphrases, Pkcs11Uri};
use tuf_repo_tool::log::{self, Did, Entry};
use tuf_repo_tool::{Config, Error};

use super::log::Reason;
use super::{Failure, Output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Generate a key: into keys/NAME.pem, into another file, or on a token; with --out no repository is needed
    Generate {
        /// The key's name, or file:PATH, or pkcs11:token=LABEL;object=NAME
        #[arg(value_name = "NAME|URI")]
        name: String,
        /// ed25519, ecdsa-p256, ecdsa-p384, or on a token rsa-3072
        #[arg(long, value_name = "TYPE", default_value = "ed25519")]
        key_type: String,
        /// Write NAME.pem and NAME.pub.json into this directory; of a key on a token NAME.pub.json only
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Leave the key unencrypted: only its mode 0600 protects it then
        #[arg(long)]
        no_passphrase: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// Take a private key into keys/NAME.pem, or with --public the public half of any key into keys/NAME.pub.json
    Import {
        /// A PKCS#8 PEM file or env:VARIABLE; with --public any key URI, or the file of a public key
        source: String,
        /// The name it gets
        #[arg(long)]
        name: String,
        /// Take the public half only: pub:keys/NAME.pub.json stands for a key that is elsewhere
        #[arg(long)]
        public: bool,
        /// Write NAME.pem or NAME.pub.json into this directory, which is no repository's
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Leave the key unencrypted: only its mode 0600 protects it then
        #[arg(long, conflicts_with = "public")]
        no_passphrase: bool,
        #[command(flatten)]
        reason: Reason,
    },
    /// List the keys in keys/ and in tuf-repo.toml, and which roles use them; or what a token or an agent holds
    List {
        /// pkcs11:… or ssh-agent: lists the keys there, as URIs to paste
        #[arg(value_name = "pkcs11:…|ssh-agent:")]
        place: Option<String>,
    },
    /// Show one key: its ID, its fingerprints, and where it is used
    Show {
        /// The key's name, or its URI
        #[arg(value_name = "NAME|URI")]
        name: String,
    },
}

pub(crate) fn run(command: Command, repo: &Path, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Generate { name, key_type, out, no_passphrase, reason } => {
            let uri = match &out {
                Some(out) if !KeyUri::is_uri(&name) => KeyUri::File(file_in(out, &name)?),
                _ => uri(&name, repo)?,
            };
            let key = generate(&uri, repo, &key_type, out.as_deref(), no_passphrase, output)?;
            note(Did::KeyGenerate, &uri.name(), &key, out.is_none().then_some(repo), &reason)
        }
        Command::Import { source, name, public, out, no_passphrase, reason } => {
            let path = match &out {
                Some(out) => file_in(out, &name)?,
                None => file_of(&name, repo)?,
            };
            let key = match public {
                true => {
                    if out.is_none() {
                        output.say(&format!("use it as pub:keys/{name}.pub.json"));
                    }
                    import_public(&source, &keys::file::public_path(&path), repo, output)
                }
                false => import(&source, &path, &name, no_passphrase, output),
            }?;
            note(Did::KeyImport, &name, &key, out.is_none().then_some(repo), &reason)
        }
        Command::List { place: None } => show::list(repo, output),
        Command::List { place: Some(place) } => match place.split_once(':') {
            Some(("ssh-agent", "")) => show::list_agent(output),
            Some(("pkcs11", rest)) => {
                let uri = Pkcs11Uri::parse(rest)
                    .map_err(|reason| Error::from(KeyError::BadUri { uri: place.clone(), reason }))?;
                show::list_token(&uri, output)
            }
            _ => Err(Failure::Message(
                format!("only a token or an agent can be listed, not {place:?}"),
                Some(
                    "write pkcs11:?module-path=/PATH, pkcs11:token=LABEL?module-path=/PATH, or ssh-agent:"
                        .to_owned(),
                ),
            )),
        },
        Command::Show { name } => show::show(&uri(&name, repo)?, repo, output),
    }
}

/// One line in the log of the repository that got the key, if it is one.
fn note(did: Did, name: &str, key: &Key, repo: Option<&Path>, reason: &Reason) -> Result<(), Failure> {
    let Some(repo) = repo.filter(|repo| Config::path(repo).exists()) else { return Ok(()) };
    let entry = Entry::of_key(did, name, key).because(reason.text());
    log::append_at(repo, clock::now(), &entry)?;
    Ok(())
}

fn generate(
    uri: &KeyUri,
    repo: &Path,
    key_type: &str,
    out: Option<&Path>,
    no_passphrase: bool,
    output: &Output,
) -> Result<Key, Failure> {
    let algorithm: Algorithm = key_type.parse().map_err(Error::from)?;
    let mut passphrases = Passphrases::from_environment();
    let (uri, key) = match uri {
        KeyUri::File(path) => {
            let passphrase = choose(no_passphrase, &uri.name(), &mut passphrases)?;
            let path = if out.is_some() { path.clone() } else { repo.join(path) };
            (uri.clone(), keys::file::generate(&path, algorithm, passphrase.as_ref()).map_err(Error::from)?)
        }
        KeyUri::Pkcs11(token) => {
            let (made, key) =
                keys::pkcs11::generate(token, repo, algorithm, &passphrases).map_err(Error::from)?;
            if let Some(out) = out {
                let path = keys::file::public_path(&file_in(out, &uri.name())?);
                keys::file::create_public(&path, &key).map_err(Error::from)?;
            }
            (KeyUri::Pkcs11(made), key)
        }
        _ => {
            return Err(Failure::Message(
                format!("a key is generated in a file or on a token, not at {uri}"),
                Some(
                    "make it with the tool it belongs to (ssh-keygen, the KMS), then name it by its URI"
                        .to_owned(),
                ),
            ));
        }
    };
    output.result(
        &show::describe(&uri, &key, None, &keys::usage::PublishedRoots::default(), repo),
        &format!("{uri}: {} key {}", key.scheme(), key.id()),
    );
    Ok(key)
}

fn import(
    source: &str,
    path: &Path,
    name: &str,
    no_passphrase: bool,
    output: &Output,
) -> Result<Key, Failure> {
    let mut passphrases = Passphrases::from_environment();
    let passphrase = choose(no_passphrase, name, &mut passphrases)?;
    let file = match source.parse() {
        Ok(KeyUri::Env(variable)) => {
            let made = keys::file::import_variable(&variable, &mut passphrases, path, passphrase.as_ref());
            return imported(made, path, output);
        }
        Ok(KeyUri::File(file)) => file,
        Ok(other) => {
            return Err(Failure::Message(
                format!("the private key at {other} cannot be read, only used"),
                Some(
                    "name it by its URI in tuf-repo.toml, or import its public half with --public".to_owned(),
                ),
            ));
        }
        Err(error) if KeyUri::is_uri(source) => return Err(Error::from(error).into()),
        Err(_) => source.into(),
    };
    imported(keys::file::import(&file, &mut passphrases, path, passphrase.as_ref()), path, output)
}

fn import_public(source: &str, path: &Path, repo: &Path, output: &Output) -> Result<Key, Failure> {
    let key = public_half(source, repo)?;
    imported(keys::file::create_public(path, &key).map(|()| key), path, output)
}

/// The public half of the key at a URI, or in a file. What cannot be had without the private half is unlocked.
pub(super) fn public_half(source: &str, repo: &Path) -> Result<Key, Failure> {
    if !KeyUri::is_uri(source) {
        return Ok(keys::public::read(Path::new(source)).map_err(Error::from)?);
    }
    let uri: KeyUri = source.parse()?;
    let key = match keys::public(&uri, repo) {
        Err(KeyError::PublicLocked { .. }) => {
            let signer = keys::open(&uri, repo, &mut Passphrases::from_environment())?;
            Ok(signer.public().clone())
        }
        public => public,
    };
    Ok(key?)
}

fn imported(made: Result<Key, KeyError>, path: &Path, output: &Output) -> Result<Key, Failure> {
    let key = made.map_err(Error::from)?;
    let text = format!("{}: {} key {}", path.display(), key.scheme(), key.id());
    output.result(
        &serde_json::json!({"file": path, "keyid": key.id().as_str(), "scheme": key.scheme()}),
        &text,
    );
    Ok(key)
}

fn choose(
    no_passphrase: bool,
    name: &str,
    passphrases: &mut Passphrases,
) -> Result<Option<Passphrase>, Failure> {
    if no_passphrase {
        return Ok(None);
    }
    Ok(Some(passphrases.choose(name).map_err(Error::from)?))
}

/// What the command line calls a key: its URI, or the name of one in keys/.
fn uri(name: &str, repo: &Path) -> Result<KeyUri, Failure> {
    if KeyUri::is_uri(name) {
        return Ok(name.parse().map_err(|error: KeyError| Error::from(error))?);
    }
    let path = file_of(name, repo)?;
    let only_public = !path.exists() && keys::file::public_path(&path).exists();
    let uri = if only_public { format!("pub:keys/{name}.pub.json") } else { format!("file:keys/{name}.pem") };
    Ok(uri.parse().map_err(|error: KeyError| Error::from(error))?)
}

/// The file of a key in keys/, which only a repository has.
fn file_of(name: &str, repo: &Path) -> Result<PathBuf, Failure> {
    Config::load(repo)?;
    file_in(&repo.join("keys"), name)
}

/// The file of a key in a directory.
fn file_in(directory: &Path, name: &str) -> Result<PathBuf, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        let message = format!("a key's name has letters, digits, `-`, `_` and `.` only, not {name:?}");
        return Err(Failure::Message(message, None));
    }
    Ok(directory.join(format!("{name}.pem")))
}
