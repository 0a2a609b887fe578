//! Names are not paths: each of the hostile ones becomes one harmless segment, or is refused.

use std::collections::BTreeSet;

use tuf_core::{RoleName, StoredFile, TargetPath, url_path};

use crate::names::hostile;

/// What no system reads as anything but a name of its own.
fn harmless(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
    !segment.is_empty() && segment.bytes().all(plain) && ![".", ".."].contains(&segment)
}

fn is_device(segment: &str) -> bool {
    let stem = segment.split('.').next().unwrap().to_ascii_lowercase();
    let named = ["con", "prn", "aux", "nul"].contains(&&*stem);
    named || (stem.len() == 4 && (stem.starts_with("com") || stem.starts_with("lpt")))
}

#[test]
fn a_role_of_a_hostile_name_is_a_harmless_file() {
    let mut files = BTreeSet::new();
    for (name, _) in hostile() {
        let possible = !name.is_empty() && name.len() <= 255 && !name.contains('\0');
        let Ok(role) = RoleName::new(&name) else {
            assert!(!possible, "{name:?}");
            continue;
        };
        assert!(possible, "{name:?}");
        for version in [None, Some(7)] {
            let file = role.file_name(version);
            assert!(harmless(&file) && file.ends_with(".json"), "{name:?}: {file}");
            assert_eq!(url_path(&file).split('/').count(), 1, "{file}");
        }
        let stored = StoredFile::Delegated(role).file_name();
        let segment = stored.strip_prefix("delegated/").unwrap();
        assert!(harmless(segment) && segment.len() <= 255 && !is_device(segment), "{name:?}: {segment}");
        assert!(files.insert(stored), "{name:?} has the file of another role");
    }
}

#[test]
fn a_target_of_a_hostile_name_is_refused_or_stays_in_its_folder() {
    assert!(hostile().len() >= 60);
    for (name, fine) in hostile() {
        let path = TargetPath::new(&*name);
        assert_eq!(path.is_ok(), fine, "{name:?}");
        let Ok(path) = path else { continue };
        assert_eq!(path.as_str(), name);
        for segment in name.split('/') {
            assert!(!["", ".", ".."].contains(&segment) && !segment.contains(['\\', ':', '\0']), "{name:?}");
            assert!(!is_device(segment), "{name:?}");
        }
        for segment in url_path(&path.remote(None)).split('/') {
            assert!(harmless(segment), "{name:?}: {segment}");
        }
    }
}
