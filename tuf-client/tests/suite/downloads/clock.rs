//! Time that goes back, and two contents of one version.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_view_stays_expired_when_the_clock_is_set_back() {
    let mut setup = Setup::new().await;
    setup.repo.timestamp_expires = now();
    setup.publish();
    let time = Arc::new(Mutex::new(now() - TimeDelta::days(1)));
    let clock = Arc::clone(&time);
    let client = setup.builder().clock(move || *clock.lock().unwrap()).build().unwrap();
    let view = client.refresh().await.unwrap();
    find(&view, "a.txt").await;
    for moved in [TimeDelta::zero(), TimeDelta::days(-30)] {
        *time.lock().unwrap() = now() + moved;
        let error = view.find(&TargetPath::new("a.txt").unwrap()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ViewExpired(_)), "{moved}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_is_reported_once_or_refused() {
    let setup = Setup::new().await;
    let store = MemoryStore::new();
    let at = |time: DateTime<Utc>| setup.builder().store(store.clone()).clock(move || time);
    let minutes = TimeDelta::minutes;
    // How far from the first refresh, what the store remembers afterwards, and whether it is reported.
    let rows = [
        (minutes(0), minutes(0), false),
        (minutes(-1), minutes(0), false),
        (minutes(-5), minutes(0), false),
        (minutes(59), minutes(0), false),
        (minutes(60), minutes(60), false),
        (minutes(56), minutes(60), false),
        (minutes(54), minutes(54), true),
        (minutes(54), minutes(54), false),
        (TimeDelta::days(-365 * 30), TimeDelta::days(-365 * 30), true),
        (TimeDelta::days(365 * 30), TimeDelta::days(365 * 30), false),
        (minutes(0), minutes(0), true),
    ];
    for (index, (moved, noted, reported)) in rows.into_iter().enumerate() {
        let view = at(now() + moved).build().unwrap().refresh().await.unwrap();
        let warned = matches!(view.warnings(), [Warning::ClockSteppedBack { now: time, .. }] if *time == now() + moved);
        assert_eq!(warned, reported, "{index}: {:?}", view.warnings());
        let last = store.peek(&StoredFile::LastTime, 64).unwrap().unwrap();
        let last: DateTime<Utc> = String::from_utf8(last).unwrap().parse().unwrap();
        assert_eq!(last, now() + noted, "{index}");
    }
    let error = at(now() - minutes(6)).refuse_clock_steps().build().unwrap().refresh().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ClockSteppedBack { last, .. } if *last == now()), "{error}");
    assert!(error.is_refusal() && error.hint().is_some());
    let refused = at(now() - minutes(4)).refuse_clock_steps().build().unwrap().refresh().await;
    assert!(refused.unwrap().warnings().is_empty());
    // A damaged note is none.
    let damaged = Change::Write(StoredFile::LastTime, Arc::from(&b"yesterday"[..]));
    store.open().unwrap().commit(&Batch::new(vec![damaged])).unwrap();
    assert!(at(now() - minutes(9)).build().unwrap().refresh().await.unwrap().warnings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_timestamps_of_one_version_are_reported_and_the_first_one_counts() {
    let mut setup = Setup::new().await;
    let store = MemoryStore::new();
    let client = setup.builder().store(store).build().unwrap();
    assert!(client.refresh().await.unwrap().warnings().is_empty());
    assert!(client.refresh().await.unwrap().warnings().is_empty());
    // Written otherwise, it says the same.
    setup.server.0.files.lock().unwrap().get_mut("metadata/timestamp.json").unwrap().push(b'\n');
    assert!(client.refresh().await.unwrap().warnings().is_empty());
    setup.repo.timestamp_expires = far() + TimeDelta::days(1);
    setup.publish();
    let view = client.refresh().await.unwrap();
    let [Warning::Equivocation(error)] = view.warnings() else { panic!("{:?}", view.warnings()) };
    assert_eq!(error.attack().unwrap().name(), "equivocation");
    assert_eq!(view.trusted().timestamp().header.expires, far(), "the one seen first");
}
