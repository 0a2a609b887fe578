//! Tokens: what is wrong with them, each said for itself.

use crate::support::softhsm::{MODULE, PIN, SoftHsm};
use crate::support::{Run, Sandbox, write};

#[test]
fn a_token_says_what_is_wrong() {
    let sandbox = Sandbox::new();
    let hsm = SoftHsm::new(&sandbox, &["one", "two"]);
    let with = |pin: Option<(&str, &str)>, arguments: &[&str]| {
        let mut command = hsm.command(sandbox.tuf_repo_command(arguments));
        Run::of(command.envs(pin))
    };
    let pin = Some(("TUF_PASSPHRASE_ONE", PIN));
    let root = SoftHsm::uri("one", "root");
    with(pin, &["key", "generate", &root, "--key-type", "ecdsa-p256"]).ok();
    with(pin, &["key", "generate", &root, "--key-type", "ecdsa-p256"])
        .code(1)
        .says("has a key of this label");

    // Not there: module, token, key; and more than one.
    let missing = "pkcs11:token=one;object=root?module-path=/nonexistent/p11.so";
    with(pin, &["key", "show", missing])
        .code(1)
        .says("no PKCS#11 module /nonexistent/p11.so")
        .says("install");
    let no_library = sandbox.path("text.so");
    write(&no_library, "no library");
    let broken = format!("pkcs11:object=root?module-path={}", no_library.display());
    with(pin, &["key", "show", &broken]).code(1).says("no PKCS#11 module");
    with(pin, &["key", "show", "pkcs11:object=root"]).code(1).says("TUF_PKCS11_MODULE");
    with(pin, &["key", "show", &SoftHsm::uri("three", "root")])
        .code(1)
        .says("no token for")
        .says("token one (serial");
    with(pin, &["key", "show", &SoftHsm::uri("one", "toor")])
        .code(1)
        .says("no key")
        .says("there: pkcs11:object=root");
    with(pin, &["key", "show", &format!("pkcs11:object=root?module-path={MODULE}")])
        .code(1)
        .says("fits more than one: token one");
    Run::of(
        hsm.command(sandbox.tuf_repo_command(&["key", "show", "pkcs11:token=one;object=root"]))
            .env("TUF_PKCS11_MODULE", MODULE),
    )
    .ok()
    .says("ecdsa-sha2-nistp256");

    // Two pairs of one label, made by another tool; an ID tells them apart.
    let listed =
        with(None, &["--json", "key", "list", &format!("pkcs11:token=one?module-path={MODULE}")]).ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let first = listed[0]["uri"].as_str().unwrap().to_owned();
    let fixed = ["--module", MODULE, "--token-label", "one", "--login", "--pin", PIN, "--keypairgen"];
    let twin = ["--key-type", "EC:secp384r1", "--label", "root", "--id", "77"];
    let mut pkcs11_tool = hsm.command(sandbox.command("pkcs11-tool"));
    let made = pkcs11_tool
        .args(fixed)
        .args(twin)
        .output()
        .expect("pkcs11-tool is missing: install the package opensc");
    assert!(made.status.success(), "{made:?}");
    with(pin, &["key", "show", &root]).code(1).says("fits more than one").says("id=w");
    with(pin, &["key", "show", &first]).ok().says("ecdsa-sha2-nistp256");
    with(pin, &["key", "show", &SoftHsm::uri("one", "root").replace("object=root", "id=%77")])
        .ok()
        .says("nistp384");

    // PINs: none, wrong, from a file, from a file that others can read. One for all keys is not tried.
    let third = ["key", "generate", &SoftHsm::uri("one", "third")];
    with(None, &third).code(1).says("TUF_PASSPHRASE_THIRD, TUF_PASSPHRASE_ONE, pin-source");
    with(Some(("TUF_PASSPHRASE", PIN)), &third).code(1).says("no passphrase for key third");
    let file = sandbox.path("pin");
    write(&file, format!("{PIN}\n"));
    let sourced = format!("{}&pin-source=file:{}", SoftHsm::uri("one", "third"), file.display());
    set_mode(&file, 0o644);
    with(None, &["key", "generate", &sourced]).code(1).says("0644");
    set_mode(&file, 0o600);
    with(None, &["key", "generate", &sourced]).ok();
    with(Some(("TUF_PASSPHRASE_ONE", "0000")), &["key", "generate", &SoftHsm::uri("one", "x")])
        .code(1)
        .says("Wrong PIN for token one");
    let refused = format!("{root}&pin-value={PIN}");
    let run = with(None, &["key", "show", &refused]).code(1).says("pin-source=file:");
    assert!(!run.stderr.contains(PIN), "{}", run.stderr);
}

fn set_mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}
