//! What stays and what goes, over histories of publishes and sweeps; faults, races, and clients that are on their way.

pub(crate) mod aged;
mod histories;
mod races;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use tuf_client::simple::{Layout, ProjectName, SignedFile, SignedPage};
use tuf_core::{Hashes, TargetFile, TargetPath};

use super::{Options, Report};
use crate::error::Error;
use crate::publish::check::Tester;
use crate::publish::tests::faults::{Fault, Faulty};
use crate::storage::{NewFile, Storage};
use aged::World;

fn options(keep_last: usize, hours: i64) -> Options {
    Options {
        keep_last,
        keep: TimeDelta::hours(hours),
        grace: TimeDelta::hours(hours),
        delete: true,
        ..Options::default()
    }
}

/// A world with some garbage of each kind, all of it old.
async fn littered() -> World {
    let world = World::new().await;
    for content in ["one", "two", "three"] {
        world.publish(&[("a", Some(content)), ("b", Some(content))]).await;
        world.pass(TimeDelta::hours(20));
    }
    world.publish(&[("b", None)]).await;
    world.pass(TimeDelta::hours(20));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_needs_goes_and_all_else_stays() {
    let world = littered().await;
    let unknown = ["targets/README", "targets/packages/six.whl", "metadata/notes.json", "index.html"];
    for path in unknown {
        world.put(path, b"somebody's");
    }
    world.put("metadata/99.targets.json", b"of a publisher that died");
    world.pass(TimeDelta::hours(30));
    let young = format!("targets/{}.young", Hashes::of(b"young").preferred().unwrap());
    world.put(&young, b"young");
    let before = world.paths();

    let mut dry = options(1, 1);
    dry.delete = false;
    let would = world.gc(&dry).await.unwrap();
    assert_eq!(world.paths(), before, "a dry run removes nothing");
    let did = world.gc(&options(1, 1)).await.unwrap();
    assert_eq!(did, Report { deleted: true, ..would.clone() }, "and says what will be");
    assert_eq!(did.snapshots, [4]);
    assert_eq!((did.garbage.snapshots.files, did.unknown.files, did.ahead.files), (3, 4, 1));
    assert_eq!(did.young.files, 1);
    assert_eq!(did.unknown_names.iter().map(String::as_str).collect::<BTreeSet<_>>(), unknown.into());
    let after = world.paths();
    assert_eq!(before.len() - after.len(), usize::try_from(did.garbage.total().files).unwrap());
    assert!(after.contains(&young) && unknown.iter().all(|path| after.contains(*path)));
    let target = |content: &str| format!("targets/{}.a", Hashes::of(content.as_bytes()).preferred().unwrap());
    assert!(after.contains(&target("three")) && !after.contains(&target("one")));
    assert!(!after.iter().any(|path| path.ends_with(".b")), "a target that was removed");
    assert!(after.contains("metadata/1.root.json"));
    world.check().await;

    let again = world.gc(&options(1, 1)).await.unwrap();
    assert_eq!(again.garbage.total().files, 0, "nothing is left");
    assert_eq!(again.kept, did.kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_begun_or_waits_in_an_event_stays() {
    let world = littered().await;
    let content = b"staged long ago";
    let (path, hashes) = (TargetPath::new("c").unwrap(), Hashes::of(content));
    let stored = format!("targets/{}", path.remote(Some(&hashes)));
    world.put(&stored, content);
    let mut changes = crate::publish::Changes::default();
    changes.set(path, TargetFile::new(u64::try_from(content.len()).unwrap(), hashes));
    world.state.stage(&changes).await.unwrap();
    world.pass(TimeDelta::hours(30));
    world.gc(&options(1, 1)).await.unwrap();
    assert!(world.paths().contains(&stored), "staged");

    // The publisher dies before it swaps; its work is ended from the journal after a sweep.
    let faulty =
        Faulty::new(world.storage.clone(), Some(Fault::Dies { write: 2, after: true }), Box::new(|| ()));
    let dying = world.repository.clone().with_storage(Arc::new(faulty));
    world.publish_staged(&dying).await.unwrap_err();
    let left: BTreeSet<_> = world.paths();
    world.pass(TimeDelta::hours(30));
    world.state.clear_staged(world.state.mark().await.unwrap()).await.unwrap();
    world.gc(&options(1, 1)).await.unwrap();
    assert!(world.paths().contains(&stored), "begun");
    let begun = left.iter().filter(|path| path.contains("/5."));
    assert!(begun.clone().count() > 0 && begun.clone().all(|path| world.paths().contains(path)));
    world.state.stage(&changes).await.unwrap();
    world.publish_staged(&world.repository).await.unwrap();
    world.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_an_open_view_comes_to_its_end() {
    let world = littered().await;
    world.publish(&[("a", Some("before")), ("c", Some("before"))]).await;
    world.pass(TimeDelta::hours(20));
    let root = world.repository.first_root().unwrap();
    let tester = Tester::new(&world.repository, &root, std::collections::BTreeMap::new()).unwrap();
    // It has the top of the tree, and has not asked for bins yet.
    let view = tester.client.refresh().await.unwrap();
    world.publish(&[("a", Some("after")), ("c", None)]).await;
    world.pass(TimeDelta::minutes(59));
    let report = world.gc(&options(1, 1)).await.unwrap();
    assert!(report.garbage.total().files > 0);
    for name in ["a", "c"] {
        let target = view.require(&TargetPath::new(name).unwrap()).await.unwrap();
        let bytes = view.read(&view.wanted(&target), 100).await.unwrap();
        assert_eq!(bytes, b"before"[..], "{name}");
    }
    // Later it would have to refresh.
    world.pass(TimeDelta::hours(100));
    world.publish(&[("d", Some("d"))]).await;
    world.publish(&[("d", Some("d2"))]).await;
    world.publish(&[("d", Some("d3"))]).await;
    world.pass(TimeDelta::hours(2));
    world.gc(&options(1, 1)).await.unwrap();
    let late = format!("targets/{}.a", Hashes::of(b"before").preferred().unwrap());
    assert!(!world.paths().contains(&late));
    world.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_breaks_off_or_dies_anywhere_loses_nothing_and_is_taken_up_again() {
    let world = littered().await;
    let base = world.snapshot();
    world.gc(&options(1, 1)).await.unwrap();
    let swept = world.paths();
    let run = |fault| {
        let faulty = Arc::new(Faulty::new(world.storage.clone(), fault, Box::new(|| ())));
        (world.repository.clone().with_storage(faulty.clone()), faulty)
    };
    world.restore(&base);
    let (repository, counting) = run(None);
    world.gc_of(&repository, &options(1, 1)).await.unwrap();
    let (writes, operations) =
        (counting.writes.load(Ordering::SeqCst), counting.operations.load(Ordering::SeqCst));
    assert!(writes >= 2, "snapshots and the rest");
    let dies = (0..writes).flat_map(|write| [false, true].map(|after| Fault::Dies { write, after }));
    let breaks =
        (0..operations).flat_map(|operation| [false, true].map(|after| Fault::Breaks { operation, after }));
    for fault in dies.chain(breaks) {
        world.restore(&base);
        let (repository, _) = run(Some(fault));
        let failed = world.gc_of(&repository, &options(1, 1)).await;
        assert!(matches!(failed, Err(Error::Storage(_) | Error::Published(_))), "{fault:?}: {failed:?}");
        assert!(world.paths().is_superset(&swept), "{fault:?}");
        world.check().await;
        world.gc(&options(1, 1)).await.unwrap();
        assert_eq!(world.paths(), swept, "{fault:?}: the next one ends it");
    }
    println!("{writes} writes and {operations} operations");
}

/// In layout index only a page names its files, and only the snapshot names the page.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_page_names_stay_as_long_as_the_page() {
    let mut world = World::new().await;
    world.repository.config.layout = Layout::Index;
    let project = ProjectName::new("demo").unwrap();
    let name = TargetPath::new(SignedPage::target_path(&project)).unwrap();
    let mut files = Vec::new();
    for version in ["1.0", "2.0"] {
        let (bytes, filename) = (version.as_bytes(), format!("demo-{version}.tar.gz"));
        let hash = Hashes::of(bytes);
        let hex = hash.preferred().unwrap();
        let path = format!("packages/{}/{}/{}/{filename}", &hex[..2], &hex[2..4], &hex[4..]);
        let stored = format!("targets/{path}");
        world.put(&stored, bytes);
        let file = SignedFile::new(path, *hash.sha256().unwrap(), u64::try_from(bytes.len()).unwrap());
        let page =
            SignedPage::new(project.clone(), Layout::Index, None, None, vec![file]).unwrap().to_bytes();
        let hashes = Hashes::of(&page);
        world.put(&format!("targets/{}", name.remote(Some(&hashes))), &page);
        let mut changes = crate::publish::Changes::default();
        changes.set(name.clone(), TargetFile::new(u64::try_from(page.len()).unwrap(), hashes));
        world.state.stage(&changes).await.unwrap();
        files.push(stored);
        if version == "1.0" {
            // Nothing else is published yet; what is staged waits for long.
            world.publish(&[("a", Some("a"))]).await;
        } else {
            world.pass(TimeDelta::hours(100));
            world.gc(&options(1, 1)).await.unwrap();
            assert!(files.iter().all(|file| world.paths().contains(file)), "published, or staged");
            world.publish(&[("a", Some("another"))]).await;
        }
        world.pass(TimeDelta::minutes(30));
        world.gc(&options(1, 1)).await.unwrap();
        assert!(files.iter().all(|file| world.paths().contains(file)), "replaced just now");
    }
    world.pass(TimeDelta::hours(100));
    world.gc(&options(1, 1)).await.unwrap();
    let [old, new] = files.as_slice() else { panic!() };
    assert!(!world.paths().contains(old) && world.paths().contains(new));
    // A page that is lost may have named anything.
    let page = world.paths().into_iter().find(|path| path.ends_with(".index.json")).unwrap();
    world.storage.remove(&[page]).unwrap();
    assert!(matches!(world.gc(&options(1, 1)).await, Err(Error::Missing { .. })));
    assert!(world.paths().contains(new));
}

/// What an event needs is not known where it cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_where_a_pending_event_is_damaged() {
    let world = littered().await;
    let before = world.paths();
    let bundle = world.repository.state().join("events/x.tufsign");
    tuf_client::durable::write_private(&bundle, b"no bundle").unwrap();
    let refused = world.gc(&options(1, 1)).await.unwrap_err();
    assert!(matches!(refused, Error::Event(_)) && refused.is_refusal(), "{refused:?}");
    assert_eq!(world.paths(), before);
}

/// What is needed is not known then.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_where_the_published_state_is_damaged() {
    let world = littered().await;
    let bins = world.paths().into_iter().rfind(|path| path.contains(".bin-")).unwrap();
    let published: Vec<String> =
        [bins, "metadata/4.snapshot.json".to_owned(), "metadata/1.targets.json".to_owned()].into();
    let base = world.snapshot();
    for path in published {
        for damage in [None, Some(b"{}".to_vec())] {
            world.restore(&base);
            world.storage.remove(std::slice::from_ref(&path)).unwrap();
            if let Some(bytes) = damage {
                world.storage.create(&[NewFile { path: path.clone(), bytes }]).unwrap();
            }
            let before = world.paths();
            let refused = world.gc(&options(1, 1)).await.unwrap_err();
            assert!(matches!(refused, Error::Published(_) | Error::Missing { .. }), "{path}: {refused:?}");
            assert_eq!(world.paths(), before, "{path}");
        }
    }
}
