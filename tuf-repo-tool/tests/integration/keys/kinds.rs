//! One root that every kind of key has signed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use tuf_core::{Draft, Envelope, Key, Limits, Root, TopLevel, read_unverified};
use tuf_repo_tool::keys::{self, KeyUri, Passphrases};

use super::{openssl_signer, script};
use crate::support::python::{python, succeeds};
use crate::support::softhsm::{PIN, SoftHsm};
use crate::support::ssh_agent::SshAgent;
use crate::support::{Run, Sandbox, write};

/// A signing program in Python: an HMAC will not do, so it asks OpenSSL too, but prints r and s side by side in hex.
const PYTHON_SIGNER: &str = r#"#!/usr/bin/env python3
import subprocess, sys
key = sys.argv[1]
if sys.argv[2] == "public":
    sys.stdout.buffer.write(subprocess.check_output(["openssl", "pkey", "-in", key, "-pubout"]))
else:
    payload = sys.stdin.buffer.read()
    der = subprocess.run(["openssl", "dgst", "-sha384", "-sign", key], input=payload, stdout=subprocess.PIPE, check=True).stdout
    numbers, at = [], 2
    while at < len(der):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
        at += 2 + length
    print("".join(number.to_bytes(48, "big").hex() for number in numbers))
"#;

/// The URIs of `[roles.root]` become these.
fn set_root_keys(sandbox: &Sandbox, uris: &[String]) {
    let path = sandbox.repo().join("tuf-repo.toml");
    let mut settings: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let keys: Vec<toml::Value> = uris.iter().map(|uri| uri.as_str().into()).collect();
    settings["roles"]["root"].as_table_mut().unwrap().insert("keys".to_owned(), keys.into());
    write(&path, toml::to_string(&settings).unwrap());
}

/// Replaces the first root by one whose root role has these keys too; the file key of `init` signs it.
fn first_root_with(sandbox: &Sandbox, others: &[Key]) {
    let path = sandbox.public("metadata/1.root.json");
    let limits = Limits::default();
    let envelope = Envelope::parse(std::fs::read(&path).unwrap(), &limits).unwrap();
    let mut root: Root = read_unverified(&envelope, &limits).unwrap();
    let uri: KeyUri = "file:keys/root.pem".parse().unwrap();
    let signer = keys::open(&uri, &sandbox.repo(), &mut Passphrases::from_environment()).unwrap();
    root.set_role(TopLevel::Root, std::iter::once(signer.public()).chain(others), 1);
    let mut draft = Draft::new(root);
    let signature = signer.sign(draft.payload().as_bytes()).unwrap();
    draft.attach(&signer.public().id(), signer.public(), &signature).unwrap();
    for copy in [path, sandbox.repo().join("root.json")] {
        write(&copy, draft.finish());
    }
}

#[test]
fn every_kind_of_key_signs_a_root_that_clients_verify() {
    let sandbox = Sandbox::new();
    let hsm = SoftHsm::new(&sandbox, &["tuf"]);
    let agent = SshAgent::start(&sandbox);
    sandbox.init(&["--preset", "plain"]).ok();

    let openssl = |arguments: &[&str]| succeeds(sandbox.command("openssl").args(arguments));
    let python_key = sandbox.path("python key.pem").display().to_string();
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", &python_key]);
    let encrypted = sandbox.path("encrypted.pem").display().to_string();
    openssl(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:sesame", "-out", &encrypted]);
    let encrypted_pub = sandbox.path("encrypted.pub").display().to_string();
    openssl(&["pkey", "-in", &encrypted, "-passin", "pass:sesame", "-pubout", "-out", &encrypted_pub]);

    let with = |mut command: Command| {
        command = agent.command(hsm.command(command));
        command
            .env("TUF_PASSPHRASE_TUF", PIN)
            .env("SEED", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .env("CI_KEY", std::fs::read_to_string(&encrypted).unwrap())
            .env("CI_KEY_PUB", std::fs::read_to_string(&encrypted_pub).unwrap())
            .env("TUF_PASSPHRASE_CI_KEY", "sesame");
        command
    };
    let run = |arguments: &[&str]| Run::of(&mut with(sandbox.tuf_repo_command(arguments)));

    let mut uris = vec!["file:keys/root.pem".to_owned(), "env:SEED".to_owned(), "env:CI_KEY".to_owned()];
    for kind in ["ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-3072"] {
        let uri = SoftHsm::uri("tuf", kind);
        let made = run(&["--json", "key", "generate", &uri, "--key-type", kind]).ok().json();
        uris.push(made["uri"].as_str().unwrap().to_owned());
    }
    for (comment, kind) in
        [("me", &["ed25519"][..]), ("p256", &["ecdsa", "-b", "256"]), ("p384", &["ecdsa", "-b", "384"])]
    {
        let fingerprint = agent.add(&sandbox, comment, kind);
        uris.push(format!("ssh-agent:{}", if comment == "me" { comment } else { &fingerprint }));
    }
    uris.push(format!("exec:{}", openssl_signer(&sandbox)));
    uris.push(format!("exec:{} '{python_key}'", script(&sandbox, "sign.py", PYTHON_SIGNER)));

    set_root_keys(&sandbox, &uris);
    let listed = run(&["--json", "key", "list"]).ok().json();
    let listed: BTreeMap<&str, Key> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["uri"].as_str().unwrap(), Key::from_json(&entry["key"]).unwrap()))
        .collect();
    let others: Vec<Key> = uris[1..].iter().map(|uri| listed[uri.as_str()].clone()).collect();
    first_root_with(&sandbox, &others);
    // Other times than those of the first root: it is due.
    sandbox.set_periods(&["root"], "300d", "100d");
    run(&["publish"]).ok();
    run(&["renew"]).ok();
    sandbox.verify();

    let limits = Limits::default();
    let envelope =
        Envelope::parse(std::fs::read(sandbox.public("metadata/2.root.json")).unwrap(), &limits).unwrap();
    assert_eq!(envelope.signatures().len(), uris.len());
    let schemes: std::collections::BTreeSet<&str> = listed.values().map(Key::scheme).collect();
    assert_eq!(schemes.len(), 4, "{schemes:?}");
    for uri in &uris {
        let key = &listed[uri.as_str()];
        let signature =
            envelope.signatures().iter().find(|signature| *signature.keyid() == key.id()).unwrap();
        assert!(key.verify(envelope.signed().as_bytes(), &signature.bytes().unwrap()), "{uri}");
    }
    python_verifies(&sandbox.public("metadata/2.root.json"), uris.len());

    let shown = run(&["--json", "key", "show", &uris[3]]).ok().json();
    assert_eq!(shown["published"]["root"], serde_json::json!([1, 2]));
    assert_eq!(shown["roles"], serde_json::json!(["root"]));
    run(&["key", "show", "root"]).ok().says("root in root 1-2").says("SHA256:");
}

/// python-tuf checks every signature by itself.
fn python_verifies(root: &Path, count: usize) {
    let program = "import sys\n\
        from tuf.api.metadata import Metadata\n\
        root = Metadata.from_file(sys.argv[1])\n\
        result = root.signed.get_verification_result('root', root.signed_bytes, root.signatures)\n\
        print(len(result.signed))\n";
    let run = Run::of(Command::new(python().interpreter()).args(["-c", program]).arg(root)).ok();
    assert_eq!(run.stdout.trim(), count.to_string());
}

#[test]
fn keys_are_generated_imported_and_shown_by_name() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    let with =
        |arguments: &[&str]| Run::of(sandbox.tuf_repo_command(arguments).env("TUF_PASSPHRASE", "sesame"));
    with(&["key", "generate", "spare", "--key-type", "ecdsa-p384"]).ok();
    with(&["key", "generate", "spare"]).code(1).says("never overwritten");
    with(&["key", "generate", "rsa", "--key-type", "rsa-3072"]).code(1).says("openssl genpkey");
    with(&["key", "generate", "ssh-agent:me"]).code(1).says("in a file or on a token");
    with(&["key", "generate", "../spare"]).code(1).says("letters, digits");

    // OpenSSL reads it, and what it writes comes back.
    let ours = sandbox.repo().join("keys/spare.pem").display().to_string();
    let plain = sandbox.path("plain.pem").display().to_string();
    succeeds(sandbox.command("openssl").args([
        "pkey",
        "-in",
        &ours,
        "-passin",
        "pass:sesame",
        "-out",
        &plain,
    ]));
    std::fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    with(&["key", "import", &plain, "--name", "copy"]).code(1).says("0644").says("chmod 600");
    std::fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let copy = with(&["--json", "key", "import", &plain, "--name", "copy"]).ok().json();
    let spare = with(&["--json", "key", "show", "spare"]).ok().json();
    assert_eq!(copy["keyid"], spare["keyid"]);

    // The public half alone.
    let pem = sandbox.path("plain.pub").display().to_string();
    succeeds(sandbox.command("openssl").args(["pkey", "-in", &plain, "-pubout", "-out", &pem]));
    with(&["key", "import", &pem, "--name", "holder", "--public"]).ok().says("pub:keys/holder.pub.json");
    with(&["key", "import", &pem, "--name", "holder", "--public"]).code(1).says("never overwritten");
    let holder = with(&["--json", "key", "show", "holder"]).ok().json();
    assert_eq!((&holder["uri"], &holder["keyid"]), (&"pub:keys/holder.pub.json".into(), &spare["keyid"]));
    set_root_keys(&sandbox, &["pub:keys/holder.pub.json".to_owned()]);
    sandbox.set_periods(&["root"], "300d", "1s");
    with(&["publish"]).code(0);
    with(&["renew"]).says("this machine has 0 of its keys");

    // The seed of an encrypted variable, unlocked by its own passphrase.
    let imported = |value: &str, name: &str| {
        let arguments = ["key", "import", "env:CI_KEY", "--name", name];
        Run::of(sandbox.tuf_repo_command(&arguments).env("TUF_PASSPHRASE", "sesame").env("CI_KEY", value))
    };
    imported(&std::fs::read_to_string(&ours).unwrap(), "from-ci").ok();
    imported("not a key", "bad").code(1).says("environment variable CI_KEY: neither");
    imported("", "bad").code(1).says("not set");
    sandbox.tuf_repo(&["key", "show", "env:NO_SUCH_KEY"]).code(1).says("NO_SUCH_KEY: it is not set");
    let show = |value: &str| Run::of(sandbox.tuf_repo_command(&["key", "show", "env:K"]).env("K", value));
    show(&std::fs::read_to_string(&ours).unwrap()).code(1).says("while the key is locked").says("K_PUB");

    let table = with(&["key", "list"]).ok().stdout;
    for name in ["copy", "from-ci", "holder", "root", "spare"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {table}");
    }
}
