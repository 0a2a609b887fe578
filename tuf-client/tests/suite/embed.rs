//! What embedders rely on: the examples run, and what they share between threads may be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::json;
use tuf_client::durable::write_atomic;
use tuf_client::{Client, ClientBuilder, Error, Target, Url, View, blocking};

use crate::common::{Files, Repo};
use crate::web::{head, listen, respond_file};

/// Does not compile if one of them cannot go to another thread.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    const fn cheap_to_clone<T: Clone + Send + Sync + 'static>() {}
    cheap_to_clone::<Client>();
    cheap_to_clone::<View>();
    cheap_to_clone::<blocking::Client>();
    cheap_to_clone::<blocking::View>();
    cheap_to_clone::<blocking::MultiClient>();
    cheap_to_clone::<Target>();
    cheap_to_clone::<Url>();
    shared::<ClientBuilder>();
    shared::<Error>();
    shared::<tuf_client::multi::MultiClient>();
    shared::<tuf_client::store::StoreError>();
    shared::<tuf_client::transport::TransportError>();
};

/// A repository on the loopback interface.
async fn serve(files: Files) -> String {
    let files = Arc::new(files);
    let address = listen(move |mut stream| {
        let files = Arc::clone(&files);
        async move {
            let head = head(&mut stream).await?;
            respond_file(&mut stream, &files, &head).await
        }
    })
    .await;
    format!("http://{address}/")
}

/// Nobody answers there.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

/// Everything that a target's path says, with other bytes of the same length.
fn forged(mut files: Files) -> Files {
    for (_, bytes) in files.iter_mut().filter(|(path, _)| path.ends_with("a.txt")) {
        *bytes = b"ALPHA".to_vec();
    }
    files
}

/// A scratch directory with the pinned root.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new(files: &Files) -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_atomic(&directory.path().join("root.json"), &files["metadata/1.root.json"]).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs an example as it was built, in the scratch directory.
    async fn run(&self, example: &str, arguments: &[&str]) -> Output {
        // target/debug/deps/suite-… and target/debug/examples/…
        let tests = std::env::current_exe().unwrap();
        let built = tests.parent().and_then(Path::parent).unwrap().join("examples").join(example);
        let program = built.with_extension(std::env::consts::EXE_EXTENSION);
        assert!(program.is_file(), "{} is missing: cargo build --examples", program.display());
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path()).env("HOME", self.0.path());
        for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(proxy);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_installer_installs_and_tells_an_attack_by_its_code() {
    let files = Repo::new().build();
    let (good, bad) = (serve(files.clone()).await, serve(forged(files.clone())).await);
    let scratch = Scratch::new(&files);
    for path in ["a.txt", "packages/six.whl"] {
        let output = scratch.run("installer", &["root.json", &good, "store", path, "out"]).await;
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(std::fs::read(scratch.path("out/a.txt")).unwrap(), b"alpha");
    assert_eq!(std::fs::read(scratch.path("out/packages/six.whl")).unwrap(), b"six");

    let output = scratch.run("installer", &["root.json", &bad, "other", "a.txt", "bad"]).await;
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("looks like: "), "{}", said(&output));
    assert!(!scratch.path("bad/a.txt").exists());
    let output = scratch.run("installer", &["root.json", &good, "store", "missing", "out"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_is_used_offline_and_nothing_else() {
    let files = Repo::new().build();
    let url = serve(files.clone()).await;
    let scratch = Scratch::new(&files);
    let run = async |mode, target, out| {
        scratch.run("offline", &[mode, "root.json", &url, "store", "cache", target, out]).await
    };
    let output = run("fetch", "a.txt", "out").await;
    assert!(output.status.success(), "{}", said(&output));
    let output = run("use", "a.txt", "later").await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read(scratch.path("later/a.txt")).unwrap(), b"alpha");
    // The server is there, and is not asked.
    let output = run("use", "dir/b.txt", "later").await;
    assert!(!output.status.success() && said(&output).contains("was not fetched"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_and_a_lying_mirror_are_named_and_passed_over() {
    let files = Repo::new().build();
    let (dead, bad) = (nowhere().await, serve(forged(files.clone())).await);
    let good = serve(files.clone()).await;
    let scratch = Scratch::new(&files);
    let urls = ["root.json", "store", "a.txt", "out", &dead, &bad, &good];
    let output = scratch.run("mirrors", &urls).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read(scratch.path("out/a.txt")).unwrap(), b"alpha");
    let text = said(&output);
    assert!(text.contains(&format!("{dead}metadata/: {dead}")), "{text}");
    // Without an honest one there is nothing.
    let output = scratch.run("mirrors", &["root.json", "store", "a.txt", "none", &dead, &bad]).await;
    assert!(!output.status.success() && !scratch.path("none/a.txt").exists(), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_needs_both_repositories() {
    let files = Repo::new().build();
    let one = serve(files.clone()).await;
    for (bytes, agrees) in [("alpha", true), ("other", false)] {
        // Two repositories have two roots.
        let mut second = Repo::new();
        second.root.header.expires -= chrono::TimeDelta::days(1);
        second.add("a.txt", bytes.as_bytes());
        let second = second.build();
        let two = serve(second.clone()).await;
        let scratch = Scratch::new(&files);
        let map = json!({
            "repositories": {"one": [one], "two": [two]},
            "mapping": [{"paths": ["*"], "repositories": ["one", "two"], "threshold": 2, "terminating": true}],
        });
        write_atomic(&scratch.path("map.json"), map.to_string().as_bytes()).unwrap();
        for (name, files) in [("one", &files), ("two", &second)] {
            let root = &files["metadata/1.root.json"];
            write_atomic(&scratch.path(&format!("roots/{name}/root.json")), root).unwrap();
        }
        let arguments = ["map.json", "roots", "stores", "a.txt", "out"];
        let output = scratch.run("several_repositories", &arguments).await;
        assert_eq!(output.status.success(), agrees, "{}", said(&output));
        assert_eq!(std::fs::read(scratch.path("out/a.txt")).is_ok(), agrees);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transport_of_ones_own_can_only_fail() {
    let files = Repo::new().build();
    let scratch = Scratch::new(&files);
    let good = serve(files.clone()).await;
    let output = scratch.run("own_transport", &["root.json", &good, "dir/b.txt"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("verified: 4 bytes of dir/b.txt"), "{}", said(&output));
    for url in [serve(forged(files.clone())).await, serve(Files::new()).await] {
        let output = scratch.run("own_transport", &["root.json", &url, "a.txt"]).await;
        assert!(!output.status.success(), "{}", said(&output));
    }
}
