//! What `docs/keys.md` says to type works.

use std::path::Path;

use crate::support::{Run, Sandbox, TUF_REPO, write};

#[test]
fn the_commands_of_the_page_on_keys_work() {
    let sandbox = Sandbox::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("keys.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 6);
    let script = sandbox.path("page.sh");
    write(&script, blocks.concat());
    let programs = Path::new(TUF_REPO).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", tuf_client::env::var("PATH").unwrap());
    let mut shell = sandbox.command("sh");
    shell.arg("-eux").arg(&script).env("PATH", path).current_dir(sandbox.path(""));
    let run = Run::of(&mut shell).ok();
    // One of each kind was shown.
    for scheme in ["rsassa-pss-sha256", "ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"] {
        assert!(run.stdout.contains(scheme), "{run:#?}");
    }
    run.says("Agent pid").says("killed").says("2 in all");
}
