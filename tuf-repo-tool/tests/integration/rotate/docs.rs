//! What `docs/rotation.md` says to type works.

use crate::support::page::Page;
use crate::support::{Run, Sandbox};

#[test]
fn the_commands_of_the_page_on_rotation_work() {
    let sandbox = Sandbox::new();
    let page = Page::read("rotation.md", 7)
        // Whoever reads it waits longer.
        .typing("--overlap 2h", "--overlap 1s")
        .typing("# later", "sleep 1.1")
        // One repository with encrypted keys is enough: each is slow to unlock.
        .typing("tuf-repo init pypi", "tuf-repo init pypi --no-passphrase")
        .typing("generate dave", "generate dave --no-passphrase")
        .typing("--offline-keys safe --overlap", "--offline-keys safe --no-passphrase --overlap");
    let run = Run::of(page.shell(&sandbox).env("TUF_PASSPHRASE", "correct horse 7")).ok();
    run.says("also signs timestamp, until").says("clients get this root until").says("published root 5");
    let new = std::fs::read_to_string(sandbox.path("mirror/keys/timestamp-2.pem")).unwrap();
    assert!(new.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
}
