//! `tuf-repo` being locked out, killed at every step, short of space, or handed a repository that somebody damaged.

use std::os::unix::fs::DirEntryExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::repository::{ALL_ROLES, mirrored, signal, start, upstream};
use crate::support::{Behaviour, Run, Sandbox, TUF_REPO, sdist, tuf_client, wait_until, wheel};
use rustix::process::Signal;

#[test]
fn who_finds_a_repository_busy_is_told_by_whom() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &[]);
    upstream.publish("demo", sdist("demo", "1.1"));
    upstream.behave("demo-1.1.tar.gz", Some(Behaviour::Hold));
    let url = upstream.simple();
    let first = start(&mut sandbox.tuf_repo_command(&["mirror", "sync", "--upstream", &url]));
    wait_until("the first sync is under way", || upstream.count("demo-1.1.tar.gz") == 1);
    let second: Vec<_> =
        [&["publish"][..], &["renew"], &["mirror", "add", "x"], &["mirror", "sync", "--upstream", &url]]
            .iter()
            .map(|arguments| start(&mut sandbox.tuf_repo_command(arguments)))
            .collect();
    for child in second {
        let run = Run::from_output("second", &child.wait_with_output().unwrap());
        run.code(1)
            .says(&format!("in use by process {} (tuf-repo)", first.id()))
            .says("hint: wait until it has ended");
    }
    // Reading needs no lock.
    sandbox.tuf_repo(&["status"]).ok();
    sandbox.verify();
    upstream.behave("demo-1.1.tar.gz", None);
    Run::from_output("first", &first.wait_with_output().unwrap()).ok();
    sandbox.verify();
    assert_eq!(sandbox.files("demo").len(), 2);
}

#[test]
fn of_two_who_change_the_settings_neither_is_lost() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    let lock = std::fs::File::options().write(true).open(sandbox.repo().join("state/lock")).unwrap();
    lock.lock().unwrap();
    let names = ["a", "b", "c"];
    let waiting: Vec<_> =
        names.iter().map(|name| start(&mut sandbox.tuf_repo_command(&["mirror", "add", name]))).collect();
    sleep(Duration::from_millis(500));
    drop(lock);
    for child in waiting {
        Run::from_output("mirror add", &child.wait_with_output().unwrap()).ok();
    }
    let settings: toml::Table =
        std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap().parse().unwrap();
    let listed: Vec<_> = settings["mirror"]["projects"].as_table().unwrap().keys().collect();
    assert_eq!(listed, names);
}

#[test]
fn a_killed_sync_is_gone_on_with() {
    for how in [Signal::KILL, Signal::INT] {
        let upstream = upstream();
        let sandbox = mirrored(&upstream, &[]);
        let timestamp = sandbox.timestamp();
        upstream.publish("demo", sdist("demo", "1.1"));
        upstream.publish("demo", sdist("demo", "1.2"));
        upstream.behave("demo-1.2.tar.gz", Some(Behaviour::Hold));
        let url = upstream.simple();
        let mut child = start(&mut sandbox.tuf_repo_command(&["mirror", "sync", "--upstream", &url]));
        wait_until("one file is there and one is half there", || {
            let files = sandbox.tree(&sandbox.public("targets"));
            let incoming = sandbox.tree(&sandbox.repo().join("state"));
            incoming.iter().any(|file| file.contains(".tmp-"))
                && files.iter().any(|file| file.ends_with("/demo-1.1.tar.gz"))
        });
        signal(&child, how);
        assert!(!child.wait().unwrap().success());
        assert_eq!(sandbox.timestamp(), timestamp);
        assert_eq!(sandbox.files("demo").len(), 1);
        sandbox.verify();

        upstream.behave("demo-1.2.tar.gz", None);
        upstream.take_requests();
        sandbox.sync(&upstream).ok();
        assert_eq!(upstream.count("demo-1.1.tar.gz"), 0, "it was there: {:?}", upstream.take_requests());
        sandbox.assert_no_leftovers();
        sandbox.verify();
        assert_eq!(sandbox.files("demo").len(), 3);
    }
}

/// Runs a command and kills it after a while; true if it was quicker.
fn killed_after(command: &mut Command, wait: Duration) -> bool {
    let mut child = start(command);
    sleep(wait);
    drop(child.kill());
    child.wait().unwrap().success()
}

/// Runs `tuf-repo` and kills it as soon as what is published was seen to change so many times, be it a temporary
/// file; true if it was quicker.
fn killed_at_step(sandbox: &Sandbox, arguments: &[&str], step: usize) -> bool {
    let metadata = sandbox.public("metadata");
    let look = || {
        let entries = std::fs::read_dir(&metadata).unwrap().map(|entry| entry.unwrap());
        let mut seen: Vec<_> = entries.map(|entry| (entry.file_name(), entry.ino())).collect();
        seen.sort();
        seen
    };
    let (mut last, mut changes) = (look(), 0);
    let mut child = start(&mut sandbox.tuf_repo_command(arguments));
    loop {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        let now = look();
        if now != last {
            (last, changes) = (now, changes + 1);
        }
        if changes >= step {
            drop(child.kill());
            return child.wait().unwrap().success();
        }
    }
}

#[test]
fn a_publish_killed_at_any_instant_leaves_the_old_state_or_the_new() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &["--bins", "8"]);
    let mut releases = 1;
    let mut completed = 0;
    for step in 0..20 {
        upstream.publish("demo", sdist("demo", &format!("2.{step}")));
        sandbox.tuf_repo(&["mirror", "sync", "--no-publish", "--upstream", &upstream.simple()]).ok();
        completed += usize::from(killed_at_step(&sandbox, &["publish"], step % 10));
        sandbox.verify();
        releases += 1;
    }
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    sandbox.assert_no_leftovers();
    assert_eq!(sandbox.files("demo").len(), releases);
    assert!(completed < 20, "none was killed in the middle");
}

#[test]
fn a_first_publish_and_a_renewal_killed_at_any_instant_are_gone_on_with() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "128"]).ok();
    let published = sandbox.public("metadata/timestamp.json");
    for step in [1, 3, 10, 50, 100, 150] {
        killed_at_step(&sandbox, &["publish"], step);
        if published.exists() {
            sandbox.verify();
        }
    }
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    sandbox.assert_no_leftovers();

    sandbox.set_periods(&ALL_ROLES, "400d", "1s");
    for step in [1, 2, 3, 10, 50, 100, 150, 200] {
        killed_at_step(&sandbox, &["renew"], step);
        sandbox.verify();
    }
    sleep(Duration::from_millis(1100));
    sandbox.tuf_repo(&["renew"]).ok();
    sandbox.verify();
    sandbox.assert_no_leftovers();
    let newest =
        sandbox.tree(&sandbox.public("metadata")).into_iter().filter(|name| name.ends_with(".root.json"));
    let newest = newest.max_by_key(|name| name.split('.').next().unwrap().parse::<u64>().unwrap()).unwrap();
    assert_eq!(
        std::fs::read(sandbox.repo().join("root.json")).unwrap(),
        std::fs::read(sandbox.public("metadata").join(newest)).unwrap(),
        "root.json is the newest root"
    );
}

#[test]
fn a_killed_init_can_be_run_again() {
    for step in 0..10_u64 {
        let sandbox = Sandbox::new();
        let directory = sandbox.repo().display().to_string();
        let init = ["init", &directory, "--no-passphrase"];
        if !killed_after(&mut sandbox.tuf_repo_command(&init), Duration::from_millis(3 * step)) {
            let run = sandbox.tuf_repo(&init);
            // Killed after the last write.
            if run.code == Some(1) {
                run.says("already is a repository");
            } else {
                run.ok();
            }
        }
        sandbox.tuf_repo(&["publish"]).ok();
        sandbox.verify();
        sandbox.assert_no_leftovers();
    }
    for missing in [
        // Between the two files of a key.
        &["tuf-repo.toml", "root.json", "public/metadata/1.root.json", "keys/snapshot.pub.json"][..],
        // Between the first root and its copy.
        &["tuf-repo.toml", "root.json"],
    ] {
        let sandbox = Sandbox::new();
        sandbox.init(&[]).ok();
        for path in missing {
            std::fs::remove_file(sandbox.repo().join(path)).unwrap();
        }
        sandbox.init(&[]).ok();
        sandbox.tuf_repo(&["publish"]).ok();
        sandbox.verify();
    }
}

#[test]
fn a_full_disk_leaves_what_is_published() {
    let upstream = upstream();
    let mut large = wheel("large", "1.0");
    large.bytes = vec![7; 400_000];
    large.metadata = None;
    upstream.publish("large", large);
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.repo()).unwrap();
    let script = r#"
        set -u
        mount -t tmpfs -o size=2m tmpfs "$REPO" || exit 99
        repo() { "$TUF_REPO_BIN" --repo "$REPO" "$@"; }
        run() { name=$1; shift; "$@" > "$OUT/$name" 2>&1; echo "$name=$?"; }
        # What SQLite would give back of its log when it opens its file is not there to be used.
        settle() {
            python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("pragma wal_checkpoint(truncate)")' \
                "$REPO/state/state.db"
        }
        fill() {
            rm -f "$REPO/filler"; settle; dd if=/dev/zero of="$REPO/filler" bs=1k 2> "$OUT/dd"
            if [ "$1" != 0 ]; then truncate -s "-$1K" "$REPO/filler"; fi
        }
        client() { "$TUF_CLIENT_BIN" --root "$REPO/root.json" --store "$OUT/store" "$@"; }
        verify() {
            run "$1-refresh" client --url "file://$REPO/public/" refresh
            run "$1-audit" client audit --fail-on error "file://$REPO/public/"
            find "$REPO" -name '.tmp-*' > "$OUT/$1-leftovers"
        }
        run init repo init "$REPO" --no-passphrase
        run add repo mirror add demo
        run sync repo mirror sync --upstream "$UPSTREAM"
        verify first
        run add2 repo mirror add large other
        cp "$REPO/public/metadata/timestamp.json" "$OUT/timestamp"
        for left in 0 4 16 100; do
            fill $left
            run full-sync-$left repo mirror sync --upstream "$UPSTREAM"
            verify full-sync-$left
        done
        rm "$REPO/filler"
        run free-sync repo mirror sync --upstream "$UPSTREAM"
        verify free-sync
        run remove repo mirror remove large
        run stage repo mirror sync --no-publish --upstream "$UPSTREAM"
        cp "$REPO/public/metadata/timestamp.json" "$OUT/timestamp"
        for left in 0 4 8; do
            fill $left
            run full-publish-$left repo publish
            cmp "$OUT/timestamp" "$REPO/public/metadata/timestamp.json" > "$OUT/full-publish-$left-cmp"
            echo "same-$left=$?"
            verify full-publish-$left
        done
        rm "$REPO/filler"
        run free-publish repo publish
        verify free-publish
    "#;
    let out = sandbox.path("out");
    std::fs::create_dir(&out).unwrap();
    let mut command = sandbox.command("unshare");
    command.args(["-rm", "sh", "-c", script]);
    command.env("REPO", sandbox.repo()).env("OUT", &out).env("UPSTREAM", upstream.simple());
    command.env("TUF_REPO_BIN", TUF_REPO).env("TUF_CLIENT_BIN", tuf_client());
    let run = Run::of(&mut command);
    assert!(
        run.stdout.contains("init=0"),
        "this test needs a small file system: `unshare -rm` and `mount -t tmpfs` must be allowed: {run:#?}"
    );
    let said = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    for line in run.stdout.lines() {
        let (name, code) = line.split_once('=').unwrap();
        let text = if out.join(name).exists() { said(name) } else { String::new() };
        let context = format!("{line}\n{text}\n{}", run.stdout);
        assert!(!text.contains("panicked"), "{context}");
        if name.starts_with("full-") && !name.ends_with("-refresh") && !name.ends_with("-audit") {
            assert_eq!(code, "1", "{context}");
            let clear = text.contains("No space left on device") || text.contains("disk is full");
            assert!(clear && text.contains("hint: free some space"), "{context}");
        } else {
            assert_eq!(code, "0", "{context}");
        }
    }
    for leftovers in sandbox.tree(&out).iter().filter(|name| name.ends_with("-leftovers")) {
        assert_eq!(said(leftovers), "", "{leftovers}");
    }
    assert!(run.stdout.contains("free-publish-audit=0"), "the script came to its end: {run:#?}");
}

#[test]
fn damaged_metadata_is_not_built_upon() {
    let upstream = upstream();
    let sandbox = mirrored(&upstream, &["--bins", "1"]);
    upstream.publish("demo", sdist("demo", "1.1"));
    let url = upstream.simple();
    for name in sandbox.tree(&sandbox.public("metadata")) {
        let path = sandbox.public("metadata").join(&name);
        let good = std::fs::read(&path).unwrap();
        let before = sandbox.tree(&sandbox.public("metadata"));
        let signed = good.windows(8).position(|window| window == b"\"signed\"").unwrap();
        let mut damaged = Vec::new();
        for at in [signed + 20, good.len() - 10, 60] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            damaged.push(bytes);
        }
        damaged.push(good[..good.len() - 1].to_vec());
        damaged.push(Vec::new());
        for bytes in damaged {
            crate::support::write(&path, &bytes);
            sandbox.tuf_repo(&["mirror", "sync", "--upstream", &url]).code(4).says("damaged");
            // A hash bin is read when it changes or is due, and there may be thousands.
            let (renew, status) = (sandbox.tuf_repo(&["renew"]), sandbox.tuf_repo(&["status"]));
            if name.contains(".bin-") {
                renew.ok().says("nothing is due");
                status.ok();
            } else {
                renew.code(4);
                status.code(4);
            }
            sandbox.tuf_repo(&["verify"]).code(4);
            assert_eq!(sandbox.tree(&sandbox.public("metadata")), before, "{name}");
        }
        crate::support::write(&path, &good);
    }
    sandbox.sync(&upstream).ok();
    sandbox.verify();
}
