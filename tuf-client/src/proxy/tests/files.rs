//! What an installer gets of a file, and never gets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn good_files_of_every_size_arrive_whole() {
    for length in [0, 1, 65_536, 4 << 20, (4 << 20) + 1, 5_000_000] {
        let wheel = data(length, 0);
        let (proxy, fake) = start(Fake::new(1, &wheel, b"Name: demo-a", Behaviour::Good)).await;
        let url = url_of(&wheel);
        let answer = ask(&proxy, "GET", &url, PIP).await;
        assert_eq!((answer.status, answer.length(), answer.header("transfer-encoding")), (200, length, None));
        assert!(answer.body == wheel && !answer.reset, "{length}");
        assert_eq!(
            (answer.header("cache-control"), answer.header("accept-ranges")),
            (Some("public, max-age=365000000, immutable"), None)
        );
        let head = ask(&proxy, "HEAD", &url.replace('+', "%2B"), UV).await;
        assert_eq!((head.status, head.length(), head.body.len()), (200, length, 0));
        assert_eq!(fake.opened.load(Ordering::Relaxed), 1, "HEAD asks nothing of the mirror");
        let metadata = ask(&proxy, "GET", &format!("{url}.metadata"), UV).await;
        assert_eq!((metadata.status, metadata.body.as_slice()), (200, b"Name: demo-a".as_slice()));
    }
}

#[tokio::test]
async fn a_tampered_small_file_is_refused_before_its_first_byte() {
    for length in [100, 4 << 20] {
        let wheel = data(length, 0);
        let (proxy, _) = start(Fake::new(1, &wheel, b"", Behaviour::BadHash)).await;
        for agent in [PIP, UV] {
            let answer = ask(&proxy, "GET", &url_of(&wheel), agent).await;
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (409, Some("application/problem+json"))
            );
            assert_eq!(answer.phrase, "TUF verification failed: hash: sha256 differs from the signed target");
        }
        assert!(proxy.refusals().list()[0].kind.is_unsafe());
    }
}

#[tokio::test]
async fn a_tampered_large_file_never_arrives_whole_and_the_retry_is_told_why() {
    let wheel = data((4 << 20) + 100_001, 0);
    let (proxy, fake) = start(Fake::new(1, &wheel, b"", Behaviour::BadHash)).await;
    let cut = ask(&proxy, "GET", &url_of(&wheel), PIP).await;
    assert_eq!((cut.status, cut.length(), cut.reset), (200, wheel.len(), true));
    assert_eq!(cut.body.len(), wheel.len() - 65_536, "all but the last 64 KiB");
    let retry =
        ask(&proxy, "GET", &url_of(&wheel), "User-Agent: pip/26.3\r\nRange: bytes=4000000-\r\n").await;
    assert_eq!(
        (retry.status, retry.phrase.as_str()),
        (409, "TUF verification failed: hash: sha256 differs from the signed target")
    );
    assert_eq!(fake.opened.load(Ordering::Relaxed), 1, "the mirror is not asked again");
}

#[tokio::test]
async fn a_source_that_gives_too_little_or_too_much_cannot_complete_a_file() {
    let wheel = data(5_000_000, 0);
    for tampered in [data(4_999_999, 0), data(5_000_001, 0)] {
        let mut fake = Fake::new(1, &wheel, b"", Behaviour::Good);
        for behaviour in fake.files.values_mut() {
            *behaviour = Behaviour::Good(tampered.clone());
        }
        let (proxy, _) = start(fake).await;
        let cut = ask(&proxy, "GET", &url_of(&wheel), UV).await;
        assert!(cut.body.len() <= wheel.len() - 65_536 && cut.reset);
        assert_eq!(ask(&proxy, "GET", &url_of(&wheel), UV).await.status, 409);
    }
}

#[tokio::test]
async fn a_broken_transfer_is_cut_but_may_be_tried_again() {
    let wheel = data(5_000_000, 0);
    let (proxy, fake) = start(Fake::new(1, &wheel, b"", |bytes| Behaviour::Broken(bytes, 2_000_000))).await;
    for opened in 1..=2 {
        let cut = ask(&proxy, "GET", &url_of(&wheel), UV).await;
        assert_eq!((cut.status, cut.body.len() <= 2_000_000, cut.reset), (200, true, true));
        assert_eq!(fake.opened.load(Ordering::Relaxed), opened);
    }
    let list = proxy.refusals().list();
    assert_eq!((list.len(), list[0].kind, list[0].times), (1, Kind::Unavailable, 2));
}

/// That the installer hung up is noticed only a little later: whoever waits for verdicts must not miss this one.
#[tokio::test]
async fn a_verdict_is_waited_for_although_the_installer_has_just_hung_up() {
    let wheel = data(5_000_000, 0);
    let (proxy, _) = start(Fake::new(1, &wheel, b"", Behaviour::BadHash)).await;
    let address = proxy.address();
    let mut installer = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", url_of(&wheel));
    installer.write_all(request.as_bytes()).await.unwrap();
    installer.read_u8().await.unwrap();
    drop(installer);
    proxy.settled().await;
    let list = proxy.refusals().list();
    assert_eq!((list.len(), list[0].kind), (1, Kind::Verification));
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_file_is_never_an_end_of_stream() {
    let wheel = data(5_000_000, 0);
    let (proxy, _) = start(Fake::new(1, &wheel, b"", |bytes| Behaviour::Stalled(bytes, 100_000))).await;
    let address = proxy.address();
    let client =
        tokio::spawn(raw(address, format!("GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", url_of(&wheel))));
    // Time for the first bytes to arrive.
    tokio::time::sleep(Duration::from_millis(300)).await;
    proxy.shutdown().await;
    let cut = client.await.unwrap();
    assert_eq!((cut.status, cut.body.len(), cut.reset), (200, 100_000, true));
}

#[tokio::test]
async fn a_connection_lives_on_after_a_verified_large_file() {
    let wheel = data(5_000_000, 0);
    let (proxy, _) = start(Fake::new(1, &wheel, b"", Behaviour::Good)).await;
    let address = proxy.address();
    let both = format!(
        "GET {} HTTP/1.1\r\nHost: {address}\r\n\r\nGET /simple/demo-a/ HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n",
        url_of(&wheel)
    );
    let answers = raw(address, both).await;
    assert!(
        !answers.reset
            && answers.body.starts_with(&wheel)
            && answers.body[wheel.len()..].starts_with(b"HTTP/1.1 200 OK")
    );
}

#[tokio::test]
async fn a_file_is_served_only_under_its_signed_hash_and_metadata_only_if_signed() {
    let wheel = data(10, 0);
    let mut fake = Fake::new(1, &wheel, b"right", Behaviour::Good);
    for (path, behaviour) in &mut fake.files {
        if path.ends_with(".metadata") {
            *behaviour = Behaviour::Good(Bytes::from_static(b"wrong"));
        }
    }
    let (proxy, _) = start(fake).await;
    let other = ask(
        &proxy,
        "GET",
        &url_of(&wheel).replace(&format!("/{}/", hash(&wheel)), &format!("/{}/", hash(b"other"))),
        UV,
    )
    .await;
    assert_eq!((other.status, other.phrase.contains("sha256")), (409, true));
    assert_eq!(ask(&proxy, "GET", &format!("{}.metadata", url_of(&wheel)), PIP).await.status, 409);
    assert_eq!(ask(&proxy, "GET", &format!("{}.asc", url_of(&wheel)), PIP).await.status, 404);
}
