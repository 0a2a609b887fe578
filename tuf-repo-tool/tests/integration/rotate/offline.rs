//! Rotations that need keys which are elsewhere, or which nobody has any more.

use super::{private_keys, publish_one_more, uris};
use crate::event::Ceremony;
use crate::support::{Sandbox, write};

/// The file of the one event that is pending, by its ID.
fn pending(ceremony: &Ceremony) -> String {
    let events = ceremony.sandbox.repo().join("state/events");
    let all = ceremony.sandbox.tree(&events);
    let ids: Vec<_> = all
        .iter()
        .filter(|file| !file.contains('/'))
        .filter_map(|file| file.strip_suffix(".tufsign"))
        .collect();
    assert_eq!(ids.len(), 1, "{all:?}");
    ids[0].to_owned()
}

#[test]
fn online_keys_are_replaced_when_those_of_root_and_bins_have_signed() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    let command = ["rotate", "timestamp", "snapshot", "bin-n", "--overlap", "1h"];
    let run = sandbox.tuf_repo(&command).code(3);
    run.says("root has 0 of 2 by root 1 (published)")
        .says("bins has 0 of 2")
        .says("the same command goes on");
    let (id, keys) = (pending(&ceremony), private_keys(sandbox));
    // Nothing is published, and nothing is stopped; asked again, it is the same rotation.
    publish_one_more(sandbox, "meanwhile.txt");
    sandbox.tuf_repo(&command).code(3);
    assert_eq!((pending(&ceremony), private_keys(sandbox)), (id.clone(), keys.clone()));
    ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-3", "bins-1"]).ok();
    sandbox.tuf_repo(&command).code(3).says("bins has 1 of 2");
    ceremony.sign(&ceremony.bundle(&id), &["bins-2"]).ok().says("complete");
    sandbox.tuf_repo(&command).ok().says("published root 2").says("also signs snapshot, until");
    assert_eq!(private_keys(sandbox), keys);
    assert_eq!(ceremony.published("timestamp.json").1, 2);
    assert_eq!(ceremony.published("2.bin-2-0.json").1, 1);
    assert_eq!(uris(sandbox, "bin-n"), ["file:keys/bin-n-2.pem"]);
    publish_one_more(sandbox, "later.txt");
    sandbox.tuf_repo(&["rotate", "--end"]).ok();
    publish_one_more(sandbox, "last.txt");
    sandbox.verify();
}

#[test]
fn a_rotation_whose_event_is_outdated_is_opened_again_with_the_same_new_key() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    sandbox.tuf_repo(&["rotate", "timestamp"]).code(3);
    let (id, keys) = (pending(&ceremony), private_keys(sandbox));
    // Another root comes first, as if another machine had published it.
    let bundle = std::fs::read(ceremony.bundle(&id)).unwrap();
    std::fs::remove_file(ceremony.bundle(&id)).unwrap();
    let other = ceremony.open(&["root"]);
    ceremony.carry_out(&other, &["root-1", "root-2"]);
    write(&ceremony.bundle(&id), bundle);
    sandbox.tuf_repo(&["rotate", "timestamp"]).code(3).says("by root 2 (published)");
    assert_ne!(pending(&ceremony), id);
    assert_eq!(private_keys(sandbox), keys);
    ceremony.sign(&ceremony.bundle(&pending(&ceremony)), &["root-1", "root-2"]).ok();
    sandbox.tuf_repo(&["rotate", "timestamp"]).ok().says("published root 3");
    sandbox.verify();
}

#[test]
fn keys_of_targets_and_bins_that_nobody_has_are_replaced_from_the_root_down() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    let away = sandbox.path("away");
    for gone in ["targets-1", "targets-2", "bins-1", "bins-2"] {
        std::fs::remove_file(away.join(format!("{gone}.pem"))).unwrap();
    }
    publish_one_more(sandbox, "first.txt");
    let olds = ["targets-1", "targets-2", "bins-1", "bins-2"];
    let rotate = |more: &[&str]| sandbox.tuf_repo(&[&["rotate"], &olds[..], &["--discarded"], more].concat());
    // Without them there is nobody who could make and sign new ones.
    rotate(&[]).code(1).says("is not a file here").says("--offline-keys DIR");
    let inside = sandbox.repo().join("keys").display().to_string();
    rotate(&["--offline-keys", &inside]).code(4).says("offline keys are kept away from it");
    let new = sandbox.path("new").display().to_string();
    std::fs::create_dir(&new).unwrap();
    let here = ["--offline-keys", &*new, "--no-passphrase", "--overlap", "1s", "-m", "thrown away"];
    rotate(&here).code(3).says("root has 0 of 2 by root 1 (published)");
    let id = pending(&ceremony);
    let drafts = ceremony.event(&["show", &id]).ok();
    let drafts = drafts.says("order   the root appears first");
    drafts.says("targets: + targets-3 (").says("bins: + bins-3 (").says("bins: - bins-1 (");
    ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-2"]).ok().says("complete");

    // First a root that lists the old and the new ones: what is published holds under it.
    rotate(&here).ok().says("published root 2").says("clients get this root until");
    assert_eq!(
        ceremony.published("2.root.json").0["roles"]["targets"]["keyids"].as_array().unwrap().len(),
        4
    );
    assert!(!sandbox.public("metadata/2.targets.json").exists());
    sandbox.verify();
    publish_one_more(sandbox, "second.txt");
    // Then, when clients have it, what the new keys signed; nobody else's signature was needed.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    rotate(&[]).ok().says("the old keys are still listed");
    assert_eq!(ceremony.published("2.targets.json").1, 2);
    assert_eq!(uris(sandbox, "bins"), ["pub:keys/bins-3.pub.json", "pub:keys/bins-4.pub.json"]);
    sandbox.verify();
    // At last the old ones go, by an ordinary event.
    rotate(&[]).code(3).says("root has 0 of 2 by root 2 (published)");
    ceremony.sign(&ceremony.bundle(&pending(&ceremony)), &["root-2", "root-3"]).ok().says("complete");
    rotate(&[]).ok().says("published root 3");
    assert_eq!(uris(sandbox, "targets"), ["pub:keys/targets-3.pub.json", "pub:keys/targets-4.pub.json"]);
    assert_eq!(
        ceremony.published("3.root.json").0["roles"]["targets"]["keyids"].as_array().unwrap().len(),
        2
    );
    publish_one_more(sandbox, "third.txt");
    sandbox.verify();
    // The new keys are where they were made, and nowhere in the repository.
    assert_eq!(private_keys(sandbox), ["bin-n", "snapshot", "timestamp"]);
    assert!(sandbox.path("new/targets-3.pem").exists());
}

#[test]
fn the_grace_of_a_root_that_comes_first_is_kept_by_whoever_finishes_the_event() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    let away = sandbox.path("away").display().to_string();
    for gone in ["targets-1.pem", "targets-2.pem"] {
        std::fs::remove_file(sandbox.path("away").join(gone)).unwrap();
    }
    let here = ["--offline-keys", &*away, "--no-passphrase", "--discarded"];
    sandbox
        .tuf_repo(&[&["rotate", "targets-1", "targets-2"], &here[..]].concat())
        .ok()
        .says("published root 2");
    let id = pending(&ceremony);
    ceremony.event(&["finish", &id]).code(1).says("that have not got root 2").says("rotate --end");
    // Also if nobody knows any more when it came.
    std::fs::remove_file(sandbox.repo().join("state/rotation.json")).unwrap();
    ceremony.event(&["finish", &id]).code(1).says("that have not got root 2");
    sandbox.tuf_repo(&["rotate", "--end"]).ok();
    ceremony.event(&["finish", &id]).ok();
    assert_eq!(ceremony.published("2.targets.json").1, 2);
    // The keys of root there sign for a key that is used here, and that is replaced here.
    let run = sandbox.tuf_repo(&["rotate", "timestamp", "--offline-keys", &away]).ok();
    run.says("file:keys/timestamp-2.pem").says("published root 3");
    sandbox.verify();
}

#[test]
fn keys_of_offline_roles_and_of_a_delegated_one_are_replaced_where_they_are_here() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    sandbox.tuf_repo(&["key", "generate", "acme", "--no-passphrase"]).ok();
    publish_one_more(&sandbox, "first.txt");
    let acme = ["delegate", "add", "acme", "--paths", "acme/*", "--key", "file:keys/acme.pem", "--bins", "2"];
    sandbox.tuf_repo(&acme).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    for (key, says) in [
        ("root", "published root 2"),
        ("targets", "published root 3"),
        ("bins", "4 files signed"),
        ("bin-n", "5 files signed"),
        // Itself, and its two hash bins.
        ("acme", "6 files signed"),
    ] {
        sandbox.tuf_repo(&["rotate", key]).ok().says(says);
        sandbox.tuf_repo(&["rotate", key]).code(1).says("may sign for nothing that is published");
        sandbox.verify();
    }
    for role in ["root", "targets", "bins", "bin-n", "acme"] {
        assert_eq!(uris(&sandbox, role), [format!("file:keys/{role}-2.pem")]);
    }
    assert_eq!(uris(&sandbox, "acme-bin-n"), ["file:keys/acme-2.pem"]);
    publish_one_more(&sandbox, "second.txt");
    // By its ID, and by one that somebody else made.
    let shown = sandbox.tuf_repo(&["--json", "key", "show", "acme-2"]).ok().json();
    let id = shown["keyid"].as_str().unwrap().to_owned();
    sandbox.tuf_repo(&["key", "generate", "dave", "--no-passphrase"]).ok();
    sandbox.tuf_repo(&["rotate", &id[..12], "--to", "file:keys/dave.pem"]).ok().says("file:keys/dave.pem");
    assert_eq!(uris(&sandbox, "acme"), ["file:keys/dave.pem"]);
    for (arguments, says) in [
        (&["rotate", "nobody"][..], "there are root-2"),
        (&["rotate", "timestamp", "snapshot", "--to", "file:keys/dave.pem"], "--to names 1"),
        (&["rotate", "timestamp", "--to", "file:keys/timestamp.pem"], "replaced by itself"),
        (&["rotate", "timestamp", "--to", "file:keys/absent.pem"], "absent.pub.json"),
        (
            &["rotate", "targets-2", "--to", "file:keys/targets.pem"],
            "has signed for targets before, up to root 2",
        ),
    ] {
        sandbox.tuf_repo(arguments).code(1).says(says);
    }
    sandbox.verify();
}
