//! The crate reads no file, no clock and no environment, and opens no connection.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn no_dependency_does_io() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "tuf-core", "-e", "normal", "--prefix", "none", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"tuf-core") && crates.contains(&"ring"), "{tree}");
    for banned in ["tokio", "reqwest", "hyper", "rustls", "tempfile", "mio", "socket2"] {
        assert!(!crates.contains(&banned), "tuf-core depends on {banned}:\n{tree}");
    }
    assert!(!crates.contains(&"aws-lc-rs"), "only the feature `ml-dsa` brings it:\n{tree}");
}

#[test]
fn no_source_file_names_io() {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20);
    for file in files {
        for (index, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            for banned in [
                "std::fs",
                "std::net",
                "std::time",
                "std::thread",
                "std::env",
                "std::process",
                "SystemTime",
                "Instant",
                "Utc::now",
            ] {
                assert!(!line.contains(banned), "{}:{}: {banned}", file.display(), index + 1);
            }
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
