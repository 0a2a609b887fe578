//! What `docs/recovery.md` says to type works, after a theft.

use super::thief::FAR;
use super::{Incident, upload};
use crate::publish_crash::copy;
use crate::support::Run;
use crate::support::page::{Page, with_programs};

#[test]
fn the_commands_of_the_page_on_recovery_work() {
    let incident = Incident::new();
    let sandbox = incident.sandbox();
    copy(&sandbox.public(""), &sandbox.path("archive"));
    incident.client("slept", &["refresh"]).ok();
    upload(sandbox, "d", "d");
    let thief = incident.thief();
    thief.publish(2, FAR, &[("a", None), ("e", Some(thief.file("e", b"evil")))]);
    incident.client("deceived", &["refresh"]).ok();
    std::fs::create_dir(sandbox.path("stick")).unwrap();

    let page = Page::read("recovery.md", 5).text;
    let (mut plan, mut phrase) = (String::new(), String::new());
    for block in page.split("```sh\n# ").skip(1) {
        let (machine, rest) = block.split_once('\n').unwrap();
        let script = rest.split_once("```").unwrap().0;
        let directory = match machine {
            "repository" => sandbox.path(""),
            "holders" => sandbox.path("away"),
            _ => panic!("who is {machine}?"),
        };
        let mut command = sandbox.command("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(directory);
        command
            .env("PATH", with_programs())
            .env("STICK", sandbox.path("stick"))
            .env("GOOD", incident.good.to_string());
        let run = Run::of(command.env("PLAN", &plan).env("PHRASE", &phrase)).ok();
        let after = |text: &str| {
            let rest = run.stdout.split(text).nth(1)?;
            rest.split(['\n', ',']).next().map(|found| found.trim().to_owned())
        };
        plan = after("plan ").filter(|_| run.stdout.starts_with("plan ")).unwrap_or(plan);
        phrase = after("check phrase: ").unwrap_or(phrase);
    }
    let facts = std::fs::read_to_string(sandbox.path("bulletin.ndjson")).unwrap();
    assert_eq!(facts.lines().count(), 3, "{facts}");
    for store in ["slept", "deceived", "fresh"] {
        assert_eq!(incident.get(store, "a").as_deref(), Some("a"), "{store}");
        assert_eq!(incident.get(store, "d").as_deref(), Some("d"), "{store}");
        assert_eq!(incident.get(store, "e"), None, "{store}");
    }
}
