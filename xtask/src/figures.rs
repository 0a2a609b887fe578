//! `cargo xtask figures`: the size of things.

use std::collections::BTreeSet;
use std::path::Path;

use super::Failed;
use super::tools::{cargo, output, print, run};

pub(crate) fn run_figures() -> Result<(), Failed> {
    print("crates in `cargo tree -e normal` (the crate itself not counted):");
    for (name, package, features) in [
        ("tuf-core", "tuf-core", None),
        ("tuf-client, no default features", "tuf-client", Some("")),
        ("tuf-client, http", "tuf-client", Some("http")),
        ("tuf-client, default features", "tuf-client", None),
        ("tuf-repo-tool", "tuf-repo-tool", None),
    ] {
        let mut tree = cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none"]);
        if let Some(features) = features {
            tree.args(["--no-default-features", "--features", features]);
        }
        let listing = output(&mut tree)?;
        let crates: BTreeSet<&str> = listing.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        print(&format!("  {name:34} {}", crates.len().saturating_sub(1)));
    }
    print("lines of Rust (source, tests):");
    for package in ["tuf-core", "tuf-client", "tuf-repo-tool", "xtask"] {
        let source = lines(&Path::new(package).join("src"));
        let tests = lines(&Path::new(package).join("tests")) + lines(&Path::new(package).join("benches"));
        print(&format!("  {package:34} {source} {tests}"));
    }
    run(&mut cargo(&["build", "--release", "--workspace", "--bins", "--locked"]))?;
    print("release binaries, stripped, bytes:");
    for binary in ["tuf-client", "tuf-repo"] {
        let length = Path::new("target/release").join(binary).metadata().map_or(0, |found| found.len());
        print(&format!("  {binary:34} {length}"));
    }
    Ok(())
}

fn lines(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                lines(&path)
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                std::fs::read_to_string(&path).map_or(0, |text| text.lines().count())
            } else {
                0
            }
        })
        .sum()
}
