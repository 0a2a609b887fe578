//! An ssh-agent: absent, locked, with the wrong keys, or one that lies.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use crate::support::ssh_agent::SshAgent;
use crate::support::{Run, Sandbox};

#[test]
fn an_agent_says_what_is_wrong() {
    let sandbox = Sandbox::new();
    let show = ["key", "show", "ssh-agent:me"];
    sandbox.tuf_repo(&show).code(1).says("SSH_AUTH_SOCK is not set").says("ssh-add FILE");
    let nowhere = sandbox.path("nowhere");
    Run::of(sandbox.tuf_repo_command(&show).env("SSH_AUTH_SOCK", &nowhere))
        .code(1)
        .says("no ssh-agent")
        .says("nowhere");

    let agent = SshAgent::start(&sandbox);
    let with = |arguments: &[&str]| Run::of(&mut agent.command(sandbox.tuf_repo_command(arguments)));
    with(&show).code(1).says("in the ssh-agent; there: none");
    with(&["key", "list", "ssh-agent:"]).ok().says("no keys");
    let fingerprint = agent.add(&sandbox, "me", &["ed25519"]);
    let by_fingerprint = format!("ssh-agent:{fingerprint}");
    assert_eq!(with(&["--json", "key", "show", &by_fingerprint]).ok().json()["openssh"], *fingerprint);
    let rsa = agent.add(&sandbox, "rsa", &["rsa", "-b", "2048"]);
    with(&["key", "show", &format!("ssh-agent:{rsa}")]).code(1).says("PKCS#1 v1.5").says("Ed25519");
    with(&["key", "show", "ssh-agent:you"]).code(1).says("no key ssh-agent:you").says(&fingerprint);
    agent.add(&sandbox, "me", &["ecdsa"]);
    with(&show).code(1).says("fits more than one").says("take the fingerprint");
    with(&["key", "list", "ssh-agent:"]).ok().says(&by_fingerprint).says("unusable: an agent signs with RSA");
    with(&["key", "show", "ssh-agent:SHA256:abc"]).code(1).says("43 characters");

    let add = |arguments: &[&str]| Run::of(agent.command(sandbox.command("ssh-add")).args(arguments)).ok();
    add(&["-D"]);
    with(&["key", "show", &by_fingerprint]).code(1).says("there: none").says("ssh-add -x");
}

#[test]
fn an_agent_that_lies_is_refused() {
    for (answer, says) in [
        (&[0, 0, 0, 1, 5][..], "a refusal"),
        (&[0xff, 0xff, 0xff, 0xff], "4294967295 bytes"),
        (&[0, 0, 0, 5, 12, 0xff, 0xff, 0xff, 0xff], "more than 2048"),
        (&[0, 0, 0, 9, 12, 0, 0, 0, 1, 0, 0, 0, 99], "malformed"),
        (&[0, 0, 0, 9, 12], "broke off"),
        (&[0, 0, 0, 1, 200], "unknown kind"),
    ] {
        let sandbox = Sandbox::new();
        let socket = sandbox.path("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        let liar = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 5]).unwrap();
            stream.write_all(answer).unwrap();
        });
        Run::of(sandbox.tuf_repo_command(&["key", "show", "ssh-agent:me"]).env("SSH_AUTH_SOCK", &socket))
            .code(1)
            .says(says);
        liar.join().unwrap();
    }
}
