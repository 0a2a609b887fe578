//! Many at once.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn many_are_downloaded_at_once_and_never_more_than_allowed() {
    let mut setup = Setup::new().await;
    let names: Vec<_> = (0..40).map(|n| format!("many/{n}.txt")).collect();
    for name in &names {
        setup.repo.add(name, name.as_bytes());
    }
    setup.publish();
    let view = setup.view().await;
    let mut targets = Vec::new();
    for name in &names {
        targets.push(find(&view, name).await);
    }
    setup.server.0.most.store(0, Ordering::SeqCst);
    let told: Mutex<HashMap<TargetPath, Vec<Progress>>> = Mutex::default();
    let tell =
        |target: &Target, what| told.lock().unwrap().entry(target.path.clone()).or_default().push(what);
    let options = DownloadOptions::default().parallel(4).progress(&tell);
    let files = view.download_all(&targets, &setup.path("out"), &options).await.unwrap();
    for (file, name) in files.iter().zip(&names) {
        assert!(file.ends_with(name));
        assert_eq!(std::fs::read(file).unwrap(), name.as_bytes());
    }
    let most = setup.server.0.most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at the same time");
    let told = told.lock().unwrap();
    for target in &targets {
        let expected = [Progress::Started, Progress::Bytes(target.file.length), Progress::Verified];
        assert_eq!(told[&target.path], expected);
    }
    assert!(parts(&setup.path("out/many")).is_empty());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_shows_nothing_and_keeps_what_it_has() {
    let setup = Setup::new().await;
    let view = setup.view().await;
    let targets = [find(&view, "a.txt").await, find(&view, "large.bin").await];
    setup.server.cut("large.bin", 1, 400_000);
    let options = DownloadOptions::default().parallel(1);
    view.download_all(&targets, &setup.path("out"), &options).await.unwrap_err();
    assert!(!setup.path("out/a.txt").exists() && !setup.path("out/large.bin").exists());
    assert_eq!(setup.parts().len(), 2, "{:?}", setup.parts());
    setup.server.asked();
    view.download_all(&targets, &setup.path("out"), &options).await.unwrap();
    assert_eq!(setup.server.asked(), [Some(400_000)], "only what is missing");
    assert_eq!(std::fs::read(setup.path("out/a.txt")).unwrap(), b"alpha");
    assert_eq!(std::fs::read(setup.path("out/large.bin")).unwrap(), large());
    assert!(setup.parts().is_empty());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_nobody_comes_back_for_are_removed() {
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 1, 400_000);
    setup.download().await.unwrap_err();
    let fresh = setup.parts().remove(0);
    // Of a batch that still goes on, for all anybody knows.
    let waiting = ".tmp-waiting";
    for (name, hours) in
        [(".part-old", 8 * 24), (".tmp-old", 25), (waiting, 2), ("old", 8 * 24), (".part-empty", 0)]
    {
        let bytes: &[u8] = if name == ".part-empty" { b"" } else { b"x" };
        let path = setup.path("out").join(name);
        let _ = tuf_client::durable::create_new(&path, bytes).unwrap();
        let then = tuf_client::clock::now() - TimeDelta::hours(hours);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(then.into()).unwrap();
    }
    let view = setup.view().await;
    let target = find(&view, "a.txt").await;
    view.download_all(&[target], &setup.path("out"), &DownloadOptions::default()).await.unwrap();
    let mut left = [fresh, setup.path("out").join(waiting)];
    left.sort();
    let mut found = setup.parts();
    found.sort();
    assert_eq!(found, left);
    assert!(setup.path("out/old").exists(), "it only looks like one");
}
