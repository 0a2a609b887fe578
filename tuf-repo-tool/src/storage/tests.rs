use super::*;

#[test]
fn memory_keeps_what_storage_promises() {
    storage_suite(|| Box::new(MemoryStorage::new()));
}

#[test]
fn a_directory_keeps_what_storage_promises() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    storage_suite(|| {
        count.set(count.get() + 1);
        let repository = directory.path().join(count.get().to_string());
        Box::new(LocalStorage::new(&repository.join("public"), &repository.join("state")))
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
