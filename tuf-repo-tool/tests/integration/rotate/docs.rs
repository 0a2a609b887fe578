//! What `docs/rotation.md` says to type works.

use std::path::Path;

use crate::support::{Run, Sandbox, TUF_REPO, write};

#[test]
fn the_commands_of_the_page_on_rotation_work() {
    let sandbox = Sandbox::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("rotation.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 7);
    let mut text = blocks.concat();
    for (written, here) in [
        // Whoever reads it waits longer.
        ("--overlap 2h", "--overlap 1s"),
        ("# later", "sleep 1.1"),
        // One repository with encrypted keys is enough: each is slow to unlock.
        ("tuf-repo init pypi", "tuf-repo init pypi --no-passphrase"),
        ("generate dave", "generate dave --no-passphrase"),
        ("--offline-keys safe --overlap", "--offline-keys safe --no-passphrase --overlap"),
    ] {
        assert!(text.contains(written), "{written}: {text}");
        text = text.replace(written, here);
    }
    let script = sandbox.path("page.sh");
    write(&script, text);
    let programs = Path::new(TUF_REPO).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", tuf_client::env::var("PATH").unwrap());
    let mut shell = sandbox.command("bash");
    shell.arg("-euxo").arg("pipefail").arg(&script).env("PATH", path).current_dir(sandbox.path(""));
    shell.env("TUF_PASSPHRASE", "correct horse 7");
    let run = Run::of(&mut shell).ok();
    run.says("also signs timestamp, until").says("clients get this root until").says("published root 5");
    let new = std::fs::read_to_string(sandbox.path("mirror/keys/timestamp-2.pem")).unwrap();
    assert!(new.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
}
