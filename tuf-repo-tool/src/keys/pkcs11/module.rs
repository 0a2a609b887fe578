//! Modules and tokens: loading the library, choosing the token, unlocking it.
//!
//! A module is loaded when the first of its keys is used, once for the process, whichever URIs name it: a second
//! `C_Initialize` of the same library is an error, and a `C_Finalize` would take it from all others. It stays until the
//! process ends. Children of this process never use it: they are started by fork and exec at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use tuf_client::env;

use super::Pkcs11Uri;
use crate::keys::{KeyError, Passphrases};

const MODULE: &str = "TUF_PKCS11_MODULE";

static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// A token that is there.
pub(super) struct Token {
    module: Pkcs11,
    module_path: PathBuf,
    pub(super) slot: Slot,
    pub(super) info: TokenInfo,
}

/// The tokens that a URI's attributes fit.
pub(super) fn tokens(uri: &Pkcs11Uri) -> Result<Vec<Token>, KeyError> {
    let module_path = module_path(uri)?;
    let module = load(&module_path)?;
    let failed = |action| move |error| KeyError::token(uri, action, error);
    let mut tokens = Vec::new();
    for slot in module.get_slots_with_token().map_err(failed("list its tokens"))? {
        let info = match module.get_token_info(slot) {
            Ok(info) if info.token_initialized() => info,
            // Pulled out meanwhile, or empty.
            Ok(_) | Err(Error::Pkcs11(RvError::TokenNotPresent | RvError::DeviceRemoved, _)) => continue,
            Err(error) => return Err(KeyError::token(uri, "describe its tokens", error)),
        };
        tokens.push(Token { module: module.clone(), module_path: module_path.clone(), slot, info });
    }
    let found: Vec<String> = tokens.iter().map(Token::name).collect();
    tokens.retain(|token| token.fits(uri));
    if tokens.is_empty() {
        return Err(KeyError::NoToken { uri: uri.to_string(), module: module_path, found });
    }
    Ok(tokens)
}

/// The one token that a URI's attributes fit.
pub(super) fn token(uri: &Pkcs11Uri) -> Result<Token, KeyError> {
    let mut tokens = tokens(uri)?;
    match (tokens.pop(), tokens.is_empty()) {
        (Some(token), true) => Ok(token),
        (last, _) => {
            let found = tokens.iter().chain(&last).map(Token::name).collect();
            Err(KeyError::Ambiguous { uri: uri.to_string(), found })
        }
    }
}

impl Token {
    /// Its label and serial number.
    fn name(&self) -> String {
        format!("token {} (serial {})", self.info.label(), self.info.serial_number())
    }

    fn fits(&self, uri: &Pkcs11Uri) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&uri.token, self.info.label())
            && is(&uri.serial, self.info.serial_number())
            && is(&uri.manufacturer, self.info.manufacturer_id())
            && is(&uri.model, self.info.model())
            && uri.slot_id.is_none_or(|wanted| wanted == self.slot.id())
    }

    /// The URI of a key on this token, as settings take it.
    pub(super) fn uri_of(&self, object: &str, id: &[u8]) -> Pkcs11Uri {
        Pkcs11Uri {
            token: Some(self.info.label().to_owned()),
            object: (!object.is_empty()).then(|| object.to_owned()),
            id: (!id.is_empty()).then(|| id.to_vec()),
            module_path: Some(self.module_path.clone()),
            ..Pkcs11Uri::default()
        }
    }

    /// Whether the token has a mechanism.
    pub(super) fn can(&self, mechanism: cryptoki::mechanism::MechanismType) -> bool {
        self.module.get_mechanism_list(self.slot).is_ok_and(|list| list.contains(&mechanism))
    }

    /// A session in which public objects can be seen.
    pub(super) fn session(&self, uri: &Pkcs11Uri) -> Result<Session, KeyError> {
        self.module.open_ro_session(self.slot).map_err(|error| KeyError::token(uri, "open a session", error))
    }

    /// A session in which keys can be used, and made if `writing`. It stays unlocked for all sessions of this process
    /// until the last of them ends.
    pub(super) fn unlocked(
        &self,
        uri: &Pkcs11Uri,
        repository: &Path,
        writing: bool,
        passphrases: &Passphrases,
    ) -> Result<Session, KeyError> {
        let session = match writing {
            true => self.module.open_rw_session(self.slot),
            false => self.module.open_ro_session(self.slot),
        }
        .map_err(|error| KeyError::token(uri, "open a session", error))?;
        if !self.info.login_required() {
            return Ok(session);
        }
        if matches!(self.state(), Tries::None) {
            return Err(KeyError::PinLocked { token: self.info.label().to_owned() });
        }
        // A reader with keys of its own to type the PIN on.
        if self.info.protected_authentication_path() {
            return self.login(&session, uri, None).map(|()| session);
        }
        // Another session of this process may have unlocked it.
        if let Ok(info) = session.get_session_info()
            && matches!(
                info.session_state(),
                cryptoki::session::SessionState::RoUser | cryptoki::session::SessionState::RwUser
            )
        {
            return Ok(session);
        }
        let source = uri.pin_source.as_ref().map(|path| repository.join(path));
        passphrases.pin(&uri.name(), self.info.label(), source.as_deref(), |pin| {
            self.login(&session, uri, Some(&AuthPin::from(pin.as_str().to_owned())))
        })?;
        Ok(session)
    }

    fn login(&self, session: &Session, uri: &Pkcs11Uri, pin: Option<&AuthPin>) -> Result<(), KeyError> {
        let token = || self.info.label().to_owned();
        match session.login(UserType::User, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
                match self.state() {
                    Tries::None => Err(KeyError::PinLocked { token: token() }),
                    Tries::One => {
                        Err(KeyError::WrongPin { token: token(), left: "one try is left", last: true })
                    }
                    Tries::Few => {
                        Err(KeyError::WrongPin { token: token(), left: "few tries are left", last: false })
                    }
                    Tries::Unknown => Err(KeyError::WrongPin {
                        token: token(),
                        left: "it does not say how many tries are left",
                        last: false,
                    }),
                }
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(KeyError::PinLocked { token: token() }),
            Err(error) => Err(KeyError::token(uri, "unlock the token", error)),
        }
    }

    /// What the token says now of tries of its PIN.
    fn state(&self) -> Tries {
        match self.module.get_token_info(self.slot) {
            Ok(info) if info.user_pin_locked() => Tries::None,
            Ok(info) if info.user_pin_final_try() => Tries::One,
            Ok(info) if info.user_pin_count_low() => Tries::Few,
            _ => Tries::Unknown,
        }
    }
}

enum Tries {
    None,
    One,
    Few,
    Unknown,
}

fn module_path(uri: &Pkcs11Uri) -> Result<PathBuf, KeyError> {
    let absent = |path: &Path, reason: String| KeyError::NoModule { path: path.to_owned(), reason };
    let path = match (&uri.module_path, env::var(MODULE)) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) if Path::new(&path).is_absolute() => path.into(),
        (None, Some(path)) => {
            return Err(absent(Path::new(&path), format!("{MODULE} must be an absolute path")));
        }
        (None, None) => {
            return Err(absent(
                Path::new(""),
                format!("neither module-path in {uri} nor {MODULE} names one"),
            ));
        }
    };
    Ok(path)
}

fn load(written: &Path) -> Result<Pkcs11, KeyError> {
    let unusable = |reason: String| KeyError::NoModule { path: written.to_owned(), reason };
    let absent = |error: Error| unusable(error.to_string());
    // Two ways of writing one path are one module.
    let path = written.canonicalize().map_err(|error| unusable(error.to_string()))?;
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(&path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(&path).map_err(absent)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(absent(error)),
    }
    modules.insert(path, module.clone());
    Ok(module)
}
