//! What there is of keys, for people and as JSON.

use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use tuf_core::Key;
use tuf_repo_tool::keys::public::{openssh_blob, openssh_fingerprint};
use tuf_repo_tool::keys::usage::PublishedRoots;
use tuf_repo_tool::keys::{self, KeyError, KeyUri, Pkcs11Uri};
use tuf_repo_tool::{Config, Error, Repository};

use crate::cli::{Failure, Output};

/// The keys in keys/ and those that the settings name.
pub(super) fn list(repo: &Path, output: &Output) -> Result<(), Failure> {
    let config = Config::load(repo)?;
    let mut uris = in_directory(repo)?;
    for uri in config.roles.values().flat_map(|role| &role.keys) {
        if !uris.contains(uri) {
            uris.push(uri.clone());
        }
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["KEY", "SCHEME", "ID", "ENCRYPTED", "ROLES"]);
    let (mut documents, mut unusable) = (Vec::new(), Vec::new());
    let published = published(repo, output);
    for uri in &uris {
        let kept = matches!(uri, KeyUri::File(_) | KeyUri::Public(_)) && uri.to_string().contains(":keys/");
        let name = if kept { uri.name() } else { uri.to_string() };
        let encrypted = match uri.path(repo) {
            Some(path) if path.exists() => {
                let encrypted = keys::file::is_encrypted(&path).map_err(Error::from)?;
                if encrypted { "yes" } else { "no" }
            }
            _ => "-",
        };
        // A token that is not plugged in must not hide the other keys.
        match keys::public(uri, repo) {
            Ok(key) => {
                let roles = roles(uri, &key, &config, repo).join(" ");
                table.add_row([&name, key.scheme(), &key.id().short(), encrypted, &roles]);
                documents.push(describe(uri, &key, Some(&config), &published, repo));
            }
            Err(error) => {
                let roles = roles_by_uri(uri, &config).join(" ");
                table.add_row([&name, "-", "-", encrypted, &roles]);
                documents.push(serde_json::json!({
                    "name": uri.name(), "uri": uri.to_string(), "error": error.to_string(),
                }));
                unusable.push(error);
            }
        }
    }
    output.result(&documents, &table.to_string());
    for error in unusable {
        output.complain(&error.to_string(), error.hint().as_deref());
    }
    Ok(())
}

/// What the agent holds, as URIs.
pub(super) fn list_agent(output: &Output) -> Result<(), Failure> {
    let entries = keys::ssh_agent::list().map_err(Error::from)?;
    held(
        entries
            .into_iter()
            .map(|entry| (format!("ssh-agent:{}", entry.fingerprint), entry.comment, entry.key)),
        output,
    );
    Ok(())
}

/// What a token holds, as URIs.
pub(super) fn list_token(uri: &Pkcs11Uri, output: &Output) -> Result<(), Failure> {
    let entries = keys::pkcs11::list(uri).map_err(Error::from)?;
    held(entries.into_iter().map(|entry| (entry.uri.to_string(), entry.uri.name(), entry.key)), output);
    Ok(())
}

fn held(entries: impl Iterator<Item = (String, String, Result<Key, String>)>, output: &Output) {
    let (mut lines, mut documents) = (Vec::new(), Vec::new());
    for (uri, name, key) in entries {
        let (scheme, id, problem) = match &key {
            Ok(key) => (Some(key.scheme()), Some(key.id()), None),
            Err(reason) => (None, None, Some(reason.as_str())),
        };
        let what = match (scheme, &id) {
            (Some(scheme), Some(id)) => format!("{scheme} {}", id.short()),
            _ => format!("unusable: {}", problem.unwrap_or_default()),
        };
        lines.push(format!("{uri}\n    {name}: {what}"));
        documents.push(serde_json::json!({
            "uri": uri, "name": name, "scheme": scheme, "keyid": id.as_ref().map(tuf_core::KeyId::as_str), "error": problem,
        }));
    }
    let text = if lines.is_empty() { "no keys".to_owned() } else { lines.join("\n") };
    output.result(&documents, &text);
}

/// One key.
pub(super) fn show(uri: &KeyUri, repo: &Path, output: &Output) -> Result<(), Failure> {
    // A key can be shown where there is no repository.
    let config = match Config::load(repo) {
        Ok(config) => Some(config),
        Err(Error::NotARepository { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let key = keys::public(uri, repo).map_err(Error::from)?;
    let roots = published(repo, output);
    let document = describe(uri, &key, config.as_ref(), &roots, repo);
    let field = |name: &str| document.get(name).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
    let published: Vec<String> = roots
        .uses(&key)
        .into_iter()
        .map(|(role, versions)| format!("{role} in root {}", ranges(&versions)))
        .collect();
    let public = document.pointer("/key/keyval/public").and_then(|value| value.as_str()).unwrap_or_default();
    let text = format!(
        "key          {}\nuri          {uri}\nid           {}\nscheme       {}\nsha256       {}\nopenssh      {}\n\
         roles here   {}\npublished    {}\npublic       {}",
        uri.name(),
        key.id(),
        key.scheme(),
        field("fingerprint"),
        field("openssh"),
        or_dash(&config.as_ref().map(|config| roles(uri, &key, config, repo)).unwrap_or_default().join(" ")),
        or_dash(&published.join(", ")),
        public.trim()
    );
    output.result(&document, &text);
    Ok(())
}

pub(super) fn describe(
    uri: &KeyUri,
    key: &Key,
    config: Option<&Config>,
    published: &PublishedRoots,
    repo: &Path,
) -> serde_json::Value {
    let public = key.public();
    serde_json::json!({
        "name": uri.name(),
        "uri": uri.to_string(),
        "keyid": key.id().as_str(),
        "keytype": key.keytype(),
        "scheme": key.scheme(),
        "fingerprint": public.and_then(tuf_client::inspect::fingerprint),
        "openssh": public.and_then(openssh_blob).map(|blob| openssh_fingerprint(&blob)),
        "roles": config.map(|config| roles(uri, key, config, repo)).unwrap_or_default(),
        "published": published.uses(key),
        "key": key.to_json().unwrap_or_default(),
    })
}

/// The roots that were published; none if there is no repository, or if its storage cannot be read: a key can be shown all the
/// same.
pub(super) fn published(repo: &Path, output: &Output) -> PublishedRoots {
    let read = || PublishedRoots::read(&**Repository::open(repo)?.storage()).map_err(Error::from);
    match read() {
        Ok(roots) => roots,
        Err(Error::NotARepository { .. }) => PublishedRoots::default(),
        Err(error) => {
            output.complain(&tuf_client::chain(&error), error.hint().as_deref());
            PublishedRoots::default()
        }
    }
}

/// The roles whose settings name this key, by this URI or by a file that holds the same public half.
fn roles(uri: &KeyUri, key: &Key, config: &Config, repo: &Path) -> Vec<String> {
    let same = |other: &KeyUri| {
        other == uri
            || matches!(other, KeyUri::File(_) | KeyUri::Public(_))
                && keys::public(other, repo).is_ok_and(|other| other.public() == key.public())
    };
    config
        .roles
        .iter()
        .filter(|(_, role)| role.keys.iter().any(same))
        .map(|(kind, _)| kind.to_string())
        .collect()
}

fn roles_by_uri(uri: &KeyUri, config: &Config) -> Vec<String> {
    let named = config.roles.iter().filter(|(_, role)| role.keys.contains(uri));
    named.map(|(kind, _)| kind.to_string()).collect()
}

/// The pairs in keys/, and the public halves that are alone there.
fn in_directory(repo: &Path) -> Result<Vec<KeyUri>, Failure> {
    let directory = repo.join("keys");
    let entries = std::fs::read_dir(&directory)
        .map_err(|error| Failure::Message(format!("cannot read {}: {error}", directory.display()), None))?;
    let files: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let mut texts: Vec<String> = files
        .iter()
        .filter(|file| !file.starts_with('.'))
        .filter_map(|file| match file.strip_suffix(".pub.json") {
            Some(name) if files.contains(&format!("{name}.pem")) => None,
            Some(_) => Some(format!("pub:keys/{file}")),
            None => file.strip_suffix(".pem").map(|_| format!("file:keys/{file}")),
        })
        .collect();
    texts.sort();
    texts.iter().map(|text| Ok(text.parse().map_err(|error: KeyError| Error::from(error))?)).collect()
}

/// `1-3, 5`.
fn ranges(versions: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for version in versions {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == *version => *end = *version,
            _ => ranges.push((*version, *version)),
        }
    }
    let shown = |(start, end): &(u64, u64)| match start == end {
        true => start.to_string(),
        false => format!("{start}-{end}"),
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn versions_are_shown_as_ranges() {
        for (versions, text) in [(&[][..], ""), (&[4], "4"), (&[1, 2, 3, 5, 7, 8], "1-3, 5, 7-8")] {
            assert_eq!(ranges(versions), text);
        }
    }
}
