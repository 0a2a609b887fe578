//! `tuf-repo mirror`, against an index that is hostile or broken, and files that were lost or changed on disk.

use crate::mirror::{sha256, upstream};
use crate::support::{Behaviour, Dist, Format, Options, Sandbox, Upstream, sdist, wheel};

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
    let document = run.json();
    assert_eq!(document["published"], true);
    assert_eq!(document["projects"]["demo"]["files"], 2);
    assert!(document["projects"]["unknown"]["error"]["message"].as_str().unwrap().contains("unknown"));
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
        crate::support::write(&sandbox.repo().join("tuf-repo.toml"), edited);
        sandbox.tuf_repo(&["status"]).code(1).says("project name");
        crate::support::write(&sandbox.repo().join("tuf-repo.toml"), &settings);
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
                crate::support::write(&page, "{}");
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
    crate::support::write(&page, &text);
    for path in sandbox.tree(&sandbox.public("targets/packages")) {
        if path.contains(&sha256(&good)) {
            let evil_path = path.replace(&sha256(&good), &sha256(&evil));
            crate::support::write(&sandbox.public("targets/packages").join(evil_path), &evil);
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
