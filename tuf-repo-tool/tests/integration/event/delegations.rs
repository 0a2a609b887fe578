//! Staged edits of delegations whose delegator is signed elsewhere: they wait in an event, and clients follow them when it is
//! finished.

use serde_json::Value;

use super::Ceremony;
use crate::interop::peer::{Peer, Sums, sums};
use crate::publish_crash::sweep;
use crate::support::hostile::Server;
use crate::support::write;

const OPEN: &str = "tuf-repo event open targets --staged";

impl Ceremony {
    /// `tuf-repo delegate ARGUMENTS`, without quoting.
    fn delegate(&self, line: &str) -> crate::support::Run {
        self.sandbox.tuf_repo(&[&["delegate"], &line.split(' ').collect::<Vec<_>>()[..]].concat())
    }

    /// A key that its holder made on a machine of their own; gives its URI in this repository.
    fn holder(&self, name: &str) -> String {
        let away = self.sandbox.path("away").display().to_string();
        let mut make = self.sandbox.command(crate::support::TUF_REPO);
        make.args(["key", "generate", name, "--no-passphrase", "--out", &away]);
        crate::support::Run::of(&mut make).ok();
        let public = format!("{away}/{name}.pub.json");
        self.sandbox
            .tuf_repo(&["key", "import", &public, "--public", "--name", name])
            .ok()
            .says(&format!("pub:keys/{name}.pub.json"));
        format!("pub:keys/{name}.pub.json")
    }

    fn drafted(&self, id: &str) -> Vec<(String, Vec<String>)> {
        let shown = self.sandbox.tuf_repo(&["--json", "event", "show", id]).ok().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let changes = |draft: &Value| draft["changes"].as_array().unwrap().iter().map(text).collect();
        let drafts = shown["drafts"].as_array().unwrap();
        drafts.iter().map(|draft| (text(&draft["role"]), changes(draft))).collect()
    }

    /// What is published, by python-tuf as a client that keeps its state, is what our client gets.
    fn read_everywhere(&self, server: &Server) -> Sums {
        self.sandbox.verify();
        let list = self.sandbox.tuf_client(&["--url", &self.sandbox.url(), "--json", "list"]).ok().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let targets = list["targets"].as_array().unwrap();
        let targets: Sums =
            targets.iter().map(|one| (text(&one["path"]), text(&one["hashes"]["sha256"]))).collect();
        let read = Peer::PythonTuf.read(&self.sandbox, "returning", &server.url(), &targets).ok();
        assert_eq!(sums(&read), targets);
        targets
    }
}

#[test]
fn a_staged_delegation_waits_in_an_event_and_clients_follow_it() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    let server = Server::new(&sandbox.public(""));
    ceremony.read_everywhere(&server);
    let acme = ceremony.holder("acme");
    sandbox.tuf_repo(&["key", "generate", "here", "--no-passphrase"]).ok();
    ceremony
        .delegate(&format!("add acme --paths acme/* --key {acme} --terminating --expires 40d"))
        .ok()
        .says(OPEN);
    ceremony.delegate("add own --paths own/* --key file:keys/here.pem --position 1").ok().says(OPEN);
    let before = sandbox.timestamp();
    sandbox.tuf_repo(&["plan"]).code(3).says(OPEN);
    sandbox.tuf_repo(&["publish"]).code(3).says(OPEN);
    assert_eq!(sandbox.timestamp(), before);
    sandbox.tuf_repo(&["renew"]).ok();
    ceremony.event(&["open", "acme", "--staged", "-m", "because"]).code(1).says(OPEN);
    ceremony.event(&["open", "bins", "--staged", "-m", "because"]).code(1).says("nothing is staged for bins");

    let id = ceremony.open(&["targets", "--staged"]);
    let drafted = ceremony.drafted(&id);
    assert_eq!(drafted.iter().map(|(role, _)| &**role).collect::<Vec<_>>(), ["targets", "acme"]);
    let (targets, acme) = (drafted[0].1.join("\n"), &drafted[1].1);
    assert!(acme.is_empty(), "{acme:?}");
    for line in [
        "own: + new role",
        "own: + paths: own/*",
        "own: threshold 1 of 1",
        "acme: + acme (",
        "acme: + paths: acme/*",
        "acme: terminating: absent → true",
        "the order of priority is now own, acme, bins",
    ] {
        assert!(targets.contains(line), "{line} in {targets}");
    }
    ceremony.event(&["show", &id]).ok().says("acme 1, the first file of a new role");
    // It waits in the event: what else is published meanwhile is not stopped.
    sandbox.tuf_repo(&["plan"]).ok().says("nothing to publish");
    sandbox.tuf_repo(&["publish"]).ok();
    ceremony
        .sign(&ceremony.bundle(&id), &["targets-1", "targets-2"])
        .ok()
        .says("still missing: acme has 0 of 1");
    ceremony.event(&["finish", &id]).code(3).says("acme has 0 of 1 by targets 2 (draft), missing acme");
    ceremony.carry_out(&id, &["acme"]);
    // As [delegations.acme] says: 40 days, where targets have 365.
    let expires = |(signed, _): (Value, usize)| -> chrono::DateTime<chrono::Utc> {
        signed["expires"].as_str().unwrap().parse().unwrap()
    };
    let [long, short] = ["2.targets.json", "1.acme.json"].map(|name| expires(ceremony.published(name)));
    assert!((324..=325).contains(&(long - short).num_days()), "{long} {short}");
    // Its key is here: it was signed with the publish.
    assert_eq!(ceremony.published("1.own.json").1, 1);
    ceremony.read_everywhere(&server);

    write(&sandbox.path("in/x"), "x");
    sandbox.tuf_repo(&["add", &sandbox.path("in/x").display().to_string(), "--as", "own/x"]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    assert_eq!(ceremony.read_everywhere(&server).into_keys().collect::<Vec<_>>(), ["own/x"]);

    // Other paths, another order, another end; and one that goes.
    ceremony.delegate("edit acme --paths acme/* acme/*/* --terminating false --position 1").ok().says(OPEN);
    ceremony.delegate("remove own").ok().says(OPEN);
    sandbox.tuf_repo(&["publish"]).code(3).says(OPEN);
    let id = ceremony.open(&["targets", "--staged"]);
    let drafted = ceremony.drafted(&id);
    assert_eq!(drafted.len(), 1);
    let wanted = ["acme: + paths: acme/*/*", "acme: terminating: true → false", "own: - the role is removed"];
    assert_eq!(drafted[0].1, wanted);
    ceremony.carry_out(&id, &["targets-1", "targets-2"]);
    assert!(ceremony.read_everywhere(&server).is_empty());
    let delegated = &ceremony.published("3.targets.json").0["delegations"]["roles"];
    assert_eq!(delegated[0]["name"], "acme");
    assert_eq!(delegated.as_array().unwrap().len(), 2);
    // What went is not renewed, and a name that comes back goes on above its old version.
    sandbox.tuf_repo(&["renew"]).ok();
    ceremony.delegate("add own --paths own/* --key file:keys/here.pem").ok();
    let id = ceremony.open(&["targets", "--staged"]);
    ceremony.carry_out(&id, &["targets-1", "targets-2"]);
    assert_eq!(ceremony.published("3.own.json").1, 1);
    ceremony.read_everywhere(&server);
}

#[test]
fn delegations_of_delegated_roles_are_signed_by_those_who_hold_their_keys() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    let server = Server::new(&sandbox.public(""));
    let [a, b, c] = ["a", "b", "c"].map(|name| ceremony.holder(name));
    sandbox.tuf_repo(&["key", "generate", "here", "--no-passphrase"]).ok();
    // Two levels at once: the first of them could be signed here, and is drafted for what is below it.
    ceremony.delegate("add first --paths x/* x/*/* x/*/*/* --key file:keys/here.pem").ok().says(OPEN);
    ceremony
        .delegate(&format!("add second --paths x/y/* x/y/*/* --key {b} --delegator first"))
        .ok()
        .says(OPEN);
    let id = ceremony.open(&["targets", "--staged"]);
    let roles: Vec<String> = ceremony.drafted(&id).into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, ["targets", "first", "second"]);
    let here = format!("file:{}", sandbox.repo().join("keys/here.pem").display());
    let bundle = ceremony.bundle(&id).display().to_string();
    ceremony.event(&["sign", &bundle, "--yes", "--key", &here]).ok();
    ceremony.carry_out(&id, &["targets-1", "targets-2", "b"]);
    ceremony.read_everywhere(&server);

    // Below a role that is delegated and signed elsewhere.
    ceremony.delegate(&format!("add third --paths x/y/z/* --key {c} --delegator second")).ok();
    sandbox.tuf_repo(&["publish"]).code(3).says("tuf-repo event open second --staged");
    let id = ceremony.open(&["second", "--staged"]);
    ceremony.sign(&ceremony.bundle(&id), &["targets-1"]).code(1).says("may sign nothing");
    ceremony.carry_out(&id, &["b", "c"]);
    ceremony.read_everywhere(&server);

    // A key more: what is published would hold, but the holders sign what they vouch for from now on.
    ceremony.delegate(&format!("edit second --key {b} --key {a} --threshold 2")).ok();
    sandbox.tuf_repo(&["publish"]).code(3).says("tuf-repo event open first --staged");
    let id = ceremony.open(&["first", "--staged"]);
    let drafted = ceremony.drafted(&id);
    assert_eq!(drafted.iter().map(|(role, _)| &**role).collect::<Vec<_>>(), ["first", "second"]);
    assert!(drafted[0].1.contains(&"second: threshold 1 of 1 → 2 of 2".to_owned()), "{drafted:?}");
    let bundle = ceremony.bundle(&id).display().to_string();
    ceremony.event(&["sign", &bundle, "--yes", "--key", &here]).ok();
    ceremony.carry_out(&id, &["a", "b"]);
    ceremony.read_everywhere(&server);
}

#[test]
fn a_key_more_for_a_role_that_is_signed_elsewhere_is_signed_with_the_event() {
    let ceremony = Ceremony::new();
    let add = ceremony.new_key("bins", "bins-3");
    let id = ceremony.open(&["targets", "--add-key", &add]);
    let roles: Vec<String> = ceremony.drafted(&id).into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, ["targets", "bins"]);
    ceremony.carry_out(&id, &["targets-1", "targets-2", "bins-1", "bins-3"]);
}

#[test]
fn edits_of_an_event_that_is_given_up_are_staged_again() {
    let ceremony = Ceremony::new();
    let acme = ceremony.holder("acme");
    ceremony.delegate(&format!("add acme --paths acme/* --key {acme}")).ok();
    let staged = || ceremony.sandbox.tuf_repo(&["--json", "delegate", "list"]).ok().json();
    let before = staged();
    let id = ceremony.open(&["targets", "--staged"]);
    assert_ne!(staged(), before);
    ceremony.event(&["abort", &id]).ok().says("1 edits of delegations are staged again");
    assert_eq!(staged(), before);
    // A bundle whose edits are not what it has drafts for.
    let id = ceremony.open(&["targets", "--staged"]);
    let path = ceremony.bundle(&id);
    let whole = std::fs::read_to_string(&path).unwrap();
    for (from, to, says) in [
        ("\"acme/*\"", "\"evil/*\"", "is not what its edits make of the published file"),
        (
            "\"delegator\": \"targets\",\n      \"role\": \"acme\"",
            "\"delegator\": \"x\",\n      \"role\": \"acme\"",
            "no draft of it",
        ),
        (
            "\"role\": \"acme\",\n      \"delegator\": \"targets\"",
            "\"role\": \"acme\"",
            "which nobody delegated",
        ),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole, "{from} in {whole}");
        write(&path, changed);
        ceremony.event(&["finish", &id]).code(4).says(says);
    }
    write(&path, whole);
    ceremony.carry_out(&id, &["targets-1", "targets-2", "acme"]);
    assert_eq!(ceremony.published("1.acme.json").1, 1);
}

#[test]
fn an_event_on_delegations_needs_something_published() {
    let sandbox = crate::support::Sandbox::new();
    sandbox.init(&["--bins", "2"]).ok();
    std::fs::create_dir(sandbox.path("away")).unwrap();
    let ceremony = Ceremony { sandbox };
    let acme = ceremony.holder("acme");
    let add = format!("add acme --paths acme/* --key {acme}");
    ceremony.delegate(&add).code(4).says("nothing is published yet").says("tuf-repo publish");
    ceremony.sandbox.tuf_repo(&["publish"]).ok();
    let next = |line: &str| ceremony.delegate(line).ok().stdout;
    ceremony.sandbox.tuf_repo(&["key", "generate", "own", "--no-passphrase"]).ok();
    let own = next("add own --paths own/* --key file:keys/own.pem");
    assert!(own.contains("`tuf-repo publish` makes it so"), "{own}");
    assert!(next(&format!("edit own --key {acme}")).contains(OPEN));
    assert!(next("edit own --key file:keys/own.pem").contains("`tuf-repo publish`"));
    ceremony.delegate("reset").ok();
    ceremony.delegate(&add).ok().says(OPEN);
    // The keys of targets are here, and sign like any others.
    let id = ceremony.open(&["targets", "--staged"]);
    let (bundle, here) =
        (ceremony.bundle(&id).display().to_string(), ceremony.sandbox.repo().join("keys/targets.pem"));
    ceremony.event(&["sign", &bundle, "--yes", "--key", &format!("file:{}", here.display())]).ok();
    ceremony.carry_out(&id, &["acme"]);
    assert_eq!(ceremony.published("1.acme.json").1, 1);
}

#[test]
fn delegations_that_are_finished_are_made_once_wherever_that_was_killed() {
    let ceremony = Ceremony::new();
    let acme = ceremony.holder("acme");
    ceremony.sandbox.tuf_repo(&["key", "generate", "own", "--no-passphrase"]).ok();
    ceremony.delegate(&format!("add acme --paths acme/* --key {acme}")).ok();
    ceremony.delegate("add own --paths own/* --key file:keys/own.pem").ok();
    let id = ceremony.open(&["targets", "--staged"]);
    ceremony.sign(&ceremony.bundle(&id), &["targets-1", "targets-2", "acme"]).ok().says("complete");
    let files = ["2.targets.json", "1.acme.json", "1.own.json", "2.snapshot.json"];
    let (points, hits) = sweep(&ceremony.sandbox, &["event", "finish", &id], &files);
    println!("event finish with delegations: {points} points; hit at {hits}");
    ceremony.sandbox.tuf_repo(&["plan"]).ok().says("nothing to publish");
}

#[test]
fn bins_whose_keys_are_elsewhere_are_resized_by_an_event() {
    let ceremony = Ceremony::new();
    let sandbox = &ceremony.sandbox;
    for number in 0..20 {
        write(&sandbox.path(&format!("in/file{number}")), number.to_string());
    }
    sandbox.tuf_repo(&["add", &sandbox.path("in").display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    sandbox.verify();
    let targets = sandbox.targets();
    let open = "tuf-repo event open bins --staged";
    sandbox.tuf_repo(&["bins", "resize", "8"]).ok().says(open);
    sandbox.tuf_repo(&["publish"]).code(3).says(open);
    let id = ceremony.open(&["bins", "--staged"]);
    ceremony.event(&["show", &id]).ok().says("8");
    // What happens meanwhile goes into the old bins, and from there into the new ones.
    write(&sandbox.path("more/late"), "late");
    sandbox.tuf_repo(&["add", &sandbox.path("more").display().to_string()]).ok();
    sandbox.tuf_repo(&["publish"]).ok();
    ceremony.carry_out(&id, &["bins-1", "bins-2"]);
    assert_eq!(sandbox.targets(), [targets, vec!["late".to_owned()]].concat());
    let (snapshot, _) = ceremony.published("4.snapshot.json");
    let bins = snapshot["meta"].as_object().unwrap().keys().filter(|name| name.starts_with("bin-8-"));
    assert_eq!(bins.count(), 8);
}
