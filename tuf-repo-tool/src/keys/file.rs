//! Private keys in PKCS#8 PEM files, as OpenSSL reads and writes them.
//!
//! `NAME.pem` holds the private key, encrypted unless it was made without a passphrase, readable by its owner only.
//! `NAME.pub.json` beside it holds the public half as TUF metadata lists it, so that listing keys asks for no
//! passphrase. Unlocking compares the two: what was listed (and perhaps signed into a root) is what signs.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use pkcs8::{LineEnding, SecretDocument};
use tuf_client::durable::{self, Created, DurableError};
use tuf_core::Key;
use zeroize::Zeroizing;

use super::private::{self, Document, ENCRYPTED_LABEL, PLAIN_LABEL, Secret, SoftwareSigner, Unusable};
use super::public::parse as parse_public;
use super::{Algorithm, KeyError, Passphrase, Passphrases};

/// Far above an RSA key of 8192 bits (6.5 kB); a file that is larger is no key.
const MAX_FILE: usize = 64 * 1024;

/// Generates a key into the new file `path`, and its public half into the `.pub.json` beside it.
///
/// Without a passphrase the file is not encrypted; only its mode 0600 protects it. A missing directory is created
/// with mode 0700.
///
/// # Errors
/// [`KeyError::AlreadyExists`] if either file is there; [`KeyError::CannotGenerate`], [`KeyError::Io`] and
/// [`KeyError::Sign`] otherwise.
pub fn generate(path: &Path, algorithm: Algorithm, passphrase: Option<&Passphrase>) -> Result<Key, KeyError> {
    if algorithm == Algorithm::Rsa3072 {
        return Err(KeyError::CannotGenerate { algorithm, place: "a file" });
    }
    let document = private::generate(algorithm)
        .map_err(|_| KeyError::Sign { key: name_of(path), action: "be generated" })?;
    write(path, &document, passphrase)
}

/// Copies the private key in `source`, unlocked by `passphrases`, into the new file `path`, encrypted with
/// `passphrase` or not at all.
///
/// # Errors
/// Those of [`open`] for `source`, where no `.pub.json` is needed, and of [`generate`] for `path`.
pub fn import(
    source: &Path,
    passphrases: &mut Passphrases,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Key, KeyError> {
    write(path, &unlock(source, passphrases)?, passphrase)
}

/// Writes the private key of the environment variable `variable` into the new file `path`, as [`import`] does.
///
/// # Errors
/// [`KeyError::BadVariable`], those of unlocking, and those of [`generate`].
pub fn import_variable(
    variable: &str,
    passphrases: &mut Passphrases,
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<Key, KeyError> {
    write(path, &super::env::document(variable, passphrases)?, passphrase)
}

/// Writes the public half of the private key in `path`, whose generation was interrupted before that.
///
/// # Errors
/// Those of [`open`], and [`KeyError::AlreadyExists`].
pub fn complete(path: &Path, passphrases: &mut Passphrases) -> Result<Key, KeyError> {
    let (_, key) = signer_of(path, &unlock(path, passphrases)?)?;
    create_public(&public_path(path), &key)?;
    Ok(key)
}

/// Reads and unlocks the private key in `path`.
///
/// # Errors
/// [`KeyError::Permissions`], [`KeyError::WrongPassphrase`], [`KeyError::NoPassphrase`], [`KeyError::Damaged`],
/// [`KeyError::Unsupported`], [`KeyError::PublicMissing`], [`KeyError::PublicMismatch`] or [`KeyError::Io`].
pub fn open(path: &Path, passphrases: &mut Passphrases) -> Result<SoftwareSigner, KeyError> {
    let (secret, key) = signer_of(path, &unlock(path, passphrases)?)?;
    let listed = public(path)?;
    if listed.public() != key.public() {
        return Err(KeyError::PublicMismatch {
            path: public_path(path),
            listed: listed.id().to_string(),
            unlocked: key.id().to_string(),
        });
    }
    // The listed form: its key ID is the one that metadata carries.
    Ok(SoftwareSigner::new(name_of(path), listed, secret))
}

/// The public half of the private key in `path`, from the `.pub.json` beside it.
///
/// # Errors
/// [`KeyError::PublicMissing`], [`KeyError::Damaged`] or [`KeyError::Io`].
pub fn public(path: &Path) -> Result<Key, KeyError> {
    let beside = public_path(path);
    let text = match File::open(&beside) {
        Ok(file) => read(file, &beside)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(KeyError::PublicMissing { path: beside });
        }
        Err(error) => return Err(KeyError::io("read", &beside, error)),
    };
    parse_public(&text).map_err(|reason| KeyError::damaged(&beside, reason))
}

/// Whether the private key in `path` is encrypted.
///
/// # Errors
/// [`KeyError::Permissions`], [`KeyError::Damaged`] or [`KeyError::Io`].
pub fn is_encrypted(path: &Path) -> Result<bool, KeyError> {
    Ok(read_document(path)?.encrypted)
}

/// `NAME.pub.json` for `NAME.pem`.
pub fn public_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.pub.json", name_of(path)))
}

/// `NAME` for `some/where/NAME.pem`.
pub(super) fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_document(path: &Path) -> Result<Document, KeyError> {
    let file = File::open(path).map_err(|error| KeyError::io("read", path, error))?;
    check_private(&file, path)?;
    let text = read(file, path)?;
    Document::from_pem(&text).map_err(|unusable| describe(unusable, path))
}

/// The private key in `path`, as an unencrypted document.
fn unlock(path: &Path, passphrases: &mut Passphrases) -> Result<SecretDocument, KeyError> {
    let Document { encrypted, der } = read_document(path)?;
    if !encrypted {
        return Ok(der);
    }
    let name = name_of(path);
    passphrases.unlock(&name, |passphrase| {
        private::decrypt(&der, passphrase.as_bytes()).map_err(|unusable| describe(unusable, path))
    })
}

fn signer_of(path: &Path, document: &SecretDocument) -> Result<(Secret, Key), KeyError> {
    let secret = Secret::from_pkcs8(document).map_err(|unusable| describe(unusable, path))?;
    let public =
        secret.public().ok_or_else(|| KeyError::damaged(path, "its public half has the wrong length"))?;
    Ok((secret, Key::from_public(&public)))
}

fn describe(unusable: Unusable, path: &Path) -> KeyError {
    match unusable {
        Unusable::Damaged(reason) => KeyError::damaged(path, reason),
        Unusable::Unsupported(reason) => KeyError::Unsupported { path: path.to_owned(), reason },
        Unusable::WrongPassphrase => KeyError::WrongPassphrase { key: name_of(path) },
    }
}

/// Writes a new pair. The private half comes first: a crash between the two leaves a key that `open` refuses, never
/// a public half that nobody can sign for.
fn write(path: &Path, document: &SecretDocument, passphrase: Option<&Passphrase>) -> Result<Key, KeyError> {
    let beside = public_path(path);
    for taken in [path, &beside] {
        if taken.symlink_metadata().is_ok() {
            return Err(KeyError::AlreadyExists { path: taken.to_owned() });
        }
    }
    let (_, key) = signer_of(path, document)?;
    let failed = || KeyError::Sign { key: name_of(path), action: "be encrypted" };
    let pem = match passphrase {
        Some(passphrase) => private::encrypt(document, passphrase.as_bytes())
            .map_err(|_| failed())?
            .to_pem(ENCRYPTED_LABEL, LineEnding::LF),
        None => document.to_pem(PLAIN_LABEL, LineEnding::LF),
    };
    let pem = pem.map_err(|_| failed())?;
    created(path, durable::create_private(path, pem.as_bytes()))?;
    create_public(&public_path(path), &key)?;
    Ok(key)
}

/// Writes a public half, as metadata lists it, into the new file `path`.
///
/// # Errors
/// [`KeyError::AlreadyExists`], [`KeyError::Io`].
pub fn create_public(path: &Path, key: &Key) -> Result<(), KeyError> {
    let listed = key.to_json().map_err(|error| KeyError::damaged(path, error.to_string()))?;
    created(path, durable::create_new(path, format!("{listed}\n").as_bytes()))
}

fn created(path: &Path, outcome: Result<Created, DurableError>) -> Result<(), KeyError> {
    match outcome {
        Ok(Created::New) => Ok(()),
        Ok(_) => Err(KeyError::AlreadyExists { path: path.to_owned() }),
        Err(error) => Err(KeyError::io("create", path, error.into_io())),
    }
}

/// Asks the open file, not its name, so that nothing can be swapped in between.
#[cfg(unix)]
fn check_private(file: &File, path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|error| KeyError::io("read", path, error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::Permissions { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_private(_: &File, _: &Path) -> Result<(), KeyError> {
    Ok(())
}

/// The whole text of a small file, in one buffer that is wiped and never grows.
pub(super) fn read(file: File, path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE));
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| KeyError::io("read", path, error))?;
    if bytes.len() == MAX_FILE {
        return Err(KeyError::damaged(path, format!("larger than {MAX_FILE} bytes")));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(KeyError::damaged(path, "not text")),
    }
}
