//! `tuf-repo log` and what every other command writes there, with the real programs.

use serde_json::Value;

use crate::support::{Run, Sandbox, TUF_REPO, write};

/// A plain repository, in which one target is staged.
fn staged() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain", "-m", "for a start"]).ok();
    add(&sandbox, "a");
    sandbox
}

fn add(sandbox: &Sandbox, name: &str) {
    let file = sandbox.path("file");
    write(&file, name);
    sandbox.tuf_repo(&["add", &file.display().to_string(), "--as", name]).ok();
}

fn log_file(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.repo().join("log.ndjson")
}

fn lines(sandbox: &Sandbox) -> Vec<Value> {
    let document = sandbox.tuf_repo(&["log", "--last", "1000", "--json"]).ok().json();
    document["lines"].as_array().unwrap().clone()
}

fn verify(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    sandbox.tuf_repo(&[&["log", "verify"], arguments].concat())
}

/// The one event that waits.
fn pending(sandbox: &Sandbox) -> String {
    let events = std::fs::read_dir(sandbox.repo().join("state/events")).unwrap();
    let names = events.map(|event| event.unwrap().file_name().into_string().unwrap());
    let mut ids = names.filter_map(|name| Some(name.strip_suffix(".tufsign")?.to_owned()));
    ids.next().unwrap()
}

/// What was done, and why.
fn told(lines: &[Value]) -> Vec<(&str, Option<&str>)> {
    lines.iter().map(|line| (line["did"].as_str().unwrap(), line["why"].as_str())).collect()
}

#[test]
fn every_change_is_a_line_with_who_when_and_why() {
    let sandbox = staged();
    sandbox.tuf_repo(&["publish", "-m", "the first target"]).ok();
    sandbox.tuf_repo(&["publish", "-m", "nothing"]).ok();
    sandbox.tuf_repo(&["key", "generate", "spare", "--no-passphrase", "--message", "for the cupboard"]).ok();
    let out = sandbox.path("out").display().to_string();
    sandbox.tuf_repo(&["key", "generate", "mine", "--no-passphrase", "--out", &out]).ok();
    let public = sandbox.path("out/mine.pub.json").display().to_string();
    sandbox.tuf_repo(&["key", "import", &public, "--name", "other", "--public"]).ok();
    sandbox.tuf_repo(&["event", "open", "root", "--expires", "300d", "-m", "a shorter root"]).ok();
    let event = pending(&sandbox);
    let bundle = sandbox.repo().join(format!("state/events/{event}.tufsign"));
    let signed = sandbox.path("signed.tufsign");
    write(&signed, std::fs::read(bundle).unwrap());
    let key = format!("file:{}", sandbox.repo().join("keys/root.pem").display());
    let signed = signed.display().to_string();
    sandbox.tuf_repo(&["event", "sign", &signed, "--key", &key, "--yes"]).ok();
    sandbox.tuf_repo(&["event", "import", &signed, "-m", "from the holder"]).ok();
    sandbox.tuf_repo(&["event", "import", &signed]).ok();
    sandbox.tuf_repo(&["event", "finish"]).ok();
    sandbox.tuf_repo(&["event", "open", "root", "-m", "another"]).ok();
    let other = pending(&sandbox);
    sandbox.tuf_repo(&["event", "abort", &other, "-m", "not now"]).ok();
    sandbox.tuf_repo(&["mirror", "add", "demo", "-m", "asked for"]).ok();
    sandbox.tuf_repo(&["mirror", "remove", "demo"]).ok();
    sandbox.tuf_repo(&["role", "edit", "snapshot", "--expires", "6d", "-m", "as others"]).ok();
    sandbox.set_periods(&["root", "timestamp"], "90d", "60d");
    sandbox.tuf_repo(&["renew", "-m", "shorter"]).ok();

    let lines = lines(&sandbox);
    assert_eq!(
        told(&lines),
        [
            ("init", Some("for a start")),
            ("publish", Some("the first target")),
            ("key-generate", Some("for the cupboard")),
            ("key-import", None),
            ("event-open", Some("a shorter root")),
            ("event-import", Some("from the holder")),
            ("event-finish", Some("a shorter root")),
            ("event-open", Some("another")),
            ("event-abort", Some("not now")),
            ("settings", Some("asked for")),
            ("settings", None),
            ("settings", Some("as others")),
            ("renew", Some("shorter")),
            ("renew", Some("shorter")),
        ]
    );
    // By the signatures in the files: root by root's key, which is not told by a setting.
    let status = sandbox.tuf_repo(&["role", "show", "root", "--json"]).ok().json();
    let root = status["keys"][0]["keyid"].clone();
    for (line, version) in [(0, 1), (6, 2), (12, 3)] {
        assert_eq!(lines[line]["signed"]["root"]["by"], serde_json::json!([root]), "{line}");
        assert_eq!(lines[line]["signed"]["root"]["version"], version);
    }
    assert_eq!(
        (&lines[1]["what"]["set"], &lines[1]["what"]["targets"]),
        (&1.into(), &serde_json::json!(["a"]))
    );
    assert_eq!(lines[6]["what"]["event"], event.as_str());
    assert_eq!(lines[1]["after"], lines[13]["before"]);
    assert_eq!(lines[11]["what"], serde_json::json!({"role": "snapshot", "expires": "6d"}));
    assert!(lines.iter().all(|line| line["user"].as_str().unwrap().contains('@')));

    // For people, and only the newest.
    let text = sandbox.tuf_repo(&["log", "--last", "2"]).ok().says("2 of 14 lines; head ").stdout;
    assert!(text.contains("renew") && !text.contains("not now"), "{text}");
    sandbox.tuf_repo(&["log", "--since", "1h"]).ok().says("14 lines");
    sandbox.tuf_repo(&["log", "--since", "2999-01-01"]).ok().says("0 of 14 lines");
    sandbox.tuf_repo(&["log", "--since", "soon"]).code(2).says("expected 7d");
    sandbox.tuf_repo(&["publish", "-m", "two\nlines"]).code(2).says("one line");
    let document = verify(&sandbox, &["--json"]).ok().json();
    assert_eq!((&document["intact"], &document["findings"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn a_log_that_somebody_changed_is_refused_with_what_was_done() {
    let sandbox = staged();
    sandbox.tuf_repo(&["publish", "-m", "one"]).ok();
    sandbox.tuf_repo(&["key", "generate", "spare", "--no-passphrase"]).ok();
    add(&sandbox, "b");
    sandbox.tuf_repo(&["publish", "-m", "two"]).ok();
    let log = std::fs::read_to_string(log_file(&sandbox)).unwrap();
    let all: Vec<&str> = log.split_inclusive('\n').collect();
    let head = verify(&sandbox, &["--json"]).ok().json()["logs"][0]["head"].as_str().unwrap().to_owned();
    for (what, tampered, says) in [
        ("a word", log.replace("\"one\"", "\"0ne\""), "changed: "),
        ("a line", [all[0], all[2], all[3]].concat(), "removed: "),
        ("a copy", [&log, all[2]].concat(), "inserted: "),
        ("the end", all[..3].concat(), "cut off: "),
        ("all", String::new(), "cut off: "),
        ("a key", log.replace("\"by\":[\"", "\"by\":[\"00"), "key: "),
    ] {
        write(&log_file(&sandbox), tampered);
        let run = verify(&sandbox, &[]).code(4).says(says).says("hint: ");
        assert!(!run.stdout.contains("\nintact"), "{what}: {run:?}");
        let document = verify(&sandbox, &["--json"]).code(4);
        let found = document.stdout.split("\n{\"error").next().unwrap();
        let document: Value = serde_json::from_str(found).unwrap();
        assert_eq!(document["intact"], false, "{what}");
    }
    // All written anew, by somebody who knows how: only what was noted elsewhere tells.
    let mut anew = String::new();
    for line in &all {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if line["n"] == 3 {
            line["user"] = "nobody@nowhere".into();
        }
        if let Some(before) = anew.lines().last() {
            line["previous"] = sha256(before).into();
        }
        anew.push_str(&format!("{line}\n"));
    }
    write(&log_file(&sandbox), anew);
    verify(&sandbox, &[]).ok();
    verify(&sandbox, &["--head", &head]).code(4).says("cut off: ").says("written anew");
    write(&log_file(&sandbox), &log);
    verify(&sandbox, &["--head", &head]).ok().says("intact");
    verify(&sandbox, &["--head", &head[..16]]).ok();
    verify(&sandbox, &["--head", "xyz"]).code(2);
    // It goes on from there, and what was noted before is there still.
    add(&sandbox, "c");
    sandbox.tuf_repo(&["publish"]).ok();
    verify(&sandbox, &["--head", &head]).ok();
    // An auditor who has the file and nothing else.
    let copy = sandbox.path("copy.ndjson");
    write(&copy, &log);
    let elsewhere = Sandbox::new();
    verify(&elsewhere, &[&copy.display().to_string(), "--head", &head]).ok().says("4 lines");
    write(&copy, log.replace("spare", "share"));
    verify(&elsewhere, &[&copy.display().to_string()]).code(4).says("changed: ");
}

fn sha256(text: &str) -> String {
    let sum = tuf_core::Hashes::of(text.as_bytes());
    sum.preferred().unwrap().to_string()
}

#[test]
fn an_older_state_that_was_put_back_and_one_published_elsewhere_are_told_apart() {
    let sandbox = staged();
    sandbox.tuf_repo(&["publish"]).ok();
    let (old, log) = (sandbox.timestamp(), std::fs::read(log_file(&sandbox)).unwrap());
    add(&sandbox, "b");
    sandbox.tuf_repo(&["publish"]).ok();
    let new = sandbox.timestamp();
    write(&sandbox.public("metadata/timestamp.json"), old);
    verify(&sandbox, &[]).code(4).says("rollback: ").says("timestamp 2").says("timestamp 1");
    write(&sandbox.public("metadata/timestamp.json"), new);
    write(&log_file(&sandbox), log);
    verify(&sandbox, &[]).code(4).says("cut off: ");
    // Whoever publishes next leaves a gap that is seen.
    add(&sandbox, "c");
    sandbox.tuf_repo(&["publish"]).ok();
    verify(&sandbox, &[]).code(4).says("gap: ").says("timestamps 2 to 2 are in no log");
}

/// Puts a directory in place of the log; what it had.
fn obstruct(log: &std::path::Path) -> Vec<u8> {
    let bytes = std::fs::read(log).unwrap();
    std::fs::remove_file(log).unwrap();
    std::fs::create_dir(log).unwrap();
    bytes
}

/// The publish is done, and says so; the line is written by the next command.
#[test]
fn a_log_that_cannot_be_written_stops_no_publish_and_gets_its_line_later() {
    let sandbox = staged();
    let log = log_file(&sandbox);
    let kept = obstruct(&log);
    let run = sandbox.tuf_repo(&["publish", "-m", "in the way"]).ok();
    assert!(run.stderr.contains("done, but the log has no line of it (publish)"), "{run:?}");
    assert!(sandbox.repo().join("state/journal/publish").exists());
    sandbox.verify();
    // Without a log, nothing more is begun: what is owed would be forgotten.
    add(&sandbox, "b");
    sandbox.tuf_repo(&["publish"]).code(1).says("hint: make log.ndjson writable");
    std::fs::remove_dir(&log).unwrap();
    write(&log, kept);
    verify(&sandbox, &[]).ok().says("its publisher was killed before it wrote the line");
    sandbox.tuf_repo(&["renew"]).ok().says("nothing is due");
    assert!(!sandbox.repo().join("state/journal/publish").exists());
    let lines = lines(&sandbox);
    assert_eq!(told(&lines), [("init", Some("for a start")), ("publish", Some("in the way"))]);
    assert!(lines[1]["late"].is_string());
    verify(&sandbox, &[]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    verify(&sandbox, &[]).ok();
    // What is no publish says what it did, and that it failed to say so in the log.
    obstruct(&log);
    sandbox
        .tuf_repo(&["key", "generate", "spare", "--no-passphrase"])
        .code(1)
        .says("done, but")
        .says("key-generate");
    assert!(sandbox.repo().join("keys/spare.pem").exists());
}

#[test]
fn a_clock_that_is_behind_signs_nothing_and_says_both_times() {
    let sandbox = staged();
    sandbox.tuf_repo(&["publish"]).ok();
    // As if the clock had been an hour ahead, and was right now.
    let path = log_file(&sandbox);
    let log = std::fs::read_to_string(&path).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    let at = last["at"].as_str().unwrap();
    let later = format!("2999{}", &at[4..]);
    write(
        &path,
        log.replace(&format!("\"{at}\",\"did\":\"publish\""), &format!("\"{later}\",\"did\":\"publish\"")),
    );
    let before = sandbox.timestamp();
    add(&sandbox, "b");
    for command in [&["publish"][..], &["renew"]] {
        let run = sandbox.tuf_repo(command).code(4);
        run.says(&later).says("nothing was signed").says("hint: set the clock of this machine (NTP)");
    }
    assert_eq!(sandbox.timestamp(), before);
    sandbox.tuf_repo(&["status"]).ok().says("1 staged changes");
    sandbox.tuf_repo(&["publish", "--clock-is-right"]).ok().says("timestamp 2");
    sandbox.tuf_repo(&["renew"]).ok();
}

#[test]
fn the_commands_of_the_page_on_the_log_work() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join("log.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    let text = blocks.concat();
    assert!(text.contains("init mirror"));
    let sandbox = Sandbox::new();
    let script = sandbox.path("page.sh");
    write(&script, text.replace("init mirror", "init mirror --no-passphrase"));
    let programs = std::path::Path::new(TUF_REPO).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", tuf_client::env::var("PATH").unwrap());
    let mut shell = sandbox.command("sh");
    shell.arg("-eux").arg(&script).env("PATH", path).current_dir(sandbox.path(""));
    let run = Run::of(&mut shell).ok().says("our wheels, request 4711").says("the first file");
    assert_eq!(run.stdout.matches("\nintact; published is timestamp 1").count(), 2, "{run:?}");
}
