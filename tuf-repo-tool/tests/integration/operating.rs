//! What `docs/operating.md` says to type every day, and on bad days, works.

use crate::support::page::Page;
use crate::support::{Run, Sandbox, write};

#[test]
fn the_commands_of_the_page_on_operating_work() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "4"]).ok();
    for number in 0..20 {
        write(&sandbox.path(&format!("in/file{number}")), number.to_string());
    }
    sandbox.tuf_repo(&["add", &sandbox.path("in").display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    let run = Run::of(&mut Page::read("operating.md", 5).shell(&sandbox)).ok();
    run.says("OK: ").says("intact").says("8 of them").says("published root 2").says("rotate");
    sandbox.verify();
}
