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
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Person(Mutex<Vec<&'static str>>);

    impl Prompt for Person {
        fn ask(&self, _: &str, _: bool) -> io::Result<Option<Passphrase>> {
            Ok(self.0.lock().unwrap().pop().and_then(|answer| Passphrase::new(answer.to_owned())))
        }
    }

    /// With these variables, and a person who gives these answers, the last one first.
    fn passphrases(variables: &[(&str, &str)], answers: &[&'static str]) -> Passphrases {
        let variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let lookup =
            move |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone());
        Passphrases::new(lookup, Person(Mutex::new(answers.to_vec())))
    }

    fn unlock(passphrases: &mut Passphrases, key: &str, right: &str) -> Result<usize, KeyError> {
        let tries = Cell::new(0);
        passphrases.unlock(key, |passphrase| {
            tries.set(tries.get() + 1);
            if passphrase.as_bytes() == right.as_bytes() {
                Ok(tries.get())
            } else {
                Err(KeyError::WrongPassphrase { key: key.to_owned() })
            }
        })
    }

    #[test]
    fn the_variable_is_the_key_name_in_upper_case() {
        for (key, variable) in [
            ("root", "TUF_PASSPHRASE_ROOT"),
            ("root-2.old", "TUF_PASSPHRASE_ROOT_2_OLD"),
            ("schlüssel", "TUF_PASSPHRASE_SCHL_SSEL"),
        ] {
            assert_eq!(variable_for(key), variable);
        }
    }

    #[test]
    fn a_passphrase_for_the_key_is_the_only_one_tried() {
        let variables = [("TUF_PASSPHRASE_ROOT", "a"), ("TUF_PASSPHRASE", "b")];
        assert_eq!(unlock(&mut passphrases(&variables, &[]), "root", "a").unwrap(), 1);
        let error = unlock(&mut passphrases(&variables, &["b"]), "root", "b").unwrap_err();
        assert_eq!(error.to_string(), "Wrong passphrase for key root");
        assert_eq!(unlock(&mut passphrases(&variables, &[]), "targets", "b").unwrap(), 1);
    }

    #[test]
    fn what_worked_once_is_tried_first_for_the_next_key() {
        let mut typed = passphrases(&[], &["never asked", "right", "mistyped"]);
        assert_eq!(unlock(&mut typed, "root", "right").unwrap(), 2);
        assert_eq!(unlock(&mut typed, "targets", "right").unwrap(), 1);
        assert_eq!(typed.choose("snapshot").unwrap().as_bytes(), b"right");
        assert_eq!(format!("{typed:?}"), "Passphrases { known: 1, .. }");
        assert_eq!(format!("{:?}", typed.known), "[Passphrase(..)]");
    }

    #[test]
    fn a_wrong_variable_is_followed_by_a_prompt_and_three_mistakes_end_it() {
        let variables = [("TUF_PASSPHRASE", "old")];
        assert_eq!(unlock(&mut passphrases(&variables, &["new"]), "root", "new").unwrap(), 2);
        let mut clumsy = passphrases(&variables, &["right", "c", "b", "a"]);
        assert!(matches!(unlock(&mut clumsy, "root", "right"), Err(KeyError::WrongPassphrase { .. })));
    }

    #[test]
    fn a_pin_is_never_guessed() {
        let pin = |passphrases: &Passphrases, right: &str, last: bool| {
            let tried = Cell::new(0);
            let result = passphrases.pin("root", "tuf token", None, |pin| {
                tried.set(tried.get() + 1);
                match pin.as_str() == right {
                    true => Ok(()),
                    false => Err(KeyError::WrongPin { token: "tuf token".to_owned(), left: "", last }),
                }
            });
            (tried.get(), result)
        };
        for (variables, answers, right, last, tries, ok) in [
            // What is meant for all keys is not for a token.
            (
                &[("TUF_PASSPHRASE", "1234"), ("TUF_PASSPHRASE_FILE", "/x")][..],
                &[][..],
                "1234",
                false,
                0,
                false,
            ),
            (&[("TUF_PASSPHRASE_ROOT", "1234")], &[], "1234", false, 1, true),
            (&[("TUF_PASSPHRASE_TUF_TOKEN", "1234")], &[], "1234", false, 1, true),
            (
                &[("TUF_PASSPHRASE_ROOT", "no"), ("TUF_PASSPHRASE_TUF_TOKEN", "1234")],
                &["1234"],
                "1234",
                false,
                1,
                false,
            ),
            (&[], &["1234", "no"], "1234", false, 2, true),
            (&[], &["1234", "no"], "1234", true, 1, false),
        ] {
            let mut given = passphrases(variables, answers);
            // What worked elsewhere is not for a token either.
            given.remember(&Passphrase::new("1234".to_owned()).unwrap());
            let (tried, result) = pin(&given, right, last);
            assert_eq!((tried, result.is_ok()), (tries, ok), "{variables:?} {answers:?}");
        }
        let error = pin(&passphrases(&[], &[]), "1234", false).1.unwrap_err();
        assert!(error.to_string().contains("TUF_PASSPHRASE_TUF_TOKEN, pin-source"), "{error}");
    }

    #[test]
    fn a_token_is_asked_once_in_a_run_with_a_pin_that_it_refuses_and_a_person_never_again_for_one_that_it_takes()
     {
        let attempt = |passphrases: &Passphrases, right: &str| {
            let tried = Cell::new(0);
            let result = passphrases.pin("root", "token", None, |pin| {
                tried.set(tried.get() + 1);
                match pin.as_str() == right {
                    true => Ok(()),
                    false => Err(KeyError::WrongPin { token: "token".to_owned(), left: "", last: false }),
                }
            });
            (tried.get(), result.is_ok())
        };
        let given = passphrases(&[("TUF_PASSPHRASE_TOKEN", "1234")], &[]);
        for tries in [1, 0, 0] {
            assert_eq!(attempt(&given, "5678"), (tries, false), "a daemon would lock the token");
        }
        let mut typed = passphrases(&[], &["never asked", "1234"]);
        assert_eq!(attempt(&typed, "1234"), (1, true));
        assert_eq!(attempt(&typed, "1234"), (1, true));
        typed.ask_nobody();
        assert_eq!(attempt(&typed, "1234"), (1, true), "known from the start");
        assert_eq!(attempt(&typed, "5678"), (1, false), "it was changed");
        assert_eq!(attempt(&typed, "5678"), (0, false), "nothing else is tried");
    }

    #[test]
    fn without_any_the_error_says_where_it_looked() {
        for error in [
            unlock(&mut passphrases(&[("TUF_PASSPHRASE", "")], &[]), "root", "x").unwrap_err(),
            passphrases(&[], &[]).choose("root").unwrap_err(),
        ] {
            let text = error.to_string();
            for variable in ["TUF_PASSPHRASE_ROOT,", "TUF_PASSPHRASE,", "TUF_PASSPHRASE_FILE"] {
                assert!(text.contains(variable), "{text}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_passphrase_file_gives_its_first_line_unless_the_world_can_read_it() {
        use std::io::Write;
        use std::os::unix::fs::PermissionsExt;

        let mut held = tempfile::NamedTempFile::new().unwrap();
        held.write_all(b"right\r\nsecond line\n").unwrap();
        let path = held.path().to_str().unwrap().to_owned();
        let named = [("TUF_PASSPHRASE_FILE", path.as_str())];
        assert_eq!(unlock(&mut passphrases(&named, &[]), "root", "right").unwrap(), 1);
        // Its variable would be the one that holds the path.
        assert_eq!(unlock(&mut passphrases(&named, &[]), "file", "right").unwrap(), 1);

        held.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = unlock(&mut passphrases(&named, &[]), "root", "right").unwrap_err();
        assert!(matches!(error, KeyError::PassphraseFile { .. }), "{error}");
        assert!(error.to_string().contains("0644"), "{error}");

        let gone = [("TUF_PASSPHRASE_FILE", "/nonexistent/passphrase")];
        assert!(matches!(passphrases(&gone, &[]).choose("root"), Err(KeyError::PassphraseFile { .. })));
    }
}
