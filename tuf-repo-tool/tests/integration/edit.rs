//! Targets and roles as an operator edits them: staged, refused, published.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::{Run, Sandbox, write};

/// A repository with these further keys.
fn with_keys(init: &[&str], keys: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.init(init).ok();
    for key in keys {
        sandbox.tuf_repo(&["key", "generate", key, "--no-passphrase"]).ok();
    }
    sandbox
}

/// `tuf-repo` with the words of a line.
fn tuf_repo(sandbox: &Sandbox, line: &str) -> Run {
    sandbox.tuf_repo(&line.split(' ').collect::<Vec<_>>())
}

/// Stages a file with this content.
fn add(sandbox: &Sandbox, path: &str, content: &str, more: &[&str]) -> Run {
    let file = sandbox.path("file");
    write(&file, content);
    sandbox.tuf_repo(&[&["add", &file.display().to_string(), "--as", path], more].concat())
}

/// Takes a private key away; the result brings it back.
fn hide(sandbox: &Sandbox, key: &str) -> impl Fn() + use<> {
    let key = sandbox.repo().join(format!("keys/{key}.pem"));
    let bytes = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    move || tuf_client::durable::write_private(&key, &bytes).unwrap()
}

#[test]
fn files_and_directories_become_targets_under_their_paths() {
    let sandbox = with_keys(&["--preset", "plain"], &[]);
    for path in ["in/a", "in/d/b", "in/d/e/c", "other/x"] {
        write(&sandbox.path(path), path);
    }
    let input = |name: &str| sandbox.path(name).display().to_string();
    sandbox.tuf_repo(&["add", &input("in"), &input("other/x")]).ok().says("4 targets are staged");
    sandbox.tuf_repo(&["add", &input("in"), "--prefix", "p/q/"]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("7 targets set");
    sandbox.verify();
    assert_eq!(sandbox.targets(), ["a", "d/b", "d/e/c", "p/q/a", "p/q/d/b", "p/q/d/e/c", "x"]);
    // The same again changes nothing; other bytes do.
    sandbox.tuf_repo(&["add", &input("in")]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("nothing to publish");
    write(&sandbox.path("in/a"), "other");
    sandbox.tuf_repo(&["add", &input("in")]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("1 targets set");
    sandbox.verify();

    sandbox.tuf_repo(&["remove", "d/b", "x"]).ok().says("2 removals are staged");
    sandbox.tuf_repo(&["publish"]).ok().says("0 targets set, 2 removed");
    sandbox.verify();
    assert_eq!(sandbox.targets().len(), 5);
    sandbox.tuf_repo(&["remove", "d/b"]).code(1).says("there is no target d/b");
    add(&sandbox, "new", "new", &[]).ok();
    sandbox.tuf_repo(&["remove", "new"]).ok().says("1 additions are staged no longer");
    sandbox.tuf_repo(&["publish"]).ok().says("nothing to publish");
    sandbox.assert_no_leftovers();
}

#[test]
fn files_that_cannot_be_targets_are_refused_and_nothing_is_staged() {
    let sandbox = with_keys(&["--preset", "plain"], &[]);
    write(&sandbox.path("in/a"), "a");
    write(&sandbox.path("in/A"), "a");
    let sum = "ab".repeat(32);
    let input = |name: &str| sandbox.path(name).display().to_string();
    sandbox.tuf_repo(&["add", &input("in")]).ok().says("differ only in case");
    symlink(sandbox.path("in/a"), sandbox.path("in/link")).unwrap();
    symlink(sandbox.path("in"), sandbox.path("folder")).unwrap();
    write(&sandbox.path("hashed").join(format!("{sum}.x")), "x");
    write(&sandbox.path("windows/con.txt"), "x");
    write(&sandbox.path("twice/a"), "other");
    for (arguments, code, expected) in [
        (vec![input("in")], 1, "in/link is a symbolic link"),
        (vec![input("folder")], 1, "is a symbolic link"),
        (vec!["/dev/null".to_owned()], 1, "is no regular file"),
        (vec![input("none")], 1, "none"),
        (vec![input("hashed")], 1, "64 hex digits and a dot"),
        (vec![input("windows")], 1, "Windows device"),
        (vec![input("in/a"), input("twice")], 1, "would both be target a"),
        (vec![input("in/a"), "--as".to_owned(), "../x".to_owned()], 1, "segment . or .."),
        (vec![input("in/a"), "--as".to_owned(), "/x".to_owned()], 1, "empty segment"),
        (vec![input("in/a"), "--prefix".to_owned(), "..".to_owned()], 1, "segment . or .."),
        (vec![input("in/a"), input("in/A"), "--as".to_owned(), "x".to_owned()], 1, "there are 2 files"),
        (Vec::new(), 2, "FILE|DIR"),
    ] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        sandbox.tuf_repo(&[&["add"], &*arguments].concat()).code(code).says(expected);
    }
    let plan = sandbox.tuf_repo(&["--json", "plan"]).ok().json();
    let planned: Vec<_> = plan["targets"].as_array().unwrap().iter().map(|target| &target["path"]).collect();
    assert_eq!(planned, ["A", "a"]);
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
}

#[test]
fn a_target_goes_where_clients_find_it_or_nowhere() {
    let sandbox = with_keys(&["--preset", "plain"], &["k"]);
    add(&sandbox, "x/old", "old", &[]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    tuf_repo(&sandbox, "delegate add first --paths x/* --key file:keys/k.pem --terminating").ok();
    tuf_repo(&sandbox, "delegate add second --paths x/* y/* --key file:keys/k.pem").ok();
    add(&sandbox, "x/new", "new", &[]).ok();
    add(&sandbox, "x/old", "newer", &[]).ok();
    add(&sandbox, "y/new", "new", &["--role", "second"]).ok();
    let plan = sandbox.tuf_repo(&["--json", "plan"]).ok().json();
    let places: Vec<_> =
        plan["targets"].as_array().unwrap().iter().map(|target| (&target["path"], &target["role"])).collect();
    let expected =
        [("x/new", "first"), ("x/old", "targets"), ("y/new", "second")].map(|(p, r)| (json!(p), json!(r)));
    assert_eq!(places, expected.iter().map(|(path, role)| (path, role)).collect::<Vec<_>>());
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    for (path, role, expected) in [
        ("x/1", "second", "an earlier one that does is terminating"),
        ("z/1", "second", "no delegation to it covers the path"),
        ("x/old", "first", "role targets lists it, and is asked earlier"),
        ("x/1", "none", "there is no role none"),
    ] {
        add(&sandbox, path, "content", &["--role", role]).ok();
        let before = sandbox.timestamp();
        sandbox.tuf_repo(&["plan"]).code(4).says(expected);
        sandbox.tuf_repo(&["publish"]).code(4).says(expected);
        assert_eq!(sandbox.timestamp(), before);
        let undo = if path == "x/old" {
            add(&sandbox, path, "newer", &[])
        } else {
            sandbox.tuf_repo(&["remove", path])
        };
        undo.ok();
    }
    sandbox.tuf_repo(&["publish"]).ok();
    // It goes from every role in which a client could find it.
    add(&sandbox, "x/1", "1", &["--role", "first"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    add(&sandbox, "x/1", "1", &["--role", "targets"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.tuf_repo(&["remove", "x/1"]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("2 removed");
    sandbox.verify();
    assert_eq!(sandbox.targets(), ["x/new", "x/old", "y/new"]);
}

#[test]
fn only_who_has_the_keys_edits_and_publishes() {
    let sandbox = with_keys(&["--preset", "plain"], &["k", "l"]);
    sandbox.tuf_repo(&["publish"]).ok();
    let delegate = "delegate add x --paths x/* --key file:keys/k.pem --key file:keys/l.pem --threshold 2";
    let back = hide(&sandbox, "targets");
    tuf_repo(&sandbox, delegate).ok().says("tuf-repo event open targets --staged");
    tuf_repo(&sandbox, "publish")
        .code(3)
        .says("role targets needs 1 signatures")
        .says("event open targets --staged");
    tuf_repo(&sandbox, "delegate reset").ok();
    back();
    for line in ["delegate edit targets --threshold 1", "role edit targets --threshold 1"] {
        let run = tuf_repo(&sandbox, line);
        assert!(run.stderr.contains("event open root"), "{run:#?}");
        run.code(3);
    }
    tuf_repo(&sandbox, "delegate list").ok().says("targets delegates to no role");

    let back = hide(&sandbox, "l");
    tuf_repo(&sandbox, delegate).ok();
    let before = sandbox.timestamp();
    tuf_repo(&sandbox, "plan").code(3).says("file:keys/l.pem (elsewhere)").says("MORE SIGNATURES NEEDED");
    tuf_repo(&sandbox, "publish")
        .code(3)
        .says("role x needs 2 signatures")
        .says("event open targets --staged");
    assert_eq!(sandbox.timestamp(), before, "nothing is published");
    back();
    tuf_repo(&sandbox, "plan").ok();
    tuf_repo(&sandbox, "publish").ok();
    sandbox.verify();

    // A role that is due and cannot be signed keeps nothing else from being renewed.
    tuf_repo(&sandbox, "role edit x --expires 400d --renew-after 1s").ok();
    let back = hide(&sandbox, "l");
    sandbox.set_periods(&["timestamp"], "2d", "1s");
    let run = tuf_repo(&sandbox, "publish").ok().says("timestamp 3");
    assert!(run.stderr.contains("not renewed: role x needs 2 signatures"), "{run:#?}");
    back();
    tuf_repo(&sandbox, "publish").ok().says("3 files signed");
    sandbox.verify();
}

/// What is staged now, to bring it back: SQLite keeps a part of it beside the database until that is next opened.
fn staged_now(sandbox: &Sandbox) -> impl Fn() {
    let state = sandbox.repo().join("state");
    let files = ["state.db", "state.db-wal"].map(|name| state.join(name));
    let saved: Vec<_> = files.iter().map(|file| std::fs::read(file).ok()).collect();
    move || {
        std::fs::remove_file(state.join("state.db-shm")).ok();
        for (file, bytes) in files.iter().zip(&saved) {
            match bytes {
                Some(bytes) => write(file, bytes),
                None => drop(std::fs::remove_file(file)),
            }
        }
    }
}

#[test]
fn edits_are_checked_against_what_is_staged_and_what_is_published() {
    let sandbox = with_keys(&["--bins", "2"], &["k"]);
    let key = "--key file:keys/k.pem";
    tuf_repo(&sandbox, &format!("delegate add x --paths x/* {key}")).ok().says("does not match /");
    for (line, expected) in [
        (format!("delegate add x --paths y/* {key}"), "role x is delegated already, by targets"),
        (
            format!("delegate add x --paths y/* {key} --delegator x"),
            "role x is delegated already, by targets",
        ),
        (format!("delegate add y --paths y/* {key} --delegator bins"), "has hash bins or is one"),
        (format!("delegate add y --paths y/* {key} --delegator bin-2-0"), "has hash bins or is one"),
        (format!("delegate add y --paths y/* {key} --delegator none"), "there is no role none"),
        (format!("delegate add y --paths y/* {key} --threshold 2"), "cannot be met by 1 distinct keys"),
        (format!("delegate add bin-9 --paths y/* {key}"), "hash bins have such names"),
        (format!("delegate add snapshot --paths y/* {key}"), "top-level role"),
        ("delegate edit none --threshold 1".to_owned(), "there is no role none"),
        ("delegate remove none".to_owned(), "there is no role none"),
    ] {
        tuf_repo(&sandbox, &line).code(4).says(expected);
    }
    tuf_repo(&sandbox, &format!("delegate add y --paths y/a {key} --delegator x"))
        .ok()
        .says("no path that role x may");
    let list = tuf_repo(&sandbox, "--json delegate list").ok().json();
    let rows: Vec<_> =
        list.as_array().unwrap().iter().map(|row| (&row["role"], &row["depth"], &row["staged"])).collect();
    let expected =
        [("x", 1, json!("+")), ("y", 2, json!("+")), ("bins", 1, json!(null)), ("bin-n", 2, json!(null))];
    let expected: Vec<_> = expected.map(|(role, depth, staged)| (json!(role), json!(depth), staged)).into();
    assert_eq!(rows, expected.iter().map(|(role, depth, staged)| (role, depth, staged)).collect::<Vec<_>>());
    tuf_repo(&sandbox, "delegate reset").ok().says("2 staged edits are forgotten");
    tuf_repo(&sandbox, "publish").ok();
    tuf_repo(&sandbox, "delegate list").ok();

    // Published by a command that was killed before it could forget what was staged.
    for (line, says) in [
        (format!("delegate add again --paths again/* {key}"), "again"),
        ("delegate remove again".to_owned(), "bins"),
    ] {
        tuf_repo(&sandbox, &line).ok();
        let restore = staged_now(&sandbox);
        tuf_repo(&sandbox, "publish").ok();
        restore();
        tuf_repo(&sandbox, "publish").ok();
        tuf_repo(&sandbox, "publish").ok().says("nothing to publish");
        tuf_repo(&sandbox, "delegate list").ok().says(says);
    }

    // Valid when it was staged, and not when it is published.
    tuf_repo(&sandbox, &format!("delegate add x --paths x/* {key}")).ok();
    tuf_repo(&sandbox, "publish").ok();
    tuf_repo(&sandbox, "delegate edit x --paths z/*").ok();
    let restore = staged_now(&sandbox);
    tuf_repo(&sandbox, "delegate reset").ok();
    tuf_repo(&sandbox, "delegate remove x").ok();
    tuf_repo(&sandbox, "publish").ok();
    restore();
    let before = sandbox.timestamp();
    tuf_repo(&sandbox, "publish").code(4).says("targets does not delegate to x").says("delegate reset");
    assert_eq!(sandbox.timestamp(), before);
    tuf_repo(&sandbox, "delegate reset").ok();
    tuf_repo(&sandbox, "publish").ok().says("nothing to publish");
    sandbox.verify();
}

#[test]
fn a_role_is_shown_and_its_times_are_edited() {
    let sandbox = with_keys(&["--bins", "2"], &["k"]);
    tuf_repo(&sandbox, "delegate add x --paths x/* --key file:keys/k.pem --bins 2 --expires 80d").ok();
    tuf_repo(&sandbox, "publish").ok();
    let show = |role: &str| tuf_repo(&sandbox, &format!("--json role show {role}")).ok().json();
    for (role, delegator, valid) in [
        ("x", json!("targets"), "80d"),
        ("x-bin-n", json!("x"), "30d"),
        ("bin-n", json!("bins"), "30d"),
        ("bins", json!("targets"), "365d"),
        ("targets", json!(null), "365d"),
        ("root", json!(null), "365d"),
        ("timestamp", json!(null), "1d"),
    ] {
        let shown = show(role);
        assert_eq!((&shown["delegator"], &shown["valid"]), (&delegator, &json!(valid)), "{role}");
        assert_eq!(shown["keys"][0]["here"], true, "{role}");
    }
    tuf_repo(&sandbox, "role show none").code(4).says("there is no role none");
    tuf_repo(&sandbox, "role edit x").code(2);
    tuf_repo(&sandbox, "role edit x --expires 10d --renew-after 10d")
        .code(1)
        .says("renew_after must be less");
    tuf_repo(&sandbox, "role edit none --expires 10d").code(1).says("no section for role none");
    tuf_repo(&sandbox, "role edit x-bin-n --expires 10d --renew-after 9d").ok();
    assert_eq!(show("x-bin-n")["valid"], "10d");
    // What is valid for longer than it is to be is signed again.
    tuf_repo(&sandbox, "plan").ok().says("2 only because they are due");
    tuf_repo(&sandbox, "publish").ok().says("4 files signed");
    tuf_repo(&sandbox, "publish").ok().says("nothing to publish");
    sandbox.verify();
}

#[test]
fn one_change_reads_and_signs_one_bin() {
    let sandbox = with_keys(&["--bins", "64"], &[]);
    add(&sandbox, "a", "a", &[]).ok();
    tuf_repo(&sandbox, "publish").ok();
    // Damaged bins that nobody touches are not looked at; the client's check would look at those it visits.
    let names = sandbox.tree(&sandbox.public("metadata"));
    let plan = |path: &str| {
        add(&sandbox, path, path, &[]).ok();
        tuf_repo(&sandbox, "--json plan").ok().json()["roles"][0]["role"].as_str().unwrap().to_owned()
    };
    let bin = plan("b");
    for name in names.iter().filter(|name| name.starts_with("1.bin-") && **name != format!("1.{bin}.json")) {
        std::fs::remove_file(sandbox.public("metadata").join(name)).unwrap();
    }
    tuf_repo(&sandbox, "publish").ok().says("3 files signed");
    // Without the list of what expires when, every bin is read: a missing one shows.
    std::fs::remove_file(sandbox.repo().join("state/roles")).unwrap();
    tuf_repo(&sandbox, "renew").code(1).says("is published, and is not in");
}
