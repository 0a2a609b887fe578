//! The README's walk, with packages from the index that pip here uses, and with every installer.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::python::python;
use crate::support::{Run, Sandbox, TUF_REPO, tuf_client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Refreshes as a client of another make, downloads what it is told, and prints what it got.
const PYTHON_TUF: &str = "
import hashlib, json, pathlib, sys
from tuf.ngclient import Updater
directory, url, root, path = sys.argv[1:]
directory = pathlib.Path(directory)
for name in ('metadata', 'targets'):
    (directory / name).mkdir(parents=True)
updater = Updater(
    metadata_dir=str(directory / 'metadata'), metadata_base_url=url + '/metadata/',
    target_dir=str(directory / 'targets'), target_base_url=url + '/targets/',
    bootstrap=pathlib.Path(root).read_bytes(),
)
updater.refresh()
info = updater.get_targetinfo(path)
data = pathlib.Path(updater.download_target(info)).read_bytes()
print(json.dumps({'length': len(data), 'sha256': hashlib.sha256(data).hexdigest()}))
";

/// `tuf-repo serve` on a free port, until this is dropped.
struct Served {
    process: Child,
    url: String,
}

impl Served {
    fn new(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command(TUF_REPO);
        command.arg("--json").arg("--repo").arg(demo(sandbox)).args([
            "serve",
            "--renew",
            "--listen",
            "127.0.0.1:0",
        ]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            said += &lines.next().unwrap().unwrap();
            if let Ok(document) = serde_json::from_str::<Value>(&said) {
                break document["url"].as_str().unwrap().to_owned();
            }
        };
        Self { process, url }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

fn demo(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("demo")
}

/// `quickstart` as in the README. It finds the index as pip does, so the person's own settings count here.
fn quickstart(sandbox: &Sandbox) -> Run {
    let mut command = Command::new(TUF_REPO);
    command.current_dir(sandbox.path("")).env_remove("TUF_REPO").stdin(Stdio::null());
    Run::of(command.args(["quickstart", "demo", "six", "attrs", "idna", "--latest", "2", "--once"])).ok()
}

#[test]
fn the_walk_of_the_readme() {
    let sandbox = Sandbox::new();
    let run = quickstart(&sandbox).says("upstream: as pip here").says("published snapshot 1, timestamp 1");
    let run = run.says("verified as a new client:").says("every byte");
    drop(run.says("tuf-client --root demo/root.json --url http://127.0.0.1:8787 run -- pip install six"));
    let served = Served::new(&sandbox);
    let client = |arguments: &[&str]| {
        let mut command = sandbox.command(tuf_client());
        command
            .arg("--root")
            .arg(demo(&sandbox).join("root.json"))
            .args(["--url", &served.url])
            .args(arguments);
        command
    };
    let interpreter = python().interpreter();

    // Every installer, and what it installed can be imported.
    let pip = |program: PathBuf| vec![program.into_os_string(), "install".into(), "--no-cache-dir".into()];
    let uv = |program: PathBuf| {
        let python = [interpreter.clone().into_os_string(), "--no-cache".into()];
        let mut words = vec![program.into_os_string(), "pip".into(), "install".into(), "--python".into()];
        words.extend(python);
        words
    };
    for (name, installer, package, module) in [
        ("pip", pip(python().pip()), "six", "six"),
        ("uv", uv(python().uv()), "attrs", "attr"),
        ("old-pip", pip(python().old_pip()), "idna", "idna"),
        ("old-uv", uv(python().old_uv()), "six", "six"),
    ] {
        let out = sandbox.path(name);
        let mut command = client(&["run", "--"]);
        Run::of(command.args(installer).arg("--target").arg(&out).arg(package)).ok();
        let script = format!("import {module}; print({module}.__version__, {module}.__file__)");
        let mut import = sandbox.command(&interpreter);
        let run = Run::of(import.args(["-c", &script]).env("PYTHONPATH", &out)).ok();
        assert!(run.stdout.contains(out.to_str().unwrap()), "{name}: {run:#?}");
    }

    // The same targets, by ourselves and by python-tuf.
    let listed = Run::of(&mut client(&["--json", "list", "packages/*/*/*/six-*.whl"])).ok().json();
    let wheel = listed["targets"][0].clone();
    let path = wheel["path"].as_str().unwrap();
    drop(Run::of(&mut client(&["list"])).ok().says(path).says("simple/six/index.json"));
    drop(Run::of(&mut client(&["info", path])).ok().says(wheel["hashes"]["sha256"].as_str().unwrap()));
    let info = Run::of(&mut client(&["--json", "info", path])).ok().json();
    assert_eq!((&info["length"], &info["hashes"]), (&wheel["length"], &wheel["hashes"]));
    let out = sandbox.path("downloads");
    Run::of(client(&["download", path, "-o"]).arg(&out)).ok();
    let length = std::fs::metadata(out.join(path)).unwrap().len();
    assert_eq!(Value::from(length), wheel["length"]);
    drop(Run::of(&mut client(&["info", "no/such/target"])).code(1).says("no target no/such/target"));

    let mut command = sandbox.command(&interpreter);
    command.args(["-c", PYTHON_TUF]).arg(sandbox.path("python-tuf")).arg(&served.url);
    let theirs = Run::of(command.arg(demo(&sandbox).join("root.json")).arg(path)).ok().json();
    assert_eq!(
        (&theirs["length"], &theirs["sha256"]),
        (&wheel["length"], &wheel["hashes"]["sha256"]),
        "python-tuf got something else"
    );

    // Its keys are unencrypted, and that is all there is to say against it.
    let audit = |more: &[&str]| {
        let mut command = sandbox.command(tuf_client());
        Run::of(
            command
                .arg("--root")
                .arg(demo(&sandbox).join("root.json"))
                .args(["audit", &served.url])
                .args(more),
        )
    };
    drop(audit(&[]).code(4).says("demonstration"));
    audit(&["--fail-on", "error", "--files"]).ok();

    // Again: nothing is fetched, nothing is published.
    drop(quickstart(&sandbox).says("nothing new").says("nothing to publish"));
}
