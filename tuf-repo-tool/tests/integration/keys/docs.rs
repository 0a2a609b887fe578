//! What `docs/keys.md` says to type works.

use crate::support::page::Page;
use crate::support::{Run, Sandbox};

#[test]
fn the_commands_of_the_page_on_keys_work() {
    let sandbox = Sandbox::new();
    let run = Run::of(&mut Page::read("keys.md", 6).shell(&sandbox)).ok();
    // One of each kind was shown.
    for scheme in ["rsassa-pss-sha256", "ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"] {
        assert!(run.stdout.contains(scheme), "{run:#?}");
    }
    run.says("Agent pid").says("killed").says("2 in all");
}
