use super::*;

#[test]
fn memory_keeps_what_storage_promises() {
    storage_suite(|| Arc::new(MemoryStorage::new()));
}

#[test]
fn a_directory_keeps_what_storage_promises() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    storage_suite(|| {
        count.set(count.get() + 1);
        let repository = directory.path().join(count.get().to_string());
        Arc::new(LocalStorage::new(&repository.join("public"), &repository.join("state")))
    });
}

#[test]
fn without_a_url_it_is_the_directory_public() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(None, directory.path()).unwrap();
    storage.create(&[NewFile { path: "a/b".to_owned(), bytes: b"x".to_vec() }]).unwrap();
    assert_eq!(storage.local(), Some(&*directory.path().join("public")));
    assert_eq!(std::fs::read(directory.path().join("public/a/b")).unwrap(), b"x");
}

#[test]
fn an_object_store_keeps_what_storage_promises() {
    storage_suite(|| {
        let store = Arc::new(object_store::memory::InMemory::new());
        Arc::new(ObjectStorage::new(store, "s3://bucket/a/b", "a/b").unwrap())
    });
}

/// Credentials in a URL would end up in messages and in settings that are passed on.
#[test]
fn a_url_of_another_kind_is_refused() {
    for url in ["", "public", "file:///srv/public", "ftp://index.example/", "s3://id:secret@bucket/"] {
        let error = open(Some(url), Path::new("unused")).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("s3://BUCKET/PREFIX")), "{url}: {error}");
    }
}

/// What lies in `state/` is linked, what is somebody else's is copied: it may be changed later.
#[cfg(unix)]
#[test]
fn a_published_file_shares_its_bytes_with_working_files_alone() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let directory = tempfile::tempdir().unwrap();
    let storage = open(None, directory.path()).unwrap();
    let cases = [("state/ours", 0o644, 2), ("state/private", 0o600, 1), ("theirs", 0o644, 1)];
    for (local, mode, names) in cases {
        let local = directory.path().join(local);
        tuf_client::durable::write_atomic(&local, b"bytes").unwrap();
        std::fs::set_permissions(&local, std::fs::Permissions::from_mode(mode)).unwrap();
        let path = format!("targets/{names}/{mode}");
        storage.place(&path, &local).unwrap();
        let published = directory.path().join("public").join(&path);
        assert_eq!(std::fs::metadata(&published).unwrap().nlink(), names, "{}", local.display());
        assert_eq!(std::fs::read(published).unwrap(), b"bytes");
    }
}

/// A link below the root leads nowhere, whoever made it.
#[cfg(unix)]
#[test]
fn links_in_the_directory_are_not_followed() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    tuf_client::durable::write_atomic(&outside.join("file"), b"secret").unwrap();
    let storage = open(None, directory.path()).unwrap();
    storage.create(&[NewFile { path: "a".to_owned(), bytes: Vec::new() }]).unwrap();
    symlink(&outside, directory.path().join("public/dir")).unwrap();
    symlink(outside.join("file"), directory.path().join("public/file")).unwrap();
    let new = |path: &str| [NewFile { path: path.to_owned(), bytes: b"x".to_vec() }];
    for path in ["dir/file", "file"] {
        assert!(storage.read(path, 100).is_err() && storage.length(path).is_err(), "{path}");
        assert!(storage.create(&new(path)).is_err(), "{path}");
        assert!(storage.swap(path, Some(b"secret"), b"x").is_err(), "{path}");
        assert!(storage.place(path, &outside.join("file")).is_err(), "{path}");
    }
    assert!(storage.create(&new("dir/new")).is_err() && storage.remove(&["dir/file".to_owned()]).is_err());
    let listed: Vec<_> = storage.list("").unwrap().into_iter().map(|listed| listed.path).collect();
    assert_eq!(listed, ["a"]);
    assert_eq!(std::fs::read(outside.join("file")).unwrap(), b"secret");
}
