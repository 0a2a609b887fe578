//! Backups: what comes back, what wins over them, and what is not restored.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::hostile::Server;
use crate::support::page::Page;
use crate::support::{Run, Sandbox, TUF_REPO, write};

/// Stages a file of this name and content, and publishes it.
fn publish(sandbox: &Sandbox, repository: &Path, name: &str, content: &str) {
    stage(sandbox, repository, name, content);
    run(sandbox, repository, &["publish"]).ok();
}

fn stage(sandbox: &Sandbox, repository: &Path, name: &str, content: &str) {
    let file = sandbox.path(name);
    write(&file, content);
    run(sandbox, repository, &["add", &file.display().to_string()]).ok();
}

fn run(sandbox: &Sandbox, repository: &Path, arguments: &[&str]) -> Run {
    let mut command = sandbox.command(TUF_REPO);
    Run::of(command.arg("--repo").arg(repository).args(arguments))
}

fn restore(sandbox: &Sandbox, file: &Path, directory: &Path, more: &[&str]) -> Run {
    let (file, directory) = (file.display().to_string(), directory.display().to_string());
    Run::of(sandbox.command(TUF_REPO).args(["restore", &file, &directory]).args(more))
}

fn bytes(sandbox: &Sandbox, directory: &Path) -> Vec<(String, Vec<u8>)> {
    let names = sandbox.tree(directory).into_iter();
    names.map(|name| (name.clone(), std::fs::read(directory.join(&name)).unwrap())).collect()
}

/// A repository with a target, and a backup of it.
fn backed_up(arguments: &[&str]) -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    sandbox.anchor();
    publish(&sandbox, &sandbox.repo(), "one.txt", "one");
    let file = sandbox.path("one.tar");
    let path = file.display().to_string();
    sandbox.tuf_repo(&[&["backup", &path], arguments].concat()).ok();
    (sandbox, file)
}

#[test]
fn everything_comes_back_and_goes_on() {
    let (sandbox, _) = backed_up(&[]);
    stage(&sandbox, &sandbox.repo(), "two.txt", "two");
    sandbox.tuf_repo(&["remove", "one.txt"]).ok();
    sandbox.tuf_repo(&["event", "open", "targets", "--reason", "every year"]).ok();
    let file = sandbox.path("full.tar");
    let path = file.display().to_string();
    // Keys that anybody could use are no part of a backup by accident, and nothing is left of it.
    sandbox.tuf_repo(&["backup", &path, "--keys"]).code(4).says("not encrypted");
    assert!(!file.exists());
    let arguments = ["backup", &path, "--keys", "--unencrypted-keys", "--targets", "-m", "every night"];
    sandbox.tuf_repo(&arguments).ok().says("they do not suffice for: none").says("1 pending events");
    sandbox.tuf_repo(&arguments).code(1).says("is there already");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let new = sandbox.path("new");
    restore(&sandbox, &file, &new, &[]).ok().says("staged changes: 2").says("pending events: 1");
    assert!(bytes(&sandbox, &new.join("public")) == bytes(&sandbox, &sandbox.public("")));
    for name in ["tuf-repo.toml", "root.json", "keys/root.pem", "keys/bin-n.pub.json"] {
        let read = |directory: &Path| std::fs::read(directory.join(name)).unwrap();
        assert_eq!(read(&new), read(&sandbox.repo()), "{name}");
    }
    assert_eq!(std::fs::metadata(new.join("keys/root.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&sandbox, &new, &["event", "status"]).ok().stdout.contains("targets"));
    run(&sandbox, &new, &["publish"]).ok().says("1 targets set, 1 removed");
    let url = format!("file://{}/", new.join("public").display());
    sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", &url]).ok();
    // It is a repository now.
    restore(&sandbox, &file, &new, &[]).code(1).says("already is a repository");
}

#[test]
fn what_is_published_and_newer_wins() {
    let (sandbox, file) = backed_up(&["--keys=online", "--unencrypted-keys"]);
    publish(&sandbox, &sandbox.repo(), "two.txt", "two");
    let newer = bytes(&sandbox, &sandbox.public(""));

    // The storage is there.
    let kept = sandbox.path("kept");
    for (name, bytes) in &newer {
        write(&kept.join("public").join(name), bytes);
    }
    restore(&sandbox, &file, &kept, &[])
        .ok()
        .says("timestamp 2")
        .says("private keys: bin-n snapshot timestamp;");
    assert!(bytes(&sandbox, &kept.join("public")) == newer);

    // It is lost, and a cache or another machine still serves it.
    let server = Server::new(&sandbox.public(""));
    let saved = sandbox.path("saved");
    let url = format!("{}/", server.url());
    restore(&sandbox, &file, &saved, &["--public-url", &url, "--min-version", "2"]).ok().says("not needed");
    // Older versions, which no client asks for, are not there.
    let taken = bytes(&sandbox, &saved.join("public"));
    assert!(taken.len() > 7 && taken.iter().all(|file| newer.contains(file)));
    let url = format!("file://{}/", saved.join("public").display());
    sandbox.tuf_client(&["audit", "--fail-on", "error", "--files", &url]).ok();
    for directory in [&kept, &saved] {
        let settings = std::fs::read_to_string(directory.join("tuf-repo.toml")).unwrap();
        assert!(!settings.contains("min_version"), "{settings}");
    }

    // Older than the backup is what a copy of a copy has: the backup goes over it.
    let old = sandbox.path("old");
    for (name, bytes) in newer.iter().filter(|(name, _)| name.starts_with("metadata/1.")) {
        write(&old.join("public").join(name), bytes);
    }
    let second = sandbox.path("second.tar");
    sandbox.tuf_repo(&["backup", &second.display().to_string(), "--targets"]).ok();
    restore(&sandbox, &second, &old, &[]).ok().says("that of the backup: timestamp 2");
    assert!(bytes(&sandbox, &old.join("public")) == newer);
}

#[test]
fn clients_follow_a_restored_older_state_only_above_what_they_have_seen() {
    let (sandbox, file) = backed_up(&["--keys", "--unencrypted-keys", "--targets"]);
    for content in ["two", "three", "four"] {
        publish(&sandbox, &sandbox.repo(), "one.txt", content);
    }
    let refresh = || sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]);
    refresh().ok();
    std::fs::remove_dir_all(sandbox.repo()).unwrap();
    restore(&sandbox, &file, &sandbox.repo(), &[]).ok().says("refuse everything up to it as a rollback");
    sandbox.tuf_repo(&["publish"]).ok();
    refresh().code(4);
    std::fs::remove_dir_all(sandbox.repo()).unwrap();
    restore(&sandbox, &file, &sandbox.repo(), &["--min-version", "1"]).code(1).says("is not higher");
    assert!(!sandbox.repo().exists());
    restore(&sandbox, &file, &sandbox.repo(), &["--min-version", "5"]).ok();
    sandbox.tuf_repo(&["publish"]).ok().says("snapshot 5, timestamp 5");
    refresh().ok();
    // Once is enough.
    sandbox.tuf_repo(&["publish"]).ok().says("nothing to publish");
    publish(&sandbox, &sandbox.repo(), "two.txt", "two");
    refresh().ok();
}

#[test]
fn a_backup_that_is_not_whole_or_of_another_repository_restores_nothing() {
    let (sandbox, file) = backed_up(&["--keys", "--unencrypted-keys", "--targets"]);
    let whole = std::fs::read(&file).unwrap();
    let (damaged, new) = (sandbox.path("damaged.tar"), sandbox.path("new"));
    let refused = |bytes: &[u8], what: &str| {
        write(&damaged, bytes);
        let run = restore(&sandbox, &damaged, &new, &[]).code(4);
        assert!(run.stderr.contains("is damaged"), "{what}: {run:?}");
        assert!(!new.exists(), "{what}");
    };
    let length = whole.len();
    for cut in [0, 1, 511, 512, 1_000, length / 3, length / 2, length - 3_000] {
        refused(&whole[..cut], &format!("cut at {cut}"));
    }
    // Every part of it: settings, keys, metadata, targets, the manifest; and the tar file's own headers.
    let text = String::from_utf8_lossy(&whole);
    for part in [
        "threshold = 1",
        "BEGIN PRIVATE KEY",
        "\"_type\":\"snapshot\"",
        "\none",
        "\"first_root\"",
        "keys/root.pem",
    ] {
        let Some(at) = text.find(part) else { continue };
        let mut bytes = whole.clone();
        bytes[at + part.len() / 2] ^= 1;
        refused(&bytes, part);
    }
    // Files of another backup in between.
    let other = backed_up(&["--keys", "--unencrypted-keys"]);
    let foreign = std::fs::read(&other.1).unwrap();
    refused(&[&foreign[..5_120], &whole[5_120..]].concat(), "another's beginning");

    // Where another key would be lost.
    let keys = sandbox.path("keyed");
    write(&keys.join("keys/timestamp.pem"), "another key");
    restore(&sandbox, &file, &keys, &[]).code(1).says("timestamp.pem is there already");
    assert_eq!(std::fs::read_to_string(keys.join("keys/timestamp.pem")).unwrap(), "another key");
    assert_eq!(sandbox.tree(&keys).len(), 1);

    // Where another repository is published.
    let taken = sandbox.path("taken");
    for (name, bytes) in bytes(&other.0, &other.0.public("")) {
        write(&taken.join("public").join(name), bytes);
    }
    let before = sandbox.tree(&taken);
    restore(&sandbox, &file, &taken, &[]).code(4).says("holds another repository");
    assert_eq!(sandbox.tree(&taken), before);
}

#[test]
fn the_commands_of_the_page_on_backups_work() {
    let sandbox = Sandbox::new();
    Run::of(&mut Page::read("backup.md", 5).shell(&sandbox))
        .ok()
        .says("timestamp 20")
        .says("rebuilt from root 1")
        .says("is a repository with root 1");
}

#[test]
fn a_least_version_raises_targets_too_and_outlives_another_backup() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    sandbox.anchor();
    publish(&sandbox, &sandbox.repo(), "one.txt", "one");
    let file = sandbox.path("one.tar");
    let arguments = ["backup", &file.display().to_string(), "--keys", "--unencrypted-keys"];
    sandbox.tuf_repo(&arguments).ok();
    publish(&sandbox, &sandbox.repo(), "one.txt", "two");
    publish(&sandbox, &sandbox.repo(), "one.txt", "three");
    let refresh = || sandbox.tuf_client(&["--url", &sandbox.url(), "refresh"]);
    refresh().ok();
    std::fs::remove_dir_all(sandbox.repo()).unwrap();
    // No version is left above it, here or in other programming languages.
    for highest in ["18446744073709551615", "9007199254740991", "0"] {
        restore(&sandbox, &file, &sandbox.repo(), &["--min-version", highest]).code(2);
    }
    restore(&sandbox, &file, &sandbox.repo(), &["--min-version", "50"]).ok();
    // It is backed up and restored before anything is signed with it.
    let second = sandbox.path("second.tar");
    sandbox.tuf_repo(&["backup", &second.display().to_string(), "--keys", "--unencrypted-keys"]).ok();
    std::fs::remove_dir_all(sandbox.repo()).unwrap();
    restore(&sandbox, &second, &sandbox.repo(), &[]).ok();
    sandbox.tuf_repo(&["renew"]).ok().says("snapshot 50, timestamp 50");
    assert!(sandbox.public("metadata/50.targets.json").is_file());
    refresh().ok();
    sandbox.tuf_repo(&["renew"]).ok().says("nothing is due");
    // Settings that were written by hand.
    let settings = sandbox.repo().join("tuf-repo.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    write(&settings, text.replace("min_version = 50", "min_version = 9223372036854775807"));
    sandbox.tuf_repo(&["renew"]).code(1).says("4503599627370496 at most");
}

#[test]
fn what_was_staged_and_has_changed_since_is_not_staged_again() {
    let (sandbox, _) = backed_up(&[]);
    stage(&sandbox, &sandbox.repo(), "one.txt", "staged");
    stage(&sandbox, &sandbox.repo(), "two.txt", "staged");
    let file = sandbox.path("staged.tar");
    sandbox.tuf_repo(&["backup", &file.display().to_string(), "--keys", "--unencrypted-keys"]).ok();
    sandbox.tuf_repo(&["remove", "two.txt"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    publish(&sandbox, &sandbox.repo(), "one.txt", "newest");
    let kept = sandbox.path("kept");
    for (name, bytes) in bytes(&sandbox, &sandbox.public("")) {
        write(&kept.join("public").join(name), bytes);
    }
    restore(&sandbox, &file, &kept, &[]).ok().says("staged changes: 1;").says("are left out").says("one.txt");
    run(&sandbox, &kept, &["plan"]).ok().says("two.txt");
    run(&sandbox, &kept, &["publish"]).ok().says("1 targets set, 0 removed");
}

#[test]
fn taking_over_and_cleaning_up_have_their_lines_and_the_log_stays_intact() {
    let (sandbox, file) = backed_up(&["--keys", "--unencrypted-keys", "-m", "every night"]);
    let intact = |directory: &Path, did: &str, why: &str| {
        run(&sandbox, directory, &["log"]).ok().says(did).says(why);
        run(&sandbox, directory, &["log", "verify"]).ok().says("intact");
    };
    intact(&sandbox.repo(), "backup", "every night");
    publish(&sandbox, &sandbox.repo(), "one.txt", "two");
    sandbox.tuf_repo(&["rebuild", "-m", "to be sure"]).ok();
    intact(&sandbox.repo(), "rebuild", "to be sure");

    // Restored beside something newer that no log here knows of, and gone on.
    let kept = sandbox.path("kept");
    for (name, bytes) in bytes(&sandbox, &sandbox.public("")) {
        write(&kept.join("public").join(name), bytes);
    }
    restore(&sandbox, &file, &kept, &["-m", "the disk died"]).ok();
    intact(&kept, "restore", "the disk died");
    run(&sandbox, &kept, &["log", "verify"]).ok().says("this restore found them published");
    publish(&sandbox, &kept, "one.txt", "three");
    intact(&kept, "publish", "the disk died");

    let second = sandbox.path("second").display().to_string();
    let source = kept.join("public").display().to_string();
    let keys: Vec<String> = ["timestamp", "snapshot", "bin-n"]
        .map(|name| format!("file:{}/keys/{name}.pem", kept.display()))
        .into();
    let mut import = sandbox.command(TUF_REPO);
    import.args(["import", &source, &second, "-m", "moved"]);
    Run::of(import.args(keys.iter().flat_map(|key| ["--key", key]))).ok();
    intact(Path::new(&second), "import", "moved");
    publish(&sandbox, Path::new(&second), "one.txt", "four");
    intact(Path::new(&second), "publish", "moved");

    // Both logs together.
    let other = kept.join("log.ndjson").display().to_string();
    run(&sandbox, Path::new(&second), &["log", "verify", &other]).ok().says("intact");

    for name in sandbox.tree(&kept.join("public")) {
        let file = std::fs::File::options().append(true).open(kept.join("public").join(name)).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - std::time::Duration::from_secs(30 * 86_400)).unwrap();
    }
    let clean = ["gc", "--keep-last", "1", "--keep", "1h", "-m", "the disk is full"];
    run(&sandbox, &kept, &clean).ok();
    assert!(!run(&sandbox, &kept, &["log"]).ok().stdout.contains("the disk is full"), "nothing was removed");
    run(&sandbox, &kept, &[&clean[..], &["--delete"]].concat()).ok().says("removed");
    intact(&kept, "gc", "the disk is full");
}

#[test]
fn a_backup_that_is_made_while_others_publish_can_be_restored() {
    let (sandbox, _) = backed_up(&[]);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            for n in 0..12 {
                publish(&sandbox, &sandbox.repo(), "one.txt", &n.to_string());
            }
        });
        let mut made = 0;
        while !publisher.is_finished() {
            let (file, new) = (sandbox.path(&format!("{made}.tar")), sandbox.path(&format!("new-{made}")));
            sandbox.tuf_repo(&["backup", &file.display().to_string()]).ok();
            restore(&sandbox, &file, &new, &[]).ok();
            run(&sandbox, &new, &["log", "verify"]).ok();
            made += 1;
        }
        assert!(made > 0);
    });
}
