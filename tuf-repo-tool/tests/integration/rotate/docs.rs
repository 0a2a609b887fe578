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
    // Whoever reads it waits longer.
    let text = blocks.concat();
    assert!(text.contains("--overlap 2h"));
    let script = sandbox.path("page.sh");
    write(&script, text.replace("--overlap 2h", "--overlap 1s").replace("# later", "sleep 1.1"));
    let programs = Path::new(TUF_REPO).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", tuf_client::env::var("PATH").unwrap());
    let mut shell = sandbox.command("bash");
    shell.arg("-euxo").arg("pipefail").arg(&script).env("PATH", path).current_dir(sandbox.path(""));
    shell.env("TUF_PASSPHRASE", "correct horse 7");
    let run = Run::of(&mut shell).ok();
    run.says("also signs timestamp, until").says("clients get this root until").says("published root 5");
}
