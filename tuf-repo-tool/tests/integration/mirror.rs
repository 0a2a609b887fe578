//! `tuf-repo mirror`, against an index that is honest, hostile or broken.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::{Dist, Format, Options, Sandbox, Upstream, sdist, wheel};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

/// An index with `demo` 1.0 (wheel and source) and `other` 2.0.
pub(super) fn upstream(options: Options) -> Upstream {
    let upstream = Upstream::start(options);
    upstream.publish("demo", wheel("demo", "1.0"));
    upstream.publish("demo", sdist("demo", "1.0"));
    upstream.publish("other", wheel("other", "2.0"));
    upstream
}

/// The highest version of every role that is published, by its name.
pub(super) fn versions(sandbox: &Sandbox) -> BTreeMap<String, u64> {
    let mut versions = BTreeMap::new();
    for name in sandbox.tree(&sandbox.public("metadata")) {
        if let Some((version, role)) = name.split_once('.')
            && let Ok(version) = version.parse::<u64>()
        {
            let highest = versions.entry(role.to_owned()).or_default();
            *highest = version.max(*highest);
        }
    }
    versions
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

#[test]
fn every_kind_of_index_gives_the_same_verified_files() {
    for format in [Format::Json, Format::Html] {
        for (absolute, pypi_paths, hashes) in [(true, true, true), (false, false, true), (false, true, false)]
        {
            let options = Options { format, absolute, pypi_paths, hashes, ..Options::default() };
            let (upstream, sandbox) = (upstream(options), Sandbox::new());
            sandbox.quickstart(&upstream, &["demo", "Other"]).ok().says("verified as a new client");
            sandbox.verify();
            assert_eq!(
                sandbox.files("demo"),
                ["demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"],
                "{options:?}"
            );
            let page = sandbox.page("demo");
            for (file, dist) in
                page["files"].as_array().unwrap().iter().zip([wheel("demo", "1.0"), sdist("demo", "1.0")])
            {
                assert_eq!(file["hashes"]["sha256"], sha256(&dist.bytes).as_str());
                assert_eq!(file["size"], dist.bytes.len());
                let path = file["url"].as_str().unwrap().strip_prefix("../../").unwrap();
                let kept = upstream.count(&format!("/{path}")) > 0;
                assert_eq!(kept, pypi_paths, "the upstream's path is kept if it has PyPI's form: {path}");
            }
        }
    }
}

#[test]
fn names_on_disk_are_those_of_the_layout() {
    for layout in ["pep458", "index"] {
        let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
        sandbox.init(&["--layout", layout]).ok();
        sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
        sandbox.sync(&upstream).ok();
        sandbox.verify();

        assert_eq!(sandbox.page("demo")["meta"]["_layout"], layout);
        let targets = sandbox.targets();
        let packages: Vec<_> = targets.iter().filter(|path| path.starts_with("packages/")).collect();
        let files = sandbox.tree(&sandbox.public("targets/packages"));
        let (hashed, plain): (Vec<_>, Vec<_>) = files.iter().partition(|path| {
            let name = path.rsplit('/').next().unwrap();
            name.split('.').next().unwrap().len() == 64
        });
        assert_eq!(plain.len(), 3, "a wheel, its metadata, a source distribution: {files:?}");
        if layout == "index" {
            assert_eq!((packages.len(), hashed.len()), (0, 0), "{files:?}");
            continue;
        }
        assert_eq!((packages.len(), hashed.len()), (3, 3), "{files:?}");
        for path in plain {
            let file = sandbox.public("targets/packages").join(path);
            let name = format!(
                "{}.{}",
                sha256(&std::fs::read(&file).unwrap()),
                file.file_name().unwrap().to_str().unwrap()
            );
            let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
            assert_eq!(inode(&file), inode(&file.with_file_name(name)), "a hard link, not a copy");
        }
    }
}

#[test]
fn a_second_sync_fetches_no_file_and_publishes_nothing() {
    for (format, etag) in
        [(Format::Json, true), (Format::Json, false), (Format::Html, true), (Format::Html, false)]
    {
        let (upstream, sandbox) = (upstream(Options { format, etag, ..Options::default() }), Sandbox::new());
        sandbox.quickstart(&upstream, &["demo", "other"]).ok();
        let (timestamp, page) = (sandbox.timestamp(), sandbox.page("demo"));
        let tree = sandbox.tree(&sandbox.public(""));
        upstream.take_requests();

        sandbox.tuf_repo(&["mirror", "sync"]).ok().says("nothing to publish").says("nothing new");
        assert_eq!(sandbox.timestamp(), timestamp);
        assert_eq!(sandbox.page("demo"), page);
        assert_eq!(sandbox.tree(&sandbox.public("")), tree);
        let status = if etag { 304 } else { 200 };
        let mut requests = upstream.take_requests();
        requests.sort();
        assert_eq!(requests, [format!("/simple/demo/ {status}"), format!("/simple/other/ {status}")]);
    }
}

#[test]
fn the_page_is_the_same_bytes_in_every_repository() {
    let upstream = upstream(Options::default());
    let pages: Vec<Vec<String>> = (0..2)
        .map(|_| {
            let sandbox = Sandbox::new();
            sandbox.quickstart(&upstream, &["demo"]).ok();
            // Their names are their hashes.
            sandbox.tree(&sandbox.public("targets/simple"))
        })
        .collect();
    assert_eq!(pages[0], pages[1]);
    assert_eq!(pages[0].len(), 1);
}

#[test]
fn a_changed_layout_or_a_lost_state_is_made_good_by_the_next_sync() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo"]).ok();
    let settings = std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap();
    for (layout, targets) in [("index", 1), ("pep458", 4)] {
        let edited = settings.replace("layout = \"pep458\"", &format!("layout = \"{layout}\""));
        crate::support::write(&sandbox.repo().join("tuf-repo.toml"), edited);
        sandbox.tuf_repo(&["mirror", "sync"]).ok();
        sandbox.verify();
        assert_eq!(sandbox.page("demo")["meta"]["_layout"], layout);
        assert_eq!(sandbox.targets().len(), targets);
    }
    let timestamp = sandbox.timestamp();
    std::fs::remove_dir_all(sandbox.repo().join("state")).unwrap();
    upstream.take_requests();
    sandbox.tuf_repo(&["mirror", "sync"]).ok().says("nothing to publish");
    assert_eq!(upstream.take_requests(), ["/simple/demo/ 200"]);
    assert_eq!(sandbox.timestamp(), timestamp);
}

#[test]
fn a_directory_may_have_any_name() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    for name in ["a b", "a#b", "a?b", "a%20b", "é", "'", "-x"] {
        let directory = sandbox.path("odd").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        // Relative to the working directory, as people type it.
        let run = |program: &Path, arguments: &[&str]| {
            let mut command = sandbox.command(program);
            crate::support::Run::of(command.current_dir(&directory).args(arguments)).ok()
        };
        let tuf_repo = Path::new(crate::support::TUF_REPO);
        run(tuf_repo, &["quickstart", "m r", "demo", "--once", "--upstream", &upstream.simple()]);
        run(tuf_repo, &["--repo", "m r", "mirror", "add", "other"]);
        run(tuf_repo, &["--repo", "m r", "mirror", "sync"]).says("published snapshot 2");
        run(tuf_repo, &["--repo", "m r", "status"]).says("7 targets");
        let root = ["--root", "m r/root.json"];
        run(
            &crate::support::tuf_client(),
            &[&root[..], &["audit", "--fail-on", "error", "m r/public"]].concat(),
        );
        let mut files = sandbox.tree(&directory);
        files.retain(|path| !path.starts_with("m r/"));
        assert!(files.is_empty(), "{name}: {files:?}");
    }
}

#[test]
fn a_new_release_changes_only_the_roles_that_it_touches() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.init(&["--bins", "16"]).ok();
    sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
    sandbox.sync(&upstream).ok();
    sandbox.verify();
    let before = versions(&sandbox);
    let targets_before = sandbox.targets();
    upstream.take_requests();

    upstream.publish("demo", sdist("demo", "1.1"));
    let run = sandbox.tuf_repo(&["--json", "mirror", "sync", "--upstream", &upstream.simple()]).ok();
    sandbox.verify();
    assert_eq!(upstream.count("/packages/"), 1, "only the new file: {:?}", upstream.take_requests());
    let document = run.json();
    let signed: Vec<&str> =
        document["signed"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert!(!signed.is_empty() && signed.len() <= 4, "two bins, snapshot, timestamp at most: {signed:?}");

    let after = versions(&sandbox);
    for (role, version) in &after {
        let file = format!("{version}.{role}");
        let expected = before[role] + u64::from(signed.contains(&file.as_str()));
        assert_eq!(*version, expected, "{role}; signed: {signed:?}");
    }
    for role in ["root.json", "targets.json", "bins.json"] {
        assert_eq!(after[role], 1);
    }
    assert_eq!(after["snapshot.json"], 2);
    assert_eq!(sandbox.targets().len(), targets_before.len() + 1);
}

#[test]
fn a_removed_project_is_no_target_any_more() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo", "other"]).ok();
    sandbox.tuf_repo(&["mirror", "remove", "unknown"]).code(1).says("unknown is not mirrored");
    sandbox.tuf_repo(&["mirror", "remove", "demo"]).ok();
    assert!(sandbox.targets().iter().any(|path| path.contains("demo")), "not before the sync");
    sandbox.tuf_repo(&["mirror", "sync"]).ok().says("4 removed");
    sandbox.verify();
    let targets = sandbox.targets();
    assert!(targets.iter().all(|path| path.contains("other")), "{targets:?}");
    assert_eq!(targets.len(), 3);

    sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
    sandbox.tuf_repo(&["mirror", "sync"]).ok();
    sandbox.verify();
    assert_eq!(sandbox.targets().len(), 7);
}

#[test]
fn what_was_staged_and_is_no_longer_so_upstream_is_not_published() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo", "other"]).ok();
    let targets = sandbox.targets();

    // A release that was withdrawn again before it was published.
    upstream.publish("demo", sdist("demo", "6.6"));
    sandbox.tuf_repo(&["mirror", "sync", "--no-publish"]).ok();
    upstream.edit("demo", |project| project.files.retain(|file| !file.filename.contains("6.6")));
    sandbox.tuf_repo(&["mirror", "sync"]).ok();
    assert_eq!(sandbox.targets(), targets);

    // A project that was removed and added again.
    sandbox.tuf_repo(&["mirror", "remove", "other"]).ok();
    sandbox.tuf_repo(&["mirror", "sync", "--no-publish"]).ok();
    sandbox.tuf_repo(&["mirror", "add", "other"]).ok();
    sandbox.tuf_repo(&["mirror", "sync"]).ok();
    assert_eq!(sandbox.targets(), targets);
    sandbox.verify();
}

#[test]
fn the_latest_releases_are_kept() {
    let upstream = Upstream::start(Options::default());
    for version in ["1.0", "1.1", "1.1.post1", "2.0a1", "0.9"] {
        upstream.publish("demo", sdist("demo", version));
    }
    upstream.publish("demo", sdist("demo", "1.2").yanked("broken"));
    let sandbox = Sandbox::new();
    sandbox.init(&[]).ok();
    for (latest, expected) in [
        // A post-release is a release of its own; what was yanked does not count, and stays within the span.
        ("1", &["demo-1.1.post1.tar.gz", "demo-1.2.tar.gz"][..]),
        ("2", &["demo-1.1.post1.tar.gz", "demo-1.1.tar.gz", "demo-1.2.tar.gz"]),
    ] {
        sandbox.tuf_repo(&["mirror", "add", "demo", "--latest", latest]).ok();
        sandbox.sync(&upstream).ok();
        sandbox.verify();
        assert_eq!(sandbox.files("demo"), expected);
    }
    assert_eq!(sandbox.page("demo")["files"][2]["yanked"], "broken");
    sandbox.tuf_repo(&["mirror", "add", "demo", "--latest", "0"]).code(2);
    sandbox.tuf_repo(&["mirror", "add", "demo", "--latest", "-1"]).code(2);
}

#[test]
fn a_quarantined_project_keeps_its_page_and_loses_its_files() {
    for format in [Format::Json, Format::Html] {
        let (upstream, sandbox) = (upstream(Options { format, ..Options::default() }), Sandbox::new());
        sandbox.quickstart(&upstream, &["demo"]).ok();
        upstream.edit("demo", |project| project.status = Some("quarantined".to_owned()));
        sandbox.tuf_repo(&["mirror", "sync"]).ok();
        sandbox.verify();
        assert_eq!(sandbox.targets(), ["simple/demo/index.json"]);
        let page = sandbox.page("demo");
        assert_eq!(page["project-status"]["status"], "quarantined");
        assert_eq!(page["files"], serde_json::json!([]));

        upstream.edit("demo", |project| project.status = None);
        sandbox.tuf_repo(&["mirror", "sync"]).ok();
        sandbox.verify();
        assert_eq!(sandbox.files("demo").len(), 2);
    }
}

#[test]
fn core_metadata_comes_from_the_index_or_out_of_the_wheel() {
    for metadata in [true, false] {
        let (upstream, sandbox) = (upstream(Options { metadata, ..Options::default() }), Sandbox::new());
        sandbox.quickstart(&upstream, &["demo"]).ok();
        sandbox.verify();
        assert_eq!(upstream.count(".metadata"), usize::from(metadata));
        let page = sandbox.page("demo");
        let expected = sha256(&wheel("demo", "1.0").metadata.unwrap());
        assert_eq!(page["files"][0]["core-metadata"]["sha256"], expected.as_str());
        assert_eq!(page["files"][1]["core-metadata"], false);
    }
    // Not a zip at all: mirrored as it is, without metadata, and said.
    let (upstream, sandbox) = (Upstream::start(Options::default()), Sandbox::new());
    upstream.publish("demo", Dist::new("demo-1.0-py3-none-any.whl", "no wheel"));
    sandbox.quickstart(&upstream, &["demo"]).ok().says("no core metadata");
    sandbox.verify();
    assert_eq!(sandbox.page("demo")["files"][0]["core-metadata"], false);
}
