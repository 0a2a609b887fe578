//! What waits for signatures: copies that are signed at the same time, events side by side, and all that goes on meanwhile.

use std::thread::sleep;
use std::time::Duration;

use super::Ceremony;
use crate::publish_crash::sweep;
use crate::support::{Sandbox, write};

fn move_away(sandbox: &Sandbox, from: &str, to: &str) {
    let moved = sandbox.command("mv").arg(sandbox.path(from)).arg(sandbox.path(to)).status().unwrap();
    assert!(moved.success());
}

#[test]
fn offline_keys_are_never_below_the_repository() {
    let sandbox = Sandbox::new();
    for inside in ["mirror/away", "mirror", "mirror/keys/../away", "link/away"] {
        if inside.starts_with("link") {
            std::fs::create_dir_all(sandbox.repo()).unwrap();
            std::os::unix::fs::symlink(sandbox.repo(), sandbox.path("link")).unwrap();
        }
        let away = sandbox.path(inside).display().to_string();
        let run = sandbox.init(&["--preset", "offline-root", "--offline-keys", &away]);
        assert!(!sandbox.repo().join("tuf-repo.toml").exists());
        assert!(matches!(run.code, Some(1 | 4)), "{run:#?}");
        let made = sandbox.tree(&sandbox.path(""));
        assert!(!made.iter().any(|file| file.ends_with(".pem")), "{inside}: {made:?}");
    }
    let away = sandbox.path("away").display().to_string();
    let offline = ["--preset", "offline-root", "--offline-keys", &away];
    sandbox.init(&["--preset", "offline-root"]).code(2).says("--offline-keys");
    sandbox.init(&[&offline[..], &["--root-threshold", "4"]].concat()).code(1).says("root needs 4 keys");
    sandbox.init(&["--offline-keys", &away]).code(2).says("--preset offline-root");
    sandbox.init(&["--preset", "plain", "--offline-keys", &away]).code(2).says("--preset offline-root");
    // The settings that stay name the public halves, and nothing that is not here.
    sandbox.init(&offline).ok();
    let settings = std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap();
    for name in ["root-1", "root-2", "root-3", "targets-1", "targets-2", "bins-1", "bins-2"] {
        assert!(settings.contains(&format!("\"pub:keys/{name}.pub.json\"")), "{name} in {settings}");
    }
    assert_eq!(settings.matches("file:").count(), 3, "{settings}");
}

#[test]
fn nothing_pending_stops_what_is_due() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    // Whatever the daily work needs is here without them.
    move_away(sandbox, "away", "safe");
    sandbox.set_periods(&["timestamp"], "3s", "1s");
    sandbox.tuf_repo(&["renew"]).ok().says("timestamp 2");
    let id = ceremony.open(&["root", "--expires", "300d"]);
    sleep(Duration::from_millis(3100));
    sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]).code(4).says("expired");
    sandbox.set_periods(&["timestamp"], "1d", "1h");
    sandbox.tuf_repo(&["renew"]).ok().says("timestamp 3");
    sandbox.verify();
    sandbox.tuf_repo(&["publish"]).ok().says("nothing to publish");
    move_away(sandbox, "safe", "away");
    // What went on meanwhile did not make it outdated.
    ceremony.carry_out(&id, &["root-2", "root-3"]);
    // Due, and the keys are elsewhere: the online roles are renewed, and the way on is said.
    sandbox.set_periods(&["targets"], "400d", "1s");
    sandbox.set_periods(&["snapshot"], "30d", "1s");
    sandbox
        .tuf_repo(&["renew"])
        .code(3)
        .says("this machine has 0 of its keys")
        .says("tuf-repo event open targets");
    sandbox.verify();
}

#[test]
fn copies_that_are_signed_at_the_same_time_merge_in_any_order() {
    for order in [["a", "b", "c"], ["c", "b", "a"]] {
        let ceremony = Ceremony::new();
        let id = ceremony.open(&["root", "--threshold", "root=3"]);
        let copies = [("a", "root-1"), ("b", "root-2"), ("c", "root-3")];
        std::thread::scope(|scope| {
            for (name, key) in copies {
                let (ceremony, id) = (&ceremony, &id);
                scope.spawn(move || ceremony.sign(&ceremony.copy(id, name), &[key]).ok());
            }
        });
        for (count, name) in order.into_iter().enumerate() {
            ceremony.event(&["finish", &id]).code(3);
            let copy = ceremony.sandbox.path(name).display().to_string();
            let run = ceremony.event(&["import", &copy]).ok().says("1 new signatures");
            assert_eq!(run.stdout.contains("complete"), count == 2, "{run:#?}");
            ceremony.event(&["import", &copy]).ok().says("0 new signatures");
        }
        ceremony.event(&["finish"]).ok().says("published root 2");
        ceremony.sandbox.verify();
        ceremony.event(&["finish", &id]).code(1).says("it was finished");
        assert_eq!(ceremony.published("2.root.json").1, 3);
    }
}

#[test]
fn signers_of_one_file_lose_nothing() {
    let ceremony = Ceremony::new();
    let id = ceremony.open(&["root", "--threshold", "root=3"]);
    let file = ceremony.copy(&id, "shared");
    std::thread::scope(|scope| {
        for key in ["root-1", "root-2", "root-3"] {
            let (ceremony, file) = (&ceremony, &file);
            scope.spawn(move || ceremony.sign(file, &[key]).ok());
        }
    });
    ceremony.event(&["import", &file.display().to_string()]).ok().says("3 new signatures").says("complete");
}

#[test]
fn events_on_different_roles_wait_side_by_side() {
    let ceremony = Ceremony::new();
    let root = ceremony.open(&["root"]);
    let targets = ceremony.open(&["targets"]);
    let bins = ceremony.open(&["bins"]);
    ceremony.event(&["open", "bins", "-m", "twice"]).code(1).says(&bins).says("is pending already");
    assert_eq!(
        ceremony.sandbox.tuf_repo(&["--json", "event", "list"]).ok().json().as_array().unwrap().len(),
        3
    );
    ceremony.event(&["finish"]).code(1).says("which event? 3 are pending");
    // One is signed before the other is finished, one after: who must sign did not change, but the files did.
    ceremony.sign(&ceremony.bundle(&bins), &["bins-1", "bins-2"]).ok();
    ceremony.carry_out(&targets, &["targets-1", "targets-2"]);
    ceremony.carry_out(&root, &["root-1", "root-2"]);
    ceremony.event(&["status", &bins]).ok().says("by targets 2 (published): 2 of 2, met");
    ceremony.event(&["finish", &bins]).ok();
    ceremony.sandbox.verify();
    ceremony.event(&["list"]).ok().says("no event is pending");
}

#[test]
fn an_event_that_was_given_up_is_kept_and_cannot_be_finished() {
    let ceremony = Ceremony::new();
    let id = ceremony.open(&["targets"]);
    let copy = ceremony.copy(&id, "copy").display().to_string();
    ceremony.event(&["abort", &id]).ok().says("aborted");
    ceremony.event(&["abort", &id]).code(1).says("it was aborted");
    ceremony.event(&["finish", &id]).code(1).says("it was aborted");
    ceremony.event(&["import", &copy]).code(1).says("it was aborted");
    for bad in ["../../tuf-repo", "", "x/y"] {
        ceremony.event(&["abort", bad]).code(1).says("no event");
    }
    assert!(ceremony.sandbox.repo().join(format!("state/events/aborted/{id}.tufsign")).exists());
    assert_ne!(ceremony.open(&["targets", "--expires", "10d"]), id);
}

#[test]
fn an_outdated_event_is_refused_with_the_way_on() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    let ceremony = Ceremony { sandbox };
    let id = ceremony.open(&["targets"]);
    ceremony.sandbox.set_periods(&["targets"], "400d", "1s");
    ceremony.sandbox.tuf_repo(&["renew"]).ok();
    let timestamp = ceremony.sandbox.timestamp();
    for command in [&["finish", &*id], &["import", &*ceremony.bundle(&id).display().to_string()]] {
        let run = ceremony.event(command).code(4);
        run.says("it changes targets 1, and targets 2 is published").says("open it again");
    }
    ceremony.event(&["list"]).ok().says("outdated").says("tuf-repo event abort");
    assert_eq!(ceremony.sandbox.timestamp(), timestamp);
    ceremony.event(&["abort", &id]).ok();
    ceremony.open(&["targets"]);
}

#[test]
fn what_a_killed_finish_left_is_used_as_it_is() {
    let ceremony = Ceremony::new();
    let id = ceremony.open(&["targets"]);
    ceremony.sign(&ceremony.bundle(&id), &["targets-2", "targets-1"]).ok();
    let bundle: serde_json::Value =
        serde_json::from_slice(&std::fs::read(ceremony.bundle(&id)).unwrap()).unwrap();
    // The same signatures in another order: another file, of which every byte may be out in the world.
    let file = bundle["drafts"][0]["file"].as_str().unwrap();
    let mut file: serde_json::Value = serde_json::from_str(file).unwrap();
    file["signatures"].as_array_mut().unwrap().reverse();
    let left = ceremony.sandbox.public("metadata/2.targets.json");
    write(&left, file.to_string());
    ceremony.event(&["finish", &id]).ok();
    ceremony.sandbox.verify();
    assert_eq!(std::fs::read_to_string(left).unwrap(), file.to_string());
    // One that is another draft keeps its version to itself.
    write(&ceremony.sandbox.public("metadata/3.targets.json"), "{}");
    let id = ceremony.open(&["targets"]);
    assert!(id.starts_with("targets-4-"), "{id}");
    ceremony.carry_out(&id, &["targets-1", "targets-2"]);
}

#[test]
fn a_finish_that_is_hit_at_any_system_call_leaves_the_old_state_or_the_new_one() {
    let ceremony = Ceremony::new();
    // A publish with dual signatures, then the root.
    let add = ceremony.new_key("targets", "targets-3");
    let id = ceremony.open(&[
        "root",
        "--add-key",
        &add,
        "--remove-key",
        &format!("targets={}", ceremony.keyid("targets-1")),
    ]);
    ceremony
        .sign(&ceremony.bundle(&id), &["root-1", "root-2", "targets-1", "targets-2", "targets-3"])
        .ok()
        .says("complete");
    let files = ["2.root.json", "2.targets.json", "2.snapshot.json"];
    let (points, hits) = sweep(&ceremony.sandbox, &["event", "finish", &id], &files);
    println!("event finish: {points} points; hit at {hits}");
}

#[test]
fn a_root_that_was_published_by_a_finish_that_was_killed_is_copied_by_the_next() {
    let ceremony = Ceremony::new();
    let id = ceremony.open(&["root"]);
    ceremony.sign(&ceremony.bundle(&id), &["root-1", "root-2"]).ok();
    let (copy, bundle) = (ceremony.sandbox.repo().join("root.json"), ceremony.bundle(&id));
    let (before, pending) = (std::fs::read(&copy).unwrap(), std::fs::read(&bundle).unwrap());
    ceremony.event(&["finish", &id]).ok();
    let published = std::fs::read(ceremony.sandbox.public("metadata/2.root.json")).unwrap();
    for next in [&["event", "finish", &id][..], &["renew"]] {
        write(&copy, &before);
        write(&bundle, &pending);
        ceremony.sandbox.tuf_repo(next).ok();
        assert!(std::fs::read(&copy).unwrap() == published, "{next:?}");
    }
}
