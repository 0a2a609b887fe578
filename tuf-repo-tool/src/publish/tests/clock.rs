//! A clock that is behind what was signed before.

use chrono::TimeDelta;
use tuf_core::TargetPath;

use super::new_repository;
use crate::config::RoleKind;
use crate::error::Error;
use crate::init::Preset;
use crate::keys::Passphrases;
use crate::log;
use crate::publish::{Changes, Options, Outcome, Renewal, publish, renew_root};
use crate::repository::Repository;

/// The same repository, with a clock that is so much ahead, or behind.
fn shifted(repository: &Repository, by: TimeDelta) -> Repository {
    repository.clone().with_clock(move || tuf_client::clock::now() + by)
}

/// Publishes whatever is due, and if nothing is: an empty change.
async fn renew(repository: &Repository, options: &Options) -> Result<Outcome, Error> {
    let (lock, mut passphrases) = (repository.lock().unwrap(), Passphrases::from_environment());
    let mut changes = Changes::default();
    changes.remove(TargetPath::new("none").unwrap());
    publish(repository, &lock, &mut passphrases, &changes, Renewal::All, options).await
}

fn set(repository: &mut Repository, kind: RoleKind, expires: &str) {
    repository.config.roles.get_mut(&kind).unwrap().expires = expires.parse().unwrap();
}

fn refusal(result: Result<Outcome, Error>) -> Option<&'static str> {
    match result {
        Ok(_) => None,
        Err(error @ Error::Clock { .. }) => {
            assert!(error.is_refusal() && error.hint().unwrap().contains("NTP"));
            let text = error.to_string();
            assert!(text.contains(" later: nothing was signed") && text.contains('Z'), "{text}");
            let Error::Clock { by, .. } = error else { return None };
            Some(by)
        }
        Err(error) => panic!("{}", tuf_client::chain(&error)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_the_last_publish_signs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (repository, mut passphrases) = new_repository(directory.path(), Preset::Mirror).await;
    let options = Options::default();
    renew(&repository, &options).await.unwrap();
    let before = super::files(&repository);
    for (minutes, refused) in [(-6, true), (-60, true), (-60 * 24 * 400, true), (60, false)] {
        let shifted = shifted(&repository, TimeDelta::minutes(minutes));
        let result = refusal(renew(&shifted, &options).await);
        assert_eq!(result.is_some(), refused, "{minutes}");
    }
    assert_eq!(super::files(&repository), before);
    // Two machines never have the very same time.
    let almost = shifted(&repository, TimeDelta::minutes(-4));
    assert_eq!(refusal(renew(&almost, &options).await), None);
    // Root passes there, too.
    let early = shifted(&repository, TimeDelta::minutes(-60));
    let published = repository.published().unwrap().unwrap();
    let mut due = early.clone();
    set(&mut due, RoleKind::Root, "100d");
    let lock = due.lock().unwrap();
    let root = renew_root(&due, &lock, &published, &mut passphrases, &options);
    assert!(matches!(root, Err(Error::Clock { .. })), "{root:?}");
    drop(lock);
    // Whoever knows better says so, once.
    set(&mut due, RoleKind::Timestamp, "20h");
    let known = Options { clock_is_right: true, ..Options::default() };
    assert!(matches!(renew(&due, &known).await.unwrap(), Outcome::Published(_)));
    assert!(refusal(renew(&early, &options).await).is_none());
}

/// What this machine published, its log knows, whatever the periods are by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_was_changed_is_no_wrong_clock() {
    let periods = ["1h", "20h", "6d", "50d"];
    for timestamp in periods {
        for snapshot in periods {
            let directory = tempfile::tempdir().unwrap();
            let (mut repository, _) = new_repository(directory.path(), Preset::Plain).await;
            let options = Options::default();
            renew(&repository, &options).await.unwrap();
            set(&mut repository, RoleKind::Timestamp, timestamp);
            set(&mut repository, RoleKind::Snapshot, snapshot);
            // As if another machine had published: then only both together say when.
            for own in [true, false] {
                if !own {
                    std::fs::remove_file(log::path(directory.path())).unwrap();
                }
                let result = renew(&repository, &options).await;
                assert_eq!(refusal(result), None, "timestamp {timestamp}, snapshot {snapshot}, own {own}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_machine_signed_says_when_by_two_roles_together() {
    let directory = tempfile::tempdir().unwrap();
    let (repository, _) = new_repository(directory.path(), Preset::Plain).await;
    let options = Options::default();
    renew(&repository, &options).await.unwrap();
    std::fs::remove_file(log::path(directory.path())).unwrap();
    let late = shifted(&repository, TimeDelta::minutes(-60));
    assert_eq!(refusal(renew(&late, &options).await), Some("as the expiries of timestamp and snapshot say"));
    // The timestamp alone was renewed: nothing is certain any more.
    let mut other = shifted(&repository, TimeDelta::hours(13));
    set(&mut other, RoleKind::Snapshot, "7d");
    let Outcome::Published(summary) = renew(&other, &options).await.unwrap() else { panic!() };
    assert_eq!((summary.timestamp, summary.snapshot), (2, 1));
    std::fs::remove_file(log::path(directory.path())).unwrap();
    // As after a period was shortened: it is signed again.
    assert!(matches!(renew(&repository, &options).await.unwrap(), Outcome::Published(_)));
}
