//! Hostile names below a directory: nothing is ever written outside of it, through a symbolic link neither.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use tuf_client::durable::{checked_join, write_atomic};

#[path = "../../../tuf-core/tests/names.rs"]
mod names;

/// Everything below a directory, links not followed.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found
}

#[test]
fn no_name_leads_out_of_its_directory() {
    assert!(names::hostile().len() >= 60);
    let mut written = 0;
    for (name, fine) in names::hostile() {
        let sandbox = tempfile::tempdir().unwrap();
        let root = sandbox.path().join("root");
        std::fs::create_dir(&root).unwrap();
        match checked_join(&root, &name) {
            Ok(path) => {
                let below =
                    path.strip_prefix(&root).unwrap_or_else(|_| panic!("{name:?}: {}", path.display()));
                let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
                assert!(below.components().count() > 0 && below.components().all(plain), "{name:?}");
                // What the file system does not take, it may refuse. Two thousand directories take it long.
                written += usize::from(name.len() < 1_000 && write_atomic(&path, b"x").is_ok());
            }
            // A path may be one, and too long for this file system.
            Err(error) => assert!(!fine || error.kind() == ErrorKind::InvalidFilename, "{name:?}: {error:?}"),
        }
        let outside: Vec<_> =
            files(sandbox.path()).into_iter().filter(|path| !path.starts_with(&root)).collect();
        assert_eq!(outside, Vec::<PathBuf>::new(), "{name:?}");
    }
    assert!(written >= 10, "{written}: the test writes nothing");
}

#[cfg(unix)]
#[test]
fn no_name_leads_through_a_symbolic_link() {
    for name in ["link/x", "link/../x", "link/sub/x", "sub/link/x", "link"] {
        let (outside, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(root.path().join("sub")).unwrap();
        for link in ["link", "sub/link"] {
            std::os::unix::fs::symlink(outside.path(), root.path().join(link)).unwrap();
        }
        match checked_join(root.path(), name) {
            // The link itself is what a write replaces.
            Ok(path) => {
                assert_eq!(name, "link");
                write_atomic(&path, b"x").unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}"),
        }
        assert_eq!(files(outside.path()), Vec::<PathBuf>::new(), "{name}");
    }
}
