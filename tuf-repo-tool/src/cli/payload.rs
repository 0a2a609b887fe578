//! `tuf-repo payload` and `tuf-repo add-signature`: signing by whatever signs bytes.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tuf_client::durable;
use tuf_core::{Envelope, Key, KeyId, Limits, RoleName};
use tuf_repo_tool::keys::public;
use tuf_repo_tool::{Error, Repository, detached};

use super::{Failure, Output};

/// Far above any file of metadata.
const MAX_FILE: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct PayloadArgs {
    /// A metadata file, or a role of this repository, whose newest published file is taken
    #[arg(value_name = "FILE|ROLE")]
    file: String,
    /// Write the bytes into a new file instead of standard output
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SignatureArgs {
    /// The metadata file that gets the signature
    file: PathBuf,
    /// The key: its ID, or a file with its public half (TUF key object or PEM)
    #[arg(long, value_name = "KEYID|FILE")]
    key: String,
    /// The file of the signature; - reads standard input
    #[arg(long, value_name = "FILE")]
    signature: String,
    /// How the signature is written; left out, the form that verifies is found
    #[arg(long, value_name = "FORM")]
    format: Option<FormatName>,
    /// The root, or the delegating targets file, that says who may sign; a root says it of itself
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// The role, if the file's name does not say it
    #[arg(long)]
    role: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    Hex,
    Base64,
    Pem,
    Raw,
}

/// Prints the bytes that are signed.
pub(crate) fn payload(args: &PayloadArgs, repo: &Path) -> Result<(), Failure> {
    let envelope = match Path::new(&args.file) {
        path if path.exists() => parse(path)?,
        _ => newest(&args.file, repo)?,
    };
    let bytes = envelope.signed().as_bytes();
    match &args.output {
        Some(output) => match durable::create_new(output, bytes)? {
            durable::Created::Different => {
                Err(Failure::Message(format!("{} is already there with other bytes", output.display()), None))
            }
            _ => Ok(()),
        },
        None => {
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
            written
                .map_err(|error| Failure::Message(format!("cannot write to standard output: {error}"), None))
        }
    }
}

/// Puts a signature into a file, after checking it.
pub(crate) fn add_signature(args: &SignatureArgs, repo: &Path, output: &Output) -> Result<(), Failure> {
    let limits = Limits::default();
    let envelope = parse(&args.file)?;
    let (keyid, key) = signer(args, &envelope, repo, &limits)?;
    let text = match args.signature.as_str() {
        "-" => read(std::io::stdin().lock(), Path::new("standard input"))?,
        path => open(Path::new(path))?,
    };
    let format = match args.format {
        None => detached::Format::Auto,
        Some(FormatName::Hex) => detached::Format::Hex,
        Some(FormatName::Base64) => detached::Format::Base64,
        Some(FormatName::Pem) => detached::Format::Pem,
        Some(FormatName::Raw) => detached::Format::Raw,
    };
    let refused = |error| Failure::from(Error::Detached(error));
    let signature = detached::decode(&key, envelope.signed().as_bytes(), &text, format).map_err(refused)?;
    let signed = detached::attach(&envelope, &limits, &keyid, &key, &signature).map_err(refused)?;
    durable::write_atomic(&args.file, &signed)?;
    let count = parse(&args.file)?.signatures().len();
    let text = format!("{}: signature by key {keyid} added, {count} in all", args.file.display());
    output.result(
        &serde_json::json!({"file": args.file, "keyid": keyid.as_str(), "scheme": key.scheme(), "signatures": count}),
        &text,
    );
    Ok(())
}

/// The key that is said to have signed, and its ID in the file that says who may.
fn signer(
    args: &SignatureArgs,
    envelope: &Envelope,
    repo: &Path,
    limits: &Limits,
) -> Result<(KeyId, Key), Failure> {
    let file = Path::new(&args.key);
    let given = if file.is_file() { Some(public::read(file).map_err(Error::from)?) } else { None };
    let kind = envelope.claims().kind.unwrap_or_default();
    let trusted_root = repo.join("root.json");
    let authority = match &args.authority {
        Some(path) => parse(path)?,
        None => match given {
            // Whoever names the key itself says by that that it may sign.
            Some(key) => return Ok((key.id(), key)),
            None if kind == "root" => envelope.clone(),
            None if trusted_root.exists() => parse(&trusted_root)?,
            None => {
                return Err(Failure::Message(
                    format!("nothing says which key has the ID {:?}", args.key),
                    Some("give --authority FILE (a root, or the delegating role), or --key FILE with the public half".to_owned()),
                ));
            }
        },
    };
    let role = role_of(args, &kind)?;
    let keys = detached::authorised(&authority, &role, limits).map_err(Error::Detached)?;
    let found = match &given {
        Some(key) => {
            keys.iter().find(|(_, listed)| listed.public().is_some() && listed.public() == key.public())
        }
        None => keys.iter().find(|(id, _)| id.as_str() == args.key),
    };
    found.map(|(id, key)| (id.clone(), key.clone())).ok_or_else(|| {
        let listed: Vec<&str> = keys.keys().map(KeyId::as_str).collect();
        Failure::Message(
            format!("key {} may not sign for {role}; these may: {}", args.key, listed.join(", ")),
            Some("--key takes a whole key ID, or a file with the public half".to_owned()),
        )
    })
}

/// The role of a file: what its type says, or for targets its name.
fn role_of(args: &SignatureArgs, kind: &str) -> Result<RoleName, Failure> {
    let stem = args.file.file_stem().unwrap_or_default().to_string_lossy();
    let name = match (&args.role, kind) {
        (Some(role), _) => role.as_str(),
        (None, "targets") => match stem.split_once('.') {
            Some((version, name)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &stem,
        },
        (None, kind) => kind,
    };
    RoleName::new(name).map_err(|error| Failure::Message(error.to_string(), None))
}

/// The newest published file of a role.
fn newest(role: &str, repo: &Path) -> Result<Envelope, Failure> {
    let missing = |()| {
        Failure::Message(
            format!("{role:?} is neither a file nor a role that {} has published", repo.display()),
            Some("--repo DIR or TUF_REPO says where the repository is".to_owned()),
        )
    };
    let name = RoleName::new(role).map_err(|_| missing(()))?.file_name(None);
    let repository = match Repository::open(repo) {
        Err(Error::NotARepository { .. }) => return Err(missing(())),
        opened => opened?,
    };
    let version = |path: &str| match path.strip_prefix("metadata/")?.strip_suffix(&name)? {
        "" => Some(0),
        version => version.strip_suffix('.')?.parse::<u64>().ok(),
    };
    let storage = repository.storage();
    let files = storage.list("metadata").map_err(Error::from)?.into_iter();
    let newest = files.filter_map(|file| version(&file.path).map(|version| (version, file.path))).max();
    let path = newest.map(|(_, path)| path).ok_or(()).map_err(missing)?;
    let bytes = storage.read(&path, MAX_FILE).map_err(Error::from)?.ok_or(()).map_err(missing)?;
    parse_bytes(bytes, &format!("{path} in {}", storage.url()))
}

fn parse(path: &Path) -> Result<Envelope, Failure> {
    parse_bytes(open(path)?, &path.display().to_string())
}

fn parse_bytes(bytes: Vec<u8>, name: &str) -> Result<Envelope, Failure> {
    Envelope::parse(bytes, &Limits::default()).map_err(|error| {
        Failure::Message(format!("{name} is no TUF metadata: {}", tuf_client::chain(&error)), None)
    })
}

fn open(path: &Path) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error.to_string()))?;
    read(file, path)
}

fn read(from: impl Read, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error.to_string()))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length < MAX_FILE => Ok(bytes),
        _ => Err(unreadable(path, &format!("it is larger than {MAX_FILE} bytes"))),
    }
}

fn unreadable(path: &Path, reason: &str) -> Failure {
    Failure::Message(format!("cannot read {}: {reason}", path.display()), None)
}
