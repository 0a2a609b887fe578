//! From the store alone.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn offline_uses_what_is_stored_and_asks_nobody() {
    let setup = Setup::new().await;
    let cache = || TargetCache::new(&setup.path("cache"));
    let offline = || setup.builder().store(setup.store()).cache(cache()).offline().build().unwrap();
    let error = offline().refresh().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotStored(_)), "{error}");
    assert!(error.hint().unwrap().contains("online") && !error.is_refusal());

    let online = setup.builder().store(setup.store()).cache(cache()).build().unwrap();
    let view = online.refresh().await.unwrap();
    assert!(!view.is_offline());
    download(&view, "large.bin", &setup.path("out")).await.unwrap();
    setup.server.0.asked.lock().unwrap().clear();
    let stored = files(&setup.path("store"));

    let view = offline().refresh().await.unwrap();
    assert!(view.is_offline() && !view.is_stale());
    assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), large());
    // Neither a target nor a delegated role that were never fetched.
    let error = download(&view, "a.txt", &setup.path("two")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotStored(name) if name.ends_with("a.txt")), "{error}");
    let wanted = view.wanted(&find(&view, "a.txt").await);
    assert!(matches!(view.open(&wanted).await.unwrap_err().kind(), ErrorKind::NotStored(_)));
    assert!(matches!(view.read(&wanted, 100).await.unwrap_err().kind(), ErrorKind::NotStored(_)));
    let six = TargetPath::new("packages/six.whl").unwrap();
    let error = view.find(&six).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotStored(name) if name.ends_with("packages.json")), "{error}");
    assert_eq!(*setup.server.0.asked.lock().unwrap(), []);
    assert_eq!(files(&setup.path("store")), stored, "nothing is written");

    // Once it was searched for and saved, it is there.
    let view = online.refresh().await.unwrap();
    view.find(&six).await.unwrap().unwrap();
    view.save().await.unwrap();
    let view = offline().refresh().await.unwrap();
    assert_eq!(view.find(&six).await.unwrap().unwrap().role, RoleName::new("packages").unwrap());
}

/// Every plain file below a directory, with its bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_above_the_stored_view_does_not_hide_it_offline() {
    let mut setup = Setup::new().await;
    let store = setup.store();
    setup.builder().store(store.clone()).build().unwrap().refresh().await.unwrap();
    // A newer state that cannot be completed.
    setup.repo.version = 2;
    setup.publish();
    setup.server.0.files.lock().unwrap().remove("metadata/2.targets.json");
    setup.builder().store(store.clone()).build().unwrap().refresh().await.unwrap_err();
    assert!(store.peek(&StoredFile::FloorTimestamp, 100_000).unwrap().is_some());
    let view = setup.builder().store(store).offline().build().unwrap().refresh().await.unwrap();
    assert_eq!(view.trusted().snapshot().header.version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_metadata_is_used_offline_by_choice_only_and_says_so() {
    let mut setup = Setup::new().await;
    setup.repo.timestamp_expires = now();
    setup.publish();
    let at = |time: DateTime<Utc>| setup.builder().store(setup.store()).clock(move || time);
    let before = now() - TimeDelta::days(1);
    at(before).build().unwrap().refresh().await.unwrap();
    let error = at(far()).offline().build().unwrap().refresh().await.unwrap_err();
    assert_eq!(error.attack(), Some("freeze"), "{error}");
    let view = dangerous::accept_expired(at(now())).build().unwrap().refresh().await.unwrap();
    assert!(view.is_stale() && view.is_offline());
    assert_eq!(view.expires(), now());
    assert!(view.find(&TargetPath::new("a.txt").unwrap()).await.unwrap().is_some());
    let view = dangerous::accept_expired(at(before)).build().unwrap().refresh().await.unwrap();
    assert!(!view.is_stale(), "not yet");
}
