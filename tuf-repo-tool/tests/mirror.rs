//! `tuf-repo mirror`, against an index that is honest, hostile or broken.

#[allow(dead_code, unused_imports, unreachable_pub, reason = "shared; each file uses a part of it")]
mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use support::{Behaviour, Dist, Format, Options, Sandbox, Upstream, sdist, wheel};

/// An index with `demo` 1.0 (wheel and source) and `other` 2.0.
fn upstream(options: Options) -> Upstream {
    let upstream = Upstream::start(options);
    upstream.publish("demo", wheel("demo", "1.0"));
    upstream.publish("demo", sdist("demo", "1.0"));
    upstream.publish("other", wheel("other", "2.0"));
    upstream
}

/// The highest version of every role that is published, by its name.
fn versions(sandbox: &Sandbox) -> BTreeMap<String, u64> {
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

fn sha256(bytes: &[u8]) -> String {
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
        support::write(&sandbox.repo().join("tuf-repo.toml"), edited);
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
            support::Run::of(command.current_dir(&directory).args(arguments)).ok()
        };
        let tuf_repo = Path::new(support::TUF_REPO);
        run(tuf_repo, &["quickstart", "m r", "demo", "--once", "--upstream", &upstream.simple()]);
        run(tuf_repo, &["--repo", "m r", "mirror", "add", "other"]);
        run(tuf_repo, &["--repo", "m r", "mirror", "sync"]).says("published snapshot 2");
        run(tuf_repo, &["--repo", "m r", "status"]).says("7 targets");
        let root = ["--root", "m r/root.json"];
        run(&support::tuf_client(), &[&root[..], &["audit", "--fail-on", "error", "m r/public"]].concat());
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

#[test]
fn what_the_upstream_gets_wrong_is_refused_and_the_old_page_stays() {
    type Spoil = fn(&Upstream);
    let cases: [(&str, Options, Spoil, &str); 10] = [
        (
            "a file replaced under the same name",
            Options::default(),
            |upstream| upstream.publish("demo", Dist::new("demo-1.0.tar.gz", "evil")),
            "demo-1.0.tar.gz: was mirrored with sha256",
        ),
        (
            "another hash on the page than the file has",
            Options::default(),
            |upstream| {
                let mut dist = sdist("demo", "1.1");
                dist.sha256 = Some("0".repeat(64));
                upstream.publish("demo", dist);
            },
            "demo-1.1.tar.gz: the upstream's page promises sha256 0000",
        ),
        (
            "another hash on the page than the metadata has",
            Options::default(),
            |upstream| {
                let mut dist = wheel("demo", "1.1");
                dist.metadata_sha256 = Some("0".repeat(64));
                upstream.publish("demo", dist);
            },
            "demo-1.1-py3-none-any.whl.metadata: the upstream's page promises sha256 0000",
        ),
        (
            "a file cut short, with no hash to tell",
            Options { hashes: false, ..Options::default() },
            |upstream| {
                upstream.publish("demo", sdist("demo", "1.1"));
                upstream.behave("demo-1.1.tar.gz", Some(Behaviour::Truncate));
            },
            "demo-1.1.tar.gz",
        ),
        (
            "a file cut short, with neither hash nor length to tell, but a size on the page",
            Options { hashes: false, ..Options::default() },
            |upstream| {
                upstream.publish("demo", sdist("demo", "1.1"));
                upstream.behave("demo-1.1.tar.gz", Some(Behaviour::Cut));
            },
            "demo-1.1.tar.gz",
        ),
        (
            "a page cut short",
            Options { etag: false, ..Options::default() },
            |upstream| upstream.behave("/simple/demo/", Some(Behaviour::Truncate)),
            "/simple/demo/",
        ),
        (
            "a broken file server",
            Options::default(),
            |upstream| {
                upstream.publish("demo", sdist("demo", "1.1"));
                upstream.behave("demo-1.1.tar.gz", Some(Behaviour::Status(500)));
            },
            "500",
        ),
        (
            "a broken index",
            Options::default(),
            |upstream| upstream.behave("/simple/demo/", Some(Behaviour::Status(503))),
            "503",
        ),
        (
            "no answer",
            Options::default(),
            |upstream| upstream.behave("/simple/demo/", Some(Behaviour::Close)),
            "/simple/demo/",
        ),
        (
            "a file that leads out of http",
            Options::default(),
            |upstream| upstream.publish("demo", sdist("demo", "1.1").at("file:///etc/hostname")),
            "file:///etc/hostname",
        ),
    ];
    for (what, options, spoil, message) in cases {
        let (upstream, sandbox) = (upstream(options), Sandbox::new());
        sandbox.quickstart(&upstream, &["demo", "other"]).ok();
        let page = sandbox.page("demo");
        upstream.publish("other", wheel("other", "2.1"));
        spoil(&upstream);
        let run = sandbox.tuf_repo(&["mirror", "sync"]).code(1).says("error: demo: ").says(message);
        assert!(run.stdout.contains("published"), "{what}: the other project goes on: {run:#?}");
        sandbox.verify();
        sandbox.assert_no_leftovers();
        assert_eq!(sandbox.page("demo"), page, "{what}");
        assert_eq!(sandbox.files("other").len(), 2, "{what}");
    }
}

#[test]
fn an_upstream_that_is_gone_changes_nothing() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo"]).ok();
    let timestamp = sandbox.timestamp();
    upstream.stop();
    sandbox.tuf_repo(&["mirror", "sync"]).code(1).says("error: demo: ").says("connect");
    assert_eq!(sandbox.timestamp(), timestamp);
    sandbox.verify();
}

#[test]
fn a_password_in_the_upstreams_url_is_not_printed() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.init(&[]).ok();
    sandbox.tuf_repo(&["mirror", "add", "demo", "unknown"]).ok();
    let url = upstream.simple().replace("http://", "http://user:sesame@");
    let unreachable = "http://user:sesame@127.0.0.1:1/simple/";
    upstream.behave("/packages/", Some(Behaviour::Close));
    for url in [url.as_str(), unreachable] {
        let run = sandbox.tuf_repo(&["-vv", "mirror", "sync", "--upstream", url]).code(1);
        assert!(!run.stderr.contains("sesame") && !run.stdout.contains("sesame"), "{run:#?}");
    }
    for path in sandbox.tree(&sandbox.repo()) {
        let bytes = std::fs::read(sandbox.repo().join(&path)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"sesame"), "{path}");
    }
}

#[test]
fn an_unknown_project_is_reported_and_the_others_are_published() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox
        .quickstart(&upstream, &["demo", "unknown"])
        .code(1)
        .says("has no project unknown")
        .says("spelling");
    sandbox.verify();
    assert_eq!(sandbox.files("demo").len(), 2);
    // Gone upstream: what is published stays until somebody says otherwise.
    upstream.behave("/simple/demo/", Some(Behaviour::Status(404)));
    sandbox.tuf_repo(&["mirror", "sync"]).code(1).says("has no project demo");
    assert_eq!(sandbox.files("demo").len(), 2);
}

#[test]
fn one_json_document_is_printed_whatever_fails() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    sandbox.init(&[]).ok();
    sandbox.tuf_repo(&["mirror", "add", "demo", "unknown"]).ok();
    let run = sandbox.tuf_repo(&["--json", "mirror", "sync", "--upstream", &upstream.simple()]).code(1);
    assert_eq!(run.json()["published"], true);
}

#[test]
fn hostile_project_names_are_refused() {
    let sandbox = Sandbox::new();
    let long = "a".repeat(256);
    let outside = sandbox.path("canary");
    sandbox.init(&[]).ok();
    let settings = std::fs::read_to_string(sandbox.repo().join("tuf-repo.toml")).unwrap();
    for name in ["../x", "a/b", "", ".", "..", "/etc/passwd", "a\\b", "a\nb", "a%2fb", "é", "-", &long] {
        sandbox.tuf_repo(&["mirror", "add", "--", name]).code(1).says("project name");
        let directory = outside.display().to_string();
        sandbox.tuf_repo(&["quickstart", "--once", &directory, "--", name]).code(1).says("project name");
        let quoted = serde_json::Value::from(name);
        let edited = format!("{settings}\n[mirror.projects.{quoted}]\n");
        support::write(&sandbox.repo().join("tuf-repo.toml"), edited);
        sandbox.tuf_repo(&["status"]).code(1).says("project name");
        support::write(&sandbox.repo().join("tuf-repo.toml"), &settings);
    }
    assert!(!outside.exists());
    // As long as a name may be: the page's path is too long for no file system.
    let longest = "a".repeat(255);
    let upstream = Upstream::start(Options::default());
    upstream.edit(&longest, |_| {});
    sandbox.tuf_repo(&["mirror", "add", &longest]).ok();
    sandbox.sync(&upstream).ok();
    sandbox.verify();
}

#[test]
fn hostile_file_names_never_leave_the_folder() {
    let slashes = format!("demo-1.0-py3-none-any.whl{}", "/x".repeat(200));
    let long = format!("demo-1.0+{}.tar.gz", "a".repeat(300));
    let names = [
        "../../x.whl",
        "../../demo-1.0-py3-none-any.whl",
        "/tmp/demo-1.0-py3-none-any.whl",
        "demo-1.0-py3-none-any.whl\0",
        "demo-1.0\0.tar.gz",
        "..",
        ".",
        "",
        ".tmp-demo-1.0.tar.gz",
        "demo\\..\\1.0.tar.gz",
        "C:demo-1.0.tar.gz",
        "demo-1.0.tar.gz\n",
        "other-1.0.tar.gz",
        "demo-1.0-py3-none-any.whl/../../../x.whl",
        "demo-1.0-py3-none-any.whl.metadata",
        "demo-1.0-py3-none-any.whl%2f..%2fx.whl",
        &slashes,
        &long,
    ];
    for format in [Format::Json, Format::Html] {
        let (upstream, sandbox) = (upstream(Options { format, ..Options::default() }), Sandbox::new());
        for name in names {
            // Of an HTML page, the name is the end of the address.
            let encoded =
                name.replace('%', "%25").replace('/', "%2F").replace('\0', "%00").replace('\n', "%0A");
            let url = format!("{}packages/{encoded}", upstream.simple());
            upstream.edit("demo", |project| project.files.push(Dist::new(name, "evil").at(&url)));
        }
        sandbox.quickstart(&upstream, &["demo"]).ok().says("passed over");
        sandbox.verify();
        assert_eq!(sandbox.files("demo"), ["demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"]);
        assert_eq!(sandbox.targets().len(), 4);
        let outside: Vec<_> = std::fs::read_dir(sandbox.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["mirror", "store", "downloads", "anchor.json"].contains(&name.as_str()))
            .collect();
        assert!(outside.is_empty(), "{outside:?}");
        for path in sandbox.tree(&sandbox.repo()) {
            let bytes = std::fs::read(sandbox.repo().join(&path)).unwrap();
            assert_ne!(bytes, b"evil", "{path}");
        }
    }
}

#[test]
fn hostile_addresses_never_choose_the_place_of_a_file() {
    let (upstream, sandbox) = (Upstream::start(Options::default()), Sandbox::new());
    let dist = sdist("demo", "1.0");
    upstream.publish("demo", dist.clone());
    // Served wherever the page says, and looking like PyPI's form.
    let host = upstream.simple().replace("/simple/", "");
    for (version, path) in [
        ("2.0", format!("{host}/packages/aa/bb/../../../../simple/other/")),
        ("3.0", format!("{host}/packages/%2e%2e/bb/{}/demo-3.0.tar.gz", "c".repeat(60))),
    ] {
        upstream.publish("demo", sdist("demo", version).at(&path));
        let run = sandbox.quickstart(&upstream, &["demo"]);
        assert_eq!(run.code, Some(1), "{path}: {run:#?}");
    }
    upstream.edit("demo", |project| project.files.truncate(1));
    sandbox.quickstart(&upstream, &["demo"]).ok();
    sandbox.verify();
    assert_eq!(sandbox.files("demo"), ["demo-1.0.tar.gz"]);
}

#[test]
fn a_file_name_too_long_for_its_hashed_name_does_not_stop_its_project() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    let long = format!("demo-1.1+{}.tar.gz", "a".repeat(200));
    upstream.publish("demo", Dist::new(&long, "long"));
    let run = sandbox.quickstart(&upstream, &["demo"]).ok();
    assert!(run.stderr.contains(&long) && run.stderr.contains("too long"), "{run:#?}");
    sandbox.verify();
    assert_eq!(sandbox.files("demo"), ["demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"]);
}

#[test]
fn a_file_listed_twice_is_refused() {
    let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
    upstream.edit("demo", |project| project.files.push(sdist("demo", "1.0")));
    sandbox.quickstart(&upstream, &["demo", "other"]).code(1).says("error: demo: ");
    sandbox.verify();
    assert_eq!(sandbox.files("other").len(), 1);
}

#[test]
fn a_published_file_that_was_lost_is_fetched_again() {
    for layout in ["pep458", "index"] {
        let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
        sandbox.init(&["--layout", layout]).ok();
        sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
        sandbox.sync(&upstream).ok();
        for path in sandbox.tree(&sandbox.public("targets/packages")) {
            std::fs::remove_file(sandbox.public("targets/packages").join(path)).unwrap();
        }
        sandbox.sync(&upstream).ok();
        sandbox.verify();
        let files = sandbox.tree(&sandbox.public("targets/packages"));
        assert!(files.iter().any(|path| path.ends_with("demo-1.0.tar.gz")), "{layout}: {files:?}");
        assert!(files.iter().any(|path| path.ends_with(".metadata")), "{layout}: {files:?}");
    }
}

#[test]
fn a_project_whose_page_was_lost_can_be_removed_and_added_again() {
    for damaged in [true, false] {
        let (upstream, sandbox) = (upstream(Options::default()), Sandbox::new());
        upstream.publish("demo-1", sdist("demo-1", "2"));
        sandbox.quickstart(&upstream, &["demo", "demo-1", "other"]).ok();
        let targets = sandbox.targets();
        for page in sandbox.tree(&sandbox.public("targets/simple/demo")) {
            let page = sandbox.public("targets/simple/demo").join(page);
            std::fs::remove_file(&page).unwrap();
            if damaged {
                support::write(&page, "{}");
            }
        }
        // The others go on.
        upstream.publish("other", sdist("other", "2.1"));
        sandbox.tuf_repo(&["mirror", "sync"]).code(1).says("error: demo: ").says("published snapshot 2");
        sandbox.tuf_repo(&["mirror", "remove", "demo"]).ok();
        sandbox.tuf_repo(&["mirror", "sync"]).ok();
        sandbox.verify();
        sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
        sandbox.tuf_repo(&["mirror", "sync"]).ok();
        sandbox.verify();
        assert_eq!(sandbox.targets().len(), targets.len() + 1);
    }
}

#[test]
fn a_lost_file_is_not_replaced_by_another() {
    // Without hashes on the page, what comes must still be what was signed.
    let options = Options { hashes: false, etag: false, pypi_paths: false, ..Options::default() };
    let (upstream, sandbox) = (upstream(options), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo"]).ok();
    let page = sandbox.page("demo");
    for path in sandbox.tree(&sandbox.public("targets/packages")) {
        std::fs::remove_file(sandbox.public("targets/packages").join(path)).unwrap();
    }
    upstream.publish("demo", Dist::new("demo-1.0.tar.gz", "evil"));
    sandbox.tuf_repo(&["mirror", "sync"]).code(1).says("was mirrored with sha256");
    assert_eq!(sandbox.page("demo"), page);
}

#[test]
fn a_published_page_that_was_changed_on_disk_is_not_believed() {
    // Whoever can write into public/ has no key: nothing of theirs may be signed by the next sync.
    let options = Options { hashes: false, etag: false, ..Options::default() };
    let (upstream, sandbox) = (upstream(options), Sandbox::new());
    sandbox.quickstart(&upstream, &["demo"]).ok();
    let pages = sandbox.tree(&sandbox.public("targets/simple"));
    let page = sandbox.public("targets/simple").join(&pages[0]);
    let good = sdist("demo", "1.0").bytes;
    let evil = vec![b'x'; good.len()];
    let text = std::fs::read_to_string(&page).unwrap().replace(&sha256(&good), &sha256(&evil));
    support::write(&page, &text);
    for path in sandbox.tree(&sandbox.public("targets/packages")) {
        if path.contains(&sha256(&good)) {
            let evil_path = path.replace(&sha256(&good), &sha256(&evil));
            support::write(&sandbox.public("targets/packages").join(evil_path), &evil);
        }
    }
    upstream.publish("demo", sdist("demo", "1.1"));
    let run = sandbox.tuf_repo(&["mirror", "sync"]);
    let targets = sandbox.tree(&sandbox.public("metadata"));
    for path in targets {
        let text = std::fs::read_to_string(sandbox.public("metadata").join(&path)).unwrap();
        assert!(!text.contains(&sha256(&evil)), "{path} signs what nobody fetched: {run:#?}");
    }
}

#[test]
fn an_interrupted_first_sync_is_gone_on_with() {
    for pypi_paths in [true, false] {
        let (upstream, sandbox) = (upstream(Options { pypi_paths, ..Options::default() }), Sandbox::new());
        sandbox.init(&[]).ok();
        sandbox.tuf_repo(&["mirror", "add", "demo"]).ok();
        upstream.behave("demo-1.0.tar.gz", Some(Behaviour::Status(500)));
        sandbox.sync(&upstream).code(1);
        upstream.behave("demo-1.0.tar.gz", None);
        upstream.take_requests();
        // Killed between the two names of a file.
        for path in sandbox.tree(&sandbox.public("targets/packages")) {
            if path.ends_with("/demo-1.0-py3-none-any.whl") {
                std::fs::remove_file(sandbox.public("targets/packages").join(path)).unwrap();
            }
        }
        sandbox.sync(&upstream).ok();
        let files = sandbox.tree(&sandbox.public("targets/packages"));
        assert!(files.iter().any(|path| path.ends_with("/demo-1.0-py3-none-any.whl")), "{files:?}");
        assert_eq!(upstream.count("any.whl 200"), 0, "the wheel was there: {:?}", upstream.take_requests());
        sandbox.verify();
    }
}
