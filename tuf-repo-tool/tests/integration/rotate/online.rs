//! The online keys, replaced under clients that refresh as fast as they can.

use std::io::Read as _;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{publish_one_more, signatures, uris};
use crate::interop::peer::Peer;
use crate::publish_crash::client_at;
use crate::support::hostile::{Server, Tamper};
use crate::support::{Run, Sandbox, wait_until};

/// How often clients refreshed, and what they said when it failed.
#[derive(Debug, Default)]
struct Polled {
    tried: usize,
    failed: Vec<String>,
}

/// Our client from the first root, as one that comes back and as a new one, and one that was just given `root.json`.
fn poll(sandbox: &Sandbox, url: &str, with_newest: bool, rounds: &AtomicUsize, over: &AtomicBool) -> Polled {
    let first = std::fs::read(sandbox.anchor()).unwrap();
    let returning = client_at(&first, url);
    let mut polled = Polled::default();
    while !over.load(Ordering::SeqCst) {
        let newest = std::fs::read(sandbox.repo().join("root.json")).unwrap();
        let mut results = vec![returning.refresh(), client_at(&first, url).refresh()];
        if with_newest {
            results.push(client_at(&newest, url).refresh());
        }
        polled.tried += results.len();
        polled
            .failed
            .extend(results.into_iter().filter_map(|result| Some(tuf_client::chain(&result.err()?))));
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    polled
}

/// What python-tuf has counted, now that it is told to stop.
fn stop(mut child: Child) -> Polled {
    drop(child.stdin.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{said}");
    let counted: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    Polled {
        tried: usize::try_from(counted["tried"].as_u64().unwrap()).unwrap(),
        failed: serde_json::from_value(counted["failed"].clone()).unwrap(),
    }
}

#[test]
fn the_online_keys_are_replaced_and_no_polling_client_ever_fails() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    publish_one_more(&sandbox, "first.txt");
    sandbox.anchor();
    let (server, stale) = (Server::new(&sandbox.public("")), Server::new(&sandbox.public("")));
    // A cache before it that remembers that there is no second root.
    stale.tamper("2.root.json", Tamper::Missing);
    let (rounds, stale_rounds) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (over, stale_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let python = Peer::PythonTuf.poll(&sandbox, "python", &server.url());
    let python_stale = Peer::PythonTuf.poll(&sandbox, "python-stale", &stale.url());
    for state in ["python", "python-stale"] {
        wait_until("python-tuf polls", || sandbox.path(state).join("polling").exists());
    }
    let again = |rounds: &AtomicUsize| {
        let before = rounds.load(Ordering::SeqCst);
        wait_until("a client has refreshed twice more", || rounds.load(Ordering::SeqCst) > before + 2);
    };
    let mut polled = Vec::new();
    std::thread::scope(|scope| {
        let ours = scope.spawn(|| poll(&sandbox, &server.url(), true, &rounds, &over));
        let ours_stale = scope.spawn(|| poll(&sandbox, &stale.url(), false, &stale_rounds, &stale_over));
        again(&rounds);
        again(&stale_rounds);
        let run = sandbox.tuf_repo(&["rotate", "timestamp", "snapshot", "bin-n", "--overlap", "1h"]).ok();
        run.says("published root 2").says("file:keys/timestamp.pem also signs timestamp, until");
        assert_eq!(signatures(&sandbox, "timestamp.json"), 2);
        for name in ["second.txt", "third.txt", "fourth.txt"] {
            publish_one_more(&sandbox, name);
            assert_eq!(signatures(&sandbox, "timestamp.json"), 2);
            again(&stale_rounds);
        }
        sandbox.tuf_repo(&["status"]).ok().says("was replaced and signs beside the new key until");
        assert_eq!(uris(&sandbox, "timestamp"), ["file:keys/timestamp.pem", "file:keys/timestamp-2.pem"]);
        assert_eq!(uris(&sandbox, "bin-n"), ["file:keys/bin-n-2.pem"]);

        stale_over.store(true, Ordering::SeqCst);
        polled.push(("tuf-client before which the new root is hidden", ours_stale.join().unwrap()));
        polled.push(("python-tuf before which the new root is hidden", stop(python_stale)));
        sandbox.tuf_repo(&["rotate", "--end"]).ok().says("file:keys/snapshot.pem signs snapshot no longer");
        for name in ["fifth.txt", "sixth.txt"] {
            publish_one_more(&sandbox, name);
            assert_eq!(signatures(&sandbox, "timestamp.json"), 1);
            again(&rounds);
        }
        over.store(true, Ordering::SeqCst);
        polled.push(("tuf-client", ours.join().unwrap()));
        polled.push(("python-tuf", stop(python)));
    });
    for (who, Polled { tried, failed }) in &polled {
        println!("{who}: {tried} refreshes tried, {} failed", failed.len());
    }
    for (who, Polled { tried, failed }) in polled {
        assert!(tried > 5 && failed.is_empty(), "{who}: {tried} tried, failed: {failed:#?}");
    }
    // It was the second signature that carried those who had not got the new root.
    let first = std::fs::read(sandbox.anchor()).unwrap();
    assert!(client_at(&first, &stale.url()).refresh().is_err());
    assert_eq!(uris(&sandbox, "timestamp"), ["file:keys/timestamp-2.pem"]);
    assert_eq!(uris(&sandbox, "snapshot"), ["file:keys/snapshot-2.pem"]);
    sandbox.verify();
}

#[test]
fn one_key_of_three_roles_is_replaced_at_once_and_the_settings_stay_the_operators() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    // All three online roles get one shared key.
    sandbox.tuf_repo(&["key", "generate", "online", "--no-passphrase"]).ok();
    publish_one_more(&sandbox, "first.txt");
    for role in ["timestamp", "snapshot", "bin-n"] {
        sandbox.tuf_repo(&["rotate", role, "--to", "file:keys/online.pem"]).ok();
    }
    sandbox.tuf_repo(&["rotate", "--end"]).ok();
    let path = sandbox.repo().join("tuf-repo.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let settings =
        format!("# our mirror\n{settings}").replace("[roles.timestamp]", "[roles.timestamp] # every day");
    crate::support::write(&path, &settings);
    let run = sandbox.tuf_repo(&["rotate", "online", "--overlap", "1s", "-m", "the yearly one"]).ok();
    run.says("for timestamp, snapshot, bin-n").says("published root 4");
    let run: Run = sandbox.tuf_repo(&["rotate", "online"]);
    run.ok().says("file:keys/online.pem also signs timestamp");
    // The overlap is over with the first publish after a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    publish_one_more(&sandbox, "second.txt");
    sandbox.tuf_repo(&["renew"]).ok();
    let new = settings.replace("file:keys/online.pem", "file:keys/online-2.pem");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), new);
    sandbox.tuf_repo(&["rotate", "online"]).code(1).says("may sign for nothing that is published");
    sandbox.verify();
}

#[test]
fn state_that_is_lost_costs_an_overlap_at_most() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    publish_one_more(&sandbox, "first.txt");
    let state = sandbox.repo().join("state/rotation.json");
    sandbox.tuf_repo(&["rotate", "timestamp", "--overlap", "1s"]).ok();
    std::fs::remove_file(&state).unwrap();
    sandbox.tuf_repo(&["status"]).ok().says("file:keys/timestamp.pem was replaced").says("rotate --end");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    publish_one_more(&sandbox, "second.txt");
    // Nobody knows when it began: it begins now.
    assert_eq!(signatures(&sandbox, "timestamp.json"), 2);
    sandbox.tuf_repo(&["status"]).ok().says("signs beside the new key until");
    sandbox.tuf_repo(&["rotate", "--end"]).ok();
    publish_one_more(&sandbox, "third.txt");
    assert_eq!(signatures(&sandbox, "timestamp.json"), 1);
    sandbox.verify();
}
