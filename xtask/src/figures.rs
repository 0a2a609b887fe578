//! `cargo xtask figures`: the size of things.

use std::collections::BTreeSet;
use std::path::Path;

use super::Failed;
use super::tools::{cargo, output, print, run};

/// What an embedder has to build and to trust, at most.
const MOST_CRATES: usize = 60;

pub(crate) fn run_figures() -> Result<(), Failed> {
    print("crates in `cargo tree -e normal` (the crate itself not counted):");
    for (name, package, features) in [
        ("tuf-core", "tuf-core", None),
        ("tuf-client, no default features", "tuf-client", Some("")),
        ("tuf-client, http", "tuf-client", Some("http")),
        ("tuf-client, default features", "tuf-client", None),
        ("tuf-repo-tool", "tuf-repo-tool", None),
    ] {
        print(&format!("  {name:34} {}", crates(package, features)?.len()));
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

/// What an embedder without features builds: [`MOST_CRATES`] at most, and no HTTP client.
pub(crate) fn check_crates() -> Result<(), Failed> {
    let crates = crates("tuf-client", Some(""))?;
    if crates.len() > MOST_CRATES {
        let (found, list) = (crates.len(), crates.into_iter().collect::<Vec<_>>().join(", "));
        return Err(Failed(format!(
            "tuf-client without features needs {found} crates, more than {MOST_CRATES}: {list}"
        )));
    }
    match crates
        .iter()
        .find(|name| ["reqwest ", "hyper ", "rustls "].iter().any(|http| name.starts_with(http)))
    {
        Some(found) => Err(Failed(format!("tuf-client without features needs {found}"))),
        None => Ok(()),
    }
}

/// All but the package itself, with their versions.
fn crates(package: &str, features: Option<&str>) -> Result<BTreeSet<String>, Failed> {
    let mut tree =
        cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked"]);
    if let Some(features) = features {
        tree.args(["--no-default-features", "--features", features]);
    }
    let listing = output(&mut tree)?;
    let lines = listing.lines().skip(1).map(|line| line.trim_end_matches(" (*)").to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
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
