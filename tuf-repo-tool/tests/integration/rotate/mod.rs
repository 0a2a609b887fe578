//! `tuf-repo rotate`: keys that are replaced while clients of the old root and of the new one are polling.

mod docs;
mod killed;
mod offline;
mod online;
mod seams;

use crate::support::{Sandbox, write};

/// Publishes one more target.
fn publish_one_more(sandbox: &Sandbox, name: &str) {
    write(&sandbox.path(name), name);
    sandbox.tuf_repo(&["add", &sandbox.path(name).display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("1 targets set");
}

/// The URIs that `tuf-repo.toml` names for a role.
fn uris(sandbox: &Sandbox, role: &str) -> Vec<String> {
    let settings = std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap();
    let settings: toml::Table = settings.parse().unwrap();
    let section = settings["roles"].get(role).or_else(|| settings["delegations"].get(role)).unwrap();
    section["keys"].as_array().unwrap().iter().map(|uri| uri.as_str().unwrap().to_owned()).collect()
}

/// The private keys in `keys/`.
fn private_keys(sandbox: &Sandbox) -> Vec<String> {
    let files = sandbox.tree(&sandbox.repo().join("keys"));
    files.iter().filter_map(|file| Some(file.strip_suffix(".pem")?.to_owned())).collect()
}

/// How many signatures a published file has.
fn signatures(sandbox: &Sandbox, name: &str) -> usize {
    let file = std::fs::read(sandbox.public("metadata").join(name)).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    file["signatures"].as_array().unwrap().len()
}
