//! `tuf-repo.toml`, changed in place: order, comments and all that is not changed stay as the operator wrote them.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};
use tuf_client::durable;

use super::{Config, RoleKind, explain};
use crate::error::Error;
use crate::keys::KeyUri;

/// The settings file, to be changed.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    document: DocumentMut,
    before: String,
}

impl SettingsFile {
    /// Reads the settings of a repository.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Config`].
    pub(crate) fn open(repository: &Path) -> Result<Self, Error> {
        let path = Config::path(repository);
        let before = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        let document = before.parse::<DocumentMut>().map_err(|error| Error::Config {
            path: path.clone(),
            reason: format!("it is no TOML: {}", error.message()),
        })?;
        Ok(Self { path, document, before })
    }

    /// The settings of a role, by its name there: `timestamp`, `bin-n`, or that of a delegated role.
    fn section(&mut self, role: &str) -> Option<&mut dyn TableLike> {
        let is_kind = RoleKind::ALL.iter().any(|kind| kind.name() == role);
        let all = self.document.get_mut(if is_kind { "roles" } else { "delegations" })?;
        all.get_mut(role)?.as_table_like_mut()
    }

    fn keys(&mut self, role: &str) -> Option<&mut Array> {
        self.section(role)?.get_mut("keys")?.as_array_mut()
    }

    /// Names a key of a role, unless it is named there. A role that this machine knows nothing of stays so.
    pub(crate) fn add_key(&mut self, role: &str, uri: &KeyUri) {
        let Some(keys) = self.keys(role) else { return };
        if !keys.iter().any(|value| is(value, uri)) {
            push(keys, uri);
        }
    }

    /// Names a key of a role no longer, unless it is the only one: settings with none could not be read.
    pub(crate) fn remove_key(&mut self, role: &str, uri: &KeyUri) {
        let Some(keys) = self.keys(role).filter(|keys| keys.len() > 1) else { return };
        let index = keys.iter().position(|value| is(value, uri));
        if let Some(index) = index {
            remove(keys, index);
        }
    }

    /// Says how many keys of a role must sign; what a delegated role needs its delegator says.
    pub(crate) fn set_threshold(&mut self, role: &str, threshold: u32) {
        if let Some(old) = self.section(role).and_then(|section| section.get_mut("threshold"))
            && let Some(old) = old.as_value_mut()
        {
            set(old, threshold);
        }
    }

    /// Says how many hash bins there are, if it says so at all.
    pub(crate) fn set_bins(&mut self, count: u32) {
        if let Some(old) = self.document.get_mut("bins").and_then(Item::as_value_mut) {
            set(old, count);
        }
    }

    /// Writes the file, if it is another, as a whole.
    ///
    /// # Errors
    /// [`Error::Config`] if it could not be read any more: then nothing is written. [`Error::File`].
    pub(crate) fn save(self) -> Result<Config, Error> {
        let text = self.document.to_string();
        let refused = |reason| Error::Config { path: self.path.clone(), reason };
        let config: Config = toml::from_str(&text).map_err(|error| refused(explain(&text, &error)))?;
        config.check().map_err(refused)?;
        if text != self.before {
            durable::write_atomic(&self.path, text.as_bytes())?;
        }
        Ok(config)
    }
}

/// Another number, and what stands around it as it was.
fn set(old: &mut Value, number: u32) {
    let decor = old.decor().clone();
    *old = Value::from(i64::from(number));
    *old.decor_mut() = decor;
}

/// What stands before a value: of one on a line of its own, first the rest of the line before it.
fn before(value: &Value) -> String {
    value.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

/// Adds a key at the end: on a line of its own, if that is how the others are.
fn push(keys: &mut Array, uri: &KeyUri) {
    let indent = keys.iter().last().map(before).unwrap_or_default();
    let Some((_, indent)) = indent.rsplit_once('\n') else {
        keys.push(uri.to_string());
        return;
    };
    let mut end = keys.trailing().as_str().unwrap_or_default().to_owned();
    if let Some(last) = keys.len().checked_sub(1).and_then(|last| keys.get_mut(last))
        && let Some(suffix) = last.decor().suffix().and_then(|suffix| suffix.as_str()).map(str::to_owned)
    {
        // Without a comma after it, the rest of the line belongs to the value.
        end = suffix + &end;
        last.decor_mut().set_suffix("");
    }
    // A comment on the line of the last one stays there.
    let rest = end.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let mut value = Value::from(uri.to_string());
    value.decor_mut().set_prefix(format!("{rest}\n{indent}"));
    keys.push_formatted(value);
    keys.set_trailing_comma(true);
    keys.set_trailing("\n");
}

/// Removes a key, and with it what stands after it on its line.
fn remove(keys: &mut Array, index: usize) {
    let gone = before(&keys.remove(index));
    let after =
        keys.get(index).map_or_else(|| keys.trailing().as_str().unwrap_or_default().to_owned(), before);
    let new = match after.split_once('\n') {
        Some((_, rest)) => format!("{}\n{rest}", gone.split('\n').next().unwrap_or_default()),
        None if index == 0 => gone,
        None => after,
    };
    match keys.get_mut(index) {
        Some(next) => next.decor_mut().set_prefix(new),
        None => keys.set_trailing(new),
    }
}

fn is(value: &Value, uri: &KeyUri) -> bool {
    value.as_str().and_then(|text| text.parse::<KeyUri>().ok()).is_some_and(|listed| listed == *uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"# ours
layout = "pep458"

[roles.timestamp] # every day
keys = ["file:keys/timestamp.pem"] # the one in the safe
threshold = 1 # alone
expires = "1d"

[roles.root]
expires = "365d"
keys = [
    "pub:keys/alice.pub.json", # Alice
    "pub:keys/bob.pub.json", # Bob
]
threshold = 2

[roles]
targets = { keys = ["file:t.pem"], threshold = 1, expires = "365d" }
snapshot = { keys = ["file:s.pem"], threshold = 1, expires = "7d" }

[delegations.acme]
keys = ["file:keys/acme.pem"]
expires = "90d"
"#;

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        durable::write_atomic(&Config::path(directory.path()), BEFORE.as_bytes()).unwrap();
        let edit = |change: &dyn Fn(&mut SettingsFile)| {
            let mut file = SettingsFile::open(directory.path()).unwrap();
            change(&mut file);
            let config = file.save().unwrap();
            (config, std::fs::read_to_string(Config::path(directory.path())).unwrap())
        };
        let uri = |text: &str| text.parse::<KeyUri>().unwrap();
        assert_eq!(edit(&|file| file.add_key("nobody", &uri("file:x.pem"))).1, BEFORE);
        let (config, text) = edit(&|file| {
            for role in ["timestamp", "snapshot", "acme"] {
                file.add_key(role, &uri("file:new.pem"));
                file.add_key(role, &uri("file:new.pem"));
            }
            file.add_key("root", &uri("pub:keys/carol.pub.json"));
            file.set_threshold("timestamp", 2);
            file.set_threshold("root", 2);
        });
        assert_eq!(config.roles[&RoleKind::Timestamp].keys.len(), 2);
        assert_eq!(config.roles[&RoleKind::Timestamp].threshold, 2);
        let expected = BEFORE
            .replace(r#"["file:keys/timestamp.pem"]"#, r#"["file:keys/timestamp.pem", "file:new.pem"]"#)
            .replace("threshold = 1 # alone", "threshold = 2 # alone")
            .replace(r#"["file:s.pem"]"#, r#"["file:s.pem", "file:new.pem"]"#)
            .replace(r#"["file:keys/acme.pem"]"#, r#"["file:keys/acme.pem", "file:new.pem"]"#);
        for line in expected.lines() {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let carol = "    \"pub:keys/bob.pub.json\", # Bob\n    \"pub:keys/carol.pub.json\",\n]";
        assert!(text.contains(carol), "{text}");
        let (config, text) = edit(&|file| {
            file.remove_key("timestamp", &uri("file:keys/timestamp.pem"));
            file.remove_key("snapshot", &uri("file:new.pem"));
            file.remove_key("acme", &uri("file:new.pem"));
            file.remove_key("root", &uri("pub:keys/carol.pub.json"));
            file.set_threshold("timestamp", 1);
        });
        assert_eq!(config.roles[&RoleKind::Root].keys.len(), 2);
        assert_eq!(text, BEFORE.replace("file:keys/timestamp.pem", "file:new.pem"));
        let (_, text) = edit(&|file| file.remove_key("root", &uri("pub:keys/alice.pub.json")));
        assert!(text.contains("keys = [\n    \"pub:keys/bob.pub.json\", # Bob\n]"), "{text}");
    }

    #[test]
    fn the_last_key_of_a_role_stays_and_settings_that_could_not_be_read_are_not_written() {
        let directory = tempfile::tempdir().unwrap();
        durable::write_atomic(&Config::path(directory.path()), BEFORE.as_bytes()).unwrap();
        let mut file = SettingsFile::open(directory.path()).unwrap();
        file.remove_key("acme", &"file:keys/acme.pem".parse().unwrap());
        file.save().unwrap();
        let mut file = SettingsFile::open(directory.path()).unwrap();
        file.set_threshold("timestamp", 0);
        assert!(matches!(file.save(), Err(Error::Config { .. })));
        assert_eq!(std::fs::read_to_string(Config::path(directory.path())).unwrap(), BEFORE);
    }
}
