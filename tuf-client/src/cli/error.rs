//! Why a command failed, as it is told.

use serde_json::{Value, json};
use tuf_client::{Error, ErrorKind, chain};

const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const REFUSED: u8 = 4;

/// The end of a command that did not do what it was asked to.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) attack: Option<&'static str>,
    pub(crate) hint: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), attack: None, hint: None, url: None, code: FAILED }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "message": self.message, "attack": self.attack, "hint": self.hint });
        if let (Some(url), Some(error)) = (&self.url, error.as_object_mut()) {
            error.insert("url".to_owned(), url.as_str().into());
        }
        json!({ "error": error })
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_error(&error.into())
    }
}

impl Failure {
    pub(crate) fn from_error(error: &Error) -> Self {
        let url = match error.kind() {
            ErrorKind::Refused { url, .. } => Some(url.clone()),
            ErrorKind::Transport(error) => Some(error.url().to_owned()),
            _ => None,
        };
        Self {
            message: chain(error),
            attack: error.attack(),
            hint: error.hint(),
            url,
            code: if error.is_refusal() { REFUSED } else { FAILED },
        }
    }
}
