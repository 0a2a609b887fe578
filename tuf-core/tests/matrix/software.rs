//! Wrong software: a file under a name that is not its own, or on the word of a role that may not speak for it. What
//! needs bytes on the wire is in the client's part.

use std::rc::Rc;

use serde_json::json;

use super::{ARBITRARY, Cell, MIX, Trial, Verdict, stored_before};
use crate::support::{Pair, ROLES, Repo, Want, delegation, file};

type Attack = fn(&mut Repo);

/// A second role that has the target too, with other content.
fn rival(repo: &mut Repo, terminating: bool) {
    let pairs: Vec<Rc<Pair>> = repo.signers["dele"].iter().map(|(_, pair)| Rc::clone(pair)).collect();
    let entry = delegation("rival", &pairs, 2, &["d/*"]);
    repo.delegations()["roles"].as_array_mut().unwrap().push(entry);
    repo.delegations()["roles"][0]["terminating"] = json!(terminating);
    let mut signed = repo.signed["dele"].clone();
    signed["targets"] = json!({"d/x.txt": file("evil")});
    let signers = repo.signers["dele"].clone();
    repo.signed.insert("rival".into(), signed);
    repo.signers.insert("rival".into(), signers);
}

fn lists(repo: &mut Repo, target: &str) {
    repo.get("dele")["targets"] = json!({target: file("evil")});
}

fn scope(repo: &mut Repo, pattern: &str) {
    repo.delegations()["roles"][0]["paths"] = json!([pattern]);
}

fn cell(name: &'static str, target: &'static str, verdict: fn() -> Verdict, attack: Attack) -> Cell {
    Cell::new("artifact", name, move || {
        let mut repo = Repo::new();
        attack(&mut repo);
        repo.publish();
        Trial::first_sight(repo, target, verdict())
    })
}

pub(super) fn cells() -> Vec<Cell> {
    let none = || Verdict::NotFound;
    vec![
        cell("a delegate that may not speak for it", "e/y.txt", none, |repo| lists(repo, "e/y.txt")),
        cell("past a terminating delegation", "d/x.txt", none, |repo| {
            rival(repo, true);
            repo.get("dele")["targets"] = json!({});
        }),
        cell(
            "a delegate of lower priority",
            "d/x.txt",
            || Verdict::Believed("dele", "x"),
            |repo| rival(repo, false),
        ),
        cell("another case", "D/x.txt", none, |repo| lists(repo, "D/x.txt")),
        cell("another case of the pattern", "d/x.txt", none, |repo| scope(repo, "D/*")).more(),
        cell("a pattern across separators", "d/e/x.txt", none, |repo| lists(repo, "d/e/x.txt")),
        cell("another separator in the pattern", "d/x.txt", none, |repo| scope(repo, "d\\*")).more(),
        cell("the wrong hash bin", "d/x.txt", none, |repo| {
            let wrong = u8::from(tuf_core::TargetPath::new("d/x.txt").unwrap().digest()[0] == 0);
            let entry = &mut repo.delegations()["roles"][0];
            entry.as_object_mut().unwrap().remove("paths");
            entry["path_hash_prefixes"] = json!([format!("{wrong:02x}")]);
        }),
        cell(
            "a name that leaves its folder",
            "d/../../x.txt",
            || Verdict::NoName,
            |repo| lists(repo, "d/../../x.txt"),
        ),
        cell(
            "only hashes that are weak or unknown",
            "d/x.txt",
            || Verdict::NothingMatches("NoKnownHash"),
            |repo| {
                let hashes = json!({"md5": "9dd4e461268c8034f5c8564e155c67a6", "sha1": "00", "blake9": "00"});
                repo.get("dele")["targets"]["d/x.txt"]["hashes"] = hashes;
            },
        ),
        Cell::new("artifact", "of a role that is not in the snapshot", || {
            let mut repo = Repo::new();
            repo.patch("snapshot", |signed| {
                drop(signed["meta"].as_object_mut().unwrap().remove("dele.json"))
            });
            repo.publish();
            let want = Want("NotInSnapshot", "dele", MIX);
            Trial::first_sight(repo, "d/x.txt", Verdict::Refused(want, stored_before("dele").to_vec()))
        }),
        Cell::new("artifact", "of a role with the name of a top-level one", || {
            ["root", "timestamp", "snapshot", "targets"]
                .into_iter()
                .flat_map(|name| {
                    let mut repo = Repo::new();
                    let honest = repo.clone();
                    repo.delegations()["roles"][0]["name"] = json!(name);
                    repo.publish();
                    let stored = stored_before("targets").to_vec();
                    let verdict = Verdict::Refused(Want("Field", "targets", ARBITRARY), stored);
                    let mut trials = Trial::first_sight(repo, "d/x.txt", verdict);
                    trials[0].honest = honest;
                    trials
                })
                .collect()
        })
        .more(),
    ]
}

/// Which dependencies a package asks for is no matter of TUF: who may publish it may name them. What `custom` says
/// about a target changes nothing about how it is checked, and in no role.
pub(super) fn extraneous() -> Vec<Cell> {
    vec![Cell::new("artifact", "custom changes no trust", || {
        let mut repo = Repo::new();
        let custom = json!({"length": 9, "hashes": {}, "threshold": 0, "requires": ["evil"], "paths": ["*"]});
        repo.get("targets")["targets"]["a.txt"]["custom"] = custom.clone();
        for role in ROLES {
            repo.get(role)["custom"] = custom.clone();
        }
        repo.publish();
        let mut trials = Trial::first_sight(repo.clone(), "a.txt", Verdict::Believed("targets", "a"));
        trials.extend(Trial::first_sight(repo, "d/x.txt", Verdict::Believed("dele", "x")));
        trials
    })]
}
