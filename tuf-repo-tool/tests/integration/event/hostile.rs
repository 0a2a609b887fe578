//! Bundles that somebody made up or changed on their way: refused before anything is shown as true, signed or merged.

use serde_json::{Value, json};

use super::Ceremony;
use crate::support::{Run, TUF_REPO, write};

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Changes the file of the first draft.
fn in_draft(bundle: &mut Value, change: impl FnOnce(&mut Value)) {
    let mut file: Value = serde_json::from_str(bundle["drafts"][0]["file"].as_str().unwrap()).unwrap();
    change(&mut file);
    bundle["drafts"][0]["file"] = file.to_string().into();
}

#[test]
fn a_bundle_that_was_changed_is_refused() {
    let ceremony = Ceremony::new();
    let other = Ceremony::new();
    let id = ceremony.open(&["root", "--expires", "100d"]);
    ceremony.sign(&ceremony.bundle(&id), &["root-1"]).ok();
    let good = read(&ceremony.bundle(&id));
    let targets = ceremony.open(&["targets"]);
    let of_targets = read(&ceremony.bundle(&targets));
    type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;
    let foreign_root = std::fs::read_to_string(other.sandbox.repo().join("root.json")).unwrap();
    let changes: Vec<(&str, &Value, Change<'_>)> = vec![
        (
            "is not over this draft of root",
            &good,
            Box::new(|bundle| {
                in_draft(bundle, |file| file["signed"]["expires"] = "2099-01-01T00:00:00Z".into());
            }),
        ),
        (
            "more than once",
            &good,
            Box::new(|bundle| {
                in_draft(bundle, |file| {
                    let again = file["signatures"][0].clone();
                    file["signatures"].as_array_mut().unwrap().push(again);
                });
            }),
        ),
        (
            "who may not",
            &good,
            Box::new(|bundle| {
                in_draft(bundle, |file| file["signatures"][0]["keyid"] = "00".repeat(32).into());
            }),
        ),
        (
            "version 3, where 2 comes after 1",
            &good,
            Box::new(|bundle| {
                in_draft(bundle, |file| file["signed"]["version"] = 3.into());
            }),
        ),
        (
            "version 1, where 2 comes after 1",
            &good,
            Box::new(|bundle| {
                in_draft(bundle, |file| file["signed"]["version"] = 1.into());
            }),
        ),
        (
            "version 40, where 2 comes after 1",
            &of_targets,
            Box::new(|bundle| {
                in_draft(bundle, |file| file["signed"]["version"] = 40.into());
            }),
        ),
        (
            "is not canonical",
            &good,
            Box::new(|bundle| {
                let spaced =
                    bundle["drafts"][0]["file"].as_str().unwrap().replacen("\"signed\":", "\"signed\": ", 1);
                bundle["drafts"][0]["file"] = spaced.into();
            }),
        ),
        (
            "root would need 4 keys and have 3",
            &good,
            Box::new(|bundle| {
                in_draft(bundle, |file| file["signed"]["roles"]["root"]["threshold"] = 4.into());
            }),
        ),
        (
            "its roots",
            &good,
            Box::new(|bundle| bundle["roots"].as_array_mut().unwrap().push(foreign_root.clone().into())),
        ),
        (
            "its published targets",
            &of_targets,
            Box::new(|bundle| bundle["roots"] = json!([foreign_root.clone()])),
        ),
        ("it has no root", &good, Box::new(|bundle| bundle["roots"] = json!([]))),
        (
            "which nobody delegated",
            &of_targets,
            Box::new(|bundle| bundle["drafts"][0]["role"] = "bins".into()),
        ),
        (
            "nobody delegated other",
            &of_targets,
            Box::new(|bundle| {
                let file = bundle["published"][0]["file"].clone();
                let other = json!({"role": "other", "delegator": "targets", "file": file});
                bundle["published"].as_array_mut().unwrap().push(other);
            }),
        ),
        (
            "two drafts of root",
            &good,
            Box::new(|bundle| {
                let again = bundle["drafts"][0].clone();
                bundle["drafts"].as_array_mut().unwrap().push(again);
            }),
        ),
        ("1 to 64 drafts", &good, Box::new(|bundle| bundle["drafts"] = json!([]))),
        ("it calls itself", &good, Box::new(|bundle| bundle["id"] = targets.clone().into())),
        ("it calls itself", &good, Box::new(|bundle| bundle["id"] = "../../../x".into())),
        ("a reason is one line", &good, Box::new(|bundle| bundle["reason"] = "a\u{1b}[2Jb".into())),
        ("names of keys", &good, Box::new(|bundle| bundle["names"]["00"] = "a\nb".into())),
        ("unknown field", &good, Box::new(|bundle| bundle["x"] = 1.into())),
        ("format 2 where 1 is read", &good, Box::new(|bundle| bundle["tufsign"] = 2.into())),
        ("missing field", &good, Box::new(|bundle| drop(bundle.as_object_mut().unwrap().remove("opened")))),
    ];
    let file = ceremony.sandbox.path("bad.tufsign");
    let pending = std::fs::read(ceremony.bundle(&id)).unwrap();
    for (reason, from, change) in changes {
        let mut bundle = from.clone();
        change(&mut bundle);
        write(&file, bundle.to_string());
        for run in [
            ceremony.sign(&file, &["root-2", "targets-1"]),
            ceremony.event(&["show", &file.display().to_string()]),
            ceremony.event(&["import", &file.display().to_string()]),
        ] {
            run.code(4).says(reason);
        }
        assert_eq!(read(&file), bundle);
    }
    for (bytes, reason) in [(vec![b' '; (32 << 20) + 1], "larger than"), (b"{".to_vec(), "not a bundle")] {
        write(&file, bytes);
        ceremony.sign(&file, &["root-2"]).code(4).says(reason);
    }
    assert_eq!(std::fs::read(ceremony.bundle(&id)).unwrap(), pending);
    // One that lies in the place of a pending event stops only itself.
    write(&ceremony.bundle(&targets), "{");
    ceremony.event(&["finish", &targets]).code(4).says("is refused");
    ceremony.event(&["abort", &targets]).ok();
    ceremony.carry_out(&id, &["root-3"]);
}

#[test]
fn the_bundle_of_another_repository_is_refused() {
    let (ours, theirs) = (Ceremony::new(), Ceremony::new());
    let id = theirs.open(&["root"]);
    let bundle = theirs.bundle(&id).display().to_string();
    ours.event(&["import", &bundle]).code(4).says("its first root is not that of this repository");
    ours.event(&["list"]).ok().says("no event is pending");
    let root = ours.sandbox.anchor().display().to_string();
    ours.event(&["show", &bundle, "--root", &root]).code(4).says("does not start from the root you know");
    let sign = |arguments: &[&str]| {
        let mut command = theirs.sandbox.command(TUF_REPO);
        command.current_dir(theirs.sandbox.path("away")).args([
            "event",
            "sign",
            &bundle,
            "--key",
            "file:root-1.pem",
        ]);
        Run::of(command.args(arguments))
    };
    sign(&["--root", &root, "--yes"]).code(4).says("does not start from the root you know");
    // Nobody agreed, or to something else.
    sign(&[]).code(1).says("nobody could be asked");
    sign(&["--phrase", "babab babab babab babab babab babab babab"]).code(4).says("the check phrase is");
    let known = theirs.sandbox.anchor().display().to_string();
    let phrase = theirs.sandbox.tuf_repo(&["--json", "event", "show", &id]).ok().json()["phrase"].clone();
    let phrase = phrase.as_str().unwrap();
    assert_eq!(phrase.split(' ').count(), 7);
    sign(&["--root", &known, "--phrase", &phrase.to_uppercase()]).ok().says("signed root with root-1");
    // The same event with other drafts.
    let mut other = read(&theirs.bundle(&id));
    let again = theirs.sandbox.path("again");
    other["reason"] = "another reason".into();
    write(&again, other.to_string());
    theirs.event(&["import", &again.display().to_string()]).ok().says("0 new signatures");
    assert_eq!(read(&theirs.bundle(&id))["reason"], "because");
}
