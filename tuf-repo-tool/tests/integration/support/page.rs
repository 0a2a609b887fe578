//! Pages of `docs/`, whose commands the tests type.

use std::path::Path;
use std::process::Command;

use super::{Sandbox, TUF_REPO, write};

/// A page, and what is to be typed of it.
pub(crate) struct Page {
    pub(crate) text: String,
    script: String,
}

impl Page {
    /// A page with so many blocks of shell.
    #[track_caller]
    pub(crate) fn read(name: &str, blocks: usize) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let found = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let found: Vec<&str> = found.collect();
        assert_eq!(found.len(), blocks, "blocks of {name}");
        let script = found.concat();
        Self { text, script }
    }

    /// Types something else than is written: what differs from machine to machine, or takes long.
    #[track_caller]
    pub(crate) fn typing(mut self, written: &str, here: &str) -> Self {
        assert!(self.script.contains(written), "{written}: {}", self.script);
        self.script = self.script.replace(written, here);
        self
    }

    /// A shell that types all of it in a sandbox, and ends at the first command that fails.
    pub(crate) fn shell(&self, sandbox: &Sandbox) -> Command {
        let script = sandbox.path("page.sh");
        write(&script, &self.script);
        let mut shell = sandbox.command("bash");
        shell.args(["-euxo", "pipefail"]).arg(&script).env("PATH", with_programs());
        shell.current_dir(sandbox.path(""));
        shell
    }
}

/// `PATH` with the programs under test first.
pub(crate) fn with_programs() -> String {
    let programs = Path::new(TUF_REPO).parent().unwrap().display();
    format!("{programs}:{}", tuf_client::env::var("PATH").unwrap())
}
