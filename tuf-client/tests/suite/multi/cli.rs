//! The built binary with `--map`.

use serde_json::{Value, json};
use tempfile::TempDir;
use tuf_client::Url;

use super::repo;
use crate::common::Repo;

/// Two repositories on disk, a map of both, and their roots beside it.
struct OnDisk(TempDir);

impl OnDisk {
    fn new() -> Self {
        let setup = Self(tempfile::tempdir().unwrap());
        for (name, seed) in [("a", 40), ("b", 50)] {
            let files = repo(seed).build();
            setup.write(&format!("{name}/root.json"), &files["metadata/1.root.json"]);
            setup.publish(name, &repo(seed));
        }
        setup.map(&json!(["a", "b"]));
        setup
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        tuf_client::durable::write_atomic(&self.0.path().join(name), bytes).unwrap();
    }

    fn publish(&self, name: &str, repo: &Repo) {
        for (path, bytes) in &repo.build() {
            self.write(&format!("served/{name}/{path}"), bytes);
        }
    }

    fn map(&self, names: &Value) {
        let url = |name: &str| {
            Url::from_directory_path(self.0.path().join("served").join(name)).unwrap().to_string()
        };
        let map = json!({
            "repositories": {"a": [url("a")], "b": [url("b")]},
            "mapping": [{"paths": ["*"], "repositories": names, "threshold": 2, "terminating": true}],
        });
        self.write("map.json", map.to_string().as_bytes());
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> (String, String) {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tuf-client"))
            .args(args)
            .env_clear()
            // Of one repository: not asked for with a map.
            .env("TUF_ROOT", "/nonexistent/root.json")
            .env("TUF_URL", "https://other.example/")
            .env("XDG_DATA_HOME", self.0.path().join("data"))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
        (out, err)
    }
}

#[test]
fn the_command_line_takes_a_map_and_exits_with_4_when_repositories_disagree() {
    let setup = OnDisk::new();
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let refreshed = json(setup.run(&["--map", "map.json", "--json", "refresh"], 0).0);
    assert_eq!(refreshed["repositories"]["b"]["timestamp"], 1);
    let info = json(setup.run(&["--map", "map.json", "--json", "info", "a.txt"], 0).0);
    assert_eq!((&info["mapping"], &info["agreeing"][1]["repository"]), (&json!(0), &json!("b")));
    assert!(setup.run(&["--map", "map.json", "info", "a.txt"], 0).0.contains("targets of b"));
    setup.run(&["download", "--map", "map.json", "a.txt", "-o", "out"], 0);
    assert_eq!(std::fs::read(setup.0.path().join("out/a.txt")).unwrap(), b"alpha");
    // Another day, another opinion. What is agreed upon is not written either: all or nothing.
    let mut other = repo(50);
    other.version = 2;
    other.add("c.txt", b"c");
    other.add("a.txt", b"alphA");
    setup.publish("b", &other);
    let mut first = repo(40);
    first.add("c.txt", b"c");
    first.version = 2;
    setup.publish("a", &first);
    let output = setup.run(&["--map", "map.json", "--json", "download", "c.txt", "a.txt", "-o", "more"], 4);
    assert!(
        output.1.contains("mapping[0] needs 2 to agree on a.txt, and 1 do: a signs for 5 bytes"),
        "{}",
        output.1
    );
    assert_eq!(json(output.0)["error"]["attack"], "arbitrary-software");
    assert!(!setup.0.path().join("more/c.txt").exists());
    setup.run(&["--map", "map.json", "download", "c.txt", "-o", "more"], 0);
    assert!(setup.0.path().join("more/c.txt").exists());
    setup.run(&["--map", "map.json", "info", "none.txt"], 1);
    // A repository that goes back in time.
    setup.publish("b", &repo(50));
    let (out, _) = setup.run(&["--map", "map.json", "refresh"], 4);
    assert!(out.contains("rollback") && out.contains("timestamp 2"), "{out}");
}

#[test]
fn the_command_line_refuses_a_map_before_anything_is_written() {
    let setup = OnDisk::new();
    let nothing = |setup: &OnDisk| {
        assert!(!setup.0.path().join("data").exists() && !setup.0.path().join("stores").exists());
    };
    for args in [
        &["--map", "map.json", "--root", "a/root.json", "refresh"][..],
        &["--url", "served/a", "refresh", "--map", "map.json"],
        &["--map", "map.json", "list"],
        &["--roots", ".", "refresh"],
    ] {
        setup.run(args, 2);
        nothing(&setup);
    }
    setup.map(&json!(["a", "a"]));
    let (_, err) = setup.run(&["--map", "map.json", "refresh"], 1);
    assert!(err.contains("map.json: map: mapping[0]: the repository a is named twice"), "{err}");
    nothing(&setup);
    let map = std::fs::read_to_string(setup.0.path().join("map.json")).unwrap();
    setup.write("map.json", map.replace("\"a\":", "\"../x\":").as_bytes());
    let (_, err) = setup.run(&["--map", "map.json", "--store", "stores", "refresh"], 1);
    assert!(err.contains("repositories[\"../x\"]: this cannot be the name of a repository"), "{err}");
    nothing(&setup);
    setup.map(&json!(["a", "b"]));
    let (_, err) = setup.run(&["--map", "map.json", "--roots", "elsewhere", "refresh"], 1);
    assert!(err.contains("no pinned root: elsewhere/a/root.json") && err.contains("hint:"), "{err}");
    setup.write("roots/a/root.json", &std::fs::read(setup.0.path().join("a/root.json")).unwrap());
    setup.write("roots/b/root.json", b"{}");
    setup.run(&["--map", "map.json", "--roots", "roots", "--store", "stores", "refresh"], 4);
    nothing(&setup);
    setup.run(&["--map", "map.json", "--store", "stores", "refresh"], 0);
    assert!(setup.0.path().join("stores/b/root.json").exists() && !setup.0.path().join("data").exists());
    let (_, err) = setup.run(&["--map", "map.json", "--store", "stores/b", "refresh"], 1);
    assert!(err.contains("is the store of one repository"), "{err}");
}
