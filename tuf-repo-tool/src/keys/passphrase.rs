//! Where passphrases come from.
//!
//! In order: `TUF_PASSPHRASE_<KEY>` for one key, then what already worked in this run, `TUF_PASSPHRASE`, the first
//! line of the file that `TUF_PASSPHRASE_FILE` names, and last a prompt, if there is a terminal. A passphrase given
//! for one key by name is the only one tried for it.
//!
//! A token counts wrong PINs and locks itself: a PIN is the value of `TUF_PASSPHRASE_<KEY>` or `TUF_PASSPHRASE_<TOKEN>`,
//! the first line of the file that the URI's `pin-source` names, or what a person types; nothing else is tried.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::{KeyError, file};

const FOR_ALL: &str = "TUF_PASSPHRASE";
const IN_FILE: &str = "TUF_PASSPHRASE_FILE";

/// How often a person may mistype one passphrase.
const PROMPTS: usize = 3;

/// A passphrase. Wiped when dropped, never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase; `None` if it is empty, which no key is encrypted with.
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        (!text.is_empty()).then_some(Self(text))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Passphrase(..)")
    }
}

/// Someone who can be asked.
pub trait Prompt: Send {
    /// Asks for a passphrase without echo, twice if `confirm`. `None` if there is nobody to ask.
    ///
    /// # Errors
    /// The terminal failed, or the person gave up.
    fn ask(&self, question: &str, confirm: bool) -> io::Result<Option<Passphrase>>;
}

/// Asks on the terminal, if standard input and standard error are one.
#[derive(Clone, Copy, Debug)]
struct Terminal;

impl Prompt for Terminal {
    fn ask(&self, question: &str, confirm: bool) -> io::Result<Option<Passphrase>> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(None);
        }
        let mut prompt = dialoguer::Password::new().with_prompt(question).report(false);
        if confirm {
            prompt = prompt.with_confirmation("Once more", "The two differ; once again from the start");
        }
        prompt.interact().map(Passphrase::new).map_err(|dialoguer::Error::IO(error)| error)
    }
}

/// Nobody can be asked.
#[derive(Clone, Copy, Debug)]
struct Nobody;

impl Prompt for Nobody {
    fn ask(&self, _: &str, _: bool) -> io::Result<Option<Passphrase>> {
        Ok(None)
    }
}

type Lookup = Box<dyn Fn(&str) -> Option<String> + Send>;

/// The passphrases of one run: finds them, and remembers those that worked.
pub struct Passphrases {
    lookup: Lookup,
    prompt: Box<dyn Prompt>,
    known: Vec<Passphrase>,
    /// By token.
    pins: Mutex<BTreeMap<String, Pins>>,
}

/// What this run knows of a token's PIN.
#[derive(Default)]
struct Pins {
    right: Option<Passphrase>,
    wrong: Vec<Passphrase>,
}

impl fmt::Debug for Passphrases {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Passphrases").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Passphrases {
    /// Looks in the environment, then asks on the terminal.
    pub fn from_environment() -> Self {
        Self::new(tuf_client::env::var, Terminal)
    }

    /// Looks where `lookup` says, then asks `prompt`.
    pub fn new(
        lookup: impl Fn(&str) -> Option<String> + Send + 'static,
        prompt: impl Prompt + 'static,
    ) -> Self {
        Self { lookup: Box::new(lookup), prompt: Box::new(prompt), known: Vec::new(), pins: Mutex::default() }
    }

    /// From now on nobody is asked: whoever could answer has gone.
    pub fn ask_nobody(&mut self) {
        self.prompt = Box::new(Nobody);
    }

    /// The passphrase to encrypt a new key with; a person is asked twice.
    ///
    /// # Errors
    /// [`KeyError::NoPassphrase`] if there is none and nobody to ask, [`KeyError::PassphraseFile`], [`KeyError::Io`].
    pub fn choose(&mut self, key: &str) -> Result<Passphrase, KeyError> {
        let given = match self.for_key(key) {
            Some(passphrase) => Some(passphrase),
            None => match self.for_all()? {
                Some(passphrase) => Some(passphrase),
                // One ceremony, one passphrase: whoever wants several names them by key.
                None => self.known.last().cloned(),
            },
        };
        let passphrase = match given {
            Some(passphrase) => passphrase,
            None => self
                .ask(key, &format!("New passphrase for key {key}"), true)?
                .ok_or_else(|| self.none_for(key))?,
        };
        self.remember(&passphrase);
        Ok(passphrase)
    }

    /// Tries what there is until `attempt` does not answer [`KeyError::WrongPassphrase`].
    pub(super) fn unlock<T>(
        &mut self,
        key: &str,
        mut attempt: impl FnMut(&Passphrase) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        if let Some(passphrase) = self.for_key(key) {
            return attempt(&passphrase).inspect(|_| self.remember(&passphrase));
        }
        let mut wrong = None;
        let mut try_one = |passphrase: &Passphrase| match attempt(passphrase) {
            Ok(unlocked) => Some(Ok(unlocked)),
            Err(error @ KeyError::WrongPassphrase { .. }) => {
                wrong = Some(error);
                None
            }
            Err(error) => Some(Err(error)),
        };
        // Each try costs a scrypt, so that none is made twice.
        if let Some(result) = self.known.iter().find_map(&mut try_one) {
            return result;
        }
        if let Some(passphrase) = self.for_all()?.filter(|passphrase| !self.known.contains(passphrase))
            && let Some(result) = try_one(&passphrase)
        {
            return result.inspect(|_| self.remember(&passphrase));
        }
        for _ in 0..PROMPTS {
            let Some(passphrase) = self.ask(key, &format!("Passphrase for key {key}"), false)? else {
                break;
            };
            if let Some(result) = try_one(&passphrase) {
                return result.inspect(|_| self.remember(&passphrase));
            }
        }
        Err(wrong.unwrap_or_else(|| self.none_for(key)))
    }

    /// The PIN of a token: the one that is given is tried once in a run; only a person may try again. What a person typed
    /// is known from then on.
    pub(super) fn pin<T>(
        &self,
        key: &str,
        token: &str,
        source: Option<&Path>,
        mut attempt: impl FnMut(&Passphrase) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let given = match self.for_key(key).or_else(|| self.for_key(token)) {
            Some(pin) => Some(pin),
            None => source.map(first_line).transpose()?,
        };
        let mut attempt = |pin: &Passphrase| self.try_pin(token, pin, &mut attempt);
        if let Some(pin) = given {
            return attempt(&pin);
        }
        let mut wrong = None;
        if let Some(pin) = self.with_pins(token, |pins| pins.right.clone()) {
            match attempt(&pin) {
                Err(error @ KeyError::WrongPin { .. }) => wrong = Some(error),
                result => return result,
            }
        }
        for _ in 0..PROMPTS {
            let Some(pin) = self.ask(key, &format!("PIN of token {token}, for key {key}"), false)? else {
                break;
            };
            match attempt(&pin) {
                Err(error @ KeyError::WrongPin { last: false, .. }) => wrong = Some(error),
                result => return result,
            }
        }
        Err(wrong.unwrap_or_else(|| KeyError::NoPassphrase {
            key: key.to_owned(),
            looked_at: vec![variable_for(key), variable_for(token), "pin-source".to_owned()],
        }))
    }

    /// Tries a PIN, unless the token has refused it in this run: it counts.
    fn try_pin<T>(
        &self,
        token: &str,
        pin: &Passphrase,
        attempt: &mut impl FnMut(&Passphrase) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        if self.with_pins(token, |pins| pins.wrong.contains(pin)) {
            let (token, left) = (token.to_owned(), "it was refused before, and not tried again");
            return Err(KeyError::WrongPin { token, left, last: false });
        }
        let result = attempt(pin);
        self.with_pins(token, |pins| match &result {
            Ok(_) => pins.right = Some(pin.clone()),
            Err(KeyError::WrongPin { .. } | KeyError::PinLocked { .. }) => {
                pins.right = None;
                pins.wrong.push(pin.clone());
            }
            Err(_) => {}
        });
        result
    }

    fn with_pins<T>(&self, token: &str, with: impl FnOnce(&mut Pins) -> T) -> T {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        with(pins.entry(token.to_owned()).or_default())
    }

    fn for_key(&self, key: &str) -> Option<Passphrase> {
        let variable = variable_for(key);
        // A key called "file" has no variable of its own: that name holds a path.
        if variable == IN_FILE { None } else { (self.lookup)(&variable).and_then(Passphrase::new) }
    }

    fn for_all(&self) -> Result<Option<Passphrase>, KeyError> {
        if let Some(passphrase) = (self.lookup)(FOR_ALL).and_then(Passphrase::new) {
            return Ok(Some(passphrase));
        }
        (self.lookup)(IN_FILE)
            .filter(|path| !path.is_empty())
            .map(|path| first_line(Path::new(&path)))
            .transpose()
    }

    fn ask(&self, key: &str, question: &str, confirm: bool) -> Result<Option<Passphrase>, KeyError> {
        self.prompt.ask(question, confirm).map_err(|source| KeyError::Prompt { key: key.to_owned(), source })
    }

    fn remember(&mut self, passphrase: &Passphrase) {
        if !self.known.contains(passphrase) {
            self.known.push(passphrase.clone());
        }
    }

    fn none_for(&self, key: &str) -> KeyError {
        let looked_at = [variable_for(key), FOR_ALL.to_owned(), IN_FILE.to_owned()];
        KeyError::NoPassphrase { key: key.to_owned(), looked_at: looked_at.into() }
    }
}

/// The environment variable for one key: `TUF_PASSPHRASE_` and the name in upper case, with `_` for anything that is
/// no ASCII letter or digit.
pub fn variable_for(key: &str) -> String {
    let name = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    format!("{FOR_ALL}_{}", name.collect::<String>())
}

fn first_line(path: &Path) -> Result<Passphrase, KeyError> {
    let unusable = |reason: String| KeyError::PassphraseFile { path: path.to_owned(), reason };
    let opened = File::open(path).map_err(|error| unusable(error.to_string()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            opened.metadata().map_err(|error| unusable(error.to_string()))?.permissions().mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(unusable(format!(
                "everybody on this machine can read or write it (mode {mode:04o})"
            )));
        }
    }
    let text = file::read(opened, path).map_err(|error| unusable(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    Passphrase::new(line.to_owned()).ok_or_else(|| unusable("its first line is empty".to_owned()))
}

#[cfg(test)]
mod tests;
