//! `tuf-repo gc`, `verify` and `doctor` as an operator uses them, on a directory and on a bucket.

use std::fs::File;
use std::time::Duration;

use chrono::TimeDelta;
use tuf_repo_tool::gc::{Options as Gc, gc};
use tuf_repo_tool::verify::{Options as Verify, verify};
use tuf_repo_tool::{Repository, publish};

use crate::support::s3::S3;
use crate::support::{Options, Sandbox, Upstream, sdist, wheel, write};

/// All published files, as if they had been written so many days earlier.
fn age(sandbox: &Sandbox, days: u32) {
    for name in sandbox.tree(&sandbox.public("")) {
        let file = File::options().append(true).open(sandbox.public(&name)).unwrap();
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - Duration::from_secs(u64::from(days) * 86_400)).unwrap();
    }
}

#[test]
fn a_mirror_that_keeps_the_latest_release_is_rid_of_the_others() {
    for layout in ["pep458", "index"] {
        let (upstream, sandbox) = (Upstream::start(Options::default()), Sandbox::new());
        sandbox.init(&["--layout", layout, "--bins", "2"]).ok();
        sandbox.tuf_repo(&["mirror", "add", "--latest", "1", "demo"]).ok();
        for version in ["1.0", "2.0", "3.0"] {
            upstream.publish("demo", wheel("demo", version));
            upstream.publish("demo", sdist("demo", version));
            sandbox.sync(&upstream).ok();
            age(&sandbox, 5);
        }
        let mine = sandbox.public("targets/packages/README");
        write(&mine, "what is this?");
        let before = sandbox.tree(&sandbox.public(""));

        // As it is by default, all of it may be wanted still: 3.0 was published 5 days ago, 2.0 was replaced then.
        let dry = sandbox.tuf_repo(&["gc", "--json"]).ok().json();
        assert_eq!(dry["snapshots"].as_array().unwrap().len(), 3, "{dry:#}");
        assert_eq!(sandbox.tree(&sandbox.public("")), before);
        let arguments = ["gc", "--keep-last", "1", "--keep", "1d"];
        sandbox
            .tuf_repo(&arguments)
            .ok()
            .says("garbage")
            .says("`tuf-repo gc --delete` does")
            .says("packages/README");
        assert_eq!(sandbox.tree(&sandbox.public("")), before);
        let run = sandbox.tuf_repo(&[&arguments[..], &["--delete", "-m", "the disk is full"]].concat()).ok();
        println!("{layout}:\n{}", run.stdout);
        let after = sandbox.tree(&sandbox.public(""));
        for version in ["1.0", "2.0"] {
            let old = |path: &&String| path.contains(&format!("demo-{version}"));
            assert_eq!(after.iter().filter(old).count(), 0, "{layout}: {after:?}");
            assert!(before.iter().any(|path| old(&path)));
        }
        assert!(mine.is_file());
        assert!(after.contains(&"metadata/1.root.json".to_owned()));

        sandbox.verify();
        assert_eq!(sandbox.files("demo"), ["demo-3.0-py3-none-any.whl", "demo-3.0.tar.gz"]);
        let report = sandbox.tuf_repo(&["verify", "--read", "--clients", "--json"]).ok().json();
        // A page, a wheel with its metadata, a source distribution; in layout index the page names the last ones.
        assert_eq!(report["files"], if layout == "index" { 3 } else { 4 }, "{report:#}");
        sandbox.tuf_repo(&["gc", "--keep-last", "1", "--keep", "1d", "--delete", "--json"]).ok();
        sandbox.sync(&upstream).ok().says("nothing to publish");

        // What is damaged now is found.
        let wheel = after.iter().find(|path| path.ends_with(".whl")).unwrap();
        let wheel = match layout {
            "index" => sandbox.public(wheel),
            _ => sandbox.public(
                after
                    .iter()
                    .find(|path| path.ends_with("any.whl") && path.len() > wheel.len())
                    .unwrap_or(wheel),
            ),
        };
        let bytes = std::fs::read(&wheel).unwrap();
        write(&wheel, vec![b'x'; bytes.len()]);
        sandbox.tuf_repo(&["verify"]).ok();
        sandbox.tuf_repo(&["verify", "--read"]).code(4).says("[target-hash]").says("demo-3.0");
        std::fs::remove_file(&wheel).unwrap();
        sandbox.tuf_repo(&["verify"]).code(4).says("[target-missing]").says("hint: restore it from a copy");
    }
}

#[test]
fn what_cannot_be_asked_for_is_said_by_usage() {
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    sandbox.tuf_repo(&["gc", "--grace", "59m"]).code(2).says("1h at least");
    sandbox.tuf_repo(&["gc", "--keep-last", "0"]).code(2);
    sandbox.tuf_repo(&["gc", "--delete"]).ok().says("nothing is published");
    sandbox.tuf_repo(&["verify", "--url"]).code(2).says("public_url");
    sandbox.tuf_repo(&["verify"]).code(4).says("timestamp.json");
    sandbox.tuf_repo(&["doctor"]).ok().says("nothing is published yet").says("disk");
    let key = sandbox.repo().join("keys/timestamp.pem");
    std::fs::remove_file(key).unwrap();
    sandbox.tuf_repo(&["doctor", "--problems"]).code(1).says("nothing can be renewed");
}

#[test]
fn a_bucket_is_swept_as_a_directory_is() {
    let (server, sandbox) = (S3::moto(), Sandbox::new());
    sandbox.init(&["--bins", "2"]).ok();
    let directory = sandbox.repo();
    let local = Repository::open(&directory).unwrap();
    let storage = server.storage("swept");
    for listed in local.storage().list("").unwrap() {
        let bytes = local.storage().read(&listed.path, u64::MAX).unwrap().unwrap();
        storage.create(&[tuf_repo_tool::storage::NewFile { path: listed.path, bytes }]).unwrap();
    }
    let repository = local.with_storage(storage.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let lock = repository.lock().unwrap();
        let state = repository.open_state().await.unwrap();
        let mut passphrases = tuf_repo_tool::keys::Passphrases::from_environment();
        for content in ["one", "two", "three"] {
            let file = sandbox.path("file");
            write(&file, content);
            let found = tuf_repo_tool::edit::find_files(&[file], None).unwrap();
            let placed =
                tokio::task::block_in_place(|| tuf_repo_tool::edit::place(&repository, &found)).unwrap();
            let mut changes = publish::Changes::default();
            placed.into_iter().for_each(|(path, file)| changes.set(path, file));
            let (renewal, options) = (publish::Renewal::Online, publish::Options::default());
            publish::publish(&repository, &lock, &mut passphrases, &changes, renewal, &options)
                .await
                .unwrap();
        }
        let before = storage.list("").unwrap().len();
        let now = repository.now();
        let later = repository.clone().with_clock(move || now + TimeDelta::days(30));
        let mut options = Gc::default();
        (options.keep_last, options.delete) = (1, true);
        let report = gc(&later, &lock, &state, &options).await.unwrap();
        println!("{:?}", report.garbage);
        assert_eq!((report.garbage.snapshots.files, report.garbage.targets.files), (2, 2));
        let removed = usize::try_from(report.garbage.total().files).unwrap();
        assert_eq!(storage.list("").unwrap().len(), before - removed);
        let mut options = Verify::default();
        (options.read, options.clients) = (true, true);
        let report = verify(&repository, &options).await.unwrap();
        assert_eq!(report.count(tuf_client::audit::Severity::Error), 0, "{report:#?}");
        assert_eq!(report.files, 1);
    });
}

#[test]
fn doctor_takes_an_overlap_for_what_it_is() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    write(&sandbox.path("one.txt"), "one");
    sandbox.tuf_repo(&["add", &sandbox.path("one.txt").display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.tuf_repo(&["rotate", "timestamp"]).ok();
    let run = sandbox.tuf_repo(&["doctor"]).ok().says("keys/timestamp.pem was replaced and signs too until");
    assert!(!run.stdout.contains("names other keys"), "{run:#?}");
}

/// A client that has seen each state goes on through resizing, cleaning up, and a restore of an older backup, beside something newer
/// and after all was lost.
#[test]
fn a_mirror_is_resized_cleaned_up_lost_and_restored_under_one_client() {
    for layout in ["pep458", "index"] {
        let (upstream, sandbox) = (Upstream::start(Options::default()), Sandbox::new());
        sandbox.init(&["--layout", layout, "--bins", "2"]).ok();
        sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
        upstream.publish("demo", wheel("demo", "1.0"));
        upstream.publish("demo", sdist("demo", "1.0"));
        sandbox.sync(&upstream).ok();
        let whole = || {
            sandbox.verify();
            sandbox.tuf_repo(&["verify", "--clients", "--read"]).ok();
            sandbox.tuf_repo(&["log", "verify"]).ok().says("intact");
        };
        let clean = || {
            age(&sandbox, 30);
            sandbox.tuf_repo(&["gc", "--keep-last", "1", "--keep", "1h", "--delete"]).ok();
            whole();
        };
        whole();
        sandbox.tuf_repo(&["bins", "resize", "8"]).ok();
        sandbox.tuf_repo(&["publish"]).ok();
        whole();
        clean();
        let file = sandbox.path("backup.tar").display().to_string();
        sandbox.tuf_repo(&["backup", &file, "--targets", "--keys", "--unencrypted-keys"]).ok();
        upstream.publish("demo", wheel("demo", "2.0"));
        sandbox.sync(&upstream).ok();
        clean();
        sandbox.tuf_repo(&["rotate", "bin-n"]).ok();
        sandbox.tuf_repo(&["bins", "resize", "4"]).ok();
        sandbox.tuf_repo(&["publish"]).ok();
        clean();
        assert_eq!(sandbox.files("demo").len(), 3);

        // Only what is published is left.
        for name in ["keys", "state"] {
            std::fs::remove_dir_all(sandbox.repo().join(name)).unwrap();
        }
        for name in ["tuf-repo.toml", "root.json", "log.ndjson"] {
            std::fs::remove_file(sandbox.repo().join(name)).unwrap();
        }
        let directory = sandbox.repo().display().to_string();
        let run = sandbox.tuf_repo(&["restore", &file, &directory]).ok();
        assert!(
            run.stderr.contains("bin-n: other keys") && !run.stderr.contains("targets: other keys"),
            "{run:#?}"
        );
        whole();

        // All is lost.
        std::fs::remove_dir_all(sandbox.repo()).unwrap();
        sandbox
            .tuf_repo(&["restore", &file, &directory, "--min-version", "99"])
            .ok()
            .says("under the same names");
        // Clients have seen four bins: a snapshot without these is a rollback. The eight stay in it, no lower than clients saw them.
        sandbox.tuf_repo(&["bins", "resize", "4"]).ok();
        sandbox.tuf_repo(&["publish"]).code(4).says("would go with a version below min_version");
        sandbox.tuf_repo(&["renew"]).ok();
        sandbox.tuf_repo(&["publish"]).ok();
        whole();
    }
}
