//! One run of the built program, and what it cost.

use std::fs::File;
use std::time::Duration;

use crate::measured;

pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// In KiB.
    pub(crate) peak: u64,
    pub(crate) code: Option<i32>,
    /// The last line it wrote to stderr.
    pub(crate) said: String,
}

/// Runs the program in a fresh directory that has nothing but the root.
pub(crate) fn run(root: &[u8], arguments: &[String]) -> Cost {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    tuf_client::durable::write_atomic(&at("root.json"), root).unwrap();
    let stderr = at("stderr");
    let measured::Cost { wall, cpu, peak, code } = measured::cost(
        measured::measuring(&[], env!("CARGO_BIN_EXE_tuf-client"))
            .args(["--root", "root.json", "--store", "store"])
            .args(arguments)
            .env_clear()
            .current_dir(directory.path())
            .stderr(File::create(&stderr).unwrap()),
    );
    let said = std::fs::read_to_string(&stderr).unwrap_or_default();
    let said = said.lines().find(|line| line.contains("error")).or_else(|| said.lines().last());
    let said = said.unwrap_or_default().to_owned();
    Cost { wall, cpu, peak, code, said }
}
