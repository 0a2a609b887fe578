//! `pkcs11:` URIs (RFC 7512): which key, on which token, reached by which module.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

/// A key on a token.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Pkcs11Uri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// Who made the token.
    pub manufacturer: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The slot. SoftHSM and others number them anew; a label is better.
    pub slot_id: Option<u64>,
    /// The key's label.
    pub object: Option<String>,
    /// The key's `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// The library that speaks to the token, an absolute path; absent: the one in `TUF_PKCS11_MODULE`.
    pub module_path: Option<PathBuf>,
    /// The file whose first line is the PIN.
    pub pin_source: Option<PathBuf>,
}

impl Pkcs11Uri {
    /// Reads what stands after `pkcs11:`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        let mut seen = Vec::new();
        let attributes =
            path.split(';').map(|part| (part, false)).chain(query.split('&').map(|part| (part, true)));
        for (part, in_query) in attributes.filter(|(part, _)| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or("an attribute has no value; write NAME=VALUE")?;
            if seen.contains(&name) {
                return Err("an attribute is there twice");
            }
            seen.push(name);
            let bytes = decoded(value).ok_or("a % is not followed by two hexadecimal digits")?;
            if name == "id" && !in_query {
                uri.id = Some(bytes);
                continue;
            }
            let value = String::from_utf8(bytes).map_err(|_| "only `id` may be something else than text")?;
            if value.contains('\0') {
                return Err("a value has no NUL character");
            }
            uri.set(name, in_query, value)?;
        }
        Ok(uri)
    }

    fn set(&mut self, name: &str, in_query: bool, value: String) -> Result<(), &'static str> {
        match (name, in_query) {
            ("token", false) => self.token = Some(value),
            ("serial", false) => self.serial = Some(value),
            ("manufacturer", false) => self.manufacturer = Some(value),
            ("model", false) => self.model = Some(value),
            ("object", false) => self.object = Some(value),
            ("slot-id", false) => {
                self.slot_id = Some(value.parse().map_err(|_| "slot-id is a decimal number")?);
            }
            ("type", false) if matches!(&*value, "private" | "public") => {}
            ("type", false) => return Err("the type of a signing key is private"),
            ("module-path", true) => self.module_path = Some(absolute(&value).ok_or(
                "module-path is an absolute path: what a bare name means depends on the system's search path",
            )?),
            ("module-name", true) => {
                return Err("write module-path with the library's absolute path instead of module-name");
            }
            ("pin-value", true) => {
                return Err("pin-value would put the PIN into the settings and into the list of processes: \
                            use pin-source=file:/PATH, TUF_PASSPHRASE_<KEY>, or the prompt");
            }
            ("pin-source", true) => {
                let path = value.strip_prefix("file:").unwrap_or(&value);
                let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
                if path.is_empty() || path.starts_with('|') {
                    return Err("pin-source is file:/PATH; a program is not run for a PIN");
                }
                self.pin_source = Some(path.into());
            }
            _ => {
                return Err(
                    "known are token, serial, manufacturer, model, slot-id, object, id and type, separated by ;, \
                            and after a ? module-path and pin-source, separated by &",
                );
            }
        }
        Ok(())
    }

    /// The key's name, for messages and for the variable of its PIN.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.object, &self.id) {
            (Some(object), _) => object.clone(),
            (None, Some(id)) => data_encoding::HEXLOWER.encode(id),
            (None, None) => self.token.clone().unwrap_or_else(|| "pkcs11".to_owned()),
        }
    }

    /// Whether it says which key of the token is meant.
    #[must_use]
    pub const fn names_a_key(&self) -> bool {
        self.object.is_some() || self.id.is_some()
    }
}

fn absolute(value: &str) -> Option<PathBuf> {
    let path = Path::new(value);
    path.is_absolute().then(|| path.to_owned())
}

fn decoded(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                *data_encoding::HEXLOWER_PERMISSIVE.decode(digits).ok()?.first()?
            }
            plain => *plain,
        });
    }
    Some(bytes)
}

struct Encoded<'a>(&'a [u8], &'static [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.write_char(char::from(*byte))?;
                }
                allowed if self.1.contains(allowed) => out.write_char(char::from(*byte))?,
                _ => write!(out, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("pkcs11:")?;
        let slot_id = self.slot_id.map(|id| id.to_string());
        let path = [
            ("token", self.token.as_deref().map(str::as_bytes)),
            ("serial", self.serial.as_deref().map(str::as_bytes)),
            ("manufacturer", self.manufacturer.as_deref().map(str::as_bytes)),
            ("model", self.model.as_deref().map(str::as_bytes)),
            ("slot-id", slot_id.as_deref().map(str::as_bytes)),
            ("object", self.object.as_deref().map(str::as_bytes)),
            ("id", self.id.as_deref()),
        ];
        let mut separator = "";
        for (name, value) in path {
            if let Some(value) = value {
                write!(out, "{separator}{name}={}", Encoded(value, b":"))?;
                separator = ";";
            }
        }
        separator = "?";
        let pin_source = self.pin_source.as_ref().map(|path| format!("file:{}", path.display()));
        let module_path = self.module_path.as_ref().map(|path| path.display().to_string());
        for (name, value) in [("module-path", module_path), ("pin-source", pin_source)] {
            if let Some(value) = value {
                write!(out, "{separator}{name}={}", Encoded(value.as_bytes(), b":/"))?;
                separator = "&";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_reads_as_it_is_written() {
        for text in [
            "token=tuf;object=root",
            "token=my%20token;serial=a1;slot-id=7;object=root;id=%01%FF?module-path=/usr/lib/p11.so&pin-source=file:/etc/pin",
            "manufacturer=SoftHSM%20project;model=SoftHSM%20v2;id=ab",
            "?module-path=/usr/lib/p11.so",
            "object=caf%C3%A9%3Bx",
        ] {
            let uri = Pkcs11Uri::parse(text).unwrap();
            assert_eq!(uri.to_string(), format!("pkcs11:{text}"));
        }
        let uri = Pkcs11Uri::parse("object=root;type=private?pin-source=file:///etc/pin").unwrap();
        assert_eq!((uri.pin_source.as_deref(), uri.name().as_str()), (Some(Path::new("/etc/pin")), "root"));
        assert_eq!(Pkcs11Uri::parse("id=%0A").unwrap().name(), "0a");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, part) in [
            ("object=root?pin-value=1234", "list of processes"),
            ("object=root;pin-value=1234", "known are"),
            ("object=root;object=root", "twice"),
            ("object", "NAME=VALUE"),
            ("object=%4", "two hexadecimal"),
            ("object=%zz", "two hexadecimal"),
            ("object=%ff", "text"),
            ("object=a%00", "NUL"),
            ("slot-id=x", "decimal"),
            ("type=cert;object=x", "private"),
            ("object=x?module-path=p11.so", "absolute"),
            ("object=x?module-name=p11", "module-path"),
            ("object=x?pin-source=%7Ccat%20pin", "program"),
            ("object=x;colour=red", "known are"),
        ] {
            let error = Pkcs11Uri::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
