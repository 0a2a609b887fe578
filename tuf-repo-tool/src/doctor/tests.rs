//! A table of what can be wrong with a machine, each found and named.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use tempfile::TempDir;

use super::{Check, Outcome, Report, doctor, examine};
use crate::init::Preset;
use crate::keys::Passphrases;
use crate::publish::tests::faults::{Fault, Faulty};
use crate::publish::tests::new_repository;
use crate::publish::tests::sweep::set;
use crate::publish::{self, Changes, Renewal};
use crate::repository::Repository;

async fn published() -> (TempDir, Repository) {
    let directory = tempfile::tempdir().unwrap();
    let (repository, _) = new_repository(directory.path(), Preset::Mirror).await;
    publish(&repository, "a").await.unwrap();
    (directory, repository)
}

async fn publish(repository: &Repository, name: &str) -> Result<publish::Outcome, crate::Error> {
    let mut changes = Changes::default();
    set(&mut changes, &**repository.storage(), name, name.as_bytes());
    let (lock, mut passphrases) = (repository.lock().unwrap(), Passphrases::from_environment());
    let options = publish::Options::default();
    publish::publish(repository, &lock, &mut passphrases, &changes, Renewal::None, &options).await
}

fn write(path: &Path, bytes: &[u8]) {
    tuf_client::durable::write_private(path, bytes).unwrap();
}

/// What was found of one kind, the worst first.
fn found<'r>(report: &'r Report, id: &str) -> &'r Check {
    let checks = report.checks.iter().filter(|check| check.id == id);
    checks.max_by_key(|check| check.outcome).unwrap_or_else(|| panic!("no {id} in {report:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_as_it_should_be_has_no_problem_but_keys_that_are_not_encrypted() {
    let (_directory, repository) = published().await;
    let report = examine(&repository).await;
    for check in &report.checks {
        let expected = if check.id == "key" { Outcome::Warning } else { Outcome::Ok };
        // How much space there is, is the matter of the machine that tests.
        assert!(check.outcome == expected || check.id == "disk", "{check:?}");
    }
    assert_eq!(report.checks.iter().filter(|check| check.id == "key").count(), 6);
    assert!(!report.is_unsafe());
}

type Damage = fn(&mut Repository);

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_is_found_and_named() {
    use std::os::unix::fs::PermissionsExt;
    let cases: [(&str, Outcome, bool, &str, Damage); 13] = [
        ("key", Outcome::Error, true, "0644", |repository| {
            let key = repository.directory().join("keys/timestamp.pem");
            std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("key", Outcome::Error, false, "nothing can be renewed", |repository| {
            std::fs::remove_file(repository.directory().join("keys/snapshot.pem")).unwrap();
        }),
        ("key", Outcome::Error, false, "keys/root.pem", |repository| {
            write(&repository.directory().join("keys/root.pem"), b"no key");
        }),
        ("key", Outcome::Error, false, "no_such_token", |repository| {
            let uri = "pkcs11:token=no_such_token;object=x?module-path=/nonexistent/module.so";
            let role = repository.config.roles.get_mut(&crate::RoleKind::Root).unwrap();
            role.keys.push(uri.parse().unwrap());
        }),
        ("lock", Outcome::Warning, false, "process 1 had the repository and was killed", |repository| {
            write(&repository.state().join("lock"), b"process 1\n");
        }),
        ("journal", Outcome::Warning, false, "others have published since", |repository| {
            write(&repository.state().join("journal/publish"), b"{}\n");
        }),
        ("event", Outcome::Error, true, "x.tufsign is refused", |repository| {
            write(&repository.state().join("events/x.tufsign"), b"no bundle");
        }),
        ("state", Outcome::Error, false, "127.0.0.1:1", |repository| {
            // Nobody listens there.
            let url = "postgres://nobody@127.0.0.1:1/none?repository=x";
            repository.config.state = Some(url.parse().unwrap());
        }),
        ("state", Outcome::Error, false, "state.db is damaged", |repository| {
            write(&repository.state().join("state.db"), &[b'x'; 8192]);
        }),
        ("clock", Outcome::Error, true, "1 h 0 min", |repository| {
            let now = repository.now();
            *repository =
                repository.clone().with_clock(move || now - TimeDelta::hours(1) - TimeDelta::seconds(30));
        }),
        ("published", Outcome::Error, false, "expired", |repository| {
            let now = repository.now();
            *repository = repository.clone().with_clock(move || now + TimeDelta::days(2));
        }),
        ("root-copy", Outcome::Error, true, "not the published root 1", |repository| {
            write(&repository.directory().join("root.json"), b"{}");
        }),
        ("storage", Outcome::Error, true, "no metadata/1.root.json", |repository| {
            repository.storage().remove(&["metadata/1.root.json".to_owned()]).unwrap();
        }),
    ];
    for (id, outcome, is_unsafe, says, damage) in cases {
        let (_directory, mut repository) = published().await;
        damage(&mut repository);
        let report = examine(&repository).await;
        let check = found(&report, id);
        assert_eq!((check.outcome, check.is_unsafe), (outcome, is_unsafe), "{check:?}");
        assert!(check.message.contains(says), "{says:?}: {check:?}");
        assert_eq!(report.is_unsafe(), is_unsafe, "{report:#?}");
        let others = report.checks.iter().filter(|check| check.outcome == Outcome::Error && check.id != id);
        assert_eq!(others.count(), 0, "{id} alone: {report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_differ_or_cannot_be_read_are_told_of() {
    let (directory, mut repository) = published().await;
    repository.config.bins = Some(4);
    repository.config.roles.get_mut(&crate::RoleKind::Timestamp).unwrap().threshold = 2;
    let report = examine(&repository).await;
    let said: Vec<_> = report.checks.iter().filter(|check| check.id == "settings").collect();
    assert!(said.iter().all(|check| check.outcome == Outcome::Warning && check.hint.is_some()), "{said:?}");
    assert!(
        said[0].message.starts_with("timestamp:") && said[1].message.starts_with("2 hash bins"),
        "{said:?}"
    );

    write(&directory.path().join("tuf-repo.toml"), b"layout = 1");
    let report = doctor(directory.path()).await.unwrap();
    assert_eq!((report.checks.len(), report.outcome()), (1, Outcome::Error));
    assert!(report.checks[0].message.contains("tuf-repo.toml"), "{report:?}");
    std::fs::remove_file(directory.path().join("tuf-repo.toml")).unwrap();
    assert!(matches!(doctor(directory.path()).await, Err(crate::Error::NotARepository { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_died_and_one_that_is_alive_are_told_apart() {
    let (_directory, repository) = published().await;
    let storage = repository.storage().clone();
    let faulty = Faulty::new(storage, Some(Fault::Dies { write: 1, after: true }), Box::new(|| ()));
    let dying = repository.clone().with_storage(Arc::new(faulty));
    publish(&dying, "b").await.unwrap_err();
    let report = examine(&repository).await;
    let check = found(&report, "journal");
    assert_eq!(check.outcome, Outcome::Warning);
    assert!(check.message.contains("was left half-way"), "{check:?}");

    let lock = repository.lock().unwrap();
    let check = found(&examine(&repository).await, "lock").clone();
    assert_eq!(check.outcome, Outcome::Ok);
    assert!(
        check.message.contains(&std::process::id().to_string()) && check.message.contains("alive"),
        "{check:?}"
    );
    drop(lock);
    // Looking at it must not hide that its holder died: whoever comes next clears up.
    write(&repository.state().join("lock"), b"process 1\n");
    for _ in 0..2 {
        assert_eq!(found(&examine(&repository).await, "lock").outcome, Outcome::Warning);
    }
}

/// A server with another clock, that serves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_clock_is_told_from_the_public_url() {
    let (_directory, mut repository) = published().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    repository.config.public_url = Some(format!("http://{address}/").parse().unwrap());
    let report = examine(&repository).await;
    let clock = found(&report, "clock");
    assert!(clock.outcome == Outcome::Error && clock.message.contains("ahead of"), "{clock:?}");
    let served = found(&report, "public-url");
    assert!(served.outcome == Outcome::Error && served.message.contains("does not serve it"), "{served:?}");
}
