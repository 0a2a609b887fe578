//! Targets kept by their content.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_gives_what_the_metadata_names_and_nothing_else() {
    let mut setup = Setup::new().await;
    let cache = TargetCache::new(&setup.path("cache"));
    let client = setup.builder().cache(cache.clone()).build().unwrap();
    let view = client.refresh().await.unwrap();
    download(&view, "large.bin", &setup.path("one")).await.unwrap();
    setup.server.asked();
    assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), large());
    let wanted = view.wanted(&find(&view, "large.bin").await);
    assert_eq!(view.read(&wanted, 2_000_000).await.unwrap(), large());
    let mut body = view.open(&wanted).await.unwrap();
    let mut opened = Vec::new();
    while let Some(chunk) = body.next().await.unwrap() {
        opened.extend_from_slice(&chunk);
    }
    assert_eq!(opened, large());
    assert_eq!(setup.server.asked(), [], "all from the cache");
    let read = |max| view.read(&wanted, max);
    assert!(read(10).await.is_err(), "the limit holds for the cache too");

    // Damaged: as if it were not there, and replaced.
    let name = cached(&setup.path("cache")).remove(0);
    for damaged in [vec![b'x'; 1_200_000], b"short".to_vec()] {
        tuf_client::durable::write_atomic(&name, &damaged).unwrap();
        std::fs::remove_dir_all(setup.path("two")).unwrap();
        assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), large());
        assert_eq!(setup.server.asked(), [None]);
        assert_eq!(std::fs::read(&name).unwrap(), large());
    }

    // A new version is not served from it, and what the metadata does not name not at all.
    setup.repo.add("large.bin", b"newer");
    setup.repo.version = 2;
    setup.publish();
    let view = client.refresh().await.unwrap();
    assert_eq!(download(&view, "large.bin", &setup.path("two")).await.unwrap(), b"newer");
    assert_eq!(setup.server.asked(), [None]);
}

/// What is in a cache.
fn cached(directory: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    below(directory.join("sha256")).flat_map(below).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_bounded_and_keeps_what_was_used_last() {
    let mut setup = Setup::new().await;
    for n in 0..4 {
        setup.repo.add(&format!("{n}.txt"), &[n; 1000]);
    }
    setup.publish();
    let cache = TargetCache::new(&setup.path("cache"));
    let client = setup.builder().cache(cache.clone()).build().unwrap();
    let view = client.refresh().await.unwrap();
    let mut wanted = Vec::new();
    for n in 0..4 {
        wanted.push(view.wanted(&find(&view, &format!("{n}.txt")).await));
        view.read(&wanted[usize::from(n)], 1000).await.unwrap();
        let age = tuf_client::clock::now() - TimeDelta::hours(10 - i64::from(n));
        let newest =
            cached(&setup.path("cache")).into_iter().find(|path| std::fs::read(path).unwrap() == [n; 1000]);
        let file = std::fs::File::options().write(true).open(newest.unwrap()).unwrap();
        file.set_modified(age.into()).unwrap();
    }
    // The oldest is used.
    view.read(&wanted[0], 1000).await.unwrap();
    assert_eq!(cache.prune(2500).unwrap(), 2000);
    let mut left: Vec<_> =
        cached(&setup.path("cache")).iter().map(|path| std::fs::read(path).unwrap()[0]).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 3]);
    // A small limit holds without being asked for.
    let small = setup.builder().cache(TargetCache::new(&setup.path("small")).limit(2000)).build().unwrap();
    let view = small.refresh().await.unwrap();
    for wanted in &wanted {
        view.read(wanted, 1000).await.unwrap();
    }
    assert!(cached(&setup.path("small")).len() <= 3, "{:?}", cached(&setup.path("small")));
}
