//! Programs that sign, and programs that do not.

use super::{openssl_signer, script};
use crate::support::{Run, Sandbox, write};

fn sign_snapshot_with(sandbox: &Sandbox, uri: &str) -> Run {
    let path = sandbox.repo().join("tuf-repo.toml");
    let mut settings: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let snapshot = settings["roles"]["snapshot"].as_table_mut().unwrap();
    snapshot.insert("keys".to_owned(), vec![toml::Value::from(uri)].into());
    write(&path, toml::to_string(&settings).unwrap());
    Run::of(sandbox.tuf_repo_command(&["publish"]).env("TUF_PASSPHRASE_TARGETS", "secret"))
}

#[test]
fn a_program_that_does_not_sign_is_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.init(&["--preset", "plain"]).ok();
    let good = openssl_signer(&sandbox);
    let public = sandbox.path("public.pem");
    let pem = Run::of(sandbox.command(&good).arg("public")).ok().stdout;
    write(&public, pem);
    let with_sign = |name: &str, sign: &str| {
        let text =
            format!("#!/bin/sh\ncase $1 in\npublic) cat {} ;;\nsign) {sign} ;;\nesac\n", public.display());
        format!("exec:{}", script(&sandbox, name, &text))
    };
    for (name, sign, says) in [
        ("wrong", "head -c 64 /dev/zero", "does not verify"),
        ("silent", "cat > /dev/null", "printed 0 bytes"),
        ("failing", "echo the vault is sealed >&2; exit 7", "exit status: 7"),
        ("other", &format!("echo x | {good} sign"), "does not verify"),
        ("flood", "head -c 99999 /dev/zero", "more than 65536 bytes"),
    ] {
        let run = sign_snapshot_with(&sandbox, &with_sign(name, sign)).code(1).says(says);
        assert!(name != "failing" || run.stderr.contains("the vault is sealed"), "{}", run.stderr);
    }
    sandbox
        .tuf_repo(&["key", "show", "exec:/nonexistent/signer"])
        .code(1)
        .says("cannot be started")
        .says("docs/keys.md");
    let mute = script(&sandbox, "mute.sh", "#!/bin/sh\ntrue\n");
    sandbox.tuf_repo(&["key", "show", &format!("exec:{mute}")]).code(1).says("printed no public key");
    assert!(!sandbox.public("metadata/timestamp.json").exists());
    // It is told what it signs with, and not the passphrases of other keys.
    let told = sandbox.path("told");
    let noting = format!("env > {}; exit 1", told.display());
    sign_snapshot_with(&sandbox, &with_sign("noting", &noting)).code(1);
    let told = std::fs::read_to_string(told).unwrap();
    assert!(told.contains("TUF_SCHEME=ecdsa-sha2-nistp256") && told.contains("TUF_KEYID="), "{told}");
    assert!(!told.contains("secret"), "{told}");
}
