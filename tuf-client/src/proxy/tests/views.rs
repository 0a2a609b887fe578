//! Which snapshot is served, and until when.

use super::*;

#[tokio::test]
async fn an_expired_view_serves_nothing() {
    let wheel = data(10, 0);
    let mut fake = Fake::new(9, &wheel, b"", Behaviour::Good);
    fake.expires = clock::now() - TimeDelta::seconds(1);
    let (proxy, _) = start(fake).await;
    for path in ["/simple/demo-a/".to_owned(), url_of(&wheel), format!("{}.metadata", url_of(&wheel))] {
        let answer = ask(&proxy, "GET", &path, UV).await;
        assert_eq!(
            (answer.status, answer.phrase.contains("freeze"), answer.phrase.contains("snapshot 9 expired")),
            (409, true, true),
            "{path}"
        );
    }
    assert_eq!(proxy.refusals().list()[0].attack, Some("freeze"));
}

#[tokio::test]
async fn a_refresh_replaces_the_pages_while_files_of_the_view_before_stay_for_a_while() {
    let (old, new) = (data(10, 1), data(10, 2));
    let first: Arc<dyn Snapshot> = Arc::new(Fake::new(1, &old, b"", Behaviour::Good));
    let second: Arc<dyn Snapshot> = Arc::new(Fake::new(2, &new, b"", Behaviour::Good));
    for (keep, expected) in [(Duration::from_secs(900), 200), (Duration::ZERO, 404)] {
        let views = Views::new(
            Arc::clone(&first),
            Some(Box::new(Snapshots(Mutex::new(vec![Ok(Arc::clone(&second))])))),
            Duration::from_secs(600),
            keep,
        );
        views.refresh().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            views,
            refusals: Refusals::default(),
            failed: Failed::default(),
            verdicts: Verdicts::default(),
            direct: Vec::new(),
            hosts: server::own_hosts(address, &[]),
        });
        let task = tokio::spawn(server::serve(listener, Arc::clone(&state)));
        let proxy = RunningProxy { address, state, task };
        let page = ask(&proxy, "GET", "/simple/demo-a/", PIP).await.json();
        assert_eq!(page["files"][0]["hashes"]["sha256"], hash(&new));
        assert_eq!(ask(&proxy, "GET", &url_of(&new), PIP).await.status, 200);
        assert_eq!(ask(&proxy, "GET", &url_of(&old), PIP).await.status, expected);
    }
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_view_and_a_failed_first_one_starts_nothing() {
    let wheel = data(10, 0);
    let only: Arc<dyn Snapshot> = Arc::new(Fake::new(1, &wheel, b"", Behaviour::Good));
    let upstream = Snapshots(Mutex::new(vec![Ok(only), Err(bad_hash())]));
    let proxy = Proxy::from_upstream(Box::new(upstream), ProxyOptions::default()).await.unwrap();
    let views = Views::new(proxy.first, proxy.upstream, Duration::from_secs(600), Duration::from_secs(900));
    views.refresh().await;
    assert_eq!(views.current().await.unwrap().snapshot.version(), 1);
    assert_eq!(views.status()["refresh_failed"], "sha256 differs from the signed target");
    let nothing = Proxy::from_upstream(Box::new(Snapshots(Mutex::default())), ProxyOptions::default()).await;
    assert!(matches!(nothing, Err(ProxyError::Refresh { is_refusal: false, .. })));
}
