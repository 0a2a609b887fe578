//! Real children behind a proxy over a fake snapshot.

#![cfg(unix)]

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::proxy::tests::{Behaviour, Fake};
use crate::proxy::{Kind, ProxyOptions};

fn proxy() -> Proxy {
    let fake = Fake::new(1, &Bytes::from_static(b"wheel"), b"", Behaviour::Good);
    Proxy::from_snapshot(Arc::new(fake), ProxyOptions::default())
}

async fn shell(script: &str, variables: &[(String, String)]) -> RunOutcome {
    let command = ["/bin/bash", "-c", script].map(OsString::from);
    run_behind(proxy(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &command, variables).await.unwrap()
}

#[tokio::test]
async fn the_childs_code_is_returned_and_a_signal_is_128_and_its_number() {
    for (script, expected) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -INT $$; sleep 5", 130),
    ] {
        let outcome = shell(script, &[]).await;
        assert_eq!((outcome.child_code, outcome.exit_code()), (expected, expected), "{script}");
    }
}

#[tokio::test]
async fn the_child_sees_the_proxy_as_its_index_and_the_refused_way_around_makes_the_code_4() {
    let fetch = r#"test "$PIP_CONFIG_FILE" = /dev/null && test "$UV_DEFAULT_INDEX" = "$PIP_INDEX_URL" || exit 9
        port=${HTTPS_PROXY##*:}; exec 3<>/dev/tcp/127.0.0.1/$port
        printf 'CONNECT git.example:443 HTTP/1.1\r\nHost: git.example\r\nConnection: close\r\n\r\n' >&3
        read -r line <&3; case $line in *" 403 "*) exit 0;; esac; exit 8"#;
    let outcome = shell(fetch, &[("PIP_FIND_LINKS".to_owned(), "x".to_owned())]).await;
    assert_eq!((outcome.child_code, outcome.exit_code()), (0, 4));
    assert_eq!(
        (outcome.refusals[0].kind, outcome.refusals[0].what.as_str()),
        (Kind::Bypass, "git.example:443")
    );
    assert_eq!(outcome.removed, ["PIP_FIND_LINKS"]);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let command = [OsString::from("/nowhere/pip")];
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    assert!(matches!(run_behind(proxy(), listen, &command, &[]).await, Err(RunError::Start { .. })));
    assert!(matches!(run_behind(proxy(), listen, &[], &[]).await, Err(RunError::Empty)));
}

#[tokio::test]
async fn a_signal_reaches_the_child_and_a_stubborn_one_is_killed() {
    for (script, expected) in [
        ("exec sleep 60", 143),
        ("trap 'kill $!; exit 7' TERM; sleep 60 & wait", 7),
        ("trap '' TERM; read -t 60 <> <(:)", 137),
    ] {
        let mut child = Command::new("/bin/bash").args(["-c", script]).kill_on_drop(true).spawn().unwrap();
        // Time for the shell to set its trap.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(exit_code(end(&mut child).await.unwrap()), expected, "{script}");
    }
}

#[tokio::test]
async fn the_child_is_ended_when_the_listener_dies() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut proxy = proxy().start(listener).unwrap();
    proxy.abort();
    let mut child = Command::new("/bin/sleep").arg("60").kill_on_drop(true).spawn().unwrap();
    let mut signals = signals::Signals::new().unwrap();
    let (status, died) = watch(&mut child, &mut proxy, &mut signals).await.unwrap();
    assert_eq!((exit_code(status), died.is_some()), (143, true));
}

/// Set in the process that [`a_signal_to_run_is_passed_on`] starts and signals.
const SIGNALLED: &str = "TUF_CLIENT_TEST_SIGNALLED";

/// By itself it does nothing; in the process above it is what is signalled.
#[tokio::test]
async fn runs_a_child_that_traps_signals() {
    if crate::env::var(SIGNALLED).is_none() {
        return;
    }
    // It takes its own child along: a signal is for the command alone, as a shell's would be.
    let script = "trap 'kill $!; exit 7' TERM; trap 'kill $!; exit 8' HUP; trap 'kill $!; exit 9' INT; \
        sleep 60 & echo ready; wait";
    let outcome = shell(script, &[]).await;
    std::process::exit(outcome.exit_code());
}

#[tokio::test]
async fn a_signal_to_run_is_passed_on() {
    use rustix::process::{Pid, Signal, kill_process};
    use tokio::io::{AsyncBufReadExt, BufReader};

    for (signal, expected) in [(Signal::TERM, 7), (Signal::HUP, 8), (Signal::INT, 9)] {
        let mut run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "run::tests::runs_a_child_that_traps_signals"])
            .env(SIGNALLED, "1")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.ends_with("ready") {
                break;
            }
        }
        kill_process(Pid::from_raw(run.id().unwrap().try_into().unwrap()).unwrap(), signal).unwrap();
        let status = tokio::time::timeout(Duration::from_secs(10), run.wait()).await.unwrap().unwrap();
        assert_eq!(exit_code(status), expected, "{signal:?}");
    }
}
