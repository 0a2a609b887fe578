//! `cargo xtask coverage`: which lines of tuf-core its tests run.

use super::Failed;
use super::tools::{cargo_tool, run};

pub(crate) fn run_coverage() -> Result<(), Failed> {
    // cargo-llvm-cov reads the profiles with the compiler's own tools.
    run(std::process::Command::new("rustup").args(["component", "add", "llvm-tools"]))?;
    let mut tests = cargo_tool(
        "llvm-cov",
        "0.9.1",
        &["--package", "tuf-core", "--features", "ml-dsa", "--locked", "--lib", "--tests", "--summary-only"],
    )?;
    run(&mut tests)
}
