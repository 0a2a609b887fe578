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
