//! Mix-and-match: files of different snapshots put together.

use serde_json::json;

use super::{Cell, MIX, Trial, stored_before, warm};
use crate::support::{Repo, Want};

fn mixed(role: &'static str, attack: &'static str) -> Vec<Trial> {
    let mut repo = Repo::new();
    let client = warm(&repo);
    repo.hashes = attack != "version";
    repo.release(role);
    let name = repo.file_name(role);
    let bytes = repo.files[&name].to_vec();
    let want = match attack {
        "hash" => {
            // Of the same length, and signed by the right keys.
            let mut other = repo.clone();
            other.get(role)["expires"] = json!("2031-01-01T00:00:01Z");
            assert_eq!(other.file(role).len(), bytes.len());
            repo.files.insert(name, other.file(role));
            Want("Hash", role, MIX)
        }
        "version" => {
            repo.patch(role, |signed| signed["version"] = json!(7));
            repo.publish();
            Want("Version", role, MIX)
        }
        _ => {
            repo.files.remove(&name);
            Want("Missing", role, None)
        }
    };
    Trial::refused(client, repo, want, stored_before(role))
}

/// One byte less, one more: more than is asked for is not read.
fn resized(role: &'static str, by: isize) -> Vec<Trial> {
    let mut trials = mixed(role, "hash");
    let name = trials[0].honest.file_name(role);
    let mut bytes = trials[0].files[&name].to_vec();
    bytes.resize(bytes.len().checked_add_signed(by).unwrap(), b'\n');
    trials[0].files.insert(name, bytes.into());
    let limited = by > 0 && role != "dele";
    let want = if limited { Want("Limit", role, Some("endless-data")) } else { Want("Length", role, MIX) };
    trials[0].verdict = super::Verdict::Refused(want, stored_before(role).to_vec());
    trials
}

pub(super) fn cells() -> Vec<Cell> {
    ["snapshot", "targets", "dele"]
        .into_iter()
        .flat_map(|role| {
            [
                Cell::new(role, "another hash", move || mixed(role, "hash")),
                Cell::new(role, "another length", move || resized(role, -1)),
                Cell::new(role, "longer", move || resized(role, 1)).more(),
                Cell::new(role, "another version", move || mixed(role, "version")),
                Cell::new(role, "not there", move || mixed(role, "missing")),
            ]
        })
        .collect()
}
