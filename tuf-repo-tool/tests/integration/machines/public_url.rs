//! After publishing, the machine asks for it as a client does, where clients do.

use super::Machine;
use crate::support::s3::S3;
use crate::support::s3_front::{Front, Spoilt};

#[test]
fn a_public_url_that_serves_an_old_state_fails_the_publish_and_says_so() {
    let server = S3::moto();
    let machine = Machine::new(server.variables());
    let url = server.public("public/");
    machine.init("public", &["--preset", "plain", "--public-url", &url]).ok();
    machine.add("healthy").ok();
    machine.run(&["publish", "--verify"]).ok();

    // A cache in between that keeps what it must not keep.
    let front = Front::start(&server.endpoint, Spoilt::Stale);
    let cached = url.replace(&server.endpoint, &front.endpoint);
    let settings = machine.sandbox.repo().join("tuf-repo.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    assert!(text.contains(&url), "{text}");
    crate::support::write(&settings, text.replace(&url, &cached));
    machine.add("first").ok();
    machine.run(&["publish", "--served-within", "2s"]).ok();
    machine.add("second").ok();
    let run = machine.run(&["publish", "--json", "--served-within", "2s"]).code(1);
    assert_eq!(super::published(&run), Some(3), "it is published all the same");
    let run = run.says("does not serve it: after 2 seconds: expected timestamp 3, found 2").says("hint: ");
    assert!(run.stderr.contains(&cached), "{run:?}");
    assert_eq!(machine.targets(&url).len(), 3);

    // Nothing is there at all.
    crate::support::write(&settings, text.replace(&url, &server.public("nowhere/")));
    machine.add("third").ok();
    machine.run(&["publish", "--served-within", "1s"]).code(1).says("published, but").says("nowhere");
}
