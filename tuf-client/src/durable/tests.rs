use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::*;
use crate::clock;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn write_creates_parents_replaces_and_leaves_no_temporary_file() {
    let dir = dir();
    let path = dir.path().join("a/b/file");
    for bytes in [&b"first"[..], b"", b"second, longer"] {
        write_atomic(&path, bytes).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(names(path.parent().unwrap()), ["file"]);
}

#[test]
fn create_never_replaces_and_tells_same_from_different() {
    let dir = dir();
    let path = dir.path().join("file");
    let long = vec![7; COMPARE_BUFFER * 2 + 1];
    let mut other = long.clone();
    *other.last_mut().unwrap() = 8;
    assert_eq!(create_new(&path, &long).unwrap(), Created::New);
    assert_eq!(create_new(&path, &long).unwrap(), Created::Same);
    assert_eq!(create_new(&path, &other).unwrap(), Created::Different);
    assert_eq!(create_private(&path, b"short").unwrap(), Created::Different);
    assert_eq!(fs::read(&path).unwrap(), long);
    assert_eq!(create_new(&dir.path().join("empty"), b"").unwrap(), Created::New);
    assert_eq!(create_new(&dir.path().join("empty"), b"").unwrap(), Created::Same);
    assert_eq!(names(dir.path()), ["empty", "file"]);
}

#[test]
fn a_second_name_never_replaces() {
    let dir = dir();
    let path = |name: &str| dir.path().join(name);
    write_atomic(&path("file"), b"bytes").unwrap();
    assert_eq!(link_new(&path("file"), &path("a/second")).unwrap(), Created::New);
    assert_eq!(link_new(&path("file"), &path("a/second")).unwrap(), Created::Same);
    write_atomic(&path("taken"), b"other").unwrap();
    assert_eq!(link_new(&path("file"), &path("taken")).unwrap(), Created::Different);
    assert_eq!(fs::read(path("a/second")).unwrap(), b"bytes");
    assert_eq!(fs::read(path("taken")).unwrap(), b"other");
    assert_eq!(link_new(&path("none"), &path("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(
        (names(dir.path()), names(&path("a"))),
        (vec!["a".into(), "file".into(), "taken".into()], vec!["second".into()])
    );
}

#[test]
fn of_racing_creators_exactly_one_wins() {
    let dir = dir();
    let path = dir.path().join("file");
    let results: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8_u8)
            .map(|n| {
                let path = &path;
                scope.spawn(move || create_new(path, &[n]).unwrap())
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| **result == Created::New).count(), 1);
    assert_eq!(results.iter().filter(|result| **result == Created::Different).count(), 7);
}

#[test]
fn an_abandoned_file_is_never_visible_and_is_removed() {
    let dir = dir();
    let path = dir.path().join("file");
    let mut placed = Placed::create(&path, Access::Private).unwrap();
    placed.append(b"half").unwrap();
    assert_eq!(placed.written(), 4);
    assert!(!path.exists());
    assert!(names(dir.path()).iter().all(|name| name.starts_with(TEMPORARY)));
    drop(placed);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_batch_does_nothing_until_committed_then_everything() {
    let dir = dir();
    let (old, gone) = (dir.path().join("old"), dir.path().join("gone"));
    write_atomic(&old, b"1").unwrap();
    write_atomic(&gone, b"1").unwrap();
    let fill = || {
        let mut batch = WriteBatch::new(Access::Private);
        batch.write(&old, b"2").unwrap();
        batch.remove(&gone);
        batch.remove(&dir.path().join("never was"));
        for n in 0..20 {
            batch.create(&dir.path().join(format!("many/{n}")), b"x").unwrap();
        }
        batch
    };
    drop(fill());
    assert_eq!(fs::read(&old).unwrap(), b"1");
    assert!(names(&dir.path().join("many")).is_empty());
    fill().commit().unwrap();
    assert_eq!(fs::read(&old).unwrap(), b"2");
    assert!(!gone.exists());
    assert_eq!(names(&dir.path().join("many")).len(), 20);
    fill().commit().unwrap(); // the same bytes again are no conflict
}

#[cfg(target_os = "linux")]
#[test]
fn many_files_are_synced_at_once_before_one_of_them_has_its_name() {
    use ops::watch::{Done, Watch};

    let dir = dir();
    for (count, at_once) in [(MANY - 1, false), (MANY, true)] {
        let directory = dir.path().join(count.to_string());
        let watch = Watch::new(&directory);
        let mut batch = WriteBatch::new(Access::Shared);
        for n in 0..count {
            batch.create(&directory.join(format!("{}/{n}", n % 3)), b"x").unwrap();
        }
        let known = batch.whole.is_some();
        batch.commit().unwrap();
        let done = watch.done();
        let position = |wanted: fn(&Done) -> bool| done.iter().position(wanted);
        let whole = position(|done| matches!(done, Done::SyncFileSystem(_)));
        let one = position(|done| matches!(done, Done::SyncFile(_)));
        assert_eq!((whole.is_some(), one.is_some()), (at_once && known, !(at_once && known)), "{count}");
        assert!(whole.or(one) < position(|done| matches!(done, Done::Rename(..))));
        let directories = done.iter().filter(|done| matches!(done, Done::SyncDir(_))).count();
        assert!(directories >= 3, "{directories}");
    }
}

#[test]
fn a_batch_that_fails_keeps_what_came_before_and_not_what_came_after() {
    let dir = dir();
    let path = |name: &str| dir.path().join(name);
    write_atomic(&path("taken"), b"1").unwrap();
    let mut batch = WriteBatch::new(Access::Shared);
    batch.write(&path("before"), b"2").unwrap();
    batch.create(&path("taken"), b"2").unwrap();
    batch.write(&path("after"), b"2").unwrap();
    let error = batch.commit().unwrap_err();
    assert_eq!((error.kind(), error.path()), (io::ErrorKind::AlreadyExists, path("taken").as_path()));
    assert_eq!(names(dir.path()), ["before", "taken"]);
    assert_eq!(fs::read(path("taken")).unwrap(), b"1");
}

#[test]
fn names_that_leave_the_root_are_refused() {
    let dir = dir();
    for name in ["", "/etc/x", "..", "a/../b", "a//b", "./a", "a/.", "a/", "a\0b", "a/../../b"] {
        checked_join(dir.path(), name).unwrap_err();
    }
    for name in ["a", "a/b/c", "..a/b..", ".tmp", "a b/ü"] {
        assert_eq!(checked_join(dir.path(), name).unwrap(), dir.path().join(name));
    }
    write_atomic(&dir.path().join("file"), b"").unwrap();
    let error = checked_join(dir.path(), "file/below").unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("not a directory"));
}

#[test]
fn sweep_removes_old_temporary_files_only() {
    let dir = dir();
    let old = SystemTime::from(clock::now()) - Duration::from_secs(7200);
    for (name, aged) in [(".tmp-old", true), (".tmp-young", false), ("old", true)] {
        let file = File::create(dir.path().join(name)).unwrap();
        if aged {
            file.set_modified(old).unwrap();
        }
    }
    fs::create_dir(dir.path().join(".tmp-directory")).unwrap();
    assert_eq!(sweep(dir.path()).unwrap(), 1);
    assert_eq!(names(dir.path()), [".tmp-directory", ".tmp-young", "old"]);
    assert_eq!(sweep_older_than(dir.path(), Duration::ZERO).unwrap(), 1);
    assert_eq!(sweep(&dir.path().join("missing")).unwrap(), 0);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn private_files_and_directories_are_the_owners_alone() {
        let dir = dir();
        let path = dir.path().join("store/sub/key");
        write_private(&path, b"secret").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&dir.path().join("store")), 0o700);
        let shared = dir.path().join("public/file");
        write_atomic(&shared, b"x").unwrap();
        assert_eq!(mode(&shared) & 0o600, 0o600);
        assert_eq!(mode(&shared) & 0o111, 0);
    }

    #[test]
    fn a_link_at_the_final_name_is_replaced_not_followed() {
        let dir = dir();
        let (outside, link) = (dir.path().join("outside"), dir.path().join("link"));
        write_atomic(&outside, b"theirs").unwrap();
        symlink(&outside, &link).unwrap();
        assert_eq!(create_new(&link, b"theirs").unwrap(), Created::Different);
        write_atomic(&link, b"ours").unwrap();
        assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&outside).unwrap(), b"theirs");
    }

    #[test]
    fn a_linked_directory_below_the_root_is_refused() {
        let dir = dir();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink(dir.path().join("real"), dir.path().join("linked")).unwrap();
        let error = checked_join(dir.path(), "linked/file").unwrap_err();
        assert_eq!(error.path(), dir.path().join("linked"));
        checked_join(dir.path(), "real/file").unwrap();
        checked_join(&dir.path().join("linked"), "file").unwrap(); // the root itself is the caller's
    }

    #[test]
    fn errors_name_the_path() {
        let dir = dir();
        write_atomic(&dir.path().join("file"), b"").unwrap();
        let error = write_atomic(&dir.path().join("file/below"), b"").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        fs::create_dir_all(dir.path().join("directory/full")).unwrap();
        let error = write_atomic(&dir.path().join("directory"), b"").unwrap_err();
        assert!(error.to_string().ends_with("directory"), "{error}");
    }
}
