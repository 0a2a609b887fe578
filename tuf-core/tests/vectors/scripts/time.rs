//! Old files, expired files, missing files.

use serde_json::json;

use super::{FIRST, FREEZE, MIX, ROLLBACK, Row, but, evil, found, missing, ok, refused, start};

pub(super) fn freezes() -> Vec<Row> {
    vec![
        ("freeze-until-expiry", "5.4.4", "the same timestamp is good until it expires", |story| {
            story.expires("timestamp", 5);
            story.repo.publish();
            for days in [0, 3, 4] {
                story.days = days;
                story.refresh("not expired", None, ok(FIRST));
            }
            story.days = 5;
            story.refresh("expired", None, refused("timestamp", "Expired", FREEZE));
            story.expires("timestamp", 10);
            story.repo.release("timestamp");
            story.refresh("renewed", None, ok([1, 2, 1, 1]));
        }),
        ("freeze-snapshot", "5.5.6", "the timestamp is renewed, the snapshot is not", |story| {
            story.expires("snapshot", 5);
            story.repo.publish();
            story.refresh("all good", None, ok(FIRST));
            story.days = 5;
            story.repo.release("timestamp");
            story.refresh("the snapshot has expired", None, refused("snapshot", "Expired", FREEZE));
            story.expires("snapshot", 10);
            story.repo.release("snapshot");
            story.refresh("renewed", None, ok([1, 3, 2, 1]));
        }),
        ("freeze-targets", "5.6.5", "the snapshot is renewed, the targets are not", |story| {
            story.expires("targets", 5);
            story.repo.publish();
            story.refresh("all good", None, ok(FIRST));
            story.days = 5;
            story.repo.release("snapshot");
            story.refresh("the targets have expired", None, refused("targets", "Expired", FREEZE));
            story.expires("targets", 10);
            story.repo.release("targets");
            story.refresh("renewed", None, ok([1, 3, 3, 2]));
        }),
        ("freeze-delegated", "5.6.5", "an expired delegated role fails only who asks for it", |story| {
            story.expires("dele", 5);
            story.repo.publish();
            story.refresh("all good", Some("d/x.txt"), found(FIRST, Some("dele")));
            story.days = 5;
            story.refresh("it is needed", Some("d/x.txt"), refused("dele", "Expired", FREEZE));
            story.refresh("it is not needed", Some("a.txt"), found(FIRST, Some("targets")));
        }),
        ("clock-steps-back", "5.1", "only the time of this refresh counts", |story| {
            story.days = 100;
            story.refresh("late", None, ok(FIRST));
            story.days = 0;
            story.refresh("early", None, ok(FIRST));
        }),
        (
            "clock-far-ahead-and-right-again",
            "5.1",
            "a clock that was years ahead does no lasting harm",
            |story| {
                start(story);
                story.days = 4_000;
                story.refresh("all has expired", None, refused("root", "Expired", FREEZE));
                story.days = 1;
                story.refresh("the clock is right", None, ok(FIRST));
            },
        ),
    ]
}

pub(super) fn mirrors() -> Vec<Row> {
    vec![
        ("mirror-without-the-snapshot", "5.5.1", "a half-updated mirror, complete the next time", |story| {
            start(story);
            story.repo.release("dele");
            story.served = but(story, |files| drop(files.remove("2.snapshot.json")));
            story.refresh("no snapshot", None, missing("snapshot"));
            story.refresh("complete", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
        }),
        ("mirror-without-the-targets", "5.6.1", "a half-updated mirror, complete the next time", |story| {
            start(story);
            story.repo.release("dele");
            story.served = but(story, |files| drop(files.remove("2.targets.json")));
            story.refresh("no targets", None, missing("targets"));
            story.refresh("complete", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
        }),
        (
            "mirror-without-a-delegated-role",
            "5.6.7",
            "a half-updated mirror, complete the next time",
            |story| {
                start(story);
                story.repo.release("dele");
                story.served = but(story, |files| drop(files.remove("2.dele.json")));
                story.refresh("no dele", Some("d/x.txt"), missing("dele"));
                story.refresh("complete", Some("d/x.txt"), found([1, 2, 2, 2], Some("dele")));
            },
        ),
        (
            "mirror-without-the-timestamp",
            "5.4.1",
            "without a timestamp nothing is known to be fresh",
            |story| {
                start(story);
                story.served = but(story, |files| drop(files.remove("timestamp.json")));
                story.refresh("no timestamp", None, missing("timestamp"));
                story.refresh("it is back", None, ok(FIRST));
            },
        ),
        (
            "incomplete-update-raises-the-floor",
            "5.4.3.1",
            "a timestamp counts although its snapshot was missing",
            |story| {
                start(story);
                let old = story.repo.files.clone();
                story.repo.release("dele");
                story.served = but(story, |files| drop(files.remove("2.snapshot.json")));
                story.refresh("timestamp 2, no snapshot", None, missing("snapshot"));
                story.served = Some(old);
                story.refresh("timestamp 1", None, refused("timestamp", "Rollback", ROLLBACK));
                story.refresh("all of it", None, ok([1, 2, 2, 2]));
            },
        ),
        (
            "incomplete-snapshot-raises-the-floor",
            "5.5.5",
            "a snapshot counts although its targets were missing",
            |story| {
                start(story);
                story.repo.release("dele");
                story.served = but(story, |files| drop(files.remove("2.targets.json")));
                story.refresh("snapshot 2, no targets", None, missing("targets"));
                story.served = evil(story, |repo| {
                    repo.get("targets")["version"] = json!(1);
                    repo.release("snapshot");
                });
                story.refresh("snapshot 3 with targets 1", None, refused("targets", "Rollback", ROLLBACK));
                story.repo.release("snapshot");
                story.repo.release("snapshot");
                story.refresh("snapshot 4 with targets 2", None, ok([1, 4, 4, 2]));
            },
        ),
        ("damaged-once", "5.5.2", "a snapshot damaged on the way is fetched again the next time", |story| {
            start(story);
            story.repo.release("dele");
            story.served = but(story, |files| {
                let damaged =
                    String::from_utf8(files["2.snapshot.json"].to_vec()).unwrap().replacen('a', "b", 1);
                files.insert("2.snapshot.json".into(), damaged.into_bytes().into());
            });
            story.refresh("other bytes", None, refused("snapshot", "Hash", MIX));
            story.refresh("the right ones", None, ok([1, 2, 2, 2]));
        }),
    ]
}

pub(super) fn rollbacks() -> Vec<Row> {
    vec![
        ("replay-of-everything", "5.4.3.1", "a mirror that stays behind, then catches up", |story| {
            let old = story.repo.files.clone();
            story.repo.release("dele");
            story.refresh("version 2", None, ok([1, 2, 2, 2]));
            story.served = Some(old);
            story.refresh("version 1", None, refused("timestamp", "Rollback", ROLLBACK));
            story.repo.release("dele");
            story.refresh("version 3", None, ok([1, 3, 3, 3]));
        }),
        (
            "replay-after-expiry",
            "5.4.3.1",
            "the stored files have all expired; they still are the floor",
            |story| {
                let old = story.repo.files.clone();
                for name in ["timestamp", "snapshot", "targets"] {
                    story.expires(name, 5);
                }
                story.repo.release("dele");
                story.refresh("version 2", None, ok([1, 2, 2, 2]));
                story.days = 10;
                story.served = Some(old);
                story.refresh("version 1, not expired", None, refused("timestamp", "Rollback", ROLLBACK));
                story.served = evil(story, |repo| {
                    repo.get("snapshot")["version"] = json!(1);
                    repo.get("snapshot")["expires"] = crate::support::expiry(100);
                    repo.get("timestamp")["expires"] = crate::support::expiry(100);
                    repo.release("timestamp");
                });
                story.refresh("timestamp 3 with snapshot 1", None, refused("snapshot", "Rollback", ROLLBACK));
            },
        ),
        ("role-leaves-the-snapshot", "5.5.5", "a role that was listed must stay listed", |story| {
            start(story);
            story.served = evil(story, |repo| {
                repo.patch("snapshot", |signed| {
                    signed["meta"].as_object_mut().unwrap().remove("dele.json");
                });
                repo.release("snapshot");
            });
            story.refresh("dele is not listed", None, refused("snapshot", "RoleRemoved", ROLLBACK));
            story.repo.release("timestamp");
            story.repo.release("snapshot");
            story.refresh("it is again", Some("d/x.txt"), found([1, 3, 2, 1], Some("dele")));
        }),
        (
            "role-rolled-back-and-the-other-forward",
            "5.5.5",
            "each listed role has a floor of its own",
            |story| {
                story.repo.release("dele");
                story.refresh("targets 2, dele 2", None, ok([1, 2, 2, 2]));
                story.served = evil(story, |repo| {
                    repo.get("dele")["version"] = json!(1);
                    repo.release("targets");
                });
                story.refresh("targets 3, dele 1", None, refused("dele", "Rollback", ROLLBACK));
            },
        ),
        ("same-timestamp-again", "5.4.3.1", "a known version with other content is not read", |story| {
            start(story);
            story.served = evil(story, |repo| {
                for name in ["dele", "targets", "snapshot"] {
                    repo.bump(name);
                }
                repo.publish();
            });
            story.refresh("timestamp 1 that names snapshot 2", None, ok(FIRST));
            story.repo.release("dele");
            story.refresh("timestamp 2", None, ok([1, 2, 2, 2]));
        }),
        (
            "same-snapshot-version-other-content",
            "5.5.5",
            "snapshot 1 changed under timestamp 2; targets go on",
            |story| {
                start(story);
                for name in ["dele", "targets", "timestamp"] {
                    story.repo.bump(name);
                }
                story.repo.publish();
                story.refresh("by hash it is another", Some("d/x.txt"), found([1, 2, 1, 2], Some("dele")));
            },
        ),
        ("gaps-then-back", "5.4.3.1", "versions may skip, but not return", |story| {
            for name in ["dele", "targets", "snapshot", "timestamp"] {
                story.repo.get(name)["version"] = json!(40);
            }
            story.repo.publish();
            story.refresh("version 40", None, ok([1, 40, 40, 40]));
            story.served = evil(story, |repo| {
                repo.get("timestamp")["version"] = json!(39);
                repo.publish();
            });
            story.refresh("timestamp 39", None, refused("timestamp", "Rollback", ROLLBACK));
        }),
    ]
}
