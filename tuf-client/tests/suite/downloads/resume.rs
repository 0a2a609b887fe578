//! What broke off is continued, and hashed from its first byte.

use super::*;

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_broke_off_goes_on_in_the_next_run() {
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 2, 400_000);
    setup.download().await.unwrap_err();
    assert!(!setup.path("out/large.bin").exists());
    assert_eq!(setup.parts().len(), 1);
    assert_eq!(setup.server.asked(), [None]);
    // The rest breaks off as well.
    setup.download().await.unwrap_err();
    assert_eq!(std::fs::metadata(&setup.parts()[0]).unwrap().len(), 800_000);
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(setup.server.asked(), [Some(800_000)]);
    assert!(setup.parts().is_empty(), "{:?}", setup.parts());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_ignore_or_refuse_ranges_and_may_not_lie() {
    // How it is answered, what is asked for.
    let rows = [
        (Ranges::Ignored, vec![Some(400_000)]),
        (Ranges::Refused, vec![Some(400_000), None]),
        (Ranges::Wrong, vec![Some(400_000), None]),
        (Ranges::Poisoned, vec![Some(400_000), None]),
    ];
    for (ranges, asked) in rows {
        let setup = Setup::new().await;
        setup.server.cut("large.bin", 1, 400_000);
        setup.download().await.unwrap_err();
        setup.server.ranges(ranges);
        assert_eq!(setup.download().await.unwrap(), large(), "{ranges:?}");
        assert_eq!(setup.server.asked(), asked, "{ranges:?}");
        assert!(setup.parts().is_empty(), "{ranges:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_tampered_with_or_is_complete_is_not_believed() {
    for (name, length) in [("flipped", 400_000), ("too long", 2_000_000), ("as long as the whole", 1_200_000)]
    {
        let setup = Setup::new().await;
        setup.server.cut("large.bin", 1, 400_000);
        setup.download().await.unwrap_err();
        let part = setup.parts().remove(0);
        let mut bytes = std::fs::read(&part).unwrap();
        bytes.resize(length, 0);
        bytes[7] ^= 1;
        tuf_client::durable::write_atomic(&part, &bytes).unwrap();
        assert_eq!(setup.download().await.unwrap(), large(), "{name}");
        assert!(setup.parts().is_empty(), "{name}");
    }
    // What is complete needs no request.
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 1, 400_000);
    setup.download().await.unwrap_err();
    tuf_client::durable::write_atomic(&setup.parts()[0], &large()).unwrap();
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(setup.server.asked(), []);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_of_one_version_and_of_this_user() {
    let mut setup = Setup::new().await;
    setup.server.cut("large.bin", 1, 400_000);
    setup.download().await.unwrap_err();
    // A link to a file elsewhere is not written to.
    let part = setup.parts().remove(0);
    let elsewhere = setup.path("elsewhere");
    std::fs::copy(&part, &elsewhere).unwrap();
    std::fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(setup.server.asked(), [None]);
    assert_eq!(std::fs::metadata(&elsewhere).unwrap().len(), 400_000);
    std::fs::remove_file(&part).unwrap();
    std::fs::hard_link(&elsewhere, &part).unwrap();
    std::fs::remove_file(setup.path("out/large.bin")).unwrap();
    assert_eq!(setup.download().await.unwrap(), large());
    assert_eq!(std::fs::metadata(&elsewhere).unwrap().len(), 400_000);
    std::fs::remove_file(&elsewhere).unwrap();
    // Now it is a plain file again, for the old version.
    setup.repo.add("large.bin", &[b'n'; 500_000]);
    setup.repo.version = 2;
    setup.publish();
    assert_eq!(setup.download().await.unwrap(), [b'n'; 500_000]);
    assert_eq!(setup.server.asked(), [None]);
    assert_eq!(setup.parts(), [part], "the other version's part is left for who wants that");
}

/// The first mirror's beginning is wrong; the second one is not blamed for it.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_mirrors_beginning_does_not_spoil_the_next_mirrors_end() {
    let setup = Setup::new().await;
    let hostile = Server::new(setup.repo.build());
    for (path, bytes) in hostile.0.files.lock().unwrap().iter_mut() {
        if path.ends_with(".large.bin") {
            bytes.fill(b'x');
        }
    }
    hostile.cut("large.bin", 9, 400_000);
    let url = hostile.start().await;
    let client = builder(setup.root.clone(), url, 1).mirror(setup.url.clone()).build().unwrap();
    let view = client.refresh().await.unwrap();
    let target = find(&view, "large.bin").await;
    // So that the hostile one is asked first: it served last.
    setup.server.0.files.lock().unwrap().retain(|path, _| !path.ends_with("a.txt"));
    view.read(&view.wanted(&find(&view, "a.txt").await), 100).await.unwrap();
    hostile.asked();
    setup.server.asked();
    let told = Mutex::new(0);
    let file = view
        .stage(&target, &setup.path("out/large.bin"), |bytes| *told.lock().unwrap() += bytes)
        .await
        .unwrap()
        .unwrap();
    file.finish().unwrap();
    assert_eq!(std::fs::read(setup.path("out/large.bin")).unwrap(), large());
    assert_eq!(*told.lock().unwrap(), 1_200_000, "every byte is told once");
    assert_eq!(hostile.asked(), [None]);
    assert_eq!(setup.server.asked(), [Some(400_000), None]);
    assert_eq!(client.mirrors()[1].fault, None, "the honest one is not blamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_asked_for_from_there_on() {
    let setup = Setup::new().await;
    setup.server.cut("large.bin", 2, 400_000);
    let view = builder(setup.root.clone(), setup.url.clone(), 3).build().unwrap().refresh().await.unwrap();
    setup.server.asked();
    assert_eq!(download(&view, "large.bin", &setup.path("out")).await.unwrap(), large());
    assert_eq!(setup.server.asked(), [None, Some(400_000), Some(800_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_downloads_of_one_target_do_not_disturb_each_other() {
    let setup = Setup::new().await;
    let view = setup.view().await;
    let (out, target) = (setup.path("out"), find(&view, "large.bin").await);
    // Each has a file of its own, because locks are of the opened file, not of the process.
    let many = (0..6).map(|_| view.download(&target, &out));
    for result in futures_util::future::join_all(many).await {
        assert_eq!(std::fs::read(result.unwrap()).unwrap(), large());
    }
    assert!(setup.parts().is_empty(), "{:?}", setup.parts());
}
